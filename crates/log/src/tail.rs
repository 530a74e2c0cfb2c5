//! The end of the last segment: a torn tail, which a crash leaves and which is cut, against damage, which nobody may cut: it may
//! hold entries that a quorum counts on (Protocol-Aware Recovery, FAST 2018).

use std::ops::Range;

use quorate_core::planted::{self, Bug};

use crate::batch::BatchHead;
use crate::error::LogError;
use crate::record::{Kind, SECTOR, is_zero};
use crate::scan::{Broken, SegmentBytes};
use crate::segment::Position;

/// Says which sectors behind the last whole batch must be zeroed, in order; or that there is damage.
///
/// What was not synced before a crash is there sector by sector or is not, in any order. A sector that is not there reads as zeros,
/// because segments are made fresh and cuts are zeroed. So whatever is missing from a torn batch shows as an empty sector; a sector
/// that is neither empty nor right is damage. And what a later batch calls durable was synced: then even an empty sector is.
pub(crate) fn judge(
    segment: &SegmentBytes<'_>,
    end: usize,
    broken: &Broken,
) -> Result<Vec<Range<usize>>, LogError> {
    assert!(end.is_multiple_of(SECTOR), "batches begin with sectors");
    if !broken.case.may_be_torn() && !planted::is(Bug::DamageCutAsTornTail) {
        return Err(segment.damage(broken.at, broken.what.clone()));
    }
    let here = Position { segment: segment.segment, offset: end as u64 };
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
            let looks = !planted::is(Bug::MisdirectedBatchCut);
            if looks
                && at != end
                && segment.batch_head_at(at, end).is_some_and(|(kind, _)| kind == Kind::Start)
            {
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
