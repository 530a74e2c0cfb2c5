//! The feature level: which meaning of commands is in force. It is replicated, because apply must do the same on every binary of a cluster that
//! is being upgraded; the leader raises it by an entry once each member, learners included, has said that its binary understands a
//! higher one. A member that is told to say less holds it back, so that the way back to the older release stays open.

use bytes::Bytes;
use quorate_core::ready;

use crate::replica::Replica;
use crate::request::{CommandEnvelope, CommandKind};

/// What a member knows of the feature level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    /// The level behind what was applied; 0 before anything was since the start.
    applied: u16,
    /// When the leader last proposed a higher one, in ticks.
    proposed_at: Option<u64>,
}

impl Level {
    /// A batch was applied.
    pub(crate) fn on_applied(&mut self, level: u16) {
        assert!(level >= self.applied, "the feature level never falls");
        self.applied = level;
    }

    /// The level behind what was applied.
    pub(crate) fn applied(&self) -> u16 {
        self.applied
    }
}

impl Replica {
    /// A leader proposes the highest level that all members understand, if it is above the one in force. An entry that is lost with its
    /// leadership is proposed again; one that comes twice changes nothing.
    pub(crate) fn raise_level(&mut self) {
        let waits = self
            .level
            .proposed_at
            .is_some_and(|at| self.tick < at.saturating_add(self.config.forward_retry_ticks));
        if waits || self.level.applied == 0 {
            return;
        }
        let Some(level) = self.raft.features_of_all_above(self.level.applied) else {
            return;
        };
        let body = Bytes::copy_from_slice(&level.to_le_bytes());
        let envelope = CommandEnvelope { kind: CommandKind::RaiseLevel, body, ..CommandEnvelope::default() };
        let command = envelope.encode().expect("an envelope without fields is within all limits");
        self.level.proposed_at = Some(self.tick);
        let (ticket, timestamp_ms) = (self.next_number(), self.now.wall_ms);
        self.raft.step(ready::Input::Propose { ticket, command, timestamp_ms });
    }
}
