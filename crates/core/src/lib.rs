//! quorate-core: the Raft protocol.

pub mod codec;
pub mod config;
pub mod entry;
pub mod invariants;
pub mod message;
pub mod raft;
pub mod ready;
pub mod status;
pub mod stored;
pub mod types;
