//! Chance that is the same on every machine for ever: SplitMix64 spreads a seed, xoshiro256** draws from it. Own code,
//! because a generator that changes with a library's version would turn every failing seed in the corpus into another run.

/// A generator of pseudo-random numbers (xoshiro256**, Blackman and Vigna 2018).
#[derive(Clone, Debug)]
pub struct Rng {
    /// Invariant: never all zero, or every further number would be zero.
    state: [u64; 4],
}

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Rng {
        let mut spread = seed;
        let state = [(); 4].map(|()| split_mix(&mut spread));
        assert!(state != [0; 4], "a generator of zeros draws only zeros");
        Rng { state }
    }

    /// The generator of one concern of a run. Each concern has its own, so that a fault that is switched off does not
    /// reshuffle all the others: a failing run can be made smaller and still fail the same way.
    pub fn stream(seed: u64, name: &str) -> Rng {
        Rng::new(hash_bytes(hash_word(HASH_START, seed), name.as_bytes()))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        // The high half of the product is uniform but for a bias of bound / 2^64, which no run is long enough to see.
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a 128-bit product has 64 bits")
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` is above `high`, or the range has 2^64 numbers.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range has its lower end first");
        low + self.below((high - low).checked_add(1).expect("ranges of the simulator are far below 2^64"))
    }

    /// True in `per_mille` of 1,000 draws.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A number that is exponentially distributed, roughly, with this mean: geometric halvings of the range, by integers
    /// only. Never above 16 times the mean.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // Each leading zero bit halves the chance: the sum of that many half-lives and a uniform rest.
        let half_lives = u64::from(self.next_u64().leading_zeros()).min(20);
        let half_life = mean.saturating_mul(7) / 10;
        half_lives * half_life + self.below(half_life + 1)
    }

    /// One of the items, or `None` when there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        let len = u64::try_from(items.len()).expect("a slice's length fits 64 bits");
        items.get(usize::try_from(self.below(len)).expect("an index below a length fits usize"))
    }
}

/// Where a running hash starts.
pub const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// A running hash that has taken in one more number. For fingerprints of traces and states, not against an adversary.
#[must_use]
pub fn hash_word(hash: u64, word: u64) -> u64 {
    let mut mixed = hash ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    split_mix(&mut mixed)
}

/// A running hash that has taken in these bytes and their length.
#[must_use]
pub fn hash_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let mut running = hash_word(hash, bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        running = hash_word(running, u64::from_le_bytes(*word));
    }
    if rest.is_empty() {
        return running;
    }
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    hash_word(running, u64::from_le_bytes(word))
}

/// The next number of SplitMix64 (Steele, Lea and Flood 2014); moves `state` on.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
