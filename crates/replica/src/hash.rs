//! A small 64-bit mixing function: for the hash of commands, for that of what apply did, and to spread retries.
//!
//! It tells accidents apart: another command under a used key, a replica that computed something else. For a given
//! state each word leads to another result, so that inputs that differ in one word never collide, and others do so
//! with a chance of about 2^-64. It is no defence against an adversary who searches for collisions; all that he gets is
//! the answer to his own earlier request.

/// Mixes `word` into `state`. The middle is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) fn mix(state: u64, word: u64) -> u64 {
    let mut z = (state.rotate_left(17) ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Mixes `bytes` and their length into `state`, eight bytes at a time in little-endian order: alike on every machine.
pub(crate) fn mix_bytes(state: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(state, bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state = mix(state, u64::from_le_bytes(word.try_into().expect("a chunk of eight has eight bytes")));
    }
    let rest = words.remainder();
    if rest.is_empty() {
        return state;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(state, u64::from_le_bytes(last))
}

/// A seeded generator for the spread of retries; chance that matters to nobody's safety.
#[derive(Clone, Debug)]
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    /// The generator of `seed`.
    pub(crate) fn new(seed: u64) -> Jitter {
        Jitter { state: seed }
    }

    /// A number from 0 to `most`, both included.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.state = mix(self.state, most);
        self.state % most.saturating_add(1).max(1)
    }
}
