//! What a disk has lost of a log: entries whose ids are known and whose bytes are gone, and perhaps the state before them. An id is a
//! promise that still binds; only the bytes must come back, and nobody but a peer has them ("Protocol-Aware Recovery", FAST 2018).

use crate::entry::Entry;
use crate::planted::{self, Bug};
use crate::types::{EntryId, Index, WriteNumber};

/// Whether the one who asks for `wanted` means the entry `here`.
pub(crate) fn is_meant(wanted: EntryId, here: EntryId) -> bool {
    wanted == here || planted::is(Bug::RepairedByIndexAlone) && wanted.index == here.index
}

/// What is missing of the log of this node. Empty but after a start on a damaged disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Damage {
    /// The damaged entries. Invariant: indices rise strictly, all behind the base of the log.
    holes: Vec<Hole>,
    /// The state up to the base of the log is lost: nothing can be applied before a snapshot gives it back.
    state_lost: bool,
}

/// A damaged entry.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Hole {
    id: EntryId,
    cure: Cure,
}

/// How far a damaged entry has come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Cure {
    /// Its bytes are missing.
    Missing,
    /// A peer gave its bytes. They wait for the next write.
    Came(Entry),
    /// This write carries them.
    Written(WriteNumber),
}

impl Damage {
    pub(crate) fn new(damaged: Vec<EntryId>, state_lost: bool) -> Damage {
        assert!(
            damaged.windows(2).all(|pair| pair[0].index < pair[1].index),
            "damaged entries are in log order"
        );
        let holes = damaged.into_iter().map(|id| Hole { id, cure: Cure::Missing }).collect();
        Damage { holes, state_lost }
    }

    /// Nothing is missing, and all that was is on the disk.
    pub(crate) fn is_none(&self) -> bool {
        self.holes.is_empty() && !self.state_lost
    }

    /// Whether the state up to the base of the log is lost.
    pub(crate) fn is_state_lost(&self) -> bool {
        self.state_lost
    }

    /// How many entries are not on the disk.
    pub(crate) fn len(&self) -> usize {
        self.holes.len()
    }

    /// The first and the last entry that are not on the disk.
    pub(crate) fn range(&self) -> Option<(EntryId, EntryId)> {
        Some((self.holes.first()?.id, self.holes.last()?.id))
    }

    /// All up to here is on the disk as far as damage goes: what may be counted and applied ends before the first hole.
    pub(crate) fn on_disk_through(&self) -> Index {
        match self.holes.first() {
            _ if self.state_lost => Index(0),
            Some(hole) => hole.id.index.prev(),
            None => Index(u64::MAX),
        }
    }

    /// All up to here is on the disk or on its way there as far as damage goes: what may be promised behind the writes under way.
    pub(crate) fn at_hand_through(&self) -> Index {
        match self.missing().next() {
            _ if self.state_lost => Index(0),
            Some(id) => id.index.prev(),
            None => Index(u64::MAX),
        }
    }

    /// All up to here is on the disk or in a write under way as far as damage goes.
    pub(crate) fn written_through(&self) -> Index {
        match self.holes.iter().find(|hole| !matches!(hole.cure, Cure::Written(_))) {
            _ if self.state_lost => Index(0),
            Some(hole) => hole.id.index.prev(),
            None => Index(u64::MAX),
        }
    }

    /// The disk had no room for write `from` and those after it: what they carried is missing again, and is asked for anew.
    pub(crate) fn on_refused(&mut self, from: WriteNumber) {
        for hole in &mut self.holes {
            if matches!(hole.cure, Cure::Written(write) if write >= from) {
                hole.cure = Cure::Missing;
            }
        }
    }

    /// The entries whose bytes are missing, in log order.
    pub(crate) fn missing(&self) -> impl Iterator<Item = EntryId> {
        self.holes.iter().filter(|hole| hole.cure == Cure::Missing).map(|hole| hole.id)
    }

    /// Whether the entry at this index is not on the disk.
    pub(crate) fn is_hole(&self, index: Index) -> bool {
        self.holes.binary_search_by_key(&index, |hole| hole.id.index).is_ok()
    }

    /// Whether any entry between these two, exclusive, is not on the disk.
    pub(crate) fn has_hole_between(&self, low: Index, high: Index) -> bool {
        let from = self.holes.partition_point(|hole| hole.id.index <= low);
        self.holes.get(from).is_some_and(|hole| hole.id.index < high)
    }

    /// Takes in the bytes of a damaged entry: only under exactly its id, and only if they are still missing. An index alone names nothing:
    /// in another term another entry may stand there. Returns whether it was taken.
    pub(crate) fn cure(&mut self, entry: &Entry) -> bool {
        let Ok(place) = self.holes.binary_search_by_key(&entry.id.index, |hole| hole.id.index) else {
            return false;
        };
        let hole = &mut self.holes[place];
        if !is_meant(hole.id, entry.id) || hole.cure != Cure::Missing {
            return false;
        }
        hole.cure = Cure::Came(Entry { id: hole.id, ..entry.clone() });
        true
    }

    /// Whether bytes that came wait for a write.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.holes.iter().any(|hole| matches!(hole.cure, Cure::Came(_)))
    }

    /// Hands out the entries that came as part of write `number`, in log order.
    pub(crate) fn begin_write(&mut self, number: WriteNumber) -> Vec<Entry> {
        let mut repaired = Vec::new();
        for hole in &mut self.holes {
            if let Cure::Came(entry) = &hole.cure {
                repaired.push(entry.clone());
                hole.cure = Cure::Written(number);
            }
        }
        repaired
    }

    /// All writes up to `number` are durable: what they carried is no longer damaged.
    pub(crate) fn on_persisted(&mut self, number: WriteNumber) {
        self.holes.retain(|hole| !matches!(hole.cure, Cure::Written(write) if write <= number));
    }

    /// The log was cut before `from`: what stood from there on is gone, its damage with it.
    pub(crate) fn truncate(&mut self, from: Index) {
        self.holes.truncate(self.holes.partition_point(|hole| hole.id.index < from));
    }

    /// A snapshot covers all up to `last`, damaged or not.
    pub(crate) fn cover(&mut self, last: Index) {
        self.holes.drain(..self.holes.partition_point(|hole| hole.id.index <= last));
        self.state_lost = false;
    }
}
