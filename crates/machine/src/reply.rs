//! The answers of the registry to its commands.

use crate::definition::Hash;
use crate::outcome::Outcome;

/// The answer to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// To `Define`.
    Defined(Defined),
    /// To `Create`, when the instance was created. Otherwise the answer is `Outcome::Rejected`.
    Created(Created),
    /// To `Propose`, and to a `Create` that was rejected.
    Outcome(Outcome),
}

/// The answer to `Define`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defined {
    /// What became of the definition.
    pub outcome: DefineOutcome,
    /// The machine's name; empty when the definition is invalid.
    pub machine: String,
    /// The version that the command named; 0 when the definition is invalid.
    pub version: u64,
    /// The hash that the command named.
    pub hash: Hash,
    /// The log index of the entry that decided.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
}

/// What became of a definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DefineOutcome {
    /// It is in force: new instances take it.
    New,
    /// The same definition was there already.
    Unchanged,
    /// This version exists with another content, which keeps standing: raise the version.
    VersionTaken {
        /// The hash of what stands.
        hash: Hash,
    },
    /// Versions rise: a newer one is in force.
    NotNewer {
        /// The newest version.
        latest: u64,
    },
    /// The content does not have the hash that came with it.
    HashMismatch {
        /// The hash that the content has.
        actual: Hash,
    },
    /// The content is no canonical definition.
    Invalid {
        /// Why.
        detail: String,
    },
    /// There are as many definitions as the registry keeps.
    LimitReached {
        /// The limit.
        definitions_max: usize,
    },
}

/// The instance was created, in the initial state of the newest version.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Created {
    /// The machine.
    pub machine: String,
    /// The instance.
    pub id: String,
    /// The initial state.
    pub state: String,
    /// Its revision: 1.
    pub revision: u64,
    /// The version of its definition.
    pub version: u64,
    /// The log index of the entry that created it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
}
