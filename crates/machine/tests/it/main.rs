//! What declared machines must keep, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "a test stops at what it did not expect, and expected text is long"
)]

mod canonical;
mod codec;
mod documentation;
mod fire;
mod incidents;
mod parse;
mod parse_limits;
mod properties;
mod registry;
mod snapshot;
mod support;
