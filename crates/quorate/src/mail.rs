//! What lies in the inbox: everything that reaches the loop, with the way back to whoever waits for an answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use quorate_core::types::{EntryId, NodeId};
use quorate_replica::cluster::{ClusterDone, ClusterError, ClusterRequest};
use quorate_replica::effect::Answered;
use quorate_replica::error::ReadError;
use quorate_replica::input::Input;
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::request::CommandEnvelope;
use quorate_transport::Room;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::error::StatusError;
use crate::status::NodeStatus;

/// One thing in the inbox.
pub(crate) enum Mail {
    /// A caller proposes.
    Propose(ProposalMail),
    /// A caller reads.
    Read(ReadMail),
    /// A caller reads what is applied now, and wants to know how old that may be.
    ReadStale(ReadMail, oneshot::Sender<Option<Duration>>),
    /// A peer said these things, in this order. Their room in the inbox is free again once they were taken out.
    Received { from: NodeId, messages: Vec<PeerMessage>, room: Room },
    /// A part of this node has finished something: a write, a batch, a read of the log; or lost messages to a peer.
    Done(Input),
    /// An operator asks something of the cluster as a whole.
    Cluster(ClusterMail),
    /// The connection for snapshots came up or went down: nothing follows, what is missing is asked for again.
    BulkLink,
    /// The link to this peer has come up: what was on its way before may be lost.
    Linked(NodeId),
    /// A caller wants to know how the others are.
    AskStatus(StatusAnswers),
}

impl Mail {
    /// How many bytes of the inbox's budget it has taken.
    pub(crate) fn command_bytes(&self) -> usize {
        match self {
            Mail::Propose(proposal) => proposal.command.body.len(),
            Mail::Read(_)
            | Mail::ReadStale(..)
            | Mail::Received { .. }
            | Mail::Done(_)
            | Mail::Cluster(_)
            | Mail::BulkLink
            | Mail::Linked(_)
            | Mail::AskStatus(_) => 0,
        }
    }
}

/// Where the answers of the other nodes go; closed when the asker no longer waits.
pub(crate) type StatusAnswers = mpsc::Sender<(u64, Result<NodeStatus, StatusError>)>;

/// A proposal and the way back. Dropping the way back tells the caller that the node has ended.
pub(crate) struct ProposalMail {
    pub(crate) command: CommandEnvelope,
    pub(crate) explain: bool,
    /// How long the caller waits, in ticks; as long as the node does without it.
    pub(crate) patience_ticks: Option<u64>,
    pub(crate) reply: oneshot::Sender<Answered>,
}

/// A request of an operator and the way back.
pub(crate) struct ClusterMail {
    pub(crate) request: ClusterRequest,
    pub(crate) reply: oneshot::Sender<Result<ClusterDone, ClusterError>>,
}

/// A read and the way back. It forgets the type of the state machine, so that the loop need not know it.
pub(crate) struct ReadMail(Box<ReadOnce>);

/// What is done with the state, or with the reason why it cannot be seen.
type ReadOnce = dyn FnOnce(Result<(&dyn Any, Place), ReadError>) + Send;

/// Where in the log the state stands that a read sees.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The last entry applied.
    pub(crate) applied: EntryId,
    /// The time of that entry in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
}

/// The caller's end of a read.
pub(crate) type ReadAnswer<T> = oneshot::Receiver<Result<std::thread::Result<T>, ReadError>>;

impl ReadMail {
    /// A read of a state machine of type `S`, and where its result will be. The place that it takes among the node's reads is free
    /// again when it has run, was refused, or is dropped.
    pub(crate) fn new<S: 'static, T: Send + 'static>(
        read: impl FnOnce(&S, Place) -> T + Send + 'static,
        permit: OwnedSemaphorePermit,
    ) -> (ReadMail, ReadAnswer<T>) {
        let (reply, answer) = oneshot::channel();
        let job = move |state: Result<(&dyn Any, Place), ReadError>| {
            let _permit = permit;
            let result = state.map(|(state, place)| {
                let state = state.downcast_ref::<S>().expect("a node has one type of state machine");
                // The caller's own closure: its panic belongs to the caller and may not stop the applier.
                catch_unwind(AssertUnwindSafe(|| read(state, place)))
            });
            // A caller that no longer waits is nobody's error.
            let _ = reply.send(result);
        };
        (ReadMail(Box::new(job)), answer)
    }

    /// Runs the read on the state and answers the caller.
    pub(crate) fn run(self, state: &dyn Any, place: Place) {
        (self.0)(Ok((state, place)));
    }

    /// Tells the caller why the read was not served.
    pub(crate) fn refuse(self, error: ReadError) {
        (self.0)(Err(error));
    }
}

/// Waits for a read; a panic inside the caller's closure goes on in the caller.
pub(crate) async fn read_answer<T>(answer: ReadAnswer<T>) -> Result<T, ReadError> {
    match answer.await.map_err(|_| ReadError::Stopped)?? {
        Ok(value) => Ok(value),
        Err(panic) => resume_unwind(panic),
    }
}
