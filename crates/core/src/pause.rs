//! What a node does while its disk is full (thesis 3.8: nothing is promised that is not on the disk).
//!
//! A full disk can show only where the log asks for space, so that the log is as it was before the write that found none. The node
//! pauses: it takes no entries and no proposals, gives up the leadership and does not stand for election. It goes on voting,
//! because the log keeps room for term and vote. What it holds and could not write stays in memory and is tried again, with pauses that
//! grow up to a bound, until there is room; then the node goes on as if its disk had been slow.

use crate::message::{Envelope, Message};
use crate::planted::{self, Bug};
use crate::raft::Raft;
use crate::ready::{Fact, TransferRefusal};
use crate::role::RoleState;
use crate::types::{EntryId, WriteNumber};

/// What a paused node knows of its disk.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pause {
    /// When the log is tried again.
    retry_in_ticks: u64,
    /// How long it waited for that. Doubled each time, up to two election timeouts.
    waited_ticks: u64,
    /// The write that tries the log again and is under way.
    trying: Option<WriteNumber>,
    /// There was no room even for term and vote: these wait for the next trial too.
    hard_state_waits: bool,
}

impl Pause {
    /// All of it as numbers, for the canonical encoding.
    pub(crate) fn numbers(self) -> [u64; 4] {
        let trying = self.trying.map_or(0, |write| write.0);
        [self.retry_in_ticks, self.waited_ticks, trying, u64::from(self.hard_state_waits)]
    }
}

impl Raft {
    /// Whether the disk is full: then this node takes no entries and does not lead for longer than it takes to hand over.
    pub fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Whether this node takes no proposals and gives up the leadership, because its disk is full.
    pub fn must_not_lead(&self) -> bool {
        self.pause.is_some() && !planted::is(Bug::PausedNodeLeads)
    }

    /// The disk had no room for write `from`: neither it nor any later one that was handed out so far is carried out.
    ///
    /// # Panics
    /// If no such write is under way.
    pub(crate) fn on_no_room(&mut self, from: WriteNumber) {
        assert!(from <= self.write_number, "only what was handed out is refused");
        let carried_log = self.log.on_refused(from);
        self.anew = true;
        self.hard_state_is_new |= self.hard_state_write >= from;
        if let Some((_, meta)) = self.installing.take_if(|(number, _)| *number >= from) {
            self.install = Some(meta);
        }
        let (shortest, longest) = (self.config.heartbeat_ticks, 2 * self.config.election_timeout_ticks);
        match &mut self.pause {
            Some(pause) => {
                if pause.trying.take_if(|trying| *trying >= from).is_some() {
                    pause.waited_ticks = pause.waited_ticks.saturating_mul(2).min(longest);
                    pause.retry_in_ticks = pause.waited_ticks;
                }
                pause.hard_state_waits |= !carried_log;
            }
            None => {
                self.pause = Some(Pause {
                    retry_in_ticks: shortest,
                    waited_ticks: shortest,
                    trying: None,
                    hard_state_waits: !carried_log,
                });
                self.out.facts.push(Fact::Paused);
                self.make_room_for_another();
            }
        }
        assert!(self.is_paused(), "a node whose disk is full pauses");
    }

    /// A paused node leads no longer than it takes to hand over, and does not stand for election.
    fn make_room_for_another(&mut self) {
        match &self.role {
            RoleState::Leader(_) if !self.must_not_lead() => {}
            RoleState::Leader(_) => match self.transfer_target(None) {
                Ok(to) => self.give_way(to, DISK_FULL),
                Err(TransferRefusal::UnderWay { .. }) => {}
                Err(_) => self.become_follower(None, DISK_FULL),
            },
            RoleState::PreCandidate(_) | RoleState::Candidate(_) => self.become_follower(None, DISK_FULL),
            RoleState::Follower(_) => {}
        }
    }

    /// Time has passed: the log is tried again when that is due.
    pub(crate) fn on_pause_tick(&mut self, elapsed: u64) {
        if let Some(pause) = &mut self.pause {
            pause.retry_in_ticks = pause.retry_in_ticks.saturating_sub(elapsed);
        }
        let waits = self.log_waits() || self.hard_state_is_new;
        if self.pause.is_some() && self.may_write_log() && !waits {
            // Nothing is left to try the disk with: the next entry will.
            self.resume();
        }
    }

    /// When a paused node must look at its disk again.
    pub(crate) fn next_pause_ticks(&self) -> Option<u64> {
        let pause = self.pause.filter(|pause| pause.trying.is_none());
        pause.map(|pause| pause.retry_in_ticks)
    }

    /// Whether anything but term and vote waits for a write.
    pub(crate) fn log_waits(&self) -> bool {
        self.install.is_some() || self.log.has_unwritten() || self.log.damage().has_unwritten()
    }

    /// Whether what the log waits for goes into the next write: always, but for a pause of the log.
    pub(crate) fn may_write_log(&self) -> bool {
        self.pause.is_none_or(|pause| pause.trying.is_none() && pause.retry_in_ticks == 0)
    }

    /// Whether term and vote go into the next write.
    pub(crate) fn may_write_hard_state(&self) -> bool {
        self.may_write_log() || self.pause.is_none_or(|pause| !pause.hard_state_waits)
    }

    /// Write `number` was handed out with what the log waits for.
    pub(crate) fn on_trial(&mut self, number: WriteNumber) {
        if let Some(pause) = &mut self.pause {
            assert!(pause.trying.is_none(), "one trial at a time");
            pause.trying = Some(number);
            pause.hard_state_waits = false;
        }
    }

    /// All writes up to `number` are durable: if the trial is among them there is room again.
    pub(crate) fn on_room(&mut self, number: WriteNumber) {
        if self.installing.as_ref().is_some_and(|(write, _)| *write <= number) {
            self.installing = None;
        }
        if self.pause.is_some_and(|pause| pause.trying.is_some_and(|trying| trying <= number)) {
            self.resume();
        }
    }

    fn resume(&mut self) {
        self.pause = None;
        self.out.facts.push(Fact::Resumed);
    }

    /// What a paused node may promise: no more than what was written, or is under way to the disk. Since the log agrees with the
    /// leader's up to what was to be acknowledged, it does so further in front.
    pub(crate) fn cap_promises(&self, promises: &mut Vec<Envelope>) {
        if self.pause.is_none() || planted::is(Bug::PausedNodeAcknowledges) {
            return;
        }
        let through = self.log.written_through().min(self.log.damage().written_through());
        let voids_vote = self.hard_state_is_new && !self.may_write_hard_state();
        promises.retain_mut(|envelope| {
            if let Message::AppendResponse { matched } = &mut envelope.message {
                *matched = (*matched).min(through);
                return !voids_vote && self.install.is_none();
            }
            !voids_vote
        });
    }

    /// The last entry that binds this node when it votes. What a paused node could not write, it never acknowledged: as after a crash it
    /// binds nobody, and a candidate without it may be the only one there is.
    pub(crate) fn binding_last(&self) -> EntryId {
        if self.pause.is_none() || self.install.is_some() {
            return self.log.last();
        }
        let index = self.log.written_through().max(self.commit).max(self.log.base().index);
        let term = self.log.term_at(index).expect("what was written or committed is in the log");
        EntryId { term, index }
    }
}

/// Why a paused node does not lead.
pub(crate) const DISK_FULL: &str = "its disk is full";
