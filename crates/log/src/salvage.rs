//! What can still be told of a batch that is damaged (Protocol-Aware Recovery, FAST 2018). Start and footer say the same of it, so one of
//! them is enough to know where the batch ends; the footer also knows the ids of the entries, term and vote. Nothing is guessed: what
//! neither of them tells, nobody can.

use quorate_core::types::EntryId;

use crate::batch::{BATCH_HEAD_LEN, BatchHead, Footer, Run};
use crate::record::{self, Found, HEAD_LEN, Kind, SECTOR, is_zero};
use crate::scan::{Batch, Broken, Case, Item, SegmentBytes};

impl SegmentBytes<'_> {
    /// What is known of the batch at `at`, which is `broken`; none if its bounds or the ids of its entries are not known.
    pub(crate) fn salvage(&self, at: usize, broken: &Broken) -> Option<Batch> {
        assert!(at.is_multiple_of(SECTOR), "a batch begins with a sector");
        let mut batch = match broken.case {
            Case::NoStart | Case::StartBroken => {
                let (footer_at, footer) = self.footer_of(at)?;
                self.by_footer(at, footer_at, footer)?
            }
            Case::RecordsLost | Case::RecordsBroken => {
                let head = self.head_at(at)?;
                let footer_at = footer_place(at, head)?;
                self.by_footer(at, footer_at, self.footer_at(footer_at)?)?
            }
            Case::NoFooter | Case::FooterBroken => self.by_start(at, self.head_at(at)?)?,
        };
        batch.flaws.retain(|(place, _)| *place != broken.at);
        batch.flaws.insert(0, (broken.at, broken.what.clone()));
        Some(batch)
    }

    fn head_at(&self, at: usize) -> Option<BatchHead> {
        self.batch_head_at(at, at).filter(|(kind, _)| *kind == Kind::Start).map(|(_, head)| head)
    }

    /// The footer of the batch at `at`, whose start is lost: the next footer that there is must be its own.
    fn footer_of(&self, at: usize) -> Option<(usize, Footer)> {
        let mut footer_at = at + SECTOR;
        while footer_at < self.bytes.len() {
            if let Some(footer) = self.footer_at(footer_at) {
                let own = footer.start == at as u64 && footer_place(at, footer.head) == Some(footer_at);
                return own.then_some((footer_at, footer));
            }
            footer_at += SECTOR;
        }
        None
    }

    /// The footer is lost, the start is whole: all records must be.
    fn by_start(&self, at: usize, head: BatchHead) -> Option<Batch> {
        let footer_at = footer_place(at, head)?;
        let (mut items, runs) = self.walk(at, at + head.records_len as usize, head).ok()?;
        items.push(Item::Gap);
        let end = footer_at + SECTOR;
        (end <= self.bytes.len()).then_some(Batch {
            head,
            runs,
            hard_state: None,
            items,
            end,
            flaws: Vec::new(),
        })
    }

    /// The footer is whole: it names the entries, and whatever of their records can be read is kept.
    fn by_footer(&self, at: usize, footer_at: usize, footer: Footer) -> Option<Batch> {
        let mut walk = Walk {
            segment: self,
            records_end: at + footer.head.records_len as usize,
            ids: ids_of(&footer.runs, footer.head)?,
            next: 0,
            items: Vec::new(),
            flaws: Vec::new(),
            looked_bytes: 0,
        };
        if self.head_at(at).is_none() {
            walk.items.push(Item::Gap);
        }
        walk.run(at + HEAD_LEN + BATCH_HEAD_LEN);
        let Walk { mut items, mut flaws, records_end, .. } = walk;
        if !is_zero(self.bytes.get(records_end..footer_at)?) {
            flaws.push((records_end, "the bytes between the records and the footer are not zero".to_owned()));
        }
        items.push(Item::Gap);
        let (head, hard_state) = (footer.head, Some(footer.hard_state));
        Some(Batch { head, runs: footer.runs, hard_state, items, end: footer_at + SECTOR, flaws })
    }
}

/// A walk over records of which some are damaged.
struct Walk<'a, 'b> {
    segment: &'a SegmentBytes<'b>,
    records_end: usize,
    /// The entries that the footer names.
    ids: Vec<EntryId>,
    /// The first of `ids` that has not been met.
    next: usize,
    items: Vec<Item>,
    flaws: Vec<(usize, String)>,
    /// How many bytes were compared with checksums, to bound what a search through strange bytes costs.
    looked_bytes: usize,
}

impl Walk<'_, '_> {
    fn run(&mut self, from: usize) {
        let (mut place, mut whole) = (from, true);
        while place < self.records_end {
            if (whole || self.may_look(place))
                && let Some(next) = self.take(place)
            {
                (place, whole) = (next, true);
                continue;
            }
            if whole {
                self.flaws.push((place, "a record that the footer names is damaged".to_owned()));
                self.items.push(Item::Gap);
            }
            (place, whole) = (place + record::ALIGN, false);
        }
        self.lose_up_to(self.ids.len());
    }

    /// Whether a search for the next record looks here.
    fn may_look(&self, place: usize) -> bool {
        let bytes = &self.segment.bytes[place..self.records_end];
        let looks_max = LOOKS_MAX * (self.segment.bytes.len() + SECTOR);
        self.looked_bytes < looks_max && record::may_begin(bytes, self.segment.group)
    }

    /// Takes the record at `place`, if one stands there that belongs to the batch; where the next one may stand.
    fn take(&mut self, place: usize) -> Option<usize> {
        let body = &self.segment.bytes[..self.records_end];
        let len = u32::from_le_bytes(body.get(place + 4..place + 8)?.try_into().ok()?) as usize;
        if place + len <= self.records_end {
            self.looked_bytes += len;
        }
        let Found::Record(record) = record::look(body, place, self.segment.seed, 0) else { return None };
        let kind = record.head.kind;
        if record.head.group != self.segment.group {
            return None;
        }
        if kind.is_entry() {
            let id = EntryId::new(record.head.term, record.head.index);
            let ahead = self.ids[self.next..].iter().position(|named| *named == id)?;
            self.lose_up_to(self.next + ahead);
            self.next += 1;
        } else if kind != Kind::HardState && !kind.is_repair() {
            return None;
        }
        let next = record.next;
        self.items.push(Item::Record(place, record));
        Some(next)
    }

    /// The entries before this one in `ids` were not found.
    fn lose_up_to(&mut self, place: usize) {
        self.items.extend(self.ids[self.next..place].iter().map(|id| Item::Lost(*id)));
        self.next = place;
    }
}

/// Where the footer of a batch stands.
fn footer_place(at: usize, head: BatchHead) -> Option<usize> {
    at.checked_add((head.records_len as usize).next_multiple_of(SECTOR))
}

/// The ids in these runs; none if there are more than the batch has room for.
fn ids_of(runs: &[Run], head: BatchHead) -> Option<Vec<EntryId>> {
    let count = runs.iter().try_fold(0_u64, |count, run| count.checked_add(run.len))?;
    let fits = count < u64::from(head.records) && count * HEAD_LEN as u64 <= u64::from(head.records_len);
    let of = |run: &Run| {
        let EntryId { term, index } = run.first;
        (0..run.len).map(move |ahead| EntryId { term, index: index.plus(ahead) })
    };
    let in_range = runs.iter().all(|run| run.first.index.0.checked_add(run.len).is_some());
    (fits && in_range).then(|| runs.iter().flat_map(of).collect())
}

/// How often the bytes of a segment are compared with checksums at most, when a record is searched behind a damaged one: bytes that look
/// like the beginnings of many records would cost more.
const LOOKS_MAX: usize = 8;
