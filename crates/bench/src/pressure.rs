//! What pressure does to a cluster: a follower that cannot keep up, and callers that ask for ten times what the nodes can take.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::Load;
use crate::embedded;
use crate::report::Measured;

/// How often each case of a comparison is measured, in turns, so that both see the same machine.
const ROUNDS: usize = 5;

/// What callers met who ask for more than the nodes can take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Overloaded {
    /// Proposals answered within the time measured.
    pub(crate) answered: u64,
    /// Proposals refused as `Overloaded`.
    pub(crate) refused: u64,
    /// How long the median refusal took.
    pub(crate) refused_p50_us: u32,
    /// How long 99 of 100 refusals took at most.
    pub(crate) refused_p99_us: u32,
    /// The longest refusal.
    pub(crate) refused_max_us: u32,
}

impl Overloaded {
    /// What was met, with how long each refusal took in microseconds.
    pub(crate) fn new(answered: u64, mut refusals_us: Vec<u32>) -> Overloaded {
        refusals_us.sort_unstable();
        let at = |hundredth: usize| {
            refusals_us.get((refusals_us.len() * hundredth / 100).min(refusals_us.len().saturating_sub(1)))
        };
        Overloaded {
            answered,
            refused: refusals_us.len() as u64,
            refused_p50_us: at(50).copied().unwrap_or(0),
            refused_p99_us: at(99).copied().unwrap_or(0),
            refused_max_us: at(100).copied().unwrap_or(0),
        }
    }
}

/// A follower at half speed, and one that stands still, each against three healthy nodes.
pub(crate) fn slow_follower(load: &Load, dir: &Path) -> Result<()> {
    let mut cluster = embedded::Cluster::start(dir)?;
    let run = format!("run {} {} {}", load.window, load.bytes, load.seconds);
    let follower = cluster.followers().next().context("three nodes have followers")?;
    let pid = cluster.nodes[follower].pid();
    let mut rates: [Vec<u64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(rate(&mut cluster, &run)?);
        rates[1].push(with_half_speed(pid, || rate(&mut cluster, &run))?);
        signal(pid, Signal::STOP)?;
        let stopped = rate(&mut cluster, &run);
        signal(pid, Signal::CONT)?;
        rates[2].push(stopped?);
        cluster.wait_for_followers()?;
    }
    let median = |rates: &mut Vec<u64>| {
        rates.sort_unstable();
        rates[rates.len() / 2]
    };
    let [healthy, half, stopped] = rates.each_mut().map(median);
    println!(
        "{} proposals of {} bytes in flight, medians of {ROUNDS} turns of {} s",
        load.window, load.bytes, load.seconds
    );
    for (name, rate) in
        [("all healthy", healthy), ("one follower at half speed", half), ("one follower stopped", stopped)]
    {
        println!("{name:<28} {rate:>9}/s   {:.2}", ratio(rate, healthy));
    }
    cluster.stop()
}

/// Callers that keep far more bytes in flight than a node's limits allow: what they are told, how soon, and what it costs in memory.
pub(crate) fn overload(load: &Load, dir: &Path) -> Result<()> {
    let mut cluster = embedded::Cluster::start(dir)?;
    let before = cluster.resident_kib_max()?;
    let answer = cluster.ask_leader(&format!("overload {} {} {}", load.window, load.bytes, load.seconds))?;
    let met: Overloaded = serde_json::from_str(&answer).context(answer)?;
    let most = cluster.resident_kib_max()?;
    println!("{} callers with {} bytes each, for {} s", load.window, load.bytes, load.seconds);
    println!("answered {:>9}   refused {:>9}", met.answered, met.refused);
    println!(
        "a refusal takes {} us (median), {} us (99 of 100), {} us (longest)",
        met.refused_p50_us, met.refused_p99_us, met.refused_max_us
    );
    for (node, (before, most)) in before.iter().zip(&most).enumerate() {
        let role = if node == cluster.leader { "leader, with the callers" } else { "follower" };
        println!(
            "memory of node {} at most {:>4} MiB, {:>4} MiB before   {role}",
            node + 1,
            most / 1024,
            before / 1024
        );
    }
    cluster.stop()
}

fn rate(cluster: &mut embedded::Cluster, run: &str) -> Result<u64> {
    let answer = cluster.ask_leader(run)?;
    let measured: Measured = serde_json::from_str(&answer).context(answer)?;
    Ok(measured.proposals_per_s)
}

/// Lets a process run every other 20 milliseconds only, while `body` runs.
fn with_half_speed<T>(pid: u32, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let brake = std::thread::spawn(move || {
        let half = std::time::Duration::from_millis(20);
        loop {
            signal(pid, Signal::STOP)?;
            let first = is_done.recv_timeout(half);
            signal(pid, Signal::CONT)?;
            if first.is_ok() || is_done.recv_timeout(half).is_ok() {
                return Ok::<_, anyhow::Error>(());
            }
        }
    });
    let result = body();
    // A brake that has failed has hung up, and says why when it is joined.
    let _ = done.send(());
    brake.join().map_err(|_| anyhow::anyhow!("the brake of the follower panicked"))??;
    result
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, signal).context("signalling a node")
}

#[allow(clippy::cast_precision_loss)] // A ratio for people.
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
