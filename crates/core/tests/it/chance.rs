//! The chance of a seeded run: SplitMix64.

/// A generator.
pub(crate) struct Chance {
    sum: u64,
}

impl Chance {
    /// The generator of this seed.
    pub(crate) fn new(seed: u64) -> Chance {
        Chance { sum: seed }
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.sum = self.sum.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.sum;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % bound as u64).expect("below a usize")
    }
}
