//! When a failed call is tried again, and after how long: exponential backoff with full jitter, and the one rule that keeps a
//! retry from doing a thing twice.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use quorate_api::problem::Fate;

/// How often and how long a call is tried.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Tries of one call, the first one included, counted for each endpoint: a call over three endpoints makes at most three times
    /// as many. At least 1.
    pub attempts_max: u32,
    /// The bound of the first delay. The delay itself is drawn evenly between zero and the bound (full jitter), so that many
    /// clients that failed together do not come back together.
    pub delay_base: Duration,
    /// The bound of the longest delay.
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts_max: 6,
            delay_base: Duration::from_millis(50),
            delay_max: Duration::from_secs(2),
        }
    }
}

impl RetryPolicy {
    /// No second try.
    pub fn never() -> RetryPolicy {
        RetryPolicy { attempts_max: 1, ..RetryPolicy::default() }
    }

    /// The bound of the delay after this many rounds over the endpoints have failed (1: the first).
    pub fn delay_bound(&self, failed_rounds: u32) -> Duration {
        let doublings = failed_rounds.saturating_sub(1).min(20);
        self.delay_base.saturating_mul(1 << doublings).min(self.delay_max)
    }
}

/// Whether a call may be sent again after a failure of this fate. What was not accepted may always be sent again; what may have
/// happened only if a second time is no second effect (`repeatable`: it only reads, carries a request id, or is idempotent).
pub fn may_repeat(fate: Fate, repeatable: bool) -> bool {
    match fate {
        Fate::NotAccepted => true,
        Fate::Unknown => repeatable,
        Fate::Applied => false,
    }
}

/// The source of the jitter: SplitMix64, seeded from the operating system's entropy, or by a test.
#[derive(Debug)]
pub struct Jitter {
    state: u64,
}

impl Jitter {
    /// Seeded from entropy (the standard library's keyed hasher is; nothing here needs more).
    pub fn from_entropy() -> Jitter {
        Jitter { state: entropy() }
    }

    /// Seeded by the caller.
    pub fn seeded(seed: u64) -> Jitter {
        Jitter { state: seed }
    }

    /// A duration drawn evenly from zero to `bound`, both included.
    pub fn up_to(&mut self, bound: Duration) -> Duration {
        let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next_u64() % bound_ns.saturating_add(1).max(1))
    }

    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// 128 bits that no other client will draw: for the ids of requests and sessions.
pub fn random_id() -> u128 {
    (u128::from(entropy()) << 64) | u128::from(entropy())
}

fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
