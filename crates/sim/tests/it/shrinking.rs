//! A failing run becomes smaller, and still fails.

use std::collections::BTreeSet;

use quorate_sim::shrink::shrink;
use quorate_sim::trace::TraceMode;
use quorate_sim::world::World;

#[test]
fn only_the_faults_that_matter_are_left() {
    let mut runs = 0;
    let left = shrink((1..=64).collect(), |only| {
        runs += 1;
        only.contains(&3) && only.contains(&40)
    });
    assert_eq!(left, vec![3, 40]);
    assert!(runs < 64, "halves are tried before single faults: {runs} runs");
}

#[test]
fn what_fails_without_any_fault_needs_none() {
    assert_eq!(shrink(vec![1, 2, 3], |_| true), Vec::<u64>::new());
}

#[test]
fn a_run_with_all_its_faults_named_is_the_run_itself() {
    let mut whole = World::new(5, TraceMode::Off);
    let report = whole.run().expect("seed 5 holds");
    let all: BTreeSet<u64> = (1..=whole.faults_len()).collect();
    let again = World::new(5, TraceMode::Off).with_faults(5, all).run().expect("seed 5 holds");
    assert_eq!(report.unseed, again.unseed);
    assert!(whole.faults_len() > 0, "the seed has faults");
}
