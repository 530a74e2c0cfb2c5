//! The way to the other nodes: encodes what is to be said and queues it on the link of its receiver. Shared by the loop and
//! the log's thread, which lets messages go when their write is durable.

use std::collections::BTreeMap;

use quorate_core::types::NodeId;
use quorate_replica::peer_codec;
use quorate_replica::peer_message::PeerMessage;
use quorate_transport::{Frame, Link, LinkStatus, SendError};

/// The links of a node.
pub(crate) struct Peers {
    links: BTreeMap<NodeId, Link>,
    /// The links for what is large and may wait.
    bulk: BTreeMap<NodeId, Link>,
}

/// A message did not get into the queue of its link; the core must probe the peer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lost(pub(crate) NodeId);

impl Peers {
    /// Nodes by their links.
    pub(crate) fn new(links: BTreeMap<NodeId, Link>, bulk: BTreeMap<NodeId, Link>) -> Peers {
        Peers { links, bulk }
    }

    /// Queues a message. A link that is down has told so already, so nothing more is reported for it.
    pub(crate) fn send(&self, to: NodeId, message: &PeerMessage) -> Result<(), Lost> {
        let links = if message.is_bulk() { &self.bulk } else { &self.links };
        let Some(link) = links.get(&to) else {
            tracing::debug!(%to, "a message to a node that is no member was dropped");
            return Ok(());
        };
        let (kind, body) = peer_codec::encode(message);
        match link.try_send(Frame { kind, body }) {
            Ok(()) | Err(SendError::Down) => Ok(()),
            // A piece of a snapshot that is lost is asked for again; the protocol need not know.
            Err(SendError::Full | SendError::TooLarge) if message.is_bulk() => Ok(()),
            Err(error @ (SendError::Full | SendError::TooLarge)) => {
                tracing::warn!(%to, %error, "a message was dropped");
                Err(Lost(to))
            }
        }
    }

    /// The other nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.links.keys().copied()
    }

    /// How the link to a peer is doing.
    pub(crate) fn status(&self, peer: NodeId) -> Option<LinkStatus> {
        self.links.get(&peer).map(Link::status)
    }
}
