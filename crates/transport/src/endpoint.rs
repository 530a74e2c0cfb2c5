//! What a node says of itself on a connection, and what it demands of the node on the other side. Shared by all links and
//! the listener of one node.

use std::fmt;
use std::sync::Arc;

use quorate_core::types::{ClusterId, GroupId, NodeId};

use crate::config::TransportConfig;
use crate::handshake::Refusal;

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that it belongs to. A connection of another cluster is refused by name.
    pub cluster: ClusterId,
    /// The group within the cluster.
    pub group: GroupId,
    /// The node's id.
    pub node: NodeId,
    /// The random name of the node's store: a node that lost its disk comes back with another one and is refused, because
    /// it has forgotten whom it voted for.
    pub incarnation: u128,
}

/// Why a node that named itself in a handshake is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerFault {
    /// The node is not a member as far as this node knows.
    UnknownNode,
    /// The node is known under another incarnation: its disk was replaced, or a copy of it runs elsewhere.
    OtherIncarnation {
        /// The incarnation that is known.
        known: u128,
    },
    /// The question could not be answered (the file of known peers cannot be read or written): why.
    Unanswered(String),
}

/// What this node says of itself and demands of others.
#[derive(Clone)]
pub struct Endpoint {
    /// Who this node is.
    pub identity: Identity,
    /// The limits.
    pub config: TransportConfig,
    /// Whether a node with this incarnation is accepted. Asked in each handshake of either direction, after cluster, group
    /// and node ids have been found right, on a thread where it may block: the caller looks into its durable file of known
    /// peers and writes down the incarnation of a peer that it meets for the first time.
    pub check_peer: Arc<dyn Fn(NodeId, u128) -> Result<(), PeerFault> + Send + Sync>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("identity", &self.identity)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Asks whether a node with this incarnation is accepted, on a thread that may block.
pub(crate) async fn check_peer(endpoint: &Endpoint, peer: NodeId, incarnation: u128) -> Result<(), Refusal> {
    let check = endpoint.check_peer.clone();
    let verdict = tokio::task::spawn_blocking(move || check(peer, incarnation))
        .await
        .unwrap_or_else(|error| Err(PeerFault::Unanswered(error.to_string())));
    verdict.map_err(|fault| Refusal::of_fault(fault, endpoint.identity.node, peer, incarnation))
}
