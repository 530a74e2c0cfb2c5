//! The file CLOSED: how far the log went when its node was stopped in order. It is there only while the node is stopped: what a disk
//! takes back meanwhile, at the end of the log too, is missed at the next start.
//!
//! It is kept twice, in two folders, because whoever loses it loses only the proof: a log without it is opened as after a crash.

use bytes::{Buf, BufMut};
use quorate_core::entry::HardState;
use quorate_core::types::{ClusterId, EntryId, GroupId, NodeId};

use crate::batch::take_hard_state;
use crate::disk::Disk;
use crate::error::LogError;
use crate::identity;
use crate::recovery::Note;
use crate::segment::{Position, SEGMENT_DIR, segment_name};
use crate::small_file;

/// What was durable when the node was stopped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Closing {
    pub(crate) cluster: ClusterId,
    pub(crate) group: GroupId,
    /// The first segment of the log.
    pub(crate) first_segment: u64,
    /// Where the last batch ends.
    pub(crate) end: Position,
    /// The number that the next batch would have had.
    pub(crate) next_batch: u64,
    /// The last entry.
    pub(crate) last: EntryId,
    pub(crate) hard_state: HardState,
}

impl Closing {
    /// Writes the file, twice, durably. Everything that it speaks of is durable already. Which peers the node has met is noted with it.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> Result<(), LogError> {
        let mut body = self.cluster.0.to_vec();
        body.put_u32_le(self.group.0);
        for number in [
            self.first_segment,
            self.end.segment,
            self.end.offset,
            self.next_batch,
            self.last.term.0,
            self.last.index.0,
            self.hard_state.term.0,
            self.hard_state.vote.map_or(0, NodeId::get),
        ] {
            body.put_u64_le(number);
        }
        assert!(body.len() == CLOSING_LEN, "the file is written as it is read");
        body.put_slice(&identity::peers_body(disk)?.unwrap_or_default());
        for name in NAMES {
            small_file::replace(disk, name, CLOSED_MAGIC, &body)?;
        }
        Ok(())
    }

    /// What both files say, or the one that is left, and what is wrong with the other.
    ///
    /// # Errors
    /// If the two contradict each other, or a peer is not known any more that was known when the node was stopped.
    pub(crate) fn read<D: Disk>(disk: &D) -> Result<Option<(Closing, Option<Note>)>, LogError> {
        let [one, other] = NAMES.map(|name| (name, small_file::read(disk, name, CLOSED_MAGIC)));
        let mut flaw = None;
        let (name, body) = match (one, other) {
            ((_, Ok(None)), (_, Ok(None))) => return Ok(None),
            ((name, Ok(Some(body))), (twin, Ok(Some(same)))) => {
                if body != same {
                    let what = format!("the file says something else of the end of the log than {twin}");
                    return Err(LogError::corrupt(name, 0, what));
                }
                (name, body)
            }
            ((name, Ok(Some(body))), (twin, Ok(None))) | ((twin, Ok(None)), (name, Ok(Some(body)))) => {
                let what = format!("the file is missing, but not its twin {name}");
                flaw = Some(Note { file: twin.to_owned(), offset: 0, what });
                (name, body)
            }
            ((name, Ok(Some(body))), (_, Err(LogError::Corrupt { file, offset, what })))
            | ((_, Err(LogError::Corrupt { file, offset, what })), (name, Ok(Some(body)))) => {
                flaw = Some(Note { file, offset, what });
                (name, body)
            }
            ((_, Err(error)), _) | (_, (_, Err(error))) => return Err(error),
        };
        let mut fields = body.as_slice();
        if fields.len() < CLOSING_LEN {
            return Err(LogError::corrupt(name, 0, "the file is shorter than it should be"));
        }
        let mut cluster = ClusterId([0; 16]);
        fields.copy_to_slice(&mut cluster.0);
        let closing = Closing {
            cluster,
            group: GroupId(fields.get_u32_le()),
            first_segment: fields.get_u64_le(),
            end: Position { segment: fields.get_u64_le(), offset: fields.get_u64_le() },
            next_batch: fields.get_u64_le(),
            last: EntryId::new(fields.get_u64_le(), fields.get_u64_le()),
            hard_state: take_hard_state(&mut fields),
        };
        identity::refuse_fewer_peers(disk, fields)?;
        Ok(Some((closing, flaw)))
    }

    /// D19: the log is the one that was left when the node was stopped.
    pub(crate) fn check(&self, found: &Closing) -> Result<(), LogError> {
        if self == found {
            return Ok(());
        }
        let words = |closing: &Closing| {
            format!(
                "from {} to {} byte {}, batch {}, entry {}, {}, vote {}",
                segment_name(closing.first_segment),
                segment_name(closing.end.segment),
                closing.end.offset,
                closing.next_batch.saturating_sub(1),
                closing.last,
                closing.hard_state.term,
                closing.hard_state.vote.map_or_else(|| "none".to_owned(), |node| node.to_string())
            )
        };
        let what = format!(
            "the log goes {}, but when the node was stopped it went {}: a file is not the one that was here then",
            words(found),
            words(self)
        );
        Err(LogError::corrupt(&segment_name(found.end.segment), found.end.offset, what))
    }
}

/// Removes the files durably, before the first change of what they speak of.
pub(crate) fn remove<D: Disk>(disk: &D) -> Result<(), LogError> {
    for (name, folder) in NAMES.into_iter().zip(["", SEGMENT_DIR]) {
        let failed = |error| LogError::io("cannot remove", name, error);
        match disk.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        disk.sync_dir(folder).map_err(failed)?;
    }
    Ok(())
}

/// The file in the data folder; its twin stands with the segments.
pub(crate) const CLOSED_FILE: &str = "CLOSED";
const NAMES: [&str; 2] = [CLOSED_FILE, "wal/CLOSED"];
const CLOSED_MAGIC: [u8; 8] = *b"QRTEEND\n";
const CLOSING_LEN: usize = 84;
