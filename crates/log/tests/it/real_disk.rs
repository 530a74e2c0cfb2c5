//! The log on the operating system's disk.

use std::os::unix::fs::PermissionsExt;

use quorate_core::entry::Entry;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index};
use quorate_log::{DataDir, LogError, RealDisk};

use crate::kit::{command, commands, members, open, persist, vote};

#[test]
fn what_was_synced_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path().join("node")).unwrap();
    let (mut log, stored) = open(&disk, 64 << 10).unwrap();
    assert_eq!(stored, Stored::bootstrap(members()));
    let mut entries = vec![Entry::bootstrap(members())];
    for number in 1..=200 {
        let added = [command(1, number * 2, 700), command(1, number * 2 + 1, 0)];
        persist(&mut log, number, Some(vote(number, 1 + number % 3)), &added).unwrap();
        entries.extend(added);
    }
    drop(log);
    let (log, stored) = open(&disk, 64 << 10).unwrap();
    assert_eq!(stored, Stored::of_entries(vote(200, 3), entries.clone()));
    let plan = log.plan(Index(100), Index(300), 50_000).unwrap();
    let read = plan.read(&disk).unwrap();
    assert_eq!(read, entries[99..99 + read.len()]);
    assert!(read.len() > 50);
    assert!(log.plan(Index(402), Index(500), 1).is_none());
}

#[test]
fn a_file_in_the_place_of_the_data_directory_is_called_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(RealDisk::open(file.path()), Err(LogError::NotADirectory)));
}

#[test]
fn a_folder_belongs_to_one_process_at_a_time_and_to_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let disk = RealDisk::open(&path).unwrap();
    let (mut log, _) = open(&disk, 4096).unwrap();
    persist(&mut log, 1, None, &commands(1, 2..=30)).unwrap();
    assert!(matches!(DataDir::open(disk.clone()), Err(LogError::InUse)));
    let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("wal"), mode("LOG")), (0o700, 0o700, 0o600));
    assert_eq!(mode("wal/0000000000000002.seg"), 0o600);
    assert_eq!(log.last(), EntryId::new(1, 30));
    drop(log);
    assert!(DataDir::open(disk).is_ok());
}
