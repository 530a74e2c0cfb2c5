//! The embedded measurement: three processes, each with a node; the load is made in the leader's process.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::Load;
use crate::processes::{Process, free_addresses};
use crate::report::Measured;
use crate::slow_link::SlowLink;

/// Bytes that one node may write in a measurement: a long run at full speed would fill the log between two snapshots faster than a
/// small disk is emptied.
const WRITTEN_BYTES_MAX: f64 = 8e9;
/// The speed that is assumed for that cap, in proposals a second.
const FASTEST_PER_S: f64 = 1e6;

/// Measures one window on a fresh cluster.
pub(crate) fn measure(load: &Load, window: usize, dir: &Path) -> Result<Measured> {
    #[allow(clippy::cast_precision_loss)] // A bound.
    let seconds_max = WRITTEN_BYTES_MAX / (FASTEST_PER_S * (load.bytes + 64) as f64);
    let seconds = load.seconds.min(seconds_max.max(1.0));
    let mut cluster = Cluster::start(dir)?;
    let before = cluster.totals()?;
    let answer = cluster.ask_leader(&format!("run {window} {} {seconds}", load.bytes))?;
    let after = cluster.totals()?;
    let mut measured: Measured = serde_json::from_str(&answer).context(answer)?;
    let [cpu_us, fsyncs, bytes_written] = std::array::from_fn(|n| after[n] - before[n]);
    measured.set_totals(cpu_us, fsyncs, bytes_written);
    cluster.stop()?;
    Ok(measured)
}

/// Three nodes in processes of their own, one of which leads.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Process>,
    pub(crate) leader: usize,
    /// What each node is started with.
    arguments: Vec<Vec<OsString>>,
}

impl Cluster {
    /// Starts three nodes below `dir`, and warms the path of a proposal: the first one opens the node's session.
    pub(crate) fn start(dir: &Path) -> Result<Cluster> {
        Cluster::start_with(dir, &[])
    }

    /// The same, with more arguments for each node.
    pub(crate) fn start_with(dir: &Path, arguments: &[&str]) -> Result<Cluster> {
        let peers = free_addresses(3)?;
        Cluster::start_at(dir, &peers, |_| arguments.to_vec())
    }

    /// The same, with a link before the last node that can be made slow. That node does not lead.
    pub(crate) fn start_with_slow_link(dir: &Path) -> Result<(Cluster, SlowLink)> {
        let mut peers = free_addresses(3)?;
        let listens = peers.pop().context("three addresses")?;
        let link = SlowLink::to(listens.clone())?;
        peers.push(link.address().to_owned());
        let of_last = ["--listen", &listens, "--priority", "0"];
        let cluster =
            Cluster::start_at(dir, &peers, |id| if id == 3 { of_last.to_vec() } else { Vec::new() })?;
        Ok((cluster, link))
    }

    fn start_at<'a>(dir: &Path, peers: &[String], more: impl Fn(u64) -> Vec<&'a str>) -> Result<Cluster> {
        let peers = peers.join(",");
        let of_node = |id: u64| {
            let own = ["node", "--id", &id.to_string(), "--peers", &peers].map(OsString::from);
            let data = ["--dir".into(), dir.join(format!("n{id}")).into_os_string()];
            own.into_iter().chain(more(id).into_iter().map(OsString::from)).chain(data).collect::<Vec<_>>()
        };
        let arguments: Vec<Vec<OsString>> = (1..=3).map(of_node).collect();
        let mut nodes = arguments.iter().map(|own| start(own)).collect::<Result<Vec<_>>>()?;
        let roles = nodes.iter_mut().map(Process::line).collect::<Result<Vec<_>>>()?;
        let leader = roles.iter().position(|role| role == "leader").context("no node leads")?;
        let mut cluster = Cluster { nodes, leader, arguments };
        cluster.ask_leader("run 1 256 0.2")?;
        Ok(cluster)
    }

    /// Asks the node that led at the start.
    pub(crate) fn ask_leader(&mut self, line: &str) -> Result<String> {
        self.nodes[self.leader].ask(line)
    }

    /// Asks the node at this place, and for how many microseconds all processes were at work meanwhile.
    pub(crate) fn measure(&mut self, place: usize, line: &str) -> Result<(String, u64)> {
        let cpu_us = |cluster: &Cluster| cluster.nodes.iter().map(Process::cpu_us).sum::<Result<u64>>();
        let before = cpu_us(self)?;
        let answer = self.nodes[place].ask(line)?;
        Ok((answer, cpu_us(self)? - before))
    }

    /// The places of the other nodes.
    pub(crate) fn followers(&self) -> impl Iterator<Item = usize> {
        let leader = self.leader;
        (0..self.nodes.len()).filter(move |place| *place != leader)
    }

    /// Waits until the followers have all that the leader has.
    pub(crate) fn wait_for_followers(&mut self) -> Result<()> {
        self.ask_leader("settle").map(|_| ())
    }

    /// The highest resident memory of each node so far, in KiB.
    pub(crate) fn resident_kib_max(&self) -> Result<Vec<u64>> {
        self.nodes.iter().map(Process::resident_kib_max).collect()
    }

    /// Stops a node in order, starts it again, and returns when it knows a leader.
    pub(crate) fn restart(&mut self, place: usize) -> Result<()> {
        self.nodes[place].ask("stop")?;
        self.nodes[place] = start(&self.arguments[place])?;
        self.nodes[place].line().map(|_| ())
    }

    /// Stops all nodes.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.ask("stop").map(|_| ()))
    }

    /// CPU microseconds, fsyncs and bytes written of all nodes so far.
    fn totals(&mut self) -> Result<[u64; 3]> {
        let mut totals = [0; 3];
        for node in &mut self.nodes {
            let counters = node.ask("counters")?;
            let (fsyncs, written) = counters.split_once(' ').context("two counters")?;
            totals[0] += node.cpu_us()?;
            totals[1] += fsyncs.parse::<u64>()?;
            totals[2] += written.parse::<u64>()?;
        }
        Ok(totals)
    }
}

fn start(arguments: &[OsString]) -> Result<Process> {
    Process::start(Command::new(std::env::current_exe()?).args(arguments))
}
