//! What a voter gives a candidate whose log is older (thesis 3.6.1; Omni-Paxos' constrained shape).

use quorate_core::entry::{Entry, Payload};
use quorate_core::membership::Change;
use quorate_core::message::Message;
use quorate_core::ready::{Fact, Input};
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, Term};

use crate::cluster::{Cluster, id};

/// Cuts all links of five nodes but those of node 2, and node 1 from all.
fn constrain(cluster: &mut Cluster) {
    cluster.cut(1);
    for (a, b) in [(3, 4), (3, 5), (4, 5)] {
        cluster.cuts.extend([(id(a), id(b)), (id(b), id(a))]);
    }
}

/// T10: node 2 alone hears a majority, and lacks what was committed last; who holds it hears nobody but node 2.
#[test]
fn s3_6_1_a_candidate_that_lacks_entries_is_given_them_and_wins() {
    let mut cluster = Cluster::new(5).donating();
    cluster.elect(1);
    cluster.tick(4);
    cluster.cuts = [(id(1), id(2))].into();
    cluster.propose(1, b"committed without node 2");
    cluster.settle();
    let committed = cluster.raft(1).commit_index();
    assert!(cluster.raft(2).last().index < committed);
    constrain(&mut cluster);
    cluster.tick(60);
    assert_eq!(cluster.raft(2).role(), Role::Leader);
    assert!(cluster.node(2).facts.iter().any(|fact| matches!(fact, Fact::Adopted { .. })));
    assert!(cluster.raft(2).commit_index() > committed, "and it commits what it was given");
    cluster.check_logs_match();
}

/// The requests for votes that name the new end of the log wait until it is on the disk, as every request does.
#[test]
fn s3_8_what_a_candidate_was_given_is_durable_before_it_asks_again() {
    let mut cluster = Cluster::of_terms(&[&[1], &[1, 1], &[1, 1]]).donating();
    cluster.slow_disks = [id(1)].into();
    cluster.step(1, Input::Campaign);
    cluster.persist(1, usize::MAX);
    cluster.settle();
    assert_eq!(cluster.raft(1).last(), EntryId::new(1, 3));
    assert_eq!(cluster.raft(1).role(), Role::Candidate, "nobody was asked yet");
    cluster.persist(1, usize::MAX);
    cluster.settle();
    assert_eq!(cluster.raft(1).role(), Role::Leader);
    assert_eq!(cluster.terms(1)[..3], [0, 1, 1]);
}

/// What the candidate holds is never cut for what it is given, though the other log is newer: who counts its copy is not known.
#[test]
fn s3_6_1_nothing_is_cut_for_what_a_candidate_is_given() {
    let mut cluster = Cluster::of_terms(&[&[1], &[2, 2], &[2, 2]]).donating();
    cluster.step(1, Input::Campaign);
    cluster.settle();
    assert_eq!(cluster.raft(1).role(), Role::Follower);
    assert_eq!(cluster.terms(1), [0, 1], "its own entry stays");
}

/// R18: what does not fit is a refusal; a leader, and who follows one, takes nothing.
#[test]
fn s3_5_entries_that_do_not_follow_the_log_are_not_taken() {
    let entry =
        |term, index| Entry { id: EntryId::new(term, index), timestamp_ms: 0, payload: Payload::Noop };
    let donation = |prev, entries: &[Entry]| Message::Donation { prev, entries: entries.to_vec() };
    let mut cluster = Cluster::of_terms(&[&[1], &[1], &[1]]).donating();
    cluster.cut(1);
    cluster.step(1, Input::Campaign);
    for (prev, entries) in [
        (EntryId::new(1, 3), vec![entry(1, 4)]),
        (EntryId::new(1, 2), vec![entry(1, 4)]),
        (EntryId::new(1, 2), vec![entry(9, 3)]),
        (EntryId::new(1, 2), vec![]),
    ] {
        cluster.cuts.clear();
        cluster.ask(2, 1, 2, donation(prev, &entries));
        assert_eq!(cluster.raft(1).last().index, Index(2), "{prev} {entries:?}");
    }
    let mut cluster = Cluster::new(3).donating();
    cluster.elect(1);
    for node in [1, 3] {
        cluster.ask(2, node, 1, donation(EntryId::new(1, 2), &[entry(1, 3)]));
        assert_eq!(cluster.raft(node).last(), EntryId::new(1, 2));
    }
}

/// A word from an older term is as good: the entries are what a leader made. It moves nobody to another term.
#[test]
fn s3_5_what_is_given_may_come_from_an_older_term() {
    let mut cluster = Cluster::of_terms(&[&[1], &[1, 1], &[1, 1]]).donating();
    cluster.cut(1);
    cluster.step(1, Input::Campaign);
    cluster.step(1, Input::Campaign);
    cluster.heal();
    let term = cluster.raft(1).term();
    let given = cluster.node(2).disk.entries[2].clone();
    cluster.ask(2, 1, 1, Message::Donation { prev: EntryId::new(1, 2), entries: vec![given] });
    assert_eq!((cluster.raft(1).last(), cluster.raft(1).term()), (EntryId::new(1, 3), term));
    assert!(term > Term(1));
}

/// Seed 884000170 of the simulator: among what a pre-candidate is given is the membership without it. It stands no longer, whatever was granted
/// before; to go on ended in an assertion.
#[test]
fn s4_2_2_a_candidate_that_is_given_its_removal_stands_no_longer() {
    for forced in [false, true] {
        let mut cluster = Cluster::new(4).donating();
        cluster.elect(1);
        cluster.tick(4);
        cluster.cut(4);
        cluster.step(1, Input::Change { ticket: 1, change: Change::Remove { node: id(4) } });
        cluster.tick(40);
        // While the newest membership is not known to be committed, a voter of the one before it may stand as well.
        let learner = Change::Add { node: None, address: "five".to_owned(), voter: false, replaces: None };
        cluster.step(1, Input::Change { ticket: 2, change: learner });
        cluster.tick(10);
        assert!(!cluster.raft(1).membership().is_voter(id(4)));
        cluster.heal();
        cluster.crash(1);
        cluster.network.clear();
        for number in [2, 3] {
            cluster.step(number, Input::Tick { elapsed: 10, wall_ms: 0 });
        }
        cluster.network.clear();
        let input = if forced { Input::Campaign } else { Input::Tick { elapsed: 20, wall_ms: 0 } };
        cluster.step(4, input);
        let term = cluster.raft(4).term();
        let prev = cluster.raft(4).last();
        let held = cluster.node(2).disk.entries.iter();
        let entries = held.filter(|entry| entry.id.index > prev.index).cloned().collect();
        cluster.ask(2, 4, 1, Message::Donation { prev, entries });
        // What was granted before comes only now.
        for voter in [2, 3] {
            let granted = Message::PreVoteResponse { granted: true };
            cluster.ask(voter, 4, term.next().0, granted);
        }
        assert_eq!(cluster.raft(4).role(), Role::Follower, "forced: {forced}");
        assert!(!cluster.raft(4).membership().is_voter(id(4)), "it learned of its removal; forced: {forced}");
    }
}
