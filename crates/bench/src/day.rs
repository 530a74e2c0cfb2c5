//! As many proposals in some seconds as others make in a day: what the nodes hold in memory and on their disks meanwhile, which must not grow
//! with the number of proposals, and how soon one of them answers after a restart.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::Load;
use crate::embedded::Cluster;
use crate::report::Measured;

/// In so many parts the time is cut; after each one memory and disk are looked at.
const PARTS: u32 = 10;
/// From this part on memory must not grow: by then the window of the log is full, and several snapshots were taken.
const SETTLED: usize = 3;
/// By how much it may differ then, in percent: what the allocator keeps.
const GROWTH_MAX_PERCENT: u64 = 20;
/// How soon a node must answer after a restart, in seconds.
const RESTART_SECONDS_MAX: f64 = 2.0;

/// What was there after a part.
struct Sample {
    resident_kib: Vec<u64>,
    disk_kib: Vec<u64>,
}

/// Measures, and fails if memory grows or the restart takes long.
pub(crate) fn measure(load: &Load, dir: &Path) -> Result<()> {
    let mut cluster = Cluster::start(dir)?;
    println!("node {} leads; resident memory and data folder of each node, in MiB", cluster.leader + 1);
    println!("{:>12}  {:>6} {:>6} {:>6}  {:>6} {:>6} {:>6}", "proposals", "n1", "n2", "n3", "n1", "n2", "n3");
    let (mut proposals, mut samples) = (0, Vec::new());
    let (begin, part) = (Instant::now(), load.seconds / f64::from(PARTS));
    for _ in 0..PARTS {
        let answer = cluster.ask_leader(&format!("run {} {} {part}", load.window, load.bytes))?;
        proposals += serde_json::from_str::<Measured>(&answer)?.proposals;
        let sample = look(&cluster, dir)?;
        print!("{proposals:>12} ");
        sample.resident_kib.iter().for_each(|kib| print!(" {:>6}", kib >> 10));
        print!(" ");
        sample.disk_kib.iter().for_each(|kib| print!(" {:>6}", kib >> 10));
        println!();
        samples.push(sample);
    }
    let seconds = begin.elapsed().as_secs();
    println!(
        "{proposals} proposals in {seconds} s: as many as {} in a second make in a day",
        proposals / 86_400
    );

    cluster.wait_for_followers()?;
    let place = cluster.followers().next().unwrap_or_default();
    cluster.nodes[place].ask("counters")?;
    let begin = Instant::now();
    cluster.restart(place)?;
    // A linearizable read: the node has caught up with whatever was committed.
    cluster.nodes[place].ask("read 1 0.001")?;
    let took = begin.elapsed().as_secs_f64();
    println!("node {} answered {took:.2} s after it was asked to stop and started again", place + 1);
    cluster.stop()?;

    for node in 0..3 {
        let of = |sample: &Sample| sample.resident_kib[node];
        let before = samples[..=SETTLED].iter().map(of).max().unwrap_or(0);
        let after = samples[SETTLED..].iter().map(of).max().unwrap_or(0);
        ensure!(
            after <= before + before * GROWTH_MAX_PERCENT / 100,
            "the memory of node {} grows: {before} KiB, then {after} KiB",
            node + 1
        );
    }
    ensure!(took < RESTART_SECONDS_MAX, "the restart took {took:.2} s");
    Ok(())
}

fn look(cluster: &Cluster, dir: &Path) -> Result<Sample> {
    let resident_kib =
        cluster.nodes.iter().map(crate::processes::Process::resident_kib).collect::<Result<_>>()?;
    let disk_kib = (1..=3).map(|id| disk_kib(&dir.join(format!("n{id}")))).collect();
    Ok(Sample { resident_kib, disk_kib })
}

/// What the files of a folder take. The node is at work: one that is gone takes nothing.
fn disk_kib(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => disk_kib(&entry.path()),
        Ok(about) => about.blocks() / 2,
        Err(_) => 0,
    };
    entries.map(of).sum()
}
