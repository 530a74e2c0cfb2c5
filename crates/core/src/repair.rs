//! Damaged entries come back from peers ("Protocol-Aware Recovery", FAST 2018): a node that has lost the bytes of entries asks its peers for them
//! by their exact ids, and whoever holds such an entry intact gives it. By log matching (thesis 3.5) one term and index name one entry for
//! ever, committed or not, so neither the asker's nor the giver's role or term matters, and no leader is needed: nobody
//! could be elected where all have lost something.
//!
//! Repair gives way to all else: one question at a time, with a bound on what it asks for and what is given back, pauses that double as
//! long as nothing comes, and one read for repairs at a time where entries must be read back.

use std::collections::BTreeSet;

use crate::damage::is_meant;
use crate::entry::Entry;
use crate::message::Message;
use crate::raft::Raft;
use crate::ready::{Fact, Fetch, FetchFor};
use crate::types::{EntryId, Index, NodeId};

/// The questions of a node that is damaged, and the one that is being answered for another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Repair {
    /// Who was asked and has not answered.
    asked: Option<NodeId>,
    /// Who is still to be asked in this round.
    unasked: Vec<NodeId>,
    /// Ticks since the last question, or since the round before ended.
    elapsed_ticks: u64,
    /// For how long to wait before the next round.
    pause_ticks: u64,
    /// Something came in this round.
    progressed: bool,
    /// Questions begin with the first missing entry from here on, so that many which nobody has do not keep others from being asked for.
    cursor: Index,
    /// Who was heard since the start: the members may stand in what is damaged.
    heard: BTreeSet<NodeId>,
    /// Whom entries are being read back for.
    reading_for: Option<NodeId>,
}

impl Raft {
    /// Time has passed at a node that may be damaged.
    pub(crate) fn on_repair_tick(&mut self, elapsed: u64) {
        if !self.wants_repair() {
            return;
        }
        self.repair.elapsed_ticks = self.repair.elapsed_ticks.saturating_add(elapsed);
        if self.repair.asked.is_some() {
            if self.repair.elapsed_ticks >= self.repair_answer_ticks() {
                self.ask_next();
            }
        } else if self.repair.elapsed_ticks >= self.repair.pause_ticks {
            self.begin_round();
        }
    }

    /// A damaged node remembers who speaks to it: it may have forgotten the members.
    pub(crate) fn hear_for_repair(&mut self, from: NodeId) {
        if !self.log.damage().is_none() && self.repair.heard.len() < HEARD_LEN_MAX {
            self.repair.heard.insert(from);
        }
    }

    /// After how many ticks a question is due.
    pub(crate) fn repair_deadline_ticks(&self) -> Option<u64> {
        if !self.wants_repair() {
            return None;
        }
        let due = match self.repair.asked {
            Some(_) => self.repair_answer_ticks(),
            None => self.repair.pause_ticks,
        };
        Some(due.saturating_sub(self.repair.elapsed_ticks))
    }

    /// Whether bytes or the state are missing that only a peer can give.
    fn wants_repair(&self) -> bool {
        let damage = self.log.damage();
        !damage.is_none() && (damage.is_state_lost() || damage.missing().next().is_some())
    }

    /// For how long an answer is waited for.
    fn repair_answer_ticks(&self) -> u64 {
        self.config.heartbeat_ticks.saturating_mul(2)
    }

    /// All that this node can think of are asked, one after the other. The members may stand in an entry that is damaged; then those of an older
    /// membership are asked and those whose addresses the settings name. Nothing is decided by that.
    fn begin_round(&mut self) {
        let mut peers: BTreeSet<NodeId> = self.membership().members();
        peers.extend(self.config.addresses.keys());
        peers.extend(&self.repair.heard);
        peers.remove(&self.config.node);
        // The leader is spared where others can help: it has the most to do.
        let leader = self.leader();
        self.repair.unasked = peers.into_iter().collect();
        self.repair.unasked.sort_by_key(|peer| (Some(*peer) != leader, *peer));
        self.repair.progressed = false;
        self.repair.pause_ticks = self.repair.pause_ticks.saturating_mul(2).clamp(
            self.repair_answer_ticks(),
            self.config.election_timeout_ticks.saturating_mul(REPAIR_PAUSE_TIMEOUTS_MAX),
        );
        self.ask_next();
    }

    /// Asks the next peer of the round. When all were asked, the next round asks for what comes behind, after a pause.
    fn ask_next(&mut self) {
        self.repair.elapsed_ticks = 0;
        self.repair.asked = self.repair.unasked.pop();
        match self.repair.asked {
            Some(peer) => self.ask(peer),
            None if self.repair.progressed => self.repair.pause_ticks = 0,
            None => self.repair.cursor = self.wanted().last().map_or(Index(0), |id| id.index.next()),
        }
    }

    /// The entries to ask for now.
    fn wanted(&self) -> Vec<EntryId> {
        let from_cursor = self.log.damage().missing().filter(|id| id.index >= self.repair.cursor);
        let wanted: Vec<EntryId> = from_cursor.take(REPAIR_IDS_MAX).collect();
        if wanted.is_empty() { self.log.damage().missing().take(REPAIR_IDS_MAX).collect() } else { wanted }
    }

    fn ask(&mut self, peer: NodeId) {
        let state_behind = self.log.damage().is_state_lost().then(|| self.log.base());
        let message = Message::RepairRequest { wanted: self.wanted(), state_behind };
        self.send(peer, message);
    }

    /// "Give me these entries." Every node answers, whatever its role and term, with those that it holds under exactly these ids. What it
    /// has compacted is in its snapshot, and that it offers.
    pub(crate) fn on_repair_request(
        &mut self,
        from: NodeId,
        wanted: &[EntryId],
        state_behind: Option<EntryId>,
    ) {
        self.learn_from_lost_state(from, state_behind);
        let held: Vec<EntryId> =
            wanted.iter().copied().take(REPAIR_IDS_MAX).filter(|id| self.holds(*id)).collect();
        let Some(first) = held.first() else {
            return self.offer_state(from, wanted, state_behind);
        };
        let bytes_max = self.config.append_bytes_max;
        if first.index >= self.log.window_first() {
            let entries = self.take_held(&held, bytes_max);
            return self.send(from, Message::RepairResponse { entries, snapshot: EntryId::ZERO });
        }
        if self.repair.reading_for.is_some() {
            // One read at a time: whoever asks in vain asks again.
            return;
        }
        self.repair.reading_for = Some(from);
        let last_on_disk = self.log.window_first().prev();
        let consecutive =
            held.iter().enumerate().take_while(|(place, id)| id.index.0 == first.index.0 + *place as u64);
        let through = consecutive.last().map_or(first.index, |(_, id)| id.index).min(last_on_disk);
        self.out.fetches.push(Fetch {
            peer: from,
            purpose: FetchFor::Repair,
            from: first.index,
            through,
            bytes_max,
        });
    }

    /// What a snapshot covered is committed, also when its state is lost: whoever holds its last entry holds all of it, by log matching. A leader
    /// may learn it in no other way, if it is the asker whose copies it lacks to count, and then has no snapshot that helps the asker.
    fn learn_from_lost_state(&mut self, from: NodeId, state_behind: Option<EntryId>) {
        if let Some(behind) = state_behind
            && behind.index > self.commit
            && self.log.term_at(behind.index) == Some(behind.term)
        {
            self.commit_through(behind.index);
            self.out.facts.push(Fact::CommittedElsewhere { last: behind, by: from });
        }
    }

    /// Whether this node can give the entry: under exactly this id, and intact.
    fn holds(&self, id: EntryId) -> bool {
        let here = self.log.term_at(id.index).map(|term| EntryId { term, index: id.index });
        let is_same = here.is_some_and(|here| is_meant(id, here));
        let is_on_disk = id.index <= self.log.persisted() || id.index >= self.log.window_first();
        is_same
            && is_on_disk
            && id.index > self.log.base().index
            && id.index <= self.log.last().index
            && !self.log.damage().is_hole(id.index)
    }

    fn take_held(&self, held: &[EntryId], bytes_max: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for id in held {
            let found = self.log.entries(id.index, id.index, bytes_max).unwrap_or_default();
            bytes += found.iter().map(Entry::window_bytes).sum::<usize>();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.extend(found);
        }
        entries
    }

    /// Answers without entries. Where the snapshot of this node covers what is wanted it is offered; where it does not reach far enough for
    /// a node that has lost its state, one is taken that does.
    fn offer_state(&mut self, from: NodeId, wanted: &[EntryId], state_behind: Option<EntryId>) {
        let (base, snapshot) = (self.log.base(), self.snapshot);
        let is_covered = wanted.iter().any(|id| id.index <= base.index && id.index <= snapshot.index);
        let gives_state = state_behind.is_some_and(|behind| behind.index <= snapshot.index);
        if let Some(behind) = state_behind
            && !gives_state
            && behind.index <= self.applied
        {
            self.out.snapshot_wanted = true;
        }
        let snapshot = if is_covered || gives_state { snapshot } else { EntryId::ZERO };
        self.send(from, Message::RepairResponse { entries: Vec::new(), snapshot });
    }

    /// Entries that a peer wants were read back: none if they were compacted meanwhile.
    pub(crate) fn on_fetched_for_repair(&mut self, peer: NodeId, entries: Vec<Entry>) {
        if self.repair.reading_for == Some(peer) {
            self.repair.reading_for = None;
        }
        self.send(peer, Message::RepairResponse { entries, snapshot: EntryId::ZERO });
    }

    /// A peer's answer. What was not missed, or stands under another id, is not taken: that is the whole check, because an id names one entry.
    pub(crate) fn on_repair_response(&mut self, from: NodeId, entries: Vec<Entry>, snapshot: EntryId) {
        let mut taken = 0;
        for entry in entries {
            taken += u64::from(self.log.cure(&entry));
        }
        if taken > 0 {
            self.repair.progressed = true;
            self.repair.pause_ticks = 0;
            self.out.facts.push(Fact::Repaired { entries: taken, from });
        }
        let base = self.log.base();
        if !self.log.damage().is_none() && snapshot.index > self.log.at_hand() && snapshot.index >= base.index
        {
            self.out.offers.push((from, snapshot));
        }
        if self.repair.asked != Some(from) {
            return;
        }
        if !self.wants_repair() {
            self.repair.asked = None;
        } else if taken > 0 {
            self.repair.elapsed_ticks = 0;
            self.ask(from);
        } else {
            self.ask_next();
        }
    }

    /// Whether this node is in want of a snapshot that ends with `last`: of what it covers something is not committed here, or not at hand.
    pub fn lacks(&self, last: EntryId) -> bool {
        let has_all = last.index <= self.commit.min(self.log.at_hand());
        !has_all && last.index >= self.log.base().index
    }

    /// Says so when the last of what was damaged has been replaced.
    pub(crate) fn notice_whole(&mut self, was_damaged: bool) {
        if was_damaged && self.log.damage().is_none() {
            self.repair = Repair { reading_for: self.repair.reading_for, ..Repair::default() };
            self.out.facts.push(Fact::Whole);
        }
    }

    /// Says what the disk had lost when this node started.
    pub(crate) fn tell_damage(&mut self) {
        let damage = self.log.damage();
        if let Some((first, last)) = damage.range() {
            let entries = damage.len() as u64;
            self.out.facts.push(Fact::Damaged { entries, first, last });
        }
        if damage.is_state_lost() {
            self.out.facts.push(Fact::StateLost { behind: self.log.base() });
        }
    }
}

/// For how many entries one question asks at most.
pub(crate) const REPAIR_IDS_MAX: usize = 256;
/// How many others a damaged node remembers to have heard.
const HEARD_LEN_MAX: usize = 32;
/// The longest pause between two rounds of questions that bring nothing, in election timeouts.
const REPAIR_PAUSE_TIMEOUTS_MAX: u64 = 8;
