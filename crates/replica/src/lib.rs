//! quorate-replica: one member of a cluster without its I/O.
//!
//! Two synchronous machines live here. [`Replica`](replica::Replica) wraps the protocol of `quorate-core` and pairs
//! it with those who wait: proposals on their way to the leader, entries on their way to the state machine, reads on
//! their way to an index. [`Applier`](applier::Applier) gives committed commands to the user's state machine, each
//! exactly once. Data goes down as [`Effect`](effect::Effect)s and comes up as [`Input`](input::Input)s.
//!
//! This crate *knows nothing of* sockets, disks, threads, async, clocks (time is an input), HTTP, or what a command means.
//!
//! Reading order: `input` and `effect` (the two interfaces), `replica` (a turn), `proposing`, `proposals`, `own_session`
//! and `waiters` (the way of a proposal until its entry is committed), `apply_queue`, `applier` and `session` (from there
//! to its answer), `reads`, `divergence` (state machines that do something else are noticed), `cluster` and `steering` (what operators
//! ask); then `command_codec` and `peer_codec` for the bytes.

#![forbid(unsafe_code)]

pub mod applier;
mod apply_queue;
pub mod cluster;
mod cluster_codec;
pub mod command_codec;
pub mod config;
pub mod divergence;
pub mod effect;
pub mod error;
pub mod explain;
mod hash;
pub mod input;
mod level;
mod own_session;
pub mod peer_codec;
pub mod peer_message;
mod proposals;
mod proposing;
mod reading;
mod reads;
pub mod replica;
pub mod request;
pub mod session;
mod session_codec;
mod shared_map;
mod snapshot_fetch;
mod snapshot_policy;
mod snapshots;
pub mod state_machine;
pub mod status;
mod steering;
mod ticks;
mod waiters;
