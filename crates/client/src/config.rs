//! The settings of a client: whom to ask, how long to wait, how often to try.

use std::time::Duration;

use crate::breaker::BreakerPolicy;
use crate::endpoint::Endpoint;
use crate::retry::RetryPolicy;

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The nodes of one cluster. Any of them can be asked anything; several make the client outlive the loss of one.
    pub endpoints: Vec<Endpoint>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long one attempt may take from the first byte to the last. Longer than the node's own limit for a proposal, so that the
    /// node's word (not accepted, or unknown) comes first.
    pub request_timeout: Duration,
    /// After how long without an answer the next endpoint is asked as well, if a second time is no second effect; the first answer
    /// counts. So a node that hangs costs this long once, and not the whole `request_timeout`.
    pub hedge_after: Duration,
    /// How long an idle connection is kept. Shorter than the node keeps it, so that a request rarely meets a closing connection.
    pub idle_timeout: Duration,
    /// How many idle connections are kept for each endpoint.
    pub idle_connections_max: usize,
    /// The largest answer that is accepted, in bytes.
    pub answer_bytes_max: usize,
    /// When and how often a call is tried again.
    pub retry: RetryPolicy,
    /// When an endpoint is left alone.
    pub breaker: BreakerPolicy,
}

impl ClientConfig {
    /// The defaults for these endpoints.
    pub fn new(endpoints: Vec<Endpoint>) -> ClientConfig {
        ClientConfig {
            endpoints,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(12),
            hedge_after: Duration::from_millis(1_500),
            idle_timeout: Duration::from_secs(20),
            idle_connections_max: 1024,
            answer_bytes_max: 64 * 1024 * 1024,
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
        }
    }
}
