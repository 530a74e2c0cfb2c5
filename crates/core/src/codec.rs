//! The one binary form of entries, memberships, hard state and envelopes, for log, wire and simulator. Pure.

use bytes::{Bytes, BytesMut};

use crate::entry::{Entry, HardState, Membership};
use crate::message::Envelope;

/// Why bytes are not what they should be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The bytes end too early.
    Truncated,
    /// Bytes are left over.
    Trailing,
    /// A field has a value that is not allowed; which one.
    Invalid(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Truncated => f.write_str("the bytes end too early"),
            DecodeError::Trailing => f.write_str("bytes are left over"),
            DecodeError::Invalid(what) => write!(f, "{what} has a value that is not allowed"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl Entry {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        unimplemented!()
    }
    /// Appends the binary form.
    pub fn encode(&self, _out: &mut BytesMut) {
        unimplemented!()
    }
    /// Takes one entry from the front of `bytes`; a command is a slice of it. Does not look at what follows.
    pub fn decode(_bytes: &mut Bytes) -> Result<Entry, DecodeError> {
        unimplemented!()
    }
}

impl Membership {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        unimplemented!()
    }
    /// Appends the binary form.
    pub fn encode(&self, _out: &mut BytesMut) {
        unimplemented!()
    }
    /// Takes one membership from the front of `bytes`. Does not look at what follows.
    pub fn decode(_bytes: &mut Bytes) -> Result<Membership, DecodeError> {
        unimplemented!()
    }
}

impl HardState {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        unimplemented!()
    }
    /// Appends the binary form.
    pub fn encode(&self, _out: &mut BytesMut) {
        unimplemented!()
    }
    /// Takes one hard state from the front of `bytes`. Does not look at what follows.
    pub fn decode(_bytes: &mut Bytes) -> Result<HardState, DecodeError> {
        unimplemented!()
    }
}

impl Envelope {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        unimplemented!()
    }
    /// Appends the binary form.
    pub fn encode(&self, _out: &mut BytesMut) {
        unimplemented!()
    }
    /// Takes one envelope, which must fill `bytes` to the last one.
    pub fn decode(_bytes: &mut Bytes) -> Result<Envelope, DecodeError> {
        unimplemented!()
    }
}
