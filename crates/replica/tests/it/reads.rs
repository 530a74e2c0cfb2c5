//! Reads of one replica, driven by hand: what they wait for, what answers them, what their bounds are.

use quorate_core::message::Message;
use quorate_core::types::Index;
use quorate_core::types::NodeId;
use quorate_replica::error::ReadError;
use quorate_replica::input::Input;
use quorate_replica::input::Ticket;
use quorate_replica::peer_message::PeerMessage;

use crate::solo::{PEER, Solo, propose, raft};

#[test]
fn a_read_waits_until_the_applier_was_handed_its_index() {
    let mut solo = Solo::leader(|config| {
        config.apply_batch_len_max = 1;
        config.apply_inflight_max = 1;
    });
    solo.turn(vec![propose(1, None, 1, false), propose(2, None, 1, false)]);
    solo.turn(vec![Input::Read { ticket: Ticket(9) }]);
    assert_eq!(solo.reads, [], "only the first of both was handed over");
    solo.apply();
    let through = solo.replica.status().apply_through;
    assert_eq!(solo.reads, [(Ticket(9), Ok(through))]);
}

/// R40: a late answer to an older question confirms nothing; nor does one that nobody was asked for.
#[test]
fn only_the_answer_to_an_open_question_serves_a_read() {
    let mut solo = Solo::follower(|_| {});
    let question = |solo: &mut Solo| {
        let found = solo.sent.drain(..).find_map(|(to, message)| match message {
            PeerMessage::ForwardRead { ticket } => Some((to, ticket)),
            _ => None,
        });
        found.unwrap()
    };
    let reply = |from, ticket, index: u64| Input::Received {
        from,
        message: PeerMessage::ForwardReadReply { ticket, index: Some(Index(index)) },
    };
    solo.turn(vec![Input::Read { ticket: Ticket(1) }, Input::Read { ticket: Ticket(2) }]);
    let (to, first) = question(&mut solo);
    assert_eq!(to, PEER);
    // A restarted node begins elsewhere: its numbers never meet those of its earlier lives.
    let mut restarted = Solo::follower(|config| config.session = u128::from(u64::MAX) << 3);
    restarted.turn(vec![Input::Read { ticket: Ticket(1) }]);
    assert_ne!(question(&mut restarted).1, first);
    let other = NodeId::new(3);
    solo.turn(vec![raft(other, 2, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false })]);
    let (to, second) = question(&mut solo);
    assert_eq!(to, other, "the new leader is asked");
    assert_ne!(first, second);
    solo.turn(vec![reply(PEER, first, 0), reply(PEER, second, 0), reply(other, first, 0)]);
    assert_eq!(solo.reads, []);
    solo.turn(vec![reply(other, second, 0), reply(other, second, 0)]);
    assert_eq!(solo.reads, [(Ticket(1), Ok(Index(0))), (Ticket(2), Ok(Index(0)))]);
}

#[test]
fn reads_are_bounded_and_end_by_time() {
    let mut solo = Solo::new(3, |config| config.reads_len_max = 2);
    solo.turn((1..=3).map(|n| Input::Read { ticket: Ticket(n) }).collect());
    assert_eq!(solo.reads, [(Ticket(3), Err(ReadError::Overloaded))]);
    solo.reads.clear();
    solo.tick(999);
    assert_eq!(solo.reads, []);
    solo.tick(1);
    let nobody = Err(ReadError::NoLeader { leader: None });
    assert_eq!(solo.reads, [(Ticket(1), nobody.clone()), (Ticket(2), nobody)]);
    let mut solo = Solo::follower(|config| config.forward_retry_ticks = 10_000);
    solo.turn(vec![Input::Read { ticket: Ticket(1) }]);
    // The leader is heard all the time, but says nothing about the read.
    for round in 2..=11 {
        solo.turn(vec![
            Input::Tick { elapsed: 100 },
            raft(PEER, 1, Message::Heartbeat { commit: Index(0), round, asks_promise: false }),
        ]);
    }
    assert_eq!(solo.reads, [(Ticket(1), Err(ReadError::TimedOut))]);
}
