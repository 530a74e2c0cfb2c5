//! What a disk has lost comes back from peers or is missed for ever, and is never guessed ("Protocol-Aware Recovery", FAST 2018; T79, `DamageCutAsTornTail`).

use bytes::Bytes;
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::message::{Envelope, Ground, Message};
use quorate_core::raft::Raft;
use quorate_core::ready::{Fact, Fetch, FetchFor, Input, Ready};
use quorate_core::status::Role;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, Term};

use crate::cluster::{Cluster, id, small_config};

/// Three nodes that hold the same entries of these terms behind the bootstrap entry.
fn three(terms: &[u64]) -> Cluster {
    Cluster::of_terms(&[terms, terms, terms])
}

fn is_whole(cluster: &Cluster, number: u64) -> bool {
    cluster.node(number).disk.damaged.is_empty() && cluster.raft(number).status().damaged_len == 0
}

/// Whether all nodes have applied all of their logs, and one more command besides, within this many ticks.
fn serves(cluster: &mut Cluster, ticks: u64) -> bool {
    for _ in 0..ticks {
        cluster.tick(1);
        if let [leader] = cluster.leaders()[..]
            && cluster.raft(leader).commit_index() >= cluster.raft(leader).last().index
        {
            cluster.propose(leader, b"one more");
            cluster.tick(3);
            let last = cluster.raft(leader).last();
            return cluster.numbers().iter().all(|number| {
                let status = cluster.raft(*number).status();
                status.last == last && status.applied == last.index && is_whole(cluster, *number)
            });
        }
    }
    false
}

/// The table of the paper: three nodes, four entries, each of the twelve copies damaged or not. An entry of which one copy is left comes
/// back, also where every node has lost something and none may lead; where all three copies of one are lost, nobody leads, and
/// nothing is cut. The simulator's `damage` does the same with real logs.
#[test]
fn of_4096_patterns_of_damage_2401_recover_and_1695_stay_unavailable() {
    let (mut recovered, mut unavailable) = (0, 0);
    for copies in patterns_up_to_names() {
        let lost = |node: usize| {
            (0..4_u64).filter(move |entry| copies[node] >> entry & 1 == 1).map(|entry| entry + 2)
        };
        let mut cluster = three(&[1, 1, 1, 1]);
        for node in 0..3 {
            cluster.damage(node as u64 + 1, lost(node));
        }
        let alike = alike(copies);
        if copies[0] & copies[1] & copies[2] == 0 {
            assert!(serves(&mut cluster, 200), "{copies:?}");
            recovered += alike;
        } else {
            cluster.tick(40);
            assert!(cluster.leaders().is_empty(), "{copies:?}");
            assert!(
                cluster.numbers().iter().all(|node| cluster.terms(*node) == [0, 1, 1, 1, 1]),
                "{copies:?}"
            );
            unavailable += alike;
        }
    }
    assert_eq!((recovered, unavailable), (2_401, 1_695));
}

/// For each of three nodes a bit for each of four entries that it has lost. Patterns that differ only in which node is which stand once.
fn patterns_up_to_names() -> impl Iterator<Item = [u8; 3]> {
    let pairs = (0..16).flat_map(|one| (one..16).map(move |two| (one, two)));
    pairs.flat_map(|(one, two)| (two..16).map(move |three| [one, two, three]))
}

/// How many patterns are alike but for the names of the nodes.
fn alike([one, two, three]: [u8; 3]) -> usize {
    match (one == two, two == three) {
        (true, true) => 1,
        (true, false) | (false, true) => 3,
        (false, false) => 6,
    }
}

/// Bringing one copy back from elsewhere ends the unavailability: nothing had been given up.
#[test]
fn one_copy_that_is_put_back_ends_the_unavailability() {
    let mut cluster = three(&[1, 1, 1, 1]);
    for node in 1..=3 {
        cluster.damage(node, [4]);
    }
    cluster.tick(100);
    assert!(cluster.leaders().is_empty());
    cluster.nodes.get_mut(&id(2)).unwrap().disk.damaged.clear();
    cluster.damage(2, []);
    assert!(serves(&mut cluster, 400));
}

/// Figure 3.2 by ids: a vote needs no bytes, so a damaged node still keeps its promise not to elect an older log.
#[test]
fn a_damaged_node_votes_by_the_ids_of_its_log_and_never_stands() {
    let mut cluster = Cluster::of_terms(&[&[1, 1], &[1, 1, 1], &[1]]);
    cluster.cut(1);
    cluster.cut(2);
    cluster.cut(3);
    cluster.damage(2, [4]);
    cluster.tick(100);
    cluster.network.clear();
    cluster.step(2, Input::Campaign);
    assert_eq!(cluster.raft(2).role(), Role::Follower, "not even when it is told to");
    let term = cluster.raft(2).term().0;
    assert_eq!(term, 1);
    let vote = |last| Message::VoteRequest { last, ground: Ground::Operator };
    let answer = |cluster: &mut Cluster, last, term| {
        cluster.heal();
        let sent = cluster.ask(1, 2, term, vote(last));
        cluster.cut(2);
        sent.iter().any(|sent| sent.message == Message::VoteResponse { granted: true, wall_ms: 0 })
    };
    assert!(!answer(&mut cluster, EntryId::new(1, 3), 5), "its log ends with 1:4");
    assert!(answer(&mut cluster, EntryId::new(1, 4), 6));
}

/// E7: what is committed is durable on a quorum. A node acknowledges nothing behind a hole, and neither does it apply.
#[test]
fn nothing_behind_a_hole_is_acknowledged_or_applied_before_it_is_whole() {
    let mut cluster = three(&[1, 1, 1, 1]);
    cluster.damage(3, [3]);
    cluster.slow_disks.insert(id(3));
    let prev = EntryId::new(1, 5);
    let append = |entries| Message::AppendRequest { prev, entries, commit: Index(5) };
    cluster.ask(1, 3, 1, append(vec![]));
    cluster.persist(3, usize::MAX);
    let sent = cluster.ask(1, 3, 1, append(vec![]));
    assert!(
        sent.iter().any(|sent| sent.message == Message::AppendResponse { matched: Index(2) }),
        "{sent:?}"
    );
    assert_eq!(cluster.node(3).apply_through, Index(2));
    // The entry comes, under another id first: that is not the one that is missing. Then the right one: the promise waits for its write.
    let give = |term, byte: &'static [u8]| Message::RepairResponse {
        entries: vec![Entry {
            id: EntryId::new(term, 3),
            timestamp_ms: 0,
            payload: Payload::Command(Bytes::from_static(byte)),
        }],
        snapshot: EntryId::ZERO,
    };
    cluster.ask(2, 3, 1, give(2, b"xx"));
    assert!(cluster.node(3).writes.is_empty(), "what stands under another term is another entry");
    cluster.ask(2, 3, 1, give(1, b"x"));
    assert_eq!(cluster.node(3).writes.len(), 1);
    assert_eq!(cluster.node(3).apply_through, Index(2));
    let sent = cluster.ask(1, 3, 1, append(vec![]));
    assert!(!sent.iter().any(|sent| matches!(sent.message, Message::AppendResponse { .. })), "{sent:?}");
    cluster.persist(3, usize::MAX);
    let acknowledged = Message::AppendResponse { matched: Index(5) };
    assert!(cluster.sent().iter().any(|sent| sent.message == acknowledged));
    assert_eq!(cluster.node(3).apply_through, Index(5));
    assert!(cluster.node(3).facts.contains(&Fact::Whole));
}

/// A normal append that carries the lost entry gives it back; one with another entry there takes its place, as ever.
#[test]
fn an_append_repairs_under_the_same_id_and_cuts_under_another() {
    for (term, repaired) in [(1, true), (2, false)] {
        let mut cluster = three(&[1, 1]);
        cluster.damage(3, [3]);
        let entry = Entry {
            id: EntryId::new(term, 3),
            timestamp_ms: 0,
            payload: Payload::Command(Bytes::from(vec![b'x'; usize::try_from(term).unwrap()])),
        };
        let append =
            Message::AppendRequest { prev: EntryId::new(1, 2), entries: vec![entry], commit: Index(0) };
        let sent = cluster.ask(1, 3, 2, append);
        assert!(is_whole(&cluster, 3));
        assert!(
            sent.iter().any(|sent| sent.message == Message::AppendResponse { matched: Index(3) }),
            "{sent:?}"
        );
        let cut = cluster.node(3).facts.contains(&Fact::Truncated { from: Index(3) });
        assert_eq!(
            (cluster.node(3).facts.contains(&Fact::Repaired { entries: 1, from: id(1) }), cut),
            (repaired, !repaired)
        );
    }
}

/// What only the damaged node held was not committed if a majority without it elects: then it is cut like any other leftover. Nobody had
/// to guess.
#[test]
fn a_lost_entry_that_nobody_else_holds_gives_way_to_the_next_leader() {
    let mut cluster = Cluster::of_terms(&[&[1, 1], &[1, 1], &[1, 1, 1, 1]]);
    cluster.damage(3, [4, 5]);
    assert!(serves(&mut cluster, 200));
    assert!(cluster.node(3).facts.contains(&Fact::Truncated { from: Index(4) }));
}

/// The same where the majority is not there without the damaged node: the entry may have been committed, so nobody leads.
#[test]
fn a_lost_entry_that_a_dead_node_may_hold_keeps_everybody_from_leading() {
    let mut cluster = Cluster::of_terms(&[&[1, 1], &[1, 1, 1], &[1, 1, 1]]);
    cluster.crash(2);
    cluster.damage(3, [4]);
    cluster.tick(200);
    assert!(cluster.leaders().is_empty());
    cluster.restart(2);
    assert!(serves(&mut cluster, 400));
}

/// A node that has lost its state may be the only one whose copies a leader lacks to commit, and the leader's snapshot may be too old for it:
/// both would wait for ever. What the lost snapshot covered is committed, and the question says up to where. (Simulator seeds
/// 1795420000000780 and 1795430000000915 of that time.)
#[test]
fn a_lost_state_tells_what_is_committed() {
    let mut cluster = three(&[1; 4]);
    let behind = |term, index| Message::RepairRequest {
        wanted: Vec::new(),
        state_behind: Some(EntryId::new(term, index)),
    };
    let mut ask = |message| {
        let term = cluster.raft(1).term();
        cluster.step(1, Input::Received(Envelope { from: id(3), to: id(1), term, message }));
        cluster.raft(1).commit_index()
    };
    let before = ask(behind(2, 4));
    assert!(before < Index(4), "another entry stands there: {before}");
    assert_eq!(ask(behind(1, 9)), before, "nothing stands there yet");
    assert_eq!(ask(behind(1, 4)), Index(4));
    assert_eq!(ask(behind(1, 3)), Index(4), "what is committed stays so");
    assert!(
        cluster.node(1).facts.contains(&Fact::CommittedElsewhere { last: EntryId::new(1, 4), by: id(3) })
    );
}

/// T91: repair must not take the place of what commits. A node whose questions are heard and that hears no answer asks less and less
/// often, each time one peer for a bounded number of entries.
#[test]
fn questions_without_answers_become_rare() {
    let mut cluster = three(&[1; 600]);
    cluster.damage(3, 2..=601);
    cluster.cuts = [(id(1), id(3)), (id(2), id(3))].into();
    let (mut questions, mut late) = (0, 0);
    for tick in 0..4_000 {
        cluster.step(3, Input::Tick { elapsed: 1, wall_ms: 0 });
        for sent in cluster.sent() {
            if let Message::RepairRequest { wanted, .. } = sent.message {
                assert!(wanted.len() <= 256, "a question is bounded");
                questions += 1;
                late += usize::from(tick >= 2_000);
            }
        }
    }
    assert!(questions > 20, "it goes on: {questions}");
    assert!(late <= 2 * 2_000 / 80 + 2, "two questions in eight election timeouts at most: {late}");
}

/// One read at a time serves all who have lost something, each answer is bounded in bytes, and what stands under another id is not given.
#[test]
fn a_peer_gives_back_what_fits_one_message_and_reads_for_one_at_a_time() {
    let entry = |index: u64, term| Entry {
        id: EntryId::new(term, index),
        timestamp_ms: 0,
        payload: if index == 1 {
            Entry::bootstrap(Membership::of_voters([1, 2, 3].map(id))).payload
        } else {
            Payload::Command(Bytes::from_static(b"x"))
        },
    };
    let entries: Vec<Entry> = (1..=40).map(|index| entry(index, u64::from(index > 1))).collect();
    let hard_state = HardState { term: Term(1), vote: None };
    let mut stored = Stored::of_entries(hard_state, entries.clone());
    stored.tail.drain(..30);
    let mut raft = Raft::new(Config { append_bytes_max: 500, ..small_config(1) }, stored);
    let mut ask = |from: u64, wanted: &[(u64, u64)]| {
        let wanted = wanted.iter().map(|(term, index)| EntryId::new(*term, *index)).collect();
        let message = Message::RepairRequest { wanted, state_behind: None };
        raft.step(Input::Received(Envelope { from: id(from), to: id(1), term: Term(9), message }));
        assert_eq!(raft.term(), Term(1), "the term of a question means nothing");
        raft.ready()
    };
    let given = |ready: &Ready| match &ready.send[..] {
        [Envelope { message: Message::RepairResponse { entries, snapshot: EntryId::ZERO }, .. }] => {
            entries.iter().map(|entry| entry.id.index.0).collect()
        }
        _ => Vec::new(),
    };
    let tail: Vec<(u64, u64)> = (31..=40).map(|index| (1, index)).collect();
    assert_eq!(given(&ask(2, &tail)), [31, 32, 33, 34, 35, 36, 37], "65 bytes each, 500 at most");
    let ready = ask(2, &[(2, 5), (0, 36), (1, 99)]);
    assert!(
        given(&ready).is_empty() && ready.send.len() == 1 && ready.fetches.is_empty(),
        "none of these is here"
    );
    let ready = ask(2, &[(1, 5), (1, 6), (1, 7), (1, 9)]);
    let fetch =
        Fetch { peer: id(2), purpose: FetchFor::Repair, from: Index(5), through: Index(7), bytes_max: 500 };
    assert_eq!(ready.fetches, [fetch]);
    let ready = ask(3, &[(1, 5)]);
    assert!(ready.fetches.is_empty() && ready.send.is_empty(), "one read at a time: it asks again");
    raft.step(Input::FetchedForRepair { peer: id(2), entries: entries[4..7].to_vec() });
    assert_eq!(given(&raft.ready()), [5, 6, 7]);
}
