//! The commands of the registry: what stands in the log, and what is checked before it gets there.

use bytes::Bytes;
use quorate_replica::state_machine::{Codec, DecodeError};

use crate::any_object::AnyObject;
use crate::hash::Hash;
use crate::names::{check_id, check_name};
use crate::wire::{Fields, Writer, fail};

/// The most bytes that the data of a proposal may have.
pub const DATA_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that a definition may have in canonical form.
pub const DEFINITION_BYTES_MAX: usize = 1024 * 1024;

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
    /// Checks what can be checked without the state: names, ids, sizes, that data is a JSON object. Done before the log, where
    /// a refusal costs nothing, and again at apply.
    ///
    /// # Errors
    /// When the command would be refused whatever the state is.
    pub fn check(&self) -> Result<(), CheckError> {
        match self {
            Command::Define { canonical_json, .. } => {
                at_most("the definition", canonical_json.len(), DEFINITION_BYTES_MAX)
            }
            Command::Create { machine, id } => check_place(machine, id),
            Command::Propose(proposal) => proposal.check(),
        }
    }
}

impl Proposal {
    fn check(&self) -> Result<(), CheckError> {
        check_place(&self.machine, &self.id)?;
        let (what, name) = match &self.wish {
            Wish::Event(name) => ("event", name),
            Wish::State(name) => ("to", name),
        };
        check_name(name).map_err(|detail| CheckError::Malformed { detail: format!("{what}: {detail}") })?;
        if let Some(state) = &self.expect.state {
            let malformed = |detail| CheckError::Malformed { detail: format!("expect.state: {detail}") };
            check_name(state).map_err(malformed)?;
        }
        let Some(data) = &self.data else { return Ok(()) };
        at_most("data", data.len(), DATA_BYTES_MAX)?;
        match serde_json::from_str::<AnyObject>(data) {
            Ok(AnyObject) => Ok(()),
            Err(error) => Err(CheckError::Malformed { detail: format!("data: {error}") }),
        }
    }
}

fn check_place(machine: &str, id: &str) -> Result<(), CheckError> {
    check_name(machine).map_err(|detail| CheckError::Malformed { detail: format!("machine: {detail}") })?;
    check_id(id).map_err(|detail| CheckError::Malformed { detail: format!("id: {detail}") })
}

fn at_most(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), CheckError> {
    if bytes > bytes_max { Err(CheckError::TooLarge { what, bytes, bytes_max }) } else { Ok(()) }
}

impl Codec for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Command::Define { canonical_json, hash } => {
                Writer::new(out, KIND_DEFINE).text(1, canonical_json).bytes(2, &hash.0);
            }
            Command::Create { machine, id } => {
                Writer::new(out, KIND_CREATE).text(1, machine).text(2, id);
            }
            Command::Propose(proposal) => {
                let mut writer = Writer::new(out, KIND_PROPOSE);
                writer.text(1, &proposal.machine).text(2, &proposal.id);
                match &proposal.wish {
                    Wish::Event(name) => writer.text(3, name),
                    Wish::State(name) => writer.text(4, name),
                };
                if let Some(data) = &proposal.data {
                    writer.text(5, data);
                }
                if let Some(revision) = proposal.expect.revision {
                    writer.number(6, revision);
                }
                if let Some(state) = &proposal.expect.state {
                    writer.text(7, state);
                }
            }
        }
    }

    fn decode(bytes: &Bytes) -> Result<Command, DecodeError> {
        let (kind, mut fields) = Fields::read(bytes)?;
        let command = match kind {
            KIND_DEFINE => {
                Command::Define { canonical_json: fields.string(1)?, hash: Hash::read(fields.bytes(2)?)? }
            }
            KIND_CREATE => Command::Create { machine: fields.string(1)?, id: fields.string(2)? },
            KIND_PROPOSE => Command::Propose(Proposal {
                machine: fields.string(1)?,
                id: fields.string(2)?,
                wish: match (fields.optional_string(3)?, fields.optional_string(4)?) {
                    (Some(event), None) => Wish::Event(event),
                    (None, Some(state)) => Wish::State(state),
                    _ => return Err(fail("a proposal names an event or a state, and not both")),
                },
                data: fields.optional_string(5)?,
                expect: Expect { revision: fields.optional_number(6)?, state: fields.optional_string(7)? },
            }),
            other => return Err(fail(format!("command kind {other} is not known to this version"))),
        };
        fields.end()?;
        Ok(command)
    }
}

const KIND_DEFINE: u8 = 1;
const KIND_CREATE: u8 = 2;
const KIND_PROPOSE: u8 = 3;
