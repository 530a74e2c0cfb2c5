//! What can be asked of the registry, and the answers.

use serde::Serialize;

use crate::definition::Hash;
use crate::outcome::RejectionCode;

/// A machine as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineInfo {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: u64,
    /// Every version, rising.
    pub versions: Vec<u64>,
    /// The hash of the newest version.
    pub hash: Hash,
    /// The description of the newest version.
    pub description: Option<String>,
    /// How many instances it has, of all versions.
    pub instances: u64,
    /// Whether it is built in.
    pub built_in: bool,
}

/// One instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InstanceInfo {
    /// The machine.
    pub machine: String,
    /// The instance's id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// Whether the state is final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Its revision.
    pub revision: u64,
    /// The version of its definition.
    pub version: u64,
    /// The events that its state handles, in byte order (those that it ignores are not listed).
    pub allowed: Vec<String>,
    /// When it was created: milliseconds since 1970, by the entry.
    pub created_ms: u64,
    /// When it last moved: milliseconds since 1970, by the entry.
    pub changed_ms: u64,
    /// The log index of its last move or creation.
    pub index: u64,
}

/// One instance as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InstanceRow {
    /// The instance's id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// Its revision.
    pub revision: u64,
    /// The version of its definition.
    pub version: u64,
    /// When it last moved: milliseconds since 1970, by the entry.
    pub changed_ms: u64,
}

/// A page of instances in byte order of the ids.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InstancePage {
    /// The instances. May be fewer than the limit, even none, with `next` set: a look at a rare state stops after a bounded
    /// number of instances and is continued from there.
    pub instances: Vec<InstanceRow>,
    /// Ask again with this as `after` to continue; `None` at the end.
    pub next: Option<String>,
}

/// Instances by state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counts {
    /// The machine.
    pub machine: String,
    /// Its newest version.
    pub version: u64,
    /// All instances.
    pub total: u64,
    /// Every state of the newest version, and every state that an instance of an older version is in.
    pub states: std::collections::BTreeMap<String, u64>,
}

/// One thing that happened to an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryRecord {
    /// It was created.
    Created {
        /// The initial state.
        to: String,
        /// The revision: 1.
        revision: u64,
        /// What is known of the entry.
        #[serde(flatten)]
        entry: RecordEntry,
    },
    /// It moved.
    Moved {
        /// The state before.
        from: String,
        /// The state after.
        to: String,
        /// The event.
        event: String,
        /// The revision after.
        revision: u64,
        /// What is known of the entry.
        #[serde(flatten)]
        entry: RecordEntry,
    },
    /// A proposal was rejected.
    Rejected {
        /// The state, unchanged.
        state: String,
        /// The event that was wished, if an event was.
        event: Option<String>,
        /// The state that was wished, if a state was.
        to: Option<String>,
        /// Why.
        code: RejectionCode,
        /// The revision, unchanged.
        revision: u64,
        /// What is known of the entry.
        #[serde(flatten)]
        entry: RecordEntry,
    },
}

/// What is known of the entry behind a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RecordEntry {
    /// The version of the definition that decided.
    pub version: u64,
    /// The entry's timestamp: milliseconds since 1970.
    pub time_ms: u64,
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// Who asked, if the proposal said so.
    pub actor: Option<String>,
    /// The request id, if the caller gave one.
    pub request_id: Option<String>,
    /// The data of the proposal: JSON text of an object.
    pub data: Option<String>,
}

/// A page of an instance's history, in order of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HistoryPage {
    /// The records.
    pub records: Vec<HistoryRecord>,
    /// The oldest revision that is still kept.
    pub oldest_revision: u64,
    /// How many rejections have been forgotten to make room for newer ones.
    pub rejections_forgotten: u64,
    /// Ask again from this revision to continue; `None` at the end. A page always ends between two revisions, so it may hold
    /// more records than the limit: at most the rejections that are kept.
    pub next: Option<u64>,
}

/// Why a query has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// No machine has this name.
    #[error("no machine is called {machine:?}{}", hint(.suggestion.as_ref()))]
    UnknownMachine {
        /// The name.
        machine: String,
        /// A name that exists and is close to it.
        suggestion: Option<String>,
    },
    /// The machine has no such version.
    #[error("machine {machine:?} has no version {version}; the newest is {latest}")]
    UnknownVersion {
        /// The machine.
        machine: String,
        /// The version.
        version: u64,
        /// The newest version.
        latest: u64,
    },
    /// The machine has no instance with this id.
    #[error("machine {machine:?} has no instance {id:?}")]
    UnknownInstance {
        /// The machine.
        machine: String,
        /// The id.
        id: String,
    },
    /// No version of the machine that is in use has a state with this name.
    #[error("machine {machine:?} has no state {state:?}{}", hint(.suggestion.as_ref()))]
    UnknownState {
        /// The machine.
        machine: String,
        /// The name.
        state: String,
        /// A name that exists and is close to it.
        suggestion: Option<String>,
    },
    /// What was asked for is older than what is kept.
    #[error("revision {from} is compacted: the oldest that is kept is {oldest_revision}")]
    Compacted {
        /// The revision that was asked for.
        from: u64,
        /// The oldest that is kept.
        oldest_revision: u64,
    },
}

fn hint(suggestion: Option<&String>) -> String {
    suggestion.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}
