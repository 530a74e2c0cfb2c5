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

/// A follower at half speed, one that stands still, and one behind a slow link, each against three healthy nodes.
pub(crate) fn slow_follower(load: &Load, dir: &Path) -> Result<()> {
    let (mut cluster, link) = embedded::Cluster::start_with_slow_link(dir)?;
    anyhow::ensure!(cluster.leader != SLOW, "the node behind the slow link does not lead");
    let run = format!("run {} {} {}", load.window, load.bytes, load.seconds);
    let pid = cluster.nodes[SLOW].pid();
    let mut rates: [Vec<u64>; 4] = Default::default();
    let mut healthy_kib = 0;
    for round in 0..ROUNDS {
        rates[0].push(rate(&mut cluster, &run)?);
        if round == 0 {
            healthy_kib = cluster.resident_kib_max()?[cluster.leader];
        }
        rates[1].push(with_half_speed(pid, || rate(&mut cluster, &run))?);
        cluster.wait_for_followers()?;
        signal(pid, Signal::STOP)?;
        let stopped = rate(&mut cluster, &run);
        signal(pid, Signal::CONT)?;
        rates[2].push(stopped?);
        cluster.wait_for_followers()?;
        link.limit(SLOW_LINK_BYTES_PER_S);
        let slow = rate(&mut cluster, &run);
        link.limit(0);
        rates[3].push(slow?);
        cluster.wait_for_followers()?;
    }
    println!(
        "{} proposals of {} bytes in flight, medians of {ROUNDS} turns of {} s, each against the healthy turn of its round",
        load.window, load.bytes, load.seconds
    );
    let names =
        ["all healthy", "one follower at half speed", "one follower stopped", "one follower behind 1 MiB/s"];
    for (name, of_case) in names.iter().zip(&rates) {
        // Against the healthy turn next to it: a busy machine changes from minute to minute.
        let mut ratios: Vec<f64> =
            of_case.iter().zip(&rates[0]).map(|(rate, full)| ratio(*rate, *full)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let mut of_case = of_case.clone();
        of_case.sort_unstable();
        println!("{name:<28} {:>9}/s   {:.2}", of_case[ROUNDS / 2], ratios[ROUNDS / 2]);
    }
    println!(
        "memory of the leader at most {} MiB after the first healthy turn, {} MiB in the end",
        healthy_kib / 1024,
        cluster.resident_kib_max()?[cluster.leader] / 1024
    );
    cluster.stop()
}

/// The place of the follower that is made slow.
const SLOW: usize = 2;
/// What the slow link carries: far less than what is proposed.
const SLOW_LINK_BYTES_PER_S: u64 = 1 << 20;

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
