//! quorate-replica: one member without its I/O.

pub mod effect;
pub mod error;
pub mod input;
pub mod peer_message;
pub mod request;
pub mod state_machine;
