//! Entries read back from the log, on another thread than the writer's: for a peer behind the window in memory.

use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{ClusterId, EntryId, Index};

use crate::disk::Disk;
use crate::error::LogError;
use crate::index::Extent;
use crate::record::{self, Found, Head, Kind, SECTOR, Seed};
use crate::segment::segment_name;

/// Where some entries stand. What stands there never changes: the log is only ever appended to, also by what truncates it, and
/// each read names its own offset, so that the writer may go on meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadPlan {
    pub(crate) cluster: ClusterId,
    /// Invariant: consecutive; the first holds `from`.
    pub(crate) extents: Vec<Extent>,
    pub(crate) from: Index,
    pub(crate) through: Index,
    pub(crate) bytes_max: usize,
}

impl ReadPlan {
    /// Reads and checks the entries: at least one, then as many as fit the plan's bytes.
    ///
    /// # Errors
    /// [`LogError::Compacted`] if the log let go of them since the plan was made; [`LogError::Io`], and [`LogError::Corrupt`] if the disk no
    /// longer holds what was written.
    pub fn read<D: Disk>(&self, disk: &D) -> Result<Vec<Entry>, LogError> {
        let mut taken = Taken { entries: Vec::new(), bytes: 0 };
        for extent in &self.extents {
            if !self.read_extent(disk, extent, &mut taken)? {
                break;
            }
        }
        Ok(taken.entries)
    }

    /// Reads one extent; false when the plan's bytes are full.
    fn read_extent<D: Disk>(&self, disk: &D, extent: &Extent, taken: &mut Taken) -> Result<bool, LogError> {
        let name = segment_name(extent.place.segment);
        let failed = |error| LogError::io("cannot read", &name, error);
        let seed = Seed::new(self.cluster, extent.place.segment);
        let file = match disk.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LogError::Compacted { file: name.clone() });
            }
            Err(error) => return Err(failed(error)),
        };
        let file_len = disk.len(&file).map_err(failed)?;
        let last = extent.last.min(self.through);
        let (mut offset, mut expected, mut wanted) = (extent.place.offset, extent.first, CHUNK_BYTES);
        while expected <= last {
            let chunk = read_chunk(disk, &file, offset, wanted).map_err(failed)?;
            let mut at = 0;
            wanted = CHUNK_BYTES;
            while expected <= last {
                match record::look(&chunk, at, seed, offset) {
                    Found::Record(found) => {
                        if let Some(entry) = entry_of(&found.head, chunk.slice(found.body.clone()))
                            .map_err(|what| LogError::corrupt(&name, offset + at as u64, what))?
                        {
                            if entry.id.index != expected {
                                return Err(LogError::corrupt(
                                    &name,
                                    offset + at as u64,
                                    "another entry than was written here",
                                ));
                            }
                            expected = expected.next();
                            if entry.id.index >= self.from && !taken.take(entry, self.bytes_max) {
                                return Ok(false);
                            }
                        }
                        at = found.next;
                    }
                    Found::Nothing if !(offset + at as u64).is_multiple_of(SECTOR as u64) => {
                        at = next_sector(offset, at);
                    }
                    Found::CutOff(needed) if offset + ((at + needed) as u64) <= file_len => {
                        wanted = needed.max(CHUNK_BYTES);
                        break;
                    }
                    Found::CutOff(_) | Found::Nothing => {
                        return Err(LogError::corrupt(
                            &name,
                            offset + at as u64,
                            "an entry that was here is gone",
                        ));
                    }
                    Found::Flawed(what) => return Err(LogError::corrupt(&name, offset + at as u64, what)),
                }
            }
            offset += at as u64;
        }
        Ok(true)
    }
}

struct Taken {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Taken {
    /// Takes the entry unless the plan is full; the first one always.
    fn take(&mut self, entry: Entry, bytes_max: usize) -> bool {
        self.bytes += entry_bytes(&entry.payload);
        if self.bytes > bytes_max && !self.entries.is_empty() {
            return false;
        }
        self.entries.push(entry);
        true
    }
}

/// The entry of a record; none if it is no entry's. A command stays a slice of `body`.
pub(crate) fn entry_of(head: &Head, mut body: Bytes) -> Result<Option<Entry>, String> {
    let payload = match head.kind {
        Kind::Noop if body.is_empty() => Payload::Noop,
        Kind::Noop => return Err("a no-op with a body".to_owned()),
        Kind::Command => Payload::Command(body),
        Kind::Membership => {
            let membership =
                Membership::decode(&mut body).map_err(|error| format!("a membership: {error}"))?;
            if !body.is_empty() {
                return Err("bytes are left over after a membership".to_owned());
            }
            Payload::Membership(Arc::new(membership))
        }
        Kind::Start | Kind::HardState | Kind::Footer | Kind::Seal => return Ok(None),
    };
    Ok(Some(Entry { id: EntryId::new(head.term, head.index), timestamp_ms: head.timestamp_ms, payload }))
}

/// What an entry counts against limits in bytes: its payload and a constant for the rest.
pub(crate) fn entry_bytes(payload: &Payload) -> usize {
    ENTRY_OVERHEAD_BYTES
        + match payload {
            Payload::Noop => 0,
            Payload::Command(command) => command.len(),
            Payload::Membership(membership) => membership.encoded_len(),
        }
}

/// Reads up to `wanted` bytes at `offset`; fewer only at the end of the file.
pub(crate) fn read_chunk<D: Disk>(
    disk: &D,
    file: &D::File,
    offset: u64,
    wanted: usize,
) -> std::io::Result<Bytes> {
    let mut chunk = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match disk.read_at(file, &mut chunk[filled..], offset + filled as u64)? {
            0 => break,
            got => filled += got,
        }
    }
    chunk.truncate(filled);
    Ok(Bytes::from(chunk))
}

/// The first sector boundary after `at`, relative to `offset` as `at` is.
fn next_sector(offset: u64, at: usize) -> usize {
    let sector = SECTOR as u64;
    let next = (offset + at as u64 + 1).next_multiple_of(sector);
    usize::try_from(next - offset).expect("the next sector is at most 512 bytes away from a place in memory")
}

/// How much is read at once, in bytes; more only for a record that is larger.
const CHUNK_BYTES: usize = 128 << 10;
/// How many extents a plan has at most.
pub(crate) const EXTENTS_MAX: usize = 1024;
/// What an entry counts besides its payload, in bytes.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 64;
