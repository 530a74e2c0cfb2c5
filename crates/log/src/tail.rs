//! The end of the last segment: a torn tail, which a crash leaves and which is cut, against damage, which nobody may cut: it may
//! hold entries that a quorum counts on (Protocol-Aware Recovery, FAST 2018).

use std::ops::Range;

use bytes::Bytes;
use quorate_core::planted::{self, Bug};

use crate::batch::BatchHead;
use crate::closed::{CLOSED_FILE, Closing};
use crate::error::LogError;
use crate::record::{Kind, SECTOR, is_zero};
use crate::scan::{Broken, Case, SegmentBytes};
use crate::segment::Position;

/// What is known to have been durable before the log was opened.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Proven {
    /// All before this place.
    pub(crate) through: Position,
    /// Who says so.
    pub(crate) by: &'static str,
}

impl Proven {
    /// What the file CLOSED proves, if there is one.
    pub(crate) fn of(closed: Option<Closing>) -> Proven {
        let nothing = Position { segment: 0, offset: 0 };
        Proven { through: closed.map_or(nothing, |closed| closed.end), by: CLOSED_FILE }
    }
}

/// Says which sectors behind the last batch must be zeroed, in order; or that there is damage. `proven` is what is known to have been
/// durable from elsewhere.
///
/// What was not synced before a crash is there sector by sector or is not, in any order. A sector that is not there reads as zeros,
/// because segments are made fresh and cuts are zeroed. So whatever is missing from a torn batch shows as an empty sector; a sector
/// that is neither empty nor right is damage. And what a later batch calls durable was synced: then even an empty sector is.
pub(crate) fn judge(
    segment: &SegmentBytes<'_>,
    end: usize,
    broken: &Broken,
    proven: Proven,
) -> Result<Vec<Range<usize>>, LogError> {
    assert!(end.is_multiple_of(SECTOR), "batches begin with sectors");
    if !broken.case.may_be_torn() && !planted::is(Bug::DamageCutAsTornTail) {
        return Err(segment.damage(broken.at, broken.what.clone()));
    }
    let here = Position { segment: segment.segment, offset: end as u64 };
    if proven.through > here {
        return Err(
            segment.damage(end, format!("{}, but {} says that this was durable", broken.what, proven.by))
        );
    }
    let mut cut: Vec<Range<usize>> = Vec::new();
    let mut at = end;
    while let Some(sector) = segment.sector(at) {
        if !is_zero(sector) {
            if let Some((_, BatchHead { durable, number, .. })) = segment.batch_head_at(at, at)
                && durable > here
            {
                let what =
                    format!("{}, but batch {number} at byte {at} says that this was durable", broken.what);
                return Err(segment.damage(end, what));
            }
            if !planted::is(Bug::MisdirectedBatchCut) && stands_elsewhere(segment, at, end, broken) {
                return Err(segment.damage(at, format!("the batch that belongs at byte {end} stands here")));
            }
            match cut.last_mut() {
                Some(range) if range.end == at => range.end = at + SECTOR,
                Some(_) | None => cut.push(at..at + SECTOR),
            }
        }
        at += SECTOR;
    }
    Ok(cut)
}

/// D12: start or footer of the batch that belongs at `end` stand at `at`.
fn stands_elsewhere(segment: &SegmentBytes<'_>, at: usize, end: usize, broken: &Broken) -> bool {
    let is = |wanted: Kind, place: usize| {
        at != place && segment.batch_head_at(at, place).is_some_and(|(kind, _)| kind == wanted)
    };
    is(Kind::Start, end) || (broken.case == Case::NoFooter && is(Kind::Footer, broken.at))
}

/// A damaged batch as it stands in its file.
pub(crate) struct Suspect {
    pub(crate) file: String,
    pub(crate) at: usize,
    pub(crate) bytes: Bytes,
}

/// D12 once more: what is damaged elsewhere may be so because a write went there that belongs at the end of the last segment.
pub(crate) fn refuse_misplaced(
    segment: &SegmentBytes<'_>,
    end: usize,
    suspects: &[Suspect],
) -> Result<(), LogError> {
    for suspect in suspects {
        let there = SegmentBytes { bytes: &suspect.bytes, ..*segment };
        let mut sectors = (0..suspect.bytes.len()).step_by(SECTOR);
        let is_start =
            |at: &usize| there.batch_head_at(*at, end).is_some_and(|(kind, _)| kind == Kind::Start);
        if let Some(at) = sectors.find(is_start) {
            let what = format!("the batch that belongs at byte {end} of {} stands here", segment.file);
            return Err(LogError::corrupt(&suspect.file, (suspect.at + at) as u64, what));
        }
    }
    Ok(())
}
