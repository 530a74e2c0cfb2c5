//! The file GIVEN-UP: this folder belonged to a cluster that lost its quorum, and another cluster was made of what was left. The node does
//! not start on it any more: its vote could bring the old cluster back to life beside the new one.

use bytes::{Buf, BufMut};
use quorate_core::types::{ClusterId, NodeId};

use crate::disk::Disk;
use crate::error::LogError;
use crate::small_file;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenUp {
    /// The cluster that was made.
    pub cluster: ClusterId,
    /// Its first node: that whose log was the best of those that were left.
    pub founder: NodeId,
    /// The token of which the name of the new cluster is made, at most 255 bytes.
    pub token: String,
}

impl GivenUp {
    /// Reads the file; none if the folder was not given up.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn read<D: Disk>(disk: &D) -> Result<Option<GivenUp>, LogError> {
        let Some(body) = small_file::read(disk, GIVEN_UP_FILE, GIVEN_UP_MAGIC)? else { return Ok(None) };
        let damaged = |what: &str| LogError::corrupt(GIVEN_UP_FILE, 0, what);
        let mut fields = &body[..];
        if fields.len() < 24 {
            return Err(damaged("the file is too short"));
        }
        let mut cluster = ClusterId([0; 16]);
        fields.copy_to_slice(&mut cluster.0);
        let founder = NodeId::checked(fields.get_u64_le()).ok_or_else(|| damaged("node id zero"))?;
        let token = String::from_utf8(fields.to_vec()).map_err(|_| damaged("the token is no text"))?;
        Ok(Some(GivenUp { cluster, founder, token }))
    }

    /// Writes the file durably: from here on no node starts on the folder.
    ///
    /// # Errors
    /// [`LogError::Io`].
    ///
    /// # Panics
    /// If the token is longer than 255 bytes.
    pub fn write<D: Disk>(&self, disk: &D) -> Result<(), LogError> {
        assert!(self.token.len() <= 255, "a token is short");
        let mut body = self.cluster.0.to_vec();
        body.put_u64_le(self.founder.get());
        body.put_slice(self.token.as_bytes());
        small_file::replace(disk, GIVEN_UP_FILE, GIVEN_UP_MAGIC, &body)
    }
}

const GIVEN_UP_FILE: &str = "GIVEN-UP";
const GIVEN_UP_MAGIC: [u8; 8] = *b"QRTEGUP\n";
