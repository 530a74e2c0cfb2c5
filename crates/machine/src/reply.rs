//! The answers of the registry to its commands.

use bytes::Bytes;
use quorate_replica::state_machine::{Codec, DecodeError};

use crate::hash::Hash;
use crate::outcome::{Committed, Ignored, Outcome, Rejected, Standing};
use crate::why::Why;
use crate::wire::{Fields, Writer, fail, put_bytes, take_text};

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
    /// The content is no canonical definition. Why not shows [`Definition::from_canonical_json`](crate::Definition::from_canonical_json).
    Invalid,
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

impl Codec for Reply {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Defined(defined) => encode_defined(defined, out),
            Reply::Created(created) => {
                let mut writer = Writer::new(out, KIND_CREATED);
                writer.number(1, created.index).number(2, created.term);
                writer.text(3, &created.machine).text(4, &created.id).text(5, &created.state);
                writer.number(6, created.revision).number(7, created.version);
            }
            Reply::Outcome(Outcome::Committed(committed)) => {
                let mut writer = Writer::new(out, KIND_COMMITTED);
                writer.number(1, committed.index).number(2, committed.term);
                writer.text(3, &committed.event).text(4, &committed.from).text(5, &committed.to);
                writer.number(6, committed.revision).number(7, committed.version);
            }
            Reply::Outcome(Outcome::Ignored(ignored)) => {
                let mut writer = Writer::new(out, KIND_IGNORED);
                writer.number(1, ignored.index).number(2, ignored.term);
                writer.text(3, &ignored.event).text(4, &ignored.state);
                writer.number(6, ignored.revision).number(7, ignored.version);
            }
            Reply::Outcome(Outcome::Rejected(rejected)) => encode_rejected(rejected, out),
        }
    }

    fn decode(bytes: &Bytes) -> Result<Reply, DecodeError> {
        let (kind, mut fields) = Fields::read(bytes)?;
        let (index, term) = (fields.number(1)?, fields.number(2)?);
        let reply = match kind {
            KIND_DEFINED => Reply::Defined(decode_defined(&mut fields, index, term)?),
            KIND_CREATED => Reply::Created(Created {
                machine: fields.string(3)?,
                id: fields.string(4)?,
                state: fields.string(5)?,
                revision: fields.number(6)?,
                version: fields.number(7)?,
                index,
                term,
            }),
            KIND_COMMITTED => Reply::Outcome(Outcome::Committed(Committed {
                event: fields.string(3)?,
                from: fields.string(4)?,
                to: fields.string(5)?,
                revision: fields.number(6)?,
                version: fields.number(7)?,
                index,
                term,
            })),
            KIND_IGNORED => Reply::Outcome(Outcome::Ignored(Ignored {
                event: fields.string(3)?,
                state: fields.string(4)?,
                revision: fields.number(6)?,
                version: fields.number(7)?,
                index,
                term,
            })),
            KIND_REJECTED => Reply::Outcome(Outcome::Rejected(decode_rejected(&mut fields, index, term)?)),
            other => return Err(fail(format!("reply kind {other} is not known to this version"))),
        };
        fields.end()?;
        Ok(reply)
    }
}

fn encode_defined(defined: &Defined, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out, KIND_DEFINED);
    writer.number(1, defined.index).number(2, defined.term);
    writer.text(3, &defined.machine).number(4, defined.version).bytes(5, &defined.hash.0);
    match &defined.outcome {
        DefineOutcome::New => writer.number(6, 0),
        DefineOutcome::Unchanged => writer.number(6, 1),
        DefineOutcome::VersionTaken { hash } => writer.number(6, 2).bytes(7, &hash.0),
        DefineOutcome::NotNewer { latest } => writer.number(6, 3).number(8, *latest),
        DefineOutcome::HashMismatch { actual } => writer.number(6, 4).bytes(7, &actual.0),
        DefineOutcome::Invalid => writer.number(6, 5),
        DefineOutcome::LimitReached { definitions_max } => {
            writer.number(6, 6).number(8, *definitions_max as u64)
        }
    };
}

fn decode_defined(fields: &mut Fields<'_>, index: u64, term: u64) -> Result<Defined, DecodeError> {
    Ok(Defined {
        machine: fields.string(3)?,
        version: fields.number(4)?,
        hash: Hash::read(fields.bytes(5)?)?,
        outcome: match fields.number(6)? {
            0 => DefineOutcome::New,
            1 => DefineOutcome::Unchanged,
            2 => DefineOutcome::VersionTaken { hash: Hash::read(fields.bytes(7)?)? },
            3 => DefineOutcome::NotNewer { latest: fields.number(8)? },
            4 => DefineOutcome::HashMismatch { actual: Hash::read(fields.bytes(7)?)? },
            5 => DefineOutcome::Invalid,
            6 => DefineOutcome::LimitReached {
                definitions_max: usize::try_from(fields.number(8)?)
                    .map_err(|_| fail("a limit that no memory holds"))?,
            },
            other => {
                return Err(fail(format!("answer {other} to a definition is not known to this version")));
            }
        },
        index,
        term,
    })
}

fn encode_rejected(rejected: &Rejected, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out, KIND_REJECTED);
    writer.number(1, rejected.index).number(2, rejected.term);
    rejected.why.encode(&mut writer);
    if let Some(standing) = &rejected.standing {
        let mut allowed = Vec::new();
        standing.allowed.iter().for_each(|event| put_bytes(&mut allowed, event.as_bytes()));
        writer.text(5, &standing.state).number(6, standing.revision).number(7, standing.version);
        writer.bytes(8, &allowed);
    }
}

fn decode_rejected(fields: &mut Fields<'_>, index: u64, term: u64) -> Result<Rejected, DecodeError> {
    let why = Why::decode(fields)?;
    let standing = match fields.optional_string(5)? {
        None => None,
        Some(state) => {
            let (revision, version) = (fields.number(6)?, fields.number(7)?);
            let mut rest = fields.bytes(8)?;
            let mut allowed = Vec::new();
            while !rest.is_empty() {
                allowed.push(take_text(&mut rest)?.to_owned());
            }
            Some(Standing { state, allowed, revision, version })
        }
    };
    Ok(Rejected { why, standing, index, term })
}

const KIND_DEFINED: u8 = 1;
const KIND_CREATED: u8 = 2;
const KIND_COMMITTED: u8 = 3;
const KIND_IGNORED: u8 = 4;
const KIND_REJECTED: u8 = 5;
