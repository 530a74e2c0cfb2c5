//! A look into the log of a stopped node, without the lock and without a change: for `quorate log inspect`.

use std::fmt;

use bytes::Buf;
use quorate_core::entry::HardState;
use quorate_core::types::{ClusterId, EntryId, GroupId, NodeId, Term};

use crate::disk::Disk;
use crate::error::LogError;
use crate::open::{MANIFEST_FILE, Manifest, list_segments};
use crate::record::{Kind, Record, SECTOR, Seed, is_zero};
use crate::recovery::{Expected, HARD_STATE_LEN, examine, read_whole};
use crate::scan::{Batch, Case, Scanned, SegmentBytes};
use crate::segment::{SEGMENT_DIR, SegmentHeader, segment_name, segment_of_name};
use crate::snapshot_file::{self, SnapshotFile, SnapshotOptions};
use crate::tail;

/// One thing found in the log; its `Display` is one line. Never shows a payload, only its length and checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file's name within the data folder.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What stands there, in words.
    pub what: String,
    /// Whether it is damage, or a torn tail (that a start will cut), or in order.
    pub state: FindingState,
}

/// Whether what was found is in order.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FindingState {
    /// In order.
    Good,
    /// Left by a crash; the next start cuts it.
    Torn,
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
    /// Findings that are [`FindingState::Damaged`].
    pub damages: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            FindingState::Good => "",
            FindingState::Torn => "TORN ",
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
    let mut look = Look { records, on_finding, totals: Totals::default(), damages: Vec::new(), owner: None };
    let manifest = look.keep(Manifest::read_any(disk))?.flatten();
    if let Some(manifest) = manifest {
        let what =
            format!("the log of cluster {}, from segment {} on", manifest.cluster, manifest.first_segment);
        look.say(MANIFEST_FILE, 0, FindingState::Good, what);
        look.owner = Some((manifest.cluster, manifest.group));
    }
    let names = disk.list(SEGMENT_DIR).map_err(|error| LogError::io("cannot list", SEGMENT_DIR, error))?;
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_of_name(name)).collect();
    segments.sort_unstable();
    for segment in &segments {
        look.segment(disk, *segment, segments.last() == Some(segment))?;
    }
    look.snapshots(disk)?;
    let segments = look.keep(list_segments(disk, manifest.as_ref()))?.unwrap_or_default();
    if let (Some((cluster, group)), false) = (look.owner, segments.is_empty()) {
        let base = manifest.map_or(EntryId::ZERO, |manifest| manifest.base);
        let expected = Expected { cluster, group, window_bytes_max: 0, base };
        if let Some(examined) = look.keep(examine(disk, expected, &segments))? {
            let file = segment_name(examined.end.segment);
            let HardState { term, vote } = examined.replay.hard_state;
            let what = format!(
                "the log ends: last entry {}, {term}, vote {}",
                examined.replay.index.last(),
                show_vote(vote)
            );
            look.say(&file, examined.end.offset, FindingState::Good, what);
        }
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
}

impl Look<'_> {
    fn say(&mut self, file: &str, offset: u64, state: FindingState, what: String) {
        if state == FindingState::Damaged {
            if self.damages.iter().any(|(known, at)| known == file && *at == offset) {
                return;
            }
            self.damages.push((file.to_owned(), offset));
            self.totals.damages += 1;
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

    /// The snapshots, each read to its end.
    fn snapshots<D: Disk + Clone>(&mut self, disk: &D) -> Result<(), LogError> {
        let Some((cluster, group)) = self.owner else { return Ok(()) };
        let options = SnapshotOptions { cluster, group, piece_bytes: 1 };
        for (last, origin) in snapshot_file::list(disk).unwrap_or_default() {
            let name = snapshot_file::file_name(last, origin);
            let Some(found) = self.keep(SnapshotFile::open(disk, &options, last))?.flatten() else {
                continue;
            };
            let (bytes, pieces) = (found.name().bytes, found.pieces());
            self.totals.snapshots += 1;
            match std::io::copy(&mut found.into_reader(), &mut std::io::sink()) {
                Ok(len) => {
                    let what = format!(
                        "a snapshot up to entry {last}: {len} bytes of state in {} pieces, {bytes} bytes in all",
                        pieces - 1
                    );
                    self.say(&name, 0, FindingState::Good, what);
                }
                Err(error) => self.say(&name, 0, FindingState::Damaged, error.to_string()),
            }
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
                    match tail::judge(segment, at, &broken) {
                        Ok(_) if is_last => {
                            let what = format!("{}; the next start cuts here", broken.what);
                            return self.say(segment.file, at as u64, FindingState::Torn, what);
                        }
                        Ok(_) => self.say(segment.file, broken.at as u64, FindingState::Damaged, broken.what),
                        Err(LogError::Corrupt { offset, what, .. }) => {
                            self.say(segment.file, offset, FindingState::Damaged, what);
                        }
                        Err(error) => {
                            self.say(segment.file, at as u64, FindingState::Damaged, error.to_string())
                        }
                    }
                    // What stands behind the damage is still worth a look.
                    at += SECTOR;
                    while at < segment.bytes.len()
                        && !matches!(segment.scan(at), Scanned::Batch(_) | Scanned::Seal(_))
                    {
                        at += SECTOR;
                    }
                }
            }
        }
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
        for (place, record) in &batch.records {
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
        Kind::Start | Kind::Footer | Kind::Seal => "frame",
    };
    let checksum = crc32c::crc32c(body);
    format!("{kind} {id}, {len} bytes, crc32c {checksum:08x}, timestamp {} ms", record.head.timestamp_ms)
}

fn show_vote(vote: Option<NodeId>) -> String {
    vote.map_or_else(|| "none".to_owned(), |node| node.to_string())
}
