//! What may happen to one node.

use quorate_core::message::Envelope;
use quorate_core::state::Name;
use quorate_core::types::NodeId;

use crate::explore::snapshot::Snapshot;
use crate::explore::world::Wish;

/// What may happen to one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(Envelope),
    /// The oldest write under way becomes durable.
    Persist,
    /// It stands for election.
    Campaign,
    /// A client proposes the command with this number.
    Propose(u8),
    /// A leader's heartbeat timer fires.
    Heartbeat,
    /// A leader has heard nobody for an election timeout.
    Silence,
    /// It loses all that is not durable and starts again.
    Crash,
    /// The same, in the moment in which a received snapshot has got its name and nothing else of the write is durable.
    CrashInInstall,
    /// It takes a snapshot of all that it may apply; that is durable at once.
    Snapshot,
    /// Its log lets go of what its snapshot covers.
    Compact,
    /// A snapshot that some node took has come from outside of the protocol, whole and durable.
    Install(Snapshot),
    /// A leader is asked to hand over to this node.
    Transfer(NodeId),
    /// An election timeout has passed since a leader began to hand over.
    GiveUp,
    /// A leader is asked to change the members.
    Change(Wish),
}

impl Event {
    /// The event as it would be if the nodes had other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Event {
        match self {
            Event::Deliver(envelope) => Event::Deliver(envelope.renamed(name)),
            Event::Install(snapshot) => Event::Install(snapshot.renamed(name)),
            Event::Transfer(to) => Event::Transfer(name(*to)),
            Event::Change(wish) => Event::Change(wish.renamed(name)),
            Event::Persist
            | Event::Campaign
            | Event::Propose(_)
            | Event::Heartbeat
            | Event::Silence
            | Event::Crash
            | Event::CrashInInstall
            | Event::Snapshot
            | Event::Compact
            | Event::GiveUp => self.clone(),
        }
    }
}
