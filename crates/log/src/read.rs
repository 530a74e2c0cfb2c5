//! Entries read back from the log, on another thread than the writer's: for a peer behind the window in memory.

use quorate_core::entry::Entry;
use quorate_core::types::Index;

use crate::disk::Disk;
use crate::error::LogError;

/// Where some entries stand. What stands there never changes: the log is appended to, also by what truncates it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadPlan {
    from: Index,
}

impl ReadPlan {
    /// Reads and checks the entries.
    ///
    /// # Errors
    /// [`LogError::Io`], and [`LogError::Corrupt`] if the disk no longer holds what was written.
    pub fn read<D: Disk>(&self, disk: &D) -> Result<Vec<Entry>, LogError> {
        let _ = (disk, self.from);
        unimplemented!()
    }
}
