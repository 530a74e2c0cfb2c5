//! A node's clock, and the ticks that it gives to a running node. A node that nothing happens to is left alone until its next
//! deadline, as in production: the ticks in between are given together, and before anything else that comes earlier.

use crate::scene::{Event, Life, Scene};

/// A clock that may run fast or slow, or stand still for a while. It never goes back.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Clock {
    /// It runs at this many thousandths of true time.
    pub(crate) per_mille: u64,
    /// What it showed at the true time `since_us`.
    shown_us: u64,
    /// From when on it runs; before that, it shows `shown_us`.
    pub(crate) since_us: u64,
}

impl Clock {
    /// A clock that runs at this rate from the beginning of the run.
    pub(crate) fn new(per_mille: u64) -> Clock {
        assert!(per_mille > 0, "a clock that stands still never starts an election");
        Clock { per_mille, shown_us: 0, since_us: 0 }
    }

    /// What it shows at this true time, in microseconds.
    pub(crate) fn shows(&self, now_us: u64) -> u64 {
        self.shown_us + now_us.saturating_sub(self.since_us) * self.per_mille / 1000
    }

    /// The first true time at which it shows this.
    fn when(&self, shown_us: u64) -> u64 {
        self.since_us + (shown_us.saturating_sub(self.shown_us) * 1000).div_ceil(self.per_mille)
    }

    /// From `since_us` on it runs at this rate; until then it stands still.
    pub(crate) fn set(&mut self, now_us: u64, since_us: u64, per_mille: u64) {
        assert!(since_us >= now_us, "a clock is changed now or later");
        assert!(per_mille > 0, "a clock that stands still for good never starts an election");
        *self = Clock { per_mille, shown_us: self.shows(now_us), since_us };
    }
}

/// The ticks of one life of a node.
#[derive(Debug)]
pub(crate) struct Timer {
    life: Life,
    clock: Clock,
    /// What the clock shows at the next tick that was not given yet.
    next_tick_us: u64,
    /// How many ticks from `next_tick_us` on lie before the next deadline.
    skips: u64,
    /// For when the node has an alarm.
    alarm_us: Option<u64>,
}

impl Timer {
    /// The first tick comes a whole tick after the start.
    pub(crate) fn start(life: Life, clock: Clock, now_us: u64) -> Timer {
        Timer { life, clock, next_tick_us: clock.shows(now_us) + TICK_US, skips: 0, alarm_us: None }
    }

    /// Takes the ticks that have passed and were not given yet.
    pub(crate) fn take_ticks(&mut self, now_us: u64) -> u64 {
        let shown_us = self.clock.shows(now_us);
        if shown_us < self.next_tick_us {
            return 0;
        }
        let ticks = 1 + (shown_us - self.next_tick_us) / TICK_US;
        self.next_tick_us += ticks * TICK_US;
        self.skips = self.skips.saturating_sub(ticks);
        ticks
    }

    /// Sees to an alarm when this many ticks will have passed since the last that was given.
    pub(crate) fn set_deadline(&mut self, scene: &mut Scene, ticks: u64) {
        assert!(ticks > 0, "what is due was done in this turn");
        self.skips = ticks - 1;
        self.set_alarm(scene);
    }

    /// An alarm rings: whether it is the node's, and its deadline has come. The deadline may have moved since the alarm was set; then there
    /// is another one.
    pub(crate) fn rings(&mut self, scene: &mut Scene) -> bool {
        if self.alarm_us != Some(scene.now_us) {
            return false;
        }
        self.alarm_us = None;
        if self.deadline_us() <= scene.now_us {
            return true;
        }
        self.set_alarm(scene);
        false
    }

    /// The node's clock was changed.
    pub(crate) fn on_clock(&mut self, scene: &mut Scene, clock: Clock) {
        self.clock = clock;
        self.set_alarm(scene);
    }

    /// An alarm that comes too early costs less than one for each deadline: most deadlines are put off again and again.
    fn set_alarm(&mut self, scene: &mut Scene) {
        let at_us = self.deadline_us().max(scene.now_us);
        if self.alarm_us.is_none_or(|alarm_us| at_us < alarm_us) {
            self.alarm_us = Some(at_us);
            scene.at(at_us, Event::Tick(self.life));
        }
    }

    fn deadline_us(&self) -> u64 {
        self.clock.when(self.next_tick_us.saturating_add(self.skips.saturating_mul(TICK_US)))
    }
}

/// A tick of a clock that runs true.
pub(crate) const TICK_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Network, NetworkOptions};
    use crate::profile::Profile;
    use crate::rng::Rng;
    use crate::trace::{Trace, TraceMode};
    use quorate_core::types::NodeId;

    fn scene() -> Scene {
        let network = Network::new(NetworkOptions::healthy(), Rng::stream(1, "network"));
        Scene::new(1, Profile::draw(1), network, Trace::new(TraceMode::Off))
    }

    /// Runs the alarms until one is due; the ticks that it gives and when.
    fn next_due(scene: &mut Scene, timer: &mut Timer) -> (u64, u64) {
        loop {
            assert!(scene.take_before(u64::MAX).is_some(), "there is always an alarm");
            if timer.rings(scene) {
                return (timer.take_ticks(scene.now_us), scene.now_us);
            }
        }
    }

    #[test]
    fn a_deadline_comes_with_all_ticks_before_it_whatever_the_clock_does() {
        let mut scene = scene();
        let life = Life { node: NodeId::new(1), number: 1 };
        let mut clock = Clock::new(1000);
        let mut timer = Timer::start(life, clock, 0);
        timer.set_deadline(&mut scene, 20);
        assert_eq!(next_due(&mut scene, &mut timer), (20, 200_000));
        // Put off: the alarm rings too early and is set again.
        timer.set_deadline(&mut scene, 5);
        assert_eq!(timer.take_ticks(235_000), 3);
        timer.set_deadline(&mut scene, 10);
        assert_eq!(next_due(&mut scene, &mut timer), (10, 330_000));
        // A clock that runs faster brings the deadline nearer, one that stands still moves it away.
        timer.set_deadline(&mut scene, 10);
        clock.set(330_000, 330_000, 2000);
        timer.on_clock(&mut scene, clock);
        assert_eq!(next_due(&mut scene, &mut timer), (10, 380_000));
        timer.set_deadline(&mut scene, 2);
        clock.set(380_000, 500_000, 1000);
        timer.on_clock(&mut scene, clock);
        assert_eq!(next_due(&mut scene, &mut timer), (2, 520_000));
    }
}
