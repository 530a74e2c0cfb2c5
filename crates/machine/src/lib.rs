//! Quorate: declared state machines. A definition is data (states, events, transitions); instances of it are moved by
//! proposals, and [`Registry`] is the replicated state machine that holds both.
//!
//! *Knows nothing of* disks, sockets, clocks, Raft roles or HTTP: time is the timestamp of the applied entry, and everything
//! here is a pure function of its arguments.
//!
//! Reading order: [`Definition`] (what a machine is), [`fire`](fn@fire) (what one proposal does), [`Registry`] (what is
//! replicated), [`parse`](fn@parse) (from TOML or JSON to a definition, with every fault told at once).

#![forbid(unsafe_code)]

mod any_object;
mod canonical;
mod command;
mod definition;
mod diagnostic;
mod draft;
mod fire;
mod format;
mod hash;
mod instance;
mod json;
mod keys;
mod lint;
mod names;
mod outcome;
mod parse;
mod query;
mod registry;
mod reply;
mod shared_map;
mod snapshot;
mod suggest;
mod toml_tree;
mod validate;
mod value;
mod why;
mod wire;
mod wording;

pub use command::{CheckError, Command, DATA_BYTES_MAX, DEFINITION_BYTES_MAX, Expect, Proposal, Wish};
pub use definition::{Definition, InvalidDefinition, Reaction, StateId};
pub use diagnostic::{Diagnostic, Severity, Span};
pub use fire::{Decision, fire};
pub use format::Format;
pub use hash::Hash;
pub use names::{ID_BYTES_MAX, NAME_BYTES_MAX, check_id, check_name, is_id, is_name};
pub use outcome::{Committed, Ignored, Outcome, Rejected, RejectionCode, Standing};
pub use parse::{Checked, SOURCE_BYTES_MAX, parse, parse_bytes};
pub use query::{
    Counts, HistoryPage, HistoryRecord, InstanceInfo, InstancePage, InstanceRow, LIST_SCAN_MAX, MachineInfo,
    QueryError, RecordEntry,
};
pub use registry::{FEATURE_LEVEL_MAX, Limits, Registry};
pub use reply::{Created, DefineOutcome, Defined, Reply};
pub use suggest::did_you_mean;
pub use validate::{DESCRIPTION_BYTES_MAX, EVENTS_MAX, STATES_MAX, TAGS_MAX, TRANSITIONS_MAX};
pub use why::Why;
