//! What the server measures of itself, and the page that shows it together with the node's own figures.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use quorate::Node;
use quorate_api::problem::Fate;

use crate::app::App;
use crate::call::Call;
use crate::problem::Failure;

/// The measurements of the HTTP interface. The labels take few values each: routes of the table, methods, status codes.
pub(crate) struct Telemetry {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    proposals: Family<OutcomeLabels, Counter>,
    /// Connections of clients that are open.
    pub(crate) connections: Gauge,
    /// Connections that were turned away because there were too many.
    pub(crate) connections_refused: Counter,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Telemetry {
    /// The measurements of a server over this node; the node's own are shown with them.
    pub(crate) fn new<S: quorate::StateMachine>(node: &Node<S>) -> Telemetry {
        let mut registry = Registry::default();
        node.register_metrics(&mut registry);
        let requests = Family::<RequestLabels, Counter>::default();
        let durations: Family<RouteLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS_S));
        let proposals = Family::<OutcomeLabels, Counter>::default();
        let (connections, connections_refused) = (Gauge::default(), Counter::default());
        registry.register("quorate_http_requests", "requests answered", requests.clone());
        registry.register_with_unit(
            "quorate_http_request_duration",
            "from a request's head to its answer",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "quorate_outcomes",
            "what became of proposals and creations that came to this node over HTTP",
            proposals.clone(),
        );
        registry.register("quorate_http_connections", "open connections", connections.clone());
        registry.register(
            "quorate_http_connections_refused",
            "connections turned away because there were too many",
            connections_refused.clone(),
        );
        Telemetry { registry, requests, durations, proposals, connections, connections_refused }
    }

    /// Counts what became of a proposal or a creation.
    pub(crate) fn count_outcome(&self, outcome: &'static str) {
        self.proposals.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    fn observe(&self, method: &'static str, route: String, status: u16, duration: Duration) {
        self.durations
            .get_or_create(&RouteLabels { method, route: route.clone() })
            .observe(duration.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }
}

/// Measures every request. The route is the pattern, never the path: paths are without number.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = method_word(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let response = guarded(next.run(request)).await;
    let (status, duration) = (response.status().as_u16(), begin.elapsed());
    tracing::debug!(method, route, status, duration_us = duration.as_micros(), "request");
    app.telemetry.observe(method, route, status, duration);
    response
}

/// Runs a handler; its panic becomes an answer and a line in the log. A handler only translates and holds nothing that a
/// panic could leave half done; the parts that decide stop the whole node when they panic.
async fn guarded(handler: impl Future<Output = Response>) -> Response {
    let mut handler = pin!(handler);
    poll_fn(|context| {
        // After a panic the handler is never polled again: this returns an answer in its place.
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(_) => {
                tracing::error!("a handler panicked");
                Poll::Ready(Failure::internal(Fate::Unknown).into_response())
            }
        }
    })
    .await
}

/// `GET /metrics`: the text form of OpenMetrics 1.0, which Prometheus reads.
pub(crate) async fn metrics(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&[])?;
    let mut page = String::new();
    text::encode(&mut page, &app.telemetry.registry).map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        Failure::internal(Fate::NotAccepted)
    })?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], page).into_response())
}

/// Methods as labels: a client may invent any number of others.
fn method_word(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// The media type of the OpenMetrics text format (OpenMetrics 1.0, section "Content type").
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the duration buckets, in seconds: 100 µs to 10 s.
const DURATION_BUCKETS_S: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::guarded;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_and_says_nothing_of_it() {
        let answer = guarded(async { panic!("a secret") }).await;
        assert_eq!(answer.status(), 500);
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains(r#""code":"internal""#) && text.contains(r#""fate":"unknown""#), "{text}");
        assert!(!text.contains("secret"), "{text}");
        let fine = guarded(async { "fine".into_response() }).await;
        assert_eq!(fine.status(), 200);
    }
}
