//! How long to wait before connecting again: exponential growth with full jitter, so that many nodes that lost the same peer
//! do not come back in the same instant.

use std::time::Duration;

/// The waits of one link.
#[derive(Debug)]
pub(crate) struct Backoff {
    first_ms: u64,
    max_ms: u64,
    failures: u32,
    state: u64,
}

impl Backoff {
    /// Waits between 0 and `first_ms`, then between 0 and twice that, and so on up to `max_ms`. Equal seeds wait equally.
    pub(crate) fn new(first_ms: u64, max_ms: u64, seed: u128) -> Backoff {
        let folded = (seed ^ (seed >> 64)) & u128::from(u64::MAX);
        let state = u64::try_from(folded).expect("masked to 64 bits");
        // Xorshift stands still at zero.
        Backoff { first_ms, max_ms, failures: 0, state: state.max(1) }
    }

    /// The wait after one more failure.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let factor = 1u64.checked_shl(self.failures.min(63)).unwrap_or(u64::MAX);
        let bound_ms = self.first_ms.saturating_mul(factor).min(self.max_ms);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(self.random() % bound_ms.saturating_add(1))
    }

    /// To be called when a connection has lasted.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Xorshift with a multiplication on the way out (Marsaglia 2003, Vigna 2016): good enough to spread waits.
    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    /// The bound of the n-th wait doubles up to the limit, the waits differ, and success starts again from the first bound.
    #[test]
    fn waits_grow_to_the_limit_with_full_jitter() {
        let mut backoff = Backoff::new(10, 1_000, 42);
        let mut largest = 0;
        for round in 0..200u32 {
            let bound = (10u64 << round.min(7)).min(1_000);
            let wait = u64::try_from(backoff.next_wait().as_millis()).expect("waits are short");
            assert!(wait <= bound, "wait {wait} of failure {round} is above {bound}");
            largest = largest.max(wait);
        }
        assert!(largest > 900, "with full jitter some of 190 waits come near the limit, not only {largest}");
        backoff.reset();
        assert!(backoff.next_wait().as_millis() <= 10, "after a success the first bound holds again");
    }

    /// Two links with other seeds do not wait in step.
    #[test]
    fn seeds_spread_the_waits() {
        let waits = |seed| {
            let mut backoff = Backoff::new(1_000, 1_000, seed);
            (0..8).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(9));
    }
}
