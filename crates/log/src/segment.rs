//! One segment file: its name, its header sector, and how a new one comes to be.
//!
//! ```text
//!  0          8         12        16        32        40       44        52        60        68       76      84       508   512
//!  ├──────────┼─────────┼─────────┼─────────┼─────────┼────────┼─────────┼─────────┼─────────┼────────┼───────┼────────┼─────┤
//!  │ magic    │ version │ group   │ cluster │ segment │ length in bytes  │ previous: end, term, index │ batch │ term, vote … │ CRC │
//!  └──────────┴─────────┴─────────┴─────────┴─────────┴────────┴─────────┴─────────┴─────────┴────────┴───────┴────────┴─────┘
//! ```

use std::io;

use bytes::{Buf, BufMut};
use quorate_core::entry::HardState;
use quorate_core::planted::{self, Bug};
use quorate_core::types::{ClusterId, EntryId, GroupId, NodeId, Term};

use crate::disk::Disk;
use crate::error::LogError;
use crate::record::SECTOR;

/// A place in the log: segment and offset. Ordered as the log was written.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// The first sector of a segment: what the log was when the segment was begun. It is durable before the segment gets its name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    /// The number of the segment, as in its name.
    pub(crate) segment: u64,
    /// The length of the file in bytes.
    pub(crate) len: u64,
    /// Where the last batch of the segment before ends; 0 in the first.
    pub(crate) previous_end: u64,
    /// The last entry of the log: the segment's first entry has at most the next index.
    pub(crate) previous: EntryId,
    /// The number of the first batch.
    pub(crate) batch: u64,
    /// Hard state, repeated so that older segments can go one day.
    pub(crate) hard_state: HardState,
}

impl SegmentHeader {
    /// The sector.
    pub(crate) fn encode(&self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let mut out = &mut sector[..];
        out.put_slice(MAGIC);
        out.put_u32_le(FORMAT_VERSION);
        out.put_u32_le(self.group.0);
        out.put_slice(&self.cluster.0);
        for number in [
            self.segment,
            self.len,
            self.previous_end,
            self.previous.term.0,
            self.previous.index.0,
            self.batch,
            self.hard_state.term.0,
            self.hard_state.vote.map_or(0, NodeId::get),
        ] {
            out.put_u64_le(number);
        }
        let checksum = crc32c::crc32c(&sector[..CHECKED]);
        sector[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        sector
    }

    /// Reads the sector of the file named `file`.
    pub(crate) fn decode(file: &str, sector: &[u8; SECTOR]) -> Result<SegmentHeader, LogError> {
        let (mut fields, mut checksum) = (&sector[..CHECKED], &sector[CHECKED..]);
        let whole = checksum.get_u32_le() == crc32c::crc32c(fields);
        if fields[..8] != *MAGIC {
            return Err(LogError::corrupt(file, 0, "the file does not begin as a segment of the log"));
        }
        fields.advance(8);
        let found = fields.get_u32_le();
        if !whole {
            return Err(LogError::corrupt(file, 0, "the checksum of the segment's header does not match"));
        }
        if found > FORMAT_VERSION {
            return Err(LogError::NewerFormat { file: file.to_owned(), found, max: FORMAT_VERSION });
        }
        let group = GroupId(fields.get_u32_le());
        let mut cluster = ClusterId([0; 16]);
        fields.copy_to_slice(&mut cluster.0);
        Ok(SegmentHeader {
            cluster,
            group,
            segment: fields.get_u64_le(),
            len: fields.get_u64_le(),
            previous_end: fields.get_u64_le(),
            previous: EntryId::new(fields.get_u64_le(), fields.get_u64_le()),
            batch: fields.get_u64_le(),
            hard_state: HardState {
                term: Term(fields.get_u64_le()),
                vote: NodeId::checked(fields.get_u64_le()),
            },
        })
    }
}

/// Makes a segment: written beside, preallocated, synced, only then given its name, and the name made durable. So a file with a
/// segment's name always has its header, and a crash in between leaves only a file that nobody asks for.
///
/// # Errors
/// [`LogError::Full`] while preallocating: then nothing is left. Everything else is fatal.
pub(crate) fn create<D: Disk>(disk: &D, header: &SegmentHeader) -> Result<D::File, LogError> {
    assert!(header.len.is_multiple_of(SECTOR as u64), "a segment is made of whole sectors");
    assert!(header.len > SECTOR as u64, "a segment has room for more than its header");
    let name = segment_name(header.segment);
    let beside = format!("{name}{BESIDE}");
    let failed = |error| LogError::io("cannot make", &beside, error);
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let file = disk.create(&beside).map_err(|error| full_or(&name, header.len, error, failed))?;
    if let Err(error) = disk.allocate(&file, header.len) {
        // What was taken of the last free space is given back; if even that fails, the next start removes it.
        let _ = disk.remove(&beside);
        return Err(full_or(&name, header.len, error, failed));
    }
    disk.write_at(&file, &header.encode(), 0).map_err(failed)?;
    disk.sync(&file).map_err(failed)?;
    disk.rename(&beside, &name).map_err(failed)?;
    if !planted::is(Bug::SegmentNameNotSynced) {
        disk.sync_dir(SEGMENT_DIR).map_err(failed)?;
    }
    Ok(file)
}

fn full_or(
    name: &str,
    bytes: u64,
    error: io::Error,
    otherwise: impl FnOnce(io::Error) -> LogError,
) -> LogError {
    if [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind()) {
        LogError::Full { file: name.to_owned(), bytes }
    } else {
        otherwise(error)
    }
}

/// The name of a segment.
pub(crate) fn segment_name(segment: u64) -> String {
    format!("{SEGMENT_DIR}/{segment:016x}{SUFFIX}")
}

/// The number of the segment with this name within its folder, if it is one's name.
pub(crate) fn segment_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let segment = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(segment).strip_prefix(SEGMENT_DIR)?.strip_prefix('/')? == name).then_some(segment)
}

/// The folder of the segments.
pub(crate) const SEGMENT_DIR: &str = "wal";
/// What the name of a file ends in that is not finished.
pub(crate) const BESIDE: &str = ".tmp";
/// The newest format of segments and small files that this program reads, and the one that it writes.
pub(crate) const FORMAT_VERSION: u32 = 0;
const SUFFIX: &str = ".seg";
const MAGIC: &[u8; 8] = b"QRTELOG\n";
/// Where the header's checksum stands: behind all that it covers.
const CHECKED: usize = SECTOR - 4;
