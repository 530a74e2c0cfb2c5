//! What every handler may use: the node, the limits, the measurements. Handlers translate; what is decided is decided
//! by the replicated machines.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use quorate::{Node, Proposal, ProposeError, Proposed, ReadError, Stale};
use quorate_api::header::{QUORATE_APPLIED, QUORATE_APPLIED_MS, QUORATE_CONTACT_MS};
use quorate_machine::{Command, QueryError, Registry, Reply};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::call::{Asker, Call, Consistency};
use crate::config::{LimitSettings, MemberSettings, ServerConfig, TimeoutSettings};
use crate::problem::{Failure, json};
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
        let Some(timeout) = timeout else { return self.node.propose_with(proposal).await };
        // The node looks at the time itself, because it knows whether the proposal has left; a node that is stuck does not.
        let patient = within(Some(timeout + NODE_SLACK), self.node.propose_within(proposal, timeout)).await;
        patient.unwrap_or(Err(ProposeError::TimedOut))
    }

    /// Reads the registry, as fresh as the call asks for.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        call: &Call,
        read: impl FnOnce(&Registry) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<Seen<T>, Failure> {
        let (consistency, timeout) = (call.consistency()?, call.timeout()?);
        let answer = within(timeout, async {
            Ok(match consistency {
                Consistency::Linearizable => (self.node.read(read).await?, None),
                Consistency::Stale => {
                    let Stale { value, applied, timestamp_ms, contact } = self.node.read_stale(read).await?;
                    (value, Some(Stale { value: (), applied, timestamp_ms, contact }))
                }
            })
        });
        let answer = answer.await.unwrap_or(Err(ReadError::TimedOut));
        let (found, stale) = answer.map_err(|error| Failure::read(&error, &self.members))?;
        let value = found.map_err(|error| Failure::query(&error))?;
        Ok(Seen { value, stale })
    }
}

/// How much longer than the caller's own time a node may take to tell that it is over.
const NODE_SLACK: Duration = Duration::from_millis(500);

/// What a read saw, and of a stale one how old that may be.
pub(crate) struct Seen<T> {
    value: T,
    stale: Option<Stale<()>>,
}

impl<T> Seen<T> {
    /// The answer: what was seen as JSON, and its age in the headers.
    pub(crate) fn answer<B: Serialize>(
        self,
        body: impl FnOnce(T) -> Result<B, Failure>,
    ) -> Result<Response, Failure> {
        let mut response = json(200, &body(self.value)?);
        if let Some(Stale { value: (), applied, timestamp_ms, contact }) = self.stale {
            let mut tell = |name, value: String| {
                let value = HeaderValue::try_from(value).expect("digits and a colon are a header's value");
                response.headers_mut().insert(HeaderName::from_static(name), value);
            };
            tell(QUORATE_APPLIED, applied.to_string());
            tell(QUORATE_APPLIED_MS, timestamp_ms.to_string());
            if let Some(contact) = contact {
                tell(QUORATE_CONTACT_MS, contact.as_millis().to_string());
            }
        }
        Ok(response)
    }
}

/// Waits for `work`, for ever or until the time is over.
pub(crate) async fn within<T>(timeout: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match timeout {
        None => Some(work.await),
        Some(timeout) => tokio::time::timeout(timeout, work).await.ok(),
    }
}
