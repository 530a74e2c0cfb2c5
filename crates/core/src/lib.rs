//! quorate-core: the Raft protocol.

pub mod config;
pub mod entry;
pub mod message;
pub mod ready;
pub mod types;
