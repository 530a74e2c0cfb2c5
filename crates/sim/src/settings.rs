//! How a simulated node is configured: the product's own defaults, but for the limits that the run's profile draws.

use quorate_core::config::Config;
use quorate_replica::config::ReplicaConfig;
use quorate_replica::session::SessionLimits;

use crate::clock::TICK_US;
use crate::levels;
use crate::profile::{Leases, Profile};
use crate::rng::{HASH_START, hash_word};
use crate::scene::Life;

/// The protocol's settings in this life of a node.
pub(crate) fn core_config(life: Life, profile: &Profile) -> Config {
    let limits = &profile.limits;
    let config = Config {
        seed: hash_word(hash_word(HASH_START, life.node.get()), life.number),
        election_timeout_ticks: limits.election_timeout_ticks,
        heartbeat_ticks: limits.heartbeat_ticks,
        append_bytes_max: limits.append_bytes_max,
        inflight_appends_max: limits.inflight_appends_max,
        inflight_bytes_max: limits.inflight_bytes_max,
        uncommitted_bytes_max: limits.uncommitted_bytes_max,
        window_bytes_max: limits.window_bytes_max,
        reads_len_max: limits.reads_len_max,
        features: levels::level_max(life, profile),
        priority: profile.priority(life.node),
        donation: profile.donation,
        ..Config::new(life.node)
    };
    let Leases { drift_percent, without } = limits.leases;
    let config = if drift_percent > 0 && life.node.get() != without {
        config.with_lease(limits.election_timeout_ticks * TICK_US, drift_percent)
    } else {
        config
    };
    config.validate().expect("a profile draws limits that fit together");
    config
}

/// The replica's settings in this life of a node.
pub(crate) fn replica_config(life: Life, profile: &Profile) -> ReplicaConfig {
    // Random for each start, as in production: the numbers of two lives must not meet.
    let seed = hash_word(hash_word(HASH_START, life.node.get()), life.number);
    let session = (u128::from(life.node.get()) << 64) | u128::from(seed >> 1);
    let config = ReplicaConfig {
        proposal_timeout_ticks: 200,
        read_timeout_ticks: 200,
        forward_retry_ticks: 20,
        pending_bytes_max: profile.limits.pending_bytes_max,
        apply_batch_bytes_max: profile.limits.apply_batch_bytes_max,
        snapshot_log_bytes_min: profile.limits.snapshot_log_bytes_min,
        snapshot_entries_min: profile.limits.snapshot_entries_min,
        snapshot_retry_ticks: 50,
        snapshot_pin_ticks: 500,
        snapshot_pin_log_bytes_max: 1 << 20,
        ..ReplicaConfig::new(session, seed)
    };
    config.validate().expect("a profile draws limits that fit together");
    config
}

/// The bounds of the session tables: the product's own.
pub(crate) fn session_limits() -> SessionLimits {
    SessionLimits::default()
}
