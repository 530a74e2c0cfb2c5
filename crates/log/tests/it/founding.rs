//! A cluster that has lost its quorum (T22): its log is written once more under another name, and a crash at any point of that leaves the
//! old folder as it was and a new one that is whole, or on which no node starts.

use std::sync::Arc;

use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, NodeId, Term};
use quorate_log::disk::Disk;
use quorate_log::{
    DataDir, Founding, GivenUp, Identity, Log, LogError, LogOptions, Overlay, SnapshotFile, SnapshotOptions,
    Wanted, found, owner_of,
};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, PIECE_BYTES, commands, open, persist, snapshot_options, state, take, vote};

const NEW: ClusterId = ClusterId(*b"the cluster then");
const OLD: Wanted = Wanted { cluster: CLUSTER, node: NodeId::new(2) };
const FOUNDER: Wanted = Wanted { cluster: NEW, node: NodeId::new(2) };

/// A folder of node 2 with 60 entries of three terms, and what a crash tore at its end. With a snapshot of half of it, the front of the log
/// is compacted.
fn survivor(snapshot: bool) -> SimDisk {
    let disk = SimDisk::new(Rng::new(7));
    let dir = DataDir::open(disk.clone()).unwrap();
    Identity::open_or_create(&dir, OLD, 77).unwrap();
    drop(dir);
    let (mut log, _) = open(&disk, 4096).unwrap();
    persist(&mut log, 1, Some(vote(1, 1)), &commands(1, 2..=20)).unwrap();
    persist(&mut log, 2, Some(vote(2, 3)), &commands(2, 21..=40)).unwrap();
    if snapshot {
        take(&disk, EntryId::new(2, 30), 3000).unwrap();
        let base = log.compact(EntryId::new(2, 30).index, &[]).unwrap();
        assert!(base.index.0 > 0, "the front of the log is gone");
    }
    persist(&mut log, 3, Some(vote(5, 3)), &commands(5, 41..=60)).unwrap();
    disk.crash_after(1);
    let _ = persist(&mut log, 4, None, &commands(5, 61..=70));
    drop(log);
    disk.crash_losing_all();
    disk
}

fn look(disk: &SimDisk) -> Result<(Log<Overlay<SimDisk>>, Stored), LogError> {
    Log::open(DataDir::open(Overlay::new(disk.clone()))?, LogOptions::new(CLUSTER, None))
}

fn founding(stored: &Stored) -> Founding {
    let id = EntryId { term: Term(9), index: stored.last.index.next() };
    let members = Membership { id_given: 3, ..Membership::of_voters([FOUNDER.node]) };
    Founding {
        owner: FOUNDER,
        incarnation: 99,
        hard_state: vote(9, 2),
        entry: Entry { id, timestamp_ms: 9000, payload: Payload::Membership(Arc::new(members)) },
        segment_bytes: 4096,
        piece_bytes: PIECE_BYTES,
    }
}

/// The new folder as the start of a node finds it.
fn start(disk: &SimDisk) -> Result<Stored, LogError> {
    let dir = DataDir::open(disk.clone())?;
    let (identity, _) = Identity::open_or_create(&dir, FOUNDER, 1)?;
    assert_eq!(identity.incarnation(), 99, "only the folder that was made is one of this node");
    let options = LogOptions { segment_bytes: 4096, ..LogOptions::new(NEW, None) };
    Ok(Log::open(dir, options)?.1)
}

/// All entries that a log holds.
fn entries<D: Disk>(log: &Log<D>) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(plan) = {
        let from = entries.last().map_or(log.base().index, |entry: &Entry| entry.id.index).next();
        log.plan(from, log.last().index, 1000)
    } {
        entries.extend(plan.read(log.disk()).unwrap());
    }
    entries
}

#[test]
fn the_new_log_holds_all_that_the_old_one_held_and_then_its_new_members() {
    for snapshot in [false, true] {
        let old = survivor(snapshot);
        let before: Vec<_> = old.names().iter().map(|name| (name.clone(), old.contents(name))).collect();
        let (source, stored) = look(&old).unwrap();
        assert!(stored.last.index.0 >= 60, "what was acknowledged is there");
        let new = SimDisk::new(Rng::new(8));
        found(&source, &stored, &new, &founding(&stored)).unwrap();
        let held = entries(&source);
        drop(source);
        let after: Vec<_> = old.names().iter().map(|name| (name.clone(), old.contents(name))).collect();
        assert_eq!(before, after, "the old folder is as it was");

        new.crash_losing_all();
        let found = start(&new).unwrap();
        assert_eq!(found.hard_state, vote(9, 2));
        assert_eq!(found.last, EntryId { term: Term(9), index: stored.last.index.next() });
        let (_, members) = found.memberships.last().unwrap();
        assert_eq!((members.voters.len(), members.id_last()), (1, 3), "alone, and no id comes again");
        let options = LogOptions { segment_bytes: 4096, ..LogOptions::new(NEW, None) };
        let (log, _) = Log::open(DataDir::open(new.clone()).unwrap(), options).unwrap();
        let copied = entries(&log);
        let held = &held[held.len() + 1 - copied.len()..];
        assert_eq!(copied[..copied.len() - 1], *held);
        if snapshot {
            let options = SnapshotOptions { cluster: NEW, ..snapshot_options(1) };
            let file = SnapshotFile::newest(&new, &options).unwrap().unwrap();
            let (last, mut content) = (file.meta().last, Vec::new());
            std::io::Read::read_to_end(&mut file.into_reader(), &mut content).unwrap();
            assert_eq!((last, content), (EntryId::new(2, 30), state(EntryId::new(2, 30), 3000)));
            assert_eq!(log.base(), last, "the log begins behind the snapshot");
        }
    }
}

#[test]
fn a_crash_at_any_point_leaves_a_whole_new_folder_or_one_on_which_no_node_starts() {
    for snapshot in [false, true] {
        let old = survivor(snapshot);
        let (source, stored) = look(&old).unwrap();
        let founding = founding(&stored);
        let disk = SimDisk::new(Rng::new(1));
        found(&source, &stored, &disk, &founding).unwrap();
        let (total, mut whole) = (disk.operations(), 0);
        assert!(total > 30, "too little is written: {total}");
        for stop_after in 0..=total {
            for way in 0..4 {
                let disk = SimDisk::new(Rng::new(stop_after * 4 + way));
                disk.crash_after(stop_after);
                let written = found(&source, &stored, &disk, &founding);
                assert_eq!(written.is_ok(), stop_after >= total, "{stop_after}: {written:?}");
                match way {
                    0 => disk.crash_losing_all(),
                    1 => disk.crash_keeping_all(),
                    _ => disk.crash(),
                }
                match owner_of(&disk) {
                    Ok(Some(owner)) => {
                        assert_eq!(owner, FOUNDER);
                        let found = start(&disk).unwrap();
                        assert_eq!(found.last, founding.entry.id, "what has its name is whole");
                        whole += 1;
                    }
                    Ok(None) => assert!(written.is_err(), "what was said to be done is there"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(whole >= 4, "{whole}");
    }
}

#[test]
fn a_disk_that_fails_or_is_full_makes_no_cluster() {
    let old = survivor(true);
    let (source, stored) = look(&old).unwrap();
    for fault in [Fault::WriteError, Fault::SyncError, Fault::ShortWrite, Fault::Full] {
        for skipped in 0..3 {
            let disk = SimDisk::new(Rng::new(skipped));
            disk.inject(fault, skipped);
            let written = found(&source, &stored, &disk, &founding(&stored));
            let troubled = written.is_err();
            assert!(troubled || fault == Fault::Full, "{fault:?} {skipped}");
            disk.heal();
            assert_eq!(owner_of(&disk).unwrap().is_none(), troubled, "{fault:?} {skipped}");
        }
    }
}

#[test]
fn damage_of_the_survivor_is_found_while_it_is_copied() {
    let old = survivor(true);
    let name = old.names().into_iter().find(|name| name.ends_with(".taken")).unwrap();
    let mut bytes = old.contents(&name).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    old.plant(&name, &bytes);
    let Ok((source, stored)) = look(&old) else { return };
    if stored.snapshot_lost.is_some() || stored.snapshot.is_none() {
        return;
    }
    let new = SimDisk::new(Rng::new(8));
    let refused = found(&source, &stored, &new, &founding(&stored));
    assert!(matches!(refused, Err(LogError::Corrupt { .. })), "{refused:?}");
    assert_eq!(owner_of(&new).unwrap(), None);
}

#[test]
fn no_node_starts_on_a_folder_that_was_given_up() {
    let disk = survivor(false);
    let mark = GivenUp { cluster: NEW, founder: FOUNDER.node, token: "recovered-1".to_owned() };
    assert_eq!(GivenUp::read(&disk).unwrap(), None);
    mark.write(&disk).unwrap();
    disk.crash_losing_all();
    assert_eq!(GivenUp::read(&disk).unwrap(), Some(mark));
    let dir = DataDir::open(disk.clone()).unwrap();
    let refused = Identity::open_or_create(&dir, OLD, 1).unwrap_err();
    assert!(matches!(refused, LogError::GivenUp { by: NEW }), "{refused}");
    assert!(refused.to_string().contains("--join"), "{refused}");
    drop(dir);
    assert!(look(&disk).is_ok(), "what it holds can still be seen");
}

/// The same changes on a disk and on an overlay: both show the same, and what is below has not changed.
#[test]
fn an_overlay_shows_what_a_disk_would_and_changes_nothing() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let below = SimDisk::new(Rng::new(seed));
        below.create_dir("wal").unwrap();
        for (name, len) in [("a", 100), ("wal/b", 9000), ("wal/c", 4096)] {
            let bytes: Vec<u8> = (0..len).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
            below.plant(name, &bytes);
        }
        let before: Vec<_> = below.names().iter().map(|name| (name.clone(), below.contents(name))).collect();
        let (real, overlay) = (below.fork(Rng::new(seed)), Overlay::new(below.clone()));
        for _ in 0..40 {
            let mut same = rng.clone();
            let shown = change(&real, &mut rng);
            assert_eq!(change(&overlay, &mut same), shown, "seed {seed}");
            rng = same;
        }
        let after: Vec<_> = below.names().iter().map(|name| (name.clone(), below.contents(name))).collect();
        assert_eq!(before, after, "seed {seed}");
    }
}

/// Makes one random change or look, and gives back what it showed.
fn change<D: Disk>(disk: &D, rng: &mut Rng) -> String {
    let names = ["a", "wal/b", "wal/c", "wal/d"];
    let name = names[usize::try_from(rng.below(4)).unwrap()];
    let other = names[usize::try_from(rng.between(1, 3)).unwrap()];
    let (at, len) = (rng.below(12_000), rng.below(6000));
    let kind = |error: std::io::Error| format!("{:?}", error.kind());
    let done = match rng.below(8) {
        0 => disk.remove(name).map(|()| String::new()),
        1 if name != other && name != "a" => disk.rename(name, other).map(|()| String::new()),
        2 => disk.create(name).map(|_| String::new()),
        3 => disk.list("wal").map(|names| names.join(" ")),
        4 => disk.open(name).and_then(|file| disk.set_len(&file, at)).map(|()| String::new()),
        5 => disk.open(name).and_then(|file| disk.allocate(&file, at)).map(|()| String::new()),
        6 => {
            let bytes = vec![u8::try_from(at % 250).unwrap() + 1; usize::try_from(len).unwrap()];
            disk.open(name).and_then(|file| disk.write_at(&file, &bytes, at)).map(|()| String::new())
        }
        _ => disk.open(name).and_then(|file| {
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            let read = disk.read_at(&file, &mut bytes, at)?;
            Ok(format!("{} {read} {:?}", disk.len(&file)?, &bytes[..read]))
        }),
    };
    done.unwrap_or_else(kind)
}
