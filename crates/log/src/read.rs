//! Entries read back from the log, on another thread than the writer's: for a peer behind the window in memory.

use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{ClusterId, EntryId, Index};

use crate::disk::Disk;
use crate::error::LogError;
use crate::index::Extent;
use crate::record::{self, Found, Head, Kind, Record, SECTOR, Seed};
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
        let mut segment: Option<Segment<'_, D>> = None;
        for extent in &self.extents {
            let here = match segment.take() {
                Some(open) if open.number == extent.place.segment => open,
                Some(_) | None => Segment::open(disk, self.cluster, extent.place.segment)?,
            };
            if !self.read_extent(segment.insert(here), extent, &mut taken)? {
                break;
            }
        }
        Ok(taken.entries)
    }

    /// Reads one extent; false when the plan's bytes are full.
    fn read_extent<D: Disk>(
        &self,
        segment: &mut Segment<'_, D>,
        extent: &Extent,
        taken: &mut Taken,
    ) -> Result<bool, LogError> {
        let last = extent.last.min(self.through);
        let (mut offset, mut expected) = (extent.place.offset, extent.first);
        while expected <= last {
            let Some(found) = segment.record_at(offset)? else {
                offset = (offset + 1).next_multiple_of(SECTOR as u64);
                continue;
            };
            // A repaired entry is read where its extent begins; what was repaired elsewhere in between belongs to another extent.
            let skips = found.head.kind.is_repair() && offset != extent.place.offset;
            let entry = entry_of(&found.head, segment.chunk.slice(found.body.clone()));
            let entry = entry.map_err(|what| segment.corrupt(offset, what))?;
            if let Some(entry) = entry.filter(|_| !skips) {
                if entry.id.index != expected {
                    return Err(segment.corrupt(offset, "another entry than was written here"));
                }
                expected = expected.next();
                if entry.id.index >= self.from && !taken.take(entry, self.bytes_max) {
                    return Ok(false);
                }
            }
            offset = segment.chunk_at + found.next as u64;
        }
        Ok(true)
    }
}

/// A segment that is being read, with the part of it that was read last.
struct Segment<'a, D: Disk> {
    disk: &'a D,
    number: u64,
    seed: Seed,
    file: D::File,
    len: u64,
    /// Where `chunk` stands.
    chunk_at: u64,
    chunk: Bytes,
    /// How much is read next, in bytes.
    chunk_bytes: usize,
}

impl<'a, D: Disk> Segment<'a, D> {
    fn open(disk: &'a D, cluster: ClusterId, number: u64) -> Result<Segment<'a, D>, LogError> {
        let failed = |error| LogError::io("cannot read", &segment_name(number), error);
        let file = match disk.open(&segment_name(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LogError::Compacted { file: segment_name(number) });
            }
            Err(error) => return Err(failed(error)),
        };
        let len = disk.len(&file).map_err(failed)?;
        let seed = Seed::new(cluster, number);
        Ok(Segment {
            disk,
            number,
            seed,
            file,
            len,
            chunk_at: 0,
            chunk: Bytes::new(),
            chunk_bytes: CHUNK_BYTES_MIN,
        })
    }

    /// The record at `offset`, its places within the chunk; none if nothing more stands in that sector.
    fn record_at(&mut self, offset: u64) -> Result<Option<Record>, LogError> {
        let mut at = offset.checked_sub(self.chunk_at).and_then(|at| usize::try_from(at).ok());
        let mut needed = 0;
        loop {
            if let Some(at) = at.filter(|at| *at < self.chunk.len()) {
                match record::look(&self.chunk, at, self.seed, self.chunk_at) {
                    Found::Record(record) => return Ok(Some(record)),
                    Found::Nothing if !offset.is_multiple_of(SECTOR as u64) => return Ok(None),
                    // More than was read for: once to learn how long the record is, once to have all of it.
                    Found::CutOff(more) if more > needed && offset + more as u64 <= self.len => needed = more,
                    Found::CutOff(_) | Found::Nothing => {
                        return Err(self.corrupt(offset, "an entry that was here is gone"));
                    }
                    Found::Flawed(what) => return Err(self.corrupt(offset, what)),
                }
            } else if at == Some(0) {
                return Err(self.corrupt(offset, "an entry that was here is gone"));
            }
            self.load(offset, needed)?;
            at = Some(0);
        }
    }

    /// Reads on from `offset`, `needed` bytes at least if the file has them.
    fn load(&mut self, offset: u64, needed: usize) -> Result<(), LogError> {
        let failed = |error| LogError::io("cannot read", &segment_name(self.number), error);
        self.chunk =
            read_chunk(self.disk, &self.file, offset, needed.max(self.chunk_bytes)).map_err(failed)?;
        self.chunk_at = offset;
        self.chunk_bytes = (self.chunk_bytes * 2).min(CHUNK_BYTES_MAX);
        Ok(())
    }

    fn corrupt(&self, offset: u64, what: impl Into<String>) -> LogError {
        LogError::corrupt(&segment_name(self.number), offset, what)
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

/// The entry of a record, repaired or not; none if it is no entry's. A command stays a slice of `body`.
pub(crate) fn entry_of(head: &Head, mut body: Bytes) -> Result<Option<Entry>, String> {
    let payload = match head.kind {
        Kind::Noop | Kind::RepairedNoop if body.is_empty() => Payload::Noop,
        Kind::Noop | Kind::RepairedNoop => return Err("a no-op with a body".to_owned()),
        Kind::Command | Kind::RepairedCommand => Payload::Command(body),
        Kind::Membership | Kind::RepairedMembership => {
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
    let filled = fill(disk, file, offset, &mut chunk)?;
    chunk.truncate(filled);
    Ok(Bytes::from(chunk))
}

/// Fills `buffer` with what stands at `offset`: how much of it, which is less than all only at the end of the file.
pub(crate) fn fill<D: Disk>(
    disk: &D,
    file: &D::File,
    offset: u64,
    buffer: &mut [u8],
) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match disk.read_at(file, &mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            got => filled += got,
        }
    }
    Ok(filled)
}

/// How much of a segment is read at first, in bytes. A single entry is not far from where its extent begins.
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// How much is read at once when more is wanted, in bytes; above it only for a record that is larger.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// How many extents a plan has at most.
pub(crate) const EXTENTS_MAX: usize = 1024;
/// What an entry counts besides its payload, in bytes.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 64;
