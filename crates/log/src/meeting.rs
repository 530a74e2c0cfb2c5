//! How the snapshots and the log meet at a start: which snapshot the node goes on from, and what that means when one is damaged or
//! gone. The cases have the numbers of `docs/log-format.md`.

use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::{EntryId, Index};

use crate::disk::Disk;
use crate::error::LogError;
use crate::index::LogIndex;
use crate::recovery::Note;
use crate::segment::SEGMENT_DIR;
use crate::snapshot_file::{self, Origin, SNAPSHOT_DIR, SnapshotFile, SnapshotOptions, file_name};

/// What the node's state goes on from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Meeting {
    /// The newest snapshot that is whole and meets the log.
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// Whether that one came from a peer and a crash came before the log was begun anew behind it.
    pub(crate) unfinished: bool,
    /// No snapshot meets the log, and the log does not reach back to its beginning: what is known to have been covered.
    pub(crate) lost: Option<EntryId>,
    /// Snapshots that are of no use: damaged, or they end before the log begins.
    aside: Vec<(EntryId, Origin)>,
    pub(crate) notes: Vec<Note>,
}

impl Meeting {
    /// Looks for the newest whole snapshot that meets the log, and changes nothing. With `damage_kept` a damaged one is passed over, and
    /// none at all is no error.
    pub(crate) fn find<D: Disk + Clone>(
        disk: &D,
        options: &SnapshotOptions,
        index: &LogIndex,
        damage_kept: bool,
    ) -> Result<Meeting, LogError> {
        let mut meeting = Meeting::default();
        let (base, mut covered) = (index.base(), index.base());
        for last in aside_taken(disk)? {
            check_taken(last, index)?;
            covered = newer(covered, last);
        }
        for (last, origin) in snapshot_file::list(disk)?.into_iter().rev() {
            if origin == Origin::Taken {
                check_taken(last, index)?;
            }
            let meta = match whole(disk, options, last, origin) {
                Ok(meta) => meta,
                Err(LogError::Corrupt { file, offset, what }) if damage_kept => {
                    meeting.notes.push(Note { file, offset, what });
                    meeting.aside.push((last, origin));
                    if holds(index, last) {
                        covered = newer(covered, last);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if last.index < base.index {
                let what = format!("the snapshot ends with {last}, but the log begins after {base}");
                if !damage_kept {
                    return Err(LogError::corrupt(&file_name(last, origin), 0, what)); // R6
                }
                meeting.notes.push(Note { file: file_name(last, origin), offset: 0, what });
                meeting.aside.push((last, origin));
                continue;
            }
            meeting.unfinished = !holds(index, last);
            if meeting.unfinished && (last.index == base.index || !meeting.aside.is_empty()) {
                let what = format!("the log does not hold {last}, with which this snapshot ends"); // D18
                return Err(LogError::corrupt(&file_name(last, origin), 0, what));
            }
            meeting.snapshot = Some(meta);
            return Ok(meeting);
        }
        if base.index > Index(0) {
            let what = format!(
                "the log begins after {base}, and the snapshot that holds what was before is missing or damaged"
            );
            if !damage_kept {
                return Err(LogError::corrupt(SNAPSHOT_DIR, 0, what)); // R6
            }
            meeting.notes.push(Note { file: SNAPSHOT_DIR.to_owned(), offset: 0, what });
            meeting.lost = Some(covered);
        }
        Ok(meeting)
    }

    /// Gives the snapshots that are of no use another name, under which nobody asks for them. They stay for whoever wants to look, until
    /// a newer snapshot is there. Need not be durable: a start that finds them again does it again.
    pub(crate) fn put_aside<D: Disk>(&self, disk: &D) -> Result<(), LogError> {
        for (last, origin) in &self.aside {
            let name = file_name(*last, *origin);
            let renamed = disk.rename(&name, &format!("{name}{ASIDE}"));
            renamed.map_err(|error| LogError::io("cannot put aside", &name, error))?;
        }
        Ok(())
    }
}

/// Removes the snapshots that were put aside and end with this entry or before: a newer one is durable.
pub(crate) fn remove_aside<D: Disk>(disk: &D, newest: EntryId) -> Result<(), LogError> {
    for (last, origin) in list_aside(disk)? {
        if last.index <= newest.index {
            let name = format!("{}{ASIDE}", file_name(last, origin));
            disk.remove(&name).map_err(|error| LogError::io("cannot remove", &name, error))?;
        }
    }
    Ok(())
}

/// What the snapshot covers, after all of it was read.
fn whole<D: Disk + Clone>(
    disk: &D,
    options: &SnapshotOptions,
    last: EntryId,
    origin: Origin,
) -> Result<SnapshotMeta, LogError> {
    let found = SnapshotFile::open_as(disk, options, last, origin)?;
    let meta = found.meta().clone();
    found.check()?;
    Ok(meta)
}

/// D18: the log holds the last entry of a snapshot that this node took, whatever has become of the snapshot: its name says so.
fn check_taken(last: EntryId, index: &LogIndex) -> Result<(), LogError> {
    if last.index < index.base().index || holds(index, last) {
        return Ok(());
    }
    let what = format!(
        "the log ends with {} and does not hold {last}, of which this node took a snapshot",
        index.last()
    );
    Err(LogError::corrupt(SEGMENT_DIR, 0, what))
}

fn holds(index: &LogIndex, id: EntryId) -> bool {
    (index.base().index..=index.last().index).contains(&id.index) && index.term_at(id.index) == id.term
}

fn newer(one: EntryId, other: EntryId) -> EntryId {
    if other.index > one.index { other } else { one }
}

/// The last entries of the snapshots that were put aside and that this node took.
fn aside_taken<D: Disk>(disk: &D) -> Result<Vec<EntryId>, LogError> {
    let taken = |(last, origin)| (origin == Origin::Taken).then_some(last);
    Ok(list_aside(disk)?.into_iter().filter_map(taken).collect())
}

fn list_aside<D: Disk>(disk: &D) -> Result<Vec<(EntryId, Origin)>, LogError> {
    let names = disk.list(SNAPSHOT_DIR).map_err(|error| LogError::io("cannot list", SNAPSHOT_DIR, error))?;
    Ok(names.iter().filter_map(|name| snapshot_file::parse_name(name.strip_suffix(ASIDE)?)).collect())
}

/// What the name of a snapshot ends in that is of no use any more.
const ASIDE: &str = ".aside";
