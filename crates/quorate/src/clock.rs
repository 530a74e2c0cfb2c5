//! The only place of a node that asks the operating system for the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Counts ticks since the node started.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    tick: Duration,
    /// What the clock of leases showed then, in microseconds.
    steady_start_us: u64,
    /// Ticks that were left out after pauses of the process.
    skipped: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start(tick: Duration) -> Clock {
        Clock { start: Instant::now(), tick, steady_start_us: steady_us(), skipped: 0 }
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

    /// Microseconds since the start; never falls, is never set, and goes on while the process stands still or the machine sleeps: leases
    /// are measured by it, and who holds one must know for how long it slept.
    pub(crate) fn monotonic_us(&self) -> u64 {
        steady_us().saturating_sub(self.steady_start_us)
    }

    /// The wall clock in milliseconds since 1970; 0 if it stands before.
    pub(crate) fn wall_ms() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The clock that nobody sets, in microseconds from any start. Instants will not do: on Linux they stand still while the machine sleeps.
fn steady_us() -> u64 {
    let now = clock_gettime(STEADY);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
}

/// It counts the time of sleep: on Linux that is the boot clock, elsewhere the monotonic one does.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::Monotonic;

/// The loop wakes at least this often, so that a timer computed far ahead is looked at again.
const FARTHEST: Duration = Duration::from_secs(60);
