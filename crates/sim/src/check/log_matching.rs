//! Log matching (thesis 3.5, figure 3.2): one term and index name one entry with one predecessor, in every log for ever. By
//! induction, two logs that share an entry share all before it; checking the predecessor is enough.
//!
//! Beside it stand shadows of each node's log as the outside sees it: what was asked to be written, and what is durable. No
//! message may promise more than the durable shadow, and no restart may bring back less.

use std::collections::{BTreeMap, VecDeque};

use quorate_core::entry::{Entry, HardState};
use quorate_core::message::{Envelope, Message};
use quorate_core::ready::Write;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, Term, WriteNumber};

use super::by_node::ByNode;
use super::damage::Damage;
use super::{Violation, fingerprint, last_index, position};
use crate::store;

/// All logs of the run.
#[derive(Debug, Default)]
pub struct Logs {
    known: Known,
    shadows: ByNode<Shadow>,
    /// What was durable on a node before it was wiped. Its peers refuse it since, so what it promised then still counts.
    before_wipe: ByNode<Vec<EntryId>>,
}

/// Every entry that was ever written: its predecessor and its fingerprint.
#[derive(Debug, Default)]
struct Known {
    /// At each index from 1 on the entry of the highest term, which nearly all questions are about. Id zero: none yet.
    newest: Vec<(EntryId, (EntryId, u64))>,
    /// The entries of lower terms.
    older: BTreeMap<EntryId, (EntryId, u64)>,
}

impl Known {
    fn get(&self, id: EntryId) -> Option<(EntryId, u64)> {
        match self.newest.get(position(id.index)) {
            Some((newest, entry)) if *newest == id => Some(*entry),
            Some(_) | None => self.older.get(&id).copied(),
        }
    }

    fn insert(&mut self, id: EntryId, entry: (EntryId, u64)) {
        let at = position(id.index);
        if self.newest.len() <= at {
            self.newest.resize(at + 1, (EntryId::ZERO, (EntryId::ZERO, 0)));
        }
        let (newest, known) = &mut self.newest[at];
        if newest.term > id.term {
            self.older.insert(id, entry);
            return;
        }
        if *newest != EntryId::ZERO && *newest != id {
            self.older.insert(*newest, *known);
        }
        (*newest, *known) = (id, entry);
    }
}

/// One node's log, seen from outside.
#[derive(Debug, Default)]
struct Shadow {
    /// The log with all writes that were asked for.
    written: Vec<EntryId>,
    /// The log as a crash would leave it at least.
    durable: Vec<EntryId>,
    /// Term and vote as a crash would leave them at least.
    hard_state: HardState,
    /// Writes that were asked for and are not durable yet, oldest first.
    pending: VecDeque<SeenWrite>,
    /// From here on the disk had no room for what was asked to be written, until it is asked for again.
    refused: Option<Index>,
    /// What the disk has lost and what is not durable again.
    damage: Option<Damage>,
}

impl Shadow {
    /// Whether a write carries only entries that were asked for before and found no room.
    fn holds_refused(&self, write: &Write) -> bool {
        let stands = |entry: &Entry| self.written.get(position(entry.id.index)) == Some(&entry.id);
        let first = write.entries.first().map(|entry| entry.id.index);
        first.is_some_and(|first| self.refused.is_some_and(|from| first >= from))
            && write.entries.iter().all(stands)
    }
}

#[derive(Debug)]
struct SeenWrite {
    number: WriteNumber,
    hard_state: Option<HardState>,
    /// The log as it is behind the snapshot that is used from then on, the term in which that was taken, and its last entry.
    install: Option<(Vec<EntryId>, Term, EntryId)>,
    repaired: Vec<EntryId>,
    entries: Vec<EntryId>,
}

impl Logs {
    /// The log of a node with all that it asked to be written.
    pub(super) fn written(&self, node: NodeId) -> &[EntryId] {
        self.shadows.get(&node).map_or(&[], |shadow| &shadow.written)
    }

    /// The log of a node as a crash would leave it at least.
    pub(super) fn durable(&self, node: NodeId) -> &[EntryId] {
        self.shadows.get(&node).map_or(&[], |shadow| &shadow.durable)
    }

    /// What the disk of a node has lost, if anything.
    pub(super) fn damage(&self, node: NodeId) -> Option<&Damage> {
        self.shadows.get(&node).and_then(|shadow| shadow.damage.as_ref())
    }

    /// A node lost its log: nothing of it is expected back.
    pub(super) fn on_wipe(&mut self, node: NodeId) {
        if let Some(shadow) = self.shadows.remove(&node) {
            self.before_wipe.insert(node, shadow.durable);
        }
    }

    /// Whether a node has, or had before it was wiped, this entry on its disk.
    pub(super) fn held(&self, node: NodeId, id: EntryId) -> bool {
        let stands = |log: &[EntryId]| log.get(position(id.index)) == Some(&id);
        stands(self.durable(node)) || self.before_wipe.get(&node).is_some_and(|log| stands(log))
    }

    /// Whether this is the entry that its id has always named.
    pub(super) fn is_known(&self, entry: &Entry) -> bool {
        self.known.get(entry.id).is_some_and(|(_, known)| known == fingerprint(entry))
    }

    /// A node asks for a write: each entry must be the one that its id has always named.
    /// `install` are all entries that the snapshot covers behind which the log begins anew.
    pub(super) fn on_write(
        &mut self,
        node: NodeId,
        write: &Write,
        install: Option<Vec<EntryId>>,
    ) -> Result<(), Violation> {
        let shadow = self.shadows.of(node);
        if let Some(covered) = &install {
            shadow.written.clone_from(covered);
        }
        for entry in &write.repaired {
            let stands = shadow.written.get(position(entry.id.index)) == Some(&entry.id);
            let is_lost = shadow.damage.as_ref().is_some_and(|damage| damage.is_lost(entry.id));
            if !stands || !is_lost {
                let what = format!("{node} repairs {}, in the log: {stands}, lost: {is_lost}", entry.id);
                return Err(Violation::safety("only what is lost is repaired", what));
            }
            know(&mut self.known, node, before(&shadow.written, entry.id.index), entry)?;
        }
        let mut prev = match write.entries.first() {
            Some(first) if first.id.index > last_index(&shadow.written).next() => {
                return Err(Violation::safety(
                    "no gap in a log",
                    format!("{node} writes {} after {}", first.id, last_index(&shadow.written)),
                ));
            }
            Some(first) => before(&shadow.written, first.id.index),
            None => EntryId::ZERO,
        };
        for entry in &write.entries {
            know(&mut self.known, node, prev, entry)?;
            prev = entry.id;
        }
        let seen = SeenWrite {
            number: write.number,
            hard_state: write.hard_state,
            install: install.zip(write.install.as_ref()).map(|(log, meta)| (log, meta.term, meta.last)),
            repaired: write.repaired.iter().map(|entry| entry.id).collect(),
            entries: write.entries.iter().map(|entry| entry.id).collect(),
        };
        // What is written again cuts nothing, also behind a snapshot that found no room either.
        if !shadow.holds_refused(write) {
            overwrite(&mut shadow.written, &seen.entries);
        }
        shadow.pending.push_back(seen);
        Ok(())
    }

    /// The disk of a node had no room for write `from`: neither it nor any later one is carried out. What they carried stands in the
    /// node's memory and is asked for again. Gives the last entry of an install among them.
    pub(super) fn on_no_room(&mut self, node: NodeId, from: WriteNumber) -> Option<EntryId> {
        let shadow = self.shadows.of(node);
        let kept = shadow.pending.partition_point(|write| write.number < from);
        let gone = shadow.pending.split_off(kept);
        let entries = gone.iter().flat_map(|write| write.entries.first()).map(|id| id.index);
        shadow.refused = entries.chain(shadow.refused).min();
        gone.iter().rev().find_map(|write| write.install.as_ref().map(|(_, _, last)| *last))
    }

    /// Whether a write carries only entries that were asked for before and found no room.
    pub(super) fn is_written_again(&self, node: NodeId, write: &Write) -> bool {
        write.install.is_none() && self.shadows.get(&node).is_some_and(|shadow| shadow.holds_refused(write))
    }

    /// All writes of a node up to `number` are durable: what its hard state is now.
    pub(super) fn on_durable(&mut self, node: NodeId, number: WriteNumber) -> Result<HardState, Violation> {
        let shadow = self.shadows.of(node);
        while shadow.pending.front().is_some_and(|write| write.number <= number) {
            let write = shadow.pending.pop_front().expect("the front was just seen");
            if let Some(damage) = &mut shadow.damage {
                let install = write.install.as_ref().map(|(_, _, last)| *last);
                damage.on_durable(install, &write.repaired, &write.entries);
            }
            shadow.damage = shadow.damage.take().filter(|damage| !damage.is_none());
            if let Some((covered, _, _)) = write.install {
                shadow.durable = covered;
            }
            overwrite(&mut shadow.durable, &write.entries);
            if let Some(hard_state) = write.hard_state {
                if goes_back(shadow.hard_state, hard_state) {
                    return Err(Violation::safety(
                        "term and vote never go back",
                        format!("{node} went from {:?} to {hard_state:?}", shadow.hard_state),
                    ));
                }
                shadow.hard_state = hard_state;
            }
        }
        Ok(shadow.hard_state)
    }

    /// A message left: what it promises must be durable at its sender.
    pub(super) fn on_sent(&self, envelope: &Envelope) -> Result<(), Violation> {
        let Some(shadow) = self.shadows.get(&envelope.from) else {
            return Ok(());
        };
        if let Some(damage) = &shadow.damage {
            damage.on_sent(envelope)?;
        }
        if let Message::RepairResponse { entries, .. } = &envelope.message
            && let Some(entry) = entries.iter().find(|entry| !self.is_known(entry))
        {
            let what = format!("{} gives another entry as {}", envelope.from, entry.id);
            return Err(Violation::safety("what is given back is what was lost", what));
        }
        let hard_state = shadow.hard_state;
        let durable = match envelope.message {
            Message::VoteRequest { .. } => hard_state.term >= envelope.term,
            Message::VoteResponse { granted: true, .. } => {
                hard_state.term > envelope.term
                    || hard_state.term == envelope.term && hard_state.vote == Some(envelope.to)
            }
            // A later term may have cut the log in the same sync: then the promise was kept, and is void.
            Message::AppendResponse { matched } => {
                hard_state.term > envelope.term
                    || hard_state.term == envelope.term && last_index(&shadow.durable) >= matched
            }
            Message::VoteResponse { granted: false, .. }
            | Message::PreVoteRequest { .. }
            | Message::PreVoteResponse { .. }
            | Message::AppendRequest { .. }
            | Message::AppendRejected { .. }
            | Message::SnapshotOffer { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatResponse { .. }
            | Message::RepairRequest { .. }
            | Message::RepairResponse { .. }
            | Message::Donation { .. }
            | Message::TimeoutNow { .. } => true,
        };
        if durable {
            return Ok(());
        }
        Err(Violation::safety(
            "no message before its durability",
            format!(
                "{} sent {:?} of {} with {hard_state:?} and {} durable entries",
                envelope.from,
                envelope.message,
                envelope.term,
                shadow.durable.len()
            ),
        ))
    }

    /// A node came back: it must hold all that was durable, and nothing that it never wrote. What was asked for and not
    /// synced may be there in part, but only in the order in which it was asked for.
    pub(super) fn on_start(
        &mut self,
        node: NodeId,
        stored: &Stored,
        compacted: Vec<EntryId>,
        log: &[Entry],
    ) -> Result<(), Violation> {
        let hard_state = stored.hard_state;
        let mut recovered = compacted;
        recovered.extend(store::ids_of(stored));
        for entry in log {
            know(&mut self.known, node, before(&recovered, entry.id.index), entry)?;
        }
        let shadow = self.shadows.of(node);
        let first_start = shadow.durable.is_empty();
        if !first_start && !could_recover(shadow, hard_state, &recovered) {
            return Err(Violation::safety(
                "what is durable survives a crash, in the order of writes",
                format!(
                    "{node} had {:?} and {} durable entries (last {:?}), {} writes under way, and came back with \
                     {hard_state:?} and {} entries (last {:?})",
                    shadow.hard_state,
                    shadow.durable.len(),
                    shadow.durable.last(),
                    shadow.pending.len(),
                    recovered.len(),
                    recovered.last()
                ),
            ));
        }
        let damage = Damage::of(stored);
        *shadow = Shadow {
            written: recovered.clone(),
            durable: recovered,
            hard_state,
            damage,
            ..Shadow::default()
        };
        Ok(())
    }
}

/// Whether a crash may leave this: the durable state, some of the pending writes, and a part of the next one.
fn could_recover(shadow: &Shadow, hard_state: HardState, recovered: &[EntryId]) -> bool {
    if shadow.hard_state == hard_state && shadow.durable == recovered {
        return true;
    }
    let mut log = shadow.durable.clone();
    let mut hard = shadow.hard_state;
    // An install is decided when the snapshot has its name: a start finishes it with whatever term and vote the log then gives back.
    let mut hards = vec![hard];
    for write in &shadow.pending {
        if let Some((covered, term, _)) = &write.install {
            let raised = |hard: &HardState| match hard.term >= *term {
                true => *hard,
                false => HardState { term: *term, vote: None },
            };
            if *covered == recovered && hards.iter().any(|hard| raised(hard) == hard_state) {
                return true;
            }
            log.clone_from(covered);
        }
        hards.extend(write.hard_state);
        let hard_before = hard;
        hard = write.hard_state.unwrap_or(hard);
        for count in 0..=write.entries.len() {
            let mut partial = log.clone();
            overwrite(&mut partial, &write.entries[..count]);
            if partial == recovered && (hard_state == hard || hard_state == hard_before) {
                return true;
            }
        }
        overwrite(&mut log, &write.entries);
    }
    false
}

/// The rule of log matching for one entry.
fn know(known: &mut Known, node: NodeId, prev: EntryId, entry: &Entry) -> Result<(), Violation> {
    let now = (prev, fingerprint(entry));
    match known.get(entry.id) {
        None => {
            known.insert(entry.id, now);
            Ok(())
        }
        Some(before) if before != now => Err(Violation::safety(
            "log matching (one id names one entry with one predecessor)",
            format!("{node} holds another entry under {}, or after {prev} and not {}", entry.id, before.0),
        )),
        Some(_) => Ok(()),
    }
}

/// The entry before `index`.
fn before(log: &[EntryId], index: Index) -> EntryId {
    if index.0 <= 1 { EntryId::ZERO } else { log[position(index.prev())] }
}

/// Appends; what stood at the first new index and after it goes.
fn overwrite(log: &mut Vec<EntryId>, entries: &[EntryId]) {
    if let Some(first) = entries.first() {
        log.truncate(position(first.index));
        log.extend_from_slice(entries);
    }
}

fn goes_back(from: HardState, to: HardState) -> bool {
    to.term < from.term || to.term == from.term && from.vote.is_some() && to.vote != from.vote
}
