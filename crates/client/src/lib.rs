//! quorate-client: a client of a Quorate cluster over HTTP/JSON.
//!
//! It keeps connections, prefers the leader and the healthy endpoints, and tries again with growing, jittered delays. One rule
//! stands above the rest: **what may have happened is sent again only with the same request id**, so that no retry does a thing
//! twice. Each failure tells its fate: not accepted, unknown, or applied.
//!
//! *Knows nothing of* the command line, of how a cluster agrees, or of what a definition means.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quorate_api::proposal::Propose;
//! use quorate_client::{Client, ClientConfig, Endpoint, RequestId, WriteOptions};
//!
//! let endpoints = Endpoint::parse_list("http://127.0.0.1:7480,http://127.0.0.1:7490")?;
//! let client = Client::new(ClientConfig::new(endpoints))?;
//! let start = Propose { event: Some("start".to_owned()), ..Propose::default() };
//! let options = WriteOptions { request_id: Some(RequestId::random()), ..WriteOptions::default() };
//! let answer = client.propose("lifecycle", "job-1", &start, &options).await?;
//! println!("{:?}", answer.outcome);
//! # Ok(())
//! # }
//! ```
//!
//! Reading order: `client` (the loop of attempts), `retry` and `breaker` (its rules), `endpoint` (whom to ask), `exchange` (one HTTP
//! exchange), `calls` (the routes), `error`.

mod breaker;
mod calls;
mod client;
mod config;
mod endpoint;
mod error;
mod exchange;
mod in_flight;
mod retry;

pub use breaker::{Breaker, BreakerPolicy, BreakerState};
pub use calls::{DefinitionFormat, ListQuery, RequestId, WriteOptions, encode};
pub use client::Client;
pub use config::ClientConfig;
pub use endpoint::{Endpoint, Endpoints};
pub use error::{ClientError, ConfigError, Failure, FailureKind};
pub use retry::{Jitter, RetryPolicy, may_repeat, random_id};
