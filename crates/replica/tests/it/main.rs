//! The tests of the replica: each is named as the rule that it proves.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at what it did not expect, and is read by its name"
)]

mod applier;
mod chance;
mod cluster;
mod codec;
mod divergence;
mod full_disk;
mod harness;
mod levels;
mod overload;
mod reads;
mod sessions;
mod snapshots;
mod solo;
mod steering;
mod steps;
