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
        /// Where the connection comes from.
        address: SocketAddr,
    },
}

/// Starts a task.
pub(crate) fn spawn(tasks: &TaskTracker, task: Task, future: impl Future<Output = ()> + Send + 'static) {
    // Spans of the highest level: they are in every line, whatever the log shows.
    let span = match task {
        Task::Link { node, peer } => tracing::error_span!("link", %node, %peer),
        Task::Accept { node } => tracing::error_span!("accept", %node),
        // Started within the task that accepts, so this node's id stands in each line already.
        Task::Inbound { address } => tracing::error_span!("inbound", %address),
    };
    tasks.spawn(future.instrument(span));
}
