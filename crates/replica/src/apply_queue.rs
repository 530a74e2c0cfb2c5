//! What the applier has, what it may get next, and how far behind it is.

use std::collections::VecDeque;

use quorate_core::types::Index;

use crate::config::ReplicaConfig;

/// The way of committed entries to the applier: `applied <= handed <= through`.
///
/// Invariant: batches are consecutive, but for snapshots that take the place of some, and never overlap; at most `apply_inflight_max` are at the applier.
#[derive(Debug, Default)]
pub(crate) struct ApplyQueue {
    /// All up to here may be applied.
    through: Index,
    /// All up to here was handed over.
    handed: Index,
    /// All up to here was applied.
    applied: Index,
    /// The batches at the applier: last index, and when it was handed over in microseconds.
    inflight: VecDeque<(Index, u64)>,
    /// Whether the next batch is being read back from the log.
    fetching: bool,
    /// A snapshot up to here takes the place of all entries that were not handed over, once it may be applied.
    installing: Option<Index>,
    /// The last index of the snapshot that the applier restores.
    restoring: Option<Index>,
}

impl ApplyQueue {
    /// A queue behind the snapshot that the applier starts from.
    pub(crate) fn new(applied: Index) -> ApplyQueue {
        ApplyQueue { through: applied, handed: applied, applied, ..ApplyQueue::default() }
    }

    /// The index up to which a snapshot is to be installed.
    pub(crate) fn installing(&self) -> Option<Index> {
        self.installing
    }

    /// Whether the applier has yet to restore a snapshot. Until then no other one is fetched: it could take the place of this one's file.
    pub(crate) fn is_behind_snapshot(&self) -> bool {
        self.installing.is_some() || self.restoring.is_some()
    }

    /// A snapshot up to `last` takes the place of what was not handed over.
    pub(crate) fn on_installing(&mut self, last: Index) {
        assert!(last > self.through, "a snapshot that is installed is newer than all that may be applied");
        self.installing = Some(last);
    }

    /// The snapshot to hand over now, if it may be applied. It goes behind the batches before it, like one of them.
    pub(crate) fn take_restore(&mut self, now_us: u64) -> Option<Index> {
        let last = self.installing.filter(|last| self.through >= *last)?;
        self.installing = None;
        self.handed = last;
        self.restoring = Some(last);
        self.inflight.push_back((last, now_us));
        Some(last)
    }

    pub(crate) fn through(&self) -> Index {
        self.through
    }

    pub(crate) fn handed(&self) -> Index {
        self.handed
    }

    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    /// How many batches are at the applier.
    pub(crate) fn inflight_len(&self) -> usize {
        self.inflight.len()
    }

    /// How many committed entries are not applied.
    pub(crate) fn lag_len(&self) -> u64 {
        self.through.0 - self.applied.0
    }

    /// The protocol lets all up to here be applied.
    pub(crate) fn on_apply_through(&mut self, through: Index) {
        assert!(through >= self.through, "what may be applied never shrinks");
        self.through = through;
    }

    /// The first and the last index of the next batch, if there is something and the applier takes it.
    pub(crate) fn next(&self, config: &ReplicaConfig) -> Option<(Index, Index)> {
        if self.fetching
            || self.installing.is_some()
            || self.handed == self.through
            || self.inflight.len() >= config.apply_inflight_max
        {
            return None;
        }
        Some((self.handed.next(), self.through.min(self.handed.plus(config.apply_batch_len_max))))
    }

    /// The next batch is being read back.
    pub(crate) fn on_fetching(&mut self) {
        assert!(!self.fetching, "one batch is read back at a time");
        self.fetching = true;
    }

    /// Entries from `first` on were read back. Returns whether they are still the next ones: a snapshot may have taken their place.
    pub(crate) fn on_fetched(&mut self, first: Option<Index>) -> bool {
        assert!(self.fetching, "entries for the applier were asked for");
        self.fetching = false;
        self.installing.is_none() && first == Some(self.handed.next())
    }

    /// Entries `first` to `last` go to the applier now.
    pub(crate) fn on_handed(&mut self, first: Index, last: Index, now_us: u64) {
        assert!(!self.fetching, "no batch overtakes one that is being read back");
        assert!(first == self.handed.next(), "batches are consecutive");
        assert!(first <= last && last <= self.through, "only committed and durable entries are applied");
        self.handed = last;
        self.inflight.push_back((last, now_us));
    }

    /// The oldest batch was applied; when it was handed over.
    pub(crate) fn on_applied(&mut self, through: Index) -> u64 {
        let (last, handed_us) =
            self.inflight.pop_front().expect("only a batch that was handed over is applied");
        assert!(last == through, "batches are applied whole and in order");
        assert!(
            through > self.applied && through <= self.handed,
            "applied lies between the last batch and the newest"
        );
        self.applied = through;
        self.restoring = self.restoring.filter(|restoring| *restoring > through);
        handed_us
    }
}
