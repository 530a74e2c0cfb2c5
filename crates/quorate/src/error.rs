//! Why a node does not start, and why a running one stopped. Both are for a human: what happened, where, what to do.

use std::path::PathBuf;

use quorate_log::error::LogError;

/// Why a node does not start. Nothing was changed on the disk unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other.
    #[error("the settings do not fit together: {0}")]
    Config(String),
    /// The address for peers cannot be listened on.
    #[error("cannot listen for peers on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory cannot be used: in use, not writable, of another node or cluster, or damaged.
    #[error("cannot use the data directory {}: {source}{}", .directory.display(), advice(.source))]
    Data {
        /// The directory.
        directory: PathBuf,
        /// What is wrong, and what to do.
        source: LogError,
    },
    /// The system gave no thread or no randomness.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// Why a node stopped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodeError {
    /// It was asked to.
    #[error("the node was stopped")]
    Stopped,
    /// The disk failed. What was acknowledged is safe on the quorum; this node must not go on, because after a failed write
    /// nobody knows what the disk holds. Repair or replace the disk, then start it again.
    #[error("the disk failed, so the node stopped: {0}")]
    Disk(String),
    /// A part of the node panicked: a bug here, or in the state machine's `apply`. The other nodes are not harmed by it.
    #[error("the {part} panicked, so the node stopped: {message}")]
    Panicked {
        /// Which part.
        part: &'static str,
        /// What it said.
        message: String,
    },
    /// A part of the node is tens of thousands of jobs behind: the machine does not keep up, and what waits would only grow.
    #[error(
        "the {part} is too many jobs behind, so the node stopped: its disk or processor does not keep up"
    )]
    Behind {
        /// Which part.
        part: &'static str,
    },
    /// The cluster was raised to a feature level that this node's binary does not understand. Nothing behind that was applied, and nothing is
    /// lost: start the node with the binary that the others run.
    #[error(
        "the cluster is at feature level {level}, the binary of this node understands {level_max} at most, so the node stopped before \
         it applied anything that it does not understand: start it with the newer binary"
    )]
    LevelTooNew {
        /// The level of the cluster.
        level: u16,
        /// The highest one that the binary understands.
        level_max: u16,
    },
    /// The state machine of this node did something else with the same entries than those of a quorum. Its state must not be used.
    /// Start it again: it applies its log anew. If that ends the same way, `apply` depends on something that is not replicated
    /// (a clock, chance, the order of a hash map, a file), or the binaries differ.
    #[error(
        "the state machine of this node did something else than those of nodes {peers:?}, a quorum, with the log up to entry {index}, \
         so the node stopped. Start it again: it applies its log anew. If it stops again, `apply` depends on something other than the \
         log, or the nodes run different binaries"
    )]
    Diverged {
        /// Where it was noticed; the cause lies before.
        index: u64,
        /// Who did something else.
        peers: Vec<u64>,
    },
    /// A part of the node ended without saying why. Told only if no cause is found.
    #[error("the {part} of the node ended")]
    Ended {
        /// Which part.
        part: &'static str,
    },
}

/// Why a member did not answer a status question.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StatusError {
    /// There is no connection to it.
    #[error("not connected: {0}")]
    NotConnected(String),
    /// It was asked and did not answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// Its answer does not decode: another version.
    #[error("its answer does not decode: {0}")]
    Malformed(String),
    /// This node itself has stopped.
    #[error("this node has stopped")]
    Stopped,
}

/// What to do about a data directory on which a node cannot start because it is damaged.
fn advice(source: &LogError) -> &'static str {
    if matches!(source, LogError::Corrupt { .. }) {
        ". Nobody can say what was lost with it, so the node does not start, and nothing was changed: look with `quorate log inspect`, \
         check the disk, then replace this node: `quorate cluster remove ID` at another member, and `quorate server --join ADDRESS` \
         with an empty directory and a new id"
    } else {
        ""
    }
}
