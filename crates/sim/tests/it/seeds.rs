//! Whole runs: a seed means one run, and a few seeds hold.

use quorate_sim::trace::TraceMode;
use quorate_sim::world::World;

/// Runs a seed; the report with its fingerprint.
fn check(seed: u64, trace: TraceMode) -> quorate_sim::world::Report {
    let mut world = World::new(seed, trace);
    match world.run() {
        Ok(report) => report,
        Err(violation) => panic!("seed {seed}: {violation}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_run_line_for_line() {
    let (first, second) = (check(2, TraceMode::Fingerprint), check(2, TraceMode::Fingerprint));
    assert_eq!(first.fingerprint, second.fingerprint);
    assert_eq!(first.events, second.events);
}

#[test]
fn a_trace_changes_nothing_in_the_run() {
    assert_eq!(check(4, TraceMode::Off).events, check(4, TraceMode::Keep).events);
}

#[test]
fn fresh_seeds_hold_and_the_faults_that_they_draw_happen() {
    let mut sum = quorate_sim::world::Report::default();
    for seed in 1012..=1019 {
        sum.add(&check(seed, TraceMode::Off));
    }
    assert!(sum.acknowledged > 1_000 && sum.reads > 100, "the clients get answers: {sum:?}");
    assert!(sum.shortest_seconds() >= 60, "faults strike for a minute at least: {sum:?}");
    for fault in
        ["power loss of all", "kill", "partition", "pause", "disk stall", "message lost", "message repeated"]
    {
        assert!(sum.counters.get(fault).is_some_and(|count| *count > 0), "{fault} never happened");
    }
}
