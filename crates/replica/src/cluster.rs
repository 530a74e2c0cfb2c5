//! What an operator may ask of the cluster as a whole, and how it is answered.

use quorate_core::membership::{Change, ChangeRefusal};
use quorate_core::types::NodeId;

use crate::error::Fate;

/// What is asked. Any node may be asked; the leader does it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterRequest {
    /// Another node shall lead (thesis 3.10).
    Transfer {
        /// Which one; without a name the leader chooses who is most likely to take over quickly.
        to: Option<NodeId>,
    },
    /// Other members (thesis chapter 4).
    Change(Change),
    /// A node comes of which is known what its binary understands: if that is less than what is in force, it could only stop.
    Join {
        /// How it comes.
        change: Change,
        /// The highest feature level that it understands.
        level_max: u16,
    },
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterDone {
    /// This node leads now.
    Leads(NodeId),
    /// The members are as wanted, and that is committed. A node that is to vote becomes a voter once it has caught up.
    Members {
        /// The node that was added.
        node: Option<NodeId>,
    },
}

/// Why it was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClusterError {
    /// No leader is known, or it changed too often to be asked. Nothing happened.
    #[error("no leader is known: nothing was changed")]
    NoLeader {
        /// The last leader heard of.
        leader: Option<NodeId>,
    },
    /// Too many requests of this kind wait. Nothing happened.
    #[error("too many changes of the cluster wait already: nothing was changed")]
    Overloaded,
    /// The leader said no, for a reason that does not go away by itself. Nothing happened.
    #[error("{0}")]
    Refused(ClusterRefusal),
    /// The leader was asked and has not answered in time: look at the cluster before asking again.
    #[error("no answer in time: the outcome is unknown")]
    TimedOut,
    /// The node is stopping or has failed.
    #[error("the node has stopped{}", if *.sent { ": the outcome is unknown" } else { "" })]
    Stopped {
        /// Whether the request may have been taken up.
        sent: bool,
    },
}

/// Why a leader does not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClusterRefusal {
    /// The members cannot be changed so.
    #[error("{0}")]
    Change(ChangeRefusal),
    /// The node that shall lead is no voter.
    #[error("node {} is no voter, and only a voter can lead", .0.get())]
    NotVoter(NodeId),
    /// Another transfer is under way.
    #[error("the leadership is being handed to node {} already", .to.get())]
    TransferUnderWay {
        /// To whom.
        to: NodeId,
    },
    /// No other voter has been heard within the election timeout.
    #[error("there is no other voter that answers: nobody could take over")]
    NobodyElse,
    /// The node that was to lead has not caught up and been elected within one election timeout: the old leader goes on.
    #[error("node {} did not take over within an election timeout: the old leader goes on", .to.get())]
    NotTakenOver {
        /// Who was to lead.
        to: NodeId,
    },
    /// The node that wants to come does not understand what commands mean here.
    #[error(
        "the cluster is at feature level {level}, the node that wants to join understands {level_max} at most"
    )]
    LevelTooLow {
        /// The level of the cluster.
        level: u16,
        /// The highest one that the node understands.
        level_max: u16,
    },
}

impl ClusterError {
    /// What may have happened.
    pub fn fate(&self) -> Fate {
        match self {
            ClusterError::NoLeader { .. }
            | ClusterError::Overloaded
            | ClusterError::Refused(_)
            | ClusterError::Stopped { sent: false } => Fate::NotAccepted,
            ClusterError::TimedOut | ClusterError::Stopped { sent: true } => Fate::Unknown,
        }
    }
}
