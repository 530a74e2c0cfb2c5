//! What callers are told when there is no room, at the leader and at the node that carries their proposals to it, and how soon.

use quorate_core::config::Config;
use quorate_core::entry::Membership;
use quorate_core::message::Message;
use quorate_core::raft::Raft;
use quorate_core::stored::Stored;
use quorate_core::types::{Index, NodeId};
use quorate_replica::config::ReplicaConfig;
use quorate_replica::effect::Effect;
use quorate_replica::error::{Fate, ProposeError};
use quorate_replica::input::{Input, Now};
use quorate_replica::peer_message::ForwardAnswer;
use quorate_replica::replica::Replica;

use crate::solo::{ME, PEER, Solo, answer, key, propose, raft};

/// What a leader has no room for was sent nowhere: its caller is told in the same turn, and nothing of it stays.
#[test]
fn a_leader_without_room_refuses_its_own_callers_at_once() {
    let stored = Stored::bootstrap(Membership::of_voters([ME]));
    let protocol = Raft::new(Config { uncommitted_bytes_max: 200, ..Config::new(ME) }, stored);
    let mut replica = Replica::new(ReplicaConfig::new(77, 1), protocol);
    let mut turn = |inputs: Vec<Input>| {
        replica.begin_turn(Now { monotonic_us: 1, wall_ms: 1 });
        inputs.into_iter().for_each(|input| replica.step(input));
        let effects = replica.drain();
        (effects, replica.status().pending_len)
    };
    let (effects, _) = turn(vec![Input::Campaign]);
    let vote =
        effects.iter().find_map(|effect| if let Effect::Persist(w) = effect { Some(w.number) } else { None });
    turn(vec![Input::Persisted(vote.expect("the own vote is written"))]);
    let (effects, pending_len) = turn((1..=20).map(|n| propose(n, key(), 1, false)).collect());
    let refused = effects.iter().filter_map(|effect| match effect {
        Effect::RefuseProposal { error, .. } => Some(error.clone()),
        _ => None,
    });
    let refused: Vec<ProposeError> = refused.collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|error| *error == ProposeError::Overloaded),
        "{refused:?}"
    );
    assert_eq!(ProposeError::Overloaded.fate(), Fate::NotAccepted);
    assert_eq!(refused.len() + pending_len, 20, "those that got a place in the log wait for it");
}

/// To wait for a leader without room would take the room of others here, and end the same way: callers are told at once.
#[test]
fn a_leader_without_room_is_passed_on_to_callers_at_once() {
    let mut solo = Solo::follower(|config| config.retry_pause_ticks = 20);
    solo.turn(vec![propose(1, key(), 5, false)]);
    let sent = solo.forwarded();
    solo.turn(vec![answer(PEER, sent[0].1, ForwardAnswer::Overloaded), propose(2, None, 6, false)]);
    assert_eq!(solo.outcomes(), [(2, Err(ProposeError::Overloaded))]);
    solo.tick(20);
    solo.turn(vec![propose(3, key(), 7, false)]);
    assert_eq!(solo.outcomes(), [], "it may have room by now");
}

/// What was sent may have arrived in a copy, so it is never told as not accepted. It goes out again, ever more rarely: all that wait would
/// else be what the leader is busy with.
#[test]
fn what_was_refused_for_want_of_room_is_sent_again_ever_more_rarely() {
    let mut solo = Solo::follower(|config| config.retry_pause_ticks = 10);
    solo.turn(vec![propose(1, key(), 5, false)]);
    let ticket = solo.forwarded()[0].1;
    for least in [10, 20, 40, 80] {
        solo.turn(vec![answer(PEER, ticket, ForwardAnswer::Overloaded)]);
        solo.tick(least - 1);
        assert_eq!(solo.forwarded(), [], "not before {least} ticks");
        solo.tick(least + 1);
        assert_eq!(solo.forwarded().len(), 1, "twice as many at most");
    }
    assert_eq!(solo.outcomes(), []);
    // A new leader is no reason to wait.
    solo.turn(vec![answer(PEER, ticket, ForwardAnswer::Overloaded)]);
    let heartbeat = Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false };
    solo.turn(vec![raft(NodeId::new(3), 2, heartbeat)]);
    assert_eq!(solo.forwarded().len(), 1);
    solo.turn(vec![propose(2, key(), 6, false)]);
    assert_eq!((solo.forwarded().len(), solo.outcomes()), (1, vec![]), "nor to refuse anybody");
}
