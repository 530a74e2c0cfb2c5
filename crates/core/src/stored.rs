//! What a node finds on its disk when it starts: the one way in for recovered state (thesis figure 3.1, "persistent state").

use std::sync::Arc;

use crate::entry::{Entry, HardState, Membership, Payload};
use crate::snapshot::SnapshotMeta;
use crate::types::{EntryId, Index};

/// What the log's recovery hands to [`crate::raft::Raft::new`]. All of it is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Term and vote as last written.
    pub hard_state: HardState,
    /// The newest snapshot, if there is one: the state of the node starts from it. Log and snapshot meet: what it covers ends at
    /// `base` or later, and at `last` or before.
    pub snapshot: Option<SnapshotMeta>,
    /// The state that the log goes on from is lost: no snapshot can be read that meets the log, and the log does not reach back to its
    /// beginning. What a lost snapshot covered is committed. This node holds no state up to `base`; a snapshot from a peer gives it one if
    /// it ends with `base` or later. Holds the last entry that is known to have been covered, at least `base`.
    /// Invariant: then `snapshot` is none and `base` is not [`EntryId::ZERO`].
    pub snapshot_lost: Option<EntryId>,
    /// The entry before the first one in the log: [`EntryId::ZERO`] as long as nothing is compacted.
    pub base: EntryId,
    /// The first entry of each run of equal terms in the log, in log order.
    /// Invariant: terms and indices rise strictly; empty only if the log is.
    pub term_starts: Vec<EntryId>,
    /// The membership that the snapshot carries, and all membership entries of the log after it, with their indices, in order.
    /// Without a snapshot, all of the log.
    /// What stands in damaged entries is not among them.
    pub memberships: Vec<(Index, Arc<Membership>)>,
    /// The entries whose ids are known and whose bytes are lost, ascending. Their ids stand in the log like all others: they count in
    /// `last` and in `term_starts`, because what this node said of them still binds it. They are never in `tail` and never read back
    /// until they have been repaired ([`crate::ready::Write::repaired`]).
    /// Invariant: all behind `base`, and behind what the snapshot covers.
    pub damaged: Vec<EntryId>,
    /// The newest consecutive entries that fit `Config::window_bytes_max`, and at least the last one; none at or below the last damaged one.
    /// Invariant: the last of them is `last`, unless that one is damaged: then there is none.
    pub tail: Vec<Entry>,
    /// The last entry of the log, damaged or not; `base` if there is none.
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
            snapshot: None,
            snapshot_lost: None,
            base: EntryId::ZERO,
            term_starts: Vec::new(),
            memberships: Vec::new(),
            damaged: Vec::new(),
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
