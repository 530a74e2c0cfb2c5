//! Which states were seen: 64-bit fingerprints in one flat table, eight bytes a slot.
//!
//! Two states with one fingerprint would be taken for one, and what follows from the second would not be explored. With n
//! states that happens with a probability of about n² / 2^65: one in 370,000 for ten million states.

/// A fingerprint of these bytes.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes.len() as u64;
    for piece in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        hash = mix(hash ^ u64::from_le_bytes(word), 0xa076_1d64_78bd_642f);
    }
    mix(hash, 0xe703_7ed1_a0b4_28db)
}

/// Both halves of the product, one upon the other: every bit of the inputs reaches every bit of the result.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ b.rotate_left(32)) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted, one after the other")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high ^ a.rotate_left(29)
}

/// A set of fingerprints with open addressing. It doubles when it is seven eighths full, up to a bound in bytes.
pub struct Fingerprints {
    /// Invariant: a power of two of slots; 0 is a free one.
    slots: Vec<u64>,
    len: usize,
    bytes_max: usize,
}

/// What became of a fingerprint.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Insert {
    /// It was not there.
    New,
    /// It was there.
    Known,
    /// It is not there, and the table may not grow.
    Full,
}

impl Fingerprints {
    /// An empty set that takes at most `bytes_max` bytes, the moment of growth included.
    pub fn new(bytes_max: usize) -> Fingerprints {
        Fingerprints { slots: vec![0; SLOTS_MIN], len: 0, bytes_max }
    }

    /// How many fingerprints are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory of the table, in bytes.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }

    /// Adds a fingerprint.
    pub fn insert(&mut self, fingerprint: u64) -> Insert {
        // Zero marks a free slot, so it shares the slot of one.
        let fingerprint = fingerprint.max(1);
        let slot = self.slot_of(fingerprint);
        if self.slots[slot] == fingerprint {
            return Insert::Known;
        }
        if (self.len + 1) * 8 > self.slots.len() * 7 {
            // While it grows, the old table and the new one are there at once.
            if self.bytes() * 3 > self.bytes_max {
                return Insert::Full;
            }
            self.grow();
            return self.insert(fingerprint);
        }
        self.slots[slot] = fingerprint;
        self.len += 1;
        assert!(self.len < self.slots.len(), "a free slot ends every search");
        Insert::New
    }

    fn grow(&mut self) {
        let slots = vec![0; self.slots.len() * 2];
        for fingerprint in std::mem::replace(&mut self.slots, slots) {
            if fingerprint != 0 {
                let slot = self.slot_of(fingerprint);
                self.slots[slot] = fingerprint;
            }
        }
    }

    /// Where it is, or the free slot where it belongs.
    fn slot_of(&self, fingerprint: u64) -> usize {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose a slot")]
        let mut slot = fingerprint as usize & mask;
        while self.slots[slot] != 0 && self.slots[slot] != fingerprint {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

const SLOTS_MIN: usize = 1 << 12;
