//! The circuit breaker of one endpoint: after some failures in a row the endpoint is left alone for a while, then one call
//! tries it again. It keeps the calls of a busy client away from a dead node without asking anybody.
//!
//! ```text
//!             failures_max in a row                 open_time over: one probe is let through
//!   Closed ───────────────────────────▶ Open ─────────────────────────────────────────────▶ HalfOpen
//!     ▲                                   ▲                                                    │  │
//!     │                                   └──────────────── the probe failed ──────────────────┘  │
//!     └──────────────────────────────────────── the probe came back ──────────────────────────────┘
//! ```
//! Time is given with each call (any clock that never goes back), so the rules are tested without waiting.

use std::time::Duration;

/// When an endpoint is left alone, and for how long.
#[derive(Clone, Debug)]
pub struct BreakerPolicy {
    /// How many failures in a row open the breaker. At least 1.
    pub failures_max: u32,
    /// How long the first opening lasts; each further one without a success between lasts twice as long.
    pub open_time_base: Duration,
    /// The longest opening.
    pub open_time_max: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            failures_max: 3,
            open_time_base: Duration::from_millis(500),
            open_time_max: Duration::from_secs(5),
        }
    }
}

/// What a breaker says of its endpoint.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes before the given time.
    Open,
    /// One probe is on its way; other calls do not pass until it is back.
    HalfOpen,
}

/// The circuit breaker of one endpoint.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    /// Failures since the last success.
    failures_in_a_row: u32,
    /// Openings since the last success. Invariant: 0 if and only if the state is `Closed`.
    openings: u32,
    /// The end of the present opening, or the time at which a probe that never reported back is given up.
    until: Duration,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Breaker {
        Breaker {
            policy,
            state: BreakerState::Closed,
            failures_in_a_row: 0,
            openings: 0,
            until: Duration::ZERO,
        }
    }

    /// What the breaker says now.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call would pass at `now`. Asking changes nothing.
    pub fn admits(&self, now: Duration) -> bool {
        match self.state {
            BreakerState::Closed => true,
            // A probe whose task was dropped never reports: its time runs out as an opening does.
            BreakerState::Open | BreakerState::HalfOpen => now >= self.until,
        }
    }

    /// Lets a call pass at `now`, or refuses it. Whoever passes reports with `on_success` or `on_failure`.
    pub fn enter(&mut self, now: Duration) -> bool {
        if !self.admits(now) {
            return false;
        }
        if self.state != BreakerState::Closed {
            self.state = BreakerState::HalfOpen;
            self.until = now + self.open_time();
        }
        true
    }

    /// The endpoint answered, whatever it said.
    pub fn on_success(&mut self) {
        self.state = BreakerState::Closed;
        self.failures_in_a_row = 0;
        self.openings = 0;
    }

    /// The endpoint could not be reached, or broke off.
    pub fn on_failure(&mut self, now: Duration) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.failures_in_a_row >= self.policy.failures_max,
            BreakerState::HalfOpen => true,
            // A call from before the opening came back late: it tells nothing new.
            BreakerState::Open => false,
        };
        if opens {
            self.openings = self.openings.saturating_add(1);
            self.state = BreakerState::Open;
            self.until = now + self.open_time();
        }
    }

    /// How long the present opening lasts: doubled for each opening in a row, up to the limit.
    fn open_time(&self) -> Duration {
        let doublings = self.openings.saturating_sub(1).min(16);
        self.policy.open_time_base.saturating_mul(1 << doublings).min(self.policy.open_time_max)
    }
}
