//! How one segment goes on in the next, and what is still known where that is damaged. The end of a segment and the header of the next one
//! say the same, so either stands for the other; and a header says how far the log went before it: term, vote and the last entry's id.
//! What nobody says is not guessed. The cases have the numbers of `docs/log-format.md`.

use bytes::Bytes;
use quorate_core::types::{EntryId, Index};

use crate::compaction::{FOLLOWS_NOTHING, SegmentMark};
use crate::disk::Disk;
use crate::error::LogError;
use crate::index::LogIndex;
use crate::open::FIRST_SEGMENT;
use crate::read::read_chunk;
use crate::record::{SECTOR, is_zero};
use crate::recovery::{Expected, Note, Replay};
use crate::scan::SegmentBytes;
use crate::segment::{Position, SegmentHeader, segment_name};
use crate::tail::Suspect;

/// What the front of a segment's file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Front {
    /// The header is whole and this segment's. The file may have another length than it says.
    Whole(SegmentHeader, Option<Note>),
    /// The header is damaged. What stands behind it betrays itself if it is not this segment's.
    Damaged(Note),
    /// The header is whole and another segment's: the file is not the one that was here.
    Other(Note),
}

/// How what stands before a segment ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    /// Nothing does: the log begins here.
    Nothing,
    /// The seal names this segment.
    Sealed(Position),
    /// There is no seal, and nothing behind the last batch: a crash may have come before it.
    Unsealed(Position),
    /// There is something else than the seal where it must stand. The header of this segment says that the log ended there.
    SealDamaged,
    /// It is lost, and the header of this segment says what it held.
    Lost,
}

impl Front {
    /// Reads the first sector of a segment.
    ///
    /// # Errors
    /// If the file is not for this program or this log: a newer format, another cluster or group. [`LogError::Io`].
    pub(crate) fn read<D: Disk>(disk: &D, expected: Expected, segment: u64) -> Result<Front, LogError> {
        let file = segment_name(segment);
        let failed = |error| LogError::io("cannot read", &file, error);
        let handle = disk.open(&file).map_err(failed)?;
        let len = disk.len(&handle).map_err(failed)?;
        let bytes = read_chunk(disk, &handle, 0, SECTOR).map_err(failed)?;
        let note = |offset, what: String| Note { file: file.clone(), offset, what };
        let Some(sector) = bytes.first_chunk::<SECTOR>() else {
            return Ok(Front::Damaged(note(0, "the file is shorter than a segment's header".to_owned())));
        };
        let header = match SegmentHeader::decode(&file, sector) {
            Ok(header) => header,
            Err(LogError::Corrupt { offset, what, .. }) => return Ok(Front::Damaged(note(offset, what))),
            Err(error) => return Err(error),
        };
        if header.cluster != expected.cluster {
            let (found, wanted) = (header.cluster, expected.cluster);
            return Err(LogError::OtherCluster { file, found, wanted });
        }
        if header.segment != segment {
            let what =
                format!("the file has the name of segment {segment} and holds segment {}", header.segment);
            return Ok(Front::Other(note(0, what)));
        }
        if header.group != expected.group {
            return Err(LogError::corrupt(&file, 0, "the segment belongs to another group"));
        }
        let flaw = (header.len != len)
            .then(|| note(len, format!("the file has {len} bytes instead of {}", header.len)));
        Ok(Front::Whole(header, flaw))
    }

    /// The header, if it is whole and this segment's.
    pub(crate) fn header(&self) -> Option<&SegmentHeader> {
        match self {
            Front::Whole(header, _) => Some(header),
            Front::Damaged(_) | Front::Other(_) => None,
        }
    }
}

impl Replay {
    /// Goes on in a segment: its header, or what stands for it; none if nothing of the segment can be read.
    pub(crate) fn begin_segment(
        &mut self,
        content: &SegmentBytes<'_>,
        front: &Front,
        ahead: Option<&Front>,
        before: Before,
    ) -> Result<Option<SegmentHeader>, LogError> {
        let (segment, previous) = (content.segment, self.index.last());
        self.marks.push_back(SegmentMark {
            segment,
            previous,
            lowest: None,
            whole: front.header().is_some(),
        });
        match front {
            Front::Whole(header, flaw) => {
                if let Some(flaw) = flaw {
                    // What is missing of the last segment may be batches.
                    let known = "what is missing shows when it is read";
                    if ahead.is_none() { self.bridge(flaw, None)? } else { self.allow(flaw, known)? }
                }
                self.check_follows(header, before)?;
                self.marks.back_mut().expect("it was pushed above").previous = header.previous;
                if let Before::Unsealed(end) = before
                    && !is_zero(&content.bytes[SECTOR..])
                {
                    let what = "the segment has no seal, but the one after it is in use".to_owned(); // D10
                    let flaw = Note { file: segment_name(end.segment), offset: end.offset, what };
                    self.allow(&flaw, "the header of that one says that the log goes on there")?;
                }
                Ok(Some(*header))
            }
            Front::Damaged(flaw) if ahead.is_some() && content.bytes.len() <= SECTOR => {
                self.bridge(flaw, ahead.and_then(Front::header))?;
                Ok(None)
            }
            Front::Damaged(flaw) => self.stand_in(flaw, content, before).map(Some),
            Front::Other(flaw) => {
                self.bridge(flaw, ahead.and_then(Front::header))?;
                self.suspect(content, 0, content.bytes.len());
                Ok(None)
            }
        }
    }

    /// D9: a segment says what the log was when it was begun. An older or a foreign copy says something else.
    ///
    /// Of a log whose beginning was compacted nothing is known but the entry before it. Its first segment says the rest.
    fn check_follows(&mut self, header: &SegmentHeader, before: Before) -> Result<(), LogError> {
        if before == Before::Nothing && header.segment > FIRST_SEGMENT {
            (self.next_batch, self.hard_state) = (header.batch, header.hard_state);
            if header.previous == self.index.base() {
                return Ok(());
            }
        }
        let end = match before {
            Before::Nothing => 0,
            Before::Sealed(end) | Before::Unsealed(end) => end.offset,
            // The header was asked already where the log ended, or what was lost.
            Before::SealDamaged | Before::Lost => header.previous_end,
        };
        if !self.goes_on_in(header, end) {
            let what =
                "the segment does not follow the one before it: one of the two is not the file that was here";
            return Err(LogError::corrupt(&segment_name(header.segment), 0, what));
        }
        (self.next_batch, self.hard_state) = (header.batch, header.hard_state);
        (self.batch_known, self.hard_state_known) = (true, true);
        Ok(())
    }

    /// Whether a segment with this header was begun when the log was as it is now and ended at `end` of its segment.
    pub(crate) fn goes_on_in(&self, header: &SegmentHeader, end: u64) -> bool {
        header.previous_end == end
            && header.previous == self.index.last()
            && (header.batch == self.next_batch || !self.batch_known)
            && (header.hard_state == self.hard_state || !self.hard_state_known)
    }

    /// R7: the header of a segment is damaged. The seal before it names the segment, and the log up to there says what its header said; the
    /// first segment of all says what any such says; and of one with which a compacted log begins the file LOG knows the entry before, and
    /// its batches the rest.
    fn stand_in(
        &mut self,
        flaw: &Note,
        content: &SegmentBytes<'_>,
        before: Before,
    ) -> Result<SegmentHeader, LogError> {
        let unknown = match before {
            Before::Sealed(_) => None,
            Before::Nothing if self.named => None,
            Before::Nothing => Some("and there is no file LOG that names it as the first one"),
            Before::Unsealed(_) | Before::SealDamaged | Before::Lost => {
                Some("and the segment before it has no whole seal: nobody knows where the log goes on")
            }
        };
        let len = content.bytes.len();
        let unknown = unknown.or_else(|| {
            (len <= SECTOR || !len.is_multiple_of(SECTOR))
                .then_some("and the file has not the length of a segment")
        });
        if let Some(why) = unknown.filter(|_| self.damage_kept) {
            return Err(LogError::corrupt(&flaw.file, flaw.offset, format!("{}, {why}", flaw.what)));
        }
        self.allow(flaw, "the header is known from what stands before the segment and in it")?;
        self.suspect(content, 0, SECTOR);
        if before == Before::Nothing && content.segment > FIRST_SEGMENT {
            (self.batch_known, self.hard_state_known) = (false, false);
        }
        Ok(SegmentHeader {
            cluster: self.cluster,
            group: content.group,
            segment: content.segment,
            len: len as u64,
            previous_end: match before {
                Before::Sealed(end) => end.offset,
                Before::Nothing | Before::Unsealed(_) | Before::SealDamaged | Before::Lost => 0,
            },
            previous: self.index.last(),
            batch: self.next_batch,
            hard_state: self.hard_state,
        })
    }

    /// The last segment lacks its header and has been read to its end. If no batch was found in it, it may have been emptied: an
    /// empty segment without a header is no end of a log.
    pub(crate) fn check_headless_end(&self, flaw: &Note, batches_before: u64) -> Result<(), LogError> {
        if self.batches == batches_before {
            let what = format!("{}, and no batch stands in the segment: it may have been emptied", flaw.what);
            return Err(LogError::corrupt(&flaw.file, flaw.offset, what));
        }
        if !self.hard_state_known {
            let what = format!("{}, and no batch in the segment says term and vote", flaw.what);
            return Err(LogError::corrupt(&flaw.file, flaw.offset, what));
        }
        Ok(())
    }

    /// R9: the log cannot be read from `flaw` on up to the next segment whose header is whole. That header says term, vote, and the
    /// last entry of what cannot be read. Two ways lead to it without a guess:
    ///
    /// - It has the term of the last entry that was read. One leader gave all entries of a term, in order (thesis 3.6.2, leader append-only and
    ///   log matching): so what is lost are the entries of that term in between, and nothing before them was replaced for good.
    /// - There is a snapshot that reaches as far: then the log begins with that segment, as after a compaction.
    ///
    /// Else nobody knows in which terms the lost entries stood.
    pub(crate) fn bridge(&mut self, flaw: &Note, next: Option<&SegmentHeader>) -> Result<(), LogError> {
        let refuse =
            |why: &str| Err(LogError::corrupt(&flaw.file, flaw.offset, format!("{}, {why}", flaw.what)));
        if !self.damage_kept {
            return Err(LogError::corrupt(&flaw.file, flaw.offset, flaw.what.clone()));
        }
        let Some(next) = next else {
            return refuse("and what the node has promised last stood there: nobody else knows it");
        };
        let (last, through) = (self.index.last(), next.previous);
        let is_later = next.previous_end != FOLLOWS_NOTHING
            && (next.batch >= self.next_batch || !self.batch_known)
            && (next.hard_state.term >= self.hard_state.term || !self.hard_state_known);
        if !is_later {
            return refuse("and the next segment does not go on behind it");
        }
        if let Some(mark) = self.marks.back_mut() {
            // Which entries were cut there is not known: the log may not begin with it, nor with one before it.
            mark.note(Index(0));
        }
        if through.term == last.term && through.index >= last.index {
            let count = through.index.0 - last.index.0;
            if count > LOST_ENTRIES_MAX {
                return refuse(&format!("and with it {count} entries: more than a start takes on"));
            }
            self.allow(flaw, &format!("up to the next segment {count} entries are lost"))?;
            for index in last.index.0 + 1..=through.index.0 {
                let id = EntryId { term: last.term, index: Index(index) };
                self.lose(id, Position { segment: next.segment, offset: 0 });
            }
        } else if self.covered.is_some_and(|covered| covered >= through.index) {
            self.allow(flaw, "a snapshot holds all up to the next segment")?;
            self.left_to_snapshot = Some(flaw.clone());
            self.index = LogIndex::new(through);
            self.memberships.clear();
            self.window.clear();
        } else {
            return refuse("and in which terms the entries stood that are lost with it, nobody knows");
        }
        (self.next_batch, self.hard_state) = (next.batch, next.hard_state);
        (self.batch_known, self.hard_state_known) = (true, true);
        assert!(self.index.last() == through, "what the next header says of the log holds");
        Ok(())
    }

    /// The segments `from..to` are missing: to whoever reads on they are as good as empty files.
    pub(crate) fn bridge_missing(
        &mut self,
        from: u64,
        to: u64,
        next: Option<&SegmentHeader>,
    ) -> Result<(), LogError> {
        let what = format!("the segment is missing, but there is {}", segment_name(to));
        let flaw = Note { file: segment_name(from), offset: 0, what };
        if to - from > SEGMENTS_MISSING_MAX {
            return Err(LogError::corrupt(&flaw.file, 0, flaw.what));
        }
        for segment in from..to {
            let previous = self.index.last();
            self.marks.push_back(SegmentMark { segment, previous, lowest: Some(Index(0)), whole: false });
        }
        self.bridge(&flaw, next)
    }

    /// Notes damage with which the log can be opened, and what is known all the same.
    pub(crate) fn allow(&mut self, flaw: &Note, known: &str) -> Result<(), LogError> {
        if !self.damage_kept {
            return Err(LogError::corrupt(&flaw.file, flaw.offset, flaw.what.clone()));
        }
        self.notes.push(Note { what: format!("{}; {known}", flaw.what), ..flaw.clone() });
        Ok(())
    }

    /// D13: bytes where there must be none. Nobody wrote there: they mean nothing, unless the last write went there.
    pub(crate) fn allow_behind(
        &mut self,
        segment: &SegmentBytes<'_>,
        from: usize,
        what: &str,
    ) -> Result<(), LogError> {
        let rest = &segment.bytes[from..];
        if is_zero(rest) {
            return Ok(());
        }
        self.allow(&segment.note(from, what.to_owned()), "nobody wrote there")?;
        self.suspect(segment, from, segment.bytes.len());
        Ok(())
    }

    /// Sectors that mean nothing here: a write may have gone there that belongs at the end of the log.
    pub(crate) fn suspect(&mut self, content: &SegmentBytes<'_>, from: usize, through: usize) {
        let bytes = content.bytes.get(from..through).unwrap_or(&[]);
        if !is_zero(bytes) {
            let bytes = Bytes::copy_from_slice(bytes);
            self.suspects.push(Suspect { file: content.file.to_owned(), at: from, bytes });
        }
    }
}

/// How many entries a start lists as lost with one segment at most: their ids are kept in memory, about 100 bytes each.
const LOST_ENTRIES_MAX: u64 = 1 << 20;
/// How many segments in a row may be missing.
const SEGMENTS_MISSING_MAX: u64 = 64;
