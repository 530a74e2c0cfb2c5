//! Whole runs: a seed means one run, and a few seeds hold.

use quorate_sim::faults::class::{CLASSES, Class};
use quorate_sim::profile::{Faults, Leases, Limits, Profile, SECOND_US};
use quorate_sim::trace::TraceMode;
use quorate_sim::world::World;

/// Runs a seed; the report with its fingerprint.
fn check(seed: u64, trace: TraceMode) -> quorate_sim::world::Report {
    check_world(seed, World::new(seed, trace))
}

fn check_world(seed: u64, mut world: World) -> quorate_sim::world::Report {
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

/// The window of a lease is some milliseconds long. Before a fault aimed at it, five of six planted bugs of leases met no seed.
#[test]
fn an_ambush_asks_a_leader_with_a_lease_after_another_has_written() {
    let mut sum = quorate_sim::world::Report::default();
    for seed in 1..=4 {
        let drawn = Profile::draw(seed);
        let leases = Leases { drift_percent: 25, without: 0 };
        let weights = CLASSES.iter().map(|class| u64::from(*class == Class::Ambush)).collect();
        let faults = Faults {
            pause_us: SECOND_US / 2,
            weights,
            delay_mean_us: 200,
            sync_mean_us: 200,
            ..Faults::default()
        };
        let limits = Limits { leases, ..Limits::ordinary() };
        let profile = Profile { nodes: 5, clients: 2, limits, faults, ..drawn }.lasting(20 * SECOND_US);
        sum.add(&check_world(seed, World::with_profile(seed, profile, TraceMode::Off)));
    }
    let count = |name| sum.counters.get(name).copied().unwrap_or(0);
    let begun = count("ambush of a leader with a lease");
    let written = count("ambush: the first one was asked after a write of another");
    assert!(begun > 20, "a leader has a lease most of the time: {begun}");
    assert!(4 * written > begun, "most come to the moment that they aim at: {written} of {begun}");
}
