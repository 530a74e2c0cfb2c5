//! The log as the protocol sees it (thesis 3.3, 3.5): the newest entries in memory, the term of every entry, and how far the
//! disk has come. It touches no disk: it counts the writes that were handed out and learns which of them are durable.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::damage::Damage;
use crate::entry::{Entry, Membership, Payload};
use crate::planted::{self, Bug};
use crate::snapshot::SnapshotMeta;
use crate::stored::Stored;
use crate::types::{EntryId, Index, Term, WriteNumber};

/// The log. Entries up to the window's first live on disk only, but their terms are known here, as runs of equal terms.
#[derive(Clone)]
pub(crate) struct Log {
    /// The entry before the first one.
    base: EntryId,
    /// The last entry; `base` if there is none.
    last: EntryId,
    /// The timestamp of the last entry that was appended, or 0.
    last_timestamp_ms: u64,
    /// The first entry of each run of equal terms. Invariant: terms and indices rise strictly, the first follows `base`.
    term_starts: Vec<EntryId>,
    /// The membership entries of the whole log. Invariant: indices rise strictly.
    memberships: Vec<(Index, Arc<Membership>)>,
    /// The newest entries. Invariant: consecutive, and the last of them, if any, is `last`.
    window: VecDeque<Entry>,
    /// The memory that the window accounts for.
    window_bytes: usize,
    /// The part of it that belongs to committed entries.
    committed_bytes: usize,
    /// Above this the window lets go of what is persisted and applied.
    window_bytes_max: usize,
    /// All up to here is on disk and equal to what stands here, but for what is damaged. Invariant: at most `last`.
    persisted: Index,
    /// The first entry that no write has carried yet. Invariant: at most one past `last`.
    unwritten: Index,
    /// Writes that are under way, in order of their numbers.
    writes: VecDeque<WriteUnderWay>,
    /// What the disk has lost.
    damage: Damage,
}

/// A write that was handed out and is not known to be durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WriteUnderWay {
    /// Its number.
    pub(crate) number: WriteNumber,
    /// The disk is equal to the log up to here once the write is durable. A truncation lowers it in all writes under way:
    /// what they carry above was overtaken, and an entry of the same index that comes later is in a later write.
    pub(crate) through: Index,
    /// Whether it carries more than term and vote.
    pub(crate) carries_log: bool,
}

impl Log {
    /// The log as the disk holds it.
    ///
    /// # Panics
    /// If what was stored contradicts itself: the log's recovery must not hand out such a thing.
    pub(crate) fn new(stored: Stored, window_bytes_max: usize) -> Log {
        let Stored {
            hard_state: _,
            snapshot,
            snapshot_lost,
            base,
            term_starts,
            memberships,
            damaged,
            tail,
            last,
        } = stored;
        let behind = snapshot.as_ref().map_or(base.index, |snapshot| snapshot.last.index);
        assert!(
            damaged.iter().all(|id| id.index > behind && id.index <= last.index),
            "damaged entries stand in the log, behind what a snapshot covers"
        );
        assert!(last >= base, "the log ends where it begins, or later");
        assert!(
            term_starts.windows(2).all(|pair| pair[0].term < pair[1].term && pair[0].index < pair[1].index),
            "runs of terms rise strictly"
        );
        match term_starts.first() {
            Some(first) => assert!(first.index == base.index.next(), "the first run begins after the base"),
            None => assert!(last == base, "only an empty log has no runs"),
        }
        let mut memberships = memberships;
        if planted::is(Bug::MembershipLostOnRestart) {
            memberships.truncate(1);
        }
        assert!(memberships.windows(2).all(|pair| pair[0].0 < pair[1].0), "memberships stand in log order");
        if let Some(entry) = tail.last() {
            assert!(entry.id == last, "the window ends with the last entry");
        }
        if let (Some(entry), Some(id)) = (tail.first(), damaged.last()) {
            assert!(entry.id.index > id.index, "the window begins above all damage");
        }
        assert!(
            tail.windows(2).all(|pair| pair[0].id.index.next() == pair[1].id.index),
            "entries in the window are consecutive"
        );
        // A log that is empty but for its base goes on from the snapshot that covers it.
        let timestamp_ms = snapshot.map_or(0, |snapshot| snapshot.timestamp_ms);
        Log {
            base,
            last,
            last_timestamp_ms: tail.last().map_or(timestamp_ms, |entry| entry.timestamp_ms),
            term_starts,
            memberships,
            window_bytes: tail.iter().map(Entry::window_bytes).sum(),
            window: tail.into(),
            committed_bytes: 0,
            window_bytes_max,
            persisted: last.index,
            unwritten: last.index.next(),
            writes: VecDeque::new(),
            damage: Damage::new(damaged, snapshot_lost.is_some()),
        }
    }

    /// The last entry.
    pub(crate) fn last(&self) -> EntryId {
        self.last
    }

    /// The timestamp of the last entry that was appended.
    pub(crate) fn last_timestamp_ms(&self) -> u64 {
        self.last_timestamp_ms
    }

    /// All up to here is on disk, with its bytes and the state before it.
    pub(crate) fn persisted(&self) -> Index {
        self.persisted.min(self.damage.on_disk_through())
    }

    /// All up to here is on disk or will be with the writes under way and the next one, with its bytes and the state before it. A promise
    /// goes no further.
    pub(crate) fn at_hand(&self) -> Index {
        if planted::is(Bug::DamageAcknowledged) {
            return self.last.index;
        }
        self.last.index.min(self.damage.at_hand_through())
    }

    /// What the disk has lost.
    pub(crate) fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Takes in the bytes of a damaged entry. By log matching the same term and index name the same entry, committed or not, so any peer
    /// may give it. Returns whether it was one that is missed.
    pub(crate) fn cure(&mut self, entry: &Entry) -> bool {
        if !self.damage.cure(entry) {
            return false;
        }
        if let Payload::Membership(membership) = &entry.payload {
            // It is here already if the disk had no room for it the first time.
            let place = self.memberships.partition_point(|(index, _)| *index < entry.id.index);
            if self.memberships.get(place).is_none_or(|(index, _)| *index > entry.id.index) {
                self.memberships.insert(place, (entry.id.index, Arc::clone(membership)));
            }
        }
        if entry.id == self.last {
            self.last_timestamp_ms = entry.timestamp_ms;
        }
        assert!(self.term_at(entry.id.index).is_some(), "what is repaired stands in the log");
        true
    }

    /// The first index in the window; one past the last entry when the window is empty.
    pub(crate) fn window_first(&self) -> Index {
        self.window.front().map_or_else(|| self.last.index.next(), |entry| entry.id.index)
    }

    /// The memory that the window accounts for.
    pub(crate) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// The memory of entries that are not known to be committed.
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.window_bytes - self.committed_bytes
    }

    /// Whether the window takes no more entries: the disk or the state machine is so far behind that nothing can go.
    ///
    /// Only what is committed counts, because that goes by itself in time. What is not committed may need more entries
    /// before it can be: to refuse those would be a deadlock. The leader bounds it by `uncommitted_bytes_max`.
    pub(crate) fn is_full(&self) -> bool {
        self.committed_bytes >= self.window_bytes_max.saturating_mul(2)
    }

    /// The entries above `before` up to `commit` are committed now.
    pub(crate) fn on_committed(&mut self, before: Index, commit: Index) {
        assert!(before <= commit && commit <= self.last.index, "the commit index rises within the log");
        let first = before.next().max(self.window_first());
        if first <= commit {
            let range = self.window_position(first)..=self.window_position(commit);
            self.committed_bytes += self.window.range(range).map(Entry::window_bytes).sum::<usize>();
        }
        assert!(self.committed_bytes <= self.window_bytes, "what is committed is part of the window");
    }

    /// The term of the entry at `index`, also of the place before the first entry; `None` outside the log.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index < self.base.index || index > self.last.index {
            return None;
        }
        let runs = self.term_starts.partition_point(|first| first.index <= index);
        Some(if runs == 0 { self.base.term } else { self.term_starts[runs - 1].term })
    }

    /// The last entry with an index of at most `id.index` and a term of at most `id.term`: the newest place where this log
    /// may still agree with one that holds `id` (thesis 3.5, the conflict hints). The base if there is none.
    pub(crate) fn last_at_or_below(&self, id: EntryId) -> EntryId {
        let runs = self.term_starts.partition_point(|first| first.index <= id.index && first.term <= id.term);
        if runs == 0 {
            return self.base;
        }
        let run_last = match self.term_starts.get(runs) {
            Some(following) => following.index.prev(),
            None => self.last.index,
        };
        EntryId { term: self.term_starts[runs - 1].term, index: run_last.min(id.index) }
    }

    /// Adds an entry at the end.
    ///
    /// # Panics
    /// If it does not follow the last entry, or its term or timestamp is lower.
    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.id.index == self.last.index.next(), "the log has no gaps");
        assert!(entry.id.term >= self.last.term, "terms never fall along the log");
        if self.last.index == self.base.index || entry.id.term > self.last.term {
            self.term_starts.push(entry.id);
        }
        if let Payload::Membership(membership) = &entry.payload {
            self.memberships.push((entry.id.index, Arc::clone(membership)));
        }
        self.last = entry.id;
        self.last_timestamp_ms = entry.timestamp_ms;
        self.window_bytes += entry.window_bytes();
        self.window.push_back(entry);
        assert!(self.unwritten <= self.last.index, "a new entry waits for its write");
    }

    /// Drops the entry at `from` and all after it. The caller appends others in the same step.
    ///
    /// # Panics
    /// If `from` is outside the log.
    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from > self.base.index && from <= self.last.index, "only what is there is truncated");
        let keep = from.prev();
        let term = self.term_at(keep).expect("the place before an entry of the log has a term");
        while self.window.back().is_some_and(|entry| entry.id.index >= from) {
            let entry = self.window.pop_back().expect("it was looked at just now");
            self.window_bytes -= entry.window_bytes();
        }
        self.term_starts.truncate(self.term_starts.partition_point(|first| first.index < from));
        self.memberships.truncate(self.memberships.partition_point(|(index, _)| *index < from));
        self.last = EntryId { term, index: keep };
        self.persisted = self.persisted.min(keep);
        self.unwritten = self.unwritten.min(from);
        self.damage.truncate(from);
        // A write under way may carry entries that just went. Its acknowledgement must never count for the entries that
        // take their indices (the "append ABA race" of etcd/raft).
        for write in self.writes.iter_mut().filter(|_| !planted::is(Bug::OvertakenWriteAcknowledges)) {
            write.through = write.through.min(keep);
        }
    }

    /// Lets go of all up to `base`: the terms and memberships of what is compacted. The window has let go of its entries before, or does now.
    ///
    /// # Panics
    /// If `base` is not an entry of the log, or not persisted.
    pub(crate) fn compact(&mut self, base: EntryId) {
        assert!(
            base.index >= self.base.index && base.index <= self.persisted,
            "only what is on disk is compacted"
        );
        assert!(self.term_at(base.index) == Some(base.term), "what is compacted stands in the log");
        self.let_go(base);
        // The members in force at the base are those of the newest entry up to it.
        let covered = self.memberships.partition_point(|(index, _)| *index <= base.index);
        self.memberships.drain(..covered.saturating_sub(1));
    }

    /// The log begins behind `base` from now on.
    fn let_go(&mut self, base: EntryId) {
        while self.window.front().is_some_and(|entry| entry.id.index <= base.index) {
            let entry = self.window.pop_front().expect("it was looked at just now");
            self.window_bytes -= entry.window_bytes();
            self.committed_bytes -= entry.window_bytes();
        }
        let first = base.index.next();
        let runs = self.term_starts.partition_point(|start| start.index <= first);
        if first <= self.last.index {
            // The run that goes on behind the base begins there now.
            let term = self.term_starts[runs - 1].term;
            self.term_starts.drain(..runs - 1);
            self.term_starts[0] = EntryId { term, index: first };
        } else {
            self.term_starts.clear();
        }
        self.base = base;
        assert!(self.window_first() > base.index, "nothing that is compacted is in memory");
    }

    /// Goes on behind a received snapshot. If the log holds the entry with which it ends, what stands behind that stays: this node has
    /// promised it. Else all entries go. Nothing above `durable` counts as on disk until the write that carries the snapshot is.
    pub(crate) fn install(&mut self, meta: &SnapshotMeta, durable: Index) {
        let last = meta.last;
        let keeps = self.term_at(last.index) == Some(last.term);
        assert!(
            last.index > self.base.index || keeps && self.damage.is_state_lost(),
            "the log never begins earlier than it did"
        );
        if !keeps {
            self.last = last;
            self.last_timestamp_ms = meta.timestamp_ms;
            self.term_starts.clear();
            self.memberships.clear();
            self.window.clear();
            (self.window_bytes, self.committed_bytes) = (0, 0);
            self.unwritten = last.index.next();
            self.damage = Damage::default();
        } else if last == self.last {
            self.last_timestamp_ms = meta.timestamp_ms;
        }
        self.damage.cover(last.index);
        self.let_go(last);
        self.memberships.retain(|(index, _)| *index > last.index);
        self.memberships.insert(0, (meta.membership_index, Arc::clone(&meta.membership)));
        self.unwritten = self.unwritten.max(last.index.next());
        self.persisted = self.persisted.min(durable);
        for write in &mut self.writes {
            write.through = write.through.min(durable);
        }
        assert!(self.base == last, "the log begins where the snapshot ends");
    }

    /// Whether entries wait for a write.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.unwritten <= self.last.index
    }

    /// How many writes are not known to be durable.
    pub(crate) fn writes_under_way(&self) -> usize {
        self.writes.len()
    }

    /// Hands out what was repaired, as part of write `number`, which [`Log::begin_write`] begins.
    pub(crate) fn take_repaired(&mut self, number: WriteNumber) -> Vec<Entry> {
        self.damage.begin_write(number)
    }

    /// Hands out the entries that no write has carried, as part of write `number`: all of them, or about as many bytes as are given
    /// and at least one. `installs` says whether the write carries a snapshot.
    pub(crate) fn begin_write(
        &mut self,
        number: WriteNumber,
        bytes_max: Option<usize>,
        installs: bool,
    ) -> Vec<Entry> {
        assert!(self.writes.back().is_none_or(|write| write.number < number), "numbers of writes only rise");
        let mut entries = Vec::new();
        if self.has_unwritten() {
            assert!(self.unwritten >= self.window_first(), "what is not written is in memory");
            let bytes_max = bytes_max.unwrap_or(usize::MAX);
            let wanted = self.entries(self.unwritten, self.last.index, bytes_max);
            entries = wanted.expect("what is not written is in memory");
        }
        let through = entries.last().map_or(self.last.index, |entry| entry.id.index);
        self.unwritten = through.next();
        let carries_log = installs || !entries.is_empty();
        self.writes.push_back(WriteUnderWay { number, through, carries_log });
        entries
    }

    /// Write `number` carries term and vote only: what the log waits for goes on waiting.
    pub(crate) fn begin_write_without(&mut self, number: WriteNumber) {
        assert!(self.writes.back().is_none_or(|write| write.number < number), "numbers of writes only rise");
        let through = self.written_through();
        self.writes.push_back(WriteUnderWay { number, through, carries_log: false });
    }

    /// The disk had no room for write `from`: neither it nor any later one is carried out, and what they carried waits again.
    /// Returns whether that write carried more than term and vote.
    pub(crate) fn on_refused(&mut self, from: WriteNumber) -> bool {
        let refused = self.writes.iter().find(|write| write.number == from);
        let carried_log = refused.expect("a write that is refused is under way").carries_log;
        self.writes.truncate(self.writes.partition_point(|write| write.number < from));
        self.damage.on_refused(from);
        self.unwritten = self.written_through().max(self.base.index).next();
        assert!(self.unwritten <= self.last.index.next(), "what waits for its write is in the log");
        carried_log
    }

    /// All up to here is on disk, or on its way there.
    pub(crate) fn written_through(&self) -> Index {
        let under_way = self.writes.back().map_or(Index(0), |write| write.through);
        self.persisted.max(under_way)
    }

    /// All writes up to `number` are durable. Returns whether that is news.
    pub(crate) fn on_persisted(&mut self, number: WriteNumber) -> bool {
        let mut news = false;
        while self.writes.front().is_some_and(|write| write.number <= number) {
            let write = self.writes.pop_front().expect("it was looked at just now");
            self.persisted = self.persisted.max(write.through);
            news = true;
        }
        self.damage.on_persisted(number);
        assert!(self.persisted <= self.last.index, "nothing is persisted beyond the end of the log");
        news
    }

    /// Numbers the writes under way anew, from 1 on. Returns the numbers that they had.
    pub(crate) fn renumber_writes(&mut self) -> Vec<WriteNumber> {
        let numbers = self.writes.iter().map(|write| write.number).collect();
        for (place, write) in self.writes.iter_mut().enumerate() {
            write.number = WriteNumber(place as u64 + 1);
        }
        numbers
    }

    /// Takes the newest write under way for a part of the one before it, for [`crate::raft::Raft::join_empty_write`].
    pub(crate) fn join_newest_write(&mut self) {
        let newest = self.writes.pop_back().expect("a write is under way");
        let before = self.writes.back().expect("a write is under way before it");
        assert!(newest.through == before.through, "an empty write carries no entries");
    }

    /// Gives the nodes other names, for [`crate::raft::Raft::renamed`].
    pub(crate) fn rename(&mut self, name: crate::state::Name<'_>) {
        self.window.iter_mut().for_each(|entry| *entry = entry.renamed(name));
        for (_, membership) in &mut self.memberships {
            *membership = Arc::new(membership.renamed(name));
        }
        assert!(
            self.window.iter().map(Entry::window_bytes).sum::<usize>() == self.window_bytes,
            "names do not change the size of an entry"
        );
    }

    /// Lets go of the oldest entries while the window is above its limit: only of what is persisted and applied, so that
    /// what was never written and what waits for the state machine is always at hand.
    pub(crate) fn evict(&mut self, applied: Index) {
        let bound = applied.min(self.persisted);
        while self.window_bytes > self.window_bytes_max
            && self.window.front().is_some_and(|entry| entry.id.index <= bound)
        {
            let entry = self.window.pop_front().expect("it was looked at just now");
            self.window_bytes -= entry.window_bytes();
            self.committed_bytes -= entry.window_bytes();
        }
    }

    /// Entries from `from` up to `through`, at most `bytes_max` bytes but at least one entry if there is any; `None` when
    /// `from` lies before the window.
    pub(crate) fn entries(&self, from: Index, through: Index, bytes_max: usize) -> Option<Vec<Entry>> {
        if from < self.window_first() {
            return None;
        }
        let through = through.min(self.last.index);
        if from > through {
            return Some(Vec::new());
        }
        let (first, last) = (self.window_position(from), self.window_position(through));
        let mut bytes = 0;
        let mut end = first;
        for entry in self.window.range(first..=last) {
            bytes += entry.window_bytes();
            if bytes > bytes_max && end > first {
                break;
            }
            end += 1;
        }
        Some(self.window.range(first..end).cloned().collect())
    }

    /// The place of `index` in the window.
    fn window_position(&self, index: Index) -> usize {
        let first = self.window_first();
        assert!(index >= first && index <= self.last.index, "the index is in the window");
        usize::try_from(index.0 - first.0).expect("the window is in memory, so its length fits a usize")
    }

    /// The runs of terms, for the invariants.
    pub(crate) fn term_starts(&self) -> &[EntryId] {
        &self.term_starts
    }

    /// The membership entries.
    pub(crate) fn memberships(&self) -> &[(Index, Arc<Membership>)] {
        &self.memberships
    }

    /// The window, for the invariants.
    pub(crate) fn window(&self) -> &VecDeque<Entry> {
        &self.window
    }

    /// The writes under way, for the invariants.
    pub(crate) fn writes(&self) -> &VecDeque<WriteUnderWay> {
        &self.writes
    }

    /// The first entry that no write has carried, for the invariants.
    pub(crate) fn unwritten(&self) -> Index {
        self.unwritten
    }

    /// The entry before the first one.
    pub(crate) fn base(&self) -> EntryId {
        self.base
    }
}

impl Entry {
    /// The memory that an entry accounts for: its payload and a flat sum for the rest.
    pub(crate) fn window_bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES
            + match &self.payload {
                Payload::Noop => 0,
                Payload::Command(command) => command.len(),
                Payload::Membership(membership) => membership.encoded_len(),
            }
    }
}

/// What an entry costs besides its payload: the struct itself and its share of a buffer.
const ENTRY_OVERHEAD_BYTES: usize = 64;
