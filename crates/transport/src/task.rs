//! The one place that starts tasks: each has a name, which stands in every line that it logs, and belongs to the tracker
//! that the caller waits for when it stops.

use std::future::Future;
use std::net::SocketAddr;

use quorate_core::types::NodeId;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The tasks of this crate.
#[derive(Clone, Copy)]
pub(crate) enum Task {
    /// Connects to one peer and sends to it. Ends when its token is cancelled.
    Link {
        /// This node.
        node: NodeId,
        /// The peer.
        peer: NodeId,
    },
    /// Accepts connections. Ends when its token is cancelled.
    Accept {
        /// This node.
        node: NodeId,
    },
    /// Serves one connection that a peer opened. Ends with the connection or when its token is cancelled.
    Inbound {
        /// This node.
        node: NodeId,
        /// Where the connection comes from.
        address: SocketAddr,
    },
}

/// Starts a task.
pub(crate) fn spawn(tasks: &TaskTracker, task: Task, future: impl Future<Output = ()> + Send + 'static) {
    let span = match task {
        Task::Link { node, peer } => tracing::info_span!("link", %node, %peer),
        Task::Accept { node } => tracing::info_span!("accept", %node),
        Task::Inbound { node, address } => tracing::info_span!("inbound", %node, %address),
    };
    tasks.spawn(future.instrument(span));
}
