//! What a seed decides before the run begins: how large the cluster is, which limits are drawn to their extremes, and which
//! classes of fault are on, each with its own strength (swarm testing: a run with every fault on at once explores less than
//! many runs with some of them).

use quorate_core::config::PRIORITY_MAX;
use quorate_core::types::NodeId;

use crate::faults::class::{CLASSES, Class};
use crate::rng::Rng;

/// The settings of a run, all drawn from its seed.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How many voters, 1 to 5.
    pub nodes: u64,
    /// How many clients, 1 to 8.
    pub clients: u32,
    /// How long faults last, in microseconds of virtual time: a minute at least. After that all is healed.
    pub faulty_us: u64,
    /// How long the healed cluster has to converge, in microseconds of virtual time.
    pub healing_us_max: u64,
    /// How many operations each client begins at most.
    pub operations_max: u64,
    /// The limits of the parts under test.
    pub limits: Limits,
    /// Whether voters give candidates what their logs lack.
    pub donation: bool,
    /// The priority of each initial member, by its place; all others have the highest.
    pub priorities: Vec<u8>,
    /// The classes of fault.
    pub faults: Faults,
    /// Decides when each node gets a newer binary; 0: all have it from the start.
    pub upgrade: u64,
}

/// Limits of the parts under test; small ones reach branches that large ones never do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Election timeout in ticks of 10 ms.
    pub election_timeout_ticks: u64,
    /// Heartbeat interval in ticks.
    pub heartbeat_ticks: u64,
    /// How long a turn comes after its first input at most, in microseconds: what comes in between is taken in the same turn.
    pub turn_delay_us_max: u64,
    /// How many inputs a node takes in one turn.
    pub turn_inputs_max: usize,
    /// How many writes the log worker joins in one sync.
    pub sync_writes_max: usize,
    /// Bytes in one append message.
    pub append_bytes_max: usize,
    /// Unanswered append messages to one peer.
    pub inflight_appends_max: usize,
    /// Unanswered bytes of entries to one peer.
    pub inflight_bytes_max: usize,
    /// Bytes of entries that may wait for their commit.
    pub uncommitted_bytes_max: usize,
    /// Bytes of commands that may wait for their answers at one node.
    pub pending_bytes_max: usize,
    /// Bytes of the window in memory.
    pub window_bytes_max: usize,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes in one batch for the applier.
    pub apply_batch_bytes_max: usize,
    /// How many reads may wait for their heartbeat round.
    pub reads_len_max: usize,
    /// A snapshot is due after this many bytes of entries.
    pub snapshot_log_bytes_min: u64,
    /// A snapshot is due after this many entries too, if they are a quarter of the last one in bytes.
    pub snapshot_entries_min: u64,
    /// Bytes in one piece of a snapshot.
    pub piece_bytes: usize,
    /// The mean pause of a client between two operations, or two bursts of them, in microseconds.
    pub client_pause_us: u64,
    /// How many operations a client asks for with hardly a pause in between, before it rests. The load of a run decides how long it takes
    /// on a real processor, so a fast client is fast for a moment only.
    pub client_burst_len: u64,
    /// How long a client waits before it asks again, in microseconds.
    pub client_timeout_us: u64,
    /// Leases.
    pub leases: Leases,
}

/// Whether leaders answer reads by leases, and what the clocks do then that these rest on. They are not those that ticks are made by.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Leases {
    /// The bound on clock drift, in percent; 0: no leases. The monotonic clocks of no two nodes differ by more.
    pub drift_percent: u64,
    /// The node that has no leases nevertheless; 0: none.
    pub without: u64,
}

/// The classes of fault, each off (0) or on with a strength.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Mean time between two faults of the schedule below, in microseconds; 0: none.
    pub pause_us: u64,
    /// The weight of each scheduled class, in the order of [`CLASSES`].
    pub weights: Vec<u64>,
    /// Messages lost, of 1,000.
    pub loss_per_mille: u64,
    /// Messages repeated, of 1,000.
    pub repeat_per_mille: u64,
    /// Messages that take a hundred times as long, of 1,000.
    pub straggle_per_mille: u64,
    /// Whether messages of one link may overtake each other.
    pub reorder: bool,
    /// Mean delay of a message, in microseconds.
    pub delay_mean_us: u64,
    /// Crashes right between write and sync, of 1,000 syncs.
    pub crash_before_sync_per_mille: u64,
    /// Clocks that run up to this much faster or slower, of 1,000.
    pub clock_rate_per_mille: u64,
    /// The mean duration of a sync, in microseconds.
    pub sync_mean_us: u64,
    /// Damage to a disk strikes from this moment on, in microseconds. No node gets over it, so a run in which it always came at once would
    /// see little of a whole cluster.
    pub damage_from_us: u64,
}

impl Profile {
    /// The profile of this seed.
    pub fn draw(seed: u64) -> Profile {
        let mut rng = Rng::stream(seed, "profile");
        let nodes = [1, 2, 3, 3, 3, 4, 5, 5];
        let faulty_us = rng.between(FAULTY_S_MIN, FAULTY_S_MAX) * SECOND_US;
        let nodes = *rng.pick(&nodes).expect("the list is not empty");
        let leases = Leases::draw(&mut Rng::stream(seed, "leases"), nodes);
        Profile {
            nodes,
            clients: u32::try_from(rng.between(1, 8)).expect("at most eight clients"),
            faulty_us,
            healing_us_max: 60 * SECOND_US,
            operations_max: u64::MAX,
            limits: Limits {
                leases,
                turn_delay_us_max: rarely(&mut Rng::stream(seed, "turns"), TURN_DELAY_US_LONG, TURN_DELAY_US),
                snapshot_entries_min: rarely(&mut Rng::stream(seed, "entries"), 50, SNAPSHOT_ENTRIES),
                ..Limits::draw(
                    &mut rng,
                    &mut Rng::stream(seed, "snapshots"),
                    &mut Rng::stream(seed, "budgets"),
                )
            },
            donation: Rng::stream(seed, "donation").chance(750),
            priorities: draw_priorities(&mut Rng::stream(seed, "priorities")),
            faults: Faults::draw(&mut rng, leases.draw_ambush(&mut Rng::stream(seed, "ambush")), faulty_us)
                .with_members_or_damage(&mut Rng::stream(seed, "members")),
            upgrade: Rng::stream(seed, "upgrade").below(2) * seed,
        }
    }

    /// The same mix, in which faults strike for so long, in microseconds of virtual time.
    #[must_use]
    pub fn lasting(mut self, faulty_us: u64) -> Profile {
        self.faults.damage_from_us = self.faults.damage_from_us * faulty_us / self.faulty_us;
        self.faulty_us = faulty_us;
        self
    }
}

impl Profile {
    /// The priority of a node.
    pub fn priority(&self, node: NodeId) -> u8 {
        let place = usize::try_from(node.get() - 1).ok();
        place.and_then(|place| self.priorities.get(place)).copied().unwrap_or(PRIORITY_MAX)
    }

    /// What was drawn that is worth counting.
    pub fn drawn(&self) -> Vec<&'static str> {
        DRAWN.into_iter().filter_map(|(name, is_drawn)| is_drawn(self).then_some(name)).collect()
    }

    /// The mix by which the simulator's speed is told: five nodes, ten clients that are answered about 200 times in a second while
    /// faults strike, which is for 20 seconds; ordinary limits, but a snapshot after 100 entries; turns that come up to 2 ms late, as on machines
    /// with other work; a scheduled fault in a second, of any class; and a network that loses, repeats and delays a little.
    pub fn standard(seed: u64) -> Profile {
        let drawn = Profile::draw(seed);
        let limits = Limits {
            client_pause_us: STANDARD_PAUSE_US,
            turn_delay_us_max: STANDARD_TURN_DELAY_US,
            snapshot_entries_min: STANDARD_SNAPSHOT_ENTRIES,
            ..Limits::ordinary()
        };
        let faults = Faults {
            pause_us: SECOND_US,
            // Without leases there is nothing to wait for.
            weights: CLASSES.iter().map(|class| u64::from(*class != Class::Ambush)).collect(),
            loss_per_mille: 10,
            repeat_per_mille: 10,
            straggle_per_mille: 2,
            reorder: true,
            delay_mean_us: 500,
            crash_before_sync_per_mille: 1,
            clock_rate_per_mille: 50,
            sync_mean_us: 1000,
            damage_from_us: drawn.faults.damage_from_us,
        };
        Profile { nodes: 5, clients: 10, limits, faults, ..drawn }.lasting(STANDARD_US)
    }
}

/// Something that a seed may draw: its name, and whether a profile has it.
type Drawn = (&'static str, fn(&Profile) -> bool);

/// What a seed may draw: over many runs all of it must come.
pub const DRAWN: [Drawn; 40] = [
    ("cluster of 1", |profile| profile.nodes == 1),
    ("cluster of 2", |profile| profile.nodes == 2),
    ("cluster of 3", |profile| profile.nodes == 3),
    ("cluster of 4", |profile| profile.nodes == 4),
    ("cluster of 5", |profile| profile.nodes == 5),
    ("voters give candidates nothing", |profile| !profile.donation),
    ("priorities differ", |profile| profile.priorities.iter().min() < profile.priorities.iter().max()),
    ("one client", |profile| profile.clients == 1),
    ("eight clients", |profile| profile.clients == 8),
    ("clients ask in bursts", |profile| profile.limits.client_burst_len > 1),
    ("clients ask again soon", |profile| profile.limits.client_timeout_us == TIMEOUT_US_SHORT),
    ("clock drifts", |profile| profile.faults.clock_rate_per_mille > 0),
    ("messages may overtake each other", |profile| profile.faults.reorder),
    ("messages take 10 ms or more", |profile| profile.faults.delay_mean_us >= 10_000),
    ("syncs take 10 ms or more", |profile| profile.faults.sync_mean_us >= 10_000),
    ("faults come every 0.1 s or sooner", |profile| profile.faults.pause_us <= 100_000),
    ("limit: shortest election timeout", |profile| {
        profile.limits.election_timeout_ticks == ELECTION_TICKS_MIN
    }),
    ("limit: heartbeat with every tick", |profile| profile.limits.heartbeat_ticks == 1),
    ("limit: one input a turn", |profile| profile.limits.turn_inputs_max == 1),
    ("limit: turns come late", |profile| profile.limits.turn_delay_us_max == TURN_DELAY_US_LONG),
    ("limit: one write a sync", |profile| profile.limits.sync_writes_max == 1),
    ("limit: one entry a message", |profile| profile.limits.append_bytes_max == 1),
    ("limit: one message in flight", |profile| profile.limits.inflight_appends_max == 1),
    ("limit: 100 bytes uncommitted", |profile| profile.limits.uncommitted_bytes_max == 100),
    ("limit: 200 bytes in flight", |profile| profile.limits.inflight_bytes_max == 200),
    ("limit: 200 bytes pending", |profile| profile.limits.pending_bytes_max == 200),
    ("limit: window of 200 bytes", |profile| profile.limits.window_bytes_max == 200),
    ("limit: segments of 4 KiB", |profile| profile.limits.segment_bytes == 4 << 10),
    ("limit: segments of 16 KiB", |profile| profile.limits.segment_bytes == 16 << 10),
    ("limit: segments of 64 KiB", |profile| profile.limits.segment_bytes == 64 << 10),
    ("limit: segments of 256 KiB", |profile| profile.limits.segment_bytes == 256 << 10),
    ("limit: one entry a batch", |profile| profile.limits.apply_batch_bytes_max == 1),
    ("limit: one waiting read", |profile| profile.limits.reads_len_max == 1),
    ("limit: a snapshot of every entry", |profile| profile.limits.snapshot_log_bytes_min == 1),
    ("limit: a snapshot after few entries", |profile| profile.limits.snapshot_entries_min < SNAPSHOT_ENTRIES),
    ("limit: no snapshot", |profile| profile.limits.snapshot_log_bytes_min == 1 << 40),
    ("leases", |profile| profile.limits.leases.drift_percent > 0),
    ("leases: clocks that differ twofold", |profile| profile.limits.leases.drift_percent == 100),
    ("leases: not at every node", |profile| profile.limits.leases.without > 0),
    ("limit: pieces of 64 bytes", |profile| profile.limits.piece_bytes == PIECE_BYTES_MIN),
];

impl Limits {
    /// What is no extreme.
    pub fn ordinary() -> Limits {
        Limits {
            election_timeout_ticks: 20,
            heartbeat_ticks: 4,
            turn_delay_us_max: TURN_DELAY_US,
            turn_inputs_max: 256,
            sync_writes_max: 64,
            append_bytes_max: 64 << 10,
            inflight_appends_max: 64,
            inflight_bytes_max: 16 << 20,
            uncommitted_bytes_max: 1 << 20,
            pending_bytes_max: 64 << 20,
            window_bytes_max: 1 << 20,
            segment_bytes: 64 << 10,
            apply_batch_bytes_max: 64 << 10,
            reads_len_max: 1 << 16,
            snapshot_log_bytes_min: 16 << 10,
            snapshot_entries_min: SNAPSHOT_ENTRIES,
            piece_bytes: 4 << 10,
            client_pause_us: 30_000,
            client_burst_len: 1,
            client_timeout_us: 200_000,
            leases: Leases::default(),
        }
    }

    fn draw(rng: &mut Rng, snapshots: &mut Rng, budgets: &mut Rng) -> Limits {
        let shortest = rng.chance(100);
        let election_timeout_ticks = if shortest { ELECTION_TICKS_MIN } else { rng.between(5, 30) };
        let client_burst_len = if rng.chance(300) { rng.between(5, 50) } else { 1 };
        Limits {
            election_timeout_ticks,
            heartbeat_ticks: rng.between(1, election_timeout_ticks / 4),
            turn_delay_us_max: TURN_DELAY_US,
            turn_inputs_max: small_or(rng, 1, 256),
            sync_writes_max: small_or(rng, 1, 64),
            append_bytes_max: small_or(rng, 1, 64 << 10),
            inflight_appends_max: small_or(rng, 1, 64),
            inflight_bytes_max: small_or(budgets, 200, 16 << 20),
            uncommitted_bytes_max: small_or(rng, 100, 1 << 20),
            pending_bytes_max: small_or(budgets, 200, 64 << 20),
            window_bytes_max: small_or(rng, 200, 1 << 20),
            segment_bytes: *rng.pick(&SEGMENTS_BYTES).expect("the list is not empty"),
            apply_batch_bytes_max: small_or(rng, 1, 64 << 10),
            reads_len_max: small_or(rng, 1, 1 << 16),
            snapshot_entries_min: SNAPSHOT_ENTRIES,
            snapshot_log_bytes_min: *snapshots.pick(&SNAPSHOTS_BYTES).expect("the list is not empty"),
            piece_bytes: small_or(snapshots, PIECE_BYTES_MIN, 4 << 10),
            client_pause_us: client_burst_len * CLIENT_PAUSE_US,
            client_burst_len,
            client_timeout_us: if rng.chance(300) { TIMEOUT_US_SHORT } else { SECOND_US },
            leases: Leases::default(),
        }
    }
}

impl Leases {
    fn draw(rng: &mut Rng, nodes: u64) -> Leases {
        let drift_percent = *rng.pick(&DRIFTS_PERCENT).expect("the list is not empty");
        if rng.chance(500) {
            return Leases::default();
        }
        Leases { drift_percent, without: if rng.chance(250) { rng.between(1, nodes) } else { 0 } }
    }

    /// The weight of ambushes: none where no leader has a lease, and enough where one has. From chances of its own, so that the rest of a
    /// run is drawn as ever.
    fn draw_ambush(self, rng: &mut Rng) -> u64 {
        if self.drift_percent > 0 { half(rng, |rng| rng.between(5, 50)) } else { 0 }
    }

    /// At how many thousandths of true time the slowest and the fastest monotonic clock run that the bound allows.
    pub(crate) fn clock_bounds(self) -> (u64, u64) {
        let slowest = 1_000_000 / (1_000 + 5 * self.drift_percent);
        (slowest, slowest * (100 + self.drift_percent) / 100)
    }

    /// At how many thousandths of true time a monotonic clock runs; often as slow or as fast as the bound allows.
    pub(crate) fn draw_clock(self, rng: &mut Rng) -> u64 {
        let (slowest, fastest) = self.clock_bounds();
        match rng.below(4) {
            0 => slowest,
            1 => fastest,
            _ => rng.between(slowest, fastest),
        }
    }
}

impl Faults {
    fn draw(rng: &mut Rng, ambush: u64, faulty_us: u64) -> Faults {
        Faults {
            pause_us: rng.between(50, 2000) * 1000,
            weights: CLASSES.iter().map(|class| draw_weight(*class, rng, ambush)).collect(),
            loss_per_mille: half(rng, |rng| rng.between(1, 200)),
            repeat_per_mille: half(rng, |rng| rng.between(1, 300)),
            straggle_per_mille: half(rng, |rng| rng.between(1, 50)),
            reorder: rng.chance(500),
            delay_mean_us: if rng.chance(500) { rng.between(100, 20_000) } else { 200 },
            crash_before_sync_per_mille: half(rng, |rng| rng.between(1, 20)),
            clock_rate_per_mille: half(rng, |rng| rng.between(1, 500)),
            sync_mean_us: if rng.chance(500) { rng.between(100, 20_000) } else { 200 },
            damage_from_us: rng.below(faulty_us),
        }
    }

    /// Members change in most runs, not in half of them only. Once they have, no disk is damaged any more: the other runs are for that.
    fn with_members_or_damage(mut self, rng: &mut Rng) -> Faults {
        let mut changes = false;
        for (class, weight) in CLASSES.iter().zip(&mut self.weights) {
            if *class == Class::Members && *weight == 0 && rng.chance(600) {
                *weight = rng.between(5, 20);
            }
            changes |= *class == Class::Members && *weight > 0;
        }
        if !changes {
            self.damage_from_us /= 2;
            for (class, weight) in CLASSES.iter().zip(&mut self.weights) {
                if (class.damages() || *class == Class::Losses) && *weight == 0 {
                    *weight = half(rng, |rng| rng.between(1, 10));
                }
            }
        }
        self
    }
}

/// For how many seconds of virtual time faults strike.
const FAULTY_S_MIN: u64 = 60;
const FAULTY_S_MAX: u64 = 90;

/// The shortest election timeout at which clocks that differ threefold still leave room for two heartbeats.
const ELECTION_TICKS_MIN: u64 = 4;

/// The mean pause of a client for each of its operations: some 50 in a second, together, are what a run can pay for.
const CLIENT_PAUSE_US: u64 = 80_000;

/// For how long faults strike in the standard mix.
const STANDARD_US: u64 = 20 * SECOND_US;

/// The mean pause of a client in the standard mix.
const STANDARD_PAUSE_US: u64 = 17_200;

/// How late turns come at most in the standard mix, in microseconds.
const STANDARD_TURN_DELAY_US: u64 = TURN_DELAY_US_LONG;

/// After how many entries a snapshot is due in the standard mix.
const STANDARD_SNAPSHOT_ENTRIES: u64 = 100;

/// How late turns come at most, in microseconds: on a machine that has time for them, and on one that has not.
const TURN_DELAY_US: u64 = 40;
const TURN_DELAY_US_LONG: u64 = 2_000;

/// The number of entries after which a snapshot is due where its bytes decide.
const SNAPSHOT_ENTRIES: u64 = 1_000_000;

/// The short time for which a client waits for an answer.
const TIMEOUT_US_SHORT: u64 = 20_000;

/// The sizes of a segment: from the smallest that a log takes to one that few runs fill.
const SEGMENTS_BYTES: [u64; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 256 << 10];

/// After how many bytes of entries snapshots are due: from one after each entry to none at all.
const SNAPSHOTS_BYTES: [u64; 6] = [1, 1, 1 << 10, 4 << 10, 16 << 10, 1 << 40];

/// The bounds on clock drift with leases.
const DRIFTS_PERCENT: [u64; 6] = [1, 10, 10, 25, 50, 100];

/// The shortest piece of a snapshot: a small state has many.
const PIECE_BYTES_MIN: usize = 64;

/// A second of virtual time.
pub const SECOND_US: u64 = 1_000_000;

/// In a third of the runs the nodes are not all meant to lead alike.
fn draw_priorities(rng: &mut Rng) -> Vec<u8> {
    if !rng.chance(333) {
        return Vec::new();
    }
    (0..5).map(|_| *rng.pick(&PRIORITIES).expect("the list is not empty")).collect()
}

/// Priorities: of a node that should never lead, of one that may, and the highest.
const PRIORITIES: [u8; 4] = [0, 50, 100, 100];

/// How often a class strikes, beside the others.
fn draw_weight(class: Class, rng: &mut Rng, ambush: u64) -> u64 {
    if class == Class::Ambush { ambush } else { half(rng, |rng| rng.between(1, 10)) }
}

/// A class that is on in half of the runs.
fn half(rng: &mut Rng, strength: impl FnOnce(&mut Rng) -> u64) -> u64 {
    if rng.chance(500) { strength(rng) } else { 0 }
}

/// The extreme in a sixth of the runs, else the ordinary.
fn rarely(rng: &mut Rng, extreme: u64, ordinary: u64) -> u64 {
    if rng.chance(167) { extreme } else { ordinary }
}

/// The extreme in a third of the runs, else the ordinary.
fn small_or(rng: &mut Rng, small: usize, ordinary: usize) -> usize {
    if rng.chance(333) { small } else { ordinary }
}
