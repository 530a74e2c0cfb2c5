//! The settings of a node: every limit with its unit, defaults that suit a local network, and the check that they fit together.

use std::time::Duration;

use quorate_core::config::PRIORITY_MAX;
use quorate_core::lease::LeaseConfig;
use quorate_transport::WIRE_VERSION_MAX;

/// The settings of a node. The defaults suit nodes in one data centre; all limits are for one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protocol's unit of time. All timers are counted in it.
    pub tick: Duration,
    /// A follower that hears nothing for this long (plus up to as much again, at random) stands for election.
    pub election_timeout: Duration,
    /// How often a leader says that it leads. A third of the election timeout at most.
    pub heartbeat: Duration,
    /// How much this node is meant to lead, from 0 to 100. The leadership moves to a voter of higher priority that is fit and up to date once
    /// the cluster is at rest; a node of priority 0 leads only if nobody else can, and not for longer than it must.
    pub priority: u8,
    /// After this time a proposal that has no answer ends as `TimedOut` (or `NoLeader` when it never left).
    pub proposal_timeout: Duration,
    /// After this time a read that no quorum confirmed ends as `TimedOut`.
    pub read_timeout: Duration,
    /// How it is made sure that a linearizable read misses nothing.
    pub reads: Reads,
    /// With [`Reads::Lease`]: by how many percent the clock of one node may run faster than that of another, from 1 to 100. Of the time for
    /// which the others have promised to vote for nobody else, the leader relies on `election_timeout / (1 + this)`, less a millisecond. If a
    /// clock runs faster than that beside another one, a read may miss the newest writes; nothing else goes wrong.
    pub clock_drift_max_percent: u64,
    /// How many inputs may wait for the loop. Beyond it callers get `Overloaded` and peers are read more slowly.
    pub inbox_len_max: usize,
    /// How many bytes of commands may wait for the loop. Beyond it callers get `Overloaded` at once.
    pub inbox_bytes_max: usize,
    /// How many inputs one turn of the loop takes before it drains once: the largest group commit.
    pub turn_len_max: usize,
    /// The largest command, in bytes.
    pub command_bytes_max: usize,
    /// Commands that wait for an answer on this node, in bytes.
    pub pending_bytes_max: usize,
    /// Entries that a leader may hold uncommitted, in bytes.
    pub uncommitted_bytes_max: usize,
    /// Recent entries kept in memory, in bytes; older ones are read from the log.
    pub window_bytes_max: usize,
    /// The entries of one message to a peer, in bytes.
    pub append_bytes_max: usize,
    /// How many messages with entries to one peer may be unanswered.
    pub inflight_appends_max: usize,
    /// How many bytes of entries to one peer may be unanswered.
    pub inflight_bytes_max: usize,
    /// How many messages may wait for the connection to one peer. More than `inflight_appends_max`.
    pub peer_queue_len_max: usize,
    /// The size of one file of the log, in bytes, reserved when it is begun.
    pub segment_bytes: u64,
    /// A snapshot of the state is taken after this many bytes of log, or as many as the last snapshot is long if that is more.
    pub snapshot_log_bytes_min: u64,
    /// A snapshot is also taken after this many entries, if they make at least a quarter of the last snapshot's bytes.
    pub snapshot_entries_min: u64,
    /// How many bytes of snapshots this node sends to its peers in a second, all together.
    pub snapshot_send_bytes_per_second: u64,
    /// The piece in which a snapshot is checked and sent, in bytes.
    pub snapshot_piece_bytes: usize,
    /// How far the time that entries carry may be from what a quorum's wall clocks show. It says when keys are forgotten, and nothing about
    /// what is safe. A second is ten heartbeats, which is how old a shown clock may be in time of trouble, and a hundred times what
    /// synchronised clocks differ by; a clock that is further off is named in the log, with what to do.
    pub clock_skew_max: Duration,
    /// The newest version of the wire format that this node speaks. Each connection speaks the newest that both sides do, so it need not be
    /// lowered for an upgrade; a node with a lower one is what a node of an older release is to the others.
    pub wire_version_max: u16,
    /// The feature level that this node says it understands at most, if that is less than its state machine does
    /// ([`StateMachine::feature_level_max`](crate::StateMachine::feature_level_max)). The leader raises the level once each member says that it
    /// understands a higher one; as long as one says less, all may go back to the older release.
    pub feature_level_max: Option<u16>,
}

/// How it is made sure that a linearizable read misses nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Reads {
    /// The leader asks a quorum whether it still leads, once for all reads that wait. Trusts no clock.
    #[default]
    Round,
    /// While a quorum has promised to vote for nobody else, the leader answers at once; else it asks, as without leases. Trusts that clocks
    /// run alike, within [`Config::clock_drift_max_percent`]. A node that starts votes for nobody for an election timeout, since it may
    /// have promised so. On every node the same, or the others' promises are missing; a node on which it is switched off, or whose
    /// `election_timeout` is made shorter, must first have been down for the old election timeout.
    Lease,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            tick: Duration::from_millis(10),
            election_timeout: Duration::from_millis(1_000),
            heartbeat: Duration::from_millis(100),
            priority: PRIORITY_MAX,
            proposal_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(5),
            reads: Reads::Round,
            clock_drift_max_percent: 10,
            inbox_len_max: 16 * 1024,
            inbox_bytes_max: 64 << 20,
            turn_len_max: 4 * 1024,
            command_bytes_max: 1 << 20,
            pending_bytes_max: 64 << 20,
            uncommitted_bytes_max: 64 << 20,
            window_bytes_max: 64 << 20,
            append_bytes_max: 1 << 20,
            inflight_appends_max: 64,
            inflight_bytes_max: 16 << 20,
            peer_queue_len_max: 4 * 1024,
            segment_bytes: 64 << 20,
            snapshot_log_bytes_min: 64 << 20,
            snapshot_entries_min: 500_000,
            snapshot_send_bytes_per_second: 64 << 20,
            snapshot_piece_bytes: 256 << 10,
            clock_skew_max: Duration::from_secs(1),
            wire_version_max: WIRE_VERSION_MAX,
            feature_level_max: None,
        }
    }
}

impl Config {
    /// Says what does not fit together, in words.
    ///
    /// # Errors
    /// The first setting that makes no sense, with the reason.
    pub fn validate(&self) -> Result<(), String> {
        let rules = [
            (self.priority <= PRIORITY_MAX, "priority must be between 0 and 100"),
            (self.inbox_len_max > 0, "inbox_len_max must be at least 1"),
            (self.turn_len_max > 0, "turn_len_max must be at least 1"),
            (self.command_bytes_max > 0, "command_bytes_max must be at least 1"),
            (
                self.command_bytes_max <= COMMAND_BYTES_CAP,
                "command_bytes_max must be at most 8 MiB: a command travels in one frame of 16 MiB, perhaps with others",
            ),
            (
                self.append_bytes_max <= COMMAND_BYTES_CAP,
                "append_bytes_max must be at most 8 MiB: the entries of one message travel in one frame of 16 MiB",
            ),
            (self.inbox_bytes_max >= self.command_bytes_max, "inbox_bytes_max must hold one command"),
            (self.pending_bytes_max >= self.command_bytes_max, "pending_bytes_max must hold one command"),
            (
                self.uncommitted_bytes_max >= self.command_bytes_max,
                "uncommitted_bytes_max must hold one command",
            ),
            (self.window_bytes_max >= self.command_bytes_max, "window_bytes_max must hold one command"),
            (
                self.uncommitted_bytes_max <= WRITE_BYTES_CAP && self.inflight_bytes_max <= WRITE_BYTES_CAP,
                "uncommitted_bytes_max and inflight_bytes_max must be at most 256 MiB: what one turn brings is written at once \
                 into one file of at most 1 GiB",
            ),
            (self.inflight_appends_max > 0, "inflight_appends_max must be at least 1"),
            (
                self.peer_queue_len_max > self.inflight_appends_max,
                "peer_queue_len_max must exceed inflight_appends_max, or a full pipeline drops its own messages",
            ),
            (
                self.segment_bytes >= 2 * self.command_bytes_max as u64 + SEGMENT_OVERHEAD_BYTES,
                "segment_bytes must hold two of the largest commands and 64 KiB of frame",
            ),
            (
                self.segment_bytes.is_multiple_of(512) && self.segment_bytes <= SEGMENT_BYTES_CAP,
                "segment_bytes must be a multiple of 512 and at most 1 GiB",
            ),
            (self.snapshot_log_bytes_min > 0, "snapshot_log_bytes_min must be at least 1"),
            (self.snapshot_entries_min > 0, "snapshot_entries_min must be at least 1"),
            (
                self.snapshot_send_bytes_per_second >= 1_000,
                "snapshot_send_bytes_per_second must be at least 1,000, or a snapshot never arrives",
            ),
            (
                (1..=SNAPSHOT_PIECE_BYTES_CAP).contains(&self.snapshot_piece_bytes),
                "snapshot_piece_bytes must be between 1 and 4 MiB: a piece travels in one frame",
            ),
        ];
        match self.rules_of_time().iter().chain(&rules).find(|(holds, _)| !holds) {
            Some((_, what)) => Err((*what).to_string()),
            None => Ok(()),
        }
    }

    /// What must hold of times and versions, each with what is wrong when it does not.
    fn rules_of_time(&self) -> [(bool, &'static str); 11] {
        [
            (self.tick >= Duration::from_millis(1), "tick must be at least 1 ms"),
            (self.heartbeat >= self.tick, "heartbeat must be at least one tick"),
            (
                self.election_timeout >= self.heartbeat * 3,
                "election_timeout must be at least three heartbeats, or one lost heartbeat deposes a leader",
            ),
            (
                self.proposal_timeout >= self.election_timeout,
                "proposal_timeout must outlast an election_timeout",
            ),
            (self.read_timeout >= self.election_timeout, "read_timeout must outlast an election_timeout"),
            (
                self.proposal_timeout <= TIMEOUT_CAP && self.read_timeout <= TIMEOUT_CAP,
                "proposal_timeout and read_timeout must be at most a day",
            ),
            (
                self.clock_skew_max >= self.heartbeat * 3,
                "clock_skew_max must be at least three heartbeats: clocks are shown in the answers to those",
            ),
            (self.feature_level_max != Some(0), "feature_level_max must be at least 1"),
            (
                self.wire_version_max <= WIRE_VERSION_MAX,
                "wire_version_max must be one that this release knows",
            ),
            (
                (1..=100).contains(&self.clock_drift_max_percent),
                "clock_drift_max_percent must be between 1 and 100: no two clocks run alike",
            ),
            (
                self.lease().is_none_or(|lease| {
                    self.heartbeat < Duration::from_micros(lease.lease_us(lease.promise_us))
                }),
                "heartbeat must be shorter than a lease, which is election_timeout / (1 + clock_drift_max_percent / 100) less 1 ms: else \
                 each ends before the next one begins",
            ),
        ]
    }

    /// The settings of leases, if they are wanted. A promise lasts as long as the shortest election timeout, so it holds no election up.
    pub(crate) fn lease(&self) -> Option<LeaseConfig> {
        let promise = self.duration_of(self.ticks(self.election_timeout));
        let promise_us = u64::try_from(promise.as_micros()).unwrap_or(u64::MAX);
        let clock_drift_max_percent = self.clock_drift_max_percent;
        (self.reads == Reads::Lease).then_some(LeaseConfig { promise_us, clock_drift_max_percent })
    }

    /// Ticks as a duration.
    pub(crate) fn duration_of(&self, ticks: u64) -> Duration {
        self.tick.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// What a rate for a second comes to in a tick, at least one.
    pub(crate) fn per_tick(&self, per_second: u64) -> u64 {
        let tick_us = u64::try_from(self.tick.as_micros()).unwrap_or(u64::MAX);
        (per_second.saturating_mul(tick_us) / 1_000_000).max(1)
    }

    /// A duration in ticks, at least one.
    pub(crate) fn ticks(&self, duration: Duration) -> u64 {
        u64::try_from(duration.as_micros() / self.tick.as_micros().max(1)).unwrap_or(u64::MAX).max(1)
    }
}

/// The largest `command_bytes_max` and `append_bytes_max` that are accepted: half of what a frame holds, because the last
/// command of a batch may exceed the batch's bound. What does not fit a frame could be appended and never replicated.
const COMMAND_BYTES_CAP: usize = 8 << 20;
/// The largest `uncommitted_bytes_max` and `inflight_bytes_max` that are accepted.
const WRITE_BYTES_CAP: usize = 256 << 20;
/// The largest `snapshot_piece_bytes` that is accepted.
const SNAPSHOT_PIECE_BYTES_CAP: usize = 4 << 20;
/// The largest `segment_bytes` that is accepted: recovery refuses longer files.
const SEGMENT_BYTES_CAP: u64 = 1 << 30;
/// The longest timeout for callers that is accepted: sums of ticks must not wrap.
const TIMEOUT_CAP: Duration = Duration::from_secs(24 * 60 * 60);
/// What a segment needs beyond its commands.
const SEGMENT_OVERHEAD_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Config;

    /// What passes the check must neither wedge replication (a frame that no link takes), nor write a file that recovery
    /// refuses, nor fail in a thread that has no words for it.
    #[test]
    fn settings_that_would_stop_a_running_cluster_are_refused_at_the_start() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config { segment_bytes: 256 << 20, ..Config::default() };
            change(&mut config);
            config.validate()
        };
        assert_eq!(with(|config| config.command_bytes_max = 8 << 20), Ok(()));
        type Change = fn(&mut Config);
        let refused: [(&str, Change); 8] = [
            ("command_bytes_max", |config| config.command_bytes_max = (8 << 20) + 1),
            ("append_bytes_max", |config| config.append_bytes_max = 32 << 20),
            ("uncommitted_bytes_max", |config| config.uncommitted_bytes_max = 1 << 30),
            ("inflight_bytes_max", |config| config.inflight_bytes_max = 1 << 30),
            ("segment_bytes", |config| config.segment_bytes = 100_000_001),
            ("segment_bytes", |config| config.segment_bytes = 2 << 30),
            ("proposal_timeout", |config| config.proposal_timeout = Duration::MAX),
            ("read_timeout", |config| config.read_timeout = Duration::MAX),
        ];
        for (name, change) in refused {
            let verdict = with(change).expect_err("the setting is out of its range");
            assert!(verdict.contains(name), "{verdict} does not name {name}");
        }
    }

    #[test]
    fn the_defaults_fit_together_and_each_contradiction_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let slow = Config { heartbeat: Config::default().election_timeout, ..Config::default() };
        assert!(slow.validate().expect_err("heartbeat equals election timeout").contains("election_timeout"));
        let small = Config { segment_bytes: 4096, ..Config::default() };
        assert!(small.validate().expect_err("a segment smaller than a command").contains("segment_bytes"));
        let drift = Config { clock_drift_max_percent: 0, ..Config::default() };
        assert!(drift.validate().expect_err("no two clocks run alike").contains("clock_drift_max_percent"));
        let short = Config {
            reads: super::Reads::Lease,
            clock_drift_max_percent: 100,
            election_timeout: Duration::from_millis(30),
            heartbeat: Duration::from_millis(10),
            tick: Duration::from_millis(10),
            ..Config::default()
        };
        assert_eq!(short.validate(), Ok(()), "14 ms are longer than 10 ms");
        let short = Config { tick: Duration::from_millis(1), heartbeat: Duration::from_millis(1), ..short };
        let short = Config { election_timeout: Duration::from_millis(3), ..short };
        assert!(short.validate().expect_err("nothing is left").contains("lease"));
        let queue = Config { peer_queue_len_max: 8, ..Config::default() };
        assert!(queue.validate().expect_err("queue below window").contains("peer_queue_len_max"));
        let skew = Config { clock_skew_max: Duration::from_millis(200), ..Config::default() };
        assert!(skew.validate().expect_err("clocks are shown too seldom").contains("clock_skew_max"));
    }

    /// The page of limits is for whoever sizes a machine: a default that it does not know would make it wrong.
    #[test]
    fn the_page_of_limits_names_each_budget_with_its_default() {
        let config = Config::default();
        let replica = quorate_replica::config::ReplicaConfig::new(1, 1);
        let transport = quorate_transport::TransportConfig::default();
        let sessions = quorate_replica::session::SessionLimits::default();
        let page = include_str!("../../../docs/limits.md");
        let bytes = [
            ("inbox_bytes_max", config.inbox_bytes_max),
            ("pending_bytes_max", config.pending_bytes_max),
            ("command_bytes_max", config.command_bytes_max),
            ("uncommitted_bytes_max", config.uncommitted_bytes_max),
            ("window_bytes_max", config.window_bytes_max),
            ("append_bytes_max", config.append_bytes_max),
            ("inflight_bytes_max", config.inflight_bytes_max),
            ("apply_batch_bytes_max", replica.apply_batch_bytes_max),
            ("forward_bytes_max", replica.forward_bytes_max),
            ("peer_queue_bytes_max", transport.peer_queue_bytes_max),
            ("inbound_bytes_max", transport.inbound_bytes_max),
            ("frame_body_bytes_max", transport.frame_body_bytes_max),
            ("session_bytes_max", sessions.session_bytes_max),
            ("sessions_bytes_max", sessions.sessions_bytes_max),
            ("keys_bytes_max", sessions.keys_bytes_max),
        ];
        for (name, bytes) in bytes {
            let row = format!("| `{name}` | {} MiB |", bytes >> 20);
            assert!(page.contains(&row), "docs/limits.md has no row {row}");
        }
        let counts = [
            ("inbox_len_max", config.inbox_len_max as u64),
            ("inflight_appends_max", config.inflight_appends_max as u64),
            ("peer_queue_len_max", config.peer_queue_len_max as u64),
            ("pending_len_max", replica.pending_len_max as u64),
            ("forwarded_len_max", replica.forwarded_len_max as u64),
            ("apply_lag_len_max", replica.apply_lag_len_max),
            ("reads_len_max", replica.reads_len_max as u64),
            ("snapshot_window_len", replica.snapshot_window_len),
            ("snapshot_asks_len_max", replica.snapshot_asks_len_max as u64),
        ];
        for (name, count) in counts {
            let row = format!("| `{name}` | {count} |");
            assert!(page.contains(&row), "docs/limits.md has no row {row}");
        }
    }
}
