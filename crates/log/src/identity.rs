//! Who owns a data folder (file NODE), and which stores of its peers a node has met (file PEERS).

use std::collections::BTreeMap;

use quorate_core::types::{ClusterId, NodeId};

use crate::data_dir::DataDir;
use crate::disk::Disk;
use crate::error::LogError;

/// Whose folder the caller believes it to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
}

/// The durable identity of one node: cluster, node id, and the random incarnation of this very store.
#[derive(Debug)]
pub struct Identity<D: Disk> {
    disk: D,
    wanted: Wanted,
    incarnation: u128,
    peers: BTreeMap<NodeId, u128>,
}

impl<D: Disk + Clone> Identity<D> {
    /// Reads the identity in the folder, or gives it one with `fresh_incarnation` (128 random bits). Also says whether it was
    /// created now.
    ///
    /// # Errors
    /// [`LogError::OtherCluster`] and [`LogError::OtherNode`] if the folder is not the wanted one's.
    pub fn open_or_create(
        dir: &DataDir<D>,
        wanted: Wanted,
        fresh_incarnation: u128,
    ) -> Result<(Identity<D>, bool), LogError> {
        let _ = (dir, wanted, fresh_incarnation);
        unimplemented!()
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.wanted.cluster
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.wanted.node
    }

    /// The random name of this store, shown to peers in the handshake.
    pub fn incarnation(&self) -> u128 {
        self.incarnation
    }

    /// The incarnation under which this node knows a peer, if it ever met it.
    pub fn known_incarnation(&self, node: NodeId) -> Option<u128> {
        self.peers.get(&node).copied()
    }

    /// Remembers durably which store stands behind a peer's id. Writes only when the peer is new.
    ///
    /// # Errors
    /// [`LogError::OtherIncarnation`] if another store is known under this id: then nothing changes.
    pub fn remember(&mut self, node: NodeId, incarnation: u128) -> Result<(), LogError> {
        let _ = (&self.disk, node, incarnation);
        unimplemented!()
    }
}
