//! What the tests of the log share: entries, options, a log on any disk.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, GroupId, Index, NodeId, Term, WriteNumber};
use quorate_log::disk::Disk;
use quorate_log::{
    Content, DataDir, Incoming, Log, LogError, LogOptions, SnapshotFile, SnapshotOptions, SnapshotWriter,
};
use quorate_sim::disk::SimDisk;
use quorate_sim::rng::Rng;

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

/// Opens the log on a disk, also when it lacks something that peers may have.
pub(crate) fn open_damaged<D: Disk + Clone>(
    disk: &D,
    segment_bytes: u64,
) -> Result<(Log<D>, Stored), LogError> {
    let options = LogOptions { opens_damaged: true, ..options(segment_bytes) };
    Log::open(DataDir::open(disk.clone())?, options)
}

/// Writes entries as one write and syncs.
pub(crate) fn persist<D: Disk>(
    log: &mut Log<D>,
    number: u64,
    hard_state: Option<HardState>,
    entries: &[Entry],
) -> Result<(), LogError> {
    log.write(&[Content { number: WriteNumber(number), hard_state, install: None, repaired: &[], entries }])?;
    let durable = log.sync()?;
    assert_eq!(durable.number(), WriteNumber(number));
    Ok(())
}

/// Power loss in one of several ways.
pub(crate) fn crash(disk: &SimDisk, way: u64) {
    match way {
        0 => disk.crash_losing_all(),
        1 => disk.crash_keeping_all(),
        _ => disk.crash(),
    }
}

/// A workload: what is written to a log, step by step, and compared with what a start finds.
#[derive(Copy, Clone)]
pub(crate) struct Workload<M> {
    pub(crate) steps: usize,
    pub(crate) reopen: fn(&mut M, &SimDisk) -> Result<Log<SimDisk>, LogError>,
    pub(crate) step: fn(&mut M, &mut Log<SimDisk>, &mut Rng) -> Result<(), LogError>,
}

impl<M> Workload<M> {
    /// Runs it with a seed on a new disk until the disk stops or the log is closed in order.
    pub(crate) fn run(self, mut model: M, seed: u64, stop_after: Option<u64>) -> (SimDisk, M) {
        let disk = SimDisk::new(Rng::stream(seed, "disk"));
        let mut rng = Rng::stream(seed, "workload");
        if let Some(operations) = stop_after {
            disk.crash_after(operations);
        }
        if let Ok(mut log) = (self.reopen)(&mut model, &disk) {
            let done = (0..self.steps).all(|_| (self.step)(&mut model, &mut log, &mut rng).is_ok());
            // A disk that stops while the log is closed has taken nothing back.
            let _ = if done { log.close() } else { Ok(()) };
        }
        (disk, model)
    }
}

/// How the tests' snapshots are cut.
pub(crate) fn snapshot_options(piece_bytes: usize) -> SnapshotOptions {
    SnapshotOptions { cluster: CLUSTER, group: GroupId(0), piece_bytes }
}

/// A snapshot that ends with this entry covers this.
pub(crate) fn covers(last: EntryId) -> SnapshotMeta {
    let timestamp_ms = last.term.0 * 1000 + last.index.0;
    SnapshotMeta {
        last,
        term: last.term,
        timestamp_ms,
        membership_index: Index(1),
        membership: Arc::new(members()),
    }
}

/// The state of `len` bytes that the tests' snapshots hold.
pub(crate) fn state(last: EntryId, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from((at as u64 * 7 + last.index.0 * 3 + last.term.0) % 256).expect("below 256"))
        .collect()
}

/// Takes a snapshot that ends with this entry.
pub(crate) fn take<D: Disk + Clone>(disk: &D, last: EntryId, len: usize) -> Result<SnapshotName, LogError> {
    let mut writer = SnapshotWriter::begin(disk.clone(), snapshot_options(PIECE_BYTES), covers(last))?;
    let written = writer.write_all(&state(last, len));
    written.map_err(|source| LogError::Io { action: "cannot write", file: "snapshot".to_owned(), source })?;
    writer.finish()
}

/// The state in the newest snapshot, and the entry that it ends with.
pub(crate) fn newest<D: Disk + Clone>(disk: &D) -> Option<(EntryId, Vec<u8>)> {
    let found = SnapshotFile::newest(disk, &snapshot_options(1)).unwrap()?;
    let (last, mut state) = (found.meta().last, Vec::new());
    found.into_reader().read_to_end(&mut state).unwrap();
    Some((last, state))
}

/// Lets a snapshot arrive that a peer took, up to where only its install is left.
pub(crate) fn receive<D: Disk + Clone>(
    disk: &D,
    last: EntryId,
    len: usize,
) -> Result<SnapshotMeta, LogError> {
    let pieces = pieces_of(last, len);
    let mut incoming = Incoming::begin(disk, snapshot_options(1), &pieces[0])?;
    while incoming.next() < incoming.pieces() {
        let number = incoming.next();
        assert!(incoming.take(number, &pieces[usize::try_from(number).unwrap()])?);
    }
    incoming.finish()
}

/// The pieces of a snapshot as a peer would send them.
pub(crate) fn pieces_of(last: EntryId, len: usize) -> Vec<Bytes> {
    let disk = SimDisk::new(Rng::new(1));
    take(&disk, last, len).unwrap();
    let file = SnapshotFile::open(&disk, &snapshot_options(1), last).unwrap().unwrap();
    (0..file.pieces()).map(|number| file.piece(number).unwrap().unwrap()).collect()
}

/// The length of a piece in the tests.
pub(crate) const PIECE_BYTES: usize = 700;
