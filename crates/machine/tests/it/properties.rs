//! Random histories: what the registry keeps by increments is what counting afresh gives, and two nodes agree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quorate_machine::{HistoryRecord, Limits, Registry};
use quorate_replica::state_machine::StateMachine;

use crate::snapshot::bytes_of;
use crate::support::Driver;

const STATES: &str = "[states.A]\non.go = \"B\"\non.stay = \"A\"\n[states.B]\non.back = \"A\"\non.stay = \"ignore\"\non.end = \"C\"\n\
                      [states.C]\ntype = \"final\"\n";

fn limits() -> Limits {
    Limits {
        instances_max: 5,
        transitions_per_instance_max: 4,
        rejections_per_instance_max: 2,
        history_bytes_per_instance_max: 64,
        ..Limits::default()
    }
}

fn line(verb: u8, id: u8, rest: u8) -> String {
    let wishes = [
        "go",
        "stay",
        "back",
        "end",
        "stya",
        ">A",
        ">B",
        ">C",
        ">D",
        "go rev=2",
        "back state=B",
        "stay data={\"a\":1}",
    ];
    let wish = wishes[usize::from(rest) % wishes.len()];
    match verb {
        0 => format!("create job/{id}"),
        1 => format!("create lifecycle/{id}"),
        2 => format!("propose lifecycle/{id} {}", ["start", "stop", "reset"][usize::from(rest) % 3]),
        _ => format!("propose job/{id} {wish}"),
    }
}

/// Counts afresh what the registry counts by increments, and follows each history from its oldest move.
fn check(registry: &Registry) {
    for machine in registry.machines() {
        let name = machine.name;
        let rows = registry.list(&name, None, 100, None).unwrap().instances;
        let mut states: BTreeMap<String, u64> =
            registry.count(&name).unwrap().states.into_keys().map(|state| (state, 0)).collect();
        for row in &rows {
            *states.get_mut(&row.state).unwrap() += 1;
            let page = registry.history(&name, &row.id, None, 100).unwrap();
            assert!(page.records.len() <= 6, "at most four moves and two rejections are kept");
            let mut at = None;
            let mut revision = page.oldest_revision - 1;
            for record in page.records {
                match record {
                    HistoryRecord::Created { to, revision: 1, .. } => (at, revision) = (Some(to), 1),
                    HistoryRecord::Moved { from, to, revision: next, .. } => {
                        assert!(
                            at.is_none_or(|at| at == from),
                            "each move starts where the one before ended"
                        );
                        assert_eq!(next, revision + 1);
                        (at, revision) = (Some(to), next);
                    }
                    HistoryRecord::Rejected { state, .. } => {
                        assert!(at.as_ref().is_none_or(|at| *at == state))
                    }
                    HistoryRecord::Created { .. } => panic!("only the first revision is a creation"),
                }
            }
            assert_eq!((at.as_ref(), revision), (Some(&row.state), row.revision));
        }
        assert_eq!(registry.count(&name).unwrap().states, states);
        assert_eq!(registry.count(&name).unwrap().total, rows.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_proposed_two_nodes_agree_and_every_count_is_right(
        commands in prop::collection::vec((0..6u8, 0..4u8, any::<u8>()), 1..80),
        restart in any::<prop::sample::Index>(),
    ) {
        let (mut one, mut other) = (Driver::new(limits()), Driver::new(limits()));
        for driver in [&mut one, &mut other] {
            driver.define(&format!("format = 1\nmachine = \"job\"\nversion = 1\ninitial = \"A\"\n{STATES}"));
        }
        let restart = restart.index(commands.len());
        for (place, (verb, id, rest)) in commands.into_iter().enumerate() {
            if place == restart {
                // One of the two goes on from a snapshot.
                let bytes = bytes_of(&other.registry);
                other.registry = Registry::with_limits(limits());
                other.registry.restore(&mut &bytes[..]).unwrap();
            }
            let line = line(verb, id, rest);
            prop_assert_eq!(one.line(&line), other.line(&line));
            check(&one.registry);
        }
        prop_assert!(bytes_of(&one.registry) == bytes_of(&other.registry));
    }
}
