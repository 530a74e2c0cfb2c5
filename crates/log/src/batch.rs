//! A batch: what one turn writes. It opens with a start record, holds entries and hard state, and ends with a footer in its own sector.
//!
//! ```text
//!  sector            sector                              sector                sector
//!  ├───────┬───────┬─┴─────┬─────────┬─ ─ ─ ─ ─ ─ ─ ─ ─ ─┼─────────────────────┤
//!  │ start │ entry │ entry │ entry … │ zeros             │ footer      … zeros │  next batch
//!  └───────┴───────┴───────┴─────────┴─ ─ ─ ─ ─ ─ ─ ─ ─ ─┴─────────────────────┘
//!  start body:  batch number, durable up to (segment, offset), length of the records, how many records
//!  footer body: the same, place of the start, how many sectors are zero as written, hard state at the end, runs of entry ids
//! ```
//! The footer tells what the batch holds although its records may be damaged one day: which entries, and term and vote.

use bytes::{Buf, BufMut, BytesMut};
use quorate_core::entry::{Entry, HardState, Payload};
use quorate_core::types::{EntryId, GroupId, NodeId, Term};

use crate::record::{self, HEAD_LEN, Head, Kind, SECTOR, Seed, is_zero};
use crate::segment::Position;

/// What start and footer of a batch both say.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct BatchHead {
    /// The number of the batch: one more than that of the batch before.
    pub(crate) number: u64,
    /// All before this place was durable when the batch was written.
    pub(crate) durable: Position,
    /// The length of all records from the start record on, without the zeros up to the footer, in bytes.
    pub(crate) records_len: u32,
    /// How many records there are, the start among them.
    pub(crate) records: u32,
}

/// Consecutive entries of one term.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) first: EntryId,
    pub(crate) len: u64,
}

/// The end of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub(crate) head: BatchHead,
    /// Where the start record stands in the segment.
    pub(crate) start: u64,
    /// How many sectors before the footer are all zero as written: more of them after a crash were lost, not damaged.
    pub(crate) zero_sectors: u32,
    /// Term and vote as they are at the end of the batch.
    pub(crate) hard_state: HardState,
    /// The ids of the entries that are appended.
    pub(crate) runs: Vec<Run>,
}

impl BatchHead {
    fn put(&self, out: &mut impl BufMut) {
        out.put_u64_le(self.number);
        out.put_u64_le(self.durable.segment);
        out.put_u64_le(self.durable.offset);
        out.put_u32_le(self.records_len);
        out.put_u32_le(self.records);
    }

    /// Reads the body of a start record, or the front of a footer's.
    pub(crate) fn take(body: &mut &[u8]) -> Option<BatchHead> {
        if body.len() < BATCH_HEAD_LEN {
            return None;
        }
        Some(BatchHead {
            number: body.get_u64_le(),
            durable: Position { segment: body.get_u64_le(), offset: body.get_u64_le() },
            records_len: body.get_u32_le(),
            records: body.get_u32_le(),
        })
    }
}

impl Footer {
    /// Reads the body of a footer.
    pub(crate) fn decode(mut body: &[u8]) -> Option<Footer> {
        if body.len() != SECTOR - HEAD_LEN {
            return None;
        }
        let head = BatchHead::take(&mut body)?;
        let start = body.get_u64_le();
        let zero_sectors = body.get_u32_le();
        let runs_len = body.get_u32_le() as usize;
        let hard_state = take_hard_state(&mut body);
        if runs_len > RUNS_MAX {
            return None;
        }
        let runs = (0..runs_len)
            .map(|_| Run {
                first: EntryId::new(body.get_u64_le(), body.get_u64_le()),
                len: body.get_u64_le(),
            })
            .collect();
        Some(Footer { head, start, zero_sectors, hard_state, runs })
    }
}

/// Writes batches into one buffer that is used again and again. Several batches arise of one turn only when the entries have more runs
/// of terms than a footer's sector names.
#[derive(Debug)]
pub(crate) struct Encoder {
    group: GroupId,
    out: BytesMut,
    /// Where the record of each entry stands in the segment, repaired ones included, in the order in which they were given.
    entry_offsets: Vec<u64>,
    runs: Vec<Run>,
    seed: Seed,
    base: u64,
    durable: Position,
    number: u64,
    start: usize,
    records: u32,
    /// Term and vote after what was added so far.
    hard_state: HardState,
}

impl Encoder {
    /// An encoder with an empty buffer.
    pub(crate) fn new(group: GroupId, seed: Seed) -> Encoder {
        let nowhere = Position { segment: 0, offset: 0 };
        Encoder {
            group,
            out: BytesMut::new(),
            entry_offsets: Vec::new(),
            runs: Vec::with_capacity(RUNS_MAX),
            seed,
            base: 0,
            durable: nowhere,
            number: 0,
            start: 0,
            records: 0,
            hard_state: HardState::default(),
        }
    }

    /// Begins the first batch of a turn, with number `number`, to stand at `offset` of the segment with this seed. Before it term and vote
    /// are `hard_state`.
    pub(crate) fn begin(
        &mut self,
        seed: Seed,
        offset: u64,
        durable: Position,
        number: u64,
        hard_state: HardState,
    ) {
        assert!(offset.is_multiple_of(SECTOR as u64), "a batch starts with a sector");
        if self.out.capacity() > BUFFER_KEPT_BYTES {
            self.out = BytesMut::new();
        }
        self.out.clear();
        self.entry_offsets.clear();
        (self.seed, self.base, self.durable, self.number) = (seed, offset, durable, number);
        self.hard_state = hard_state;
        self.open_batch();
    }

    /// Adds term and vote.
    pub(crate) fn hard_state(&mut self, hard_state: HardState) {
        let head = Head::plain(Kind::HardState, self.group);
        record::push(&mut self.out, self.seed, self.base, head, |out| put_hard_state(out, hard_state));
        self.hard_state = hard_state;
        self.records += 1;
    }

    /// Adds an entry.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        match self.runs.last_mut() {
            Some(run)
                if run.first.term == entry.id.term && run.first.index.plus(run.len) == entry.id.index =>
            {
                run.len += 1;
            }
            Some(_) | None => {
                if self.runs.len() == RUNS_MAX {
                    self.close_batch();
                    self.open_batch();
                }
                self.runs.push(Run { first: entry.id, len: 1 });
            }
        }
        let kind = match &entry.payload {
            Payload::Noop => Kind::Noop,
            Payload::Command(_) => Kind::Command,
            Payload::Membership(_) => Kind::Membership,
        };
        self.put_entry(kind, entry);
    }

    /// Adds the bytes of an entry whose record is damaged. It is not appended, so the footer does not name it.
    pub(crate) fn repaired(&mut self, entry: &Entry) {
        let kind = match &entry.payload {
            Payload::Noop => Kind::RepairedNoop,
            Payload::Command(_) => Kind::RepairedCommand,
            Payload::Membership(_) => Kind::RepairedMembership,
        };
        self.put_entry(kind, entry);
    }

    fn put_entry(&mut self, kind: Kind, entry: &Entry) {
        let head = Head {
            kind,
            group: self.group,
            term: entry.id.term.0,
            index: entry.id.index.0,
            timestamp_ms: entry.timestamp_ms,
        };
        self.entry_offsets.push(self.base + self.out.len() as u64);
        record::push(&mut self.out, self.seed, self.base, head, |out| match &entry.payload {
            Payload::Noop => {}
            Payload::Command(command) => out.put_slice(command),
            Payload::Membership(membership) => membership.encode(out),
        });
        self.records += 1;
    }

    /// Ends the last batch.
    pub(crate) fn finish(&mut self) {
        self.close_batch();
        assert!(self.out.len().is_multiple_of(SECTOR), "a batch ends with a sector");
    }

    /// The bytes to write.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// The number that the next batch will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.number
    }

    /// Where the record of each entry stands in the segment, repaired ones included.
    pub(crate) fn entry_offsets(&self) -> &[u64] {
        &self.entry_offsets
    }

    /// Leaves room for the start record, which is filled in at the end.
    fn open_batch(&mut self) {
        self.start = self.out.len();
        self.records = 1;
        self.runs.clear();
        self.out.put_bytes(0, HEAD_LEN + BATCH_HEAD_LEN);
    }

    fn close_batch(&mut self) {
        let records_len =
            u32::try_from(self.out.len() - self.start).expect("a turn's bytes are bounded far below 4 GiB");
        let batch =
            BatchHead { number: self.number, durable: self.durable, records_len, records: self.records };
        let start_offset = self.base + self.start as u64;

        let start = &mut self.out[self.start..self.start + HEAD_LEN + BATCH_HEAD_LEN];
        batch.put(&mut &mut start[HEAD_LEN..]);
        record::put_head(start, self.seed, start_offset, Head::plain(Kind::Start, self.group));

        self.out.put_bytes(0, self.out.len().next_multiple_of(SECTOR) - self.out.len());
        let zero_sectors = zero_sectors(&self.out[self.start..]);
        let (runs, hard_state) = (&self.runs, self.hard_state);
        record::push(&mut self.out, self.seed, self.base, Head::plain(Kind::Footer, self.group), |out| {
            let end = out.len() + SECTOR - HEAD_LEN;
            batch.put(out);
            out.put_u64_le(start_offset);
            out.put_u32_le(zero_sectors);
            out.put_u32_le(u32::try_from(runs.len()).expect("runs are at most RUNS_MAX"));
            put_hard_state(out, hard_state);
            for run in runs {
                out.put_u64_le(run.first.term.0);
                out.put_u64_le(run.first.index.0);
                out.put_u64_le(run.len);
            }
            out.put_bytes(0, end - out.len());
        });
        self.number += 1;
    }
}

fn put_hard_state(out: &mut BytesMut, hard_state: HardState) {
    out.put_u64_le(hard_state.term.0);
    out.put_u64_le(hard_state.vote.map_or(0, NodeId::get));
}

/// Reads term and vote off the front of a body that holds at least [`HARD_STATE_LEN`] bytes.
pub(crate) fn take_hard_state(body: &mut impl Buf) -> HardState {
    let term = Term(body.get_u64_le());
    HardState { term, vote: NodeId::checked(body.get_u64_le()) }
}

/// The sector that ends a segment.
pub(crate) fn seal(seed: Seed, offset: u64, group: GroupId, next_segment: u64) -> BytesMut {
    let mut sector = BytesMut::with_capacity(SECTOR);
    record::push(&mut sector, seed, offset, Head::plain(Kind::Seal, group), |out| {
        out.put_u64_le(next_segment);
        out.put_bytes(0, SECTOR - HEAD_LEN - 8);
    });
    assert!(sector.len() == SECTOR, "a seal fills its sector");
    sector
}

/// How many of these whole sectors are all zero.
pub(crate) fn zero_sectors(bytes: &[u8]) -> u32 {
    let zero = bytes.chunks(SECTOR).filter(|sector| is_zero(sector)).count();
    u32::try_from(zero).expect("a batch is shorter than 4 GiB")
}

/// Length of what start and footer both say, in bytes.
pub(crate) const BATCH_HEAD_LEN: usize = 32;
/// How many runs of entry ids the footer's sector holds.
pub(crate) const RUNS_MAX: usize = (SECTOR - HEAD_LEN - BATCH_HEAD_LEN - 16 - HARD_STATE_LEN) / 24;
/// Length of term and vote, in bytes.
pub(crate) const HARD_STATE_LEN: usize = 16;
/// A buffer that grew larger than this for one turn is given back at the next, in bytes.
const BUFFER_KEPT_BYTES: usize = 8 << 20;
