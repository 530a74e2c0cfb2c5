//! The folder of one node, held by a lock as long as it is in use.

use std::io;

use crate::disk::Disk;
use crate::error::LogError;
use crate::segment::SEGMENT_DIR;
use crate::snapshot_file::SNAPSHOT_DIR;

/// A node's data folder, locked against every other process until it (or the [`crate::Log`] that took it over) is dropped.
pub struct DataDir<D: Disk> {
    disk: D,
    /// Held, never read: the lock goes when the file is closed.
    _lock: D::File,
}

impl<D: Disk> DataDir<D> {
    /// Locks the folder and makes the folders of the segments and of the snapshots.
    ///
    /// # Errors
    /// [`LogError::InUse`] if another process has it, [`LogError::NotWritable`] if it cannot be written.
    pub fn open(disk: D) -> Result<DataDir<D>, LogError> {
        let lock = disk.lock(LOCK_FILE).map_err(|source| {
            if source.kind() == io::ErrorKind::WouldBlock {
                LogError::InUse
            } else {
                LogError::NotWritable { source }
            }
        })?;
        let folders = disk.create_dir(SEGMENT_DIR).and_then(|()| disk.create_dir(SNAPSHOT_DIR));
        let prepared = folders.and_then(|()| disk.sync_dir(""));
        prepared.map_err(|source| LogError::NotWritable { source })?;
        Ok(DataDir { disk, _lock: lock })
    }

    /// The disk under it.
    pub fn disk(&self) -> &D {
        &self.disk
    }
}

const LOCK_FILE: &str = "LOCK";
