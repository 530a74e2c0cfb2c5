//! What a disk has lost, seen from outside ("Protocol-Aware Recovery", FAST 2018): a damaged entry counts by its id and by nothing else until
//! its bytes are durable again. Whoever has lost something gives none of it to others and acknowledges nothing behind it.

use std::collections::BTreeMap;

use quorate_core::message::{Envelope, Message};
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index};

use super::Violation;

/// What one node has lost.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    /// The lost entries by index.
    lost: BTreeMap<Index, EntryId>,
    /// The entry behind which the log begins, if the state up to it is lost.
    state_behind: Option<EntryId>,
}

impl Damage {
    /// What a start has found, if anything.
    pub(super) fn of(stored: &Stored) -> Option<Damage> {
        let lost = stored.damaged.iter().map(|id| (id.index, *id)).collect();
        let damage = Damage { lost, state_behind: stored.snapshot_lost.map(|_| stored.base) };
        (!damage.is_none()).then_some(damage)
    }

    pub(super) fn is_none(&self) -> bool {
        self.lost.is_empty() && self.state_behind.is_none()
    }

    pub(super) fn is_lost(&self, id: EntryId) -> bool {
        self.lost.get(&id.index) == Some(&id)
    }

    /// Whether a snapshot that ends with this entry gives something back.
    pub(super) fn is_mended_by(&self, last: EntryId) -> bool {
        let gives_state = self.state_behind.is_some_and(|behind| behind.index <= last.index);
        gives_state || self.lost.keys().next().is_some_and(|first| *first <= last.index)
    }

    /// A write is durable.
    pub(super) fn on_durable(&mut self, install: Option<EntryId>, repaired: &[EntryId], entries: &[EntryId]) {
        if let Some(last) = install {
            self.lost = self.lost.split_off(&last.index.next());
            self.state_behind = None;
        }
        for id in repaired {
            self.lost.remove(&id.index);
        }
        if let Some(first) = entries.first() {
            self.lost.retain(|index, _| *index < first.index);
        }
    }

    /// A message left the node.
    pub(super) fn on_sent(&self, envelope: &Envelope) -> Result<(), Violation> {
        let (rule, is_kept) = match &envelope.message {
            Message::AppendResponse { matched } => {
                let through = self.lost.keys().next().map_or(Index(u64::MAX), |first| first.prev());
                let through = if self.state_behind.is_some() { Index(0) } else { through };
                ("nothing behind a damaged entry is acknowledged", *matched <= through)
            }
            Message::AppendRequest { entries, .. }
            | Message::RepairResponse { entries, .. }
            | Message::Donation { entries, .. } => {
                let whole = entries.iter().all(|entry| !self.is_lost(entry.id));
                ("no damaged entry is given to others", whole)
            }
            // A pre-vote promises nothing, so it may leave while the write that cuts away the damage is under way.
            Message::VoteRequest { .. } => ("a damaged node does not stand for election", false),
            Message::VoteResponse { .. }
            | Message::PreVoteRequest { .. }
            | Message::PreVoteResponse { .. }
            | Message::AppendRejected { .. }
            | Message::SnapshotOffer { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatResponse { .. }
            | Message::RepairRequest { .. }
            | Message::TimeoutNow { .. } => return Ok(()),
        };
        if is_kept {
            return Ok(());
        }
        let what = format!("{} has lost {self:?} and sent {:?}", envelope.from, envelope.message);
        Err(Violation::safety(rule, what))
    }
}
