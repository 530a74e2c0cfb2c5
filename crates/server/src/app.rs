//! What every handler may use: the node, the limits, the measurements. Handlers translate; what is decided is decided
//! by the replicated machines.

use std::sync::Arc;
use std::time::Duration;

use quorate::{Node, Proposal, ProposeError, Proposed, ReadError};
use quorate_machine::{Command, QueryError, Registry, Reply};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::call::{Asker, Call};
use crate::config::{LimitSettings, MemberSettings, ServerConfig, TimeoutSettings};
use crate::problem::Failure;
use crate::telemetry::Telemetry;

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The one thing behind all clones.
pub(crate) struct Shared {
    pub(crate) node: Node<Registry>,
    pub(crate) members: Vec<MemberSettings>,
    pub(crate) limits: LimitSettings,
    pub(crate) timeouts: TimeoutSettings,
    pub(crate) telemetry: Telemetry,
    bodies: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(node: Node<Registry>, config: &ServerConfig) -> App {
        let budget_kib = (config.limits.bodies_bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS);
        App(Arc::new(Shared {
            telemetry: Telemetry::new(&node),
            node,
            members: config.cluster.members.clone(),
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            bodies: Arc::new(Semaphore::new(budget_kib)),
        }))
    }

    /// A share of the budget for request bodies, or nothing when it is spent. It comes back when the share is dropped.
    pub(crate) fn body_budget(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        Arc::clone(&self.bodies).try_acquire_many_owned(kib).ok()
    }

    /// Proposes a command and waits for the answer, at most as long as the caller wants to.
    pub(crate) async fn propose(
        &self,
        asker: Asker,
        command: Command,
        explain: bool,
        timeout: Option<Duration>,
    ) -> Result<Proposed<Reply>, ProposeError> {
        let Asker { request_id, actor, trace } = asker;
        let proposal = Proposal { command, request_id, actor, trace, explain };
        within(timeout, self.node.propose_with(proposal)).await.unwrap_or(Err(ProposeError::TimedOut))
    }

    /// Reads the registry, linearizably.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        call: &Call,
        read: impl FnOnce(&Registry) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Failure> {
        call.consistency()?;
        let answer = within(call.timeout()?, self.node.read(read)).await.unwrap_or(Err(ReadError::TimedOut));
        let found = answer.map_err(|error| Failure::read(&error, &self.members))?;
        found.map_err(|error| Failure::query(&error))
    }
}

/// Waits for `work`, for ever or until the time is over.
pub(crate) async fn within<T>(timeout: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match timeout {
        None => Some(work.await),
        Some(timeout) => tokio::time::timeout(timeout, work).await.ok(),
    }
}
