//! Letting go of what a snapshot covers: whole segments at the front of the log, and the older snapshots; and beginning the log anew behind a
//! snapshot that came from a peer.
//!
//! The order of writes is all there is to it. A snapshot is durable before anything that it covers goes. The file LOG names the new first
//! segment before the old ones are removed: what a crash leaves of them nobody asks for, and the next start removes it. So at every
//! moment there is a newest durable snapshot, and the log that LOG names begins at or before its end: the two always meet.

use quorate_core::entry::HardState;
use quorate_core::planted::{self, Bug};
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::{EntryId, Index};

use crate::disk::Disk;
use crate::error::LogError;
use crate::incoming;
use crate::index::LogIndex;
use crate::log::{Log, LogOptions};
use crate::meeting;
use crate::open::Manifest;
use crate::record::SECTOR;
use crate::segment::{Position, SegmentHeader, create, segment_name};
use crate::snapshot_file::{self, file_name};

/// What is known of a segment without reading it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentMark {
    pub(crate) segment: u64,
    /// The last entry of the log when the segment was begun.
    pub(crate) previous: EntryId,
    /// The lowest index of which the segment holds an entry, cut or not; none while it holds no entry.
    pub(crate) lowest: Option<Index>,
}

impl SegmentMark {
    pub(crate) fn note(&mut self, index: Index) {
        self.lowest = Some(self.lowest.map_or(index, |lowest| lowest.min(index)));
    }
}

/// Where a log begins that has nothing before it but a snapshot.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Anew {
    pub(crate) base: EntryId,
    pub(crate) segment: u64,
    pub(crate) batch: u64,
    pub(crate) hard_state: HardState,
}

impl<D: Disk> Log<D> {
    /// Removes the segments that hold entries up to `through` only, and all snapshots but the newest and those in `keep`. Returns the entry
    /// before the first one that the log still holds: whole segments go, so it is `through` at most.
    ///
    /// # Errors
    /// [`LogError::Full`] if there is no space to note where the log begins: then no segment is gone, and it may be tried again.
    /// [`LogError::Io`]; then every later call fails with [`LogError::Poisoned`].
    ///
    /// # Panics
    /// If no snapshot covers `through`.
    pub fn compact(&mut self, through: Index, keep: &[EntryId]) -> Result<EntryId, LogError> {
        self.check_healthy()?;
        self.begin_changes()?;
        let compacted = self.compact_with(through, keep);
        self.poisoned = matches!(&compacted, Err(error) if !matches!(error, LogError::Full { .. }));
        compacted
    }

    fn compact_with(&mut self, through: Index, keep: &[EntryId]) -> Result<EntryId, LogError> {
        let mut snapshots = snapshot_file::list(self.dir.disk())?;
        let newest = snapshots.pop().map(|(last, _)| last);
        assert!(
            newest.is_some_and(|newest| newest.index >= through),
            "the log is cut behind a snapshot only"
        );
        // First what is only removed: on a full disk it makes the room for the file LOG.
        for (last, origin) in snapshots {
            if Some(last) != newest && !keep.contains(&last) {
                let name = file_name(last, origin);
                let removed = self.dir.disk().remove(&name);
                removed.map_err(|error| LogError::io("cannot remove", &name, error))?;
            }
        }
        if let Some((place, base)) = self.first_to_keep(through) {
            let first_segment = self.marks[place].segment;
            let LogOptions { cluster, group, .. } = self.options;
            Manifest { cluster, group, first_segment, base }.write(self.dir.disk())?;
            for mark in self.marks.drain(..place) {
                let name = segment_name(mark.segment);
                let removed = self.dir.disk().remove(&name);
                removed.map_err(|error| LogError::io("cannot remove", &name, error))?;
            }
            self.index.compact(base);
        }
        if let Some(newest) = newest {
            meeting::remove_aside(self.dir.disk(), newest)?;
        }
        assert!(self.index.base().index <= self.index.last().index, "the log ends where it begins, or later");
        Ok(self.index.base())
    }

    /// The place of the last segment with which the log may begin, and the entry before it.
    ///
    /// A segment may hold entries that were cut later and even some that came back after they had been cut. So the log may begin with one
    /// only if the entry before it stands in the log as it is now, and nothing at or below that entry was written from there on.
    fn first_to_keep(&self, through: Index) -> Option<(usize, EntryId)> {
        let mut lowest = None;
        for (place, mark) in self.marks.iter().enumerate().skip(1).rev() {
            lowest = [lowest, mark.lowest].into_iter().flatten().min();
            let base = mark.previous;
            let stands = base.index >= self.index.base().index && self.index.term_at(base.index) == base.term;
            if base.index <= through && stands && lowest.is_none_or(|lowest| lowest > base.index) {
                return Some((place, base));
            }
        }
        None
    }

    /// Uses the snapshot that has arrived from a peer. If the log holds the entry with which it ends, what stands behind stays, because this
    /// node has promised it, and what is damaged before it is not missed any more: true if so. Else the log begins anew behind the
    /// snapshot: all that it holds goes, and `hard_state` stays.
    ///
    /// Without space for the new segment the old log stays in use: it still takes term and vote. A crash then leaves what any crash
    /// in here does, and another attempt goes on where this one ended.
    pub(crate) fn install(&mut self, meta: &SnapshotMeta, hard_state: HardState) -> Result<bool, LogError> {
        assert!(hard_state.term >= meta.last.term, "the term of a node is at least that of its last entry");
        incoming::adopt(self.dir.disk(), meta)?;
        let within = (self.index.base().index..=self.index.last().index).contains(&meta.last.index);
        if within && self.index.term_at(meta.last.index) == meta.last.term {
            self.index.compact(meta.last);
            assert!(self.base() == meta.last, "the log goes on behind the snapshot");
            return Ok(true);
        }
        let anew =
            Anew { base: meta.last, segment: self.end.segment + 1, batch: self.next_batch, hard_state };
        let begun = begin_anew(self.dir.disk(), &self.options, anew);
        if matches!(begun, Err(LogError::Full { .. })) {
            // The segment, if it was made, was not named in the file LOG: nobody asks for it.
            let _ = self.dir.disk().remove(&segment_name(anew.segment));
        }
        let (file, len) = begun?;
        for mark in self.marks.drain(..) {
            let name = segment_name(mark.segment);
            self.dir.disk().remove(&name).map_err(|error| LogError::io("cannot remove", &name, error))?;
        }
        self.file = file;
        self.segment_len = len;
        self.end = Position { segment: anew.segment, offset: SECTOR as u64 };
        self.durable = self.end;
        self.hard_state = hard_state;
        self.index = LogIndex::new(anew.base);
        self.marks.push_back(SegmentMark { segment: anew.segment, previous: anew.base, lowest: None });
        self.written_bytes += SECTOR as u64;
        assert!(self.last() == meta.last, "log and snapshot meet");
        Ok(false)
    }
}

/// Makes the first segment of a log that begins behind a snapshot, and names it in the file LOG. The header says that the segment follows no
/// other: a crash before LOG names it leaves a segment that the next start removes. Returns the segment's file and length.
pub(crate) fn begin_anew<D: Disk>(
    disk: &D,
    options: &LogOptions,
    anew: Anew,
) -> Result<(D::File, u64), LogError> {
    let LogOptions { cluster, group, segment_bytes, .. } = *options;
    let header = SegmentHeader {
        cluster,
        group,
        segment: anew.segment,
        len: segment_bytes,
        previous_end: FOLLOWS_NOTHING,
        previous: anew.base,
        batch: anew.batch,
        hard_state: anew.hard_state,
    };
    let manifest = Manifest { cluster, group, first_segment: anew.segment, base: anew.base };
    if planted::is(Bug::LogNamedBeforeItsSegment) {
        manifest.write(disk)?;
    }
    let file = create(disk, &header)?;
    manifest.write(disk)?;
    Ok((file, segment_bytes))
}

/// In a segment's header in place of where the segment before ends: it begins a log behind a snapshot.
pub(crate) const FOLLOWS_NOTHING: u64 = u64::MAX;
