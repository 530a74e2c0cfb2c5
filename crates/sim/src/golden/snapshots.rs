//! The snapshots of a golden script: taken, fetched and installed when the script says so. The state in them is empty; the files, the log and
//! the protocol are what ships.

use quorate_core::ready::Input;
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::NodeId;
use quorate_log::{Incoming, LogError, SnapshotFile, SnapshotWriter};

use super::cluster::{Cluster, broken};
use crate::store;

impl Cluster {
    /// A node takes a snapshot of all that it has applied, and lets its log go of what that covers.
    pub(super) fn take_snapshot(&mut self, id: NodeId) -> Result<(), String> {
        let disk = self.node(id)?.disk.clone();
        let running = self.running_node(id)?;
        let (last, timestamp_ms) = running.applied;
        let (membership_index, membership) = running.members.clone();
        let meta =
            SnapshotMeta { last, term: running.raft.term(), timestamp_ms, membership_index, membership };
        broken(self.checks.on_snapshot(id, &meta))?;
        let writer = SnapshotWriter::begin(disk, store::SNAPSHOTS, meta).map_err(words)?;
        writer.finish().map_err(words)?;
        let running = self.running_node(id)?;
        let base = running.log.compact(last.index, &[]).map_err(words)?;
        self.note(id, format!("takes a snapshot up to {last}, its log begins after {base}"));
        self.turn(id, vec![Input::SnapshotTaken { last }, Input::Compacted { base }])
    }

    /// A node gets the newest snapshot of another one, whole.
    pub(super) fn fetch_snapshot(&mut self, id: NodeId, from: NodeId) -> Result<(), String> {
        let source = SnapshotFile::newest(&self.node(from)?.disk, &store::SNAPSHOTS).map_err(words)?;
        let source = source.ok_or("there is no snapshot")?;
        let piece = |number| source.piece(number).map_err(words)?.ok_or("a piece is missing".to_owned());
        let disk = self.node(id)?.disk.clone();
        let mut incoming = Incoming::begin(&disk, store::SNAPSHOTS, &piece(0)?).map_err(words)?;
        while incoming.next() < incoming.pieces() {
            let next = incoming.next();
            incoming.take(next, &piece(next)?).map_err(words)?;
        }
        let meta = incoming.finish().map_err(words)?;
        self.turn(id, vec![Input::SnapshotReceived(meta)])
    }
}

#[allow(clippy::needless_pass_by_value)] // The shape that map_err wants.
fn words(error: LogError) -> String {
    error.to_string()
}
