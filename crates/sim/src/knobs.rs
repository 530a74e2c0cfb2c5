//! The knobs of a profile: limits and lasting faults that a seed draws, each with its plain value. What a failing run does not need is
//! turned back to plain, so that what is left says something.

use crate::profile::{Faults, Limits, Profile};

/// A knob of the profile.
#[derive(Copy, Clone, Debug)]
pub struct Knob {
    /// The name that options use.
    pub name: &'static str,
    /// Takes this knob from the second profile.
    take: fn(&mut Profile, &Profile),
    /// Whether it stands alike in both.
    same: fn(&Profile, &Profile) -> bool,
}

impl Knob {
    /// The knob of this name.
    pub fn named(name: &str) -> Option<Knob> {
        KNOBS.into_iter().find(|knob| knob.name == name)
    }

    /// Turns the knob to plain.
    pub fn reset(self, profile: &mut Profile) {
        let plain = plain(profile);
        (self.take)(profile, &plain);
        assert!((self.same)(profile, &plain), "a knob that was turned stands where it was turned to");
    }

    /// Whether the knob stands otherwise than plain.
    pub fn is_turned(self, profile: &Profile) -> bool {
        !(self.same)(profile, &plain(profile))
    }
}

/// The same profile with every knob plain: ordinary limits, a sound network, true clocks, fast disks.
fn plain(profile: &Profile) -> Profile {
    let faults = Faults {
        loss_per_mille: 0,
        repeat_per_mille: 0,
        straggle_per_mille: 0,
        reorder: false,
        delay_mean_us: 200,
        crash_before_sync_per_mille: 0,
        clock_rate_per_mille: 0,
        sync_mean_us: 200,
        ..profile.faults.clone()
    };
    Profile { limits: Limits::ordinary(), priorities: Vec::new(), faults, ..profile.clone() }
}

/// All knobs.
pub const KNOBS: [Knob; 26] = [
    Knob {
        name: "timing",
        take: |to, from| {
            to.limits.election_timeout_ticks = from.limits.election_timeout_ticks;
            to.limits.heartbeat_ticks = from.limits.heartbeat_ticks;
        },
        same: |a, b| {
            let timing = |of: &Profile| (of.limits.election_timeout_ticks, of.limits.heartbeat_ticks);
            timing(a) == timing(b)
        },
    },
    Knob {
        name: "turn",
        take: |to, from| to.limits.turn_inputs_max = from.limits.turn_inputs_max,
        same: |a, b| a.limits.turn_inputs_max == b.limits.turn_inputs_max,
    },
    Knob {
        name: "late-turns",
        take: |to, from| to.limits.turn_delay_us_max = from.limits.turn_delay_us_max,
        same: |a, b| a.limits.turn_delay_us_max == b.limits.turn_delay_us_max,
    },
    Knob {
        name: "snapshots",
        take: |to, from| {
            to.limits.snapshot_log_bytes_min = from.limits.snapshot_log_bytes_min;
            to.limits.snapshot_entries_min = from.limits.snapshot_entries_min;
            to.limits.piece_bytes = from.limits.piece_bytes;
        },
        same: |a, b| {
            let due = |of: &Profile| {
                (of.limits.snapshot_log_bytes_min, of.limits.snapshot_entries_min, of.limits.piece_bytes)
            };
            due(a) == due(b)
        },
    },
    Knob {
        name: "sync",
        take: |to, from| to.limits.sync_writes_max = from.limits.sync_writes_max,
        same: |a, b| a.limits.sync_writes_max == b.limits.sync_writes_max,
    },
    Knob {
        name: "message",
        take: |to, from| to.limits.append_bytes_max = from.limits.append_bytes_max,
        same: |a, b| a.limits.append_bytes_max == b.limits.append_bytes_max,
    },
    Knob {
        name: "in-flight",
        take: |to, from| to.limits.inflight_appends_max = from.limits.inflight_appends_max,
        same: |a, b| a.limits.inflight_appends_max == b.limits.inflight_appends_max,
    },
    Knob {
        name: "in-flight-bytes",
        take: |to, from| to.limits.inflight_bytes_max = from.limits.inflight_bytes_max,
        same: |a, b| a.limits.inflight_bytes_max == b.limits.inflight_bytes_max,
    },
    Knob {
        name: "pending",
        take: |to, from| to.limits.pending_bytes_max = from.limits.pending_bytes_max,
        same: |a, b| a.limits.pending_bytes_max == b.limits.pending_bytes_max,
    },
    Knob {
        name: "uncommitted",
        take: |to, from| to.limits.uncommitted_bytes_max = from.limits.uncommitted_bytes_max,
        same: |a, b| a.limits.uncommitted_bytes_max == b.limits.uncommitted_bytes_max,
    },
    Knob {
        name: "window",
        take: |to, from| to.limits.window_bytes_max = from.limits.window_bytes_max,
        same: |a, b| a.limits.window_bytes_max == b.limits.window_bytes_max,
    },
    Knob {
        name: "segment",
        take: |to, from| to.limits.segment_bytes = from.limits.segment_bytes,
        same: |a, b| a.limits.segment_bytes == b.limits.segment_bytes,
    },
    Knob {
        name: "batch",
        take: |to, from| to.limits.apply_batch_bytes_max = from.limits.apply_batch_bytes_max,
        same: |a, b| a.limits.apply_batch_bytes_max == b.limits.apply_batch_bytes_max,
    },
    Knob {
        name: "reads",
        take: |to, from| to.limits.reads_len_max = from.limits.reads_len_max,
        same: |a, b| a.limits.reads_len_max == b.limits.reads_len_max,
    },
    Knob {
        name: "pace",
        take: |to, from| {
            to.limits.client_pause_us = from.limits.client_pause_us;
            to.limits.client_burst_len = from.limits.client_burst_len;
        },
        same: |a, b| {
            a.limits.client_pause_us == b.limits.client_pause_us
                && a.limits.client_burst_len == b.limits.client_burst_len
        },
    },
    Knob {
        name: "patience",
        take: |to, from| to.limits.client_timeout_us = from.limits.client_timeout_us,
        same: |a, b| a.limits.client_timeout_us == b.limits.client_timeout_us,
    },
    Knob {
        name: "priorities",
        take: |to, from| to.priorities.clone_from(&from.priorities),
        same: |a, b| a.priorities == b.priorities,
    },
    Knob {
        name: "leases",
        take: |to, from| to.limits.leases = from.limits.leases,
        same: |a, b| a.limits.leases == b.limits.leases,
    },
    Knob {
        name: "loss",
        take: |to, from| to.faults.loss_per_mille = from.faults.loss_per_mille,
        same: |a, b| a.faults.loss_per_mille == b.faults.loss_per_mille,
    },
    Knob {
        name: "repeat",
        take: |to, from| to.faults.repeat_per_mille = from.faults.repeat_per_mille,
        same: |a, b| a.faults.repeat_per_mille == b.faults.repeat_per_mille,
    },
    Knob {
        name: "straggle",
        take: |to, from| to.faults.straggle_per_mille = from.faults.straggle_per_mille,
        same: |a, b| a.faults.straggle_per_mille == b.faults.straggle_per_mille,
    },
    Knob {
        name: "overtake",
        take: |to, from| to.faults.reorder = from.faults.reorder,
        same: |a, b| a.faults.reorder == b.faults.reorder,
    },
    Knob {
        name: "delay",
        take: |to, from| to.faults.delay_mean_us = from.faults.delay_mean_us,
        same: |a, b| a.faults.delay_mean_us == b.faults.delay_mean_us,
    },
    Knob {
        name: "power",
        take: |to, from| to.faults.crash_before_sync_per_mille = from.faults.crash_before_sync_per_mille,
        same: |a, b| a.faults.crash_before_sync_per_mille == b.faults.crash_before_sync_per_mille,
    },
    Knob {
        name: "drift",
        take: |to, from| to.faults.clock_rate_per_mille = from.faults.clock_rate_per_mille,
        same: |a, b| a.faults.clock_rate_per_mille == b.faults.clock_rate_per_mille,
    },
    Knob {
        name: "slow-sync",
        take: |to, from| to.faults.sync_mean_us = from.faults.sync_mean_us,
        same: |a, b| a.faults.sync_mean_us == b.faults.sync_mean_us,
    },
];
