//! What the protocol must know of a snapshot beside the state in it (thesis 5.1): the last entry that it covers, so that log
//! and snapshot can be seen to meet, and the members in force there, because the entry that named them may be compacted.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::{DecodeError, done, need, put_id, take_id, take_number};
use crate::entry::Membership;
use crate::types::{EntryId, Index, Term};

/// What a snapshot covers.
///
/// Invariant: it covers committed entries only, and all of them up to its last. So it is true in every term and on every node, and
/// whoever holds one may give it to whoever lacks it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotMeta {
    /// The last entry that it covers.
    pub last: EntryId,
    /// The term of the node that took it, at least that in which the last entry was committed. Whoever takes the snapshot over, or starts
    /// from it, adopts this term: in an older one it could answer a leader about other entries under the same indices.
    pub term: Term,
    /// The timestamp of that entry in milliseconds: time never falls along the log, also where the log begins after it.
    pub timestamp_ms: u64,
    /// The index of the newest membership entry that it covers. Invariant: at most that of `last`.
    pub membership_index: Index,
    /// The members that this entry names.
    pub membership: Arc<Membership>,
}

/// Names one snapshot down to its bytes: two nodes may write the state of the same index in different bytes, and pieces of the two
/// must never be mixed.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SnapshotName {
    /// The last entry that it covers.
    pub last: EntryId,
    /// Its length in bytes, all that surrounds the state included.
    pub bytes: u64,
    /// A checksum over the whole state.
    pub check: u32,
}

impl SnapshotMeta {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        META_FIXED_BYTES + self.membership.encoded_len()
    }

    /// Appends the binary form: last term u64, last index u64, term u64, timestamp_ms u64, membership index u64, membership.
    pub fn encode(&self, out: &mut BytesMut) {
        put_id(out, self.last);
        out.put_u64_le(self.term.0);
        out.put_u64_le(self.timestamp_ms);
        out.put_u64_le(self.membership_index.0);
        self.membership.encode(out);
    }

    /// Takes what fills `bytes` to the last one.
    ///
    /// # Errors
    /// If the bytes are not exactly that.
    pub fn decode(bytes: &mut Bytes) -> Result<SnapshotMeta, DecodeError> {
        let last = take_id(bytes)?;
        let term = Term(take_number(bytes, "a term")?);
        need(bytes, 8)?;
        let timestamp_ms = bytes.get_u64_le();
        let membership_index = Index(take_number(bytes, "an index")?);
        let membership = Arc::new(Membership::decode(bytes)?);
        done(bytes)?;
        if membership_index > last.index || last.index == Index(0) {
            return Err(DecodeError::Invalid("the place of a membership"));
        }
        if term < last.term {
            return Err(DecodeError::Invalid("the term of a snapshot"));
        }
        Ok(SnapshotMeta { last, term, timestamp_ms, membership_index, membership })
    }
}

const META_FIXED_BYTES: usize = 16 + 8 + 8 + 8;
