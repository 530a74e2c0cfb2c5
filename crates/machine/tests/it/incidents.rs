//! A sample of a real incident log, replayed: the counts are those that an independent program computed.

use std::collections::BTreeMap;
use std::path::Path;

use quorate_machine::{Command, Expect, Limits, Outcome, Proposal, Reply, Wish};

use crate::support::Driver;

#[test]
fn a_real_log_of_incidents_ends_in_the_states_that_an_independent_program_computed() {
    check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/data/incidents-sample.csv")));
}

fn check(rows: &Path) {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let expected: serde_json::Value =
        serde_json::from_str(&read(&rows.with_file_name("incidents-sample-expected.json"))).unwrap();
    let mut driver = Driver::new(Limits::default());
    assert_eq!(driver.define(&read(&rows.with_file_name("incident.toml"))), "incident 1: new");

    let (mut events, mut committed, mut rejected) = (0, 0, 0);
    for row in read(rows).lines().skip(1) {
        let mut fields = row.split(',');
        let (id, to) = (fields.next().unwrap(), fields.next().unwrap());
        if driver.registry.instance("incident", id).is_err() {
            driver.apply(&Command::Create { machine: "incident".to_owned(), id: id.to_owned() });
        }
        let proposal = Proposal {
            machine: "incident".to_owned(),
            id: id.to_owned(),
            wish: Wish::State(to.to_owned()),
            data: None,
            expect: Expect::default(),
        };
        events += 1;
        match driver.apply(&Command::Propose(proposal)) {
            Reply::Outcome(Outcome::Committed(_)) => committed += 1,
            Reply::Outcome(Outcome::Rejected(_)) => rejected += 1,
            other => panic!("{other:?}"),
        }
    }

    let counts = driver.registry.count("incident").unwrap();
    assert_eq!(counts.states.len(), 14, "every declared state is counted, empty ones too");
    let occupied: BTreeMap<_, _> = counts.states.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(serde_json::to_value(occupied).unwrap(), expected["final_states"]);
    assert_eq!(
        [events, committed, rejected],
        ["events", "committed", "rejected"].map(|key| expected[key].as_u64().unwrap())
    );
    assert_eq!(Some(counts.total), expected["instances"].as_u64());
}
