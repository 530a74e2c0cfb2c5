//! Snapshots as one replica sees them: when one is due, how much of the log is kept behind it, how one is fetched piece by piece, how peers
//! are served, and what becomes of all who wait when one takes the place of the log.

use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::Membership;
use quorate_core::message::Message;
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};
use quorate_core::types::{EntryId, Index, NodeId};
use quorate_replica::config::ReplicaConfig;
use quorate_replica::effect::Effect;
use quorate_replica::input::{Input, Piece};
use quorate_replica::peer_message::PeerMessage;

use crate::solo::{PEER, Solo, propose, raft};

const OTHER: NodeId = NodeId::new(3);

fn often(config: &mut ReplicaConfig) {
    config.snapshot_log_bytes_min = 400;
    config.snapshot_retry_ticks = 10;
    config.snapshot_pin_ticks = 1_000;
    config.snapshot_window_len = 3;
}

/// Proposes some, one for each turn, and lets them be applied.
fn propose_some(solo: &mut Solo, first: u64, count: u64) {
    for n in first..first + count {
        solo.turn(vec![propose(n, None, 1, false)]);
        solo.apply();
    }
}

/// What was asked for since the last time, in words.
fn asked(solo: &mut Solo) -> Vec<String> {
    solo.snapshots.drain(..).map(|effect| format!("{effect:?}")).collect()
}

fn taken(solo: &Solo, bytes: u64) -> Input {
    Input::SnapshotTaken { name: SnapshotName { last: solo.applier.applied(), bytes, check: 0 } }
}

/// R53, T63: the wish is not lost while one is being written, and there is never a second one beside it. The larger the last one, the longer it
/// takes until the next.
#[test]
fn a_snapshot_is_due_in_proportion_to_the_last_one_and_one_at_a_time() {
    let mut solo = Solo::leader(often);
    propose_some(&mut solo, 1, 20);
    assert_eq!(asked(&mut solo), ["TakeSnapshot { term: t1 }"], "one, although much more has come since");
    let size = 3_000;
    let done = taken(&solo, size);
    solo.turn(vec![done]);
    let effects = asked(&mut solo);
    assert!(
        effects.len() == 1 && effects[0].starts_with("Compact"),
        "far from {size} bytes came since: {effects:?}"
    );
    let mut count = 0;
    while solo.snapshots.is_empty() {
        count += 1;
        propose_some(&mut solo, 100 + count, 1);
    }
    assert_eq!(asked(&mut solo), ["TakeSnapshot { term: t1 }"]);
    solo.turn(vec![Input::SnapshotFailed]);
    propose_some(&mut solo, 500, 30);
    assert_eq!(asked(&mut solo), Vec::<String>::new(), "after a failure it rests for a while");
    solo.tick(10);
    assert_eq!(asked(&mut solo), ["TakeSnapshot { term: t1 }"]);
    let done = taken(&solo, size);
    solo.turn(vec![done]);
    asked(&mut solo);
    let mut count = 0;
    while asked(&mut solo).is_empty() {
        propose_some(&mut solo, 1_000 + count, 1);
        count += 1;
    }
    assert!((20..60).contains(&count), "as much log as the snapshot is long: {count} commands");
}

/// The log between the last two snapshots is kept for peers that are a little behind, and all of it for one that fetches.
#[test]
fn the_log_is_cut_behind_the_slowest_peer_but_not_further_back_than_one_snapshot() {
    let mut solo = Solo::leader_of(3, often);
    let cut = |solo: &mut Solo| -> u64 {
        let through = solo.snapshots.iter().filter_map(|effect| match effect {
            Effect::Compact { through, .. } => Some(through.0),
            _ => None,
        });
        through.last().expect("a snapshot lets the log be cut")
    };
    let mut lasts = Vec::new();
    let behind = solo.replica.raft().last().index.0;
    for round in 0..4 {
        for n in 0..40 {
            solo.turn(vec![propose(round * 100 + n + 1, None, 1, false)]);
            let matched = solo.replica.raft().last().index;
            solo.turn(vec![raft(PEER, 1, Message::AppendResponse { matched })]);
            solo.apply();
            let due = solo.snapshots.iter().any(|effect| matches!(effect, Effect::TakeSnapshot { .. }));
            if due && lasts.len() as u64 == round {
                solo.apply();
                lasts.push(solo.applier.applied().index.0);
                solo.snapshots.clear();
                let done = taken(&solo, 100);
                solo.turn(vec![done]);
                let kept = cut(&mut solo);
                match round {
                    0 => assert_eq!(kept, behind, "the third node is behind it"),
                    1 => assert_eq!(kept, lasts[0], "the third node is behind both"),
                    _ => assert_eq!(kept, lasts[0], "the third node fetches the first one"),
                }
                if round == 1 {
                    let last = EntryId::new(1, lasts[0]);
                    let ask = PeerMessage::SnapshotFetching { last };
                    solo.turn(vec![Input::Received { from: OTHER, message: ask }]);
                }
            }
        }
    }
    assert_eq!(lasts.len(), 4, "{lasts:?}");
}

fn meta(last: EntryId) -> SnapshotMeta {
    let membership = Arc::new(Membership::of_voters([1, 2, 3].map(NodeId::new)));
    SnapshotMeta { last, term: last.term, timestamp_ms: 5, membership_index: Index(1), membership }
}

fn name(last: EntryId) -> SnapshotName {
    SnapshotName { last, bytes: 1_000, check: 9 }
}

pub(crate) fn piece(from: NodeId, last: EntryId, piece: u64) -> Input {
    let bytes = Bytes::from(piece.to_le_bytes().to_vec());
    Input::Received { from, message: PeerMessage::SnapshotPiece { name: name(last), piece, bytes } }
}

pub(crate) fn stored(last: EntryId, next: u64, pieces: u64) -> Input {
    let whole = (next == pieces).then(|| meta(last));
    Input::PieceStored { name: name(last), next, pieces, whole }
}

/// The pieces asked for since the last time.
fn wanted(solo: &mut Solo) -> Vec<(u64, u64)> {
    let asks = solo.sent.drain(..).filter_map(|(to, message)| match message {
        PeerMessage::SnapshotAsk { piece, .. } => Some((to.get(), piece)),
        _ => None,
    });
    asks.collect()
}

/// The pieces stored since the last time.
fn kept(solo: &mut Solo) -> Vec<u64> {
    let kept = solo.snapshots.drain(..).filter_map(|effect| match effect {
        Effect::StorePiece { piece, .. } => Some(piece),
        _ => None,
    });
    kept.collect()
}

/// T26, R51, R52: newer offers do not disturb a fetch, nor does a change of the leader; what is lost is asked for again and nothing else; no more than the
/// window is in memory; and then the state, the log and all who wait go on from there.
#[test]
fn a_fetch_goes_on_to_its_end_and_takes_the_place_of_the_log() {
    let mut solo = Solo::follower(often);
    solo.apply();
    let last = EntryId::new(1, 50);
    let offer = |from, term, last| raft(from, term, Message::SnapshotOffer { last });
    solo.turn(vec![offer(PEER, 1, last)]);
    assert_eq!(wanted(&mut solo), [(2, 0)], "the first piece says how many there are");
    solo.turn(vec![piece(PEER, last, 0), stored(last, 1, 6)]);
    assert_eq!((kept(&mut solo), wanted(&mut solo)), (vec![0], vec![(2, 1), (2, 2), (2, 3)]));
    solo.turn(vec![
        offer(PEER, 1, EntryId::new(1, 70)),
        piece(OTHER, last, 1),
        piece(PEER, EntryId::new(1, 51), 1),
    ]);
    assert_eq!((kept(&mut solo), wanted(&mut solo)), (vec![], vec![]), "of another node or another snapshot");
    solo.turn(vec![piece(PEER, last, 3), piece(PEER, last, 2), piece(PEER, last, 2)]);
    assert_eq!(kept(&mut solo), [], "the first of them is missing");
    solo.tick(10);
    assert_eq!(wanted(&mut solo), [(2, 1)], "the others came");
    solo.turn(vec![piece(PEER, last, 1), stored(last, 4, 6)]);
    assert_eq!((kept(&mut solo), wanted(&mut solo)), (vec![1, 2, 3], vec![(2, 4), (2, 5)]));
    solo.turn(vec![offer(OTHER, 2, EntryId::new(2, 90)), propose(7, None, 3, false)]);
    assert_eq!(wanted(&mut solo), [], "another node leads now; the old one still has the snapshot");
    let tells_leader = |solo: &Solo| {
        solo.sent
            .iter()
            .any(|(to, message)| *to == OTHER && matches!(message, PeerMessage::SnapshotFetching { .. }))
    };
    solo.tick(10);
    assert!(tells_leader(&solo), "so that it keeps the log behind it");
    wanted(&mut solo);
    solo.turn(vec![piece(PEER, last, 4), piece(PEER, last, 5), stored(last, 6, 6)]);
    let effects = asked(&mut solo);
    assert_eq!(effects.last().map(String::as_str), Some("Restore { last: 1:50 }"), "{effects:?}");
    let status = solo.replica.status();
    assert_eq!((status.raft.base, status.raft.commit, status.handed_through), (last, Index(50), Index(50)));
    solo.turn(vec![Input::Applied {
        through: Index(50),
        forwarded: vec![],
        unknown_sessions: vec![],
        marks: vec![],
        level: 1,
    }]);
    assert_eq!(solo.replica.status().applied_through, Index(50));
    solo.turn(vec![offer(OTHER, 2, EntryId::new(2, 90))]);
    assert_eq!(wanted(&mut solo), [(3, 0)], "only then another one");
}

/// A source that says nothing is given up; the next offer may come from elsewhere. A source that no longer has it says so.
#[test]
fn a_source_that_is_silent_or_has_nothing_is_given_up() {
    let mut solo = Solo::follower(often);
    let last = EntryId::new(1, 50);
    let offer = |last| raft(PEER, 1, Message::SnapshotOffer { last });
    solo.turn(vec![offer(last)]);
    for _ in 0..3 {
        assert_eq!(wanted(&mut solo), [(2, 0)]);
        solo.tick(10);
    }
    assert_eq!(wanted(&mut solo), [(2, 0)]);
    solo.tick(10);
    assert_eq!(wanted(&mut solo), []);
    solo.turn(vec![offer(EntryId::new(1, 60))]);
    assert_eq!(wanted(&mut solo), [(2, 0)]);
    let gone = PeerMessage::SnapshotGone { last: EntryId::new(1, 60) };
    solo.turn(vec![Input::Received { from: PEER, message: gone }, offer(EntryId::new(1, 70))]);
    assert_eq!(wanted(&mut solo), [(2, 0)]);
    solo.turn(vec![stored(EntryId::new(1, 60), 1, 1)]);
    assert_eq!(
        solo.replica.raft().base(),
        EntryId::ZERO,
        "the last piece of one that was given up changes nothing"
    );
}

/// A node sends no more in a tick than it may, and keeps no more questions than it may; a damaged snapshot is replaced by a fresh one.
#[test]
fn peers_are_served_at_a_bounded_rate() {
    let mut solo = Solo::leader_of(3, |config| {
        often(config);
        config.snapshot_log_bytes_min = 1 << 30;
        config.snapshot_send_bytes_per_tick = 1_000;
        config.snapshot_asks_len_max = 5;
    });
    let last = EntryId::new(1, 2);
    let ask = |piece| Input::Received { from: PEER, message: PeerMessage::SnapshotAsk { last, piece } };
    solo.turn((0..20).map(ask).collect());
    assert_eq!(asked(&mut solo), Vec::<String>::new(), "no tick, no credit");
    let (mut pieces, mut ticks) = (Vec::new(), 0);
    while ticks < 60 {
        solo.tick(1);
        ticks += 1;
        let reads: Vec<u64> = solo
            .snapshots
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::ReadPiece { piece, .. } => Some(piece),
                _ => None,
            })
            .collect();
        assert!(reads.len() <= 4, "so many are in memory at most");
        let found = |piece| Piece::Here { name: name(last), piece, bytes: Bytes::from(vec![0; 5_000]) };
        solo.turn(
            reads.iter().map(|piece| Input::PieceRead { to: PEER, last, found: found(*piece) }).collect(),
        );
        pieces.extend(reads.iter().map(|piece| (*piece, ticks)));
    }
    assert_eq!(
        pieces.iter().map(|(piece, _)| *piece).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4],
        "the rest is asked for again"
    );
    assert!(pieces[4].1 - pieces[0].1 >= 20, "20,000 bytes take 20 ticks: {pieces:?}");
    solo.turn(vec![ask(0)]);
    solo.tick(100);
    asked(&mut solo);
    solo.turn(vec![Input::PieceRead { to: PEER, last, found: Piece::Damaged }]);
    assert_eq!(asked(&mut solo), ["TakeSnapshot { term: t1 }"]);
    assert!(solo.sent.iter().any(|(_, message)| matches!(message, PeerMessage::SnapshotGone { .. })));
}
