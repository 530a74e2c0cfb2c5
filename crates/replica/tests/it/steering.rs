//! What operators ask of the cluster: who carries it out, and that each is answered exactly once.

use quorate_core::membership::{Change, ChangeRefusal};
use quorate_core::message::{Ground, Message};
use quorate_core::types::{EntryId, Index, NodeId};
use quorate_replica::cluster::{ClusterDone, ClusterError, ClusterRefusal, ClusterRequest};
use quorate_replica::input::{Input, Ticket};
use quorate_replica::peer_message::PeerMessage;

use crate::solo::{ME, PEER, Solo, heartbeat_answer, raft};

fn ask(ticket: u64, to: Option<u64>) -> Input {
    let request = ClusterRequest::Transfer { to: to.map(NodeId::new) };
    Input::Cluster { ticket: Ticket(ticket), request }
}

/// The requests for the cluster among the messages sent, with their names.
fn requests(solo: &mut Solo) -> Vec<(NodeId, Ticket)> {
    let mut found = Vec::new();
    for (to, message) in std::mem::take(&mut solo.sent) {
        if let PeerMessage::ClusterRequest { ticket, .. } = message {
            found.push((to, ticket));
        }
    }
    found
}

fn reply(from: NodeId, ticket: Ticket, result: Result<ClusterDone, ClusterError>) -> Input {
    Input::Received { from, message: PeerMessage::ClusterReply { ticket, result } }
}

/// Node 1 of three, leading term 1; node 2 holds all that it does.
fn leader_of_three() -> Solo {
    let mut solo = Solo::new(3, |config| config.proposal_timeout_ticks = 2_000);
    solo.turn(vec![Input::Campaign]);
    solo.turn(vec![raft(PEER, 1, Message::VoteResponse { granted: true, wall_ms: 0 })]);
    solo.turn(vec![raft(PEER, 1, Message::AppendResponse { matched: Index(2) })]);
    solo.sent.clear();
    solo
}

#[test]
fn a_request_goes_to_the_leader_and_its_answer_comes_back_once() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![ask(1, Some(3))]);
    let sent = requests(&mut solo);
    assert_eq!((sent.len(), sent[0].0), (1, PEER));
    let done = Ok(ClusterDone::Leads(NodeId::new(3)));
    solo.turn(vec![reply(NodeId::new(3), sent[0].1, done.clone())]);
    assert_eq!(solo.cluster_answers, [], "an answer of somebody else is none");
    solo.turn(vec![reply(PEER, sent[0].1, done.clone()), reply(PEER, sent[0].1, done.clone())]);
    assert_eq!(solo.cluster_answers, [(Ticket(1), done)]);
}

#[test]
fn a_node_that_leads_no_more_is_asked_no_further_and_the_next_leader_is() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![ask(1, None)]);
    let sent = requests(&mut solo);
    solo.turn(vec![reply(PEER, sent[0].1, Err(ClusterError::NoLeader { leader: None }))]);
    solo.turn(vec![raft(
        NodeId::new(3),
        2,
        Message::Heartbeat { commit: Index(1), round: 1, asks_promise: false },
    )]);
    solo.tick(100);
    let again = requests(&mut solo);
    assert_eq!(again, [(NodeId::new(3), sent[0].1)]);
}

/// A request may be carried out once only: what got no answer is not sent again, and its outcome is not known.
#[test]
fn a_request_without_an_answer_has_an_unknown_outcome_and_one_that_never_left_has_none() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![ask(1, None)]);
    assert_eq!(requests(&mut solo).len(), 1);
    solo.tick(999);
    assert_eq!((requests(&mut solo).len(), solo.cluster_answers.len()), (0, 0));
    solo.tick(1);
    assert_eq!(solo.cluster_answers, [(Ticket(1), Err(ClusterError::TimedOut))]);
    let mut alone = Solo::new(3, |_| {});
    alone.turn(vec![ask(1, None)]);
    alone.tick(1_000);
    assert_eq!(alone.cluster_answers, [(Ticket(1), Err(ClusterError::NoLeader { leader: None }))]);
}

/// A node knows its leader before its own link to it stands: what finds that link down was sent to nobody, and goes out when it can, once.
#[test]
fn a_request_that_never_left_is_sent_again() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![ask(1, Some(3))]);
    let sent = requests(&mut solo);
    solo.turn(vec![Input::ClusterUnsent { ticket: sent[0].1 }]);
    assert_eq!(requests(&mut solo), [], "not at once");
    solo.tick(100);
    assert_eq!(requests(&mut solo), sent);
    solo.tick(800);
    assert_eq!(requests(&mut solo), [], "the leader may have heard of it");
    let done = Ok(ClusterDone::Leads(NodeId::new(3)));
    solo.turn(vec![reply(PEER, sent[0].1, done.clone())]);
    assert_eq!(solo.cluster_answers, [(Ticket(1), done)]);
    solo.turn(vec![Input::ClusterUnsent { ticket: sent[0].1 }]);
    assert_eq!(solo.cluster_answers.len(), 1, "what is answered is over");
}

/// Of a request that no link has taken the caller is told that nothing has come of it.
#[test]
fn a_request_that_never_left_until_its_time_is_over_was_not_accepted() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![ask(1, None)]);
    let mut ticks = 0;
    while solo.cluster_answers.is_empty() {
        let unsent = requests(&mut solo).into_iter().map(|(_, ticket)| Input::ClusterUnsent { ticket });
        let unsent = unsent.collect();
        solo.turn(unsent);
        solo.tick(1);
        ticks += 1;
        assert!(ticks <= 1_000, "it is given up");
    }
    assert_eq!(solo.cluster_answers, [(Ticket(1), Err(ClusterError::NoLeader { leader: Some(PEER) }))]);
}

#[test]
fn a_leader_that_hands_over_answers_with_who_leads_then() {
    let mut solo = leader_of_three();
    solo.turn(vec![ask(1, Some(2))]);
    let is_word = |(_, message): &&(NodeId, PeerMessage)| matches!(message, PeerMessage::Raft(envelope) if matches!(envelope.message, Message::TimeoutNow { .. }));
    assert_eq!(solo.sent.iter().filter(is_word).count(), 1);
    let last = EntryId::new(1, 2);
    solo.turn(vec![raft(PEER, 2, Message::VoteRequest { last, ground: Ground::Operator })]);
    assert_eq!(solo.cluster_answers, [], "nobody leads yet");
    solo.turn(vec![raft(PEER, 2, Message::Heartbeat { commit: Index(1), round: 1, asks_promise: false })]);
    assert_eq!(solo.cluster_answers, [(Ticket(1), Ok(ClusterDone::Leads(PEER)))]);
}

#[test]
fn what_the_leader_refuses_is_told_with_the_reason() {
    let mut solo = leader_of_three();
    solo.turn(vec![ask(1, Some(1)), ask(2, Some(9)), ask(3, Some(3)), ask(4, Some(2))]);
    let refused = |refusal| Err(ClusterError::Refused(refusal));
    let expected = [
        (Ticket(1), Ok(ClusterDone::Leads(ME))),
        (Ticket(2), refused(ClusterRefusal::NotVoter(NodeId::new(9)))),
        (Ticket(4), refused(ClusterRefusal::TransferUnderWay { to: NodeId::new(3) })),
    ];
    assert_eq!(solo.cluster_answers, expected);
    for _ in 0..10 {
        solo.turn(vec![raft(PEER, 1, heartbeat_answer(1, 0))]);
        solo.tick(100);
    }
    let given_up = refused(ClusterRefusal::NotTakenOver { to: NodeId::new(3) });
    assert_eq!(solo.cluster_answers.last(), Some(&(Ticket(3), given_up)));
}

/// A peer that asks a node which does not lead is told so at once; one that asks the leader gets the leader's answer.
#[test]
fn a_peers_request_is_answered_to_the_peer() {
    let from = NodeId::new(3);
    for (mut solo, error) in [
        (Solo::follower(|_| {}), ClusterError::NoLeader { leader: Some(PEER) }),
        (leader_of_three(), ClusterError::Refused(ClusterRefusal::NotVoter(NodeId::new(9)))),
    ] {
        let request = ClusterRequest::Transfer { to: Some(NodeId::new(9)) };
        let message = PeerMessage::ClusterRequest { ticket: Ticket(8), request };
        solo.turn(vec![Input::Received { from, message }]);
        let reply = PeerMessage::ClusterReply { ticket: Ticket(8), result: Err(error) };
        assert!(solo.sent.contains(&(from, reply)), "{:?}", solo.sent);
    }
}

#[test]
fn no_more_requests_wait_than_their_bound() {
    let mut solo = Solo::new(3, |_| {});
    solo.turn((1..=65).map(|ticket| ask(ticket, None)).collect());
    assert_eq!(solo.cluster_answers, [(Ticket(65), Err(ClusterError::Overloaded))]);
}

/// The whole way of a change at the node that leads: it waits until the leader can, and is answered when the change is committed.
#[test]
fn a_change_of_the_members_is_answered_when_it_is_committed() {
    let mut solo = Solo::leader(|_| {});
    let change = Change::Add { node: None, address: "n2:1".into(), voter: false, replaces: None };
    solo.turn(vec![Input::Cluster { ticket: Ticket(1), request: ClusterRequest::Change(change) }]);
    let done = Ok(ClusterDone::Members { node: Some(PEER) });
    assert_eq!(solo.cluster_answers, [(Ticket(1), done)]);
    let remove = Change::Remove { node: ME };
    solo.turn(vec![Input::Cluster { ticket: Ticket(2), request: ClusterRequest::Change(remove) }]);
    let refused = ClusterError::Refused(ClusterRefusal::Change(ChangeRefusal::LastVoter));
    assert_eq!(solo.cluster_answers.last(), Some(&(Ticket(2), Err(refused))));
}

/// A change behind another one waits its turn; one whose turn does not come is refused.
#[test]
fn a_change_of_the_members_waits_its_turn() {
    let mut solo = leader_of_three();
    for ticket in 1..=2 {
        let change =
            Change::Add { node: None, address: format!("n{ticket}:1"), voter: false, replaces: None };
        solo.turn(vec![Input::Cluster { ticket: Ticket(ticket), request: ClusterRequest::Change(change) }]);
    }
    solo.turn(vec![raft(PEER, 1, Message::AppendResponse { matched: Index(3) })]);
    assert_eq!(solo.cluster_answers, [(Ticket(1), Ok(ClusterDone::Members { node: Some(NodeId::new(4)) }))]);
    solo.tick(100);
    solo.turn(vec![raft(PEER, 1, Message::AppendResponse { matched: Index(4) })]);
    let second = (Ticket(2), Ok(ClusterDone::Members { node: Some(NodeId::new(5)) }));
    assert_eq!(solo.cluster_answers.last(), Some(&second));
    for ticket in 3..=4 {
        let change =
            Change::Add { node: None, address: format!("n{ticket}:1"), voter: false, replaces: None };
        solo.turn(vec![Input::Cluster { ticket: Ticket(ticket), request: ClusterRequest::Change(change) }]);
    }
    for _ in 0..20 {
        solo.turn(vec![raft(PEER, 1, heartbeat_answer(1, 0))]);
        solo.tick(100);
    }
    let refused = ClusterError::Refused(ClusterRefusal::Change(ChangeRefusal::UnderWay));
    assert_eq!(
        solo.cluster_answers[2..],
        [(Ticket(3), Err(ClusterError::TimedOut)), (Ticket(4), Err(refused))]
    );
}

/// A leader that is lost in the middle of a change does not know what becomes of it.
#[test]
fn a_change_of_the_members_whose_leader_is_lost_has_an_unknown_outcome() {
    let mut solo = leader_of_three();
    let change = Change::Add { node: None, address: "n4:1".into(), voter: false, replaces: None };
    solo.turn(vec![Input::Cluster { ticket: Ticket(1), request: ClusterRequest::Change(change) }]);
    assert_eq!(solo.cluster_answers, []);
    solo.turn(vec![raft(PEER, 2, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false })]);
    assert_eq!(solo.cluster_answers, [(Ticket(1), Err(ClusterError::TimedOut))]);
}

/// A node that does not understand what commands mean here could only stop once it has caught up: it is refused before it is anybody's peer, by the
/// leader, which alone knows what is in force.
#[test]
fn a_node_that_understands_too_little_is_refused_by_the_leader() {
    let mut solo = Solo::leader(|_| {});
    let join = |ticket, level_max| {
        let change = Change::Add { node: None, address: "n2:1".into(), voter: false, replaces: None };
        Input::Cluster { ticket: Ticket(ticket), request: ClusterRequest::Join { change, level_max } }
    };
    let level = solo.replica.status().level;
    assert!(level > 0, "something was applied");
    solo.turn(vec![join(1, level - 1)]);
    let refusal = ClusterRefusal::LevelTooLow { level, level_max: level - 1 };
    assert_eq!(solo.cluster_answers, [(Ticket(1), Err(ClusterError::Refused(refusal)))]);
    solo.cluster_answers.clear();
    solo.turn(vec![join(2, level)]);
    solo.apply();
    assert!(matches!(solo.cluster_answers[..], [(Ticket(2), Ok(ClusterDone::Members { node: Some(_) }))]));
}
