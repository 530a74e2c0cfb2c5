//! The commands, a room for each family. Each returns how the process ends, or why it failed.

pub(crate) mod cluster;
pub(crate) mod dev;
pub(crate) mod instances;
pub(crate) mod join;
pub(crate) mod log;
pub(crate) mod machines;
pub(crate) mod propose;
pub(crate) mod recover;
pub(crate) mod server;
