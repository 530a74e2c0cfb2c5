//! Tests of the protocol through its two interfaces: inputs go in, what must be done comes out.

mod chance;
mod cluster;
mod codec;
mod damage;
mod donation;
mod fitness;
mod golden;
mod late_messages;
mod lease;
mod limits;
mod log_time;
mod members;
mod properties;
mod quorum_exhaustive;
mod thesis;
mod thesis_later;
mod transfer;
