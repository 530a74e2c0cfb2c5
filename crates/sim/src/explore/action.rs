//! What may happen in a cluster, and what it takes from what may still happen.

use crate::explore::state::Budgets;
use crate::explore::world::Wish;

/// Something that may happen. Nodes are given by their place, which is one less than their id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A message arrives.
    Deliver(u16),
    /// The oldest write of a node becomes durable.
    Persist(usize),
    /// A node stands for election.
    Campaign(usize),
    /// A client proposes to a leader.
    Propose(usize),
    /// A leader begins a heartbeat round.
    Heartbeat(usize),
    /// A leader finds itself without a quorum.
    Silence(usize),
    /// A node loses what is not durable and starts again.
    Crash(usize),
    /// The same, when the snapshot that it installs has got its name and nothing else of that write is durable.
    CrashInInstall(usize),
    /// A node takes a snapshot.
    Snapshot(usize),
    /// A node cuts its log behind its snapshot.
    Compact(usize),
    /// A snapshot that was taken somewhere, ever, has come to a node.
    Install(usize, u16),
    /// A leader is asked to hand over to another node.
    Transfer(usize, usize),
    /// A leader gives up handing over.
    GiveUp(usize),
    /// A leader is asked to change the members.
    Change(usize, Wish),
}

/// A step of a path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// Which of the things that may come of it; 0 unless a node chose another one by its name.
    pub choice: u32,
}

/// What an action takes from what may still happen. A candidacy is paid for by whoever begins it.
pub(super) fn spend(action: Action, left: &mut Budgets) {
    match action {
        Action::Propose(_) => left.proposals -= 1,
        Action::Heartbeat(_) => left.heartbeats -= 1,
        Action::Silence(_) => left.silences -= 1,
        Action::Crash(_) | Action::CrashInInstall(_) => left.crashes -= 1,
        Action::Snapshot(_) => left.snapshots -= 1,
        Action::Install(..) => left.installs -= 1,
        Action::Transfer(..) => left.transfers -= 1,
        Action::Change(..) => left.changes -= 1,
        // The log is cut once for each snapshot, a transfer is given up once.
        Action::Deliver(_)
        | Action::Persist(_)
        | Action::Campaign(_)
        | Action::Compact(_)
        | Action::GiveUp(_) => {}
    }
}
