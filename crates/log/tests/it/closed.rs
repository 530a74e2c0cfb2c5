//! The file CLOSED: what a disk takes back while a node is stopped is missed at the next start, and who loses the file loses only the proof.

use quorate_core::types::{EntryId, NodeId};
use quorate_log::inspect::{FindingState, inspect};
use quorate_log::{DataDir, Identity, Log, LogError, Wanted};
use quorate_sim::disk::SimDisk;
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, commands, covers, open, open_damaged, persist, receive, take, vote};

const FILES: [&str; 2] = ["CLOSED", "wal/CLOSED"];
const LAST_SEGMENT: &str = "wal/0000000000000003.seg";
const SEGMENT_BYTES: u64 = 8 << 10;

fn identity(disk: &SimDisk) -> Result<Identity<SimDisk>, LogError> {
    let dir = DataDir::open(disk.clone())?;
    Ok(Identity::open_or_create(&dir, Wanted { cluster: CLUSTER, node: NodeId::new(1) }, 7)?.0)
}

/// A node of three segments that was stopped in order twice; its files after the first stop and after the second.
fn stopped_twice() -> (SimDisk, SimDisk) {
    let disk = SimDisk::new(Rng::new(1));
    let mut known = identity(&disk).unwrap();
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    known.remember(NodeId::new(2), 22).unwrap();
    for number in 1..=12 {
        persist(&mut log, number, Some(vote(number, 1)), &commands(1, number + 1..=number + 1)).unwrap();
    }
    log.close().unwrap();
    let before = disk.fork(Rng::new(2));
    known.remember(NodeId::new(3), 33).unwrap();
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    persist(&mut log, 1, Some(vote(99, 2)), &commands(1, 14..=14)).unwrap();
    log.close().unwrap();
    disk.crash_losing_all();
    let last = |disk: &SimDisk| disk.names().into_iter().rfind(|name| name.ends_with(".seg"));
    assert_eq!((last(&before), last(&disk)), (Some(LAST_SEGMENT.to_owned()), Some(LAST_SEGMENT.to_owned())));
    (before, disk)
}

/// Puts the older copy of a file in place of what is there.
fn put_back(disk: &SimDisk, before: &SimDisk, name: &str) {
    disk.plant(name, &before.contents(name).unwrap());
}

/// Asserts that both kinds of log refuse this, with these words.
fn check_refused(disk: &SimDisk, words: &str) {
    for opened in [
        open(&disk.fork(Rng::new(1)), SEGMENT_BYTES).map(|_| ()),
        open_damaged(&disk.fork(Rng::new(1)), SEGMENT_BYTES).map(|_| ()),
    ] {
        let error = opened.unwrap_err();
        assert!(matches!(&error, LogError::Corrupt { what, .. } if what.contains(words)), "{error}");
    }
    let mut damages = Vec::new();
    let look = inspect(disk, false, &mut |finding| {
        if finding.state == FindingState::Damaged {
            damages.push(finding.what.clone());
        }
    });
    look.unwrap();
    assert!(damages.iter().any(|what| what.contains(words)), "{damages:?}");
}

#[test]
fn an_older_copy_of_the_last_segment_is_missed_after_an_orderly_stop() {
    let (before, disk) = stopped_twice();
    put_back(&disk, &before, LAST_SEGMENT);
    check_refused(&disk, "but CLOSED says that this was durable");
    // All of the folder as it was: nobody can tell.
    let (_, stored) = open(&before, SEGMENT_BYTES).unwrap();
    assert_eq!((stored.last, stored.hard_state), (EntryId::new(1, 13), vote(12, 1)));
}

#[test]
fn an_older_closed_is_refused_and_does_not_cut_the_log() {
    let (before, disk) = stopped_twice();
    let alone = disk.fork(Rng::new(3));
    put_back(&alone, &before, FILES[0]);
    check_refused(&alone, "says something else of the end of the log");
    for name in FILES {
        put_back(&disk, &before, name);
    }
    check_refused(&disk, "but when the node was stopped it went");
}

#[test]
fn a_log_without_closed_or_with_one_of_the_two_is_opened() {
    let (_, disk) = stopped_twice();
    for gone in FILES {
        for damaged in [false, true] {
            let disk = disk.fork(Rng::new(1));
            if damaged {
                disk.plant(gone, b"QRTEEND\n");
            } else {
                disk.uproot(gone);
            }
            let (log, stored) = open(&disk, SEGMENT_BYTES).unwrap();
            assert_eq!((stored.last, stored.hard_state), (EntryId::new(1, 14), vote(99, 2)));
            assert!(log.notes()[0].starts_with(&format!("{gone} at byte 0")), "{:?}", log.notes());
        }
    }
    disk.uproot(FILES[0]);
    disk.uproot(FILES[1]);
    let (log, stored) = open(&disk, SEGMENT_BYTES).unwrap();
    assert_eq!((stored.last, log.notes().len()), (EntryId::new(1, 14), 0));
}

#[test]
fn an_older_copy_of_peers_is_missed_and_a_missing_one_too() {
    let (before, disk) = stopped_twice();
    put_back(&disk, &before, "PEERS");
    assert!(identity(&disk).is_ok(), "alone it looks whole");
    check_refused(&disk, "does not name all peers");
    disk.uproot("PEERS");
    assert!(matches!(identity(&disk), Err(LogError::Corrupt { file, .. }) if file == "PEERS"));
    // A peer that was met after the log was closed is no contradiction.
    let (_, disk) = stopped_twice();
    identity(&disk).unwrap().remember(NodeId::new(4), 44).unwrap();
    assert!(open(&disk, SEGMENT_BYTES).is_ok());
}

#[test]
fn closed_is_durably_gone_before_the_first_change_and_not_before() {
    let (_, disk) = stopped_twice();
    drop(open(&disk, SEGMENT_BYTES).unwrap());
    disk.crash_keeping_all();
    assert!(FILES.iter().all(|name| disk.contents(name).is_some()), "to open a log changes nothing of it");
    let change: [fn(&mut Log<SimDisk>, &SimDisk); 3] = [
        |log, _| persist(log, 1, None, &commands(100, 15..=15)).unwrap(),
        |log, disk| {
            take(disk, EntryId::new(1, 14), 100).unwrap();
            log.compact(EntryId::new(1, 14).index, &[]).unwrap();
        },
        |log, disk| {
            let meta = receive(disk, EntryId::new(99, 40), 100).unwrap();
            let install = quorate_log::Content {
                number: quorate_core::types::WriteNumber(1),
                hard_state: None,
                install: Some(&meta),
                repaired: &[],
                entries: &[],
            };
            log.write(&[install]).unwrap();
        },
    ];
    for change in change {
        let (_, disk) = stopped_twice();
        let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
        change(&mut log, &disk);
        drop(log);
        disk.crash_losing_all();
        assert!(FILES.iter().all(|name| disk.contents(name).is_none()));
        open(&disk, SEGMENT_BYTES).unwrap();
    }
    // It says nothing that forbids a snapshot: those are taken beside the log.
    let (_, disk) = stopped_twice();
    take(&disk, EntryId::new(1, 14), 100).unwrap();
    assert_eq!(open(&disk, SEGMENT_BYTES).unwrap().1.snapshot, Some(covers(EntryId::new(1, 14))));
}
