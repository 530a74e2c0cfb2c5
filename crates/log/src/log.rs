//! The one writer of the log: batches of writes, one write and one sync for each turn, rotation, and the poison after a failure.

use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::ready::{Durable, Write};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, GroupId, Index, WriteNumber};

use crate::data_dir::DataDir;
use crate::disk::Disk;
use crate::error::LogError;
use crate::read::ReadPlan;

/// The settings of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The cluster that the log belongs to; stands in each segment.
    pub cluster: ClusterId,
    /// The Raft group; 0 for now.
    pub group: GroupId,
    /// The length that a segment file gets when it is made, in bytes, a multiple of 512 and at least 4,096. A batch that is larger gets
    /// a segment of its own size.
    pub segment_bytes: u64,
    /// How many bytes of the newest entries recovery hands to the core, measured by their commands; at least the last entry.
    pub window_bytes_max: usize,
    /// The members that a new log starts with (its first entry); none for a node that joins an existing cluster. An existing
    /// log is not changed by it.
    pub bootstrap: Option<Membership>,
}

impl LogOptions {
    /// 64 MiB segments and a window of 64 MiB for a cluster that starts with these members.
    pub fn new(cluster: ClusterId, bootstrap: Option<Membership>) -> LogOptions {
        LogOptions {
            cluster,
            group: GroupId(0),
            segment_bytes: 64 << 20,
            window_bytes_max: 64 << 20,
            bootstrap,
        }
    }
}

/// What one [`Write`] asks of the disk: all of it but its messages.
#[derive(Copy, Clone, Debug)]
pub struct Content<'a> {
    /// The number of the write; rises from write to write.
    pub number: WriteNumber,
    /// Term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// Entries to append; the log is cut first when it already holds the index of the first.
    pub entries: &'a [Entry],
}

impl<'a> From<&'a Write> for Content<'a> {
    fn from(write: &'a Write) -> Content<'a> {
        Content { number: write.number, hard_state: write.hard_state, entries: &write.entries }
    }
}

/// The write-ahead log of one node.
pub struct Log<D: Disk> {
    dir: DataDir<D>,
}

impl<D: Disk> Log<D> {
    /// Opens the log in the folder, or makes a new one that starts with `options.bootstrap`; repairs what a crash left.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::OtherCluster`], [`LogError::NewerFormat`]: nothing was changed. [`LogError::Io`].
    pub fn open(dir: DataDir<D>, options: LogOptions) -> Result<(Log<D>, Stored), LogError> {
        let _ = (dir, options);
        unimplemented!()
    }

    /// Writes several writes as one batch: one write to the file. Nothing of it is promised before [`Log::sync`].
    ///
    /// # Errors
    /// [`LogError::Full`] leaves the log as it was. After any other error every later call fails with [`LogError::Poisoned`].
    ///
    /// # Panics
    /// If the numbers do not rise, the entries are not consecutive or leave a gap after the log, or a term falls.
    pub fn write(&mut self, contents: &[Content<'_>]) -> Result<(), LogError> {
        let _ = contents;
        unimplemented!()
    }

    /// Makes all writes so far durable and attests it.
    ///
    /// # Errors
    /// After any error every later call fails with [`LogError::Poisoned`].
    pub fn sync(&mut self) -> Result<Durable, LogError> {
        unimplemented!()
    }

    /// The last entry, written but perhaps not yet durable.
    pub fn last(&self) -> EntryId {
        unimplemented!()
    }

    /// Where to read the entries `from..=through`, up to about `bytes_max` bytes but at least one; `None` if `from` is not in the log.
    /// The plan may be carried out on another thread while this log goes on writing.
    pub fn plan(&self, from: Index, through: Index, bytes_max: usize) -> Option<ReadPlan> {
        let _ = (&self.dir, from, through, bytes_max);
        unimplemented!()
    }
}
