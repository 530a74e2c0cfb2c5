//! Every limit of the protocol with its unit, and the check that they fit together.

use crate::types::NodeId;

/// The settings of one node's protocol. [`Config::validate`] says which combinations make sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
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
}
