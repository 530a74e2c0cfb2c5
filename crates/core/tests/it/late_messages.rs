//! Messages that come late, twice, or in another order than they were sent: they may teach less, never something wrong.

use bytes::Bytes;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::message::Message;
use quorate_core::ready::{Fact, Input};
use quorate_core::status::{PeerState, Role};
use quorate_core::types::{EntryId, Index, NodeId};

use crate::cluster::{Cluster, heartbeat_answer, id, small_config};
use crate::thesis::entry;

/// A leader of three nodes with a log of ten entries that all hold.
fn settled_leader() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for _ in 0..8 {
        cluster.propose(1, b"a");
    }
    cluster.settle();
    cluster.tick(4);
    assert_eq!(cluster.raft(3).commit_index(), Index(10));
    cluster
}

fn matched_and_next(cluster: &Cluster, peer: NodeId) -> (u64, u64) {
    let status = cluster.raft(1).status();
    let peer = status.peers.into_iter().find(|known| known.node == peer).expect("it is a peer");
    (peer.matched.0, peer.next.0)
}

/// T33 (CCF #2803 and others), R18, R19 (openraft): neither an old acknowledgement nor an old refusal moves what is known back.
#[test]
fn a_late_answer_never_rewinds_what_is_known_of_a_peer() {
    let mut cluster = settled_leader();
    for message in [
        Message::AppendResponse { matched: Index(3) },
        Message::AppendRejected { prev: Index(5), hint: EntryId::new(0, 1) },
        Message::AppendRejected { prev: Index(10), hint: EntryId::new(0, 1) },
        Message::AppendRejected { prev: Index(99), hint: EntryId::new(0, 1) },
        Message::AppendRejected { prev: Index(0), hint: EntryId::ZERO },
    ] {
        cluster.ask(2, 1, 1, message.clone());
        assert_eq!(matched_and_next(&cluster, id(2)), (10, 11), "{message:?}");
    }
}

/// R24 (raft-rs #557): a refusal while probing never leads below what is known to match.
#[test]
fn a_refusal_never_leads_below_what_matches() {
    let mut cluster = settled_leader();
    for _ in 0..5 {
        cluster.propose(1, b"a");
    }
    assert_eq!(matched_and_next(&cluster, id(2)), (10, 16));
    cluster.ask(2, 1, 1, Message::AppendRejected { prev: Index(14), hint: EntryId::new(0, 1) });
    let (matched, next) = matched_and_next(&cluster, id(2));
    assert_eq!((matched, next), (10, 11));
    cluster.tick(4);
    assert_eq!(matched_and_next(&cluster, id(2)), (15, 16));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_dropped() {
    let mut cluster = settled_leader();
    cluster.ask(2, 1, 1, Message::AppendResponse { matched: Index(11) });
    assert_eq!(matched_and_next(&cluster, id(2)), (10, 11));
    assert!(matches!(cluster.node(1).facts.last(), Some(Fact::Ignored { .. })));
}

/// `StaleAppendShortensLog`, R23 (async-raft 9540c90): a request that was overtaken brings nothing new and takes nothing away.
#[test]
fn a_late_request_never_shortens_the_log() {
    let mut cluster = settled_leader();
    let held = cluster.node(3).disk.entries.clone();
    for (prev, count) in [(1, 0), (1, 1), (2, 3), (5, 5), (10, 0)] {
        let entries = held[prev..prev + count].to_vec();
        let request = Message::AppendRequest { prev: held[prev - 1].id, entries, commit: Index(1) };
        let answers = cluster.ask(1, 3, 1, request);
        let matched = Index((prev + count) as u64);
        assert_eq!(
            answers[0].message,
            Message::AppendResponse { matched },
            "no more than the request covered"
        );
        assert_eq!(cluster.node(3).disk.entries, held);
        assert_eq!(cluster.raft(3).commit_index(), Index(10));
    }
}

/// `CommittedEntriesTruncated`: a correct leader never asks for it, so it is a bug, and the node stops before it loses anything.
#[test]
#[should_panic(expected = "what is committed is never truncated")]
fn a_conflict_with_what_is_committed_stops_the_node() {
    let mut cluster = settled_leader();
    let request =
        Message::AppendRequest { prev: EntryId::new(1, 4), entries: vec![entry(2, 5)], commit: Index(0) };
    cluster.ask(2, 3, 2, request);
}

/// R27 (raft-rs #209, tikv #7353), T33: a follower commits only what the request shows to be equal to the leader's log.
#[test]
fn a_follower_commits_no_more_than_the_request_covers() {
    // n3 holds entries of term 2 that nobody else has; the leader of term 3 has committed six entries of its own.
    let mut cluster = Cluster::of_terms(&[&[1, 3], &[1, 3], &[1, 2, 2, 2, 2]]);
    let request = Message::AppendRequest { prev: EntryId::new(1, 2), entries: vec![], commit: Index(6) };
    cluster.ask(1, 3, 3, request);
    assert_eq!(cluster.raft(3).commit_index(), Index(2));
    let request = Message::AppendRequest { prev: EntryId::new(3, 9), entries: vec![], commit: Index(9) };
    cluster.ask(1, 3, 3, request);
    assert_eq!(cluster.raft(3).commit_index(), Index(2));
}

/// T25 (hashicorp/raft #695): heartbeats go past the check of the logs, so they must not commit what was not checked.
#[test]
fn a_heartbeat_never_commits_a_suffix_of_a_deposed_leader() {
    let mut cluster = Cluster::of_terms(&[&[1], &[1], &[1, 2, 2, 2, 2]]);
    cluster.cut(3);
    cluster.ask(2, 1, 2, Message::VoteResponse { granted: false, wall_ms: 0 });
    cluster.elect(1);
    for _ in 0..3 {
        cluster.propose(1, b"a");
    }
    cluster.settle();
    assert_eq!(cluster.raft(1).commit_index(), Index(6));
    // Only heartbeats reach n3.
    cluster.heal();
    cluster.step(1, Input::Tick { elapsed: 2, wall_ms: 0 });
    for envelope in cluster.sent() {
        if let Message::Heartbeat { commit, .. } = envelope.message
            && envelope.to == id(3)
        {
            assert_eq!(commit, Index(0), "nothing is known of n3 in this term");
            cluster.deliver(envelope);
        }
    }
    assert_eq!(cluster.raft(3).commit_index(), Index(0));
    cluster.tick(8);
    assert_eq!(cluster.terms(3), cluster.terms(1));
}

#[test]
fn a_heartbeat_that_commits_beyond_the_log_commits_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.ask(1, 3, 1, Message::Heartbeat { commit: Index(99), round: 1, asks_promise: false });
    assert_eq!(cluster.raft(3).commit_index(), Index(0));
    assert!(matches!(cluster.node(3).facts.last(), Some(Fact::Ignored { .. })));
}

/// T27 (etcd/raft, the append ABA race): index 3 is written in term 2, replaced in term 3, and written again. The first
/// write's end says nothing about the entry that stands there now.
#[test]
fn the_end_of_an_overtaken_write_proves_nothing_about_what_replaced_it() {
    let mut cluster = Cluster::of_terms(&[&[1], &[1], &[1]]);
    cluster.slow_disks = [id(3)].into();
    let prev = EntryId::new(1, 2);
    for (from, term) in [(1, 2), (2, 3)] {
        let request = Message::AppendRequest { prev, entries: vec![entry(term, 3)], commit: Index(0) };
        assert!(cluster.ask(from, 3, term, request).is_empty());
    }
    cluster.persist(3, 1);
    assert_eq!(cluster.raft(3).status().persisted, Index(2), "3:3 is not on disk yet");
    cluster.persist(3, 1);
    assert_eq!(cluster.raft(3).status().persisted, Index(3));
    let acknowledged: Vec<_> =
        cluster.sent().into_iter().map(|envelope| (envelope.to, envelope.message)).collect();
    let acknowledgement = Message::AppendResponse { matched: Index(3) };
    // The first goes to the leader of term 2, in term 2, and was true when it was made.
    assert_eq!(acknowledged, [(id(1), acknowledgement.clone()), (id(2), acknowledgement)]);
}

/// What a node would have promised in a term that it left within the same turn is not said: its write holds the newer state.
#[test]
fn a_promise_of_a_term_that_was_left_in_the_same_turn_is_not_made() {
    let mut cluster = Cluster::of_terms(&[&[1], &[1], &[1]]);
    let prev = EntryId::new(1, 2);
    let request = |from: u64, term: u64| {
        let message = Message::AppendRequest { prev, entries: vec![entry(term, 3)], commit: Index(0) };
        let term = quorate_core::types::Term(term);
        Input::Received(quorate_core::message::Envelope { from: id(from), to: id(3), term, message })
    };
    cluster.turn(3, vec![request(1, 2), request(2, 3)]);
    let sent: Vec<_> = cluster.sent().into_iter().map(|envelope| envelope.to).collect();
    assert_eq!(sent, [id(2)]);
}

/// What no correct peer sends is dropped with a reason; it never reaches an assertion.
#[test]
fn a_malformed_request_is_dropped_with_a_reason() {
    let prev = EntryId::new(0, 1);
    let later = Entry { timestamp_ms: 9, ..entry(1, 2) };
    for (prev, entries) in [
        (prev, vec![entry(1, 3)]),
        (prev, vec![entry(1, 2), entry(1, 4)]),
        (prev, vec![entry(1, 2), entry(0, 3)]),
        (prev, vec![entry(9, 2)]),
        (prev, vec![later, entry(1, 3)]),
        (EntryId::new(9, 1), vec![]),
        (EntryId::new(1, u64::MAX), vec![entry(1, 0)]),
    ] {
        let mut cluster = Cluster::new(3);
        let before = cluster.terms(3);
        let answers = cluster.ask(1, 3, 1, Message::AppendRequest { prev, entries, commit: Index(0) });
        assert!(answers.is_empty());
        assert_eq!(cluster.terms(3), before);
        assert!(matches!(cluster.node(3).facts.last(), Some(Fact::Ignored { .. })), "{prev}");
    }
}

/// Lost messages without a word from the transport: the next heartbeat's answer shows that the peer lives, and it is asked.
#[test]
fn what_was_lost_is_sent_again() {
    let mut cluster = settled_leader();
    for _ in 0..4 {
        cluster.propose(1, b"a");
    }
    cluster.network.clear();
    cluster.tick(4);
    assert_eq!(cluster.raft(2).last(), cluster.raft(1).last());
    assert_eq!(cluster.raft(1).commit_index(), Index(14));
}

/// A slow disk is not a loss: the peer is asked, but no entry is sent twice.
#[test]
fn a_peer_with_a_slow_disk_is_not_sent_the_same_entries_again() {
    let mut cluster = settled_leader();
    cluster.slow_disks = [id(2)].into();
    cluster.propose(1, b"a");
    cluster.settle();
    for _ in 0..8 {
        for number in cluster.numbers() {
            cluster.step(number, Input::Tick { elapsed: 1, wall_ms: 0 });
        }
        while let Some(envelope) = cluster.network.pop_front() {
            assert!(
                !matches!(&envelope.message, Message::AppendRequest { entries, .. } if !entries.is_empty())
            );
            cluster.deliver(envelope);
        }
    }
    cluster.persist(2, 9);
    cluster.settle();
    assert_eq!(matched_and_next(&cluster, id(2)), (11, 12));
}

/// A peer whose messages were dropped is asked again when it is heard, not before: else the question would be dropped too,
/// and reported, without end.
#[test]
fn a_peer_whose_messages_were_dropped_is_probed_once_it_is_heard() {
    let mut cluster = settled_leader();
    cluster.cut(2);
    cluster.propose(1, b"a");
    cluster.settle();
    cluster.step(1, Input::Dropped { peer: id(2) });
    assert!(cluster.sent().is_empty());
    let status = cluster.raft(1).status();
    assert_eq!((status.peers[0].state, status.peers[0].next), (PeerState::Probe, Index(11)));
    cluster.heal();
    cluster.tick(4);
    assert_eq!(matched_and_next(&cluster, id(2)), (11, 12));
}

/// A leader of two nodes with a window of one entry, so that the other node must be served from the log.
fn leader_with_a_tiny_window() -> Cluster {
    let bootstrap = vec![Entry::bootstrap(Membership::of_voters([id(1), id(2), id(3)]))];
    let mut cluster = Cluster::of_logs((1..=3).map(|number| {
        let mut config = small_config(number);
        config.window_bytes_max = 1;
        config.append_bytes_max = 300;
        (config, HardState::default(), bootstrap.clone())
    }));
    cluster.elect(1);
    cluster.crash(3);
    for _ in 0..20 {
        cluster.propose(1, b"a");
        cluster.settle();
    }
    cluster.slow_appliers = [id(1)].into();
    cluster.restart(3);
    cluster.settle();
    cluster.tick(3);
    assert!(!cluster.node(1).fetches.is_empty(), "n3 is behind the window");
    cluster
}

#[test]
fn a_peer_behind_the_window_is_served_from_the_log() {
    let mut cluster = leader_with_a_tiny_window();
    cluster.slow_appliers.clear();
    cluster.serve_fetches(1);
    cluster.tick(10);
    assert_eq!(cluster.raft(3).status().applied, Index(22));
}

/// The same silence of the disk, told by a peer behind the window: nothing is read back for it.
#[test]
fn a_leader_that_cannot_read_back_for_a_peer_gives_way() {
    let mut cluster = leader_with_a_tiny_window();
    cluster.tick(cluster.node(1).config.election_timeout_ticks * 4);
    assert_ne!(cluster.raft(1).role(), Role::Leader);
    assert_eq!(cluster.node(1).fetches.len(), 1, "it was asked for once and never answered");
}

/// R17 (openraft #1795), R28, R30 (raft-rs #465): what was read back is used only if it is still what comes next.
#[test]
fn entries_read_back_are_checked_against_the_log_of_now() {
    let fetched = |entries: Vec<Entry>| Input::Fetched { peer: id(3), entries };
    let good = leader_with_a_tiny_window();
    let fetch = good.node(1).fetches[0];
    let from = usize::try_from(fetch.from.0 - 1).expect("small");
    let entries = good.node(1).disk.entries[from..from + 3].to_vec();
    let mut wrong_term = entries.clone();
    wrong_term[2].id = EntryId { term: quorate_core::types::Term(7), ..wrong_term[2].id };
    for (what, entries) in [
        ("nothing", vec![]),
        ("a gap", vec![entries[0].clone(), entries[2].clone()]),
        ("other entries", entries[1..].to_vec()),
        ("another term", wrong_term),
    ] {
        let mut cluster = leader_with_a_tiny_window();
        cluster.sent();
        cluster.step(1, fetched(entries.clone()));
        assert!(cluster.sent().is_empty(), "{what}");
        // It is asked for again, so nothing is stuck.
        assert!(cluster.node(1).fetches.len() == 2, "{what}");
    }
    let mut cluster = leader_with_a_tiny_window();
    cluster.sent();
    cluster.step(1, fetched(entries.clone()));
    assert_eq!(cluster.sent().len(), 1, "and the right ones are sent");
    // A node that lost the lead meanwhile does nothing with them.
    let mut cluster = leader_with_a_tiny_window();
    cluster.ask(2, 1, 9, heartbeat_answer(0, 0));
    cluster.step(1, fetched(entries));
    assert!(cluster.sent().is_empty());
    cluster.step(1, Input::Propose { ticket: 0, command: Bytes::new(), timestamp_ms: 0 });
    assert!(!cluster.node(1).refused.is_empty());
}
