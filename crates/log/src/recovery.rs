//! What a start finds: the whole log read and checked without a change (`examine`), then what a crash left put in order (`repair`).
//! The cases have the numbers of `docs/log-format.md`.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::types::{ClusterId, EntryId, GroupId, Index, NodeId, Term};

use crate::batch::seal;
use crate::compaction::SegmentMark;
use crate::disk::Disk;
use crate::error::LogError;
use crate::index::LogIndex;
use crate::open::FIRST_SEGMENT;
use crate::read::{entry_bytes, entry_of, read_chunk};
use crate::record::{Head, Kind, SECTOR, Seed, is_zero};
use crate::scan::{Batch, Case, Scanned, SegmentBytes};
use crate::segment::{Position, SEGMENT_DIR, SegmentHeader, segment_name};
use crate::tail;

/// Whose log is read, and how much of its end is wanted.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    pub(crate) window_bytes_max: usize,
    /// The entry before the first one in the log, as the file LOG says.
    pub(crate) base: EntryId,
}

/// What was found.
pub(crate) struct Examined {
    pub(crate) replay: Replay,
    /// The header of the last segment.
    pub(crate) header: SegmentHeader,
    /// Where the last whole batch ends.
    pub(crate) end: Position,
    /// The batches that nobody calls durable: their place in the last segment and their bytes.
    unproven: (u64, Vec<u8>),
    /// Sectors of the torn tail.
    cut: Vec<Range<usize>>,
    /// Where the seal of the segment before the last one stands or must stand, when the last one is still empty.
    seal: Option<Position>,
}

/// The state of the log as its records are read in the order in which they were written.
pub(crate) struct Replay {
    pub(crate) index: LogIndex,
    pub(crate) hard_state: HardState,
    pub(crate) memberships: Vec<(Index, Arc<Membership>)>,
    pub(crate) next_batch: u64,
    /// The segments that were read.
    pub(crate) marks: VecDeque<SegmentMark>,
    /// How many batches were read.
    pub(crate) batches: u64,
    /// The furthest place that a batch calls durable.
    durable: Position,
    window: Window,
}

/// The newest entries.
struct Window {
    bytes_max: usize,
    bytes: usize,
    entries: VecDeque<Entry>,
}

/// How a segment ends.
struct SegmentEnd {
    at: usize,
    sealed: bool,
    cut: Vec<Range<usize>>,
}

/// Reads all segments, which are consecutive and at least one, and changes nothing.
pub(crate) fn examine<D: Disk>(disk: &D, expected: Expected, segments: &[u64]) -> Result<Examined, LogError> {
    let mut replay = Replay::new(expected.window_bytes_max, expected.base);
    let mut before: Option<Position> = None;
    let mut before_sealed = true;
    for (place, segment) in segments.iter().enumerate() {
        let file = segment_name(*segment);
        let is_last = place + 1 == segments.len();
        let bytes = read_whole(disk, &file)?;
        let header = check_header(&file, &bytes, *segment, expected)?;
        replay.check_follows(&file, &header, before)?;
        let (previous, lowest) = (header.previous, None);
        replay.marks.push_back(SegmentMark { segment: *segment, previous, lowest });
        let seed = Seed::new(expected.cluster, *segment);
        let content =
            SegmentBytes { file: &file, segment: *segment, group: expected.group, seed, bytes: &bytes };
        if !before_sealed && !is_zero(&bytes[SECTOR..]) {
            let before = before.expect("only a segment that was read can lack its seal");
            let what = "the segment has no seal, but the one after it is in use"; // D10
            return Err(LogError::corrupt(&segment_name(before.segment), before.offset, what));
        }
        let end = replay.read_segment(&content, is_last)?;
        let position = Position { segment: *segment, offset: end.at as u64 };
        if is_last {
            let from = if replay.durable.segment == *segment { replay.durable.offset } else { SECTOR as u64 };
            let from = usize::try_from(from).unwrap_or(end.at).clamp(SECTOR, end.at);
            let seal = before.filter(|_| end.at == SECTOR);
            let unproven = (from as u64, bytes[from..end.at].to_vec());
            return Ok(Examined { replay, header, end: position, unproven, cut: end.cut, seal });
        }
        before = Some(position);
        before_sealed = end.sealed;
    }
    Err(LogError::corrupt(SEGMENT_DIR, 0, "the log has no segment"))
}

/// Puts in order what a crash left, durably, before anything new is written, and opens the last segment.
///
/// What no later batch calls durable is written once more, byte for byte: after a failed sync the system may show pages as clean that
/// never reached the disk, and a later sync would say yes without writing them.
pub(crate) fn repair<D: Disk>(
    disk: &D,
    expected: Expected,
    examined: &Examined,
) -> Result<D::File, LogError> {
    if let Some(at) = examined.seal {
        let name = segment_name(at.segment);
        let failed = |error| LogError::io("cannot repair", &name, error);
        let file = disk.open(&name).map_err(failed)?;
        let seed = Seed::new(expected.cluster, at.segment);
        let sector = seal(seed, at.offset, expected.group, examined.end.segment);
        disk.write_at(&file, &sector, at.offset).map_err(failed)?;
        disk.sync(&file).map_err(failed)?;
    }
    let name = segment_name(examined.end.segment);
    let failed = |error| LogError::io("cannot repair", &name, error);
    let file = disk.open(&name).map_err(failed)?;
    let (at, bytes) = &examined.unproven;
    if !bytes.is_empty() {
        disk.write_at(&file, bytes, *at).map_err(failed)?;
    }
    for range in &examined.cut {
        assert!(range.start as u64 >= examined.end.offset, "what is cut stands behind the last whole batch");
        disk.write_at(&file, &vec![0; range.len()], range.start as u64).map_err(failed)?;
    }
    disk.sync(&file).map_err(failed)?;
    disk.sync_dir(SEGMENT_DIR).map_err(|error| LogError::io("cannot repair", SEGMENT_DIR, error))?;
    Ok(file)
}

impl Examined {
    /// Takes out the newest entries: as many as fit the window, and one at least if there is one.
    pub(crate) fn take_tail(&mut self) -> Vec<Entry> {
        let window = &mut self.replay.window;
        window.bytes = 0;
        Vec::from(std::mem::take(&mut window.entries))
    }
}

impl Replay {
    fn new(window_bytes_max: usize, base: EntryId) -> Replay {
        Replay {
            index: LogIndex::new(base),
            hard_state: HardState::default(),
            memberships: Vec::new(),
            next_batch: 1,
            marks: VecDeque::new(),
            batches: 0,
            durable: Position { segment: 0, offset: 0 },
            window: Window { bytes_max: window_bytes_max, bytes: 0, entries: VecDeque::new() },
        }
    }

    /// D9: a segment says what the log was when it was begun. An older or a foreign copy says something else.
    ///
    /// Of a log whose beginning was compacted nothing is known but the entry before it. Its first segment says the rest.
    fn check_follows(
        &mut self,
        file: &str,
        header: &SegmentHeader,
        before: Option<Position>,
    ) -> Result<(), LogError> {
        if before.is_none() && header.segment > FIRST_SEGMENT {
            (self.next_batch, self.hard_state) = (header.batch, header.hard_state);
            if header.previous == self.index.base() {
                return Ok(());
            }
        }
        let follows = header.previous_end == before.map_or(0, |before| before.offset)
            && header.previous == self.index.last()
            && header.batch == self.next_batch
            && header.hard_state == self.hard_state;
        if follows {
            Ok(())
        } else {
            Err(LogError::corrupt(
                file,
                0,
                "the segment does not follow the one before it: one of the two is not the file that was here",
            ))
        }
    }

    fn read_segment(&mut self, segment: &SegmentBytes<'_>, is_last: bool) -> Result<SegmentEnd, LogError> {
        let mut at = SECTOR;
        loop {
            match segment.scan(at) {
                Scanned::Batch(batch) => {
                    self.apply(segment, at, &batch)?;
                    at = batch.end;
                }
                Scanned::Seal(next) => {
                    if is_last || next != segment.segment + 1 {
                        let what = format!("the log goes on in {}, which is missing", segment_name(next)); // D7
                        return Err(segment.damage(at, what));
                    }
                    if !is_zero(&segment.bytes[at + SECTOR..]) {
                        return Err(segment.damage(at + SECTOR, "bytes behind the seal of the segment"));
                    }
                    return Ok(SegmentEnd { at, sealed: true, cut: Vec::new() });
                }
                Scanned::Broken(broken) if is_last => {
                    let cut = tail::judge(segment, at, &broken)?;
                    return Ok(SegmentEnd { at, sealed: false, cut });
                }
                Scanned::Broken(broken) => {
                    // D6: the segment after this one was begun only when all of this one was durable. Only the seal may lack.
                    if broken.case == Case::NoStart && is_zero(&segment.bytes[at..]) {
                        return Ok(SegmentEnd { at, sealed: false, cut: Vec::new() });
                    }
                    return Err(
                        segment.damage(broken.at, format!("{}, but a later segment follows", broken.what))
                    );
                }
            }
        }
    }

    fn apply(&mut self, segment: &SegmentBytes<'_>, at: usize, batch: &Batch) -> Result<(), LogError> {
        if batch.head.number != self.next_batch {
            let what = format!("batch {} where batch {} must stand", batch.head.number, self.next_batch); // D5
            return Err(segment.damage(at, what));
        }
        let here = Position { segment: segment.segment, offset: at as u64 };
        if batch.head.durable > here {
            return Err(segment.damage(at, "a batch that calls itself durable"));
        }
        // The entries are slices of this one copy: they hold the bytes of their batch in memory and not those of the segment.
        let bytes = Bytes::copy_from_slice(&segment.bytes[at..batch.end - SECTOR]);
        for (place, record) in &batch.records {
            let body = bytes.slice(record.body.start - at..record.body.end - at);
            self.apply_record(segment, *place, &record.head, body)?;
        }
        self.durable = self.durable.max(batch.head.durable);
        self.next_batch += 1;
        self.batches += 1;
        Ok(())
    }

    fn apply_record(
        &mut self,
        segment: &SegmentBytes<'_>,
        at: usize,
        head: &Head,
        mut body: Bytes,
    ) -> Result<(), LogError> {
        if head.kind == Kind::HardState {
            if body.len() != HARD_STATE_LEN {
                return Err(segment.damage(at, "a hard state of another length"));
            }
            let term = Term(body.get_u64_le());
            self.hard_state = HardState { term, vote: NodeId::checked(body.get_u64_le()) };
            return Ok(());
        }
        let entry = entry_of(head, body).map_err(|what| segment.damage(at, what))?;
        let entry = entry.expect("a batch holds entries and hard states only");
        let id = entry.id;
        if let Some(why) = self.index.refuses(id) {
            return Err(segment.damage(at, why)); // D8
        }
        self.marks.back_mut().expect("a record stands in a segment").note(id.index);
        self.window.truncate(self.index.last().index.0 + 1 - id.index.0);
        while self.memberships.last().is_some_and(|(index, _)| *index >= id.index) {
            self.memberships.pop();
        }
        if let Payload::Membership(membership) = &entry.payload {
            self.memberships.push((id.index, Arc::clone(membership)));
        }
        self.window.push(entry);
        self.index.append(id, Position { segment: segment.segment, offset: at as u64 });
        Ok(())
    }
}

impl Window {
    /// Forgets the newest `len` entries.
    fn truncate(&mut self, len: u64) {
        for _ in 0..len.min(self.entries.len() as u64) {
            let entry = self.entries.pop_back();
            self.bytes -= entry.map_or(0, |entry| entry_bytes(&entry.payload));
        }
    }

    /// Takes in an entry and lets go of the oldest that no longer fit.
    fn push(&mut self, entry: Entry) {
        self.bytes += entry_bytes(&entry.payload);
        self.entries.push_back(entry);
        while self.bytes > self.bytes_max && self.entries.len() > 1 {
            let entry = self.entries.pop_front();
            self.bytes -= entry.map_or(0, |entry| entry_bytes(&entry.payload));
        }
        assert!(!self.entries.is_empty(), "the last entry is always in the window");
    }
}

/// Reads a whole segment file.
pub(crate) fn read_whole<D: Disk>(disk: &D, file: &str) -> Result<Bytes, LogError> {
    let failed = |error| LogError::io("cannot read", file, error);
    let handle = disk.open(file).map_err(failed)?;
    let len = disk.len(&handle).map_err(failed)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= SEGMENT_BYTES_MAX);
    let Some(len) = len else {
        return Err(LogError::corrupt(file, 0, "the file is longer than a segment can be"));
    };
    read_chunk(disk, &handle, 0, len).map_err(failed)
}

/// D4: the header is that of this segment of this log, and the file has its length.
fn check_header(
    file: &str,
    bytes: &[u8],
    segment: u64,
    expected: Expected,
) -> Result<SegmentHeader, LogError> {
    let Some(sector) = bytes.first_chunk::<SECTOR>() else {
        return Err(LogError::corrupt(file, 0, "the file is shorter than a segment's header"));
    };
    let header = SegmentHeader::decode(file, sector)?;
    if header.cluster != expected.cluster {
        return Err(LogError::OtherCluster {
            file: file.to_owned(),
            found: header.cluster,
            wanted: expected.cluster,
        });
    }
    if header.segment != segment {
        let what = format!("the file has the name of segment {segment} and holds segment {}", header.segment);
        return Err(LogError::corrupt(file, 0, what));
    }
    if header.group != expected.group {
        return Err(LogError::corrupt(file, 0, "the segment belongs to another group"));
    }
    if header.len != bytes.len() as u64 {
        let what = format!("the file has {} bytes instead of {}", bytes.len(), header.len);
        return Err(LogError::corrupt(file, bytes.len() as u64, what));
    }
    Ok(header)
}

/// The length of a hard state's record body in bytes.
pub(crate) const HARD_STATE_LEN: usize = 16;
/// No segment is longer, in bytes: recovery holds one in memory.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1 << 30;
