//! What an application implements: a state, changed by commands in the order that the cluster decided.

use std::io;

use bytes::Bytes;
use quorate_core::types::EntryId;

use crate::request::RequestId;

/// The replicated state machine. `apply` must be a function of its arguments and the state alone: no clock, no chance, no
/// hash-map order, no I/O whose result matters. Whatever else goes wrong inside it must panic: then the node stops.
pub trait StateMachine: Send + 'static {
    /// What changes the state.
    type Command: Codec;
    /// The answer to a command.
    type Reply: Codec;

    /// The highest feature level whose `apply` this binary understands, at least 1. A release that changes what `apply` does with some
    /// command raises it by one, keeps doing the old thing as long as [`Context::level`] is lower, and so may run beside the release before it.
    fn feature_level_max(&self) -> u16 {
        FEATURE_LEVEL_MIN
    }

    /// Applies one command. Called once for each committed command, in log order, on every node.
    fn apply(&mut self, context: &Context, command: Self::Command) -> Self::Reply;

    /// A consistent view of the state, detached from it: it is written elsewhere while `apply` goes on.
    fn snapshot(&self) -> Snapshot;

    /// Replaces the state by one that `snapshot` wrote.
    ///
    /// # Errors
    /// When the source cannot be read or does not hold a state.
    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()>;
}

/// Writes a detached view of a state; called once.
pub type Snapshot = Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send>;

/// What `apply` may know of the entry that it applies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    /// Term and index of the entry.
    pub entry: EntryId,
    /// The leader's wall clock when the entry was made, in milliseconds since 1970; never falls along the log.
    pub timestamp_ms: u64,
    /// Who asked, if the proposal said so.
    pub actor: Option<String>,
    /// The request id, if the caller gave one (not one that the node made itself). It shows itself in words.
    pub request_id: Option<RequestId>,
    /// The feature level of the cluster at this entry: the same on all nodes, whatever their binaries know. It rises once every member
    /// understands a higher one, and never falls.
    pub level: u16,
}

/// The feature level of every cluster before it was ever raised.
pub const FEATURE_LEVEL_MIN: u16 = 1;

/// How a command or reply becomes bytes. One small trait, so that applications need no serialization framework.
pub trait Codec: Sized + Send + 'static {
    /// Appends the value to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a value that fills all of `bytes`.
    ///
    /// # Errors
    /// When the bytes are no such value. A command that does not decode is refused alike on every node.
    fn decode(bytes: &Bytes) -> Result<Self, DecodeError>;
}

/// The bytes are no such value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct DecodeError {
    /// What was expected and what was found.
    pub what: String,
}

impl Codec for () {
    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(bytes: &Bytes) -> Result<(), DecodeError> {
        if bytes.is_empty() { Ok(()) } else { Err(DecodeError::expected("no bytes", bytes)) }
    }
}

impl Codec for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &Bytes) -> Result<Bytes, DecodeError> {
        Ok(bytes.clone())
    }
}

impl Codec for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &Bytes) -> Result<Vec<u8>, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl Codec for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &Bytes) -> Result<String, DecodeError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::expected("UTF-8", bytes)),
        }
    }
}

impl Codec for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn decode(bytes: &Bytes) -> Result<u64, DecodeError> {
        match bytes[..].try_into() {
            Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
            Err(_) => Err(DecodeError::expected("eight bytes", bytes)),
        }
    }
}

impl Codec for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn decode(bytes: &Bytes) -> Result<i64, DecodeError> {
        match bytes[..].try_into() {
            Ok(bytes) => Ok(i64::from_le_bytes(bytes)),
            Err(_) => Err(DecodeError::expected("eight bytes", bytes)),
        }
    }
}

impl DecodeError {
    /// `what` was expected in place of `found`; of which only the length is told.
    fn expected(what: &str, found: &Bytes) -> DecodeError {
        DecodeError { what: format!("expected {what}, found {} bytes", found.len()) }
    }
}
