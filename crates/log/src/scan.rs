//! A segment read batch by batch: each is whole, or it is broken in one of the ways that `docs/log-format.md` numbers.

use quorate_core::entry::HardState;
use quorate_core::types::{EntryId, GroupId};

use crate::batch::{BATCH_HEAD_LEN, BatchHead, Footer, Run, zero_sectors};
use crate::error::LogError;
use crate::record::{self, Found, HEAD_LEN, Kind, Record, SECTOR, Seed, is_zero};

/// A whole segment in memory.
#[derive(Copy, Clone)]
pub(crate) struct SegmentBytes<'a> {
    /// The file's name.
    pub(crate) file: &'a str,
    pub(crate) segment: u64,
    pub(crate) group: GroupId,
    pub(crate) seed: Seed,
    pub(crate) bytes: &'a [u8],
}

/// What stands at a place where a batch may begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Scanned {
    /// A whole batch.
    Batch(Batch),
    /// The seal: the log goes on in this segment.
    Seal(u64),
    /// No whole batch.
    Broken(Broken),
}

/// A batch: whole, or what is known of a damaged one (`salvage.rs`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    pub(crate) head: BatchHead,
    pub(crate) runs: Vec<Run>,
    /// Term and vote at its end, as the footer says; none if the footer is lost. Then all records are whole.
    pub(crate) hard_state: Option<HardState>,
    /// Its records without the start, in order, and what is missing of them.
    pub(crate) items: Vec<Item>,
    /// Where the next batch begins.
    pub(crate) end: usize,
    /// What is damaged in it, and where; nothing in a whole one.
    pub(crate) flaws: Vec<(usize, String)>,
}

/// The records of a whole batch, and the runs of its entries.
pub(crate) type Walked = (Vec<Item>, Vec<Run>);

/// What follows next in a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// A whole record, and its place in the segment.
    Record(usize, Record),
    /// An entry whose record is damaged.
    Lost(EntryId),
    /// Bytes over which nobody can read on.
    Gap,
}

/// In which way there is no whole batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    pub(crate) case: Case,
    /// Where in the segment.
    pub(crate) at: usize,
    pub(crate) what: String,
}

/// The cases of `docs/log-format.md`. The first three are what a crash can leave of a batch that was not synced, the others are not.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Case {
    /// T1: the first sector is empty.
    NoStart,
    /// T2: the sector of the footer is empty.
    NoFooter,
    /// T3: more sectors between start and footer are empty than were written so.
    RecordsLost,
    /// D1: the first sector is neither empty nor a start.
    StartBroken,
    /// D2: the sector of the footer is neither empty nor the footer of this start.
    FooterBroken,
    /// D3: the footer is there and no sector is missing, but the records are not those that it names.
    RecordsBroken,
}

impl Case {
    /// Whether a crash before the sync can leave this.
    pub(crate) fn may_be_torn(self) -> bool {
        match self {
            Case::NoStart | Case::NoFooter | Case::RecordsLost => true,
            Case::StartBroken | Case::FooterBroken | Case::RecordsBroken => false,
        }
    }
}

impl SegmentBytes<'_> {
    /// The damage at a place of this segment.
    pub(crate) fn damage(&self, at: usize, what: impl Into<String>) -> LogError {
        LogError::corrupt(self.file, at as u64, what)
    }

    /// What stands at `at`, a sector boundary.
    pub(crate) fn scan(&self, at: usize) -> Scanned {
        let broken = |case, at, what: &str| Scanned::Broken(Broken { case, at, what: what.to_owned() });
        let Some(first) = self.sector(at) else { return broken(Case::NoStart, at, "the segment ends here") };
        if is_zero(first) {
            return broken(Case::NoStart, at, "nothing was written here");
        }
        let head = match record::look(first, 0, self.seed, at as u64) {
            Found::Record(record) if record.head.kind == Kind::Seal => return self.scan_seal(at, &record),
            Found::Record(record) => match self.start_of(first, &record) {
                Some(head) => head,
                None => return broken(Case::StartBroken, at, "a record that begins no batch"),
            },
            Found::Flawed(what) => return broken(Case::StartBroken, at, what),
            Found::Nothing | Found::CutOff(_) => {
                return broken(Case::StartBroken, at, "no batch begins here, but the sector is not empty");
            }
        };
        let footer_at = at + (head.records_len as usize).next_multiple_of(SECTOR);
        let Some(sector) = self.sector(footer_at) else {
            return broken(Case::StartBroken, at, "a batch that is longer than its segment");
        };
        if is_zero(sector) {
            return broken(Case::NoFooter, footer_at, "the batch has no footer: it was never finished");
        }
        let Some(footer) = self.footer_at(footer_at) else {
            return broken(Case::FooterBroken, footer_at, "the footer of the batch is damaged");
        };
        if footer.head != head || footer.start != at as u64 {
            return broken(Case::FooterBroken, footer_at, "the footer belongs to another batch");
        }
        match self.records(at, footer_at, &footer) {
            Ok(items) => Scanned::Batch(Batch {
                head,
                runs: footer.runs,
                hard_state: Some(footer.hard_state),
                items,
                end: footer_at + SECTOR,
                flaws: Vec::new(),
            }),
            Err(broken) => Scanned::Broken(broken),
        }
    }

    /// What a start or a footer in this sector says, if one stands here whole. `as_if_at` is the place that its checksum must name.
    pub(crate) fn batch_head_at(&self, at: usize, as_if_at: usize) -> Option<(Kind, BatchHead)> {
        let sector = self.sector(at)?;
        let Found::Record(record) = record::look(sector, 0, self.seed, as_if_at as u64) else { return None };
        let head = match record.head.kind {
            Kind::Start => self.start_of(sector, &record)?,
            Kind::Footer => Footer::decode(&sector[record.body.clone()])?.head,
            Kind::Noop | Kind::Command | Kind::Membership | Kind::HardState | Kind::Seal => return None,
            Kind::RepairedNoop | Kind::RepairedCommand | Kind::RepairedMembership => return None,
        };
        Some((record.head.kind, head))
    }

    /// The sector at `at`; none behind the end.
    pub(crate) fn sector(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(at..at.checked_add(SECTOR)?)
    }

    pub(crate) fn start_of(&self, sector: &[u8], record: &Record) -> Option<BatchHead> {
        if record.head.kind != Kind::Start
            || record.head.group != self.group
            || record.body.len() != BATCH_HEAD_LEN
        {
            return None;
        }
        let head = BatchHead::take(&mut &sector[record.body.clone()])?;
        (head.records_len as usize >= HEAD_LEN + BATCH_HEAD_LEN && head.records > 0).then_some(head)
    }

    pub(crate) fn footer_at(&self, at: usize) -> Option<Footer> {
        let sector = self.sector(at)?;
        let Found::Record(record) = record::look(sector, 0, self.seed, at as u64) else { return None };
        if record.head.kind != Kind::Footer || record.head.group != self.group {
            return None;
        }
        Footer::decode(&sector[record.body])
    }

    fn scan_seal(&self, at: usize, record: &Record) -> Scanned {
        let body = self.bytes.get(at + record.body.start..at + record.body.start + 8);
        match body.and_then(|body| <[u8; 8]>::try_from(body).ok()) {
            Some(next) if record.head.group == self.group && record.next == SECTOR => {
                Scanned::Seal(u64::from_le_bytes(next))
            }
            Some(_) | None => Scanned::Broken(Broken {
                case: Case::StartBroken,
                at,
                what: "a seal of another form".to_owned(),
            }),
        }
    }

    /// The records between start and footer, which must be exactly those that the footer names.
    fn records(&self, at: usize, footer_at: usize, footer: &Footer) -> Result<Vec<Item>, Broken> {
        let broken = |place, what: &str| {
            let lost = zero_sectors(&self.bytes[at..footer_at]) > footer.zero_sectors;
            let case = if lost { Case::RecordsLost } else { Case::RecordsBroken };
            Broken { case, at: place, what: what.to_owned() }
        };
        let records_end = at + footer.head.records_len as usize;
        let (records, runs) =
            self.walk(at, records_end, footer.head).map_err(|(place, what)| broken(place, what))?;
        if runs != footer.runs {
            return Err(broken(at, "the footer names other entries than there are"));
        }
        if !is_zero(&self.bytes[records_end..footer_at]) {
            return Err(broken(records_end, "the bytes between the records and the footer are not zero"));
        }
        Ok(records)
    }

    /// The records of a batch without its start, as many as it must have and all of them whole, and the runs of their entries.
    pub(crate) fn walk(
        &self,
        at: usize,
        records_end: usize,
        head: BatchHead,
    ) -> Result<Walked, (usize, &'static str)> {
        let body = &self.bytes[..records_end];
        // A record has a header at least: the count takes no more memory than the bytes that are here.
        let records_max = (head.records_len as usize / HEAD_LEN).min(head.records as usize);
        let mut records: Vec<Item> = Vec::with_capacity(records_max);
        let mut runs: Vec<Run> = Vec::new();
        let mut place = at;
        while place < records_end {
            match record::look(body, place, self.seed, 0) {
                Found::Record(record) => {
                    let next = record.next;
                    let kind = record.head.kind;
                    if record.head.group != self.group {
                        return Err((place, "a record of another group"));
                    }
                    if kind.is_entry() {
                        count_run(&mut runs, EntryId::new(record.head.term, record.head.index));
                    }
                    if kind.is_entry() || kind.is_repair() || kind == Kind::HardState {
                        records.push(Item::Record(place, record));
                    } else if kind != Kind::Start || place != at {
                        return Err((place, "a record that does not belong inside a batch"));
                    }
                    place = next;
                }
                Found::Nothing | Found::CutOff(_) => {
                    return Err((place, "a record that the footer names is not here"));
                }
                Found::Flawed(what) => return Err((place, what)),
            }
        }
        if records.len() + 1 != head.records as usize {
            return Err((at, "the footer names other entries than there are"));
        }
        Ok((records, runs))
    }
}

/// Counts an entry in the runs as the writer does.
fn count_run(runs: &mut Vec<Run>, id: EntryId) {
    match runs.last_mut() {
        Some(run)
            if run.first.term == id.term && run.first.index.0.checked_add(run.len) == Some(id.index.0) =>
        {
            run.len += 1
        }
        Some(_) | None => runs.push(Run { first: id, len: 1 }),
    }
}
