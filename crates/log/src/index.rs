//! Where the entries stand, in memory: one mark for about 16 KiB of a file, and the first entry of each term.

use std::collections::BTreeSet;

use quorate_core::types::{EntryId, Index, Term};

use crate::segment::Position;

/// The index of the log. Grows by 40 bytes for each 16 KiB of log and each truncation, 2.5 MiB for a GiB.
#[derive(Clone, Debug)]
pub(crate) struct LogIndex {
    /// Invariant: consecutive from `base.index + 1` to `last.index`, none empty.
    extents: Vec<Extent>,
    /// Invariant: terms and indices rise strictly.
    term_starts: Vec<EntryId>,
    base: EntryId,
    last: EntryId,
    /// Whether the next entry's record does not follow the last extent's: something was cut in between, or is damaged.
    broken: bool,
    /// The entries whose ids are known and whose bytes are lost.
    /// Invariant: above `base`, at most `last`, each with an extent of its own, whose place means nothing.
    damaged: BTreeSet<Index>,
}

/// Consecutive entries whose records stand one after another in one segment, with no other entry's record between them.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) first: Index,
    pub(crate) last: Index,
    /// Where the first one's record stands.
    pub(crate) place: Position,
}

impl LogIndex {
    /// The index of a log that is empty but for `base`.
    pub(crate) fn new(base: EntryId) -> LogIndex {
        LogIndex {
            extents: Vec::new(),
            term_starts: Vec::new(),
            base,
            last: base,
            broken: true,
            damaged: BTreeSet::new(),
        }
    }

    /// The last entry, or the base.
    pub(crate) fn last(&self) -> EntryId {
        self.last
    }

    /// The entry before the first one.
    pub(crate) fn base(&self) -> EntryId {
        self.base
    }

    /// The first entry of each run of equal terms.
    pub(crate) fn term_starts(&self) -> &[EntryId] {
        &self.term_starts
    }

    /// Why an entry may not come next, if it may not: it would leave a gap, or its term is lower than that of the entry before.
    pub(crate) fn refuses(&self, id: EntryId) -> Option<&'static str> {
        if id.index <= self.base.index {
            return Some("an entry at or below the base of the log");
        }
        if id.index > self.last.index.next() {
            return Some("an entry that leaves a gap after the log");
        }
        (self.term_at(id.index.prev()) > id.term).then_some("an entry of a lower term than the one before")
    }

    /// Takes in an entry whose record stands at `place`; what the log held from its index on is cut.
    ///
    /// # Panics
    /// If [`LogIndex::refuses`] says why.
    pub(crate) fn append(&mut self, id: EntryId, place: Position) {
        assert!(self.refuses(id).is_none(), "the log is consecutive and its terms never fall");
        if id.index <= self.last.index {
            self.truncate(id.index);
        }
        match self.extents.last_mut() {
            Some(extent)
                if !self.broken
                    && extent.place.segment == place.segment
                    && place.offset - extent.place.offset < EXTENT_BYTES =>
            {
                extent.last = id.index;
            }
            Some(_) | None => self.extents.push(Extent { first: id.index, last: id.index, place }),
        }
        self.broken = false;
        if self.term_starts.last().is_none_or(|start| start.term < id.term) {
            self.term_starts.push(id);
        }
        self.last = id;
        assert!(
            self.extents.last().is_some_and(|extent| extent.last == id.index),
            "the last extent ends with the last entry"
        );
    }

    /// Takes in an entry of which only the id is known: it stands in the log as all others do, and is never read.
    pub(crate) fn append_damaged(&mut self, id: EntryId, place: Position) {
        self.broken = true;
        self.append(id, place);
        self.broken = true;
        self.damaged.insert(id.index);
    }

    /// What stands between the last entry's record and the next one's cannot be read.
    pub(crate) fn interrupt(&mut self) {
        self.broken = true;
    }

    /// The bytes of an entry stand at `place`: from now on it is read there if it was damaged. False if the log holds no such entry.
    pub(crate) fn repair(&mut self, id: EntryId, place: Position) -> bool {
        let stands =
            id.index > self.base.index && id.index <= self.last.index && self.term_at(id.index) == id.term;
        if stands && self.damaged.remove(&id.index) {
            let at = self.extents.partition_point(|extent| extent.last < id.index);
            let extent = &mut self.extents[at];
            assert!(
                extent.first == id.index && extent.last == id.index,
                "a damaged entry has its own extent"
            );
            extent.place = place;
        }
        stands
    }

    /// The entries whose bytes are lost, ascending.
    pub(crate) fn damaged(&self) -> impl DoubleEndedIterator<Item = EntryId> + '_ {
        self.damaged.iter().map(|index| EntryId { term: self.term_at(*index), index: *index })
    }

    /// The extents that hold entries `from..=through`, at most `len_max` of them, up to the first damaged entry; none if `from` is not in
    /// the log or damaged.
    pub(crate) fn extents(&self, from: Index, through: Index, len_max: usize) -> Vec<Extent> {
        let hole = self.damaged.range(from..).next();
        let through = hole.map_or(through, |hole| through.min(hole.prev()));
        if from <= self.base.index || from > self.last.index || through < from {
            return Vec::new();
        }
        let at = self.extents.partition_point(|extent| extent.last < from);
        self.extents[at..]
            .iter()
            .take_while(|extent| extent.first <= through)
            .take(len_max)
            .copied()
            .collect()
    }

    /// Forgets all entries from `from` on.
    fn truncate(&mut self, from: Index) {
        assert!(from > self.base.index, "the base is never truncated");
        while self.extents.last().is_some_and(|extent| extent.first >= from) {
            self.extents.pop();
        }
        if let Some(extent) = self.extents.last_mut() {
            extent.last = from.prev();
        }
        self.broken = true;
        self.damaged.split_off(&from);
        self.last = EntryId { term: self.term_at(from.prev()), index: from.prev() };
        while self.term_starts.last().is_some_and(|start| start.index >= from) {
            self.term_starts.pop();
        }
    }

    /// Forgets all entries up to `base`. The first extent may still begin at or below it: nobody reads there.
    pub(crate) fn compact(&mut self, base: EntryId) {
        assert!(
            base.index >= self.base.index && base.index <= self.last.index,
            "only what is there is compacted"
        );
        assert!(self.term_at(base.index) == base.term, "what is compacted stands in the log");
        self.extents.retain(|extent| extent.last > base.index);
        let after = self.term_starts.partition_point(|start| start.index <= base.index.next());
        let goes_on = base.index < self.last.index;
        let term = self.term_at(base.index.next().min(self.last.index));
        self.term_starts.drain(..after);
        if goes_on {
            self.term_starts.insert(0, EntryId { term, index: base.index.next() });
        }
        self.base = base;
        self.damaged = self.damaged.split_off(&base.index.next());
        let first = self.extents.first();
        assert!(
            first.is_none_or(|extent| extent.first <= base.index.next()),
            "the extents leave no gap behind the base"
        );
    }

    /// The term of an entry between the base and the last.
    pub(crate) fn term_at(&self, index: Index) -> Term {
        let after = self.term_starts.partition_point(|start| start.index <= index);
        after.checked_sub(1).map_or(self.base.term, |at| self.term_starts[at].term)
    }
}

/// A new extent begins after this many bytes: to find an entry, at most so much is read in vain.
const EXTENT_BYTES: u64 = 16 << 10;
