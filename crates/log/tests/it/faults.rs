//! What the log does when its disk fails or fills up, and what it hands to readers while it goes on.

use std::thread;

use quorate_core::entry::Entry;
use quorate_core::types::{ClusterId, EntryId, Index, NodeId, WriteNumber};
use quorate_log::{Content, DataDir, Identity, Log, LogError, RealDisk, Wanted};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, command, commands, members, open, persist, vote};

fn sim() -> SimDisk {
    SimDisk::new(Rng::new(1))
}

/// R59, T78: after a failed sync the pages are clean and the next sync says yes. Nobody may ask it.
#[test]
fn a_failed_sync_or_write_poisons_the_log_for_good() {
    for fault in [Fault::SyncError, Fault::WriteError] {
        let disk = sim();
        let (mut log, _) = open(&disk, 4096).unwrap();
        persist(&mut log, 1, None, &commands(1, 2..=3)).unwrap();
        disk.inject(fault, 0);
        assert!(matches!(persist(&mut log, 2, None, &commands(1, 4..=5)), Err(LogError::Io { .. })));
        disk.heal();
        assert!(matches!(log.sync(), Err(LogError::Poisoned)));
        assert!(matches!(persist(&mut log, 3, Some(vote(1, 1)), &[]), Err(LogError::Poisoned)));
        assert_eq!(disk.count(fault), 1);
    }
}

/// R58, T30: each file that a rotation touches can fail to sync, and none of these failures is overlooked.
#[test]
fn a_failed_sync_within_a_rotation_poisons_the_log() {
    let mut poisoned = 0;
    for skipped in 0..5 {
        let disk = sim();
        let (mut log, _) = open(&disk, 4096).unwrap();
        persist(&mut log, 1, None, &[command(1, 2, 1500)]).unwrap();
        log.write(&[Content {
            number: WriteNumber(2),
            hard_state: Some(vote(1, 1)),
            install: None,
            repaired: &[],
            entries: &[],
        }])
        .unwrap();
        disk.inject(Fault::SyncError, skipped);
        let result = persist(&mut log, 3, None, &[command(1, 3, 1500)]);
        assert_eq!(result.is_err(), disk.count(Fault::SyncError) == 1, "{skipped}");
        if result.is_err() {
            assert!(matches!(log.sync(), Err(LogError::Poisoned)), "{skipped}");
            poisoned += 1;
        }
    }
    assert_eq!(poisoned, 5, "old segment, new segment, names, seal, and the batch itself");
}

#[test]
fn a_full_disk_is_told_apart_leaves_the_log_as_it_was_and_votes_still_fit() {
    let disk = sim();
    let (mut log, _) = open(&disk, 8192).unwrap();
    disk.set_rate(Fault::Full, 1000);
    let mut last = 1;
    let mut number = 0;
    let full = loop {
        number += 1;
        match persist(&mut log, number, None, &commands(1, last + 1..=last + 5)) {
            Ok(()) => last += 5,
            Err(error) => break error,
        }
        assert!(number < 100, "the first segment fills up");
    };
    assert!(matches!(&full, LogError::Full { bytes: 8192, .. }), "{full}");
    assert_eq!(log.last(), EntryId::new(1, last));
    assert!(
        !disk.names().iter().any(|name| name.ends_with(".tmp")),
        "what was taken of the last space is given back"
    );
    // The same number was not taken, and hard state has its reserve.
    persist(&mut log, number, Some(vote(2, 2)), &[]).unwrap();
    disk.heal();
    persist(&mut log, number + 1, None, &commands(2, last + 1..=last + 5)).unwrap();
    drop(log);
    disk.crash_losing_all();
    let (_, stored) = open(&disk, 8192).unwrap();
    assert_eq!((stored.hard_state, stored.last), (vote(2, 2), EntryId::new(2, last + 5)));
}

/// T27: what is attested is the number of the write, not an index that may have been written twice.
#[test]
fn several_writes_become_one_batch_and_the_last_number_is_attested() {
    let disk = sim();
    let (mut log, _) = open(&disk, 64 << 10).unwrap();
    let (first, second, third) = (commands(1, 2..=9), commands(2, 5..=7), commands(3, 6..=6));
    let content = |number, entries| Content {
        number: WriteNumber(number),
        hard_state: None,
        install: None,
        repaired: &[],
        entries,
    };
    // With its first write the log removes what says how it was stopped.
    log.write(&[content(1, &first)]).unwrap();
    log.sync().unwrap();
    let before = disk.operations();
    log.write(&[content(4, &first), content(5, &second), content(9, &[]), content(10, &third)]).unwrap();
    assert_eq!(log.sync().unwrap().number(), WriteNumber(10));
    assert_eq!(disk.operations() - before, 2, "one write and one sync");
    log.write(&[content(11, &[])]).unwrap();
    assert_eq!(log.sync().unwrap().number(), WriteNumber(11));
    assert_eq!(disk.operations() - before, 2, "a write without content costs nothing");
    drop(log);
    disk.crash_losing_all();
    let (_, stored) = open(&disk, 64 << 10).unwrap();
    let mut entries = vec![Entry::bootstrap(members())];
    entries.extend(commands(1, 2..=4));
    entries.extend([command(2, 5, 100), command(3, 6, 100)]);
    assert_eq!(stored.tail, entries);
    assert_eq!(
        stored.term_starts,
        [EntryId::new(0, 1), EntryId::new(1, 2), EntryId::new(2, 5), EntryId::new(3, 6)]
    );
}

#[test]
fn more_terms_than_a_footer_names_and_a_batch_larger_than_a_segment_are_kept() {
    let disk = sim();
    let (mut log, _) = open(&disk, 4096).unwrap();
    let entries: Vec<Entry> = (2..=100).map(|index| command(index, index, 200)).collect();
    persist(&mut log, 1, None, &entries).unwrap();
    persist(&mut log, 2, None, &[command(100, 101, 100_000)]).unwrap();
    drop(log);
    disk.crash_losing_all();
    let (log, stored) = open(&disk, 4096).unwrap();
    assert_eq!(stored.tail[1..100], entries);
    assert_eq!(stored.term_starts.len(), 100);
    let read = log.plan(Index(101), Index(101), 1).unwrap().read(&disk).unwrap();
    assert_eq!(read, [command(100, 101, 100_000)]);
}

/// The window that recovery hands over is bounded, and holds the last entry whatever its size.
#[test]
fn recovery_keeps_the_newest_entries_that_fit_and_at_least_one() {
    let disk = sim();
    let (mut log, _) = open(&disk, 64 << 10).unwrap();
    persist(&mut log, 1, None, &commands(1, 2..=50)).unwrap();
    drop(log);
    for (window_bytes_max, first) in [(0, 50), (1, 50), (164 * 3, 48), (1 << 20, 1)] {
        let mut options = crate::kit::options(64 << 10);
        options.window_bytes_max = window_bytes_max;
        let (log, stored) = Log::open(DataDir::open(disk.clone()).unwrap(), options).unwrap();
        assert_eq!(stored.tail.first().unwrap().id.index, Index(first), "{window_bytes_max}");
        assert_eq!((stored.last, log.last()), (EntryId::new(1, 50), EntryId::new(1, 50)));
        assert_eq!(stored.memberships.len(), 1);
    }
}

/// R63: reads name their own offsets, so that a reader and the writer never move each other's place. What was truncated after the
/// plan was made is still what the plan promised.
#[test]
fn a_reader_on_another_thread_sees_what_was_planned_while_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let (mut log, _) = open(&disk, 256 << 10).unwrap();
    let entries = commands(1, 2..=3000);
    persist(&mut log, 1, None, &entries).unwrap();
    let plan = log.plan(Index(2), Index(3000), usize::MAX).unwrap();
    let reader = {
        let disk = disk.clone();
        thread::Builder::new()
            .spawn(move || (0..20).map(|_| plan.read(&disk).unwrap()).collect::<Vec<_>>())
            .unwrap()
    };
    for number in 2..200 {
        persist(&mut log, number, None, &commands(number, 1000..=1020)).unwrap();
    }
    for read in reader.join().unwrap() {
        assert_eq!(read, entries);
    }
    let after = log.plan(Index(990), Index(2000), usize::MAX).unwrap().read(&disk).unwrap();
    assert_eq!(after, [&entries[988..998], &commands(199, 1000..=1020)].concat());
}

/// A byte that changed on the disk after the log was opened is never served to a peer.
#[test]
fn a_read_checks_what_it_serves() {
    let disk = sim();
    let (mut log, _) = open(&disk, 4096).unwrap();
    persist(&mut log, 1, None, &commands(1, 2..=4)).unwrap();
    let plan = log.plan(Index(2), Index(4), usize::MAX).unwrap();
    assert_eq!(plan.read(&disk).unwrap(), commands(1, 2..=4));
    let name = "wal/0000000000000001.seg";
    let mut bytes = disk.contents(name).unwrap();
    bytes[1536 + 72 + 200] ^= 4;
    disk.plant(name, &bytes);
    assert!(matches!(plan.read(&disk), Err(LogError::Corrupt { file, .. }) if file == name));
}

/// T87: a store that is gone and made anew has another incarnation, and is refused by name.
#[test]
fn a_folder_of_another_node_or_cluster_and_a_peer_with_another_store_are_refused() {
    let disk = sim();
    let dir = DataDir::open(disk.clone()).unwrap();
    assert!(matches!(DataDir::open(disk.clone()), Err(LogError::InUse)));
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
    let (mut identity, created) = Identity::open_or_create(&dir, wanted, 5).unwrap();
    assert!(created && identity.incarnation() == 5);
    identity.remember(NodeId::new(2), 20).unwrap();
    identity.remember(NodeId::new(2), 20).unwrap();
    let refused = identity.remember(NodeId::new(2), 21);
    assert!(matches!(refused, Err(LogError::OtherIncarnation { known: 20, shown: 21, .. })));
    drop(dir);
    disk.crash_losing_all();
    let dir = DataDir::open(disk).unwrap();
    let (identity, created) = Identity::open_or_create(&dir, wanted, 6).unwrap();
    assert!(!created && identity.incarnation() == 5);
    assert_eq!(
        (identity.known_incarnation(NodeId::new(2)), identity.known_incarnation(NodeId::new(3))),
        (Some(20), None)
    );
    let other = Identity::open_or_create(&dir, Wanted { node: NodeId::new(3), ..wanted }, 7);
    assert!(matches!(other, Err(LogError::OtherNode { .. })));
    let other = Identity::open_or_create(&dir, Wanted { cluster: ClusterId([1; 16]), ..wanted }, 7);
    assert!(matches!(other, Err(LogError::OtherCluster { file, .. }) if file == "NODE"));
}

#[test]
fn peers_are_remembered_up_to_a_bound() {
    let disk = sim();
    let dir = DataDir::open(disk).unwrap();
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
    let (mut identity, _) = Identity::open_or_create(&dir, wanted, 5).unwrap();
    let max = quorate_log::identity::PEERS_LEN_MAX as u64;
    for node in 1..=max {
        identity.remember(NodeId::new(node), u128::from(node)).unwrap();
    }
    assert!(matches!(identity.remember(NodeId::new(max + 1), 1), Err(LogError::TooManyPeers { .. })));
    let (identity, _) = Identity::open_or_create(&dir, wanted, 6).unwrap();
    assert_eq!(identity.known_incarnation(NodeId::new(max)), Some(u128::from(max)));
}
