//! Stories of broken disks, each with the one end that it may have. The simulator's runs break disks by chance; here each kind of
//! damage is made on purpose, so that a planted bug is met at once.

use std::panic::catch_unwind;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{ClusterId, EntryId, NodeId, WriteNumber};
use quorate_log::{Content, DataDir, Log, LogError, LogOptions};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

/// A story by its name; whether it ends as it must.
type Story = (&'static str, fn() -> bool);

const STORIES: &[Story] = &[
    ("a failed sync is never followed by a good one", a_failed_sync_is_final),
    ("damage at the end of the log is named, not cut", damage_is_named),
    ("a batch in the wrong place is named, not cut", a_misdirected_batch_is_named),
    ("a log that is gone is missed, not made anew", a_lost_log_is_missed),
];

/// The stories that do not end as they must. A panic is no end either.
pub(super) fn broken() -> impl Iterator<Item = &'static str> {
    STORIES.iter().filter(|(_, story)| !catch_unwind(story).unwrap_or(false)).map(|(name, _)| *name)
}

fn a_failed_sync_is_final() -> bool {
    let disk = SimDisk::new(Rng::new(1));
    let mut log = open(&disk).expect("an empty disk takes a log");
    disk.inject(Fault::SyncError, 0);
    let first = persist(&mut log, 1, &[entry(2)]);
    let second = persist(&mut log, 2, &[entry(3)]);
    first.is_err() && matches!(second, Err(LogError::Poisoned))
}

fn damage_is_named() -> bool {
    let disk = filled();
    change(&disk, |bytes, start, _| bytes[start] ^= 1);
    matches!(open(&disk), Err(LogError::Corrupt { .. }))
}

fn a_misdirected_batch_is_named() -> bool {
    let disk = filled();
    change(&disk, |bytes, start, end| {
        let batch = bytes[start..end].to_vec();
        bytes[start..end].fill(0);
        let to = bytes.len() - batch.len();
        bytes[to..].copy_from_slice(&batch);
    });
    matches!(open(&disk), Err(LogError::Corrupt { .. }))
}

fn a_lost_log_is_missed() -> bool {
    let disk = filled();
    disk.uproot(SEGMENT);
    matches!(open(&disk), Err(LogError::Corrupt { .. }))
}

/// A disk with a log of two batches behind its first entry, all of it durable.
fn filled() -> SimDisk {
    let disk = SimDisk::new(Rng::new(1));
    let mut log = open(&disk).expect("an empty disk takes a log");
    persist(&mut log, 1, &[entry(2)]).expect("the disk is sound");
    persist(&mut log, 2, &[entry(3)]).expect("the disk is sound");
    drop(log);
    disk.crash_losing_all();
    disk
}

/// Changes the segment; the change is told where its last batch begins and ends.
fn change(disk: &SimDisk, change: impl FnOnce(&mut [u8], usize, usize)) {
    let mut bytes = disk.contents(SEGMENT).expect("the log has a segment");
    let used = bytes.chunks(SECTOR).rposition(|sector| sector.iter().any(|byte| *byte != 0));
    let end = (used.expect("the segment is not empty") + 1) * SECTOR;
    // A batch of one small entry is a sector of records and a sector that ends it.
    change(&mut bytes, end - 2 * SECTOR, end);
    disk.plant(SEGMENT, &bytes);
}

fn open(disk: &SimDisk) -> Result<Log<SimDisk>, LogError> {
    let members = Membership::of_voters([1, 2, 3].map(NodeId::new));
    let options = LogOptions {
        segment_bytes: 16 << 10,
        ..LogOptions::new(ClusterId(*b"broken disk tale"), Some(members))
    };
    Ok(Log::open(DataDir::open(disk.clone())?, options)?.0)
}

fn persist(log: &mut Log<SimDisk>, number: u64, entries: &[Entry]) -> Result<(), LogError> {
    log.write(&[Content { number: WriteNumber(number), hard_state: None, entries }])?;
    log.sync().map(|_| ())
}

fn entry(index: u64) -> Entry {
    let payload = Payload::Command(Bytes::from_static(b"a small command"));
    Entry { id: EntryId::new(1, index), timestamp_ms: index, payload }
}

/// The name of a log's first segment.
const SEGMENT: &str = "wal/0000000000000001.seg";
/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
