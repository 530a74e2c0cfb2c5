//! Changing the members (thesis chapter 4). The races stand in the golden scripts and in the simulator; here stands what is allowed,
//! one rule for each test.

use quorate_core::entry::Membership;
use quorate_core::membership::{Change, ChangeRefusal, MEMBERS_COUNT_MAX};
use quorate_core::message::{Ground, Message};
use quorate_core::ready::{ChangeEnd, Fact, Input};
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, NodeId, Term};

use crate::cluster::{Cluster, id};

fn add(node: u64) -> Change {
    Change::Add { node: Some(id(node)), address: format!("n{node}:1"), voter: true, replaces: None }
}

fn learner(node: u64) -> Change {
    Change::Add { node: Some(id(node)), address: format!("n{node}:1"), voter: false, replaces: None }
}

fn remove(node: u64) -> Change {
    Change::Remove { node: id(node) }
}

/// Asks a node for a change and lets time pass. The answer, if there is one.
fn change(cluster: &mut Cluster, at: u64, change: Change) -> Option<ChangeEnd> {
    cluster.step(at, Input::Change { ticket: 5, change });
    cluster.settle();
    cluster.tick(6);
    let node = cluster.nodes.get_mut(&id(at)).expect("it is there");
    assert!(node.changes.len() <= 1, "each is answered once");
    node.changes.pop().map(|(ticket, end)| {
        assert_eq!(ticket, 5);
        end
    })
}

fn done(node: Option<u64>) -> Option<ChangeEnd> {
    Some(ChangeEnd::Done { node: node.map(id) })
}

fn refused(refusal: ChangeRefusal) -> Option<ChangeEnd> {
    Some(ChangeEnd::Refused(refusal))
}

fn voters(cluster: &Cluster, at: u64) -> Vec<u64> {
    let membership = cluster.raft(at).membership();
    assert!(!membership.is_joint(), "the change is complete");
    membership.voters.iter().map(|node| node.get()).collect()
}

/// `size` voters, of which node 1 leads.
fn led_by_one(size: u64) -> Cluster {
    let mut cluster = Cluster::new(size);
    cluster.elect(1);
    cluster.tick(4);
    cluster
}

#[test]
fn s4_2_1_a_new_node_catches_up_as_a_learner_and_is_promoted_by_itself() {
    let mut cluster = led_by_one(3);
    for _ in 0..5 {
        cluster.propose(1, b"a");
    }
    cluster.settle();
    assert_eq!(change(&mut cluster, 1, add(4)), done(Some(4)));
    assert_eq!(voters(&cluster, 1), [1, 2, 3], "nobody is there yet, so nobody is promoted");
    cluster.join(4);
    cluster.tick(30);
    for number in 1..=4 {
        assert_eq!(voters(&cluster, number), [1, 2, 3, 4]);
        assert!(cluster.raft(number).membership().learners.is_empty());
    }
    assert_eq!(cluster.terms(4), cluster.terms(1));
    let joint = |fact: &Fact| matches!(fact, Fact::Members { members, .. } if members.is_joint());
    assert!(cluster.node(4).facts.iter().any(joint), "it became a voter through a joint membership");
}

#[test]
fn s4_2_1_a_learner_that_is_not_to_vote_stays_one_until_it_is_promoted() {
    let mut cluster = led_by_one(3);
    cluster.join(4);
    assert_eq!(change(&mut cluster, 1, learner(4)), done(Some(4)));
    cluster.tick(30);
    assert_eq!(voters(&cluster, 4), [1, 2, 3]);
    cluster.step(4, Input::Campaign);
    assert_eq!(cluster.raft(4).role(), Role::Follower, "a learner does not stand for election");
    assert_eq!(change(&mut cluster, 1, Change::Promote { node: id(4) }), done(None));
    cluster.tick(10);
    assert_eq!(voters(&cluster, 4), [1, 2, 3, 4]);
    assert_eq!(change(&mut cluster, 1, Change::Promote { node: id(4) }), done(None), "all is as wanted");
}

/// A learner that catches up too slowly for an election timeout would, as a voter, stop the commits (figure 4.4).
#[test]
fn s4_2_1_who_does_not_catch_up_is_not_promoted() {
    let mut cluster = led_by_one(3);
    cluster.join(4);
    cluster.slow_disks.insert(id(4));
    change(&mut cluster, 1, add(4));
    cluster.tick(50);
    assert_eq!(voters(&cluster, 1), [1, 2, 3]);
    cluster.slow_disks.clear();
    cluster.persist(4, usize::MAX);
    cluster.tick(30);
    assert_eq!(voters(&cluster, 1), [1, 2, 3, 4]);
}

#[test]
fn s4_3_a_node_is_replaced_in_one_request() {
    let mut cluster = led_by_one(3);
    cluster.crash(3);
    cluster.join(4);
    let replace = Change::Add { node: None, address: "n4:1".into(), voter: true, replaces: Some(id(3)) };
    assert_eq!(change(&mut cluster, 1, replace), done(Some(4)), "without an id it gets the next one");
    cluster.tick(30);
    assert_eq!(voters(&cluster, 4), [1, 2, 4]);
}

/// T5, T18 (etcd #3699, #10563; openraft #1796): a leader that is removed commits that, leads no further, and leaves a leader behind.
#[test]
fn s4_2_2_a_removed_leader_commits_its_removal_and_hands_over() {
    let mut cluster = led_by_one(3);
    let before = cluster.raft(1).term();
    assert_eq!(change(&mut cluster, 1, remove(1)), done(None));
    assert_eq!(cluster.raft(1).role(), Role::Follower);
    let leaders = cluster.leaders();
    assert_eq!(leaders.len(), 1);
    assert_eq!(cluster.raft(leaders[0]).term(), before.next(), "no election timeout has passed");
    assert_eq!(voters(&cluster, leaders[0]), [2, 3]);
    cluster.tick(100);
    assert_eq!(cluster.leaders(), leaders, "who was removed disturbs nobody");
}

/// T5 (etcd #11038): from two to one, whoever goes.
#[test]
fn s4_2_2_two_become_one() {
    for gone in [1, 2] {
        let mut cluster = led_by_one(2);
        change(&mut cluster, 1, remove(gone));
        cluster.tick(60);
        let left = 3 - gone;
        assert_eq!(cluster.leaders(), [left]);
        assert_eq!(voters(&cluster, left), [left]);
        cluster.propose(left, b"a");
        cluster.settle();
        assert_eq!(cluster.raft(left).commit_index(), cluster.raft(left).last().index);
    }
}

#[test]
fn s4_1_a_removed_node_learns_of_it_and_stands_for_no_election() {
    let mut cluster = led_by_one(4);
    assert_eq!(change(&mut cluster, 1, remove(4)), done(None));
    assert!(!cluster.raft(4).membership().is_voter(id(4)), "it was sent the entry that says so");
    let term = cluster.raft(1).term();
    cluster.tick(100);
    assert_eq!((cluster.leaders(), cluster.raft(4).term()), (vec![1], term));
    let peers = cluster.raft(1).status().peers;
    assert_eq!(peers.len(), 2, "and is forgotten after a while");
}

/// Whoever joins goes through a history in which it was no member yet. A node that took that for its removal said good-bye to all others and, ten
/// seconds later, cut its links for good, while it had become a voter: what it was asked from then on was never answered.
#[test]
fn s4_1_a_node_that_joins_was_not_removed_by_members_of_before() {
    let mut cluster = led_by_one(3);
    for number in 1..=3 {
        let node = cluster.nodes.get_mut(&id(number)).expect("it is there");
        // A few entries for each message.
        node.config.append_bytes_max = 200;
        cluster.crash(number);
        cluster.restart(number);
    }
    cluster.elect(1);
    for _ in 0..50 {
        cluster.propose(1, b"a");
    }
    cluster.settle();
    assert_eq!(change(&mut cluster, 1, add(4)), done(Some(4)));
    cluster.join(4);
    let mut before_it = 0;
    for _ in 0..30 {
        for number in 1..=4 {
            cluster.step(number, Input::Tick { elapsed: 1, wall_ms: 0 });
        }
        while cluster.deliver_one() {
            let joiner = cluster.raft(4);
            before_it += usize::from(
                joiner.commit_index() >= Index(1) && !joiner.membership().members().contains(&id(4)),
            );
            assert!(!joiner.was_removed(), "{}", joiner.status());
        }
    }
    assert!(before_it > 0, "it must have been where it was no member yet");
    assert!(cluster.raft(4).membership().is_voter(id(4)));
    assert_eq!(change(&mut cluster, 1, remove(4)), done(None));
    assert!(cluster.raft(4).was_removed(), "now it was");
}

/// An id is given once: neither that of a removed node nor one below any that was given comes back, however long ago.
#[test]
fn s4_ids_are_never_reused() {
    let mut cluster = led_by_one(3);
    cluster.join(7);
    assert_eq!(change(&mut cluster, 1, learner(7)), done(Some(7)));
    assert_eq!(change(&mut cluster, 1, remove(7)), done(None));
    for node in [2, 7, 5] {
        let refusal = match node {
            2 => ChangeRefusal::AlreadyMember(id(2)),
            _ => ChangeRefusal::IdUsed { node: id(node), next: id(8) },
        };
        assert_eq!(change(&mut cluster, 1, learner(node)), refused(refusal));
    }
    let any = Change::Add { node: None, address: "x:1".into(), voter: false, replaces: None };
    assert_eq!(change(&mut cluster, 1, any), done(Some(8)));
    assert_eq!(change(&mut cluster, 1, remove(8)), done(None));
    cluster.crash(2);
    cluster.restart(2);
    cluster.elect(2);
    let any = Change::Add { node: None, address: "x:1".into(), voter: false, replaces: None };
    assert_eq!(change(&mut cluster, 2, any), done(Some(9)), "also after a restart, under another leader");
}

#[test]
fn s4_what_cannot_be_is_refused_with_the_reason() {
    let mut cluster = led_by_one(3);
    cluster.join(4);
    change(&mut cluster, 1, learner(4));
    let of =
        |node, address: &str| Change::Add { node, address: address.into(), voter: false, replaces: None };
    let replaces = Change::Add { node: None, address: "y:1".into(), voter: true, replaces: Some(id(4)) };
    for (change_wanted, refusal) in [
        (of(None, "n4:1"), ChangeRefusal::AddressUsed { by: id(4) }),
        (of(None, ""), ChangeRefusal::AddressInvalid),
        (of(None, &"x".repeat(256)), ChangeRefusal::AddressInvalid),
        (of(Some(id(4)), "other:1"), ChangeRefusal::AlreadyMember(id(4))),
        (replaces, ChangeRefusal::NotMember(id(4))),
        (remove(9), ChangeRefusal::NotMember(id(9))),
        (Change::Promote { node: id(9) }, ChangeRefusal::NotMember(id(9))),
    ] {
        assert_eq!(change(&mut cluster, 1, change_wanted), refused(refusal));
    }
    assert_eq!(change(&mut cluster, 1, of(Some(id(4)), "n4:1")), done(Some(4)), "asked for twice, done once");
    let not_leader = ChangeRefusal::NotLeader { leader: Some(id(1)) };
    assert_eq!(change(&mut cluster, 2, remove(3)), refused(not_leader));
    let mut alone = led_by_one(1);
    assert_eq!(change(&mut alone, 1, remove(1)), refused(ChangeRefusal::LastVoter));
}

/// A change whose voters could decide nothing is never begun: it could neither be completed nor taken back.
#[test]
fn s4_a_change_without_a_living_quorum_is_refused() {
    let mut cluster = led_by_one(3);
    cluster.crash(3);
    cluster.tick(12);
    let silent = vec![id(3)];
    assert_eq!(change(&mut cluster, 1, remove(2)), refused(ChangeRefusal::NoQuorum { silent }));
    assert_eq!(change(&mut cluster, 1, remove(3)), done(None), "the one that is gone may go");
    assert_eq!(voters(&cluster, 1), [1, 2]);
}

/// One change at a time (thesis 4.1): the second is refused until the first is committed, also where both would be harmless.
#[test]
fn s4_1_one_change_at_a_time() {
    let mut cluster = led_by_one(3);
    cluster.cut(1);
    cluster.step(1, Input::Change { ticket: 1, change: learner(4) });
    cluster.step(1, Input::Change { ticket: 2, change: learner(5) });
    assert_eq!(cluster.node(1).changes, [(2, ChangeEnd::Refused(ChangeRefusal::UnderWay))]);
    cluster.heal();
    cluster.tick(4);
    assert_eq!(cluster.node(1).changes.last(), Some(&(1, ChangeEnd::Done { node: Some(id(4)) })));
}

/// The bug of 2015: a leader that has committed nothing of its own term does not know which membership is committed.
#[test]
fn s4_1_no_change_before_an_entry_of_the_own_term_is_committed() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks.insert(id(1));
    cluster.step(1, Input::Campaign);
    cluster.persist(1, 1);
    while cluster.raft(1).role() != Role::Leader {
        assert!(cluster.deliver_one());
    }
    cluster.network.clear();
    cluster.step(1, Input::Change { ticket: 1, change: learner(4) });
    assert_eq!(cluster.node(1).changes, [(1, ChangeEnd::Refused(ChangeRefusal::NotYet))]);
}

/// T6 (etcd `campaign_learner_must_vote`): a node votes by its term and its log, not by what it knows of the members.
#[test]
fn s4_a_node_that_knows_of_no_members_votes() {
    let mut cluster = Cluster::new(3);
    cluster.join(4);
    let last = EntryId::new(0, 1);
    let sent = cluster.ask(1, 4, 1, Message::VoteRequest { last, ground: Ground::Silence });
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].message, Message::VoteResponse { granted: true, wall_ms: 0 });
    cluster.tick(50);
    assert_eq!(cluster.raft(4).term(), Term(1), "and it stands for no election itself");
    assert_eq!(cluster.raft(4).commit_index(), Index(0));
}

#[test]
fn s4_no_more_members_than_the_bound() {
    let mut membership = Membership::of_voters([id(1)]);
    for _ in 1..MEMBERS_COUNT_MAX {
        let address = format!("n{}:1", membership.id_last() + 1);
        let change = Change::Add { node: None, address, voter: false, replaces: None };
        membership = membership.after(&change).expect("there is room").expect("it is new");
    }
    assert_eq!(membership.members().len(), MEMBERS_COUNT_MAX);
    let change = Change::Add { node: None, address: "one more:1".into(), voter: false, replaces: None };
    assert_eq!(membership.after(&change), Err(ChangeRefusal::TooMany));
}

/// Whatever is asked in whatever order: each membership follows from the one before it, and an id that was given is never given again.
#[test]
fn s4_3_every_way_through_the_changes_is_sound() {
    let mut seen = std::collections::BTreeSet::new();
    let mut open = vec![Membership::of_voters([id(1), id(2)])];
    while let Some(membership) = open.pop() {
        if membership.id_last() > 5 {
            continue;
        }
        let nodes = || (1..=6).map(NodeId::new);
        let adds = [None, Some(id(1))].map(|replaces| {
            let address = format!("n{}:1", membership.id_last() + 1);
            Change::Add { node: None, address, voter: true, replaces }
        });
        let changes = nodes().map(|node| Change::Remove { node });
        let changes = changes.chain(nodes().map(|node| Change::Promote { node })).chain(adds);
        let mut following: Vec<Membership> =
            changes.filter_map(|change| membership.after(&change).ok().flatten()).collect();
        if membership.is_joint() {
            assert!(following.is_empty(), "one change at a time");
            following.push(membership.left());
        } else {
            following.extend(membership.promotions.keys().map(|learner| membership.promoted(*learner)));
        }
        for next in following {
            assert!(!next.voters.is_empty() && next.learners.is_disjoint(&next.voters));
            assert!(next.voters == membership.voters || next.is_joint() != membership.is_joint());
            let fresh = next.members().difference(&membership.members()).copied().collect::<Vec<_>>();
            assert!(fresh.iter().all(|node| node.get() > membership.id_last()));
            let mut bytes = bytes::BytesMut::new();
            next.encode(&mut bytes);
            assert_eq!(Membership::decode(&mut bytes.clone().freeze()), Ok(next.clone()));
            if seen.insert(bytes) {
                open.push(next);
            }
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
}
