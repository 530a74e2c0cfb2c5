//! How a log is opened: the file LOG says that there is one and where it begins, the segments are examined and repaired, and a new
//! log gets its first segment and its first entry.

use bytes::{Buf, BufMut};
use quorate_core::entry::{Entry, HardState};
use quorate_core::planted::{self, Bug};
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, GroupId, Index};

use crate::batch::Encoder;
use crate::disk::Disk;
use crate::error::LogError;
use crate::identity;
use crate::index::LogIndex;
use crate::log::LogOptions;
use crate::read::ReadPlan;
use crate::record::{SECTOR, Seed};
use crate::recovery::{Examined, Expected, SEGMENT_BYTES_MAX, examine, repair};
use crate::segment::{BESIDE, Position, SEGMENT_DIR, SegmentHeader, create, segment_name, segment_of_name};
use crate::small_file;

/// What the writer goes on from.
pub(crate) struct Opened<F> {
    pub(crate) file: F,
    pub(crate) segment_len: u64,
    pub(crate) end: Position,
    pub(crate) next_batch: u64,
    pub(crate) index: LogIndex,
    pub(crate) hard_state: HardState,
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
pub(crate) fn open<D: Disk>(disk: &D, options: &LogOptions) -> Result<(Opened<D::File>, Stored), LogError> {
    let in_bounds = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX as u64).contains(&options.segment_bytes);
    assert!(in_bounds, "segment_bytes is between 4,096 and 1 GiB");
    assert!(options.segment_bytes.is_multiple_of(SECTOR as u64), "segment_bytes is a multiple of 512");
    let expected = Expected {
        cluster: options.cluster,
        group: options.group,
        window_bytes_max: options.window_bytes_max,
    };
    let manifest = Manifest::read(disk, options.cluster, options.group)?;
    if manifest.is_none() && identity::has_met_peers(disk)? {
        let what = "the file is missing, but this node has met its peers, which it does with a log only: the log was here and is gone";
        return Err(LogError::corrupt(MANIFEST_FILE, 0, what));
    }
    let mut segments = list_segments(disk, manifest.as_ref())?;
    if segments.is_empty() {
        create(disk, &first_header(options))?;
        segments.push(FIRST_SEGMENT);
    }
    let mut examined = examine(disk, expected, &segments)?;
    if manifest.is_none() && (segments.len() > 1 || examined.replay.batches > 1) {
        let what = "the file is missing, but the log is older than its making";
        return Err(LogError::corrupt(MANIFEST_FILE, 0, what));
    }
    remove_unfinished(disk)?;
    let file = repair(disk, expected, &examined)?;
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
    let stored = stored(disk, options.cluster, &examined)?;
    let Examined { replay, header, end, .. } = examined;
    let opened = Opened {
        file,
        segment_len: header.len,
        end,
        next_batch: replay.next_batch,
        index: replay.index,
        hard_state: replay.hard_state,
    };
    Ok((opened, stored))
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

    fn write<D: Disk>(&self, disk: &D) -> Result<(), LogError> {
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

/// Removes what a crash left half made. Nobody asks for these files; that they are gone need not be durable.
fn remove_unfinished<D: Disk>(disk: &D) -> Result<(), LogError> {
    let failed = |error| LogError::io("cannot tidy", SEGMENT_DIR, error);
    for name in disk.list(SEGMENT_DIR).map_err(failed)? {
        if name.strip_suffix(BESIDE).is_some_and(|name| segment_of_name(name).is_some()) {
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

/// What the core starts from. The newest entries are read back, so that their bytes hold no whole segment in memory.
fn stored<D: Disk>(disk: &D, cluster: ClusterId, examined: &Examined) -> Result<Stored, LogError> {
    let index = &examined.replay.index;
    let last = index.last();
    let mut tail: Vec<Entry> = Vec::new();
    let mut from = examined.window_from();
    while from <= last.index && last.index > Index(0) {
        let extents = index.extents(from, last.index, crate::read::EXTENTS_MAX);
        let plan = ReadPlan { cluster, extents, from, through: last.index, bytes_max: usize::MAX };
        tail.extend(plan.read(disk)?);
        let read_through = tail.last().map(|entry| entry.id.index);
        assert!(read_through >= Some(from), "a plan reads at least one entry");
        from = examined.window_from().plus(tail.len() as u64);
    }
    if let Some(newest) = tail.last() {
        assert!(newest.id == last, "the newest entry in memory is the last of the log");
    }
    Ok(Stored {
        hard_state: examined.replay.hard_state,
        base: EntryId::ZERO,
        term_starts: index.term_starts().to_vec(),
        memberships: examined.replay.memberships.clone(),
        tail,
        last,
    })
}

/// The number of the first segment of a new log.
const FIRST_SEGMENT: u64 = 1;
/// A segment holds at least its header, a membership of some hundred members, a vote and its seal.
const SEGMENT_BYTES_MIN: u64 = 4096;
/// The file that says that there is a log.
pub(crate) const MANIFEST_FILE: &str = "LOG";
const MANIFEST_MAGIC: [u8; 8] = *b"QRTEWAL\n";
const MANIFEST_LEN: usize = 44;
