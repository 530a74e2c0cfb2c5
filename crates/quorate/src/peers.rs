//! The way to the other nodes: encodes what is to be said and queues it on the link of its receiver. Shared by the loop and
//! the log's thread, which lets messages go when their write is durable; the loop alone changes who is linked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use quorate_core::entry::Membership;
use quorate_core::types::NodeId;
use quorate_replica::peer_codec;
use quorate_replica::peer_message::PeerMessage;
use quorate_transport::{Frame, Lane, Link, LinkStatus, SendError};
use tokio_util::sync::CancellationToken;

/// The links of a node.
pub(crate) struct Peers {
    links: RwLock<BTreeMap<NodeId, Linked>>,
    connect: Box<Connect>,
    /// Ends all links.
    stop: CancellationToken,
    welcome: Arc<Welcome>,
}

/// Begins to dial a node at an address, for one kind of traffic, until it is stopped.
pub(crate) type Connect = dyn Fn(NodeId, Lane, String, CancellationToken) -> Link + Send + Sync;

struct Linked {
    messages: Link,
    /// For what is large and may wait.
    bulk: Link,
    stop: CancellationToken,
    /// Since when the node is nobody to talk to any more.
    unwanted_since: Option<Instant>,
}

/// Who may connect: the members, and whoever has an id that is newer than all this node knows of. Who was removed may not.
#[derive(Default)]
pub(crate) struct Welcome(Mutex<(BTreeSet<NodeId>, u64)>);

impl Welcome {
    /// These are the members now.
    pub(crate) fn update(&self, membership: &Membership) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (membership.members(), membership.id_last());
    }

    /// Whether this node may connect.
    pub(crate) fn admits(&self, node: NodeId) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.0.contains(&node) || node.get() > known.1
    }
}

/// Why a message did not get into the queue of its link.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unsent {
    /// The link is down, or there is none. It says so by itself when that begins and when it ends.
    Down,
    /// The queue is full, or the message too large: the core must probe the peer.
    Dropped,
}

impl Peers {
    /// Nobody is linked yet.
    pub(crate) fn new(connect: Box<Connect>, stop: CancellationToken, welcome: Arc<Welcome>) -> Peers {
        Peers { links: RwLock::new(BTreeMap::new()), connect, stop, welcome }
    }

    /// From now on these nodes are talked to, at these addresses. A link that stands already stays as it is; one that is not
    /// wanted any more goes after a while, so that a node that was removed can still be told so.
    pub(crate) fn want(&self, membership: &Membership, wanted: &BTreeMap<NodeId, String>) {
        self.welcome.update(membership);
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        for (node, address) in wanted {
            let linked = links.entry(*node).or_insert_with(|| {
                let stop = self.stop.child_token();
                let connect = |lane| (self.connect)(*node, lane, address.clone(), stop.clone());
                let (messages, bulk) = (connect(Lane::Messages), connect(Lane::Bulk));
                Linked { messages, bulk, stop, unwanted_since: None }
            });
            linked.unwanted_since = None;
        }
        for (_, linked) in links.iter_mut().filter(|(node, _)| !wanted.contains_key(node)) {
            linked.unwanted_since.get_or_insert_with(Instant::now);
        }
        assert!(links.len() >= wanted.len(), "whoever is wanted is linked");
    }

    /// Ends the links that have been unwanted for long enough.
    pub(crate) fn sweep(&self) {
        let is_over = |linked: &Linked| linked.unwanted_since.is_some_and(|since| since.elapsed() > FAREWELL);
        let any = {
            let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
            links.values().any(is_over)
        };
        if any {
            let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
            links.values().filter(|linked| is_over(linked)).for_each(|linked| linked.stop.cancel());
            links.retain(|_, linked| !is_over(linked));
        }
    }

    /// Queues a message.
    pub(crate) fn send(&self, to: NodeId, message: &PeerMessage) -> Result<(), Unsent> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let Some(linked) = links.get(&to) else {
            tracing::debug!(%to, "a message to a node without an address was dropped");
            return Err(Unsent::Down);
        };
        let link = if message.is_bulk() { &linked.bulk } else { &linked.messages };
        let (kind, body) = peer_codec::encode_for(link.version(), message);
        match link.try_send(Frame { kind, body }) {
            Ok(()) => Ok(()),
            Err(SendError::Down) => Err(Unsent::Down),
            // A piece of a snapshot that is lost is asked for again; the protocol need not know.
            Err(SendError::Full | SendError::TooLarge) if message.is_bulk() => Ok(()),
            Err(error @ (SendError::Full | SendError::TooLarge)) => {
                tracing::warn!(%to, %error, "a message was dropped");
                Err(Unsent::Dropped)
            }
        }
    }

    /// The nodes that are talked to.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter(|(_, linked)| linked.unwanted_since.is_none()).map(|(node, _)| *node).collect()
    }

    /// How the link to a peer is doing.
    pub(crate) fn status(&self, peer: NodeId) -> Option<LinkStatus> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(&peer).map(|linked| linked.messages.status())
    }
}

/// For how long a node that was removed is still talked to: longer than the leader has something to say to it.
const FAREWELL: Duration = Duration::from_secs(10);
