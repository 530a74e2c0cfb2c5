//! One test for each rule of chapter 3 of the Raft thesis, named by section.

use bytes::Bytes;
use quorate_core::entry::{Entry, Payload};
use quorate_core::message::{Ground, Message};
use quorate_core::ready::{Fact, Input};
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, Term};

use crate::cluster::{Cluster, heartbeat_answer, id, small_config};

/// An entry with a command, for requests that a test makes by hand.
pub(crate) fn entry(term: u64, index: u64) -> Entry {
    Entry {
        id: EntryId::new(term, index),
        timestamp_ms: 0,
        payload: Payload::Command(Bytes::from_static(b"by hand")),
    }
}

#[test]
fn s3_3_a_newer_term_is_adopted_and_a_leader_steps_down_for_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.ask(2, 1, 7, heartbeat_answer(0, 0));
    assert_eq!((cluster.raft(1).role(), cluster.raft(1).term()), (Role::Follower, Term(7)));
    assert_eq!(cluster.node(1).disk.hard_state.term, Term(7));
}

#[test]
fn s3_3_a_request_of_an_older_term_is_refused_with_the_newer_one_and_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.elect(2);
    let before = cluster.raft(3).status();
    for message in [
        Message::VoteRequest { last: EntryId::new(1, 99), ground: Ground::Operator },
        Message::PreVoteRequest { last: EntryId::new(1, 99) },
        Message::AppendRequest { prev: EntryId::new(0, 1), entries: vec![entry(1, 2)], commit: Index(2) },
        Message::Heartbeat { commit: Index(9), round: 1, asks_promise: false },
    ] {
        let answers = cluster.ask(1, 3, 1, message.clone());
        assert_eq!(answers.len(), 1, "{message:?}");
        assert_eq!((answers[0].to, answers[0].term), (id(1), Term(2)), "{message:?}");
        assert_eq!(cluster.raft(3).status(), before, "{message:?}");
    }
}

#[test]
fn s3_3_an_answer_of_an_older_term_is_dropped() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.elect(2);
    cluster.elect(1);
    let before = cluster.raft(1).status();
    for message in [
        Message::VoteResponse { granted: true, wall_ms: 0 },
        Message::PreVoteResponse { granted: false },
        Message::AppendResponse { matched: Index(99) },
        Message::AppendRejected { prev: Index(2), hint: EntryId::ZERO },
        heartbeat_answer(99, 0),
    ] {
        assert!(cluster.ask(3, 1, 2, message).is_empty());
        assert_eq!(cluster.raft(1).status(), before);
    }
}

#[test]
fn s3_4_a_node_starts_as_follower_of_nobody() {
    let cluster = Cluster::new(3);
    let status = cluster.raft(1).status();
    assert_eq!((status.role, status.leader, status.commit), (Role::Follower, None, Index(0)));
}

#[test]
fn s3_4_a_leader_tells_all_that_it_leads_at_every_heartbeat_interval() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for _ in 0..4 {
        cluster.step(1, Input::Tick { elapsed: 1, wall_ms: 0 });
        assert!(cluster.sent().is_empty(), "not before the interval is over");
        cluster.step(1, Input::Tick { elapsed: 1, wall_ms: 0 });
        let to: Vec<_> = cluster.sent().into_iter().map(|envelope| envelope.to).collect();
        assert_eq!(to, [id(2), id(3)]);
    }
}

#[test]
fn s3_4_followers_that_hear_a_leader_never_stand_for_election() {
    let mut cluster = Cluster::new(5);
    cluster.elect(3);
    cluster.tick(500);
    assert_eq!(cluster.leaders(), [3]);
    assert!(cluster.numbers().iter().all(|number| cluster.raft(*number).term() == Term(1)));
}

/// Every timeout is drawn anew between one and two election timeouts, and all of that range is used. A node that was
/// restarted alone waits no longer than any other.
#[test]
fn s3_4_election_timeouts_are_random_between_one_and_two() {
    let mut seen = [0; 20];
    let mut cluster = Cluster::new(3);
    for _ in 0..500 {
        cluster.restart(1);
        let mut waited = 0;
        while cluster.raft(1).role() == Role::Follower {
            cluster.step(1, Input::Tick { elapsed: 1, wall_ms: 0 });
            waited += 1;
        }
        seen[waited] += 1;
        let node = cluster.nodes.get_mut(&id(1)).expect("the node exists");
        node.config.seed += 1;
    }
    assert!(seen[..10].iter().all(|count| *count == 0), "{seen:?}");
    assert!(seen[10..].iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn s3_4_a_candidate_raises_its_term_votes_for_itself_and_asks_all_voters() {
    let mut cluster = Cluster::new(3);
    cluster.step(1, Input::Campaign);
    let status = cluster.raft(1).status();
    assert_eq!((status.role, status.term, status.vote), (Role::Candidate, Term(1), Some(id(1))));
    let requests = cluster.sent();
    assert_eq!(requests.iter().map(|envelope| envelope.to).collect::<Vec<_>>(), [id(2), id(3)]);
    assert!(requests.iter().all(|envelope| envelope.message
        == Message::VoteRequest { last: EntryId::new(0, 1), ground: Ground::Operator }));
}

#[test]
fn s3_4_a_vote_is_given_to_the_first_candidate_of_a_term_only_also_after_a_restart() {
    let mut cluster = Cluster::new(3);
    let last = EntryId::new(0, 1);
    let granted = |cluster: &mut Cluster, candidate: u64, term: u64| {
        let answers = cluster.ask(candidate, 3, term, Message::VoteRequest { last, ground: Ground::Silence });
        matches!(answers[0].message, Message::VoteResponse { granted: true, wall_ms: 0 })
    };
    assert!(granted(&mut cluster, 1, 1));
    assert!(!granted(&mut cluster, 2, 1), "the vote of term 1 is gone");
    assert!(granted(&mut cluster, 1, 1), "a repeated request gets the same answer");
    cluster.crash(3);
    cluster.restart(3);
    assert!(!granted(&mut cluster, 2, 1), "the vote of term 1 is gone for ever");
    assert!(granted(&mut cluster, 2, 2), "each term has its own vote");
}

#[test]
fn s3_4_a_candidate_leads_with_the_votes_of_a_majority_and_not_before() {
    let mut cluster = Cluster::new(5);
    cluster.step(1, Input::Campaign);
    for (voter, granted, role) in [
        (2, true, Role::Candidate),
        (2, true, Role::Candidate),
        (3, false, Role::Candidate),
        (4, true, Role::Leader),
    ] {
        cluster.ask(voter, 1, 1, Message::VoteResponse { granted, wall_ms: 0 });
        assert_eq!(cluster.raft(1).role(), role, "after n{voter}");
    }
}

#[test]
fn s3_4_a_candidate_that_a_majority_refused_gives_up() {
    let mut cluster = Cluster::new(3);
    cluster.step(1, Input::Campaign);
    cluster.ask(2, 1, 1, Message::VoteResponse { granted: false, wall_ms: 0 });
    assert_eq!(cluster.raft(1).role(), Role::Candidate);
    cluster.ask(3, 1, 1, Message::VoteResponse { granted: false, wall_ms: 0 });
    assert_eq!(cluster.raft(1).role(), Role::Follower);
}

/// R08 (d-engine #340): also when the logs do not fit, and the request is refused for that.
#[test]
fn s3_4_a_candidate_yields_to_a_leader_of_its_own_term() {
    for message in [
        Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false },
        Message::AppendRequest { prev: EntryId::new(0, 1), entries: vec![entry(1, 2)], commit: Index(0) },
        Message::AppendRequest { prev: EntryId::new(1, 9), entries: vec![], commit: Index(0) },
    ] {
        let mut cluster = Cluster::new(3);
        cluster.step(1, Input::Campaign);
        cluster.ask(2, 1, 1, message);
        let status = cluster.raft(1).status();
        assert_eq!((status.role, status.term, status.leader), (Role::Follower, Term(1), Some(id(2))));
    }
}

#[test]
fn s3_4_a_split_vote_ends_in_a_later_term() {
    let mut cluster = Cluster::new(4);
    cluster.step(1, Input::Campaign);
    cluster.step(2, Input::Campaign);
    let (one, two) = (id(1), id(2));
    cluster.network.retain(|request| {
        (request.from, request.to.get()) == (one, 3) || (request.from, request.to.get()) == (two, 4)
    });
    cluster.settle();
    assert!(cluster.leaders().is_empty(), "two votes each");
    cluster.tick(60);
    assert_eq!(cluster.leaders().len(), 1);
}

/// T20 (NuRaft #531): two leaders of one term are a broken election; to go on would let two logs grow apart.
#[test]
#[should_panic(expected = "a term has one leader")]
fn s3_4_a_second_leader_of_a_term_stops_the_node() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.ask(2, 3, 1, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false });
}

#[test]
fn s3_5_a_proposal_is_appended_replicated_committed_and_then_applied_everywhere_in_order() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for command in [b"a".as_slice(), b"bb", b"ccc"] {
        cluster.propose(1, command);
    }
    assert_eq!(cluster.node(1).accepted.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), [1, 2, 3]);
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(5));
    cluster.tick(2);
    for number in cluster.numbers() {
        assert_eq!(
            cluster.raft(number).status().applied,
            Index(5),
            "a later message tells what is committed"
        );
    }
}

#[test]
fn s3_5_what_a_minority_holds_is_not_committed() {
    let mut cluster = Cluster::new(5);
    cluster.elect(1);
    for cut in [3, 4, 5] {
        cluster.cut(cut);
    }
    let before = cluster.raft(1).commit_index();
    cluster.propose(1, b"a");
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), before);
}

#[test]
fn s3_5_entries_are_taken_only_behind_the_entry_that_they_follow() {
    // A follower's terms from index 1 on are 0 1 1 4 4.
    for (prev, expected) in [
        ((4, 5), Ok(6)),
        ((4, 4), Ok(5)),
        ((0, 1), Ok(2)),
        ((0, 0), Ok(1)),
        ((5, 5), Err((4, 5))),
        ((3, 5), Err((1, 3))),
        ((5, 9), Err((4, 5))),
        ((2, 4), Err((1, 3))),
        ((0, 3), Err((0, 1))),
    ] {
        let mut cluster = Cluster::of_terms(&[&[], &[1, 1, 4, 4], &[]]);
        let (prev_term, prev_index) = prev;
        let next = entry(if prev_index == 0 { 0 } else { prev_term.max(1) }, prev_index + 1);
        let entries = if prev_index == 0 { cluster.node(1).disk.entries.clone() } else { vec![next] };
        let prev = EntryId::new(prev_term, prev_index);
        let request = Message::AppendRequest { prev, entries, commit: Index(0) };
        let answers = cluster.ask(1, 2, 6, request);
        let answer = if let Message::AppendRejected { prev, hint } = answers[0].message {
            assert_eq!(prev.0, prev_index, "the refusal names the question");
            Err((hint.term.0, hint.index.0))
        } else if let Message::AppendResponse { matched } = answers[0].message {
            Ok(matched.0)
        } else {
            panic!("no answer to an append request: {answers:?}")
        };
        assert_eq!(answer, expected, "{prev}");
    }
}

/// Figure 3.6 (figure 7 of the paper): a leader of term 8 repairs followers that miss entries, have too many, or both. Its
/// own log is not touched.
#[test]
fn s3_5_figure_7_all_followers_end_with_the_leaders_log() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    let mut logs = vec![leader];
    logs.extend(followers);
    let mut cluster = Cluster::of_terms(&logs);
    // The leader was in term 7 when it heard of it, and wins term 8 with the votes of a, b, e and f: c and d hold more.
    cluster.ask(2, 1, 7, Message::VoteResponse { granted: false, wall_ms: 0 });
    cluster.elect(1);
    assert_eq!(cluster.raft(1).term(), Term(8));
    cluster.tick(4);
    let repaired = [&[0], leader, &[8]].concat();
    for number in cluster.numbers() {
        assert_eq!(cluster.terms(number), repaired, "n{number}");
        assert_eq!(cluster.raft(number).commit_index(), Index(12), "n{number}");
    }
    let truncated: Vec<u64> = cluster
        .numbers()
        .into_iter()
        .filter(|number| {
            cluster.node(*number).facts.iter().any(|fact| matches!(fact, Fact::Truncated { .. }))
        })
        .collect();
    assert_eq!(truncated, [4, 5, 6, 7], "only c, d, e and f hold what contradicts the leader");
}

/// R26 (async-raft 6d53aa1) and the footnote of 3.5: one question for each term that conflicts, not one for each entry.
#[test]
fn s3_5_a_refusal_skips_a_whole_term_of_conflicting_entries() {
    let leader: Vec<u64> = [vec![1; 10], vec![3; 300]].concat();
    let follower: Vec<u64> = [vec![1; 10], vec![2; 400]].concat();
    let mut cluster = Cluster::of_terms(&[&leader, &follower, &leader]);
    cluster.step(1, Input::Campaign);
    let mut refusals = 0;
    while let Some(envelope) = cluster.network.pop_front() {
        refusals += u32::from(matches!(envelope.message, Message::AppendRejected { .. }));
        cluster.deliver(envelope);
    }
    assert_eq!(cluster.terms(2), cluster.terms(1));
    assert!(refusals <= 2, "{refusals} refusals");
}

#[test]
fn s3_6_1_a_vote_goes_only_to_a_log_that_is_at_least_as_new() {
    // The voter's last entry is 3:4. By term first, then by length (R15, async-raft a48a328).
    for (term, index, granted) in
        [(3, 4, true), (3, 5, true), (4, 2, true), (3, 3, false), (2, 9, false), (0, 1, false)]
    {
        for pre_vote in [false, true] {
            let mut cluster = Cluster::of_terms(&[&[], &[1, 1, 3], &[]]);
            let last = EntryId::new(term, index);
            let request = if pre_vote {
                Message::PreVoteRequest { last }
            } else {
                Message::VoteRequest { last, ground: Ground::Silence }
            };
            let answers = cluster.ask(1, 2, 9, request);
            let expected = if pre_vote {
                Message::PreVoteResponse { granted }
            } else {
                Message::VoteResponse { granted, wall_ms: 0 }
            };
            assert_eq!(answers[0].message, expected, "{last}");
        }
    }
}

/// Figure 3.7 (figure 8 of the paper). T32 (CCF #4472), `OldTermCommittedByCount`.
#[test]
fn s3_6_2_figure_8_an_entry_of_an_older_term_is_not_committed_by_counting() {
    // (a), (b): n1 led term 2 and replicated 2:3 to n2; n5 led term 3 and holds 3:3.
    let mut cluster = Cluster::of_terms(&[&[1, 2], &[1, 2], &[1], &[1], &[1, 3]]);
    // (c): n1 leads term 4 and replicates 2:3 to n3; its own no-op reaches nobody.
    cluster.cut(5);
    cluster.ask(2, 1, 3, Message::VoteResponse { granted: false, wall_ms: 0 });
    cluster.step(1, Input::Campaign);
    while cluster.raft(1).role() != Role::Leader {
        assert!(cluster.deliver_one());
    }
    cluster.network.clear();
    let old = cluster.node(1).disk.entries[2].clone();
    assert_eq!(old.id, EntryId::new(2, 3));
    let request = Message::AppendRequest { prev: EntryId::new(1, 2), entries: vec![old], commit: Index(0) };
    let answer = cluster.ask(1, 3, 4, request).remove(0);
    cluster.deliver(answer);
    cluster.ask(2, 1, 4, Message::AppendResponse { matched: Index(3) });
    assert_eq!(cluster.terms(3), [0, 1, 2], "2:3 is on three of five");
    assert_eq!(cluster.raft(1).commit_index(), Index(0), "and not committed");
    // (d): n1 crashes, n5 wins with the votes of n3 and n4, and 2:3 is replaced for good.
    cluster.crash(1);
    cluster.heal();
    cluster.cut(1);
    cluster.network.clear();
    cluster.ask(4, 5, 4, Message::VoteResponse { granted: false, wall_ms: 0 });
    // The others have not heard a leader for long.
    for number in [2, 3, 4] {
        cluster.step(number, Input::Tick { elapsed: 10, wall_ms: 0 });
    }
    cluster.network.clear();
    cluster.elect(5);
    cluster.tick(4);
    assert_eq!(cluster.terms(2), [0, 1, 3, 5]);
    assert_eq!(cluster.raft(3).commit_index(), Index(4));
}

/// (e) of the same figure: an own entry behind it commits the older one with it.
#[test]
fn s3_6_2_an_entry_of_the_own_term_commits_all_before_it() {
    let mut cluster = Cluster::of_terms(&[&[1, 2], &[1, 2], &[1], &[1], &[1, 3]]);
    cluster.cut(5);
    cluster.ask(2, 1, 3, Message::VoteResponse { granted: false, wall_ms: 0 });
    cluster.elect(1);
    assert_eq!(cluster.raft(1).commit_index(), Index(4));
    assert_eq!(cluster.node(1).disk.entries[3].payload, Payload::Noop);
    cluster.heal();
    cluster.step(5, Input::Campaign);
    cluster.settle();
    assert_ne!(cluster.raft(5).role(), Role::Leader, "n5 cannot win any more");
}

#[test]
fn s3_6_3_an_old_leader_that_comes_back_takes_the_new_log() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(1);
    cluster.propose(1, b"a");
    cluster.tick(30);
    let new_leader = cluster.leaders()[0];
    cluster.propose(new_leader, b"bb");
    cluster.tick(2);
    cluster.heal();
    cluster.tick(20);
    assert_eq!(cluster.leaders().len(), 1);
    for number in [1, 2, 3] {
        assert_eq!(cluster.terms(number), cluster.terms(new_leader));
    }
    assert!(cluster.node(1).facts.contains(&Fact::Truncated { from: Index(3) }));
}

#[test]
fn s3_7_a_follower_that_was_down_is_brought_up_to_date() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.crash(3);
    for _ in 0..20 {
        cluster.propose(1, b"a");
    }
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(22), "two of three go on");
    cluster.restart(3);
    cluster.tick(4);
    assert_eq!(cluster.raft(3).status().applied, Index(22));
}

/// R57, `PromiseBeforeFsync`, `VoteNotPersisted`: nothing that promises leaves before it is on disk.
#[test]
fn s3_8_a_vote_and_an_acknowledgement_wait_for_the_disk() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks = [id(3)].into();
    let last = EntryId::new(0, 1);
    assert!(cluster.ask(1, 3, 1, Message::VoteRequest { last, ground: Ground::Silence }).is_empty());
    cluster.persist(3, 1);
    assert_eq!(cluster.sent()[0].message, Message::VoteResponse { granted: true, wall_ms: 0 });

    let request = Message::AppendRequest { prev: last, entries: vec![entry(1, 2)], commit: Index(0) };
    assert!(cluster.ask(1, 3, 1, request.clone()).is_empty());
    // The same again brings nothing new to write, but the acknowledgement waits for the write that is under way.
    assert!(cluster.ask(1, 3, 1, request).is_empty());
    cluster.persist(3, 1);
    assert_eq!(cluster.sent()[0].message, Message::AppendResponse { matched: Index(2) });
    cluster.persist(3, 1);
    assert_eq!(cluster.sent()[0].message, Message::AppendResponse { matched: Index(2) });
}

#[test]
fn s3_8_a_refusal_and_a_heartbeats_answer_do_not_wait() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks = [id(3)].into();
    assert!(
        cluster
            .ask(1, 3, 1, Message::VoteRequest { last: EntryId::new(0, 1), ground: Ground::Silence })
            .is_empty()
    );
    assert_eq!(
        cluster
            .ask(2, 3, 1, Message::VoteRequest { last: EntryId::new(0, 1), ground: Ground::Silence })
            .len(),
        1
    );
    assert_eq!(
        cluster.ask(1, 3, 1, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false }).len(),
        1
    );
}

#[test]
fn s3_8_the_commit_index_is_learned_anew_after_a_restart_and_nothing_is_lost() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, b"a");
    cluster.settle();
    for number in cluster.numbers() {
        cluster.crash(number);
        cluster.restart(number);
        assert_eq!(cluster.raft(number).commit_index(), Index(0));
    }
    cluster.tick(60);
    assert_eq!(cluster.leaders().len(), 1);
    for number in cluster.numbers() {
        assert!(cluster.raft(number).status().applied >= Index(4));
    }
}

/// R10 (openraft 558e1b9): the only voter waits for its own disk like any other, and a slow one raises no terms.
#[test]
fn s3_8_a_single_voter_leads_and_commits_with_its_own_disk() {
    let mut cluster = Cluster::new(1);
    cluster.slow_disks = [id(1)].into();
    cluster.tick(100);
    assert_eq!((cluster.raft(1).role(), cluster.raft(1).term()), (Role::Candidate, Term(1)));
    cluster.persist(1, 9);
    assert_eq!((cluster.raft(1).role(), cluster.raft(1).commit_index()), (Role::Leader, Index(0)));
    cluster.persist(1, 9);
    assert_eq!(cluster.raft(1).commit_index(), Index(2));
    let mut defaults = small_config(1);
    defaults.heartbeat_ticks = 0;
    assert!(defaults.validate().is_err());
}
