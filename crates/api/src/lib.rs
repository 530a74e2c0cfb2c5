//! quorate-api: what the HTTP interface says, as types. The server writes exactly these, the client reads exactly
//! these, and the command line prints exactly these: the same JSON everywhere.
//!
//! *Knows nothing of* HTTP libraries, sockets, the cluster behind the interface, or how a definition is evaluated.
//!
//! Reading order: [`outcome`] (what a proposal is answered), [`problem`] (everything that is no such answer),
//! [`meaning`] (the one table of status and exit codes), then the bodies of the single routes.
//!
//! Requests refuse fields that they do not know: a misspelt `expcet` that is ignored would commit what the caller
//! wanted to guard. Answers ignore them: an older client reads a newer server.

pub mod cluster;
pub mod definition;
pub mod header;
pub mod history;
pub mod instance;
pub mod meaning;
pub mod outcome;
pub mod problem;
pub mod proposal;
pub mod strict;
