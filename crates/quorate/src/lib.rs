//! Quorate: replicated state machines for Rust.
//!
//! Implement [`StateMachine`] (three methods, nothing about consensus), start a [`Node`] on each machine, and propose:
//! each command is durable on a quorum and applied exactly once, in the same order, on every node.
//!
//! ```no_run
//! # use quorate::*;
//! # struct Counter(u64);
//! # impl StateMachine for Counter {
//! #     type Command = u64;
//! #     type Reply = u64;
//! #     fn apply(&mut self, _: &Context, add: u64) -> u64 { self.0 += add; self.0 }
//! #     fn snapshot(&self) -> Snapshot { let n = self.0; Box::new(move |out| out.write_all(&n.to_le_bytes())) }
//! #     fn restore(&mut self, source: &mut dyn std::io::Read) -> std::io::Result<()> {
//! #         let mut bytes = [0; 8];
//! #         source.read_exact(&mut bytes)?;
//! #         self.0 = u64::from_le_bytes(bytes);
//! #         Ok(())
//! #     }
//! # }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let peers = [(1, "10.0.0.1:7481"), (2, "10.0.0.2:7481"), (3, "10.0.0.3:7481")];
//! let node = Node::builder("./data").id(1).cluster("counters").peers(peers).start(Counter(0)).await?;
//! let total = node.propose(5).await?; // durable on a quorum, applied exactly once
//! let seen = node.read(|counter| counter.0).await?; // linearizable, on any node
//! # Ok(())
//! # }
//! ```
//!
//! The whole program, three nodes included, is `examples/counter`.
//!
//! This crate is the switchboard: it owns the threads, the sockets and the clock, and carries effects and inputs between
//! three machines that have none of these (the replica, the log, the applier). *It knows nothing of* the rules of the
//! protocol, of bytes on disk, and of HTTP.
//!
//! Reading order: [`Node`] (`node.rs`), `mail.rs`, `runtime.rs`, `workers.rs`, `start.rs`.

mod clock;
mod config;
mod directory;
mod error;
mod inbox_budget;
mod mail;
mod metrics;
mod node;
mod operating;
mod peers;
pub mod recovery;
mod runtime;
mod snapshot_workers;
mod start;
mod status;
mod tickets;
mod watch;
mod workers;

pub use config::{Config, Reads};
pub use error::{NodeError, StartError, StatusError};
pub use metrics::{Metrics, SharedHistogram};
pub use node::{Node, NodeBuilder, Proposal, Proposed, Stale};
pub use quorate_core::membership::ChangeRefusal;
pub use quorate_core::status::Role;
pub use quorate_core::types::{ClusterId, EntryId, Index, NodeId, Term};
pub use quorate_log::error::LogError;
pub use quorate_replica::cluster::{ClusterError, ClusterRefusal};
pub use quorate_replica::effect::{Step, StepKind};
pub use quorate_replica::error::{Fate, ProposeError, ReadError};
pub use quorate_replica::request::RequestId;
pub use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};
pub use quorate_replica::status::Histogram;
pub use start::identity_in;
pub use status::{MemberStatus, NodeStatus, PeerStatus};
