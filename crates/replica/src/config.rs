//! Every limit of the replica with its unit, and what happens when it is reached.

/// The settings of one node's replica; the protocol's own are in `quorate_core::config::Config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaConfig {
    /// The node's own session for proposals without a request id: random for each start of the process. Its lower half
    /// also makes the numbers that this node gives to questions unlike those of its earlier lives, so that a late
    /// answer to a question from before a restart is never taken for the answer to a new one.
    pub session: u128,
    /// Seed of the generator that spreads retries.
    pub seed: u64,
    /// The largest body of a command, in bytes; larger ones are refused as `TooLarge`. The protocol's own limit is for the
    /// command with its envelope: it must be larger by `ENVELOPE_BYTES_MAX`.
    pub command_bytes_max: usize,
    /// A proposal is given up after this many ticks.
    pub proposal_timeout_ticks: u64,
    /// A read is given up after this many ticks.
    pub read_timeout_ticks: u64,
    /// A refused proposal or read is tried again after this many ticks, plus a random share up to as many again.
    pub retry_pause_ticks: u64,
    /// A forwarded proposal or question without an answer is sent again after this many ticks.
    pub forward_retry_ticks: u64,
    /// How many local proposals may be unanswered; more are refused as `Overloaded`.
    pub pending_len_max: usize,
    /// How many bytes of commands local proposals may hold while unanswered; more are refused as `Overloaded`.
    pub pending_bytes_max: usize,
    /// Upper bound of one `Forward` or `ForwardReply` message in bytes of commands or replies; one is always sent.
    pub forward_bytes_max: usize,
    /// The largest reply that is sent to the node that asked, in bytes; the caller there is told that a larger one was applied and cannot be
    /// brought. Together with `forward_bytes_max` it fits a frame.
    pub reply_bytes_max: usize,
    /// How many proposals of peers may wait at this leader; more are answered `Overloaded`.
    pub forwarded_len_max: usize,
    /// How many local reads may wait, and how many questions of peers; more are refused as `Overloaded`.
    pub reads_len_max: usize,
    /// Upper bound of one batch for the applier in bytes of entries; one entry is always handed over.
    pub apply_batch_bytes_max: usize,
    /// Upper bound of one batch for the applier in entries.
    pub apply_batch_len_max: u64,
    /// How many batches the applier may hold; the rest waits in the log.
    pub apply_inflight_max: usize,
    /// How many committed entries the leader's own applier may be behind before the leader refuses proposals, its own
    /// and those of peers, as `Overloaded`. Heartbeats and replication are never held up.
    pub apply_lag_len_max: u64,
    /// A snapshot is due after this many bytes of applied entries, or as many as the last snapshot is long if that is more.
    pub snapshot_log_bytes_min: u64,
    /// A snapshot is also due after this many entries, if they make at least a quarter of the last snapshot's bytes.
    pub snapshot_entries_min: u64,
    /// How many pieces of a snapshot that this node fetches may be asked for and not stored: what it holds in memory of it.
    pub snapshot_window_len: u64,
    /// After this many ticks without a piece those that are missing are asked for again; after four times as many another source is tried.
    /// A snapshot that could not be written is tried again after as many.
    pub snapshot_retry_ticks: u64,
    /// How many bytes of snapshots this node sends in a tick, to all peers together; at least one piece is always sent.
    pub snapshot_send_bytes_per_tick: u64,
    /// How many pieces peers may ask for before they are sent; more are forgotten, and asked for again.
    pub snapshot_asks_len_max: usize,
    /// For how many ticks after it last asked a peer's snapshot is kept, with the log behind it.
    pub snapshot_pin_ticks: u64,
    /// How many bytes of log are kept for a peer that fetches a snapshot; beyond, it has to fetch a newer one.
    pub snapshot_pin_log_bytes_max: u64,
    /// How many proposals may be traced at the same time; more are carried without a trace.
    pub explain_len_max: usize,
}

impl ReplicaConfig {
    /// Settings that suit ticks of about a millisecond.
    pub fn new(session: u128, seed: u64) -> ReplicaConfig {
        ReplicaConfig {
            session,
            seed,
            command_bytes_max: 1 << 20,
            proposal_timeout_ticks: 10_000,
            read_timeout_ticks: 10_000,
            retry_pause_ticks: 20,
            forward_retry_ticks: 1_000,
            pending_len_max: 65_536,
            pending_bytes_max: 64 << 20,
            forward_bytes_max: 1 << 20,
            reply_bytes_max: 8 << 20,
            forwarded_len_max: 131_072,
            reads_len_max: 65_536,
            apply_batch_bytes_max: 1 << 20,
            apply_batch_len_max: 8_192,
            apply_inflight_max: 8,
            apply_lag_len_max: 262_144,
            snapshot_log_bytes_min: 64 << 20,
            snapshot_entries_min: 1_000_000,
            snapshot_window_len: 8,
            snapshot_retry_ticks: 4_000,
            snapshot_send_bytes_per_tick: 1 << 20,
            snapshot_asks_len_max: 1_024,
            snapshot_pin_ticks: 60_000,
            snapshot_pin_log_bytes_max: 8 << 30,
            explain_len_max: 256,
        }
    }

    /// Says which setting makes no sense.
    ///
    /// # Errors
    /// The name of the first setting that is out of its range, and the range.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("session", self.session != 0),
            ("command_bytes_max", self.command_bytes_max > 0),
            ("proposal_timeout_ticks", self.proposal_timeout_ticks > 0),
            ("read_timeout_ticks", self.read_timeout_ticks > 0),
            ("retry_pause_ticks", self.retry_pause_ticks > 0),
            ("forward_retry_ticks", self.forward_retry_ticks > 0),
            ("pending_len_max", self.pending_len_max > 0),
            ("pending_bytes_max", self.pending_bytes_max > 0),
            ("forward_bytes_max", self.forward_bytes_max > 0),
            ("reply_bytes_max", self.reply_bytes_max > 0),
            ("forwarded_len_max", self.forwarded_len_max > 0),
            ("reads_len_max", self.reads_len_max > 0),
            ("apply_batch_bytes_max", self.apply_batch_bytes_max > 0),
            ("apply_batch_len_max", self.apply_batch_len_max > 0),
            ("apply_inflight_max", self.apply_inflight_max > 0),
            ("apply_lag_len_max", self.apply_lag_len_max > 0),
            ("snapshot_log_bytes_min", self.snapshot_log_bytes_min > 0),
            ("snapshot_entries_min", self.snapshot_entries_min > 0),
            ("snapshot_window_len", self.snapshot_window_len > 0),
            ("snapshot_retry_ticks", self.snapshot_retry_ticks > 0),
            ("snapshot_send_bytes_per_tick", self.snapshot_send_bytes_per_tick > 0),
            ("snapshot_asks_len_max", self.snapshot_asks_len_max > 0),
            ("snapshot_pin_ticks", self.snapshot_pin_ticks > 0),
        ];
        match positive.iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(format!("{name} must be greater than 0")),
            None => Ok(()),
        }
    }
}
