//! What a node finds on its disk when it starts: the one way in for recovered state (thesis figure 3.1, "persistent state").

use std::sync::Arc;

use crate::entry::{Entry, HardState, Membership, Payload};
use crate::types::{EntryId, Index};

/// What the log's recovery hands to [`crate::raft::Raft::new`]. All of it is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Term and vote as last written.
    pub hard_state: HardState,
    /// The entry before the first one in the log: [`EntryId::ZERO`] as long as nothing is compacted.
    pub base: EntryId,
    /// The first entry of each run of equal terms in the whole log, in log order.
    /// Invariant: terms and indices rise strictly; empty only if the log is.
    pub term_starts: Vec<EntryId>,
    /// All membership entries of the whole log with their indices, in log order.
    pub memberships: Vec<(Index, Arc<Membership>)>,
    /// The newest consecutive entries that fit `Config::window_bytes_max`, and at least the last one.
    /// Invariant: the last of them is `last`.
    pub tail: Vec<Entry>,
    /// The last entry of the log; `base` if there is none.
    pub last: EntryId,
}

impl Stored {
    /// What a node finds whose log holds exactly `entries`, from index 1 on, all of them in the window.
    ///
    /// # Panics
    /// If the entries are not consecutive from index 1, or their terms fall.
    pub fn of_entries(hard_state: HardState, entries: Vec<Entry>) -> Stored {
        let mut stored = Stored {
            hard_state,
            base: EntryId::ZERO,
            term_starts: Vec::new(),
            memberships: Vec::new(),
            tail: Vec::new(),
            last: EntryId::ZERO,
        };
        for entry in &entries {
            assert!(entry.id.index == stored.last.index.next(), "stored entries are consecutive");
            assert!(entry.id.term >= stored.last.term, "terms never fall along the log");
            if stored.term_starts.last().is_none_or(|first| first.term < entry.id.term) {
                stored.term_starts.push(entry.id);
            }
            if let Payload::Membership(membership) = &entry.payload {
                stored.memberships.push((entry.id.index, Arc::clone(membership)));
            }
            stored.last = entry.id;
        }
        stored.tail = entries;
        stored
    }

    /// What a new member finds: the one entry that all initial members share.
    pub fn bootstrap(membership: Membership) -> Stored {
        Stored::of_entries(HardState::default(), vec![Entry::bootstrap(membership)])
    }
}
