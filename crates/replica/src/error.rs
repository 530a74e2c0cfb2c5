//! What can go wrong with a proposal or a read, told by what the caller may do next.

use quorate_core::types::NodeId;

/// What a failed call may have done. All other words for it are derived from this one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It did not happen and will not: a retry is safe.
    NotAccepted,
    /// It may have happened, or may still: retry with the same request id only.
    Unknown,
    /// It happened.
    Applied,
}

/// Why a proposal got no answer from the state machine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// No leader is known, or it could not be reached in time; the proposal never left. Retry.
    #[error("no leader is known: the proposal was not accepted")]
    NoLeader {
        /// The last leader heard of.
        leader: Option<NodeId>,
    },
    /// A queue or budget is full. Retry later.
    #[error("overloaded: the proposal was not accepted")]
    Overloaded,
    /// The disk of this node is full: it takes no proposals until there is room. Another node may.
    #[error("the disk of this node is full: the proposal was not accepted")]
    DiskFull,
    /// The command is too large.
    #[error("the command has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// No answer in time after the proposal was sent: it may still commit. Retry with the same request id.
    #[error("no answer in time: the outcome is unknown")]
    TimedOut,
    /// The request id lies below what its session still keeps: it was answered before, or never came, and it is never
    /// applied from now on.
    #[error(
        "the answer to this request is no longer kept: it may have been applied before and is not applied now"
    )]
    Forgotten,
    /// The session is not open (never opened, or expired). Whether an earlier attempt was applied is not known any more.
    #[error("the session is not open or has expired")]
    SessionUnknown,
    /// The request id was used before for another command.
    #[error("this request id was used before with another command")]
    KeyReused,
    /// The command does not decode: the same refusal on every node. The words are those of the node that answers, and no part of the
    /// replicated state.
    #[error("the command does not decode: {0}")]
    Malformed(String),
    /// The command was applied, and its reply cannot be given on this node: it does not decode, because the nodes run different versions, or it is too
    /// large to be brought here from the leader. Do not retry
    /// without a request id.
    #[error("the proposal was applied, but its reply cannot be given on this node: {0}")]
    ReplyMalformed(String),
    /// The node is stopping or has failed.
    #[error("the node has stopped{}", if *.sent { ": the outcome is unknown" } else { "" })]
    Stopped {
        /// Whether the proposal may have reached the log.
        sent: bool,
    },
}

impl ProposeError {
    /// The kind of the error as a number: the one table of it, for the wire and for the hash of what apply did. Numbers are never
    /// reused and never change, as long as nodes of two versions may form a cluster; words may change with every release.
    pub fn number(&self) -> u8 {
        match self {
            ProposeError::NoLeader { .. } => 0,
            ProposeError::Overloaded => 1,
            ProposeError::TooLarge { .. } => 2,
            ProposeError::TimedOut => 3,
            ProposeError::Forgotten => 4,
            ProposeError::SessionUnknown => 5,
            ProposeError::KeyReused => 6,
            ProposeError::Malformed(_) => 7,
            ProposeError::Stopped { .. } => 8,
            ProposeError::ReplyMalformed(_) => 9,
            ProposeError::DiskFull => 10,
        }
    }

    /// What may have happened.
    pub fn fate(&self) -> Fate {
        match self {
            ProposeError::NoLeader { .. }
            | ProposeError::Overloaded
            | ProposeError::DiskFull
            | ProposeError::TooLarge { .. }
            | ProposeError::KeyReused
            | ProposeError::Malformed(_)
            | ProposeError::Stopped { sent: false } => Fate::NotAccepted,
            ProposeError::TimedOut
            | ProposeError::Forgotten
            | ProposeError::SessionUnknown
            | ProposeError::Stopped { sent: true } => Fate::Unknown,
            ProposeError::ReplyMalformed(_) => Fate::Applied,
        }
    }
}

/// Why a linearizable read was not served. A read changes nothing: a retry is always safe.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// No leader is known.
    #[error("no leader is known")]
    NoLeader {
        /// The last leader heard of.
        leader: Option<NodeId>,
    },
    /// Too many reads wait.
    #[error("overloaded: too many reads wait")]
    Overloaded,
    /// The disk of this node is full, so it does not get the entries that the read must see. Another node may.
    #[error("the disk of this node is full: it does not get what the read must see")]
    DiskFull,
    /// No quorum confirmed the leader in time.
    #[error("no quorum answered in time")]
    TimedOut,
    /// The node is stopping or has failed.
    #[error("the node has stopped")]
    Stopped,
}
