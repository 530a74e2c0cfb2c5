//! One record: the frame around everything that stands in a segment after its header.
//!
//! ```text
//!  0        4        8   9       12       16       24       32             40
//!  ├────────┼────────┼───┼────────┼────────┼────────┼────────┼──────────────┼────────────────┬─ ─ ─ ─┐
//!  │ CRC-32C│ length │ K │ zero   │ group  │ term   │ index  │ timestamp ms │ body           │ zeros │
//!  └────────┴────────┴───┴────────┴────────┴────────┴────────┴──────────────┴────────────────┴─ ─ ─ ─┘
//! ```
//! Numbers are little-endian. The length counts header and body; zeros follow up to a multiple of 8. A length of zero is no record:
//! nothing more stands in this sector. The checksum covers all from byte 4 to the end of the body, and before that, unwritten, the
//! cluster, the segment and the offset: a record that the disk put elsewhere, or that an older file left there, betrays itself.

use bytes::{Buf, BufMut, BytesMut};
use quorate_core::types::{ClusterId, GroupId};

/// What the checksums of one segment start from.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    /// The seed of a segment of a cluster.
    pub(crate) fn new(cluster: ClusterId, segment: u64) -> Seed {
        Seed(crc32c::crc32c_append(crc32c::crc32c(&cluster.0), &segment.to_le_bytes()))
    }

    /// The checksum of a record at `offset` of which `covered` is all but the first four bytes.
    fn checksum(self, offset: u64, covered: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &offset.to_le_bytes()), covered)
    }
}

/// What a record is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The first record of a batch.
    Start = 1,
    /// An entry without a payload.
    Noop = 2,
    /// An entry with a command.
    Command = 3,
    /// An entry with a membership.
    Membership = 4,
    /// Term and vote.
    HardState = 5,
    /// The sector that ends a batch.
    Footer = 6,
    /// The sector that ends a segment: it names the next one.
    Seal = 7,
    /// The entry without a payload that a damaged record held.
    RepairedNoop = 8,
    /// The entry with a command that a damaged record held.
    RepairedCommand = 9,
    /// The entry with a membership that a damaged record held.
    RepairedMembership = 10,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        const KINDS: [Kind; 10] = [
            Kind::Start,
            Kind::Noop,
            Kind::Command,
            Kind::Membership,
            Kind::HardState,
            Kind::Footer,
            Kind::Seal,
            Kind::RepairedNoop,
            Kind::RepairedCommand,
            Kind::RepairedMembership,
        ];
        KINDS.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether it is an entry that is appended to the log.
    pub(crate) fn is_entry(self) -> bool {
        matches!(self, Kind::Noop | Kind::Command | Kind::Membership)
    }

    /// Whether it gives an entry of the log its bytes back.
    pub(crate) fn is_repair(self) -> bool {
        matches!(self, Kind::RepairedNoop | Kind::RepairedCommand | Kind::RepairedMembership)
    }
}

/// The fields of a record's header that mean something. Term, index and timestamp are zero for what is no entry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) group: GroupId,
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) timestamp_ms: u64,
}

impl Head {
    /// The header of a record that is no entry.
    pub(crate) fn plain(kind: Kind, group: GroupId) -> Head {
        Head { kind, group, term: 0, index: 0, timestamp_ms: 0 }
    }
}

/// A record that was read and whose checksum is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) head: Head,
    /// Where the body stands in the bytes that were given.
    pub(crate) body: std::ops::Range<usize>,
    /// Where the next record can stand, in the bytes that were given.
    pub(crate) next: usize,
}

/// What stands at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A record.
    Record(Record),
    /// Nothing more in this sector.
    Nothing,
    /// The bytes that were given end before the record does; this many from its start on are needed.
    CutOff(usize),
    /// Something that is no record of this place; why.
    Flawed(&'static str),
}

/// Appends a record. `base` is the place in the file of `out`'s first byte.
pub(crate) fn push(out: &mut BytesMut, seed: Seed, base: u64, head: Head, body: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    assert!((base + at as u64).is_multiple_of(ALIGN as u64), "records stand at multiples of 8");
    out.put_bytes(0, HEAD_LEN);
    body(out);
    put_head(&mut out[at..], seed, base + at as u64, head);
    out.put_bytes(0, out.len().next_multiple_of(ALIGN) - out.len());
}

/// Fills in the header of a record whose body stands in place already, in `record[HEAD_LEN..]`.
pub(crate) fn put_head(record: &mut [u8], seed: Seed, offset: u64, head: Head) {
    let len = u32::try_from(record.len()).expect("the writer checked that entries are far below 4 GiB");
    record[4..8].copy_from_slice(&len.to_le_bytes());
    record[8..12].copy_from_slice(&[head.kind as u8, 0, 0, 0]);
    record[12..16].copy_from_slice(&head.group.0.to_le_bytes());
    record[16..24].copy_from_slice(&head.term.to_le_bytes());
    record[24..32].copy_from_slice(&head.index.to_le_bytes());
    record[32..40].copy_from_slice(&head.timestamp_ms.to_le_bytes());
    let checksum = seed.checksum(offset, &record[4..]);
    record[0..4].copy_from_slice(&checksum.to_le_bytes());
}

/// Looks at what stands at `at` in `bytes`, whose first byte stands at `base` in the file. Never panics, whatever the bytes are.
pub(crate) fn look(bytes: &[u8], at: usize, seed: Seed, base: u64) -> Found {
    let Some(rest) = bytes.get(at..) else { return Found::CutOff(8) };
    let Some(mut start) = rest.get(..8) else { return Found::CutOff(8) };
    let checksum = start.get_u32_le();
    let len = start.get_u32_le() as usize;
    if len == 0 {
        return if checksum == 0 { Found::Nothing } else { Found::Flawed("a record without a length") };
    }
    if len < HEAD_LEN {
        return Found::Flawed("a record shorter than its header");
    }
    let Some(record) = rest.get(..len.next_multiple_of(ALIGN)) else {
        return Found::CutOff(len.next_multiple_of(ALIGN));
    };
    if seed.checksum(base + at as u64, &record[4..len]) != checksum {
        return Found::Flawed("the checksum does not match the bytes at this place");
    }
    if record[len..].iter().any(|byte| *byte != 0) {
        return Found::Flawed("the padding after a record is not zero");
    }
    let Some(kind) = Kind::of(record[8]) else {
        return Found::Flawed("a record of a kind that is not known");
    };
    let mut fields = &record[12..HEAD_LEN];
    let head = Head {
        kind,
        group: GroupId(fields.get_u32_le()),
        term: fields.get_u64_le(),
        index: fields.get_u64_le(),
        timestamp_ms: fields.get_u64_le(),
    };
    Found::Record(Record { head, body: at + HEAD_LEN..at + len, next: at + len.next_multiple_of(ALIGN) })
}

/// Whether the first bytes here look as those of a record of this group do. Cheap: what it is for is to find the next record behind a
/// damaged one, and only [`look`] says whether it is one.
pub(crate) fn may_begin(bytes: &[u8], group: GroupId) -> bool {
    let Some(head) = bytes.first_chunk::<16>() else { return false };
    Kind::of(head[8]).is_some() && head[9..12] == [0; 3] && head[12..] == group.0.to_le_bytes()
}

/// Whether these bytes are all zero. A sector that was never written reads so, because segments are made fresh and what a recovery
/// cuts is zeroed.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// The length of a record's header in bytes.
pub(crate) const HEAD_LEN: usize = 40;
/// Records start at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// What a disk writes whole or not at all, in bytes.
pub(crate) const SECTOR: usize = 512;
/// What empty places are compared with: a free segment is compared in milliseconds.
static ZEROS: [u8; 4096] = [0; 4096];
