//! Handing the leadership over (thesis 3.10). The stories that need a page stand in the golden scripts.

use bytes::Bytes;
use quorate_core::message::Message;
use quorate_core::ready::{Input, Refusal, TransferEnd, TransferRefusal};
use quorate_core::status::Role;
use quorate_core::types::Term;

use crate::cluster::{Cluster, id};

/// Asks `from` to hand over to `to`; the ticket is 7.
fn transfer(cluster: &mut Cluster, from: u64, to: Option<u64>) {
    cluster.step(from, Input::Transfer { ticket: 7, to: to.map(id) });
}

/// A cluster of three in which node 1 leads and all have all.
fn led_by_one() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.tick(4);
    cluster
}

/// The whole of it: no election timeout passes, and the old leader follows.
#[test]
fn s3_10_the_leadership_moves_at_once_to_a_node_that_has_caught_up() {
    for to in [Some(3), None] {
        let mut cluster = led_by_one();
        transfer(&mut cluster, 1, to);
        cluster.settle();
        let leader = to.unwrap_or(2);
        assert_eq!(cluster.leaders(), [leader], "without a name the lowest of equals is chosen");
        assert_eq!(cluster.raft(leader).term(), Term(2));
        assert_eq!(cluster.node(1).transfers, [(7, TransferEnd::SteppedDown { from: Term(1) })]);
        cluster.propose(leader, b"a");
        cluster.settle();
        cluster.tick(4);
        assert_eq!(cluster.raft(1).commit_index(), cluster.raft(leader).last().index);
    }
}

/// T12: a successor that lacks entries would lose its election, and the cluster its leader. So it is told only once it holds
/// everything, and meanwhile nothing is added.
#[test]
fn s3_10_the_successor_is_brought_up_to_date_before_it_is_told() {
    let mut cluster = led_by_one();
    cluster.cut(3);
    cluster.propose(1, b"a");
    cluster.settle();
    transfer(&mut cluster, 1, Some(3));
    let told = |cluster: &mut Cluster| {
        let sent = cluster.sent();
        let count = sent.iter().filter(|sent| matches!(sent.message, Message::TimeoutNow { .. })).count();
        cluster.network.extend(sent);
        count
    };
    assert_eq!(told(&mut cluster), 0);
    cluster.propose(1, b"not now");
    assert_eq!(cluster.node(1).refused, [(7, Refusal::HandingOver)]);
    cluster.heal();
    cluster.tick(6);
    assert_eq!(cluster.leaders(), [3]);
    assert_eq!(cluster.terms(3), cluster.terms(1));
}

/// The bound of thesis 3.10: one election timeout, then the old leader goes on and takes proposals again.
#[test]
fn s3_10_a_transfer_that_comes_to_nothing_ends_after_an_election_timeout() {
    let mut cluster = led_by_one();
    cluster.cut(3);
    transfer(&mut cluster, 1, Some(3));
    cluster.tick(9);
    cluster.propose(1, b"early");
    assert_eq!(cluster.node(1).refused, [(5, Refusal::HandingOver)]);
    cluster.tick(1);
    assert_eq!(cluster.node(1).transfers, [(7, TransferEnd::GivenUp { to: id(3) })]);
    cluster.propose(1, b"late");
    cluster.settle();
    assert_eq!(cluster.leaders(), [1]);
    assert_eq!(cluster.raft(1).commit_index(), cluster.raft(1).last().index);
}

/// T12: what cannot be, is refused at once, each with its own reason.
#[test]
fn s3_10_a_transfer_that_cannot_be_is_refused_with_the_reason() {
    let refused = |cluster: &mut Cluster, from: u64, to: Option<u64>| {
        transfer(cluster, from, to);
        let (ticket, end) = cluster.nodes.get_mut(&id(from)).expect("it is there").transfers.remove(0);
        assert_eq!(ticket, 7);
        match end {
            TransferEnd::Refused(refusal) => refusal,
            TransferEnd::SteppedDown { .. } | TransferEnd::GivenUp { .. } => panic!("it began: {end:?}"),
        }
    };
    let mut cluster = led_by_one();
    let not_leader = TransferRefusal::NotLeader { leader: Some(id(1)) };
    assert_eq!(refused(&mut cluster, 2, Some(3)), not_leader);
    assert_eq!(refused(&mut cluster, 1, Some(1)), TransferRefusal::LeadsAlready);
    assert_eq!(refused(&mut cluster, 1, Some(4)), TransferRefusal::NotVoter { to: id(4) });
    cluster.cut(3);
    transfer(&mut cluster, 1, Some(3));
    assert_eq!(refused(&mut cluster, 1, Some(2)), TransferRefusal::UnderWay { to: id(3) });
    assert_eq!(refused(&mut cluster, 1, None), TransferRefusal::UnderWay { to: id(3) });
    let mut alone = Cluster::new(1);
    alone.elect(1);
    assert_eq!(refused(&mut alone, 1, None), TransferRefusal::NobodyElse);
}

/// Nobody is chosen that was not heard for an election timeout: the others may be gone.
#[test]
fn s3_10_a_successor_is_chosen_among_those_that_are_heard() {
    let mut cluster = led_by_one();
    cluster.cut(2);
    cluster.tick(12);
    transfer(&mut cluster, 1, None);
    cluster.settle();
    assert_eq!(cluster.leaders(), [3]);
}

/// The word of anybody else but the leader of the term moves nobody: neither an old one nor one that is made up.
#[test]
fn s3_10_only_the_leader_that_is_followed_can_ask_for_an_election() {
    let mut cluster = led_by_one();
    assert_eq!(cluster.ask(3, 2, 1, Message::TimeoutNow { round: 1 }), []);
    assert_eq!(cluster.ask(2, 1, 1, Message::TimeoutNow { round: 1 }), []);
    assert_eq!(cluster.ask(1, 2, 0, Message::TimeoutNow { round: 1 }), []);
    assert_eq!(cluster.leaders(), [1]);
    assert_eq!(cluster.raft(2).role(), Role::Follower);
    // One that comes twice: the first moved the node to another term, in which the second means nothing.
    cluster.step(1, Input::Transfer { ticket: 7, to: Some(id(2)) });
    let word = cluster.sent().pop().expect("the successor is told");
    cluster.deliver(word.clone());
    cluster.settle();
    assert_eq!(cluster.leaders(), [2]);
    cluster.deliver(word);
    cluster.settle();
    assert_eq!((cluster.leaders(), cluster.raft(2).term()), (vec![2], Term(2)));
}

/// A lost word is said again with the next heartbeat.
#[test]
fn s3_10_the_successor_is_told_again_when_the_word_was_lost() {
    let mut cluster = led_by_one();
    transfer(&mut cluster, 1, Some(2));
    cluster.network.clear();
    cluster.tick(2);
    assert_eq!(cluster.leaders(), [2]);
}

/// Reads go on meanwhile: they rest on a quorum, which a successor must win before anything can be hidden from them.
#[test]
fn s3_10_reads_are_served_while_the_leadership_is_handed_over() {
    let mut cluster = led_by_one();
    cluster.cuts.insert((id(1), id(3)));
    transfer(&mut cluster, 1, Some(3));
    cluster.step(1, Input::ReadIndex { ticket: 9 });
    cluster.settle();
    assert_eq!(cluster.node(1).reads, [(9, cluster.raft(1).commit_index())]);
}

/// A leader that loses its quorum in the middle ends the transfer: whoever asked is told once.
#[test]
fn s3_10_a_transfer_ends_with_the_leadership() {
    let mut cluster = led_by_one();
    cluster.cut(1);
    cluster.tick(5);
    transfer(&mut cluster, 1, Some(3));
    cluster.tick(6);
    assert_eq!(cluster.raft(1).role(), Role::Follower);
    assert_eq!(cluster.node(1).transfers, [(7, TransferEnd::SteppedDown { from: Term(1) })]);
    let ticket = 1;
    cluster.step(1, Input::Propose { ticket, command: Bytes::from_static(b"x"), timestamp_ms: 0 });
    assert_eq!(cluster.node(1).refused, [(1, Refusal::NotLeader { leader: None })]);
}
