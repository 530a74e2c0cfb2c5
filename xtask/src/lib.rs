//! The workshop: what keeps the repository in shape, in Rust, with nothing to install. A library so that `cargo test` runs
//! the same checks as the command.
//!
//! It knows nothing of what Quorate does: it reads the sources as text and asks cargo about packages.

pub mod golden;
pub mod graph;
pub mod licences;
pub mod tidy;
pub mod verify;
