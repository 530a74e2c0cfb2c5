//! The real log over a simulated disk, opened as a node opens it.

use quorate_core::entry::{Entry, Membership};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, GroupId, Index, NodeId};
use quorate_log::{DataDir, Identity, Log, LogError, LogOptions, SnapshotOptions, Wanted};

use crate::disk::SimDisk;
use crate::profile::Limits;

/// What stands in a node's data folder.
pub(crate) struct Opened {
    /// The log.
    pub(crate) log: Log<SimDisk>,
    /// What the core starts from.
    pub(crate) stored: Stored,
    /// All that the log holds intact.
    pub(crate) entries: Vec<Entry>,
    /// Whose folder it is.
    pub(crate) identity: Identity<SimDisk>,
}

/// Opens the data folder of a node of a cluster that began with `voters`, or of one that joins: it names none. A new folder gets this
/// incarnation.
pub(crate) fn open_folder(
    disk: &SimDisk,
    node: NodeId,
    incarnation: u128,
    voters: &[NodeId],
    limits: &Limits,
) -> Result<Opened, LogError> {
    let dir = DataDir::open(disk.clone())?;
    let (identity, _) = Identity::open_or_create(&dir, Wanted { cluster: CLUSTER, node }, incarnation)?;
    let (log, stored) = Log::open(dir, options(voters, limits.window_bytes_max, limits.segment_bytes))?;
    let entries = held(&log, disk, &stored)?;
    Ok(Opened { log, stored, entries, identity })
}

/// Opens the log of a node of a cluster that began with `voters`, or of one that joins: it names none. The third part is all that the
/// log holds.
pub(crate) fn open(
    disk: &SimDisk,
    voters: &[NodeId],
    window_bytes_max: usize,
    segment_bytes: u64,
) -> Result<(Log<SimDisk>, Stored, Vec<Entry>), LogError> {
    let options = options(voters, window_bytes_max, segment_bytes);
    let (log, stored) = Log::open(DataDir::open(disk.clone())?, options)?;
    let entries = held(&log, disk, &stored)?;
    Ok((log, stored, entries))
}

/// All that the log holds intact: what the core is given of it, and what stands before that.
fn held(log: &Log<SimDisk>, disk: &SimDisk, stored: &Stored) -> Result<Vec<Entry>, LogError> {
    let before = stored.tail.first().map_or(stored.last.index, |first| first.id.index.prev());
    let mut entries = Vec::new();
    let mut next = stored.base.index.next();
    for damaged in &stored.damaged {
        entries.extend(read(log, disk, next, damaged.index.prev())?);
        next = damaged.index.next();
    }
    entries.extend(read(log, disk, next, before)?);
    entries.extend_from_slice(&stored.tail);
    Ok(entries)
}

fn options(voters: &[NodeId], window_bytes_max: usize, segment_bytes: u64) -> LogOptions {
    let bootstrap = (!voters.is_empty()).then(|| Membership::of_voters(voters.iter().copied()));
    LogOptions { segment_bytes, window_bytes_max, opens_damaged: true, ..LogOptions::new(CLUSTER, bootstrap) }
}

/// The ids of all entries of a log, damaged or not.
pub(crate) fn ids_of(stored: &Stored) -> Vec<EntryId> {
    let mut ids = Vec::new();
    let ends = stored.term_starts.iter().skip(1).map(|next| next.index).chain([stored.last.index.next()]);
    for (first, end) in stored.term_starts.iter().zip(ends) {
        ids.extend((first.index.0..end.0).map(|index| EntryId { term: first.term, index: Index(index) }));
    }
    ids
}

/// How the snapshots of golden scripts are cut.
pub(crate) const SNAPSHOTS: SnapshotOptions =
    SnapshotOptions { cluster: CLUSTER, group: GroupId(0), piece_bytes: 64 };

/// How the snapshots of simulated nodes are cut.
pub(crate) fn snapshot_options(limits: &Limits) -> SnapshotOptions {
    SnapshotOptions { piece_bytes: limits.piece_bytes, ..SNAPSHOTS }
}

/// Reads entries back, all of them.
pub(crate) fn read(
    log: &Log<SimDisk>,
    disk: &SimDisk,
    from: Index,
    through: Index,
) -> Result<Vec<Entry>, LogError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = from;
    while next <= through {
        let plan = log.plan(next, through, usize::MAX).expect("what the log says it holds can be read");
        entries.extend(plan.read(disk)?);
        next = entries.last().expect("a plan reads at least one entry").id.index.next();
    }
    Ok(entries)
}

/// The name of every simulated cluster.
const CLUSTER: ClusterId = ClusterId(*b"simulated cluste");
