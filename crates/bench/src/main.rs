//! Throughput and latency of Quorate in real processes: three nodes over loopback, fsync on, a closed loop, and beside each
//! figure the physical limit of the machine, measured in the same run.

mod day;
mod embedded;
mod floor;
mod node;
mod pressure;
mod processes;
mod reads;
mod replies;
mod report;
mod server;
mod slow_link;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// The windows of `--sweep`.
const SWEEP: [usize; 5] = [1, 10, 100, 1000, 4000];

#[derive(Parser)]
#[command(version, about = "Measure Quorate on this machine", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "Examples:
  quorate-bench embedded --window 1000 --bytes 256 --seconds 5
  quorate-bench embedded --sweep
  quorate-bench server --window 64 --json
  quorate-bench slow-follower --window 64 --seconds 2
  quorate-bench reads --seconds 3
  quorate-bench day --window 1000 --bytes 100 --seconds 60
  quorate-bench overload --window 1000 --bytes 1000000 --seconds 10";

#[derive(Subcommand)]
enum What {
    /// Three embedding processes: proposals made in the leader's process.
    Embedded(Load),
    /// Three `quorate server` processes: proposals made over HTTP by this process, whose CPU counts too. Needs the binary
    /// `quorate` beside this one.
    Server(Load),
    /// What a follower that cannot keep up costs the rest: at half speed, stopped, and behind a slow link, against three healthy nodes.
    SlowFollower(Load),
    /// What callers are told who ask for more than the nodes can take, how soon, and what it costs in memory.
    Overload(Load),
    /// A day's worth of proposals in some seconds: whether memory and disk stay as they are, and how soon a node is back after it.
    Day(Load),
    /// What reads cost: by rounds, by a lease, through a follower, and stale ones, beside proposals; of 1, 64 and 1,000 callers.
    Reads(Load),
    /// For how long commands wait while a snapshot copies the table of a million replies that are kept for callers who may ask again.
    Replies(Load),
    /// The physical limit alone: no consensus, only bytes, sockets and fsyncs.
    Floor(Load),
    #[command(hide = true)]
    Node(node::NodeArgs),
    #[command(hide = true)]
    FloorFollower { leader: String, path: PathBuf },
}

/// How much load, for how long.
#[derive(Args, Clone)]
struct Load {
    /// Proposals in flight.
    #[arg(long, default_value_t = 1000)]
    window: usize,
    /// The size of each command, in bytes.
    #[arg(long, default_value_t = 256)]
    bytes: usize,
    /// How long to measure each window.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Measure the windows 1, 10, 100, 1000 and 4000.
    #[arg(long)]
    sweep: bool,
    /// Print one JSON object for each window instead of a table.
    #[arg(long)]
    json: bool,
    /// Where the nodes keep their data while they run; a fresh folder below it is made and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Do not measure the floor (then no ratio is shown).
    #[arg(long)]
    no_floor: bool,
}

impl Load {
    fn windows(&self) -> Vec<usize> {
        if self.sweep { SWEEP.to_vec() } else { vec![self.window] }
    }
}

fn main() -> Result<()> {
    match Cli::parse().what {
        What::Embedded(load) => measure(&load, "embedded", embedded::measure),
        What::Server(load) => measure(&load, "server", server::measure),
        What::Floor(load) => {
            measure(&load, "floor", |load, window, dir| floor::run(window, load.bytes, load.seconds, dir))
        }
        What::SlowFollower(load) => in_fresh_dir(&load, pressure::slow_follower),
        What::Day(load) => in_fresh_dir(&load, day::measure),
        What::Reads(load) => in_fresh_dir(&load, reads::measure),
        What::Replies(load) => in_fresh_dir(&load, replies::measure),
        What::Overload(load) => in_fresh_dir(&load, pressure::overload),
        What::Node(args) => node::run(args),
        What::FloorFollower { leader, path } => floor::follower(&leader, &path),
    }
}

/// Runs a measurement below a fresh folder, and removes that.
fn in_fresh_dir(load: &Load, run: impl Fn(&Load, &std::path::Path) -> Result<()>) -> Result<()> {
    let dir = processes::fresh_dir(&load.dir)?;
    let result = run(load, &dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

/// Measures each window, with the floor right before it, so that both see the same machine.
fn measure(
    load: &Load,
    name: &str,
    run: impl Fn(&Load, usize, &std::path::Path) -> Result<report::Measured>,
) -> Result<()> {
    anyhow::ensure!(load.window > 0 && load.seconds > 0.0, "--window and --seconds must be more than zero");
    if !load.json {
        println!(
            "{name}, three processes over loopback, fsync on, {} bytes, {} s for each row",
            load.bytes, load.seconds
        );
        report::print_head();
    }
    for window in load.windows() {
        let dir = processes::fresh_dir(&load.dir)?;
        let floor = if load.no_floor || name == "floor" {
            None
        } else {
            Some(floor::run(window, load.bytes, load.seconds.min(3.0), &dir)?)
        };
        let measured = run(load, window, &dir);
        std::fs::remove_dir_all(&dir)?;
        let measured = measured?;
        let measured = match &floor {
            Some(floor) => measured.with_floor(floor),
            None => measured,
        };
        report::print(&measured, load.json)?;
    }
    Ok(())
}
