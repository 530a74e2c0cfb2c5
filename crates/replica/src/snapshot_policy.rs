//! When this node takes a snapshot, and how much of the log it keeps behind it.
//!
//! A snapshot is due when the log since the last one has grown in proportion to the snapshot: then writing snapshots costs about as much
//! as writing the log did, however large the state is, and a restart applies again at most about as many bytes as it reads.

use std::collections::VecDeque;

use quorate_core::entry::Entry;
use quorate_core::snapshot::SnapshotName;
use quorate_core::types::{EntryId, Index};

use crate::config::ReplicaConfig;

/// What was handed to the applier since the last snapshot, and the last snapshots of this node.
#[derive(Debug, Default)]
pub(crate) struct SnapshotPolicy {
    /// A snapshot is being taken or written: there is one at a time. Whether the next one is due is asked again when it is done.
    taking: bool,
    /// None is taken before this tick: the last attempt found no room.
    not_before: u64,
    /// One is wanted whatever has grown: the newest one is damaged, or does not reach as far as a peer needs.
    wanted: bool,
    /// The size of the newest snapshot.
    snapshot_bytes: u64,
    /// Bytes of entries handed over since the start.
    handed_bytes: u64,
    /// Bytes and entries handed over when the newest snapshot was taken.
    taken_bytes: u64,
    entries: u64,
    /// The last snapshots in order, each with the bytes that had been handed over. Invariant: at most `MARKS_LEN_MAX`.
    marks: VecDeque<(EntryId, u64)>,
}

impl SnapshotPolicy {
    /// These entries go to the applier.
    pub(crate) fn on_handed(&mut self, entries: &[Entry]) {
        self.entries += entries.len() as u64;
        self.handed_bytes += entries.iter().map(|entry| entry.encoded_len() as u64).sum::<u64>();
    }

    /// Whether a snapshot should be taken now.
    pub(crate) fn is_due(&self, config: &ReplicaConfig, tick: u64) -> bool {
        if self.taking || self.entries == 0 && !self.wanted || tick < self.not_before {
            return false;
        }
        let bytes = self.handed_bytes - self.taken_bytes;
        let by_bytes = bytes >= config.snapshot_log_bytes_min.max(self.snapshot_bytes);
        let by_entries = self.entries >= config.snapshot_entries_min && bytes >= self.snapshot_bytes / 4;
        self.wanted || by_bytes || by_entries
    }

    /// A snapshot of all that was handed over is on its way.
    pub(crate) fn on_taking(&mut self) {
        assert!(!self.taking, "one snapshot is taken at a time");
        self.taking = true;
        self.wanted = false;
        self.taken_bytes = self.handed_bytes;
        self.entries = 0;
    }

    /// This snapshot is durable; also the one that a start has found.
    pub(crate) fn on_taken(&mut self, name: SnapshotName) {
        self.taking = false;
        if self.marks.back().is_some_and(|(newest, _)| newest.index > name.last.index) {
            // A newer one came from a peer while this one was written.
            return;
        }
        self.snapshot_bytes = name.bytes;
        self.marks.push_back((name.last, self.taken_bytes));
        if self.marks.len() > MARKS_LEN_MAX {
            self.marks.pop_front();
        }
    }

    /// The snapshot could not be written. What has grown since the one before is forgotten: the next attempt waits for new entries and a while.
    pub(crate) fn on_failed(&mut self, not_before: u64) {
        self.taking = false;
        self.wanted = true;
        self.not_before = not_before;
    }

    /// The disk is full: the log behind a snapshot of all that was applied could go.
    pub(crate) fn on_full(&mut self) {
        self.wanted |= self.entries > 0;
    }

    /// The newest snapshot cannot be read, or a peer that has lost its state needs one that reaches further.
    pub(crate) fn on_wanted(&mut self) {
        self.wanted = true;
    }

    /// A snapshot from a peer took the place of the state: nothing of what was handed over before counts.
    pub(crate) fn on_installed(&mut self, last: EntryId) {
        self.taken_bytes = self.handed_bytes;
        self.entries = 0;
        self.marks.clear();
        self.marks.push_back((last, self.handed_bytes));
    }

    /// Up to where the log may be cut behind the newest snapshot.
    ///
    /// Of what lies between the last two snapshots as much is kept as the slowest peer lacks: without that, each snapshot would cost every
    /// peer that is a little behind a whole snapshot. A node that does not lead keeps all of it, because it may lead next. And what a peer
    /// needs once it has the snapshot that it is fetching stays, within `snapshot_pin_log_bytes_max`: else it would fetch one
    /// after the other and never catch up.
    pub(crate) fn cut(
        &self,
        config: &ReplicaConfig,
        slowest: Option<Index>,
        pinned: Option<Index>,
    ) -> Option<Index> {
        let (newest, _) = self.marks.back()?;
        let before = self.marks.iter().rev().nth(1).map_or(Index(0), |(last, _)| last.index);
        let cut = slowest.map_or(before, |slowest| slowest.clamp(before, newest.index));
        let pinned = pinned.filter(|pinned| {
            let mark = self.marks.iter().rev().find(|(last, _)| last.index <= *pinned);
            mark.is_some_and(|(_, bytes)| self.handed_bytes - bytes <= config.snapshot_pin_log_bytes_max)
        });
        Some(cut.min(pinned.unwrap_or(cut)))
    }
}

/// How many snapshots of this node are remembered: as many as a fetching peer may fall behind.
const MARKS_LEN_MAX: usize = 64;
