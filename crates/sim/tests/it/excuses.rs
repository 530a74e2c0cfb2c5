//! What the checks excuse is what is documented, and nothing more: a key is remembered for a day of log time.

use quorate_core::types::EntryId;
use quorate_replica::state_machine::{Context, StateMachine};
use quorate_sim::ledger::{Append, Appended, Ledger};
use quorate_sim::workload::SHARED;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Appends values to a list, each at its time; what was answered to the last one, and how the list ends.
fn check(list: u32, appends: &[(u64, u64)], repeated: bool, values: &[u64]) {
    let mut ledger = Ledger::default();
    let mut answers: Vec<Appended> = Vec::new();
    for (number, (value, timestamp_ms)) in appends.iter().enumerate() {
        let entry = EntryId::new(1, number as u64 + 1);
        let context = Context { entry, timestamp_ms: *timestamp_ms, actor: None, request_id: None, level: 1 };
        answers.push(ledger.apply(&context, Append { client: list, value: *value, command: None }));
    }
    let last = answers.last().expect("something is appended");
    assert_eq!(last.repeated, repeated, "{appends:?}");
    assert_eq!(ledger.list(list), values, "{appends:?}");
    assert_eq!(ledger.repeats().len(), answers.iter().filter(|answer| answer.repeated).count());
}

#[test]
fn what_comes_again_within_a_day_stands_there_twice() {
    check(1, &[(1, 5), (1, 5 + DAY_MS)], false, &[1, 1]);
    check(SHARED, &[(1 << 32 | 1, 5), (1 << 32 | 1, 6)], false, &[1 << 32 | 1; 2]);
}

#[test]
fn what_comes_again_after_more_than_a_day_is_noted_and_stands_where_it_stood() {
    check(1, &[(1, 5), (2, 5), (1, 6 + DAY_MS)], true, &[1, 2]);
    check(SHARED, &[(1 << 32 | 1, 5), (1 << 32 | 1, 6 + DAY_MS)], true, &[1 << 32 | 1]);
}

#[test]
fn a_key_that_was_taken_again_is_remembered_for_another_day() {
    check(1, &[(1, 0), (1, 2 * DAY_MS), (1, 3 * DAY_MS)], false, &[1, 1]);
    check(1, &[(1, 0), (1, 2 * DAY_MS), (1, 5 * DAY_MS)], true, &[1]);
}

#[test]
fn what_is_late_and_new_is_no_repetition() {
    check(
        SHARED,
        &[(2 << 32 | 1, 0), (1 << 32 | 2, 0), (1 << 32 | 1, 9 * DAY_MS)],
        false,
        &[2 << 32 | 1, 1 << 32 | 2, 1 << 32 | 1],
    );
}
