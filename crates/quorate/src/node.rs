//! The doors for applications: `NodeBuilder` starts a node, `Node` proposes, reads, tells how it is, and stops.

use std::marker::PhantomData;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use quorate_core::types::{ClusterId, EntryId};
use quorate_replica::effect::Step;
use quorate_replica::error::{ProposeError, ReadError};
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::state_machine::{Codec, StateMachine};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::config::Config;
use crate::error::{NodeError, StartError, StatusError};
use crate::inbox_budget::InboxBudget;
use crate::mail::{Mail, Place, ProposalMail, ReadMail, read_answer};
use crate::metrics::{Exporter, Metrics};
use crate::start;
use crate::status::{MemberStatus, NodeStatus, Published};
use crate::workers::APPLIER_QUEUE_LEN_MAX;

/// How many reads of one node may be open; more are refused as `Overloaded`. Half of the applier's queue, so that reads, however
/// slow, never take the room of what is to be applied.
const READS_LEN_MAX: usize = APPLIER_QUEUE_LEN_MAX / 2;

/// How a node is started. Get one from [`Node::builder`].
pub struct NodeBuilder<S> {
    pub(crate) directory: PathBuf,
    pub(crate) id: u64,
    pub(crate) cluster: String,
    pub(crate) members: Vec<(u64, String)>,
    pub(crate) joins: Option<ClusterId>,
    pub(crate) listen: Listen,
    pub(crate) api_address: String,
    pub(crate) config: Config,
    machine: PhantomData<fn(S)>,
}

/// Where to listen for peers.
pub(crate) enum Listen {
    /// At this address, to be bound.
    At(String),
    /// On a socket that is bound already.
    On(TcpListener),
    /// At this node's own address among the peers.
    OwnPeerAddress,
}

impl<S: StateMachine> NodeBuilder<S> {
    /// The id of this node among the members; 1 if not called.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }

    /// The token that the members of this cluster share; together with the members' ids it names the cluster, so that a
    /// node of another cluster is refused by name.
    #[must_use]
    pub fn cluster(mut self, token: impl Into<String>) -> Self {
        self.cluster = token.into();
        self
    }

    /// The address on which to listen for peers, if it is not the one that the peers dial (port 0: any free one).
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Listen::At(address.into());
        self
    }

    /// A socket, bound already, on which to listen for peers.
    #[must_use]
    pub fn listen_on(mut self, listener: TcpListener) -> Self {
        self.listen = Listen::On(listener);
        self
    }

    /// All initial members with the addresses at which peers reach them (`host:port`; names are resolved at each connect).
    /// The same on every node. Without it the node is a cluster of one.
    #[must_use]
    pub fn peers<A: Into<String>>(mut self, members: impl IntoIterator<Item = (u64, A)>) -> Self {
        self.members = members.into_iter().map(|(id, address)| (id, address.into())).collect();
        self
    }

    /// This node joins a running cluster: it was added under this id ([`Node::add_member`]), and the members reach it at the address that was
    /// named then. It needs no list of members: whoever dials it first tells it where all are. To be called at every start of such a node.
    #[must_use]
    pub fn joins(mut self, cluster: ClusterId) -> Self {
        self.joins = Some(cluster);
        self
    }

    /// Where clients reach this node; told to whoever asks for the status.
    #[must_use]
    pub fn api_address(mut self, address: impl Into<String>) -> Self {
        self.api_address = address.into();
        self
    }

    /// Other settings than the defaults.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Starts the node: opens or creates its log, listens, and takes part in the cluster. Returns as soon as it runs; it may
    /// take some time more until a leader is elected ([`Node::ready`]).
    ///
    /// # Errors
    /// When the settings contradict each other, the address or the data directory cannot be used, or the log is damaged.
    pub async fn start(self, machine: S) -> Result<Node<S>, StartError> {
        start::start(self, machine).await
    }
}

/// After this time those who were asked for their status are asked again; then after twice as long, for a distant one answers late.
const STATUS_ASK_AGAIN: Duration = Duration::from_millis(250);

/// A running node. Cheap to clone; all clones are the same node. It runs until [`Node::stop`] is called, the last clone is
/// dropped, or it fails ([`Node::stopped`]).
pub struct Node<S> {
    pub(crate) inner: Arc<Inner>,
    /// A place for each read that may be open.
    reads: Arc<Semaphore>,
    pub(crate) machine: PhantomData<fn(S)>,
}

impl<S> Clone for Node<S> {
    fn clone(&self) -> Node<S> {
        Node { inner: Arc::clone(&self.inner), reads: Arc::clone(&self.reads), machine: PhantomData }
    }
}

/// What the clones of a node share.
pub(crate) struct Inner {
    pub(crate) inbox: mpsc::Sender<Mail>,
    pub(crate) inbox_budget: Arc<InboxBudget>,
    pub(crate) config: Config,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) ended: watch::Receiver<Option<NodeError>>,
    pub(crate) stop: tokio_util::sync::CancellationToken,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cluster: ClusterId,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A proposal with everything that may go along with the command.
#[derive(Clone, Debug)]
pub struct Proposal<C> {
    /// The command.
    pub command: C,
    /// Makes it exactly-once across retries by the caller. Without one it is exactly-once across retries by the node.
    pub request_id: Option<RequestId>,
    /// Who asks.
    pub actor: Option<String>,
    /// W3C trace context.
    pub trace: Option<String>,
    /// Whether each step is to be told.
    pub explain: bool,
}

impl<C> Proposal<C> {
    /// A proposal of nothing but the command.
    pub fn new(command: C) -> Proposal<C> {
        Proposal { command, request_id: None, actor: None, trace: None, explain: false }
    }
}

/// The answer to a proposal.
#[derive(Clone, Debug)]
pub struct Proposed<R> {
    /// What the state machine replied.
    pub reply: R,
    /// Each step on the way, if asked for.
    pub steps: Option<Vec<Step>>,
}

/// What a read that asks nobody saw, and how old it may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stale<T> {
    /// What the read returned.
    pub value: T,
    /// The last entry that the state holds; entry 0:0 if it holds none.
    pub applied: EntryId,
    /// The time of that entry in milliseconds since 1970, by the clock of the leader that made it. An idle cluster makes no entries, so
    /// an old time alone does not mean old data.
    pub timestamp_ms: u64,
    /// How long ago this node heard from its leader, or from a quorum if it leads; `None` if it knows no leader. What was committed
    /// before is in the state, but for entries that had not reached this node.
    pub contact: Option<Duration>,
}

impl<S: StateMachine> Node<S> {
    pub(crate) fn new(inner: Inner) -> Node<S> {
        let reads = Arc::new(Semaphore::new(READS_LEN_MAX));
        Node { inner: Arc::new(inner), reads, machine: PhantomData }
    }

    /// Begins to describe a node that keeps its data in `directory`.
    pub fn builder(directory: impl Into<PathBuf>) -> NodeBuilder<S> {
        NodeBuilder {
            directory: directory.into(),
            id: 1,
            cluster: "quorate".to_string(),
            members: Vec::new(),
            joins: None,
            listen: Listen::OwnPeerAddress,
            api_address: String::new(),
            config: Config::default(),
            machine: PhantomData,
        }
    }

    /// Proposes a command. Returns once it is durable on a quorum and applied on this node's leader; any node may be asked.
    /// The node retries across leader changes by itself and the command is applied at most once.
    ///
    /// # Errors
    /// [`ProposeError::fate`] says what may have happened.
    pub async fn propose(&self, command: S::Command) -> Result<S::Reply, ProposeError> {
        Ok(self.propose_with(Proposal::new(command)).await?.reply)
    }

    /// Proposes a command with a request id, an actor, a trace context, or to have each step explained.
    ///
    /// # Errors
    /// As [`Node::propose`].
    pub async fn propose_with(
        &self,
        proposal: Proposal<S::Command>,
    ) -> Result<Proposed<S::Reply>, ProposeError> {
        self.propose_patiently(proposal, None).await
    }

    /// Proposes a command and waits no longer than `patience`, or than `Config::proposal_timeout` if that is shorter. The node itself looks at
    /// the time: so a proposal that never left it is told as one that was not accepted, which a timer around the call cannot know.
    ///
    /// # Errors
    /// As [`Node::propose`].
    pub async fn propose_within(
        &self,
        proposal: Proposal<S::Command>,
        patience: Duration,
    ) -> Result<Proposed<S::Reply>, ProposeError> {
        self.propose_patiently(proposal, Some(patience)).await
    }

    async fn propose_patiently(
        &self,
        proposal: Proposal<S::Command>,
        patience: Option<Duration>,
    ) -> Result<Proposed<S::Reply>, ProposeError> {
        let Proposal { command, request_id, actor, trace, explain } = proposal;
        let mut body = Vec::new();
        command.encode(&mut body);
        // It is in the body now: a large one would lie in memory twice for as long as the answer takes.
        drop(command);
        let (bytes, bytes_max) = (body.len(), self.inner.config.command_bytes_max);
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        let command = CommandEnvelope {
            kind: CommandKind::User,
            request_id,
            actor,
            trace,
            body: Bytes::from(body),
            ..CommandEnvelope::default()
        };
        let answered = self.send_proposal(command, explain, patience).await?;
        let reply = S::Reply::decode(&answered.0)
            .map_err(|error| ProposeError::ReplyMalformed(format!("it does not decode: {error}")))?;
        Ok(Proposed { reply, steps: answered.1 })
    }

    /// Opens the session `id`, whose requests are then exactly-once for as long as it is kept. Opening it again is harmless.
    ///
    /// # Errors
    /// As [`Node::propose`]. [`ProposeError::Forgotten`] if a session of this id was open before and its answers are kept no more: nobody knows
    /// which of its requests were applied. Choose another id for new ones.
    pub async fn open_session(&self, id: u128) -> Result<(), ProposeError> {
        let request_id = Some(RequestId::Session { session: id, sequence: 0, acknowledged: 0 });
        let command =
            CommandEnvelope { kind: CommandKind::OpenSession, request_id, ..CommandEnvelope::default() };
        self.send_proposal(command, false, None).await.map(|_| ())
    }

    async fn send_proposal(
        &self,
        command: CommandEnvelope,
        explain: bool,
        patience: Option<Duration>,
    ) -> Result<(Bytes, Option<Vec<Step>>), ProposeError> {
        let (reply, answer) = oneshot::channel();
        let patience_ticks = patience.map(|patience| self.inner.config.ticks(patience));
        let bytes = command.body.len();
        if !self.inner.inbox_budget.take(bytes) {
            Metrics::add(&self.inner.metrics.overloaded, 1);
            return Err(ProposeError::Overloaded);
        }
        match self.inner.inbox.try_send(Mail::Propose(ProposalMail {
            command,
            explain,
            patience_ticks,
            reply,
        })) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.inner.inbox_budget.give_back(bytes);
                Metrics::add(&self.inner.metrics.overloaded, 1);
                return Err(ProposeError::Overloaded);
            }
            Err(TrySendError::Closed(_)) => return Err(ProposeError::Stopped { sent: false }),
        }
        // The other end is dropped unanswered only when the node ends: then nobody knows what became of the proposal.
        let answered = answer.await.map_err(|_| ProposeError::Stopped { sent: true })?;
        answered.outcome.map(|bytes| (bytes, answered.trace))
    }

    /// Reads the state, linearizably: sees every proposal that was answered, on any node, before the call began.
    /// `read` runs on the applier's thread, so it should be short.
    ///
    /// # Errors
    /// When no leader is confirmed in time; a retry is always safe.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (mail, answer) = ReadMail::new(move |state: &S, _| read(state), self.permit()?);
        self.send_read(Mail::Read(mail))?;
        read_answer(answer).await
    }

    /// Reads what this node has applied, asking nobody: works without a leader, and may be old. The answer says where in the log the
    /// state stands and how long ago a leader was heard; what was committed since is not in it. A node that is cut off goes on
    /// answering, with a `contact` that grows.
    ///
    /// # Errors
    /// When too many reads are open or the node has stopped.
    pub async fn read_stale<T: Send + 'static>(
        &self,
        read: impl FnOnce(&S) -> T + Send + 'static,
    ) -> Result<Stale<T>, ReadError> {
        let (mail, answer) = ReadMail::new(move |state: &S, place| (read(state), place), self.permit()?);
        let (sender, contact) = oneshot::channel();
        self.send_read(Mail::ReadStale(mail, sender))?;
        let contact = contact.await.map_err(|_| ReadError::Stopped)?;
        let (value, Place { applied, timestamp_ms }) = read_answer(answer).await?;
        Ok(Stale { value, applied, timestamp_ms, contact })
    }

    /// A place among the reads that may be open.
    fn permit(&self) -> Result<OwnedSemaphorePermit, ReadError> {
        Arc::clone(&self.reads).try_acquire_owned().map_err(|_| {
            Metrics::add(&self.inner.metrics.overloaded, 1);
            ReadError::Overloaded
        })
    }

    fn send_read(&self, mail: Mail) -> Result<(), ReadError> {
        self.inner.inbox.try_send(mail).map_err(|error| match error {
            TrySendError::Full(_) => {
                Metrics::add(&self.inner.metrics.overloaded, 1);
                ReadError::Overloaded
            }
            TrySendError::Closed(_) => ReadError::Stopped,
        })
    }
}

impl<S> Node<S> {
    /// How this node is, as of its last turn.
    pub fn status(&self) -> NodeStatus {
        self.inner.published.borrow().status.clone()
    }

    /// Waits until the status is as wanted, and returns it.
    ///
    /// # Errors
    /// When the node ends before.
    pub async fn wait(&self, mut wanted: impl FnMut(&NodeStatus) -> bool) -> Result<NodeStatus, NodeError> {
        let mut published = self.inner.published.clone();
        // Copied out at once: a look into the channel may not be kept while the node's end is waited for.
        let found =
            published.wait_for(|published| wanted(&published.status)).await.map(|found| found.status.clone());
        match found {
            Ok(status) => Ok(status),
            Err(_) => Err(self.stopped().await),
        }
    }

    /// Waits until this node knows a leader.
    ///
    /// # Errors
    /// When the node ends before.
    pub async fn ready(&self) -> Result<(), NodeError> {
        self.wait(|status| status.leader != 0).await.map(|_| ())
    }

    /// Asks every member how it is, again as long as one has not answered, and returns what was reached within `timeout`, and why the
    /// others were not.
    pub async fn cluster_status(&self, timeout: Duration) -> Vec<MemberStatus> {
        let own = self.status();
        let mut statuses: Vec<MemberStatus> = own
            .peers
            .iter()
            .map(|peer| {
                let status = Err(StatusError::TimedOut(timeout));
                MemberStatus { node: peer.node, address: peer.address.clone(), status }
            })
            .collect();
        let address = own.peer_address.clone();
        statuses.push(MemberStatus { node: own.node, address, status: Ok(own.clone()) });
        statuses.sort_by_key(|member| member.node);
        let mut answer = |node: u64, status| {
            if let Some(member) = statuses.iter_mut().find(|member| member.node == node) {
                member.status = status;
            }
        };
        let asking = async {
            let mut round = STATUS_ASK_AGAIN;
            loop {
                let (sender, mut answers) = mpsc::channel(own.peers.len() + 1);
                if self.inner.inbox.send(Mail::AskStatus(sender)).await.is_err() {
                    own.peers.iter().for_each(|peer| answer(peer.node, Err(StatusError::Stopped)));
                    return;
                }
                let collecting = async {
                    while let Some((node, status)) = answers.recv().await {
                        answer(node, status);
                    }
                };
                // The way back closes once all have answered. Until then a question or its answer may be lost with a connection.
                if tokio::time::timeout(round, collecting).await.is_ok() {
                    return;
                }
                round *= 2;
            }
        };
        // What was not answered by then has said so from the start.
        let _ = tokio::time::timeout(timeout, asking).await;
        statuses
    }

    /// The name of the cluster, as a node that joins needs it.
    pub fn cluster_id(&self) -> ClusterId {
        self.inner.cluster
    }

    /// Registers what the node measures. Names start with `quorate_`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let exporter =
            Exporter { metrics: Arc::clone(&self.inner.metrics), published: self.inner.published.clone() };
        registry.register_collector(Box::new(exporter));
    }

    /// What the node measures, for applications with another metrics library.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Stops the node: it hands its leadership over ([`Node::hand_over`]), takes no new callers, finishes what is on its way to the
    /// disk, and tells every waiting caller. Returns when all its threads have ended and the data directory is free again.
    pub async fn stop(&self) -> NodeError {
        self.hand_over().await;
        self.stop_at_once().await
    }

    /// Stops the node as [`Node::stop`] does, but hands nothing over: for the nodes of a cluster that all stop.
    pub async fn stop_at_once(&self) -> NodeError {
        self.inner.stop.cancel();
        self.stopped().await
    }

    /// Resolves when the node has ended, with the cause.
    pub async fn stopped(&self) -> NodeError {
        let mut ended = self.inner.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or(NodeError::Stopped),
            Err(_) => NodeError::Stopped,
        }
    }
}
