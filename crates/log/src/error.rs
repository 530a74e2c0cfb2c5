//! What can go wrong with the log, by what the caller can do about it.

use std::io;

use quorate_core::types::{ClusterId, NodeId};

/// Why the log, or the folder that it lives in, cannot be used. All but [`LogError::Full`] and
/// [`LogError::Compacted`] are fatal for the node.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed. Nothing is known of what was not durable before: the log refuses every further call.
    #[error("{action} {file}: {source}")]
    Io {
        /// What was tried, as "cannot write".
        action: &'static str,
        /// The file's name within the data folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write or sync failed: after that, what a sync says is worth nothing (fsyncgate).
    #[error(
        "the log takes no more writes, because an earlier one failed: restart the node, so that it reads what the disk really holds"
    )]
    Poisoned,
    /// No space for a file: the next segment of the log, a snapshot, or a small file that is replaced. What stood there before is as it
    /// was, and what was begun is removed: once space is free, the same may be tried again. Space for hard state is kept in reserve.
    #[error(
        "the disk is full: no space for {file}{}: free some space on the file system of the data folder",
        if *.bytes == 0 { String::new() } else { format!(" ({bytes} bytes)") }
    )]
    Full {
        /// The file that could not be made.
        file: String,
        /// How many bytes it needs, 0 if that is not known.
        bytes: u64,
    },
    /// The entries that were to be read have been compacted since it was planned to read them: a snapshot holds what they did.
    #[error("{file} is gone: its entries were compacted")]
    Compacted {
        /// The file's name within the data folder.
        file: String,
    },
    /// What is on the disk is not what was written there.
    #[error("{file} is damaged at byte {offset}: {what}")]
    Corrupt {
        /// The file's name within the data folder.
        file: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file was written by a newer version of Quorate.
    #[error("{file} has format version {found}, this program reads up to {max}: start a newer one")]
    NewerFormat {
        /// The file's name within the data folder.
        file: String,
        /// The version in the file.
        found: u32,
        /// The newest version that is understood.
        max: u32,
    },
    /// Another process has the data folder.
    #[error("the data folder is in use by another process: one folder belongs to one node")]
    InUse,
    /// Where the data directory should be, there is a file.
    #[error(
        "the data directory is a file, not a directory: move the file away or name another data directory"
    )]
    NotADirectory,
    /// The data folder cannot be made or written.
    #[error(
        "the data folder cannot be written: {source}: check its owner, its mode and that it is not mounted read-only"
    )]
    NotWritable {
        /// What the system said.
        source: io::Error,
    },
    /// The folder or a file in it belongs to another cluster.
    #[error(
        "{file} belongs to cluster {found}, not to {wanted}: wrong data folder, or the cluster token or the initial members differ"
    )]
    OtherCluster {
        /// The file's name within the data folder.
        file: String,
        /// The cluster in the file.
        found: ClusterId,
        /// The cluster that was asked for.
        wanted: ClusterId,
    },
    /// The cluster of this folder has lost its quorum, and another one was made of what was left.
    #[error(
        "the cluster of this data was given up: cluster {by} was made of what was left of it. A vote from here could bring the old one back to \
             life beside it: start this node with an empty data folder and `quorate server --join`"
    )]
    GivenUp {
        /// The cluster that was made.
        by: ClusterId,
    },
    /// The folder belongs to another node of the cluster.
    #[error(
        "the data folder belongs to node {found}, not to {wanted}: a node never takes over another one's folder"
    )]
    OtherNode {
        /// The node in the file.
        found: NodeId,
        /// The node that was asked for.
        wanted: NodeId,
    },
    /// A peer's store is not the one that this node knows under its id.
    #[error(
        "node {node} shows another store (incarnation {shown:032x}) than before ({known:032x}): \
             a node whose disk is gone must not vote under its old id: add it under a new one"
    )]
    OtherIncarnation {
        /// The peer.
        node: NodeId,
        /// What is remembered.
        known: u128,
        /// What it showed.
        shown: u128,
    },
    /// No further peer can be remembered.
    #[error("this node has met {max} other nodes, more than it can remember")]
    TooManyPeers {
        /// How many it can remember.
        max: usize,
    },
}

impl LogError {
    /// Makes an [`LogError::Io`] of what `action` on `file` met.
    pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> LogError {
        LogError::Io { action, file: file.to_owned(), source }
    }

    /// The same for a file that grows: a disk without space for it is [`LogError::Full`].
    pub(crate) fn of_growing(action: &'static str, file: &str, source: io::Error) -> LogError {
        if [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&source.kind()) {
            return LogError::Full { file: file.to_owned(), bytes: 0 };
        }
        LogError::io(action, file, source)
    }

    /// Makes an [`LogError::Corrupt`].
    pub(crate) fn corrupt(file: &str, offset: u64, what: impl Into<String>) -> LogError {
        LogError::Corrupt { file: file.to_owned(), offset, what: what.into() }
    }
}
