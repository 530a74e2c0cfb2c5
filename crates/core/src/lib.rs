//! quorate-core: the Raft protocol.

pub mod types;

pub mod entry;

pub mod message;

pub mod config;

pub mod stored;

pub mod ready;

pub mod raft;

mod role;

mod election;

mod leader;

mod progress;

mod follower;

mod read_index;

mod log;

pub mod quorum;

pub mod codec;

pub mod status;

pub mod invariants;

mod rng;
