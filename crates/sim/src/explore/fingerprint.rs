//! Which states were seen: 64-bit fingerprints, of which five bytes each are kept.
//!
//! Two states with one fingerprint would be taken for one, and what follows from the second would not be explored. With n
//! states that happens with a probability of about n² / 2^65: one in 370,000 for ten million states, one in 3,700 for a hundred million.
//! The table knows a fingerprint by its lowest 40 bits and by about where they stand, which the highest bits decide. A new one is
//! compared with a few others, so that adds n · 8 / 2^40 at most: one in 1,400 for a hundred million.

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

/// A fingerprint of a number.
#[inline]
pub fn scramble(number: u64) -> u64 {
    mix(number ^ 0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db)
}

/// Both halves of the product, one upon the other: every bit of the inputs reaches every bit of the result.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ b.rotate_left(32)) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted, one after the other")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high ^ a.rotate_left(29)
}

/// A set of fingerprints with open addressing, in a table that never grows.
pub struct Fingerprints {
    /// The lowest five bytes of each. All zero is a free place.
    slots: Vec<u8>,
    len: usize,
    len_max: usize,
}

/// What became of a fingerprint.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Insert {
    /// It was not there.
    New,
    /// It was there.
    Known,
    /// It is not there, and the table is full.
    Full,
}

impl Fingerprints {
    /// An empty set for `len_max` fingerprints, or for fewer if more would take more than `bytes_max` bytes. The system gives the
    /// memory page by page, as the table fills.
    pub fn new(len_max: u64, bytes_max: usize) -> Fingerprints {
        let len_max = usize::try_from(len_max).unwrap_or(usize::MAX);
        let hundreds = (bytes_max / SLOT_BYTES / 100).min(len_max / FULL_PERCENT + 1).max(1);
        let (len_max, slots) = (len_max.min(hundreds * FULL_PERCENT), hundreds * 100);
        Fingerprints { slots: vec![0; slots * SLOT_BYTES], len: 0, len_max }
    }

    /// How many fingerprints are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory of the table, in bytes, once it has been touched everywhere.
    pub fn bytes(&self) -> usize {
        self.slots.len()
    }

    /// Adds a fingerprint.
    pub fn insert(&mut self, fingerprint: u64) -> Insert {
        let [a, b, c, d, e, ..] = fingerprint.to_le_bytes();
        let low = [a, b, c, d, e];
        // Zero marks a free place, so it shares the place of one.
        let low = if low == FREE { [1, 0, 0, 0, 0] } else { low };
        let slots = self.slots.len() / SLOT_BYTES;
        let product = u128::from(fingerprint) * slots as u128;
        let mut slot = usize::try_from(product >> 64).expect("it is below the number of places");
        loop {
            let place = &mut self.slots[slot * SLOT_BYTES..][..SLOT_BYTES];
            if place == low {
                return Insert::Known;
            }
            if place == FREE {
                if self.len == self.len_max {
                    return Insert::Full;
                }
                place.copy_from_slice(&low);
                self.len += 1;
                assert!(self.len < slots, "a free place ends every search");
                return Insert::New;
            }
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
    }
}

const SLOT_BYTES: usize = 5;
const FREE: [u8; SLOT_BYTES] = [0; SLOT_BYTES];
/// How full the table may get. Fuller ones are searched for long.
const FULL_PERCENT: usize = 85;
