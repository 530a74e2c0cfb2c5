//! The files of a data folder, byte for byte as format 0 has them. From the first release on, what a release wrote is kept here and opened
//! for ever. `QUORATE_GOLDEN=update` writes the files anew: only for a change of format that can be explained.

use std::path::PathBuf;

use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, NodeId};
use quorate_log::{DataDir, Identity, Wanted};
use quorate_sim::disk::SimDisk;
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, command, commands, covers, newest, open, persist, state, take, vote};

const FILES: [&str; 8] = [
    "CLOSED",
    "LOG",
    "NODE",
    "PEERS",
    "snapshot/0000000000000004-0000000000000001.taken",
    "wal/0000000000000001.seg",
    "wal/0000000000000002.seg",
    "wal/CLOSED",
];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/v0").join(name)
}

/// Writes what the golden files hold.
fn written() -> SimDisk {
    let disk = SimDisk::new(Rng::new(1));
    let dir = DataDir::open(disk.clone()).unwrap();
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(3) };
    let (mut identity, _) =
        Identity::open_or_create(&dir, wanted, 0x1234_5678_9abc_def0_0fed_cba9_8765_4321).unwrap();
    drop(dir);
    let (mut log, _) = open(&disk, 4096).unwrap();
    identity.remember(NodeId::new(1), 11).unwrap();
    identity.remember(NodeId::new(2), 22).unwrap();
    persist(&mut log, 1, Some(vote(1, 2)), &commands(1, 2..=3)).unwrap();
    persist(&mut log, 2, None, &[command(1, 4, 600)]).unwrap();
    take(&disk, EntryId::new(1, 4), 1000).unwrap();
    persist(&mut log, 3, Some(vote(2, 0)), &commands(2, 5..=6)).unwrap();
    log.close().unwrap();
    disk
}

fn stored_on(disk: &SimDisk) -> Stored {
    let dir = DataDir::open(disk.clone()).unwrap();
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(3) };
    let (identity, created) = Identity::open_or_create(&dir, wanted, 1).unwrap();
    assert!(!created && identity.incarnation() == 0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
    assert_eq!(identity.known_incarnation(NodeId::new(2)), Some(22));
    drop(dir);
    open(disk, 4096).unwrap().1
}

#[test]
fn a_folder_of_format_0_opens_and_is_written_the_same() {
    let disk = written();
    if std::env::var("QUORATE_GOLDEN").is_ok_and(|value| value == "update") {
        for name in FILES {
            std::fs::create_dir_all(golden(name).parent().unwrap()).unwrap();
            std::fs::write(golden(name), disk.contents(name).unwrap()).unwrap();
        }
    }
    let old = SimDisk::new(Rng::new(2));
    for name in FILES {
        let bytes = std::fs::read(golden(name)).unwrap();
        assert!(disk.contents(name).unwrap() == bytes, "{name} is written in another form than format 0");
        old.plant(name, &bytes);
    }
    let names = disk.names();
    assert!(names.iter().all(|name| FILES.contains(&name.as_str()) || name == "LOCK"), "{names:?}");
    let stored = stored_on(&old);
    let snapshot = Some(covers(EntryId::new(1, 4)));
    assert_eq!(stored, Stored { snapshot, ..Stored::of_entries(vote(2, 0), stored.tail.clone()) });
    let entries = [commands(1, 2..=3), vec![command(1, 4, 600)], commands(2, 5..=6)].concat();
    assert_eq!(stored.tail[1..], entries);
    assert_eq!(newest(&old), Some((EntryId::new(1, 4), state(EntryId::new(1, 4), 1000))));
}
