//! What the simulated disk holds of one file: what reads see, what is durable, and what lies between the two.

use std::borrow::Cow;

use crate::rng::Rng;

/// A file of the simulated disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// What reads see.
    current: Contents,
    /// What is not yet on the disk, in order, each with what it replaced.
    pending: Vec<(Change, Replaced)>,
    /// What is on the disk, where that is kept apart. Nearly always it is what reads see without what is pending, and each byte is kept
    /// once.
    durable: Option<Contents>,
    /// Whether changes were forgotten that `current` still shows: then a sync does not make the two equal. Invariant: only where
    /// `durable` is kept apart.
    forgot: bool,
}

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Bytes were written.
    Write {
        /// Where.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// The file was cut or extended to this length.
    Len(usize),
}

/// What becomes of an unsynced change at a crash.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Chance decides.
    Chance,
    /// It is kept.
    Kept,
    /// It is lost.
    Lost,
}

/// The bytes of a file. Zeros at its end take no memory, because segments are made long and filled slowly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Invariant: at most `len` bytes; what follows them up to `len` is zero.
    bytes: Vec<u8>,
    len: usize,
}

/// What stood in the place of a change: enough to undo it.
#[derive(Clone, Debug)]
struct Replaced {
    /// Where the bytes stood.
    offset: usize,
    /// Those that were written before; zeros behind them are not kept.
    bytes: Vec<u8>,
    /// How many bytes were kept of the file.
    kept: usize,
    /// How long the file was.
    len: usize,
}

impl Inode {
    /// A file with these contents, durably.
    pub(crate) fn durable(bytes: &[u8]) -> Inode {
        let current = Contents { bytes: bytes.to_vec(), len: bytes.len() };
        Inode { current, ..Inode::default() }
    }

    /// What reads see.
    pub(crate) fn current(&self) -> &Contents {
        &self.current
    }

    /// What is on the disk.
    pub(crate) fn on_disk(&self) -> Cow<'_, Contents> {
        match &self.durable {
            Some(durable) => Cow::Borrowed(durable),
            None if self.pending.is_empty() => Cow::Borrowed(&self.current),
            None => {
                let mut durable = self.current.clone();
                for (_, replaced) in self.pending.iter().rev() {
                    durable.undo(replaced);
                }
                Cow::Owned(durable)
            }
        }
    }

    /// Makes a change that is not durable yet.
    pub(crate) fn apply(&mut self, change: Change) {
        let replaced = self.current.change(&change);
        self.pending.push((change, replaced));
    }

    /// All changes become durable.
    pub(crate) fn sync(&mut self) {
        if let Some(durable) = self.durable.as_mut().filter(|_| self.forgot) {
            for (change, _) in &self.pending {
                durable.change(change);
            }
        } else {
            self.durable = None;
        }
        self.pending.clear();
    }

    /// The changes are forgotten, although reads still show them.
    pub(crate) fn forget(&mut self) {
        if !self.pending.is_empty() {
            self.keep_apart();
            self.forgot = true;
            self.pending.clear();
        }
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, outcome: Outcome, rng: &mut Rng) {
        if let Some(durable) = self.durable.take() {
            self.current = durable;
        } else {
            for (_, replaced) in self.pending.iter().rev() {
                self.current.undo(replaced);
            }
        }
        for (change, _) in self.pending.drain(..) {
            let fate =
                if outcome == Outcome::Chance { rng.below(3) } else { u64::from(outcome == Outcome::Lost) };
            match change {
                change if fate == 0 => {
                    self.current.change(&change);
                }
                Change::Write { offset, bytes } if fate == 2 => {
                    for (at, piece) in sectors(offset, &bytes) {
                        if rng.chance(500) {
                            self.current.write(at, piece);
                        }
                    }
                }
                Change::Write { .. } | Change::Len(_) => {}
            }
        }
        self.forgot = false;
    }

    /// A bit changes where it lies, and reads show it.
    pub(crate) fn rot(&mut self, at: usize, bit: u8) {
        self.keep_apart();
        if let Some(durable) = &mut self.durable {
            durable.flip(at, bit);
        }
        if at < self.current.len {
            self.current.flip(at, bit);
        }
    }

    /// From now on what is on the disk is no longer what reads see without what is pending.
    fn keep_apart(&mut self) {
        self.durable = Some(self.on_disk().into_owned());
    }
}

impl Contents {
    /// How long the file is.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Fills `buffer` with what stands from `from` on.
    pub(crate) fn read(&self, from: usize, buffer: &mut [u8]) {
        assert!(from + buffer.len() <= self.len, "a read ends with the file");
        let written = self.bytes.get(from..).unwrap_or_default();
        let (front, behind) = buffer.split_at_mut(buffer.len().min(written.len()));
        front.copy_from_slice(&written[..front.len()]);
        behind.fill(0);
    }

    /// All bytes of the file.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(self.len, 0);
        bytes
    }

    /// The first place from `from` on where something else than zero stands.
    pub(crate) fn next_not_zero(&self, from: usize) -> Option<usize> {
        let written = self.bytes.get(from..)?;
        written.iter().position(|byte| *byte != 0).map(|skipped| from + skipped)
    }

    fn change(&mut self, change: &Change) -> Replaced {
        let (kept, len) = (self.bytes.len(), self.len);
        match change {
            Change::Write { offset, bytes } => {
                let there = self.bytes.get(*offset..kept.min(offset + bytes.len())).unwrap_or_default();
                let replaced = Replaced { offset: *offset, bytes: there.to_vec(), kept, len };
                self.write(*offset, bytes);
                replaced
            }
            Change::Len(to) => {
                let there = self.bytes.get(*to..).unwrap_or_default();
                let replaced = Replaced { offset: *to, bytes: there.to_vec(), kept, len };
                self.bytes.truncate(*to);
                self.len = *to;
                replaced
            }
        }
    }

    /// Becomes what it was before the change that replaced this, the last one that is not undone.
    fn undo(&mut self, replaced: &Replaced) {
        let Replaced { offset, bytes, kept, len } = replaced;
        self.bytes.resize(*kept, 0);
        if !bytes.is_empty() {
            self.bytes[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        self.len = *len;
    }

    fn write(&mut self, offset: usize, written: &[u8]) {
        let end = offset + written.len();
        if offset == self.bytes.len() {
            if self.bytes.len() + written.len() > self.bytes.capacity() {
                // A segment is made long and filled slowly: it would grow a dozen times.
                self.bytes.reserve(self.len.min(RESERVED_BYTES_MAX).saturating_sub(self.bytes.len()));
            }
            self.bytes.extend_from_slice(written);
            self.len = self.len.max(end);
            return;
        }
        self.reach(end);
        self.bytes[offset..end].copy_from_slice(written);
    }

    fn flip(&mut self, at: usize, bit: u8) {
        self.reach(at + 1);
        self.bytes[at] ^= bit;
    }

    /// Makes room in memory for all up to `end`.
    fn reach(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.len = self.len.max(end);
    }
}

/// The pieces of a write that lie in one sector each.
pub(crate) fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        pieces.push((at, piece));
        (at, rest) = (at + piece.len(), after);
    }
    pieces
}

/// For how much of a long file memory is taken at once, in bytes.
const RESERVED_BYTES_MAX: usize = 64 << 10;
/// What a disk writes whole or not at all, in bytes.
pub(crate) const SECTOR: usize = 512;
