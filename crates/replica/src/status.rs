//! What a replica can tell about itself: plain data for `/metrics`, the cluster status and the simulator's checks.

use std::collections::BTreeMap;

use quorate_core::status::Status;
use quorate_core::types::Index;

/// A replica as seen by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaStatus {
    /// The protocol's own.
    pub raft: Status,
    /// All up to here may be applied: committed, and durable here.
    pub apply_through: Index,
    /// All up to here was handed to the applier.
    pub handed_through: Index,
    /// All up to here was applied.
    pub applied_through: Index,
    /// Local proposals without an answer.
    pub pending_len: usize,
    /// The bytes of their commands.
    pub pending_bytes: usize,
    /// Proposals of peers that wait at this node.
    pub forwarded_len: usize,
    /// Local reads without an answer.
    pub reads_len: usize,
    /// Batches at the applier.
    pub apply_inflight: usize,
    /// The feature level of the applied state; 0 before anything was applied since the start.
    pub level: u16,
    /// Counts since the start.
    pub metrics: ReplicaMetrics,
}

/// Counts since the start of the process. They only rise.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplicaMetrics {
    /// Local proposals taken in.
    pub proposals_admitted: u64,
    /// Local proposals that reached the state machine here, as their own log entry.
    pub proposals_applied_here: u64,
    /// Local proposals answered by a peer that led.
    pub proposals_answered_by_peer: u64,
    /// Local proposals refused before anything happened: full queues.
    pub refused_overloaded: u64,
    /// Local proposals refused because the disk of this node is full.
    pub refused_disk_full: u64,
    /// Local proposals that never left for want of a leader.
    pub refused_no_leader: u64,
    /// Local proposals given up with an unknown outcome.
    pub refused_timed_out: u64,
    /// Local proposals refused for another reason (too large, malformed).
    pub refused_other: u64,
    /// Proposals tried again: after a refusal, a lost message, a lost leadership or a replaced entry.
    pub proposals_retried: u64,
    /// Proposals sent to a leader, each time counted.
    pub forwards_sent: u64,
    /// Proposals of peers taken in.
    pub forwards_received: u64,
    /// Reads served.
    pub reads_served: u64,
    /// Reads, and questions of peers, that this node confirmed as the leader by its lease.
    pub reads_by_lease: u64,
    /// Reads, and questions of peers, that this node confirmed as the leader by a heartbeat round.
    pub reads_by_round: u64,
    /// Reads refused.
    pub reads_refused: u64,
    /// Entries handed to the applier.
    pub entries_handed: u64,
    /// Batches handed to the applier.
    pub batches_handed: u64,
    /// Leaderships of this node that ended, by the reason in words.
    pub stepped_down: BTreeMap<&'static str, u64>,
    /// Snapshots that this node took of its own state, the one found at the start counted.
    pub snapshots_taken: u64,
    /// Snapshots that could not be written.
    pub snapshots_failed: u64,
    /// Snapshots of peers behind which this node began its log anew.
    pub snapshots_installed: u64,
    /// Snapshots of peers that this node began to fetch.
    pub snapshot_fetches: u64,
    /// The size of the last snapshot taken, in bytes.
    pub snapshot_bytes: u64,
    /// Bytes of snapshots sent to peers.
    pub snapshot_bytes_sent: u64,
    /// Bytes of snapshots received from peers.
    pub snapshot_bytes_received: u64,
    /// From taking in a local proposal to handing its committed entry to the applier.
    pub commit_latency_us: Histogram,
    /// From handing a batch to the applier to its report.
    pub apply_latency_us: Histogram,
}

/// Counts of durations in buckets that double: bucket `n` counts what took less than `2^n` microseconds and no less
/// than half of that; the last one takes the rest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    /// The counts.
    pub buckets: [u64; Histogram::BUCKETS],
    /// The sum of all durations, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// How many buckets there are: the last bound is about 67 seconds.
    pub const BUCKETS: usize = 27;

    /// Counts one duration.
    pub fn observe(&mut self, us: u64) {
        let bits = (u64::BITS - us.leading_zeros()) as usize;
        self.buckets[bits.min(Histogram::BUCKETS - 1)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The bound of bucket `n` in microseconds: all that it counts took less. `None` for the last, which has none.
    pub fn bound_us(n: usize) -> Option<u64> {
        if n + 1 < Histogram::BUCKETS { Some(1 << n) } else { None }
    }
}
