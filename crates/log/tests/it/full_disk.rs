//! A full disk is no reason to end: whatever asks for space may be refused, leaves what was there as it was, gives back what it had
//! taken, and succeeds when it is tried again. The log takes term and vote all the while. Each place that asks for space is refused
//! once, and after each change and sync from there on the power goes.

use std::io::Write;

use quorate_core::entry::{Entry, HardState};
use quorate_core::types::{EntryId, Index, WriteNumber};
use quorate_log::{Content, DataDir, Identity, Log, LogError, SnapshotWriter, Wanted};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{
    CLUSTER, command, commands, covers, newest, open, persist, receive, snapshot_options, state, take, vote,
};

fn sim() -> SimDisk {
    SimDisk::new(Rng::new(1))
}

fn content(number: u64, hard_state: Option<HardState>, entries: &[Entry]) -> Content<'_> {
    Content { number: WriteNumber(number), hard_state, install: None, repaired: &[], entries }
}

fn is_full<T>(result: &Result<T, LogError>) -> bool {
    matches!(result, Err(LogError::Full { .. }))
}

fn has_leftovers(disk: &SimDisk) -> bool {
    disk.names().iter().any(|name| name.ends_with(".tmp"))
}

/// Several writes of one turn share a batch. If that finds no room, those before the one that is too much are still written: a
/// vote among them leaves its node.
#[test]
fn of_writes_that_find_no_room_together_those_in_front_that_fit_are_written() {
    let disk = sim();
    let (mut log, _) = open(&disk, 8192).unwrap();
    persist(&mut log, 1, None, &commands(1, 2..=20)).unwrap();
    disk.set_rate(Fault::Full, 1000);
    let many = commands(2, 21..=80);
    let written = log.write(&[
        content(2, Some(vote(2, 2)), &[]),
        content(3, None, &many),
        content(4, Some(vote(3, 3)), &[]),
    ]);
    assert!(is_full(&written), "{written:?}");
    assert_eq!((log.written(), log.last()), (WriteNumber(2), EntryId::new(1, 20)));
    assert_eq!(log.sync().unwrap().number(), WriteNumber(2));
    drop(log);
    disk.crash_losing_all();
    let (_, stored) = open(&disk, 8192).unwrap();
    assert_eq!((stored.hard_state, stored.last), (vote(2, 2), EntryId::new(1, 20)));
}

/// From 8 KiB on.
#[test]
fn every_segment_keeps_room_for_a_vote() {
    for segment_bytes in [8192, 16 << 10, 64 << 10] {
        for bytes in [10, 300, 700] {
            let disk = sim();
            let (mut log, _) = open(&disk, segment_bytes).unwrap();
            disk.set_rate(Fault::Full, 1000);
            let mut number = 0;
            loop {
                number += 1;
                assert!(number < 1_000, "the segment fills up");
                if is_full(&persist(&mut log, number, None, &[command(1, number + 1, bytes)])) {
                    break;
                }
            }
            persist(&mut log, number, Some(vote(2, 2)), &[]).unwrap();
        }
    }
}

/// What a follower goes through when a snapshot has come whole and its disk is full: the first attempt to install it is refused where
/// `skipped` tells, a vote is written meanwhile, then there is room.
fn install_on_a_full_disk(disk: &SimDisk, skipped: u64) -> Result<bool, LogError> {
    let (mut log, _) = open(disk, 4096)?;
    persist(&mut log, 1, Some(vote(1, 1)), &commands(1, 2..=4))?;
    let meta = receive(disk, EntryId::new(2, 9), 3_000)?;
    let entries = commands(2, 10..=11);
    let install = |number| Content {
        number: WriteNumber(number),
        hard_state: Some(vote(2, 2)),
        install: Some(&meta),
        repaired: &[],
        entries: &entries,
    };
    disk.inject(Fault::Full, skipped);
    let first = log.write(&[install(2)]);
    let refused = is_full(&first);
    if refused {
        // One refusal is all that was asked for.
        disk.heal();
        persist(&mut log, 3, Some(vote(3, 3)), &[])?;
        let content = Content { hard_state: Some(vote(3, 3)), ..install(4) };
        log.write(&[content])?;
    } else {
        disk.heal();
        first?;
    }
    log.sync()?;
    assert_eq!((log.base(), log.last()), (EntryId::new(2, 9), EntryId::new(2, 11)));
    Ok(refused)
}

#[test]
fn an_install_that_finds_no_room_is_finished_later_and_a_crash_on_the_way_leaves_the_old_log_or_the_new_one()
{
    let mut refusals = 0;
    for skipped in 0..10 {
        let whole = sim();
        let refused = install_on_a_full_disk(&whole, skipped).unwrap();
        assert!(!has_leftovers(&whole), "refused at {skipped}");
        refusals += u64::from(refused);
        for stop in 0..whole.operations() {
            let disk = sim();
            disk.crash_after(stop);
            let _ = install_on_a_full_disk(&disk, skipped);
            disk.heal();
            disk.crash();
            // A log that was never finished is made anew; any other opens, and holds one of the two.
            let (_, stored) = open(&disk, 4096).unwrap_or_else(|error| panic!("{skipped}, {stop}: {error}"));
            let snapshot = newest(&disk).map(|(last, _)| last);
            assert_eq!(stored.snapshot.map(|meta| meta.last), snapshot, "{skipped}, {stop}");
            if snapshot.is_some() {
                assert_eq!(stored.base, EntryId::new(2, 9), "{skipped}, {stop}");
                assert!(stored.hard_state.term.0 >= 2, "{skipped}, {stop}: {:?}", stored.hard_state);
            } else {
                assert!(stored.last <= EntryId::new(1, 4), "{skipped}, {stop}: {}", stored.last);
            }
        }
    }
    assert!(refusals >= 3, "the segment's file, its space, and the file LOG: {refusals}");
}

/// To let go of segments the log notes where it begins from now on. Without room for that nothing goes, and it is tried again. Older
/// snapshots go first: they make room.
#[test]
fn compaction_without_room_keeps_the_log_whole_and_is_tried_again() {
    let disk = sim();
    let (mut log, _) = open(&disk, 4096).unwrap();
    for number in 1..=12 {
        persist(&mut log, number, None, &commands(1, number * 2..=number * 2 + 1)).unwrap();
    }
    let base = log.base();
    take(&disk, EntryId::new(1, 5), 100).unwrap();
    take(&disk, EntryId::new(1, 20), 100).unwrap();
    disk.set_rate(Fault::Full, 1000);
    assert!(is_full(&log.compact(Index(20), &[])));
    assert_eq!(log.base(), base);
    let snapshots = disk.names().iter().filter(|name| name.starts_with("snapshot/")).count();
    assert_eq!((snapshots, has_leftovers(&disk)), (1, false), "the older snapshot has gone");
    disk.heal();
    assert!(log.compact(Index(20), &[]).unwrap() > base);
    persist(&mut log, 13, None, &commands(1, 26..=27)).unwrap();
    drop(log);
    disk.crash_losing_all();
    assert_eq!(open(&disk, 4096).unwrap().1.last, EntryId::new(1, 27));
}

/// A snapshot of the own state takes the last space and fails, at each place where that can happen: it is gone, with its space, and what
/// stood before is as it was.
#[test]
fn a_snapshot_that_finds_no_room_leaves_nothing_behind() {
    let (before, last) = (EntryId::new(1, 5), EntryId::new(1, 9));
    for skipped in 0.. {
        let disk = sim();
        let (log, _) = open(&disk, 4096).unwrap();
        take(&disk, before, 3_000).unwrap();
        disk.inject(Fault::Full, skipped);
        let taken = SnapshotWriter::begin(disk.clone(), snapshot_options(700), covers(last)).and_then(
            |mut writer| match writer.write_all(&state(last, 3_000)) {
                Ok(()) => writer.finish(),
                Err(error) => {
                    let error = writer.failure(error);
                    writer.discard()?;
                    Err(error)
                }
            },
        );
        if disk.count(Fault::Full) == 0 {
            assert!(taken.is_ok() && skipped > 3, "{skipped}");
            break;
        }
        assert!(is_full(&taken), "{skipped}: {taken:?}");
        assert!(!has_leftovers(&disk), "{skipped}");
        assert_eq!(newest(&disk), Some((before, state(before, 3_000))), "{skipped}");
        drop(log);
    }
}

/// The file PEERS grows by a line when a node meets another one. Without room it stays as it is; the handshake is refused and comes again.
#[test]
fn a_peer_that_cannot_be_remembered_for_want_of_room_is_met_again_later() {
    let disk = sim();
    let dir = DataDir::open(disk.clone()).unwrap();
    let [node, known, met] = [1, 2, 3].map(quorate_core::types::NodeId::new);
    let wanted = Wanted { cluster: CLUSTER, node };
    let (mut identity, _) = Identity::open_or_create(&dir, wanted, 7).unwrap();
    identity.remember(known, 8).unwrap();
    disk.set_rate(Fault::Full, 1000);
    assert!(is_full(&identity.remember(met, 9)));
    assert_eq!((identity.known_incarnation(met), has_leftovers(&disk)), (None, false));
    disk.heal();
    identity.remember(met, 9).unwrap();
    drop((identity, dir));
    disk.crash_losing_all();
    let dir = DataDir::open(disk.clone()).unwrap();
    let (identity, _) = Identity::open_or_create(&dir, wanted, 7).unwrap();
    assert_eq!((identity.known_incarnation(known), identity.known_incarnation(met)), (Some(8), Some(9)));
}

/// A node starts on a full disk too: what a start needs was made when there was room.
#[test]
fn a_log_opens_on_a_full_disk() {
    let disk = sim();
    let (mut log, _) = open(&disk, 8192).unwrap();
    persist(&mut log, 1, Some(vote(1, 1)), &commands(1, 2..=9)).unwrap();
    drop(log);
    for crashes in [false, true] {
        if crashes {
            disk.crash();
        }
        disk.set_rate(Fault::Full, 1000);
        let (mut log, stored): (Log<SimDisk>, _) = open(&disk, 8192).unwrap();
        assert_eq!((stored.hard_state, stored.last), (vote(1, 1), EntryId::new(1, 9)));
        persist(&mut log, 1, Some(vote(1, 1)), &[]).unwrap();
    }
}
