//! The way in: accepts the connections that the peers open and hands their frames to the caller's bounded inbox.

use std::net::SocketAddr;
use std::sync::Arc;

use quorate_core::types::NodeId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoint::Endpoint;
use crate::frame::Frame;

/// Frames of one peer, in the order in which they came on one connection.
#[derive(Debug)]
pub struct Inbound {
    /// The peer, as its handshake named it.
    pub from: NodeId,
    /// At least one and at most `inbound_batch_len_max` frames.
    pub frames: Vec<Frame>,
}

/// What came in, for metrics and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundStatus {
    /// The peers that are connected to this node, in order.
    pub connected: Vec<NodeId>,
    /// Frames received since the start.
    pub frames_received: u64,
    /// Their bytes, headers included.
    pub bytes_received: u64,
    /// Connections that ended before or within their handshake, refused or not understood.
    pub handshakes_failed: u64,
    /// Connections that were closed because what came on them was corrupt or did not decode.
    pub connections_corrupt: u64,
}

/// A socket that is bound and not yet served.
#[derive(Debug)]
pub struct Listener {}

/// A listener that is served.
#[derive(Debug, Clone)]
pub struct ListenerHandle {}

impl Listener {
    /// Binds `address` (`host:port`; port 0 takes a free one).
    ///
    /// # Errors
    /// The address cannot be resolved or bound.
    pub async fn bind(address: &str) -> std::io::Result<Listener> {
        unimplemented!()
    }

    /// Takes a socket that is already bound.
    ///
    /// # Errors
    /// The socket cannot be used without blocking.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn from_std(listener: std::net::TcpListener) -> std::io::Result<Listener> {
        unimplemented!()
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        unimplemented!()
    }

    /// Accepts peers until `stop` is cancelled, with one task for each connection on `tasks`. `decode` runs in the
    /// connection's task and makes one inbox message of a batch of frames; what it does not understand closes the
    /// connection with its words in the log. While the inbox is full nothing is read, so that TCP slows the sender down.
    pub fn serve<M: Send + 'static>(
        self,
        endpoint: Arc<Endpoint>,
        inbox: mpsc::Sender<M>,
        decode: impl Fn(Inbound) -> Result<M, String> + Send + Sync + 'static,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> ListenerHandle {
        unimplemented!()
    }
}

impl ListenerHandle {
    /// Where the socket is bound.
    pub fn local_addr(&self) -> SocketAddr {
        unimplemented!()
    }

    /// What came in so far.
    pub fn status(&self) -> InboundStatus {
        unimplemented!()
    }
}
