//! The folder of one node, held by a lock as long as it is in use.

use crate::disk::Disk;
use crate::error::LogError;

/// A node's data folder, locked against every other process until it (or the [`crate::Log`] that took it over) is dropped.
pub struct DataDir<D: Disk> {
    disk: D,
    _lock: D::File,
}

impl<D: Disk> DataDir<D> {
    /// Locks the folder and makes the folder of the segments.
    ///
    /// # Errors
    /// [`LogError::InUse`] if another process has it, [`LogError::NotWritable`] if it cannot be written.
    pub fn open(disk: D) -> Result<DataDir<D>, LogError> {
        let _ = disk;
        unimplemented!()
    }

    /// The disk under it.
    pub fn disk(&self) -> &D {
        &self.disk
    }
}
