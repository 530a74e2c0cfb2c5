//! How a log is opened: the file LOG says that there is one and where it begins, the segments are examined and repaired, and a new
//! log gets its first segment and its first entry.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::planted::{self, Bug};
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, GroupId, Index};

use crate::batch::Encoder;
use crate::closed::Closing;
use crate::compaction::{Anew, FOLLOWS_NOTHING, SegmentMark, begin_anew};
use crate::disk::Disk;
use crate::error::LogError;
use crate::identity;
use crate::index::LogIndex;
use crate::log::LogOptions;
use crate::meeting::Meeting;
use crate::read::read_chunk;
use crate::record::{SECTOR, Seed};
use crate::recovery::{Examined, Expected, SEGMENT_BYTES_MAX, examine, repair};
use crate::segment::{BESIDE, Position, SEGMENT_DIR, SegmentHeader, create, segment_name, segment_of_name};
use crate::small_file;
use crate::snapshot_file::{self, SNAPSHOT_DIR, SnapshotOptions};

/// What the writer goes on from.
pub(crate) struct Opened<F> {
    pub(crate) file: F,
    pub(crate) segment_len: u64,
    pub(crate) end: Position,
    pub(crate) next_batch: u64,
    pub(crate) index: LogIndex,
    pub(crate) marks: VecDeque<SegmentMark>,
    pub(crate) hard_state: HardState,
    pub(crate) notes: Vec<String>,
}

/// The file LOG. It is made when the first entry is durable: from then on a log that is gone is missed, not made anew; a node
/// that had forgotten its votes and entries could elect a second leader.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    /// The first segment of the log.
    pub(crate) first_segment: u64,
    /// The entry before the first one in the log.
    pub(crate) base: EntryId,
}

/// Opens the log or makes it.
pub(crate) fn open<D: Disk + Clone>(
    disk: &D,
    options: &LogOptions,
) -> Result<(Opened<D::File>, Stored), LogError> {
    let in_bounds = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX as u64).contains(&options.segment_bytes);
    assert!(in_bounds, "segment_bytes is between 4,096 and 1 GiB");
    assert!(options.segment_bytes.is_multiple_of(SECTOR as u64), "segment_bytes is a multiple of 512");
    let manifest = Manifest::read(disk, options.cluster, options.group)?;
    let (closed, flaw) = Closing::read(disk)?.unzip();
    if manifest.is_none() {
        refuse_without_manifest(disk, closed)?;
    }
    let mut segments = list_segments(disk, manifest.as_ref())?;
    if segments.is_empty() {
        create(disk, &first_header(options))?;
        segments.push(FIRST_SEGMENT);
    }
    let base = manifest.map_or(EntryId::ZERO, |manifest| manifest.base);
    let expected = Expected { closed, ..Expected::new(options, base) };
    let mut examined = examine(disk, expected, &segments)?;
    if manifest.is_none() && (segments.len() > 1 || examined.replay.batches > 1) {
        let what = "the file is missing, but the log is older than its making";
        return Err(LogError::corrupt(MANIFEST_FILE, 0, what));
    }
    if let Some(closed) = closed {
        closed.check(&examined.closing(options))?;
    }
    let snapshots = SnapshotOptions { cluster: options.cluster, group: options.group, piece_bytes: 1 };
    let mut meeting = Meeting::find(disk, &snapshots, &examined.replay.index, options.opens_damaged)?;
    if closed.is_some() && meeting.unfinished {
        let what = "the log does not hold what the newest snapshot covers, but the node was stopped in order";
        return Err(LogError::corrupt(SEGMENT_DIR, 0, what));
    }
    // From here on files change: what has to be refused was refused.
    meeting.put_aside(disk)?;
    if meeting.snapshot.is_some() {
        // Its name may be there and not durable: after a sync of the folder that failed, or was cut short. Older snapshots are removed on the
        // strength of this one.
        let synced = disk.sync_dir(SNAPSHOT_DIR);
        synced.map_err(|error| LogError::io("cannot sync", SNAPSHOT_DIR, error))?;
    }
    remove_unfinished(disk, &segments)?;
    let mut file = repair(disk, expected, &examined)?;
    if manifest.is_none() {
        if examined.replay.batches == 0 && options.bootstrap.is_some() {
            write_bootstrap(disk, &file, options, &examined)?;
            examined = examine(disk, expected, &segments)?;
        }
        let manifest = Manifest {
            cluster: options.cluster,
            group: options.group,
            first_segment: FIRST_SEGMENT,
            base: EntryId::ZERO,
        };
        manifest.write(disk)?;
    }
    if let (true, Some(meta)) = (meeting.unfinished, &meeting.snapshot) {
        (file, examined) = finish_install(disk, options, &examined, meta)?;
    }
    let mut notes = std::mem::take(&mut examined.replay.notes);
    notes.append(&mut meeting.notes);
    notes.extend(flaw.flatten());
    let stored = stored(&mut examined, meeting);
    let Examined { replay, header, end, .. } = examined;
    let opened = Opened {
        file,
        segment_len: header.len,
        end,
        next_batch: replay.next_batch,
        index: replay.index,
        marks: replay.marks,
        hard_state: replay.hard_state,
        notes: notes.iter().map(ToString::to_string).collect(),
    };
    Ok((opened, stored))
}

/// D14: the file LOG is missing. That is in order only if there never was one.
fn refuse_without_manifest<D: Disk>(disk: &D, closed: Option<Closing>) -> Result<(), LogError> {
    let what = if closed.is_some() {
        "the file is missing, but this node was stopped in order, which it does with a log only"
    } else if identity::has_met_peers(disk)? {
        "the file is missing, but this node has met its peers, which it does with a log only: the log was here and is gone"
    } else if !snapshot_file::list(disk)?.is_empty() {
        "the file is missing, but there is a snapshot, which a node takes of a log only"
    } else {
        return Ok(());
    };
    Err(LogError::corrupt(MANIFEST_FILE, 0, what))
}

/// Does again what a crash interrupted: the log begins anew behind the received snapshot. A vote given in an older term than that in
/// which the snapshot was taken is void; a term may always rise.
fn finish_install<D: Disk>(
    disk: &D,
    options: &LogOptions,
    examined: &Examined,
    meta: &SnapshotMeta,
) -> Result<(D::File, Examined), LogError> {
    let (base, found) = (meta.last, examined.replay.hard_state);
    let hard_state = if found.term >= meta.term { found } else { HardState { term: meta.term, vote: None } };
    let anew =
        Anew { base, segment: examined.end.segment + 1, batch: examined.replay.next_batch, hard_state };
    let (file, _) = begin_anew(disk, options, anew)?;
    for mark in &examined.replay.marks {
        let name = segment_name(mark.segment);
        disk.remove(&name).map_err(|error| LogError::io("cannot remove", &name, error))?;
    }
    let examined = examine(disk, Expected::new(options, base), &[anew.segment])?;
    assert!(examined.replay.index.last() == base, "log and snapshot meet");
    Ok((file, examined))
}

impl Manifest {
    /// Reads the file LOG, if there is one, and checks that it is this cluster's.
    pub(crate) fn read<D: Disk>(
        disk: &D,
        cluster: ClusterId,
        group: GroupId,
    ) -> Result<Option<Manifest>, LogError> {
        let Some(manifest) = Manifest::read_any(disk)? else { return Ok(None) };
        if manifest.cluster != cluster {
            let file = MANIFEST_FILE.to_owned();
            return Err(LogError::OtherCluster { file, found: manifest.cluster, wanted: cluster });
        }
        if manifest.group != group {
            return Err(LogError::corrupt(MANIFEST_FILE, 0, "the log belongs to another group"));
        }
        Ok(Some(manifest))
    }

    /// Reads the file LOG of whichever cluster.
    pub(crate) fn read_any<D: Disk>(disk: &D) -> Result<Option<Manifest>, LogError> {
        let Some(body) = small_file::read(disk, MANIFEST_FILE, MANIFEST_MAGIC)? else { return Ok(None) };
        let mut fields = &body[..];
        if fields.len() != MANIFEST_LEN {
            return Err(LogError::corrupt(MANIFEST_FILE, 0, "the file has another length than it should"));
        }
        let mut cluster = ClusterId([0; 16]);
        fields.copy_to_slice(&mut cluster.0);
        Ok(Some(Manifest {
            cluster,
            group: GroupId(fields.get_u32_le()),
            first_segment: fields.get_u64_le(),
            base: EntryId::new(fields.get_u64_le(), fields.get_u64_le()),
        }))
    }

    pub(crate) fn write<D: Disk>(&self, disk: &D) -> Result<(), LogError> {
        let mut body = self.cluster.0.to_vec();
        body.put_u32_le(self.group.0);
        body.put_u64_le(self.first_segment);
        body.put_u64_le(self.base.term.0);
        body.put_u64_le(self.base.index.0);
        assert!(body.len() == MANIFEST_LEN, "the file is written as it is read");
        small_file::replace(disk, MANIFEST_FILE, MANIFEST_MAGIC, &body)
    }
}

/// The segments that there are, in order; D7 if one is missing in front or in the middle.
pub(crate) fn list_segments<D: Disk>(disk: &D, manifest: Option<&Manifest>) -> Result<Vec<u64>, LogError> {
    let names = disk.list(SEGMENT_DIR).map_err(|error| LogError::io("cannot list", SEGMENT_DIR, error))?;
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_of_name(name)).collect();
    segments.sort_unstable();
    let first = manifest.map_or(FIRST_SEGMENT, |manifest| manifest.first_segment);
    // What was before was compacted, and a crash came before it was removed.
    segments.retain(|segment| *segment >= first);
    if segments.last().is_some_and(|last| *last > first && follows_nothing(disk, *last)) {
        segments.pop();
    }
    for (expected, found) in (first..).zip(&segments) {
        if expected != *found {
            let what = format!("the segment is missing, but there is {}", segment_name(*found));
            return Err(LogError::corrupt(&segment_name(expected), 0, what));
        }
    }
    if manifest.is_some() && segments.is_empty() && !planted::is(Bug::LostLogMadeAnew) {
        return Err(LogError::corrupt(
            &segment_name(first),
            0,
            "the segment is missing: the log was here and is gone",
        ));
    }
    Ok(segments)
}

/// Whether the segment was made to begin a log behind a received snapshot. One that is not the first was not named by the file LOG
/// before a crash came, so it holds nothing. One that cannot be read is examined with the others, and named.
fn follows_nothing<D: Disk>(disk: &D, segment: u64) -> bool {
    let name = segment_name(segment);
    let header = disk.open(&name).and_then(|file| read_chunk(disk, &file, 0, SECTOR)).ok();
    let header = header.as_ref().and_then(|bytes| bytes.first_chunk::<SECTOR>());
    let header = header.and_then(|sector| SegmentHeader::decode(&name, sector).ok());
    header.is_some_and(|header| header.previous_end == FOLLOWS_NOTHING)
}

/// Removes what a crash left half made, and segments that the log no longer has. Nobody asks for these files; that they are gone need not
/// be durable.
fn remove_unfinished<D: Disk>(disk: &D, segments: &[u64]) -> Result<(), LogError> {
    let failed = |error| LogError::io("cannot tidy", SEGMENT_DIR, error);
    for name in disk.list(SEGMENT_DIR).map_err(failed)? {
        let unfinished = name.strip_suffix(BESIDE).is_some_and(|name| segment_of_name(name).is_some());
        if unfinished || segment_of_name(&name).is_some_and(|segment| !segments.contains(&segment)) {
            disk.remove(&format!("{SEGMENT_DIR}/{name}")).map_err(failed)?;
        }
    }
    Ok(())
}

fn first_header(options: &LogOptions) -> SegmentHeader {
    SegmentHeader {
        cluster: options.cluster,
        group: options.group,
        segment: FIRST_SEGMENT,
        len: options.segment_bytes,
        previous_end: 0,
        previous: EntryId::ZERO,
        batch: 1,
        hard_state: HardState::default(),
    }
}

/// Writes the entry that all initial members share, durably.
fn write_bootstrap<D: Disk>(
    disk: &D,
    file: &D::File,
    options: &LogOptions,
    examined: &Examined,
) -> Result<(), LogError> {
    let Some(membership) = &options.bootstrap else { return Ok(()) };
    assert!(examined.end.offset == SECTOR as u64, "the first entry stands at the front of the first segment");
    let mut encoder = Encoder::new(options.group, Seed::new(options.cluster, FIRST_SEGMENT));
    encoder.begin(
        Seed::new(options.cluster, FIRST_SEGMENT),
        examined.end.offset,
        examined.end,
        examined.replay.next_batch,
        examined.replay.hard_state,
    );
    encoder.entry(&Entry::bootstrap(membership.clone()));
    encoder.finish();
    let name = segment_name(FIRST_SEGMENT);
    let failed = |error| LogError::io("cannot write", &name, error);
    assert!(
        examined.end.offset + encoder.bytes().len() as u64 <= examined.header.len,
        "a membership fits a segment"
    );
    disk.write_at(file, encoder.bytes(), examined.end.offset).map_err(failed)?;
    disk.sync(file).map_err(failed)
}

/// What the core starts from. Entries that are damaged and covered by the snapshot are not missed: the log begins behind them.
fn stored(examined: &mut Examined, meeting: Meeting) -> Stored {
    let Meeting { snapshot, lost, .. } = meeting;
    let covered = snapshot.as_ref().map_or(Index(0), |meta| meta.last.index);
    let index = &mut examined.replay.index;
    let unwanted = index.damaged().rfind(|id| id.index <= covered);
    if let Some(unwanted) = unwanted {
        index.compact(unwanted);
    }
    let damaged: Vec<EntryId> = index.damaged().collect();
    let tail = examined.take_tail();
    let index = &examined.replay.index;
    if let Some(newest) = tail.last() {
        assert!(newest.id == index.last(), "the newest entry in memory is the last of the log");
    }
    let tail: Vec<Entry> = tail.into_iter().filter(|entry| entry.id.index > index.base().index).collect();
    Stored {
        hard_state: examined.replay.hard_state,
        snapshot_lost: lost,
        base: index.base(),
        term_starts: index.term_starts().to_vec(),
        memberships: memberships(snapshot.as_ref(), &examined.replay.memberships),
        snapshot,
        damaged,
        tail,
        last: index.last(),
    }
}

/// The membership that the snapshot carries, and those that the log names after it.
fn memberships(
    snapshot: Option<&SnapshotMeta>,
    in_log: &[(Index, Arc<Membership>)],
) -> Vec<(Index, Arc<Membership>)> {
    let covered = snapshot.map(|meta| (meta.membership_index, Arc::clone(&meta.membership)));
    let from = covered.as_ref().map_or(Index(0), |(index, _)| *index);
    covered.into_iter().chain(in_log.iter().filter(|(index, _)| *index > from).cloned()).collect()
}

/// The number of the first segment of a new log.
pub(crate) const FIRST_SEGMENT: u64 = 1;
/// A segment holds at least its header, a membership of some hundred members, a vote and its seal.
const SEGMENT_BYTES_MIN: u64 = 4096;
/// The file that says that there is a log.
pub(crate) const MANIFEST_FILE: &str = "LOG";
const MANIFEST_MAGIC: [u8; 8] = *b"QRTEWAL\n";
const MANIFEST_LEN: usize = 44;
