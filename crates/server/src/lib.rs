//! quorate-server: the HTTP interface of a node of declared machines.
//!
//! The only crate that knows HTTP. It translates and decides nothing: what a request means is decided by the replicated
//! registry, and what an answer means stands in the table of `quorate-api`.
//!
//! *Knows nothing of* consensus, the log, how definitions are evaluated, or the command line.
//!
//! Reading order: `routes.rs` (the table), `call.rs` (one request, with its limits), `proposals.rs` (the way of one
//! proposal), `problem.rs` (the way of everything else), `accept.rs` and `server.rs` (connections, start and stop),
//! `config.rs` and `settings.rs`.

mod accept;
mod app;
mod call;
mod cluster;
mod config;
mod config_file;
mod definitions;
mod instances;
mod probes;
mod problem;
mod proposals;
mod routes;
mod server;
mod settings;
mod steering;
mod telemetry;
mod translate;

pub use config::{
    ClusterSettings, ConfigError, DumpedSetting, LimitSettings, ListenSettings, MemberSettings, NodeSettings,
    Origin, Override, ServerConfig, TimeoutSettings,
};
pub use server::{Listeners, RunningServer, Server, StartError};
