//! A look into the log of a stopped node, without the lock and without a change: for `quorate log inspect`.

use std::fmt;

use bytes::Buf;
use quorate_core::entry::HardState;
use quorate_core::types::{ClusterId, EntryId, GroupId, NodeId, Term};

use crate::batch::HARD_STATE_LEN;
use crate::closed::{CLOSED_FILE, Closing};
use crate::disk::Disk;
use crate::error::LogError;
use crate::identity::{self, NODE_FILE, PEERS_FILE, Wanted};
use crate::log::LogOptions;
use crate::meeting::Meeting;
use crate::open::{MANIFEST_FILE, Manifest, list_segments};
use crate::record::{Kind, Record, SECTOR, Seed, is_zero};
use crate::recovery::{Expected, Note, examine, read_whole};
use crate::scan::{Batch, Broken, Case, Item, Scanned, SegmentBytes};
use crate::segment::{SEGMENT_DIR, SegmentHeader, segment_name, segment_of_name};
use crate::snapshot_file::{self, SnapshotFile, SnapshotOptions};
use crate::tail::{self, Proven};

/// One thing found in the log; its `Display` is one line. Never shows a payload, only its length and checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file's name within the data folder.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What stands there, in words.
    pub what: String,
    /// Whether it is in order, and if not, what a start makes of it.
    pub state: FindingState,
}

/// Whether what was found is in order.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FindingState {
    /// In order.
    Good,
    /// Left by a crash; the next start cuts it.
    Torn,
    /// Damage that is confined: the node starts, and gets what is lost from its peers.
    Repairable,
    /// Damage: the node will not start.
    Damaged,
}

/// What was found in all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Segment files.
    pub segments: u64,
    /// Snapshots whose header is whole.
    pub snapshots: u64,
    /// Intact batches.
    pub batches: u64,
    /// Entry records, those that were truncated later included.
    pub entries: u64,
    /// Hard state records.
    pub hard_states: u64,
    /// Entries of the log whose ids are known and whose bytes are lost.
    pub lost_entries: u64,
    /// Findings that are [`FindingState::Repairable`].
    pub repairables: u64,
    /// Findings that are [`FindingState::Damaged`].
    pub damages: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            FindingState::Good => "",
            FindingState::Torn => "TORN ",
            FindingState::Repairable => "DAMAGED (repairable) ",
            FindingState::Damaged => "DAMAGED ",
        };
        write!(f, "{}:{} {mark}{}", self.file, self.offset, self.what)
    }
}

/// Reads the whole log and hands each finding to `on_finding`, in order of files and offsets; `records` says whether single records are
/// wanted or only segments and batches. The last findings are what a start would say of the log as a whole.
///
/// # Errors
/// [`LogError::Io`] if the folder cannot be read. Damage is a finding, not an error.
pub fn inspect<D: Disk + Clone>(
    disk: &D,
    records: bool,
    on_finding: &mut dyn FnMut(&Finding),
) -> Result<Totals, LogError> {
    let mut look = Look {
        records,
        on_finding,
        totals: Totals::default(),
        damages: Vec::new(),
        owner: None,
        closed: None,
    };
    look.identity(disk)?;
    let manifest = look.manifest(disk)?;
    look.closing(disk)?;
    let names = disk.list(SEGMENT_DIR).unwrap_or_default();
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_of_name(name)).collect();
    segments.sort_unstable();
    for segment in &segments {
        look.segment(disk, *segment, segments.last() == Some(segment))?;
    }
    look.snapshots(disk)?;
    let segments = look.keep(list_segments(disk, manifest.as_ref()))?.unwrap_or_default();
    if !segments.is_empty() {
        look.whole(disk, manifest, &segments)?;
    }
    Ok(look.totals)
}

/// A look at a log on its way.
struct Look<'a> {
    records: bool,
    on_finding: &'a mut dyn FnMut(&Finding),
    totals: Totals,
    /// Where damage was found: what a start says of the same place is not repeated.
    damages: Vec<(String, u64)>,
    owner: Option<(ClusterId, GroupId)>,
    closed: Option<Closing>,
}

impl Look<'_> {
    fn say(&mut self, file: &str, offset: u64, state: FindingState, what: String) {
        if matches!(state, FindingState::Damaged | FindingState::Repairable) {
            if self.damages.iter().any(|(known, at)| known == file && *at == offset) {
                return;
            }
            self.damages.push((file.to_owned(), offset));
            let damaged = u64::from(state == FindingState::Damaged);
            self.totals.damages += damaged;
            self.totals.repairables += 1 - damaged;
        }
        (self.on_finding)(&Finding { file: file.to_owned(), offset, what, state });
    }

    /// Turns damage into a finding; only a disk that cannot be read ends the look.
    fn keep<T>(&mut self, result: Result<T, LogError>) -> Result<Option<T>, LogError> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error @ LogError::Io { .. }) => Err(error),
            Err(LogError::Corrupt { file, offset, what }) => {
                self.say(&file, offset, FindingState::Damaged, what);
                Ok(None)
            }
            Err(LogError::OtherCluster { file, found, .. }) => {
                self.say(&file, 0, FindingState::Damaged, format!("belongs to another cluster, {found}"));
                Ok(None)
            }
            Err(LogError::NewerFormat { file, found, .. }) => {
                self.say(&file, 0, FindingState::Damaged, format!("has the newer format {found}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whose folder it is, and whom the node has met.
    fn identity<D: Disk + Clone>(&mut self, disk: &D) -> Result<(), LogError> {
        match self.keep(identity::owner_of(disk))? {
            Some(Some(Wanted { cluster, node })) => {
                let what = format!("node {node} of cluster {cluster}");
                self.say(NODE_FILE, 0, FindingState::Good, what);
            }
            Some(None) => {
                let what = "the file is missing: under which name its peers know this store is lost";
                self.say(NODE_FILE, 0, FindingState::Damaged, what.to_owned());
            }
            None => {}
        }
        match self.keep(identity::peers_body(disk))? {
            Some(Some(peers)) => {
                let what = format!("{} peers met", peers.len() / identity::PEER_LEN);
                self.say(PEERS_FILE, 0, FindingState::Good, what);
            }
            Some(None) => {
                let what = "the file is missing: which stores of its peers this node has met is lost";
                self.say(PEERS_FILE, 0, FindingState::Damaged, what.to_owned());
            }
            None => {}
        }
        Ok(())
    }

    fn manifest<D: Disk>(&mut self, disk: &D) -> Result<Option<Manifest>, LogError> {
        let found = self.keep(Manifest::read_any(disk))?;
        if let Some(Some(manifest)) = found {
            let what = format!(
                "the log of cluster {}, from segment {} on",
                manifest.cluster, manifest.first_segment
            );
            self.say(MANIFEST_FILE, 0, FindingState::Good, what);
            self.owner = Some((manifest.cluster, manifest.group));
        } else if found.is_some() {
            self.say(MANIFEST_FILE, 0, FindingState::Damaged, "the file is missing".to_owned());
        }
        Ok(found.flatten())
    }

    /// How far the log went when the node was stopped.
    fn closing<D: Disk>(&mut self, disk: &D) -> Result<(), LogError> {
        let (found, flaw) = self.keep(Closing::read(disk))?.flatten().unzip();
        if let Some(Note { file, offset, what }) = flaw.flatten() {
            self.say(&file, offset, FindingState::Repairable, what);
        }
        if let Some(closed) = found {
            let what = format!(
                "stopped in order with batch {}, which ends at {}:{}, last entry {}",
                closed.next_batch.saturating_sub(1),
                segment_name(closed.end.segment),
                closed.end.offset,
                closed.last
            );
            self.say(CLOSED_FILE, 0, FindingState::Good, what);
        }
        self.closed = found;
        Ok(())
    }

    /// The log and the snapshots as a start would see them.
    fn whole<D: Disk + Clone>(
        &mut self,
        disk: &D,
        manifest: Option<Manifest>,
        segments: &[u64],
    ) -> Result<(), LogError> {
        let Some((cluster, group)) = self.owner else { return Ok(()) };
        let base = manifest.map_or(EntryId::ZERO, |manifest| manifest.base);
        let options =
            LogOptions { group, window_bytes_max: 0, opens_damaged: true, ..LogOptions::new(cluster, None) };
        let expected = Expected { closed: self.closed, ..Expected::new(&options, base) };
        let Some(examined) = self.keep(examine(disk, expected, segments))? else { return Ok(()) };
        if let Some(closed) = self.closed {
            self.keep(closed.check(&examined.closing(&options)))?;
        }
        let index = &examined.replay.index;
        let snapshots = SnapshotOptions { cluster, group, piece_bytes: 1 };
        let meeting = self.keep(Meeting::find(disk, &snapshots, index, true))?.unwrap_or_default();
        for note in examined.replay.notes.iter().chain(&meeting.notes) {
            self.say(&note.file, note.offset, FindingState::Repairable, note.what.clone());
        }
        let covered = meeting.snapshot.map_or(base.index, |meta| meta.last.index);
        let file = segment_name(examined.end.segment);
        for id in index.damaged().filter(|id| id.index > covered) {
            self.totals.lost_entries += 1;
            let what = format!("entry {id} is lost here: a peer has its bytes, or nobody");
            // Each has its line, whatever stands at the place.
            let state = FindingState::Repairable;
            (self.on_finding)(&Finding { file: SEGMENT_DIR.to_owned(), offset: 0, what, state });
        }
        let HardState { term, vote } = examined.replay.hard_state;
        let what = format!("the log ends: last entry {}, {term}, vote {}", index.last(), show_vote(vote));
        self.say(&file, examined.end.offset, FindingState::Good, what);
        Ok(())
    }

    /// The snapshots, each read to its end. What a damaged one means for the node is said with the log as a whole.
    fn snapshots<D: Disk + Clone>(&mut self, disk: &D) -> Result<(), LogError> {
        let Some((cluster, group)) = self.owner else { return Ok(()) };
        let options = SnapshotOptions { cluster, group, piece_bytes: 1 };
        for (last, origin) in snapshot_file::list(disk).unwrap_or_default() {
            let name = snapshot_file::file_name(last, origin);
            let found = SnapshotFile::open_as(disk, &options, last, origin);
            let checked = found.and_then(|found| found.check().map(|()| found));
            let found = match checked {
                Ok(found) => found,
                Err(LogError::Corrupt { offset, what, .. }) => {
                    self.say(&name, offset, FindingState::Repairable, what);
                    continue;
                }
                Err(error) => {
                    self.keep::<()>(Err(error))?;
                    continue;
                }
            };
            self.totals.snapshots += 1;
            let (bytes, pieces) = (found.name().bytes, found.pieces() - 1);
            let what = format!("a snapshot up to entry {last}: {bytes} bytes, its state in {pieces} pieces");
            self.say(&name, 0, FindingState::Good, what);
        }
        Ok(())
    }

    fn segment<D: Disk>(&mut self, disk: &D, segment: u64, is_last: bool) -> Result<(), LogError> {
        let file = segment_name(segment);
        let Some(bytes) = self.keep(read_whole(disk, &file))? else { return Ok(()) };
        self.totals.segments += 1;
        let header = bytes.first_chunk::<SECTOR>().map(|sector| SegmentHeader::decode(&file, sector));
        let Some(header) = header else {
            self.say(
                &file,
                0,
                FindingState::Damaged,
                "the file is shorter than a segment's header".to_owned(),
            );
            return Ok(());
        };
        let Some(header) = self.keep(header)? else { return Ok(()) };
        let HardState { term, vote } = header.hard_state;
        let what = format!(
            "segment {} of cluster {}, {} bytes, after entry {}, from batch {} on, {term}, vote {}",
            header.segment,
            header.cluster,
            header.len,
            header.previous,
            header.batch,
            show_vote(vote)
        );
        self.say(&file, 0, FindingState::Good, what);
        self.owner = self.owner.or(Some((header.cluster, header.group)));
        let seed = Seed::new(header.cluster, segment);
        self.batches(
            &SegmentBytes { file: &file, segment, group: header.group, seed, bytes: &bytes },
            is_last,
        );
        Ok(())
    }

    fn batches(&mut self, segment: &SegmentBytes<'_>, is_last: bool) {
        let mut at = SECTOR;
        loop {
            match segment.scan(at) {
                Scanned::Batch(batch) => {
                    self.batch(segment, at, &batch);
                    at = batch.end;
                }
                Scanned::Seal(next) => {
                    let what = format!("the log goes on in {}", segment_name(next));
                    return self.say(segment.file, at as u64, FindingState::Good, what);
                }
                Scanned::Broken(broken) => {
                    let nothing =
                        broken.case == Case::NoStart && is_zero(segment.bytes.get(at..).unwrap_or(&[]));
                    if nothing {
                        return;
                    }
                    match self.broken(segment, at, &broken, is_last) {
                        Some(end) => at = end,
                        None => return,
                    }
                }
            }
        }
    }

    /// A place where no whole batch stands; where to look on, if there is anything.
    fn broken(
        &mut self,
        segment: &SegmentBytes<'_>,
        at: usize,
        broken: &Broken,
        is_last: bool,
    ) -> Option<usize> {
        let proven = Proven::of(self.closed);
        if is_last && (proven.through.segment, proven.through.offset) == (segment.segment, at as u64) {
            // Behind the end: what a start says of it is said with the log as a whole.
            return None;
        }
        if is_last && tail::judge(segment, at, broken, proven).is_ok() {
            let what = format!("{}; the next start cuts here", broken.what);
            self.say(segment.file, at as u64, FindingState::Torn, what);
            return None;
        }
        if let Some(batch) = segment.salvage(at, broken) {
            for (place, what) in &batch.flaws {
                self.say(segment.file, *place as u64, FindingState::Repairable, what.clone());
            }
            self.batch(segment, at, &batch);
            return Some(batch.end);
        }
        self.say(segment.file, broken.at as u64, FindingState::Damaged, broken.what.clone());
        // What stands behind the damage is still worth a look.
        let behind = (at + SECTOR..segment.bytes.len()).step_by(SECTOR);
        behind.into_iter().find(|at| matches!(segment.scan(*at), Scanned::Batch(_) | Scanned::Seal(_)))
    }

    fn batch(&mut self, segment: &SegmentBytes<'_>, at: usize, batch: &Batch) {
        self.totals.batches += 1;
        let runs: Vec<String> = batch
            .runs
            .iter()
            .map(|run| {
                format!("{}..={}", run.first, run.first.index.0.saturating_add(run.len).saturating_sub(1))
            })
            .collect();
        let what = format!(
            "batch {}, {} bytes, entries [{}], all before {}:{} durable",
            batch.head.number,
            batch.end - at,
            runs.join(", "),
            segment_name(batch.head.durable.segment),
            batch.head.durable.offset
        );
        self.say(segment.file, at as u64, FindingState::Good, what);
        for item in &batch.items {
            let Item::Record(place, record) = item else { continue };
            let body = segment.bytes.get(record.body.clone()).unwrap_or(&[]);
            if record.head.kind == Kind::HardState {
                self.totals.hard_states += 1;
            } else {
                self.totals.entries += 1;
            }
            if self.records {
                self.say(segment.file, *place as u64, FindingState::Good, show_record(record, body));
            }
        }
    }
}

/// A record in words: never its payload, only length and checksum.
fn show_record(record: &Record, mut body: &[u8]) -> String {
    let (id, len) = (EntryId::new(record.head.term, record.head.index), body.len());
    let kind = match record.head.kind {
        Kind::HardState if len == HARD_STATE_LEN => {
            let (term, vote) = (Term(body.get_u64_le()), NodeId::checked(body.get_u64_le()));
            return format!("hard state {term}, vote {}", show_vote(vote));
        }
        Kind::HardState => "hard state of another length",
        Kind::Noop => "no-op",
        Kind::Command => "command",
        Kind::Membership => "membership",
        Kind::RepairedNoop => "repaired no-op",
        Kind::RepairedCommand => "repaired command",
        Kind::RepairedMembership => "repaired membership",
        Kind::Start | Kind::Footer | Kind::Seal => "frame",
    };
    let checksum = crc32c::crc32c(body);
    format!("{kind} {id}, {len} bytes, crc32c {checksum:08x}, timestamp {} ms", record.head.timestamp_ms)
}

fn show_vote(vote: Option<NodeId>) -> String {
    vote.map_or_else(|| "none".to_owned(), |node| node.to_string())
}
