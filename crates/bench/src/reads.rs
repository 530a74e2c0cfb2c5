//! What a lease saves: linearizable reads in the leader's process, confirmed by heartbeat rounds and by a lease, one after the other on
//! the same machine.

use std::path::Path;

use anyhow::{Context, Result};

use crate::Load;
use crate::embedded::Cluster;
use crate::report::Measured;

/// Readers at a time, unless `--window` or `--sweep` names others.
const WINDOWS: [usize; 2] = [1, 1000];

/// Measures each window by rounds and by a lease, on a fresh cluster each time, and prints a row with the ratio for each.
pub(crate) fn measure(load: &Load, dir: &Path) -> Result<()> {
    println!(
        "linearizable reads in the leader's process, three processes over loopback, {} s for each",
        load.seconds
    );
    println!(
        "{:>6} {:>6} {:>12} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "window", "by", "reads/s", "p50 us", "p99 us", "p99.9 us", "cpu us", "ratio"
    );
    for window in if load.sweep { crate::SWEEP.to_vec() } else { WINDOWS.to_vec() } {
        let round = one(load, window, &dir.join(format!("round-{window}")), "round")?;
        print(window, "round", &round, 1.0);
        let lease = one(load, window, &dir.join(format!("lease-{window}")), "lease")?;
        #[allow(clippy::cast_precision_loss)] // A ratio for people.
        let ratio = lease.proposals_per_s as f64 / round.proposals_per_s.max(1) as f64;
        print(window, "lease", &lease, ratio);
    }
    Ok(())
}

fn one(load: &Load, window: usize, dir: &Path, by: &str) -> Result<Measured> {
    let mut cluster = Cluster::start_with(dir, &["--reads", by])?;
    cluster.ask_leader(&format!("read {window} 0.5"))?;
    let (measured, cpu_us) = cluster.measure(&format!("read {window} {}", load.seconds))?;
    cluster.stop()?;
    let mut measured: Measured = serde_json::from_str(&measured).context(measured)?;
    measured.set_totals(cpu_us, 0, 0);
    Ok(measured)
}

fn print(window: usize, by: &str, m: &Measured, ratio: f64) {
    println!(
        "{window:>6} {by:>6} {:>12} {:>9} {:>9} {:>9} {:>9.2} {ratio:>7.2}",
        m.proposals_per_s, m.p50_us, m.p99_us, m.p999_us, m.cpu_us_per_proposal
    );
}
