//! The real log over a simulated disk, opened as a node opens it.

use quorate_core::entry::{Entry, Membership};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, Index, NodeId};
use quorate_log::{DataDir, Log, LogError, LogOptions};

use crate::disk::SimDisk;

/// Opens the log of a node of a cluster that began with `voters`. The third part is all that the log holds.
pub(crate) fn open(
    disk: &SimDisk,
    voters: &[NodeId],
    window_bytes_max: usize,
    segment_bytes: u64,
) -> Result<(Log<SimDisk>, Stored, Vec<Entry>), LogError> {
    let bootstrap = Membership { voters: voters.iter().copied().collect(), ..Membership::default() };
    let options = LogOptions { segment_bytes, window_bytes_max, ..LogOptions::new(CLUSTER, Some(bootstrap)) };
    let (log, stored) = Log::open(DataDir::open(disk.clone())?, options)?;
    let entries = read(&log, disk, Index(1), stored.last.index)?;
    Ok((log, stored, entries))
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
