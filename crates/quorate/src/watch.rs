//! The watch over the parts of a node: each part is started here by name, and when one ends the others are ended in a written
//! order, the cause is kept, and every caller is told.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use quorate_core::types::NodeId;
use quorate_replica::state_machine::StateMachine;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{NodeError, StartError};
use crate::runtime::Loop;
use crate::snapshot_workers::{PieceWorker, SnapshotWorker};
use crate::workers::{ApplierWorker, LogWorker, ReaderWorker};

/// What runs on threads of their own.
pub(crate) struct Workers<S: StateMachine> {
    pub(crate) log: LogWorker,
    pub(crate) reader: ReaderWorker,
    pub(crate) applier: ApplierWorker<S>,
    pub(crate) snapshots: SnapshotWorker,
    pub(crate) pieces: PieceWorker,
}

/// The parts of a node, wired and not yet started.
pub(crate) struct Parts<S: StateMachine> {
    pub(crate) node: NodeId,
    pub(crate) main_loop: Loop,
    pub(crate) workers: Workers<S>,
    /// The links and the listener, with all their connections.
    pub(crate) tasks: TaskTracker,
    /// Ends them.
    pub(crate) links_stop: CancellationToken,
    /// Ends the loop.
    pub(crate) stop: CancellationToken,
    /// Gets the cause once everything has ended.
    pub(crate) ended: watch::Sender<Option<NodeError>>,
}

/// A thread that says how it ended.
type Ending = oneshot::Receiver<Result<(), NodeError>>;

/// A node whose parts run.
pub(crate) struct Watched {
    node: NodeId,
    main_loop: JoinHandle<Result<(), NodeError>>,
    threads: Vec<(&'static str, Ending)>,
    tasks: TaskTracker,
    links_stop: CancellationToken,
    stop: CancellationToken,
    ended: watch::Sender<Option<NodeError>>,
}

impl Watched {
    /// Starts all parts.
    pub(crate) fn start<S: StateMachine>(parts: Parts<S>) -> Result<Watched, StartError> {
        let Parts { node, main_loop, workers, tasks, links_stop, stop, ended } = parts;
        let Workers { log, reader, applier, snapshots, pieces } = workers;
        let threads = vec![
            ("log", spawn(node, "log", move || log.run())?),
            ("log reader", spawn(node, "log reader", move || reader.run())?),
            ("applier", spawn(node, "applier", move || applier.run())?),
            ("snapshots", spawn(node, "snapshots", move || snapshots.run())?),
            ("pieces", spawn(node, "pieces", move || pieces.run())?),
        ];
        let main_loop = tokio::spawn(main_loop.run());
        Ok(Watched { node, main_loop, threads, tasks, links_stop, stop, ended })
    }

    /// Waits until a part ends, ends the others, and tells the cause.
    pub(crate) async fn until_the_end(self) {
        let cause = run_until_first_end(self.main_loop, self.threads, &self.stop).await;
        // What was promised is on the disk by now: the threads have ended. Last the connections, so that acknowledgements
        // that were let go could still leave.
        self.links_stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let node = self.node.get();
        if cause == NodeError::Stopped {
            tracing::info!(node, "stopped");
        } else {
            tracing::error!(node, %cause, "stopped");
        }
        self.ended.send_replace(Some(cause));
    }
}

/// Waits until the loop or a thread ends, then for all the others. The loop's end drops its queues' senders, so the threads
/// finish what waits and end; a thread's end makes the loop's next job for it fail, but an idle loop is told by `stop`.
async fn run_until_first_end(
    mut main_loop: JoinHandle<Result<(), NodeError>>,
    mut threads: Vec<(&'static str, Ending)>,
    stop: &CancellationToken,
) -> NodeError {
    let mut causes = Vec::new();
    let mut loop_ended = false;
    let (end, place) = tokio::select! {
        end = &mut main_loop => (end_of_loop(end), None),
        (end, place) = first_end(&mut threads) => (end, Some(place)),
    };
    causes.push(end);
    match place {
        Some(place) => drop(threads.remove(place)),
        None => loop_ended = true,
    }
    stop.cancel();
    if !loop_ended {
        causes.push(end_of_loop(main_loop.await));
    }
    for (part, ending) in threads {
        causes.push(end_of_thread(part, ending.await));
    }
    worst(causes)
}

/// Waits for the first thread to end: how it ended, and which it was.
async fn first_end(threads: &mut [(&'static str, Ending)]) -> (Result<(), NodeError>, usize) {
    std::future::poll_fn(|context| {
        for (place, (part, ending)) in threads.iter_mut().enumerate() {
            if let Poll::Ready(end) = Pin::new(ending).poll(context) {
                return Poll::Ready((end_of_thread(part, end), place));
            }
        }
        Poll::Pending
    })
    .await
}

/// The cause to tell: a failed disk or a panic before an end that only followed from it.
fn worst(causes: Vec<Result<(), NodeError>>) -> NodeError {
    let rank = |cause: &NodeError| match cause {
        NodeError::Panicked { .. } => 0,
        NodeError::Diverged { .. }
        | NodeError::LevelTooNew { .. }
        | NodeError::Disk(_)
        | NodeError::Behind { .. } => 1,
        NodeError::Ended { .. } => 2,
        NodeError::Stopped => 3,
    };
    causes.into_iter().filter_map(Result::err).min_by_key(rank).unwrap_or(NodeError::Stopped)
}

fn end_of_loop(end: Result<Result<(), NodeError>, tokio::task::JoinError>) -> Result<(), NodeError> {
    match end {
        Ok(end) => end,
        Err(error) if error.is_panic() => Err(panicked("loop", error.into_panic().as_ref())),
        Err(_) => Err(NodeError::Ended { part: "loop" }),
    }
}

fn end_of_thread(
    part: &'static str,
    end: Result<Result<(), NodeError>, oneshot::error::RecvError>,
) -> Result<(), NodeError> {
    end.unwrap_or(Err(NodeError::Ended { part }))
}

/// Starts a thread with a name that fits into `ps` and reports how it ends, by panic too.
fn spawn(
    node: NodeId,
    part: &'static str,
    run: impl FnOnce() -> Result<(), NodeError> + Send + 'static,
) -> Result<Ending, StartError> {
    let (sender, ending) = oneshot::channel();
    let body = move || {
        let end = catch_unwind(AssertUnwindSafe(run));
        // Nobody listens when the whole runtime is going down.
        let _ = sender.send(end.unwrap_or_else(|panic| Err(panicked(part, panic.as_ref()))));
    };
    std::thread::Builder::new()
        .name(format!("{node} {part}"))
        .spawn(body)
        .map_err(|source| StartError::System { what: "a thread", source })?;
    Ok(ending)
}

fn panicked(part: &'static str, panic: &(dyn Any + Send)) -> NodeError {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_string());
    NodeError::Panicked { part, message }
}
