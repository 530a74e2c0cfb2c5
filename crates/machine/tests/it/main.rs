//! What declared machines must keep, seen from outside.

mod incidents;
mod support;
