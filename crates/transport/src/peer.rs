//! The way out: one link to each peer, one task for each link.

use std::sync::Arc;

use quorate_core::types::NodeId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoint::Endpoint;
use crate::error::SendError;
use crate::frame::Frame;

/// A change of a link that the core wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The link is connected: what is sent from now on may arrive.
    Up {
        /// The peer.
        peer: NodeId,
        /// The incarnation that it named, accepted by `check_peer`.
        incarnation: u128,
    },
    /// The link was connected and is not any more: whatever was queued or on its way may be lost.
    Down {
        /// The peer.
        peer: NodeId,
        /// Why, in words.
        reason: String,
    },
}

/// How a link is doing, for metrics and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The peer.
    pub peer: NodeId,
    /// Where it is looked for.
    pub address: String,
    /// Whether frames can be sent now.
    pub connected: bool,
    /// Why the last connection ended or could not be made, in words; none when there was no failure since the last connect.
    pub last_error: Option<String>,
    /// Frames written to the socket since the start.
    pub frames_sent: u64,
    /// Their bytes, headers included.
    pub bytes_sent: u64,
    /// Frames that were refused or dropped before they were written.
    pub frames_dropped: u64,
    /// Connections that were lost or could not be made, since the start.
    pub failures: u64,
    /// Frames that wait now.
    pub queue_len: usize,
    /// Their bytes.
    pub queue_bytes: usize,
}

/// The way to one peer.
#[derive(Debug)]
pub struct Link {}

impl Link {
    /// Starts the link's task on `tasks`. It connects to `address` (`host:port`, looked up again at each attempt), and again
    /// whenever the connection is lost, until `stop` is cancelled. What `wrap` makes of an
    /// event goes to `inbox`; the task waits while the inbox is full.
    pub fn start<M: Send + 'static>(
        endpoint: Arc<Endpoint>,
        peer: NodeId,
        address: String,
        inbox: mpsc::Sender<M>,
        wrap: impl Fn(LinkEvent) -> M + Send + Sync + 'static,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Link {
        unimplemented!()
    }

    /// Queues a frame. It is gone if this fails; if the link goes down before it is written it is gone too, which
    /// [`LinkEvent::Down`] says.
    ///
    /// # Errors
    /// The link is down, its queue is full, or the frame is too large.
    pub fn try_send(&self, frame: Frame) -> Result<(), SendError> {
        unimplemented!()
    }

    /// How the link is doing.
    pub fn status(&self) -> LinkStatus {
        unimplemented!()
    }
}
