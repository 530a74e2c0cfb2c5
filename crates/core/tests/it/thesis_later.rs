//! One test for each rule of the Raft thesis behind chapter 3: who keeps the lead (6.2, 9.6), reads (6.4), and the speed of
//! the normal case (10.2).

use bytes::Bytes;
use quorate_core::message::{Ground, Message};
use quorate_core::ready::{Fact, Input, Refusal};
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, Term};

use crate::cluster::{Cluster, entries_of, heartbeat_answer, id};

/// R05 (openraft, one-way isolation), `NoCheckQuorum`: the leader is heard by all and hears nobody.
#[test]
fn s6_2_a_leader_that_no_quorum_answers_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cuts = [(id(2), id(1)), (id(3), id(1))].into();
    cluster.tick(9);
    assert_eq!(cluster.raft(1).role(), Role::Leader);
    cluster.tick(1);
    assert_eq!(cluster.raft(1).role(), Role::Follower);
    let reason = "no quorum answered within the election timeout";
    assert!(cluster.node(1).facts.contains(&Fact::SteppedDown { term: Term(1), reason }));
    cluster.tick(60);
    let leaders = cluster.leaders();
    assert!(leaders == [2] || leaders == [3], "those who hear each other go on: {leaders:?}");
}

/// A disk that stands while the network works: without this rule the leader would stay in office and answer nobody. Two
/// voters cannot do without either of them, so there it changes nothing.
#[test]
fn s6_2_a_leader_whose_own_disk_stands_makes_room_where_the_others_are_a_quorum() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.settle();
    cluster.tick(200);
    assert_eq!(cluster.leaders(), [1], "an idle disk is no disk that stands");
    cluster.slow_disks.insert(id(1));
    cluster.propose(1, b"a");
    cluster.settle();
    let committed = cluster.raft(1).commit_index();
    assert_eq!(committed, cluster.raft(1).last().index, "the others are a quorum");
    assert!(cluster.node(1).apply_through < committed, "and nobody at node 1 is answered");
    cluster.tick(18);
    assert_eq!(cluster.raft(1).role(), Role::Leader);
    cluster.tick(4);
    assert_eq!(cluster.raft(1).role(), Role::Follower, "the others are seen to do better: it hands over");
    let leaders = cluster.leaders();
    assert!(leaders == [2] || leaders == [3], "{leaders:?}");
    cluster.propose(leaders[0], b"b");
    cluster.settle();
    assert_eq!(cluster.node(leaders[0]).apply_through, cluster.raft(leaders[0]).last().index);

    let mut cluster = Cluster::new(2);
    cluster.elect(1);
    cluster.settle();
    cluster.slow_disks.insert(id(1));
    cluster.propose(1, b"a");
    cluster.tick(200);
    assert_eq!(cluster.leaders(), [1]);
}

/// R04 (openraft #2080): a leader that reaches only the bridge between two halves gives way to who reaches a majority.
#[test]
fn s6_2_a_leader_without_quorum_does_not_keep_a_bridge_node_from_electing_another() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for (a, b) in [(1, 3), (1, 4), (1, 5)] {
        cluster.cuts.extend([(id(a), id(b)), (id(b), id(a))]);
    }
    cluster.tick(100);
    let leaders = cluster.leaders();
    assert_eq!(leaders.len(), 1);
    assert_ne!(leaders, [1]);
    cluster.propose(leaders[0], b"a");
    cluster.settle();
    assert_eq!(cluster.raft(leaders[0]).commit_index(), cluster.raft(leaders[0]).last().index);
}

/// `PreVoteWhileLeaderLives` and 4.2.3: neither a request for a vote nor one for a pre-vote is heard while a leader is, and no term rises.
#[test]
fn s6_2_votes_are_refused_while_a_leader_is_heard() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for receiver in [1, 3] {
        let last = EntryId::new(1, 2);
        for message in
            [Message::PreVoteRequest { last }, Message::VoteRequest { last, ground: Ground::Silence }]
        {
            let answers = cluster.ask(2, receiver, 2, message);
            assert!(matches!(
                answers[0].message,
                Message::PreVoteResponse { granted: false }
                    | Message::VoteResponse { granted: false, wall_ms: 0 }
            ));
            assert_eq!(cluster.raft(receiver).term(), Term(1));
        }
    }
    // Silence for one election timeout opens the ears again.
    cluster.step(3, Input::Tick { elapsed: 10, wall_ms: 0 });
    let last = EntryId::new(1, 2);
    let answers = cluster.ask(2, 3, 2, Message::VoteRequest { last, ground: Ground::Silence });
    assert_eq!(
        (answers[0].term, answers[0].message.clone()),
        (Term(2), Message::VoteResponse { granted: true, wall_ms: 0 })
    );
}

/// An election that an operator asked for is heard in spite of a living leader.
#[test]
fn s6_2_a_forced_election_is_heard_while_a_leader_lives() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.elect(2);
    cluster.tick(3);
    assert_eq!(cluster.leaders(), [2]);
}

/// T47, R39, `ReadBeforeOwnCommit`: what earlier terms committed is known only once an own entry is committed.
#[test]
fn s6_4_a_read_waits_for_the_no_op_of_the_term() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks = [id(2), id(3)].into();
    cluster.step(1, Input::Campaign);
    cluster.settle();
    for _ in 0..2 {
        cluster.persist(2, 9);
        cluster.persist(3, 9);
        while cluster.raft(1).role() != Role::Leader && cluster.deliver_one() {}
    }
    assert_eq!(cluster.raft(1).role(), Role::Leader);
    cluster.step(1, Input::ReadIndex { ticket: 7 });
    cluster.settle();
    cluster.tick(2);
    assert!(cluster.node(1).reads.is_empty(), "a round was answered, but the no-op is not committed");
    cluster.slow_disks.clear();
    cluster.persist(2, 9);
    cluster.settle();
    assert_eq!(cluster.node(1).reads, [(7, Index(2))]);
}

/// R35, `ReadWithoutRound`.
#[test]
fn s6_4_a_leader_that_is_cut_off_serves_no_read_and_refuses_it_when_it_steps_down() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(1);
    cluster.step(1, Input::ReadIndex { ticket: 7 });
    cluster.tick(9);
    assert!(cluster.node(1).reads.is_empty() && cluster.node(1).refused.is_empty());
    cluster.tick(1);
    assert_eq!(cluster.node(1).refused, [(7, Refusal::NotLeader { leader: None })]);
}

/// R38, T48 (etcd #20418): an answer to an earlier round, however late, confirms no later read.
#[test]
fn s6_4_only_a_round_that_began_after_the_read_confirms_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.tick(2);
    cluster.step(1, Input::ReadIndex { ticket: 1 });
    let round_of = |cluster: &mut Cluster| {
        let Message::Heartbeat { round, .. } = cluster.sent().remove(0).message else {
            panic!("no heartbeat")
        };
        round
    };
    let first = round_of(&mut cluster);
    cluster.step(1, Input::ReadIndex { ticket: 2 });
    let second = round_of(&mut cluster);
    assert!(second > first);
    for _ in 0..2 {
        cluster.ask(2, 1, 1, heartbeat_answer(first, 0));
        cluster.ask(3, 1, 1, heartbeat_answer(first, 0));
    }
    assert_eq!(cluster.node(1).reads, [(1, Index(2))]);
    cluster.ask(2, 1, 1, heartbeat_answer(second + 100, 0));
    assert_eq!(cluster.node(1).reads.len(), 1, "a round that never began confirms nothing");
    cluster.ask(2, 1, 1, heartbeat_answer(second, 0));
    assert_eq!(cluster.node(1).reads, [(1, Index(2)), (2, Index(2))]);
}

#[test]
fn s6_4_the_reads_of_a_turn_share_one_round_and_no_entry_is_written() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let last = cluster.raft(1).last();
    cluster.turn(1, (0..100).map(|ticket| Input::ReadIndex { ticket }).collect());
    assert_eq!(cluster.network.len(), 2);
    cluster.settle();
    assert_eq!(cluster.node(1).reads.len(), 100);
    assert_eq!(cluster.raft(1).last(), last);
}

#[test]
fn s6_4_a_follower_refuses_reads_and_proposals_and_names_the_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.step(2, Input::ReadIndex { ticket: 1 });
    cluster.step(2, Input::Propose { ticket: 2, command: Bytes::new(), timestamp_ms: 0 });
    let refusal = Refusal::NotLeader { leader: Some(id(1)) };
    assert_eq!(cluster.node(2).refused, [(1, refusal), (2, refusal)]);
}

#[test]
fn s6_4_a_single_voter_serves_reads_alone() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.step(1, Input::ReadIndex { ticket: 1 });
    assert_eq!(cluster.node(1).reads, [(1, Index(2))]);
}

#[test]
fn s9_6_a_node_that_is_cut_off_raises_no_term_and_disturbs_nobody_when_it_comes_back() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(3);
    cluster.tick(500);
    assert_eq!(cluster.raft(3).term(), Term(1));
    assert_eq!(cluster.raft(3).role(), Role::PreCandidate);
    cluster.heal();
    cluster.tick(50);
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (vec![1], Term(1)));
    assert_eq!(cluster.raft(3).leader(), Some(id(1)));
}

#[test]
fn s9_6_a_pre_vote_changes_nothing_at_the_voter() {
    let mut cluster = Cluster::new(3);
    let before = cluster.raft(3).status();
    let answers = cluster.ask(1, 3, 5, Message::PreVoteRequest { last: EntryId::new(0, 1) });
    assert_eq!(
        (answers[0].term, answers[0].message.clone()),
        (Term(5), Message::PreVoteResponse { granted: true })
    );
    assert_eq!(cluster.raft(3).status(), before);
    let again = cluster.ask(2, 3, 5, Message::PreVoteRequest { last: EntryId::new(0, 1) });
    assert_eq!(
        again[0].message,
        Message::PreVoteResponse { granted: true },
        "it is no vote: others may have one too"
    );
}

/// R02 (openraft #1796, etcd #8243, canonical/raft #142): nodes of a lower term learn the higher one from refusals.
#[test]
fn s9_6_nodes_of_a_lower_term_are_never_stuck_below_a_higher_one() {
    // n1 alone is of term 9, with an old log; n2 and n3 hold more and are of term 2.
    let mut cluster = Cluster::of_terms(&[&[9], &[1, 2], &[1, 2]]);
    let mut other = Cluster::of_terms(&[&[], &[1, 2], &[1, 2]]);
    other.ask(2, 1, 9, Message::VoteResponse { granted: false, wall_ms: 0 });
    // With the newest log the high term wins; without it, one of the others does, in a term above it.
    cluster.tick(80);
    assert_eq!(cluster.leaders(), [1]);
    // n3 is cut off, so that n2 needs n1.
    other.cuts = [(id(3), id(1)), (id(1), id(3)), (id(3), id(2)), (id(2), id(3))].into();
    other.tick(150);
    assert_eq!(other.leaders(), [2]);
    assert!(other.raft(2).term() > Term(9));
}

/// T2, T11: a node with a higher term than a living leader (it really stood for election once) is taken in again.
#[test]
fn s9_6_a_node_of_a_higher_term_and_a_leader_find_together() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(3);
    cluster.step(3, Input::Campaign);
    cluster.settle();
    assert_eq!(cluster.raft(3).term(), Term(2));
    cluster.heal();
    cluster.tick(80);
    assert_eq!(cluster.leaders().len(), 1);
    let leader = cluster.leaders()[0];
    assert!(cluster.numbers().into_iter().all(|number| cluster.raft(number).leader() == Some(id(leader))));
}

/// R03 (openraft #1839): a grant that comes late starts no second campaign.
#[test]
fn s9_6_a_pre_vote_that_comes_late_is_void() {
    let mut cluster = Cluster::new(3);
    while cluster.raft(1).role() != Role::PreCandidate {
        cluster.step(1, Input::Tick { elapsed: 1, wall_ms: 0 });
    }
    cluster.ask(2, 1, 1, Message::PreVoteResponse { granted: true });
    assert_eq!((cluster.raft(1).role(), cluster.raft(1).term()), (Role::Candidate, Term(1)));
    for term in [1, 2] {
        cluster.ask(3, 1, term, Message::PreVoteResponse { granted: true });
        assert_eq!((cluster.raft(1).role(), cluster.raft(1).term()), (Role::Candidate, Term(1)));
    }
}

#[test]
fn s10_2_1_a_leader_sends_before_its_own_disk_is_done_and_followers_alone_can_commit() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_disks = [id(1)].into();
    cluster.propose(1, b"a");
    assert_eq!(cluster.network.len(), 2, "both followers are told at once");
    cluster.settle();
    let status = cluster.raft(1).status();
    assert_eq!((status.commit, status.persisted), (Index(3), Index(2)));
    assert_eq!(status.applied, Index(2), "but the leader applies only what is on its own disk");
    cluster.persist(1, 9);
    assert_eq!(cluster.raft(1).status().applied, Index(3));
}

/// R22 (openraft #2118), T29 (etcd #14370).
#[test]
fn s10_2_1_a_leader_counts_itself_only_once_its_own_write_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_disks = [id(1)].into();
    cluster.cut(3);
    cluster.slow_disks.insert(id(2));
    cluster.propose(1, b"a");
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(2));
    cluster.persist(2, 9);
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(2), "one disk of three");
    cluster.persist(1, 9);
    assert_eq!(cluster.raft(1).commit_index(), Index(3), "two of three");
}

#[test]
fn s10_2_2_the_proposals_of_a_turn_are_one_write_and_one_message_for_each_peer() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.slow_disks = [id(1)].into();
    let proposal = |ticket| Input::Propose { ticket, command: Bytes::from_static(b"a"), timestamp_ms: 0 };
    cluster.turn(1, (0..100).map(proposal).collect());
    assert_eq!(cluster.node(1).writes.len(), 1);
    let lens: Vec<usize> = cluster.sent().into_iter().map(|envelope| entries_of(&envelope).len()).collect();
    assert_eq!(lens, [100, 100]);
}

#[test]
fn s10_2_2_a_leader_sends_on_before_earlier_messages_are_answered() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, b"a");
    cluster.propose(1, b"bb");
    let requests = cluster.sent();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(
        |request| matches!(&request.message, Message::AppendRequest { entries, .. } if entries.len() == 1)
    ));
    let mut reversed = requests;
    reversed.reverse();
    for request in reversed {
        cluster.deliver(request);
    }
    cluster.settle();
    cluster.tick(4);
    assert_eq!(cluster.raft(1).commit_index(), Index(4), "whatever order they come in");
}

/// Timestamps are the only clock that `apply` sees: they never run backwards, whatever the clocks of the leaders say.
#[test]
fn s6_3_timestamps_never_fall_along_the_log() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for (number, timestamp_ms) in [(1, 500), (1, 100), (2, 50), (2, 600)] {
        if cluster.leaders() != [number] {
            cluster.elect(number);
        }
        let (other, term) = (3, cluster.raft(number).term().0);
        let wall_ms = timestamp_ms;
        cluster.step(number, Input::Tick { elapsed: 1, wall_ms });
        cluster.ask(other, number, term, heartbeat_answer(0, wall_ms));
        cluster.step(number, Input::Propose { ticket: 0, command: Bytes::new(), timestamp_ms });
        cluster.settle();
    }
    let timestamps: Vec<u64> = cluster.node(2).disk.entries.iter().map(|entry| entry.timestamp_ms).collect();
    assert_eq!(timestamps, [0, 0, 500, 500, 500, 500, 600]);
}
