//! Real servers on free ports over real nodes on real files, asked over real sockets.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod cluster;
mod config;
mod connections;
mod definitions;
mod docs;
mod idempotency;
mod instances;
mod probes;
mod proposals;
mod routes;
mod start;
mod support;
