//! The name of a definition's content.

use std::fmt;

use quorate_replica::state_machine::DecodeError;

use crate::wire::fail;

/// The SHA-256 of a definition's canonical JSON. Shown as 64 hexadecimal digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash whose 32 bytes these are.
    pub(crate) fn read(bytes: &[u8]) -> Result<Hash, DecodeError> {
        bytes.try_into().map(Hash).map_err(|_| fail("a hash has 32 bytes"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
