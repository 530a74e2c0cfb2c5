//! Every limit of the protocol with its unit, and the check that they fit together.

use std::collections::BTreeMap;

use crate::lease::LeaseConfig;
use crate::types::NodeId;

/// The settings of one node's protocol. [`Config::validate`] says which combinations make sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Where members are reached, as this node's settings say: noted in each membership that it makes as the leader.
    pub addresses: BTreeMap<NodeId, String>,
    /// Seed of the generator that spreads election timeouts.
    pub seed: u64,
    /// An election starts after this many ticks without a leader, plus a random share up to as many again (thesis 3.4).
    pub election_timeout_ticks: u64,
    /// The leader says that it leads at least this often.
    pub heartbeat_ticks: u64,
    /// Upper bound of the entries in one append message, in bytes; one entry is always sent.
    pub append_bytes_max: usize,
    /// How many append messages to one peer may be unanswered.
    pub inflight_appends_max: usize,
    /// How many bytes of entries to one peer may be unanswered.
    pub inflight_bytes_max: usize,
    /// How many bytes of entries the leader may hold uncommitted before it refuses proposals as `Overloaded`.
    pub uncommitted_bytes_max: usize,
    /// The largest command, in bytes.
    pub command_bytes_max: usize,
    /// The window of recent entries kept in memory, in bytes.
    pub window_bytes_max: usize,
    /// How many reads may wait for their heartbeat round.
    pub reads_len_max: usize,
    /// Whether this node gives a candidate what its log lacks, and takes that as a candidate. On unless set.
    pub donation: bool,
    /// How much this node is meant to lead, from 0 to [`PRIORITY_MAX`]. The leadership moves to a fit voter of higher priority once the
    /// cluster is at rest. A node of priority 0 leads only if nobody else can, and not for longer than it must.
    pub priority: u8,
    /// How far the time of an entry may be from what a quorum's wall clocks show, in milliseconds. Nothing hangs on it but when what is
    /// remembered for a while is forgotten.
    pub clock_skew_max_ms: u64,
    /// What this binary understands, told to the leader in each heartbeat answer. The protocol only carries the number.
    pub features: u16,
    /// Leases, by which a leader answers reads without a heartbeat round (thesis 6.4.1). `None`: every read waits for a round, and this node
    /// promises nobody anything.
    pub lease: Option<LeaseConfig>,
}

/// Why a configuration makes no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// What is wrong and what to do, as one sentence.
    pub reason: &'static str,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The defaults for a node, with ticks of about a millisecond in mind.
    pub fn new(node: NodeId) -> Config {
        Config {
            node,
            addresses: BTreeMap::new(),
            seed: node.get(),
            election_timeout_ticks: 1_000,
            heartbeat_ticks: 100,
            append_bytes_max: 1 << 20,
            inflight_appends_max: 256,
            inflight_bytes_max: 16 << 20,
            uncommitted_bytes_max: 64 << 20,
            command_bytes_max: 1 << 20,
            window_bytes_max: 64 << 20,
            reads_len_max: 65_536,
            donation: true,
            priority: PRIORITY_MAX,
            clock_skew_max_ms: 1_000,
            features: 1,
            lease: None,
        }
    }

    /// Whether the limits fit together.
    ///
    /// # Errors
    /// The first limit that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.heartbeat_ticks >= 1, "heartbeat_ticks must be at least 1"),
            (
                self.election_timeout_ticks >= self.heartbeat_ticks.saturating_mul(2),
                "election_timeout_ticks must be at least twice heartbeat_ticks: one lost heartbeat must not start an election",
            ),
            (
                self.election_timeout_ticks <= TIMEOUT_TICKS_MAX,
                "election_timeout_ticks must be at most 2^40: sums of timeouts must not wrap",
            ),
            (self.append_bytes_max >= 1, "append_bytes_max must be at least 1"),
            (self.inflight_appends_max >= 1, "inflight_appends_max must be at least 1"),
            (self.inflight_bytes_max >= 1, "inflight_bytes_max must be at least 1"),
            (self.uncommitted_bytes_max >= 1, "uncommitted_bytes_max must be at least 1"),
            (
                u32::try_from(self.command_bytes_max).is_ok(),
                "command_bytes_max must be below 2^32: the length of a command is written in 32 bits",
            ),
            (self.window_bytes_max >= 1, "window_bytes_max must be at least 1"),
            (self.reads_len_max >= 1, "reads_len_max must be at least 1"),
            (self.priority <= PRIORITY_MAX, "priority must be between 0 and 100"),
            (self.clock_skew_max_ms >= 1, "clock_skew_max_ms must be at least 1"),
            (
                self.lease.is_none_or(|lease| lease.is_sound()),
                "a lease needs a bound on clock drift of 1 to 100 percent, and a promise of more than 2 ms and at most an hour",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(ConfigError { reason }),
            None => Ok(()),
        }
    }
}

/// The highest priority, and the one that a node has unless it is set.
pub const PRIORITY_MAX: u8 = 100;

/// The longest election timeout: far beyond any use, and sums of a few of them cannot wrap.
const TIMEOUT_TICKS_MAX: u64 = 1 << 40;
