//! What declared machines must keep, seen from outside.

mod canonical;
mod codec;
mod fire;
mod incidents;
mod parse;
mod registry;
mod snapshot;
mod support;
