//! What the simulated disk holds of one file: what reads see, what is durable, and what lies between the two.

use crate::rng::Rng;

/// A file of the simulated disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// What reads see.
    current: Contents,
    /// What is on the disk.
    durable: Contents,
    /// What is not yet on the disk, in order.
    pending: Vec<Change>,
    /// Invariant: before this offset `current` and `durable` are equal. A crash copies only what stands behind it.
    equal_to: usize,
    /// Whether changes were forgotten that `current` still shows: then a sync does not make the two equal.
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

impl Inode {
    /// A file with these contents, durably.
    pub(crate) fn durable(bytes: &[u8]) -> Inode {
        let contents = Contents { bytes: bytes.to_vec(), len: bytes.len() };
        Inode {
            current: contents.clone(),
            durable: contents,
            pending: Vec::new(),
            equal_to: usize::MAX,
            forgot: false,
        }
    }

    /// What reads see.
    pub(crate) fn current(&self) -> &Contents {
        &self.current
    }

    /// What is on the disk.
    pub(crate) fn on_disk(&self) -> &Contents {
        &self.durable
    }

    /// Makes a change that is not durable yet.
    pub(crate) fn apply(&mut self, change: Change) {
        let from = match &change {
            Change::Write { offset, .. } => *offset,
            Change::Len(len) => *len.min(&self.current.len),
        };
        self.equal_to = self.equal_to.min(from);
        self.current.change(&change);
        self.pending.push(change);
    }

    /// All changes become durable.
    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            self.durable.change(&change);
        }
        if !self.forgot {
            self.equal_to = usize::MAX;
        }
    }

    /// The changes are forgotten, although reads still show them.
    pub(crate) fn forget(&mut self) {
        self.forgot |= !self.pending.is_empty();
        self.pending.clear();
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, outcome: Outcome, rng: &mut Rng) {
        for change in self.pending.drain(..) {
            let fate =
                if outcome == Outcome::Chance { rng.below(3) } else { u64::from(outcome == Outcome::Lost) };
            match change {
                change if fate == 0 => self.durable.change(&change),
                Change::Write { offset, bytes } if fate == 2 => {
                    for (at, piece) in sectors(offset, &bytes) {
                        if rng.chance(500) {
                            self.durable.write(at, piece);
                        }
                    }
                }
                Change::Write { .. } | Change::Len(_) => {}
            }
        }
        if self.equal_to < usize::MAX {
            self.current.copy_from(&self.durable, self.equal_to);
        }
        self.equal_to = usize::MAX;
        self.forgot = false;
    }

    /// A bit changes where it lies, and reads show it.
    pub(crate) fn rot(&mut self, at: usize, bit: u8) {
        self.durable.flip(at, bit);
        if at < self.current.len {
            self.current.flip(at, bit);
        }
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

    fn change(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.write(*offset, bytes),
            Change::Len(len) => {
                self.bytes.truncate(*len);
                self.len = *len;
            }
        }
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

    /// Becomes equal to `other`, which it is before `equal_to` already.
    fn copy_from(&mut self, other: &Contents, equal_to: usize) {
        let kept = equal_to.min(self.bytes.len()).min(other.bytes.len());
        self.bytes.truncate(kept);
        self.bytes.extend_from_slice(&other.bytes[kept..]);
        self.len = other.len;
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
