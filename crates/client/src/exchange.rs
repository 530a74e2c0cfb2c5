//! One HTTP exchange with one endpoint: the pool of kept connections, the limits, and what each failure means. It tries once;
//! who is asked and how often is `client.rs`.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use quorate_api::meaning::ProblemCode;
use quorate_api::problem::{Fate, Problem};

use crate::config::ClientConfig;
use crate::endpoint::Endpoint;
use crate::error::FailureKind;

/// One call, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, percent-encoded.
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    /// Whether a second time is no second effect: it only reads, is idempotent, or carries a request id.
    pub(crate) repeatable: bool,
}

impl Call {
    /// Whether the call changes nothing, so that a lost answer leaves nothing unknown behind.
    pub(crate) fn only_reads(&self) -> bool {
        self.method == Method::GET
    }

    /// What the call may have done if its answer tells nothing.
    pub(crate) fn fate_in_doubt(&self) -> Fate {
        if self.only_reads() { Fate::NotAccepted } else { Fate::Unknown }
    }
}

/// An answer with its body, whatever the status.
#[derive(Clone, Debug)]
pub(crate) struct RawAnswer {
    pub(crate) endpoint: String,
    pub(crate) status: u16,
    /// Whether the body is `application/problem+json`.
    pub(crate) is_problem: bool,
    pub(crate) body: Bytes,
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Exchange {
    pool: Pool<HttpConnector, Full<Bytes>>,
    request_timeout: Duration,
    answer_bytes_max: usize,
}

impl Exchange {
    pub(crate) fn new(config: &ClientConfig) -> Exchange {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_keepalive(Some(Duration::from_secs(30)));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.idle_connections_max)
            .build(connector);
        Exchange { pool, request_timeout: config.request_timeout, answer_bytes_max: config.answer_bytes_max }
    }

    /// Sends the call to the endpoint once and reads the whole answer.
    pub(crate) async fn send(&self, endpoint: &Endpoint, call: &Call) -> Result<RawAnswer, FailureKind> {
        let request = request(endpoint, call)?;
        let answered = async {
            let response = self.pool.request(request).await.map_err(|error| failure_of_send(&error))?;
            self.read(endpoint, response).await
        };
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(result) => result,
            Err(_) => Err(FailureKind::TimedOut(self.request_timeout.as_millis())),
        }
    }

    async fn read(
        &self,
        endpoint: &Endpoint,
        response: Response<hyper::body::Incoming>,
    ) -> Result<RawAnswer, FailureKind> {
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_problem = content_type.is_some_and(|value| value.starts_with("application/problem+json"));
        let collected = Limited::new(response.into_body(), self.answer_bytes_max).collect().await;
        let body = match collected {
            Ok(body) => body.to_bytes(),
            Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(FailureKind::AnswerTooLarge(self.answer_bytes_max));
            }
            Err(error) => return Err(FailureKind::Broken(deepest(&*error))),
        };
        let endpoint = endpoint.authority().to_owned();
        let answer = RawAnswer { endpoint, status, is_problem, body };
        match status {
            429 | 500..=599 => answer.unless_transient(),
            _ => Ok(answer),
        }
    }
}

impl RawAnswer {
    /// Tells an answer that will be the same the next time from a node that cannot serve now, and from the words of
    /// something between it and us.
    fn unless_transient(self) -> Result<RawAnswer, FailureKind> {
        let problem = match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if self.is_problem => problem,
            Ok(_) | Err(_) => return Err(FailureKind::Status(self.status)),
        };
        // A code that this client does not know is taken as final: the caller hears it at once. So is that it happened: another attempt
        // would change nothing, and its failure would hide this.
        let is_transient = problem.fate != Fate::Applied
            && matches!(
                problem.code,
                ProblemCode::Overloaded
                    | ProblemCode::NoLeader
                    | ProblemCode::DiskFull
                    | ProblemCode::Stopping
                    | ProblemCode::NotReady
                    | ProblemCode::TimedOut
                    | ProblemCode::Internal
            );
        if is_transient { Err(FailureKind::Problem(self.status, Box::new(problem))) } else { Ok(self) }
    }
}

fn request(endpoint: &Endpoint, call: &Call) -> Result<Request<Full<Bytes>>, FailureKind> {
    let uri = format!("{endpoint}{}", call.path);
    let mut builder = Request::builder().method(call.method.clone()).uri(uri);
    if !call.body.is_empty() {
        builder = builder.header(CONTENT_TYPE, call.content_type);
    }
    for (name, value) in &call.headers {
        builder = builder.header(name, value);
    }
    // The parts were checked when they were made; a mistake there is told, not hidden in a panic. Nothing has left.
    builder
        .body(Full::new(call.body.clone()))
        .map_err(|error| FailureKind::Unreachable(format!("the request cannot be written: {error}")))
}

/// A connection that was never made has sent nothing; all else may have arrived.
fn failure_of_send(error: &hyper_util::client::legacy::Error) -> FailureKind {
    if !error.is_connect() {
        return FailureKind::Broken(deepest(error));
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => FailureKind::NoListener,
        Some(io::ErrorKind::TimedOut) => FailureKind::Unreachable("no connection in time".to_owned()),
        Some(_) | None => FailureKind::Unreachable(deepest(error)),
    }
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// The words of the innermost cause: the outer ones only say that something failed.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}
