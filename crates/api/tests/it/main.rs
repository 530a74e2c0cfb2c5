//! The JSON of the interface, literally as the documentation prints it.

#![allow(clippy::unwrap_used)]

mod json;
mod requests;
mod table;
