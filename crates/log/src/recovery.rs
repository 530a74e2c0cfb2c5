//! What a start finds: the whole log read and checked without a change (`examine`), then what a crash left put in order (`repair`).
//! The cases have the numbers of `docs/log-format.md`.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::types::{ClusterId, EntryId, GroupId, Index};

use crate::batch::{HARD_STATE_LEN, seal, take_hard_state};
use crate::closed::Closing;
use crate::compaction::SegmentMark;
use crate::disk::Disk;
use crate::error::LogError;
use crate::index::LogIndex;
use crate::log::LogOptions;
use crate::open::FIRST_SEGMENT;
use crate::read::{ENTRY_OVERHEAD_BYTES, entry_bytes, entry_of, fill};
use crate::record::{Head, Kind, SECTOR, Seed, is_zero};
use crate::scan::{Batch, Case, Item, Scanned, SegmentBytes};
use crate::segment::{Position, SEGMENT_DIR, SegmentHeader, segment_name};
use crate::tail::{self, Proven, Suspect};

/// Whose log is read, and how much of its end is wanted.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    pub(crate) window_bytes_max: usize,
    /// The entry before the first one in the log, as the file LOG says.
    pub(crate) base: EntryId,
    /// What was durable when the node was stopped.
    pub(crate) closed: Option<Closing>,
    /// Whether a log may lack the bytes of entries whose ids it knows.
    pub(crate) damage_kept: bool,
}

impl Expected {
    /// What these options say of a log that begins after `base`.
    pub(crate) fn new(options: &LogOptions, base: EntryId) -> Expected {
        let LogOptions { cluster, group, window_bytes_max, opens_damaged, .. } = *options;
        Expected { cluster, group, window_bytes_max, base, closed: None, damage_kept: opens_damaged }
    }
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
    /// What is damaged and does not keep the log from being opened.
    pub(crate) notes: Vec<Note>,
    /// The segments that were read.
    pub(crate) marks: VecDeque<SegmentMark>,
    /// How many batches were read.
    pub(crate) batches: u64,
    /// The furthest place that a batch calls durable.
    durable: Position,
    closed: Option<Closing>,
    damage_kept: bool,
    /// The batches that are damaged.
    suspects: Vec<Suspect>,
    window: Window,
}

/// Damage that the log can live with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)
    }
}

/// The newest entries. Damaged ones have their place among them.
struct Window {
    bytes_max: usize,
    bytes: usize,
    entries: VecDeque<Option<Entry>>,
}

/// How a segment ends.
struct SegmentEnd {
    at: usize,
    sealed: bool,
    cut: Vec<Range<usize>>,
}

/// Reads all segments, which are consecutive and at least one, and changes nothing.
pub(crate) fn examine<D: Disk>(disk: &D, expected: Expected, segments: &[u64]) -> Result<Examined, LogError> {
    let mut replay = Replay::new(expected);
    let mut before: Option<Position> = None;
    let mut before_sealed = true;
    // One for all segments: a segment is large, and memory that is given back is cleared again before it is had again.
    let mut buffer = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        let file = segment_name(*segment);
        let is_last = place + 1 == segments.len();
        let bytes = read_into(disk, &file, &mut buffer)?;
        let header = check_header(&file, bytes, *segment, expected)?;
        replay.check_follows(&file, &header, before)?;
        let (previous, lowest) = (header.previous, None);
        replay.marks.push_back(SegmentMark { segment: *segment, previous, lowest });
        let seed = Seed::new(expected.cluster, *segment);
        let content = SegmentBytes { file: &file, segment: *segment, group: expected.group, seed, bytes };
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
    /// What is known of the end of the log, as the file CLOSED would say it.
    pub(crate) fn closing(&self, options: &LogOptions) -> Closing {
        Closing {
            cluster: options.cluster,
            group: options.group,
            first_segment: self.replay.marks.front().expect("a log has a segment").segment,
            end: self.end,
            next_batch: self.replay.next_batch,
            last: self.replay.index.last(),
            hard_state: self.replay.hard_state,
        }
    }

    /// Takes out the newest entries: as many as fit the window, and one at least if the last one is not damaged.
    pub(crate) fn take_tail(&mut self) -> Vec<Entry> {
        let window = &mut self.replay.window;
        window.bytes = 0;
        let entries = std::mem::take(&mut window.entries);
        let newest = entries.iter().rev().take_while(|entry| entry.is_some()).count();
        let skipped = entries.len() - newest;
        entries.into_iter().skip(skipped).flatten().collect()
    }
}

impl Replay {
    fn new(expected: Expected) -> Replay {
        Replay {
            index: LogIndex::new(expected.base),
            notes: Vec::new(),
            suspects: Vec::new(),
            closed: expected.closed,
            damage_kept: expected.damage_kept,
            hard_state: HardState::default(),
            memberships: Vec::new(),
            next_batch: 1,
            marks: VecDeque::new(),
            batches: 0,
            durable: Position { segment: 0, offset: 0 },
            window: Window { bytes_max: expected.window_bytes_max, bytes: 0, entries: VecDeque::new() },
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
                // D6: the segment after this one was begun only when all of this one was durable. Only the seal may lack.
                Scanned::Broken(broken)
                    if !is_last && broken.case == Case::NoStart && is_zero(&segment.bytes[at..]) =>
                {
                    return Ok(SegmentEnd { at, sealed: false, cut: Vec::new() });
                }
                Scanned::Broken(broken) => {
                    let damage = if is_last {
                        match tail::judge(segment, at, &broken, Proven::of(self.closed)) {
                            Ok(cut) => {
                                tail::refuse_misplaced(segment, at, &self.suspects)?;
                                return Ok(SegmentEnd { at, sealed: false, cut });
                            }
                            Err(damage) => damage,
                        }
                    } else {
                        segment.damage(broken.at, format!("{}, but a later segment follows", broken.what))
                    };
                    let Some(batch) = segment.salvage(at, &broken) else {
                        let cut = self.behind_the_end(segment, at).ok_or(damage)?;
                        return Ok(SegmentEnd { at, sealed: false, cut });
                    };
                    self.apply(segment, at, &batch)?;
                    let bytes = Bytes::copy_from_slice(&segment.bytes[at..batch.end]);
                    self.suspects.push(Suspect { file: segment.file.to_owned(), at, bytes });
                    at = batch.end;
                }
            }
        }
    }

    /// The sectors behind the end of the log in which there is something, if the log ended here when the node was stopped and nothing of it
    /// stands behind. Nobody wrote there: it means nothing.
    fn behind_the_end(&mut self, segment: &SegmentBytes<'_>, at: usize) -> Option<Vec<Range<usize>>> {
        let here = Position { segment: segment.segment, offset: at as u64 };
        if !self.damage_kept || self.closed.is_none_or(|closed| closed.end != here) {
            return None;
        }
        let mut cut: Vec<Range<usize>> = Vec::new();
        for place in (at..segment.bytes.len()).step_by(SECTOR) {
            let range = place..segment.bytes.len().min(place + SECTOR);
            if !is_zero(&segment.bytes[range.clone()]) {
                if segment.batch_head_at(place, place).is_some() {
                    return None;
                }
                cut.push(range);
            }
        }
        let first = cut.first().map_or(at, |range| range.start);
        self.note(segment, first, "bytes behind the end of the log, which nobody wrote here".to_owned());
        Some(cut)
    }

    fn note(&mut self, segment: &SegmentBytes<'_>, at: usize, what: String) {
        self.notes.push(Note { file: segment.file.to_owned(), offset: at as u64, what });
    }

    fn apply(&mut self, segment: &SegmentBytes<'_>, at: usize, batch: &Batch) -> Result<(), LogError> {
        if let Some((at, what)) = batch.flaws.first().filter(|_| !self.damage_kept) {
            return Err(segment.damage(*at, what.clone()));
        }
        if batch.head.number != self.next_batch {
            let what = format!("batch {} where batch {} must stand", batch.head.number, self.next_batch); // D5
            return Err(segment.damage(at, what));
        }
        let here = Position { segment: segment.segment, offset: at as u64 };
        if batch.head.durable > here {
            return Err(segment.damage(at, "a batch that calls itself durable"));
        }
        for (place, what) in &batch.flaws {
            self.note(segment, *place, what.clone());
        }
        // The entries are slices of this one copy: they hold the bytes of their batch in memory and not those of the segment.
        let bytes = Bytes::copy_from_slice(&segment.bytes[at..batch.end - SECTOR]);
        for item in &batch.items {
            match item {
                Item::Record(place, record) => {
                    let body = bytes.slice(record.body.start - at..record.body.end - at);
                    self.apply_record(segment, *place, &record.head, body)?;
                }
                Item::Lost(id) => {
                    self.cut_for(segment, at, *id)?;
                    self.window.push(None);
                    self.index.append_damaged(*id, here);
                }
                Item::Gap => self.index.interrupt(),
            }
        }
        if let Some(hard_state) = batch.hard_state {
            if batch.flaws.is_empty() && hard_state != self.hard_state {
                return Err(segment.damage(at, "the footer names another term or vote than its batch"));
            }
            self.hard_state = hard_state;
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
            self.hard_state = take_hard_state(&mut body);
            return Ok(());
        }
        let entry = entry_of(head, body).map_err(|what| segment.damage(at, what))?;
        let entry = entry.expect("a batch holds entries and hard states only");
        let place = Position { segment: segment.segment, offset: at as u64 };
        if head.kind.is_repair() {
            self.repair(entry, place);
            return Ok(());
        }
        let id = entry.id;
        self.cut_for(segment, at, id)?;
        if let Payload::Membership(membership) = &entry.payload {
            self.memberships.push((id.index, Arc::clone(membership)));
        }
        self.window.push(Some(entry));
        self.index.append(id, place);
        Ok(())
    }

    /// Makes the log ready for an entry to come next: what it holds from its index on is cut.
    fn cut_for(&mut self, segment: &SegmentBytes<'_>, at: usize, id: EntryId) -> Result<(), LogError> {
        if let Some(why) = self.index.refuses(id) {
            return Err(segment.damage(at, why)); // D8
        }
        self.marks.back_mut().expect("a record stands in a segment").note(id.index);
        self.window.truncate(self.index.last().index.0 + 1 - id.index.0);
        while self.memberships.last().is_some_and(|(index, _)| *index >= id.index) {
            self.memberships.pop();
        }
        Ok(())
    }

    /// Takes in the bytes of an entry whose record was found damaged by an earlier start. What the log no longer holds needs none.
    fn repair(&mut self, entry: Entry, place: Position) {
        let (index, last) = (entry.id.index, self.index.last().index);
        if !self.index.repair(entry.id, place) {
            return;
        }
        if let Payload::Membership(membership) = &entry.payload {
            let at = self.memberships.partition_point(|(known, _)| *known < index);
            if self.memberships.get(at).is_none_or(|(known, _)| *known != index) {
                self.memberships.insert(at, (index, Arc::clone(membership)));
            }
        }
        self.window.fill(last.0 - index.0, entry);
    }
}

impl Window {
    /// Forgets the newest `len` entries.
    fn truncate(&mut self, len: u64) {
        for _ in 0..len.min(self.entries.len() as u64) {
            let entry = self.entries.pop_back();
            self.bytes -= entry.map_or(0, |entry| slot_bytes(entry.as_ref()));
        }
    }

    /// Takes in an entry, or its place if it is damaged, and lets go of the oldest that no longer fit.
    fn push(&mut self, entry: Option<Entry>) {
        self.bytes += slot_bytes(entry.as_ref());
        self.entries.push_back(entry);
        self.shrink();
    }

    /// Takes in a repaired entry which `behind` newer ones follow, if its place is still here.
    fn fill(&mut self, behind: u64, entry: Entry) {
        let len = self.entries.len();
        let at = usize::try_from(behind).ok().and_then(|behind| len.checked_sub(1 + behind));
        if let Some(slot) = at.and_then(|at| self.entries.get_mut(at)) {
            self.bytes = self.bytes - slot_bytes(slot.as_ref()) + slot_bytes(Some(&entry));
            *slot = Some(entry);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max && self.entries.len() > 1 {
            let entry = self.entries.pop_front();
            self.bytes -= entry.map_or(0, |entry| slot_bytes(entry.as_ref()));
        }
        assert!(!self.entries.is_empty(), "the last entry always has its place in the window");
    }
}

fn slot_bytes(entry: Option<&Entry>) -> usize {
    entry.map_or(ENTRY_OVERHEAD_BYTES, |entry| entry_bytes(&entry.payload))
}

/// Reads a whole file, which is a segment at most.
pub(crate) fn read_whole<D: Disk>(disk: &D, file: &str) -> Result<Bytes, LogError> {
    let mut buffer = Vec::new();
    let len = read_into(disk, file, &mut buffer)?.len();
    buffer.truncate(len);
    Ok(Bytes::from(buffer))
}

/// Reads a whole file, which is a segment at most, into a buffer that may have been used before.
fn read_into<'b, D: Disk>(disk: &D, file: &str, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], LogError> {
    let failed = |error| LogError::io("cannot read", file, error);
    let handle = disk.open(file).map_err(failed)?;
    let len = disk.len(&handle).map_err(failed)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= SEGMENT_BYTES_MAX);
    let Some(len) = len else {
        return Err(LogError::corrupt(file, 0, "the file is longer than a segment can be"));
    };
    if buffer.len() < len {
        *buffer = vec![0; len];
    }
    let filled = fill(disk, &handle, 0, &mut buffer[..len]).map_err(failed)?;
    Ok(&buffer[..filled])
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

/// No segment is longer, in bytes: recovery holds one in memory.
pub(crate) const SEGMENT_BYTES_MAX: usize = 1 << 30;
