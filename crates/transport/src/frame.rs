//! The frame: what stands between two TCP connections' endless bytes and one message. Its byte diagram is in
//! docs/wire-format.md.
//!
//! ```text
//!  0        4      5       6        8          12
//!  ┌────────┬──────┬───────┬────────┬──────────┬───────── ─ ─ ─┐
//!  │ length │ kind │ flags │ check  │  CRC-32C │ body          │
//!  └────────┴──────┴───────┴────────┴──────────┴───────── ─ ─ ─┘
//!    u32      u8     u8      u16      u32         length bytes           little endian
//! ```
//! TCP's own 16-bit sum lets about one corrupt segment in 65,536 pass, and network cards and middle boxes recompute it; so
//! each frame has a checksum of its own. The header has a small check besides, because a wrong length would otherwise be
//! noticed only after that many bytes have come, which may be never.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::FrameError;

/// How many bytes stand before a frame's body.
pub const FRAME_HEADER_BYTES: usize = 12;

/// Below this share of the read buffer a body is copied out of it: see [`FrameReader`].
const COPY_SHARE: usize = 8;

/// Each read has room for at least this share of the read buffer, else a new buffer is taken.
const SPARE_SHARE: usize = 4;

/// One message between two nodes: opaque here but for its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is. Given a meaning by the caller.
    pub kind: u8,
    /// The encoded message.
    pub body: Bytes,
}

impl Frame {
    /// How many bytes the frame takes on the wire, header included.
    pub fn wire_len_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body.len()
    }

    /// Appends the frame's bytes.
    ///
    /// # Panics
    /// If the body does not fit a 32-bit length; [`crate::Link::try_send`] refuses such a frame.
    pub fn encode(&self, into: &mut BytesMut) {
        let length = u32::try_from(self.body.len()).expect("the sender checks the limit, which fits 32 bits");
        let mut head = [0u8; 8];
        head[0..4].copy_from_slice(&length.to_le_bytes());
        head[4] = self.kind;
        let check = header_check(&head);
        head[6..8].copy_from_slice(&check.to_le_bytes());
        into.reserve(self.wire_len_bytes());
        into.put_slice(&head);
        into.put_u32_le(crc32c::crc32c_append(crc32c::crc32c(&head), &self.body));
        into.put_slice(&self.body);
    }
}

/// Cuts what one connection brings into frames.
///
/// The body of a frame is a slice of the buffer that the socket was read into, so a large message is never copied on its way
/// in. A body below an eighth of the read buffer is copied out instead: a single small entry that stays in memory for long
/// would otherwise keep the whole buffer alive, and memory would be bounded only in entries, not in bytes.
///
/// After an error the reader must not be used again: where the next frame starts is unknown.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    body_bytes_max: usize,
    read_buffer_bytes: usize,
    /// How many bytes the frame at the front is known to need; 0 while its header is not complete.
    wanted_bytes: usize,
}

impl FrameReader {
    /// A reader that refuses bodies above `body_bytes_max` and reads up to `read_buffer_bytes` at once.
    pub fn new(body_bytes_max: usize, read_buffer_bytes: usize) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), body_bytes_max, read_buffer_bytes, wanted_bytes: 0 }
    }

    /// The buffer to read the next bytes into, with room for them. Bytes are only ever appended to it.
    ///
    /// Memory is taken for one read buffer, or for the frame at the front once its header has been found intact and its
    /// length within the limit.
    pub fn space(&mut self) -> &mut BytesMut {
        let missing = self.wanted_bytes.saturating_sub(self.buffer.len());
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < missing.max(self.read_buffer_bytes / SPARE_SHARE).max(1) {
            self.buffer.reserve(missing.max(self.read_buffer_bytes));
        }
        &mut self.buffer
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The bytes are not a frame, or not one that may be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let head = *head;
        let length = self.check_header(&head)?;
        let whole = FRAME_HEADER_BYTES + length;
        self.wanted_bytes = whole;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let body = &self.buffer[FRAME_HEADER_BYTES..whole];
        let found = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        let computed = crc32c::crc32c_append(crc32c::crc32c(&head[0..8]), body);
        if found != computed {
            return Err(FrameError::Corrupt { found, computed });
        }
        let body = self.take_body(length);
        self.wanted_bytes = 0;
        Ok(Some(Frame { kind: head[4], body }))
    }

    /// To be called when the connection has ended.
    ///
    /// # Errors
    /// It ended within a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated { have_bytes: self.buffer.len() })
        }
    }

    /// How many bytes of memory the reader holds.
    pub fn capacity_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The length of the body, once the header is found intact.
    fn check_header(&self, head: &[u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameError> {
        let found = u16::from_le_bytes([head[6], head[7]]);
        let computed = header_check(head);
        if found != computed {
            return Err(FrameError::HeaderCorrupt { found, computed });
        }
        if head[5] != 0 {
            return Err(FrameError::UnknownFlags { flags: head[5] });
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let max = self.body_bytes_max;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= max)
            .ok_or(FrameError::TooLarge { len_bytes: u64::from(length), max_bytes: max as u64 })
    }

    fn take_body(&mut self, length: usize) -> Bytes {
        self.buffer.advance(FRAME_HEADER_BYTES);
        if length < self.read_buffer_bytes / COPY_SHARE {
            let body = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            body
        } else {
            self.buffer.split_to(length).freeze()
        }
    }
}

/// The check of length, kind and flags: the low half of their CRC-32C, turned over so that a header of zeros is not intact.
fn header_check(head: &[u8]) -> u16 {
    let [low, high, _, _] = (!crc32c::crc32c(&head[0..6])).to_le_bytes();
    u16::from_le_bytes([low, high])
}
