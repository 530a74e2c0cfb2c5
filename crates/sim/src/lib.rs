//! quorate-sim: a whole cluster in one thread, driven by one seed, in virtual time.
//!
//! Everything that ships below the async runtime runs here unchanged: [`quorate_core::raft::Raft`] inside
//! `quorate_replica::Replica`, the real write-ahead log over a disk that forgets what was not synced, the real applier with
//! its sessions, and the real codec for every message. Only the switchboard, the disk and the network are replaced.
//!
//! *Knows nothing of* wall clocks, threads, sockets, files (but those of its corpus), or the order of a hash map: the same seed gives the same run,
//! line for line, on every machine. What fails, fails again with `quorate-sim replay --seed S`.
//!
//! Reading order: [`world`] (one run from beginning to end), [`scene`] (time and what is to happen), `running` (one node, in
//! place of the async switchboard), [`workload`] and [`faults`] (who asks, and what goes wrong), [`check`] (what must hold).
//!
//! To test a state machine of your own, none of that is needed: start at [`Simulation`].

#![forbid(unsafe_code)]

pub mod check;
mod clock;
pub mod corpus;
mod counts;
pub mod damage_table;
pub mod diagram;
pub mod disk;
pub mod ended;
pub mod explore;
pub mod faults;
pub mod golden;
pub mod hits;
pub mod knobs;
pub mod ledger;
mod levels;
pub mod member;
pub mod network;
pub mod profile;
pub mod recipe;
pub mod recorder;
pub mod rng;
pub mod rot;
pub mod scene;
pub mod shrink;
pub mod simulation;
mod snapshots;
pub mod trace;
pub mod words;
pub mod workload;
pub mod world;

mod guest;
mod healing;
mod host;
mod inode;
mod log_worker;
mod queue;
mod running;
mod scouts;
mod settings;
mod store;

pub use rng::Rng;
pub use simulation::{Failure, Simulation};
