//! What each kind of read costs: linearizable ones confirmed by heartbeat rounds and by a lease, asked in the leader's process and in a follower's,
//! and stale ones that ask nobody; beside proposals on the same machine. The kinds take turns of the same length, so that other work on the machine
//! strikes them alike, and the middle one of each kind's turns counts.

use std::path::Path;

use anyhow::{Context, Result};

use crate::Load;
use crate::embedded::Cluster;
use crate::report::Measured;

/// Callers at a time, unless `--sweep` names others.
const WINDOWS: [usize; 3] = [1, 64, 1000];
/// Into how many turns the time of each kind in each window is divided. Odd: the middle one counts.
const TURNS: u8 = 15;

/// What is asked, and where.
struct Kind {
    name: &'static str,
    /// Whether it is asked of the cluster whose leader reads by leases.
    by_lease: bool,
    at_follower: bool,
    /// The request, as the node takes it.
    verb: &'static str,
}

/// All kinds. With the first and the last the others are compared.
const KINDS: [Kind; 6] = [
    Kind { name: "proposal, leader", by_lease: false, at_follower: false, verb: "run" },
    Kind { name: "round, leader", by_lease: false, at_follower: false, verb: "read" },
    Kind { name: "round, follower", by_lease: false, at_follower: true, verb: "read" },
    Kind { name: "lease, leader", by_lease: true, at_follower: false, verb: "read" },
    Kind { name: "lease, follower", by_lease: true, at_follower: true, verb: "read" },
    Kind { name: "stale, follower", by_lease: false, at_follower: true, verb: "read-stale" },
];

/// Measures all kinds in each window on two clusters, of which one has leases, and prints a row for each.
pub(crate) fn measure(load: &Load, dir: &Path) -> Result<()> {
    println!(
        "reads of a number in memory, three processes over loopback, {TURNS} turns of {:.2} s for each row, the middle one of each figure",
        turn_s(load)
    );
    println!(
        "{:>6} {:>16} {:>10} {:>8} {:>8} {:>8} {:>11} {:>9}",
        "window", "what", "per s", "p50 us", "p99 us", "cpu us", "x proposals", "x stale"
    );
    let mut rounds = Cluster::start_with(&dir.join("round"), &["--reads", "round"])?;
    let mut leases = Cluster::start_with(&dir.join("lease"), &["--reads", "lease"])?;
    for window in if load.sweep { crate::SWEEP.to_vec() } else { WINDOWS.to_vec() } {
        let mut of_kinds = KINDS.map(|_| Vec::new());
        for turn in 0..=TURNS {
            for (kind, turns) in KINDS.iter().zip(&mut of_kinds) {
                let cluster = if kind.by_lease { &mut leases } else { &mut rounds };
                let measured = one(cluster, kind, window, load)?;
                // The first turn warms up.
                if turn > 0 {
                    turns.push(measured);
                }
            }
        }
        let rows = of_kinds.map(|turns| Row::of(&turns));
        let [proposals, .., stale] = &rows;
        for (kind, row) in KINDS.iter().zip(&rows) {
            println!(
                "{window:>6} {:>16} {:>10} {:>8} {:>8} {:>8.2} {:>11.2} {:>9.2}",
                kind.name,
                row.per_s,
                row.p50_us,
                row.p99_us,
                row.cpu_us,
                ratio(row.per_s, proposals.per_s),
                ratio(row.per_s, stale.per_s)
            );
        }
    }
    rounds.stop()?;
    leases.stop()
}

/// How long a turn is, in seconds.
fn turn_s(load: &Load) -> f64 {
    load.seconds / f64::from(TURNS)
}

/// A turn of one kind.
fn one(cluster: &mut Cluster, kind: &Kind, window: usize, load: &Load) -> Result<Measured> {
    let follower = cluster.followers().next().context("two of three nodes follow")?;
    let place = if kind.at_follower { follower } else { cluster.leader };
    let bytes = if kind.verb == "run" { format!(" {}", load.bytes) } else { String::new() };
    let line = format!("{} {window}{bytes} {}", kind.verb, turn_s(load));
    let (measured, cpu_us) = cluster.measure(place, &line)?;
    let mut measured: Measured = serde_json::from_str(&measured).context(measured)?;
    measured.set_totals(cpu_us, 0, 0);
    Ok(measured)
}

/// The figures of one kind.
struct Row {
    per_s: u64,
    p50_us: u64,
    p99_us: u64,
    cpu_us: f64,
}

impl Row {
    /// The middle one of each figure.
    fn of(turns: &[Measured]) -> Row {
        let middle = |figure: fn(&Measured) -> u64| {
            let mut figures: Vec<u64> = turns.iter().map(figure).collect();
            figures.sort_unstable();
            figures[figures.len() / 2]
        };
        let mut cpu_us: Vec<f64> = turns.iter().map(|turn| turn.cpu_us_per_proposal).collect();
        cpu_us.sort_unstable_by(f64::total_cmp);
        Row {
            per_s: middle(|turn| turn.proposals_per_s),
            p50_us: middle(|turn| u64::from(turn.p50_us)),
            p99_us: middle(|turn| u64::from(turn.p99_us)),
            cpu_us: cpu_us[cpu_us.len() / 2],
        }
    }
}

#[allow(clippy::cast_precision_loss)] // A ratio for people.
fn ratio(per_s: u64, of: u64) -> f64 {
    per_s as f64 / of.max(1) as f64
}
