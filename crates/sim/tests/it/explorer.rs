//! The explorer's own promises: it sees every state of a small cluster, always the same ones, and keeps its limits.

use quorate_sim::explore::fingerprint::{Fingerprints, Insert, fingerprint};
use quorate_sim::explore::model::Bounds;
use quorate_sim::explore::search::{Ended, Found, Limits, Search};
use quorate_sim::explore::state::Budgets;

const LIMITS: Limits = Limits { states_max: 1_000_000, bytes_max: 1 << 28 };

fn explore(nodes: u8, terms: u8, budgets: Budgets, limits: Limits) -> Found {
    Search::new(Bounds { nodes, terms, budgets, messages_stay: false }, limits).run()
}

/// The numbers are exact. When a change of the core moves them, that is a change of what the protocol can do: explain it.
#[test]
fn every_state_of_a_small_cluster_keeps_all_rules() {
    let budgets = Budgets { proposals: 1, ..Budgets::default() };
    let found = explore(3, 1, budgets, LIMITS);
    assert_eq!((found.ended, found.states, found.depth), (Ended::Complete, 64_013, 28));

    let budgets = Budgets { proposals: 2, crashes: 2, heartbeats: 1, ..Budgets::default() };
    let found = explore(1, 3, budgets, LIMITS);
    assert_eq!((found.ended, found.states), (Ended::Complete, SINGLE_NODE_STATES));
}

#[test]
fn a_search_ends_at_its_limits_and_says_so() {
    let budgets = Budgets { proposals: 1, crashes: 1, ..Budgets::default() };
    let found = explore(3, 2, budgets, Limits { states_max: 1_000, ..LIMITS });
    assert_eq!(found.ended, Ended::Limit("states"));
    assert!((1_000..1_100).contains(&found.states), "{}", found.states);

    let found = explore(3, 2, budgets, Limits { bytes_max: 1 << 18, ..LIMITS });
    assert_eq!(found.ended, Ended::Limit("memory"));
}

#[test]
fn a_table_of_fingerprints_knows_what_it_has_seen_and_keeps_its_bound() {
    const BYTES_MAX: usize = 1 << 20;
    let mut table = Fingerprints::new(BYTES_MAX);
    let mut known = 0_u64;
    while table.insert(fingerprint(&known.to_le_bytes())) == Insert::New {
        known += 1;
    }
    assert_eq!(table.insert(fingerprint(&known.to_le_bytes())), Insert::Full);
    assert!(table.bytes() <= BYTES_MAX && known > 10_000, "{} bytes, {known} fingerprints", table.bytes());
    assert!((0..known).all(|number| table.insert(fingerprint(&number.to_le_bytes())) == Insert::Known));
    // Zero marks what is free and is a fingerprint like any other.
    let mut table = Fingerprints::new(BYTES_MAX);
    assert_eq!([table.insert(0), table.insert(0)], [Insert::New, Insert::Known]);
}

const SINGLE_NODE_STATES: u64 = 804;

#[cfg(feature = "planted")]
mod planted {
    use quorate_core::planted::{Bug, plant};
    use quorate_sim::explore::search::Ended;
    use quorate_sim::explore::state::Budgets;

    use super::{LIMITS, explore};

    fn check(bug: Bug, terms: u8, budgets: Budgets, rule: &str) {
        plant(Some(bug));
        let found = explore(3, terms, budgets, LIMITS);
        plant(None);
        match found.ended {
            Ended::Broken(violation, _) => assert!(violation.to_string().contains(rule), "{violation}"),
            Ended::Complete | Ended::Limit(_) => panic!("{bug:?} was not found: {:?}", found.ended),
        }
    }

    #[test]
    fn a_planted_bug_is_found_by_the_rule_that_it_breaks() {
        let crash = Budgets { crashes: 1, ..Budgets::default() };
        check(Bug::VoteNotPersisted, 1, crash, "one leader in a term");
        check(Bug::OldTermCommittedByCount, 2, Budgets::default(), "only what is of its own term");
    }
}
