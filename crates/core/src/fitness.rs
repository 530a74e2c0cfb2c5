//! How fit a node is to lead, as it sees itself: its priority, what its disk can do, and whether it gave way lately. It says so with
//! each answer to a heartbeat, and it is the more patient before an election the less fit it is.
//!
//! Nothing here is needed for safety, and nothing may cost availability: who is unfit stands aside for a while and not for ever, because
//! its log may be the one that is needed (thesis 3.6.1).

use crate::config::{Config, PRIORITY_MAX};
use crate::message::Standing;
use crate::planted::{self, Bug};
use crate::raft::Raft;
use crate::role::RoleState;

/// What a node knows of its own fitness.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fitness {
    /// How the own disk does.
    pub(crate) disk: DiskGauge,
    /// After it gave way as unfit: for how long it does not want to lead.
    pub(crate) rest: Backoff,
    /// After it handed over to a node of higher priority, or tried to: for how long it does not do so again.
    pub(crate) handover: Backoff,
    /// How many election timeouts it has let pass for others to stand first.
    pub(crate) passed: u64,
}

/// How long the own disk takes for a write.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct DiskGauge {
    /// For how many ticks it has been at the oldest write, or had nothing to do.
    pub(crate) since_ticks: u64,
    /// How long writes took of late: a moving mean, in sixteenths of a tick.
    pub(crate) mean_sixteenths: u64,
}

/// A pause that grows when it was not long enough.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Backoff {
    /// How many ticks of it are left.
    pub(crate) left_ticks: u64,
    /// How long it was, or is.
    pub(crate) len_ticks: u64,
    /// For how many ticks it has been over.
    pub(crate) over_ticks: u64,
}

impl DiskGauge {
    /// Time has passed; `busy` tells whether a write is under way. What a disk did long ago says less and less of it.
    fn on_tick(&mut self, elapsed: u64, busy: bool, timeout: u64) {
        self.since_ticks = self.since_ticks.saturating_add(elapsed);
        if !busy && self.since_ticks >= timeout {
            self.mean_sixteenths /= 2;
            self.since_ticks = 0;
        }
    }

    /// The oldest write is durable.
    fn on_persisted(&mut self) {
        let sample = self.since_ticks.min(u64::from(u32::MAX)) * 16;
        // Rounded up, so that a mean of one sixteenth can still fall to nothing.
        self.mean_sixteenths -= self.mean_sixteenths.div_ceil(4);
        self.mean_sixteenths += sample / 4;
        self.since_ticks = 0;
    }

    /// How many ticks a write takes now: the mean of late, or the one under way if that takes longer.
    pub(crate) fn write_ticks(&self, busy: bool) -> u64 {
        let under_way = if busy { self.since_ticks } else { 0 };
        under_way.max(self.mean_sixteenths / 16)
    }
}

impl Backoff {
    /// The pause begins: twice as long as the last one if that is not long over.
    pub(crate) fn begin(&mut self, timeout: u64) {
        let (min, max) =
            (timeout.saturating_mul(BACKOFF_TIMEOUTS_MIN), timeout.saturating_mul(BACKOFF_TIMEOUTS_MAX));
        let soon = self.over_ticks < self.len_ticks.saturating_mul(2);
        self.len_ticks = if soon { self.len_ticks.saturating_mul(2).clamp(min, max) } else { min };
        self.left_ticks = self.len_ticks;
        self.over_ticks = 0;
        assert!(self.left_ticks > 0, "a pause that begins lasts for a while");
    }

    /// Whether the pause lasts.
    pub(crate) fn lasts(&self) -> bool {
        self.left_ticks > 0
    }

    fn on_tick(&mut self, elapsed: u64) {
        if self.lasts() {
            self.left_ticks = self.left_ticks.saturating_sub(elapsed);
        } else {
            self.over_ticks = self.over_ticks.saturating_add(elapsed);
        }
    }
}

impl Raft {
    /// Time has passed for what this node knows of its own fitness.
    pub(crate) fn on_fitness_tick(&mut self, elapsed: u64) {
        let (timeout, busy) = (self.config.election_timeout_ticks, self.log.writes_under_way() > 0);
        let slow_ticks = slow_disk_ticks(&self.config);
        let Fitness { disk, rest, handover, passed: _ } = &mut self.fitness;
        disk.on_tick(elapsed, busy, timeout);
        handover.on_tick(elapsed);
        // The rest of a node whose disk is still slow does not end.
        if !rest.lasts() || disk.write_ticks(busy) < slow_ticks {
            rest.on_tick(elapsed);
        }
    }

    /// A write of the own disk has become durable.
    pub(crate) fn on_disk_answered(&mut self) {
        self.fitness.disk.on_persisted();
    }

    /// This node has shown that it is no good leader for now: it stands aside for a while.
    pub(crate) fn begin_rest(&mut self) {
        if !planted::is(Bug::UnfitNodeTakesTheLeadBack) {
            self.fitness.rest.begin(self.config.election_timeout_ticks);
        }
    }

    /// What this node says of itself.
    pub(crate) fn standing(&self) -> Standing {
        let disk_ticks = self.own_disk_ticks();
        Standing {
            priority: self.config.priority,
            disk_ticks: u32::try_from(disk_ticks).unwrap_or(u32::MAX),
            rests: self.fitness.rest.lasts(),
            // What a damaged node takes in counts only once it is whole, however well entries reach it.
            full: self.takes_nothing() || !self.log.damage().is_none(),
        }
    }

    /// How many ticks a write of the own disk takes.
    pub(crate) fn own_disk_ticks(&self) -> u64 {
        self.fitness.disk.write_ticks(self.log.writes_under_way() > 0)
    }

    /// Whether to let this election timeout pass, so that fitter nodes may stand first. Not more than a few of them: if nobody else
    /// can win, this node must stand.
    pub(crate) fn lets_others_stand(&mut self) -> bool {
        let alone = self.membership().voters.len() == 1;
        let unfit = self.fitness.rest.lasts()
            || (self.config.priority == 0 && !planted::is(Bug::PriorityZeroElected));
        let stands_already = matches!(self.role, RoleState::Candidate(_));
        if alone || !unfit || stands_already || self.fitness.passed >= PASSED_TIMEOUTS_MAX {
            return false;
        }
        self.fitness.passed += 1;
        true
    }

    /// How much later than others this node stands for election: the lower its priority the later, by half an election timeout at most.
    pub(crate) fn priority_delay_ticks(&self) -> u64 {
        let lacks = u64::from(PRIORITY_MAX.saturating_sub(self.config.priority));
        self.config.election_timeout_ticks * lacks / (2 * u64::from(PRIORITY_MAX))
    }
}

/// From how many ticks for a write on a disk counts as slow, if others are faster: what is less is no reason to move the leadership.
pub(crate) fn slow_disk_ticks(config: &Config) -> u64 {
    (config.heartbeat_ticks / 4).max(SLOW_DISK_TICKS_MIN)
}

/// Fewer ticks than this cannot be told from none: a write may begin at the end of a tick.
const SLOW_DISK_TICKS_MIN: u64 = 2;
/// How many election timeouts a node that should not lead lets pass before it stands all the same.
const PASSED_TIMEOUTS_MAX: u64 = 2;
/// The shortest and the longest pause, in election timeouts.
const BACKOFF_TIMEOUTS_MIN: u64 = 8;
const BACKOFF_TIMEOUTS_MAX: u64 = 64;
