//! Names, units and buckets of everything that a node measures, in one table; kept stable.
//! What happens for each proposal is counted by the replica in plain numbers and published with its status: no lock and no
//! atomic for each proposal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quorate_replica::status::Histogram;

use crate::status::Published;

/// Durations that one thread observes and others read. For things that happen once for a batch, like an fsync.
#[derive(Debug, Default)]
pub struct SharedHistogram {
    buckets: [AtomicU64; Histogram::BUCKETS],
    sum_us: AtomicU64,
}

impl SharedHistogram {
    /// Counts one duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let mut one = Histogram::default();
        one.observe(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        for (shared, count) in self.buckets.iter().zip(one.buckets) {
            if count > 0 {
                shared.fetch_add(count, Ordering::Relaxed);
            }
        }
        self.sum_us.fetch_add(one.sum_us, Ordering::Relaxed);
    }

    /// The counts as they are now.
    pub fn read(&self) -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|n| self.buckets[n].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

/// What the threads of a node count. The names that Prometheus sees are in the table of the exporter below.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Each fsync of the log.
    pub fsync: SharedHistogram,
    /// How long commands waited while a snapshot took its copy of the state.
    pub snapshot_pause: SharedHistogram,
    /// Bytes written to the log.
    pub log_written_bytes: AtomicU64,
    /// Callers turned away because the inbox was full.
    pub overloaded: AtomicU64,
    /// Indices at which the state machine was seen to differ from that of a peer.
    pub divergences: AtomicU64,
}

impl Metrics {
    /// Adds to a counter.
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// What `/metrics` shows of one node; reads the shared numbers only when it is asked.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) published: tokio::sync::watch::Receiver<Arc<Published>>,
}

mod export {
    //! The bridge to the metrics library.

    use std::sync::atomic::Ordering;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
    use prometheus_client::metrics::MetricType;
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;
    use prometheus_client::registry::Unit;

    use quorate_replica::status::{Histogram, ReplicaMetrics};

    use super::{Exporter, Metrics};
    use crate::status::{NodeStatus, PeerStatus, role_number};

    /// A histogram as the library encodes it.
    #[derive(Debug)]
    struct Exported(Histogram);

    impl EncodeMetric for Exported {
        fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
            let bounds =
                (0..Histogram::BUCKETS).map(|n| Histogram::bound_us(n).map_or(f64::INFINITY, super::seconds));
            let buckets: Vec<(f64, u64)> = bounds.zip(self.0.buckets).collect();
            encoder.encode_histogram::<NoLabelSet>(
                super::seconds(self.0.sum_us),
                self.0.count(),
                &buckets,
                None,
            )
        }

        fn metric_type(&self) -> MetricType {
            MetricType::Histogram
        }
    }

    /// The durations that are measured, each with its help.
    fn histograms(own: &Metrics, replica: &ReplicaMetrics) -> [(&'static str, &'static str, Histogram); 4] {
        [
            ("quorate_commit", "from a proposal's arrival to its commit", replica.commit_latency_us.clone()),
            (
                "quorate_apply",
                "from handing over a batch until it is applied",
                replica.apply_latency_us.clone(),
            ),
            ("quorate_fsync", "each fsync of the log", own.fsync.read()),
            (
                "quorate_snapshot_pause",
                "how long commands waited while a snapshot took its copy of the state",
                own.snapshot_pause.read(),
            ),
        ]
    }

    impl Collector for Exporter {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
            let published = self.published.borrow().clone();
            let (own, replica, status) = (&self.metrics, &published.replica, &published.status);
            for (name, help, histogram) in histograms(own, replica) {
                let metric = Exported(histogram);
                metric.encode(encoder.encode_descriptor(
                    name,
                    help,
                    Some(&Unit::Seconds),
                    metric.metric_type(),
                )?)?;
            }
            let counters = [
                (
                    "quorate_log_written_bytes",
                    "bytes written to the log",
                    own.log_written_bytes.load(Ordering::Relaxed),
                ),
                (
                    "quorate_inbox_overloaded",
                    "callers turned away by a full inbox",
                    own.overloaded.load(Ordering::Relaxed),
                ),
                (
                    "quorate_divergences",
                    "indices at which the state machine was seen to differ from a peer's",
                    own.divergences.load(Ordering::Relaxed),
                ),
                (
                    "quorate_proposals_retried",
                    "proposals that the node tried again",
                    replica.proposals_retried,
                ),
                ("quorate_forwards_sent", "proposals sent to a leader", replica.forwards_sent),
                ("quorate_forwards_received", "proposals of peers taken in", replica.forwards_received),
                ("quorate_reads_served", "linearizable reads served", replica.reads_served),
                (
                    "quorate_reads_by_lease",
                    "reads, and questions of peers, that the leader confirmed by its lease",
                    replica.reads_by_lease,
                ),
                (
                    "quorate_reads_by_round",
                    "reads, and questions of peers, that the leader confirmed by a heartbeat round",
                    replica.reads_by_round,
                ),
                ("quorate_reads_refused", "linearizable reads refused", replica.reads_refused),
                ("quorate_entries_applied", "entries handed to the state machine", replica.entries_handed),
            ];
            for (name, help, value) in counters {
                let metric = ConstCounter::new(value);
                metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
            }
            encode_snapshots(&mut encoder, replica)?;
            encode_gauges(&mut encoder, status)?;
            self.encode_outcomes(&mut encoder, replica)?;
            encode_step_downs(&mut encoder, replica)?;
            encode_peers(encoder, status)
        }
    }

    impl Exporter {
        /// Proposals of this node's own callers by how they ended.
        fn encode_outcomes(
            &self,
            encoder: &mut DescriptorEncoder<'_>,
            replica: &ReplicaMetrics,
        ) -> Result<(), std::fmt::Error> {
            let help = "proposals of this node's callers by outcome";
            let mut family =
                encoder.encode_descriptor("quorate_proposals", help, None, MetricType::Counter)?;
            let outcomes = [
                ("answered_here", replica.proposals_applied_here),
                ("answered_by_peer", replica.proposals_answered_by_peer),
                ("overloaded", replica.refused_overloaded),
                ("disk_full", replica.refused_disk_full),
                ("no_leader", replica.refused_no_leader),
                ("timed_out", replica.refused_timed_out),
                ("other", replica.refused_other),
            ];
            for (outcome, count) in outcomes {
                ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
            }
            Ok(())
        }
    }

    /// Leaderships of this node that ended, by the reason in words.
    fn encode_step_downs(
        encoder: &mut DescriptorEncoder<'_>,
        replica: &ReplicaMetrics,
    ) -> Result<(), std::fmt::Error> {
        let help = "leaderships of this node that ended, by reason";
        let mut family =
            encoder.encode_descriptor("quorate_stepped_down", help, None, MetricType::Counter)?;
        for (reason, count) in &replica.stepped_down {
            ConstCounter::new(*count).encode(family.encode_family(&[("reason", *reason)])?)?;
        }
        Ok(())
    }

    fn encode_snapshots(
        encoder: &mut DescriptorEncoder<'_>,
        replica: &ReplicaMetrics,
    ) -> Result<(), std::fmt::Error> {
        let counters = [
            ("quorate_snapshots_taken", "snapshots of the own state written", replica.snapshots_taken),
            ("quorate_snapshots_failed", "snapshots that could not be written", replica.snapshots_failed),
            ("quorate_snapshots_installed", "snapshots of peers installed", replica.snapshots_installed),
            ("quorate_snapshot_sent_bytes", "bytes of snapshots for peers", replica.snapshot_bytes_sent),
            (
                "quorate_snapshot_received_bytes",
                "bytes of snapshots of peers",
                replica.snapshot_bytes_received,
            ),
        ];
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_gauges(
        encoder: &mut DescriptorEncoder<'_>,
        status: &NodeStatus,
    ) -> Result<(), std::fmt::Error> {
        let gauges = [
            ("quorate_role", "0 follower, 1 pre-candidate, 2 candidate, 3 leader", role_number(status.role)),
            ("quorate_leader", "node id of the known leader, 0 for none", status.leader),
            ("quorate_term", "current term", status.term),
            ("quorate_priority", "how much the node is meant to lead, 0 to 100", status.priority),
            (
                "quorate_rests",
                "1 while it lets others lead, because it gave way as unfit",
                u64::from(status.rests),
            ),
            ("quorate_last_index", "last entry of the log", status.last_index),
            ("quorate_persisted_index", "last entry on this node's disk", status.persisted_index),
            ("quorate_commit_index", "last entry known to be on a quorum", status.commit_index),
            ("quorate_applied_index", "last entry given to the state machine", status.applied_index),
            ("quorate_log_base_index", "all up to here is compacted", status.base_index),
            ("quorate_snapshot_index", "last entry that the newest snapshot covers", status.snapshot_index),
            (
                "quorate_log_paused",
                "whether the disk is full: 1 while the node pauses",
                status.disk_full.into(),
            ),
            ("quorate_lease_ms", "milliseconds that are left of the lease, 0 without one", status.lease_ms),
            (
                "quorate_damaged_entries",
                "entries that the disk has lost and peers have not given back yet",
                status.damaged_entries,
            ),
            (
                "quorate_state_lost",
                "1 while the state that the disk has lost is not back from a peer",
                u64::from(status.state_lost),
            ),
            ("quorate_feature_level", "feature level of the applied state", status.feature_level),
            (
                "quorate_feature_level_max",
                "highest feature level that this node says it understands",
                status.feature_level_max,
            ),
            ("quorate_pending_proposals", "proposals that wait for an answer here", status.pending),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(signed(value));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_peers(mut encoder: DescriptorEncoder<'_>, status: &NodeStatus) -> Result<(), std::fmt::Error> {
        type Read = fn(&PeerStatus) -> u64;
        let gauges: [(&str, &str, Read); 2] = [
            ("quorate_peer_connected", "whether the link to the peer is up", |peer| {
                u64::from(peer.connected)
            }),
            ("quorate_peer_lag_entries", "entries that the leader has and the peer lacks", |peer| {
                peer.lag_entries
            }),
        ];
        for (name, help, read) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for peer in &status.peers {
                let label = [("peer", peer.node.to_string())];
                ConstGauge::new(signed(read(peer))).encode(family.encode_family(&label)?)?;
            }
        }
        let help = "how far the peer's wall clock is ahead of this node's, in milliseconds; on the leader";
        let mut family = encoder.encode_descriptor("quorate_clock_skew_ms", help, None, MetricType::Gauge)?;
        for peer in &status.peers {
            if let Some(skew_ms) = peer.clock_skew_ms {
                let label = [("peer", peer.node.to_string())];
                ConstGauge::new(skew_ms).encode(family.encode_family(&label)?)?;
            }
        }
        let counters: [(&str, &str, Read); 2] = [
            ("quorate_peer_send_failures", "messages to the peer that were dropped", |peer| {
                peer.send_failures
            }),
            ("quorate_peer_sent_bytes", "bytes sent to the peer", |peer| peer.sent_bytes),
        ];
        for (name, help, read) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for peer in &status.peers {
                let label = [("peer", peer.node.to_string())];
                ConstCounter::new(read(peer)).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    /// Gauges are signed; what does not fit is shown as the largest.
    fn signed(value: u64) -> i64 {
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

#[allow(clippy::cast_precision_loss)] // A latency in a metric needs no 53rd bit.
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::SharedHistogram;
    use crate::status::percentile_us;
    use quorate_replica::status::Histogram;
    use std::time::Duration;

    #[test]
    fn percentiles_name_the_bound_of_their_bucket() {
        let shared = SharedHistogram::default();
        (0..90).for_each(|_| shared.observe(Duration::from_micros(100)));
        (0..10).for_each(|_| shared.observe(Duration::from_millis(5)));
        let histogram = shared.read();
        assert_eq!(histogram.count(), 100);
        assert_eq!(percentile_us(&histogram, 50), 128);
        assert_eq!(percentile_us(&histogram, 99), 8_192);
        assert_eq!(percentile_us(&Histogram::default(), 99), 0);
    }
}
