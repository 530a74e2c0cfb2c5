//! Bodies of `/v1/machines`: what an applied definition is answered, and what is wrong with one that is not.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to `PUT /v1/machines/{machine}`: 201 for a new version, 200 when this very definition was there already.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DefinitionApplied {
    /// The machine.
    pub machine: String,
    /// The version that the definition carries.
    pub version: u64,
    /// SHA-256 of the canonical definition, in hex.
    pub hash: String,
    /// Whether this request brought the version in.
    pub created: bool,
    /// The place in the log of the entry that decided.
    pub index: u64,
    /// The term of that place.
    pub term: u64,
    /// What is suspicious about the definition but does not refuse it.
    #[serde(default)]
    pub warnings: Vec<Fault>,
}

/// A fault or a warning of a definition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The line in the text that was sent, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The key that it is about, as in `states.Running.on.stop`; empty for the whole text.
    pub path: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, when there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The same with the line of the text and a caret under the place, ready to print.
    pub rendered: String,
}

/// The answer to `GET /v1/machines`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineList {
    /// All machines, by name.
    pub machines: Vec<MachineSummary>,
}

/// One machine in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineSummary {
    /// Its name.
    pub machine: String,
    /// Its latest version: the one that new instances follow.
    pub version: u64,
    /// Every version, rising.
    pub versions: Vec<u64>,
    /// The hash of the latest version, in hex.
    pub hash: String,
    /// How many instances it has.
    pub instances: u64,
    /// Whether it comes with the program.
    pub built_in: bool,
    /// What it is for, if its definition says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The answer to `GET /v1/machines/{machine}`: one definition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineDefinition {
    /// The machine.
    pub machine: String,
    /// The version shown.
    pub version: u64,
    /// Its hash, in hex.
    pub hash: String,
    /// The canonical definition that the hash is of.
    pub definition: Value,
}
