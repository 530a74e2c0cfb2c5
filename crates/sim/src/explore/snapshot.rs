//! A snapshot as the explorer plays it: the state in it is the list of all entries that were applied, so that two states
//! can be compared, and a log that was cut can still be held against one that was not.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use quorate_core::entry::Entry;
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::state::Name;
use quorate_core::types::{EntryId, Term};

use crate::explore::members;

/// A snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// What the protocol knows of it.
    pub meta: SnapshotMeta,
    /// All that it covers, from the first entry on.
    pub covered: Vec<Entry>,
}

impl Snapshot {
    /// What a node of this term takes that has applied these entries, one at least.
    pub(super) fn of(covered: &[Entry], term: Term) -> Snapshot {
        let last = covered.last().expect("a snapshot covers something");
        let (membership_index, membership) =
            members::newest(covered).expect("the first entry of all names members");
        let meta = SnapshotMeta {
            last: last.id,
            term,
            timestamp_ms: last.timestamp_ms,
            membership_index,
            membership: Arc::clone(membership),
        };
        Snapshot { meta, covered: covered.to_vec() }
    }

    /// The last entry that it covers.
    pub fn last(&self) -> EntryId {
        self.meta.last
    }

    /// The same under other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Snapshot {
        let membership = Arc::new(self.meta.membership.renamed(name));
        Snapshot {
            meta: SnapshotMeta { membership, ..self.meta.clone() },
            covered: self.covered.iter().map(|entry| entry.renamed(name)).collect(),
        }
    }

    /// The canonical form.
    pub fn encode(&self, out: &mut BytesMut) {
        self.meta.encode(out);
        put_entries(out, &self.covered);
    }
}

/// The canonical form of a list of entries.
pub(super) fn put_entries(out: &mut BytesMut, entries: &[Entry]) {
    out.put_u64_le(entries.len() as u64);
    entries.iter().for_each(|entry| entry.encode(out));
}
