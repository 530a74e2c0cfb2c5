//! The commands of the registry: what stands in the log, and what is checked before it gets there.

use crate::definition::Hash;

/// The most bytes that the data of a proposal may have.
pub const DATA_BYTES_MAX: usize = 64 * 1024;

/// What changes the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Puts a version of a machine in force.
    Define {
        /// The definition, as [`crate::Definition::canonical_json`] gives it.
        canonical_json: String,
        /// Its hash, verified at apply.
        hash: Hash,
    },
    /// Creates an instance in the initial state of the newest version.
    Create {
        /// The machine's name.
        machine: String,
        /// The instance's id.
        id: String,
    },
    /// Moves an instance.
    Propose(Proposal),
}

/// A wish to move an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// The machine's name.
    pub machine: String,
    /// The instance's id.
    pub id: String,
    /// What is wished.
    pub wish: Wish,
    /// A JSON object of at most [`DATA_BYTES_MAX`] bytes, kept in the history.
    pub data: Option<String>,
    /// Where the caller believes the instance to be.
    pub expect: Expect,
}

/// What is wished: an event, or a state that some event leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Take this event.
    Event(String),
    /// Get to this state by the first event, in byte order of the names, that leads there from the current state.
    State(String),
}

/// Where the caller believes the instance to be; otherwise the proposal is rejected with `conflict`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expect {
    /// Its revision.
    pub revision: Option<u64>,
    /// Its state.
    pub state: Option<String>,
}

/// Why a command is refused before the log: no index, no term.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckError {
    /// It makes no sense (HTTP 400).
    #[error("{detail}")]
    Malformed {
        /// What is wrong, and what to write instead.
        detail: String,
    },
    /// It is too large (HTTP 413).
    #[error("{what} has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

impl Command {
    /// Checks what can be checked without the state: names, ids, sizes, that data is a JSON object.
    ///
    /// # Errors
    /// When the command would be refused whatever the state is.
    pub fn check(&self) -> Result<(), CheckError> {
        unimplemented!()
    }
}
