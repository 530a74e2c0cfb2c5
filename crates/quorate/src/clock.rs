//! The only place of a node that asks the operating system for the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Counts ticks since the node started.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    tick: Duration,
    /// Ticks that were left out after pauses of the process.
    skipped: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start(tick: Duration) -> Clock {
        Clock { start: Instant::now(), tick, skipped: 0 }
    }

    /// Ticks since the start, less those left out.
    pub(crate) fn ticks(&self) -> u64 {
        let passed = self.start.elapsed().as_micros() / self.tick.as_micros();
        u64::try_from(passed).unwrap_or(u64::MAX) - self.skipped
    }

    /// Leaves out this many ticks, as if the clock had stood.
    pub(crate) fn skip_ticks(&mut self, count: u64) {
        self.skipped += count;
    }

    /// When the clock will have counted this many ticks; at most a minute away.
    pub(crate) fn at_tick(&self, ticks: u64) -> Instant {
        let tick_us = u64::try_from(self.tick.as_micros()).unwrap_or(u64::MAX);
        let since_start = Duration::from_micros(tick_us.saturating_mul(ticks.saturating_add(self.skipped)));
        let farthest = Instant::now() + FARTHEST;
        self.start.checked_add(since_start).map_or(farthest, |wanted| wanted.min(farthest))
    }

    /// Microseconds since the start; never falls.
    pub(crate) fn monotonic_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The wall clock in milliseconds since 1970; 0 if it stands before.
    pub(crate) fn wall_ms() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The loop wakes at least this often, so that a timer computed far ahead is looked at again.
const FARTHEST: Duration = Duration::from_secs(60);
