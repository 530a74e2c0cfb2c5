//! What one proposal does to one instance: by table, and on every small machine against a definition by brute force.

use quorate_machine::{Decision, Definition, Expect, RejectionCode, StateId, Wish, fire};

use crate::support::definition;

const MACHINE: &str = r#"
format = 1
machine = "m"
version = 1
initial = "A"
[states.A]
on.to_b_late = "B"
on.to_b = "B"
on.self = "A"
on.noise = "ignore"
[states.B]
on.end = "End"
[states.End]
type = "final"
"#;

/// What happens to an instance in `state` at revision 7.
fn check(state: &str, wish: &str, expect: (Option<u64>, Option<&str>), expected: &str) {
    let definition = definition(MACHINE);
    let state = definition.state(state).unwrap();
    let wish = match wish.strip_prefix('>') {
        Some(target) => Wish::State(target.to_owned()),
        None => Wish::Event(wish.to_owned()),
    };
    let expect = Expect { revision: expect.0, state: expect.1.map(str::to_owned) };
    let told = match fire(&definition, state, 7, &wish, &expect) {
        Decision::Go { event, to } => {
            format!("-{}-> {}", event_name(&definition, event), definition.state_name(to))
        }
        Decision::Ignore { event } => format!("ignores {}", event_name(&definition, event)),
        Decision::Reject { why } => format!("{}: {}", why.code().as_str(), why.detail()),
    };
    assert_eq!(told, expected);
}

fn event_name(definition: &Definition, event: u16) -> &str {
    definition.events().nth(usize::from(event)).unwrap()
}

#[test]
fn a_proposal_is_decided_by_the_table() {
    let none = (None, None);
    check("A", "to_b", none, "-to_b-> B");
    check("A", "self", none, "-self-> A");
    check("A", "noise", none, "ignores noise");
    check("A", ">A", none, "-self-> A");
    check("A", "end", none, "no_transition: state \"A\" does not handle event \"end\"");
    check("B", "noise", none, "no_transition: state \"B\" does not handle event \"noise\"");
    check("B", ">A", none, "no_transition: no event leads from state \"B\" to \"A\"");
    check("B", ">C", none, "no_transition: the machine has no state \"C\"; did you mean \"A\"?");
    check("A", "endd", none, "unknown_event: no state handles event \"endd\"; did you mean \"end\"?");
    check("End", "end", none, "final: state \"End\" is final: no event leads out of it");
    check("End", ">A", none, "final: state \"End\" is final: no event leads out of it");
    check("End", "nonsense", none, "unknown_event: no state handles event \"nonsense\"");
}

#[test]
fn a_wished_state_takes_the_first_event_in_byte_order_of_the_names() {
    check("A", ">B", (None, None), "-to_b-> B");
}

#[test]
fn what_the_caller_expected_is_looked_at_first() {
    check("A", "to_b", (Some(7), Some("A")), "-to_b-> B");
    check("A", "to_b", (Some(8), None), "conflict: expected revision 8, found 7");
    check("A", "to_b", (Some(7), Some("B")), "conflict: expected state \"B\", found \"A\"");
    check(
        "End",
        "nonsense",
        (Some(6), Some("B")),
        "conflict: expected state \"B\" at revision 6, found \"End\" at revision 7",
    );
}

/// Every machine of two states and two events: for each state and event nothing, ignore, or one of two targets.
#[test]
fn every_small_machine_does_what_its_table_says() {
    let (states, events) = (["p", "q"], ["e", "f"]);
    for code in 0..4usize.pow(4) {
        let cell =
            |state: usize, event: usize| code / 4usize.pow(u32::try_from(2 * state + event).unwrap()) % 4;
        let mut source = "format = 1\nmachine = \"m\"\nversion = 1\ninitial = \"p\"\n".to_owned();
        for (s, state) in states.iter().enumerate() {
            source += &format!("[states.{state}]\n");
            for (e, event) in events.iter().enumerate() {
                match cell(s, e) {
                    0 => {}
                    1 => source += &format!("on.{event} = \"ignore\"\n"),
                    target => source += &format!("on.{event} = \"{}\"\n", states[target - 2]),
                }
            }
        }
        let definition = definition(&source);
        for (s, state) in states.iter().enumerate() {
            for (e, event) in events.iter().enumerate() {
                let known = (0..2).any(|s| cell(s, e) != 0);
                let expected = match cell(s, e) {
                    0 if known => Err(RejectionCode::NoTransition),
                    0 => Err(RejectionCode::UnknownEvent),
                    1 => Ok(None),
                    target => Ok(Some((*event, states[target - 2]))),
                };
                assert_eq!(
                    decide(&definition, state, &Wish::Event((*event).to_owned())),
                    expected,
                    "{source}"
                );
            }
            for (t, target) in states.iter().enumerate() {
                let first = (0..2).find(|e| cell(s, *e) == t + 2);
                let expected = first.map(|e| Some((events[e], *target))).ok_or(RejectionCode::NoTransition);
                assert_eq!(
                    decide(&definition, state, &Wish::State((*target).to_owned())),
                    expected,
                    "{source}"
                );
            }
        }
    }
}

fn decide<'a>(
    definition: &'a Definition,
    state: &str,
    wish: &Wish,
) -> Result<Option<(&'a str, &'a str)>, RejectionCode> {
    let state: StateId = definition.state(state).unwrap();
    match fire(definition, state, 1, wish, &Expect::default()) {
        Decision::Go { event, to } => Ok(Some((event_name(definition, event), definition.state_name(to)))),
        Decision::Ignore { .. } => Ok(None),
        Decision::Reject { why } => Err(why.code()),
    }
}
