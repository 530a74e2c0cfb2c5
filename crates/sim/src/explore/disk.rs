//! The disk of a node: what is durable, and what a start makes of it. The real log is held against crashes by its own tests
//! and by the simulator; here it is as it promises to be.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use quorate_core::entry::{Entry, HardState, Payload};
use quorate_core::message::Envelope;
use quorate_core::state::Name;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Term};

use crate::explore::snapshot::{Snapshot, put_entries};

/// What is durable.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Option<Snapshot>,
    /// What stood before the first entry. It is gone, and remembered for the rules only.
    pub(super) compacted: Vec<Entry>,
    pub(super) entries: Vec<Entry>,
}

/// A write under way.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) hard_state: Option<HardState>,
    pub(super) install: Option<Snapshot>,
    pub(super) entries: Vec<Entry>,
    /// In order of their binary forms: they leave together.
    pub(super) messages: Vec<Envelope>,
}

impl Disk {
    /// A write is durable.
    pub(super) fn write(
        &mut self,
        hard_state: Option<HardState>,
        install: Option<Snapshot>,
        entries: Vec<Entry>,
    ) {
        if let Some(hard_state) = hard_state {
            self.hard_state = hard_state;
        }
        if let Some(snapshot) = install {
            self.install(snapshot);
        }
        if let Some(first) = entries.first() {
            self.entries.retain(|entry| entry.id.index < first.id.index);
            assert!(
                self.last().index.next() == first.id.index,
                "what is written follows what is on the disk without a gap"
            );
            self.entries.extend(entries);
        }
    }

    /// The log goes on behind a received snapshot: with what stands there, if it holds the last entry that is covered.
    fn install(&mut self, snapshot: Snapshot) {
        let last = snapshot.last();
        assert!(
            self.snapshot.as_ref().is_none_or(|older| older.last().index <= last.index),
            "a snapshot is installed only where it is newer"
        );
        if !self.holds(last) {
            self.entries.clear();
        }
        self.snapshot = Some(snapshot);
        self.compact();
    }

    /// The log lets go of all that the snapshot covers.
    pub(super) fn compact(&mut self) {
        let snapshot = self.snapshot.as_ref().expect("the log is cut behind a snapshot only");
        let last = snapshot.last();
        self.entries.retain(|entry| entry.id.index > last.index);
        self.compacted.clone_from(&snapshot.covered);
        let meets = self.entries.first().is_none_or(|first| first.id.index == last.index.next());
        assert!(meets, "log and snapshot meet");
    }

    /// A crash came when a received snapshot had its name and nothing else of its write was durable: the start finishes the install. A
    /// term may always rise.
    pub(super) fn finish_install(&mut self, snapshot: Snapshot) {
        if !self.holds(snapshot.last()) && self.hard_state.term < snapshot.meta.term {
            self.hard_state = HardState { term: snapshot.meta.term, vote: None };
        }
        self.install(snapshot);
    }

    fn holds(&self, id: EntryId) -> bool {
        self.compacted.iter().chain(&self.entries).any(|entry| entry.id == id)
    }

    fn last(&self) -> EntryId {
        self.entries.last().or(self.compacted.last()).map_or(EntryId::ZERO, |entry| entry.id)
    }

    /// The lowest term that a start goes on in, with the vote in it.
    pub(super) fn lowest(&self) -> HardState {
        let taken_in = self.snapshot.as_ref().map_or(Term(0), |snapshot| snapshot.meta.term);
        if taken_in > self.hard_state.term {
            HardState { term: taken_in, vote: None }
        } else {
            self.hard_state
        }
    }

    /// What a start finds.
    pub(super) fn stored(&self) -> Stored {
        let base = self.compacted.last().map_or(EntryId::ZERO, |entry| entry.id);
        let meta = self.snapshot.as_ref().map(|snapshot| snapshot.meta.clone());
        let mut term_starts: Vec<EntryId> = Vec::new();
        let mut memberships: Vec<_> =
            meta.iter().map(|meta| (meta.membership_index, Arc::clone(&meta.membership))).collect();
        for entry in &self.entries {
            if term_starts.last().is_none_or(|first| first.term < entry.id.term) {
                term_starts.push(entry.id);
            }
            if let Payload::Membership(membership) = &entry.payload
                && memberships.last().is_none_or(|(index, _)| *index < entry.id.index)
            {
                memberships.push((entry.id.index, Arc::clone(membership)));
            }
        }
        Stored {
            hard_state: self.hard_state,
            snapshot: meta,
            snapshot_lost: None,
            base,
            term_starts,
            memberships,
            damaged: Vec::new(),
            tail: self.entries.clone(),
            last: self.last(),
        }
    }

    /// All that stood or stands on it, from the first entry on.
    pub(super) fn log(&self) -> Vec<Entry> {
        self.compacted.iter().chain(&self.entries).cloned().collect()
    }

    /// The disk as it would be if the nodes had other names.
    pub(super) fn renamed(&self, name: Name<'_>) -> Disk {
        Disk {
            hard_state: self.hard_state.renamed(name),
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.renamed(name)),
            compacted: entries_renamed(&self.compacted, name),
            entries: entries_renamed(&self.entries, name),
        }
    }

    /// The canonical form.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        self.hard_state.encode(out);
        put_snapshot(out, self.snapshot.as_ref());
        put_entries(out, &self.compacted);
        put_entries(out, &self.entries);
    }
}

impl Pending {
    /// The write as it would be if the nodes had other names.
    pub(super) fn renamed(&self, name: Name<'_>) -> Pending {
        let mut messages: Vec<Envelope> =
            self.messages.iter().map(|envelope| envelope.renamed(name)).collect();
        sort(&mut messages);
        Pending {
            hard_state: self.hard_state.map(|hard_state| hard_state.renamed(name)),
            install: self.install.as_ref().map(|snapshot| snapshot.renamed(name)),
            entries: entries_renamed(&self.entries, name),
            messages,
        }
    }

    /// The canonical form.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.hard_state.is_some()));
        self.hard_state.unwrap_or_default().encode(out);
        put_snapshot(out, self.install.as_ref());
        put_entries(out, &self.entries);
        out.put_u64_le(self.messages.len() as u64);
        self.messages.iter().for_each(|envelope| envelope.encode(out));
    }
}

/// Brings messages that leave together into the order of their binary forms.
pub(super) fn sort(messages: &mut [Envelope]) {
    messages.sort_by_cached_key(|envelope| {
        let mut key = BytesMut::new();
        envelope.encode(&mut key);
        key
    });
}

fn entries_renamed(entries: &[Entry], name: Name<'_>) -> Vec<Entry> {
    entries.iter().map(|entry| entry.renamed(name)).collect()
}

fn put_snapshot(out: &mut BytesMut, snapshot: Option<&Snapshot>) {
    out.put_u8(u8::from(snapshot.is_some()));
    snapshot.iter().for_each(|snapshot| snapshot.encode(out));
}
