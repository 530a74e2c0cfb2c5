//! What the tests of the log share: entries, options, a log on any disk.

use bytes::Bytes;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, NodeId, Term, WriteNumber};
use quorate_log::disk::Disk;
use quorate_log::{Content, DataDir, Log, LogError, LogOptions};

/// The cluster of all tests.
pub(crate) const CLUSTER: ClusterId = ClusterId(*b"cluster of tests");

/// A log of three members with segments of this length.
pub(crate) fn options(segment_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes, ..LogOptions::new(CLUSTER, Some(members())) }
}

/// The members of all tests.
pub(crate) fn members() -> Membership {
    Membership::of_voters([1, 2, 3].map(NodeId::new))
}

/// A command of `len` bytes that no other entry has.
pub(crate) fn command(term: u64, index: u64, len: usize) -> Entry {
    let byte = u8::try_from((term * 31 + index) % 251).expect("below 251");
    let payload = Payload::Command(Bytes::from(vec![byte; len]));
    Entry { id: EntryId::new(term, index), timestamp_ms: term * 1000 + index, payload }
}

/// Commands of 100 bytes with these indices.
pub(crate) fn commands(term: u64, indices: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    indices.map(|index| command(term, index, 100)).collect()
}

/// Term and vote.
pub(crate) fn vote(term: u64, node: u64) -> HardState {
    HardState { term: Term(term), vote: NodeId::checked(node) }
}

/// Opens the log on a disk.
pub(crate) fn open<D: Disk + Clone>(disk: &D, segment_bytes: u64) -> Result<(Log<D>, Stored), LogError> {
    Log::open(DataDir::open(disk.clone())?, options(segment_bytes))
}

/// Writes entries as one write and syncs.
pub(crate) fn persist<D: Disk>(
    log: &mut Log<D>,
    number: u64,
    hard_state: Option<HardState>,
    entries: &[Entry],
) -> Result<(), LogError> {
    log.write(&[Content { number: WriteNumber(number), hard_state, entries }])?;
    let durable = log.sync()?;
    assert_eq!(durable.number(), WriteNumber(number));
    Ok(())
}
