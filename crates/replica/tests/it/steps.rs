//! The steps of a proposal, as they are told to who asked for them.

use bytes::Bytes;
use quorate_core::types::EntryId;
use quorate_replica::effect::{Answered, Step, StepKind};
use quorate_replica::input::Ticket;
use quorate_replica::peer_message::ForwardAnswer;

use crate::solo::{ME, PEER, Solo, answer, key, propose};

#[test]
fn the_leader_tells_each_step_of_a_proposal() {
    let mut solo = Solo::leader(|_| {});
    solo.turn(vec![propose(1, key(), 5, true), propose(2, None, 6, false)]);
    solo.apply();
    let steps = solo.answers[0].1.trace.as_ref().unwrap();
    let kinds: Vec<&StepKind> = steps.iter().map(|step| &step.what).collect();
    let entry = EntryId::new(1, 5);
    let expected = [
        StepKind::Accepted,
        StepKind::Appended { entry },
        StepKind::Acknowledged { by: ME },
        StepKind::Committed,
        StepKind::Applied,
    ];
    assert_eq!(kinds, expected.iter().collect::<Vec<_>>());
    assert!(steps.is_sorted_by_key(|step| step.at_us));
    assert!(steps.last().unwrap().at_us >= 1_000, "the write took a turn");
    assert_eq!(solo.answers[1].1.trace, None, "nobody asked");
}

#[test]
fn a_follower_joins_its_steps_with_those_of_the_leader() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![propose(1, key(), 5, true)]);
    let (_, ticket, _) = solo.forwarded().remove(0);
    let step = Step { node: PEER, at_us: 3, what: StepKind::Committed };
    let outcome = Ok(Bytes::new());
    let by_leader = Answered { outcome: outcome.clone(), trace: Some(vec![step.clone()]) };
    solo.turn(vec![answer(PEER, ticket, ForwardAnswer::Answered(by_leader))]);
    let own = |what| Step { node: ME, at_us: 0, what };
    let trace = vec![own(StepKind::Accepted), own(StepKind::Forwarded { leader: PEER }), step];
    assert_eq!(solo.answers, [(Ticket(1), Answered { outcome, trace: Some(trace) })]);
}
