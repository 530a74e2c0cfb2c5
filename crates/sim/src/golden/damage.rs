//! Damaged disks of a golden script: what a node has lost while it was down is found by the log that ships.

use quorate_core::types::{EntryId, NodeId};
use quorate_log::SnapshotFile;

use super::cluster::{Cluster, Node};
use crate::rng::Rng;
use crate::rot::{self, Rot};
use crate::store;

impl Cluster {
    /// A bit of an entry's record changes.
    pub(super) fn damage_entry(&mut self, id: NodeId, entry: EntryId) -> Result<(), String> {
        let node = self.node_that_is_down(id)?;
        let file = rot::file_of(&node.disk, entry).ok_or("the disk does not hold the entry")?;
        node.keep(&file);
        Rot::Bit.strike(&node.disk, entry, &mut Rng::new(1));
        Ok(())
    }

    /// A bit of the newest snapshot changes.
    pub(super) fn damage_snapshot(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node_that_is_down(id)?;
        let newest =
            SnapshotFile::newest(&node.disk, &store::SNAPSHOTS).map_err(|error| error.to_string())?;
        newest.ok_or("there is no snapshot")?;
        let mut names = node.disk.names().into_iter().rev();
        let file = names.find(|name| name.starts_with("snapshot/")).ok_or("there is no snapshot")?;
        node.keep(&file);
        let mut bytes = node.disk.contents(&file).unwrap_or_default();
        *bytes.last_mut().ok_or("the snapshot is empty")? ^= 1;
        node.disk.plant(&file, &bytes);
        Ok(())
    }

    /// What was damaged last is put back from elsewhere.
    pub(super) fn mend(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node_that_is_down(id)?;
        let (file, bytes) = node.intact.take().ok_or("nothing was damaged")?;
        node.disk.plant(&file, &bytes);
        Ok(())
    }

    fn node_that_is_down(&mut self, id: NodeId) -> Result<&mut Node, String> {
        let node = self.node(id)?;
        if node.running.is_some() { Err(format!("{id} is not down")) } else { Ok(node) }
    }
}

impl Node {
    fn keep(&mut self, file: &str) {
        self.intact = self.disk.contents(file).map(|bytes| (file.to_owned(), bytes));
    }
}
