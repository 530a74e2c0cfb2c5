//! The log of a new cluster, made of what the log of another one holds: for a cluster that has lost its quorum for good.
//!
//! All checksums carry the name of the cluster, so nothing is renamed: snapshot and entries are read, checked and written once more, as
//! a node gets them from a peer, into a folder that is empty. The folder it is read from does not change. What makes the copy a node's
//! folder is the file NODE, which is written last: a crash before leaves a folder on which no node starts.

use std::io;

use quorate_core::entry::{Entry, HardState, Payload};
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, GroupId, WriteNumber};

use crate::data_dir::DataDir;
use crate::disk::Disk;
use crate::error::LogError;
use crate::identity::{self, Wanted};
use crate::incoming;
use crate::log::{Content, Log, LogOptions};
use crate::snapshot_file::{SnapshotFile, SnapshotOptions};
use crate::snapshot_writer::SnapshotWriter;

/// What the new cluster begins with.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Its name, and its first node.
    pub owner: Wanted,
    /// The random name of the new store.
    pub incarnation: u128,
    /// The term of the last entry, and a vote for the first node itself.
    pub hard_state: HardState,
    /// The entry that follows all that the source holds: the members of the new cluster.
    pub entry: Entry,
    /// The length of a segment, in bytes.
    pub segment_bytes: u64,
    /// The length of a piece of the snapshot, in bytes.
    pub piece_bytes: usize,
}

/// Writes all that `source` holds, which opened with `stored`, and then the founding entry, to an empty folder, durably.
///
/// # Errors
/// [`LogError::Full`] if the disk has no room. [`LogError::Corrupt`] if the source is damaged where it was not read before. After any error the
/// target is worth nothing.
///
/// # Panics
/// If the target is not empty, if something of the source is lost, or if the entry is not a membership in a later term that follows its last one.
pub fn found<S: Disk + Clone, T: Disk + Clone>(
    source: &Log<S>,
    stored: &Stored,
    target: &T,
    founding: &Founding,
) -> Result<(), LogError> {
    let Founding { owner, incarnation, hard_state, entry, segment_bytes, piece_bytes } = founding;
    assert!(stored.damaged.is_empty() && stored.snapshot_lost.is_none(), "only a whole log is copied");
    assert!(entry.id.index == source.last().index.next(), "the new members follow all that there is");
    assert!(entry.id.term > source.last().term, "the new members are of a term that nobody has seen");
    assert!(entry.id.term == hard_state.term, "the term of the node is that of its last entry");
    assert!(matches!(entry.payload, Payload::Membership(_)), "the new cluster begins with its members");
    let options = LogOptions { segment_bytes: *segment_bytes, ..LogOptions::new(owner.cluster, None) };
    let (mut log, found) = Log::open(DataDir::open(target.clone())?, options)?;
    assert!(
        found.last == EntryId::ZERO && found.snapshot.is_none(),
        "the new cluster begins in an empty folder"
    );

    let mut number = WriteNumber(0);
    let mut write = |log: &mut Log<T>, content: Content<'_>| {
        number = WriteNumber(number.0 + 1);
        log.write(&[Content { number, ..content }])
    };
    let empty =
        Content { number: WriteNumber(0), hard_state: None, install: None, repaired: &[], entries: &[] };
    if let Some(meta) = &stored.snapshot {
        let options =
            SnapshotOptions { cluster: owner.cluster, group: GroupId(0), piece_bytes: *piece_bytes };
        copy_snapshot(source, meta, target, options)?;
        write(&mut log, Content { hard_state: Some(*hard_state), install: Some(meta), ..empty })?;
    }
    while log.last() < source.last() {
        let from = log.last().index.next();
        let plan = source.plan(from, source.last().index, COPY_BYTES_MAX);
        let plan = plan.expect("the log holds all between its snapshot and its end");
        let entries = plan.read(source.disk())?;
        write(&mut log, Content { entries: &entries, ..empty })?;
    }
    assert!(log.last() == source.last(), "all that the source holds is there");
    let entries = std::slice::from_ref(entry);
    write(&mut log, Content { hard_state: Some(*hard_state), entries, ..empty })?;
    log.sync()?;
    identity::name_store(target, *owner, *incarnation)
}

/// Puts the snapshot where one stands that has arrived from a peer and waits for its install.
fn copy_snapshot<S: Disk + Clone, T: Disk + Clone>(
    source: &Log<S>,
    meta: &SnapshotMeta,
    target: &T,
    options: SnapshotOptions,
) -> Result<(), LogError> {
    let from = SnapshotOptions { cluster: source.options.cluster, ..options };
    let file = SnapshotFile::open(source.disk(), &from, meta.last)?;
    let file = file.expect("the log was opened with this snapshot, and the folder is locked");
    let mut writer = SnapshotWriter::begin(target.clone(), options, meta.clone())?;
    let copied = io::copy(&mut file.into_reader(), &mut writer);
    copied.map_err(|error| {
        if error.kind() == io::ErrorKind::InvalidData {
            return LogError::corrupt("the snapshot", 0, error.to_string());
        }
        LogError::io("cannot copy", "the snapshot", error)
    })?;
    writer.finish()?;
    incoming::take_for_arrived(target, meta)
}

/// How much of the log is in memory while it is copied, in bytes.
const COPY_BYTES_MAX: usize = 4 << 20;
