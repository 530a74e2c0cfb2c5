//! Real processes for the tests in this crate: `quorate server` and `quorate dev` on free ports and temporary folders, killed
//! and started again at will, with faults of their network, processes and disks. *Knows nothing of* what the tests prove.

pub mod clock;
pub mod disk;
pub mod fault;
pub mod net;
pub mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::clock::Clocks;
use crate::net::Net;
use crate::proxy::Mesh;

/// Names a binary `quorate` that is built already, for a test that runs once more inside namespaces: there is no way to a registry, and
/// no reason to wait for another builder.
pub(crate) const BUILT: &str = "E2E_QUORATE";

/// The binary `quorate`, of the same profile as the tests, built if it is not.
///
/// # Errors
/// When it does not build.
pub fn quorate() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let given = || std::env::var_os(BUILT).map(PathBuf::from);
    let built = BINARY.get_or_init(|| given().map_or_else(build, Ok).map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    // The tests' own binary lies in TARGET/PROFILE/deps.
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(Path::parent).context("a folder of the profile")?;
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", "quorate-cli", "--target-dir"]);
    command.arg(profile.parent().context("a target folder")?);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("running cargo")?;
    ensure!(status.success(), "the binary quorate does not build");
    Ok(profile.join("quorate"))
}

/// The real data that the project ships: incidents of a service desk, their machine, and what must come of them.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// How a cluster is to be.
pub struct Options {
    /// How many nodes.
    pub size: usize,
    /// How many more may join: a network of namespaces has room for them from the start.
    pub joiners: usize,
    /// How the nodes reach each other.
    pub network: Network,
    /// Further sections of each node's settings.
    pub settings: &'static str,
    /// The data folders that are not to be temporary ones, by node.
    pub data_dirs: BTreeMap<usize, PathBuf>,
    /// Wall clocks that are not the system's.
    pub clocks: Option<Clocks>,
}

impl Default for Options {
    /// Three nodes on loopback. Every node reserves a file of the log at once, so these are not as long as those of a real cluster.
    fn default() -> Options {
        let network = Network::Loopback;
        Options {
            size: 3,
            joiners: 0,
            network,
            settings: SMALL_SEGMENTS,
            data_dirs: BTreeMap::new(),
            clocks: None,
        }
    }
}

/// The settings of nodes whose test says nothing else.
const SMALL_SEGMENTS: &str = "[limits]\nsegment_bytes = \"4MiB\"\n";

/// How the nodes of a cluster reach each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// Over loopback.
    Loopback,
    /// Over loopback, through a [`Mesh`] only.
    Mesh,
    /// Over a [`Net`], each in a namespace of its own. For a test that runs inside only.
    Net,
}

/// Some `quorate server` processes of one cluster. Nodes are counted from 0, their ids from 1.
pub struct Cluster {
    dir: tempfile::TempDir,
    options: Options,
    mesh: Option<Mesh>,
    net: Option<Net>,
    /// Peer and API address of each node, node 1 first.
    addresses: Vec<(String, String)>,
    processes: Vec<Option<Child>>,
    /// Who was removed, and is a node no more.
    removed: BTreeSet<usize>,
}

/// No wait in these tests is longer: a bound on a hang, not a measure of speed. A machine may be many times as slow as the one that they
/// were written on.
pub const BOUND: Duration = Duration::from_secs(180);

impl Cluster {
    /// Starts `size` nodes and waits until each is ready.
    ///
    /// # Errors
    /// When a node does not start; its log is printed.
    pub fn start(size: usize) -> Result<Cluster> {
        Cluster::start_with(Options { size, ..Options::default() })
    }

    /// Starts such a cluster and waits until each node is ready.
    ///
    /// # Errors
    /// When a node does not start; its log is printed.
    pub fn start_with(options: Options) -> Result<Cluster> {
        let size = options.size;
        let net =
            (options.network == Network::Net).then(|| Net::start(size + options.joiners)).transpose()?;
        let addresses: Vec<(String, String)> = if let Some(net) = &net {
            (0..size).map(|node| net.addresses(node)).collect()
        } else {
            let free = free_addresses(size * 2)?;
            free.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        let peers: Vec<String> = addresses.iter().map(|(peer, _)| peer.clone()).collect();
        let mesh = (options.network == Network::Mesh).then(|| Mesh::start(&peers)).transpose()?;
        let processes = (0..size).map(|_| None).collect();
        let mut cluster = Cluster {
            dir: tempfile::tempdir()?,
            options,
            mesh,
            net,
            addresses,
            processes,
            removed: BTreeSet::new(),
        };
        for node in 0..size {
            cluster.write_config(node)?;
            cluster.run(node)?;
        }
        for node in 0..size {
            cluster.wait_ready(node)?;
        }
        Ok(cluster)
    }

    /// What a node is told of the others differs with a mesh: each dials proxies of its own.
    fn write_config(&self, node: usize) -> Result<()> {
        let members: Vec<String> = self
            .addresses
            .iter()
            .enumerate()
            .map(|(member, (peer, api))| {
                let proxy = self.mesh.as_ref().and_then(|mesh| mesh.address(node, member));
                let peer = proxy.as_ref().unwrap_or(peer);
                format!("{{ id = {}, peer = \"{peer}\", api = \"{api}\" }}", member + 1)
            })
            .collect();
        let (peer, api) = &self.addresses[node];
        let text = format!(
            "[node]\nid = {}\ndata_dir = \"{}\"\n\n[cluster]\ntoken = \"e2e\"\nmembers = [{}]\n\n[listen]\napi = \"{api}\"\npeer = \"{peer}\"\ninsecure = {}\n\n{}\n",
            node + 1,
            self.data_dir(node).display(),
            members.join(", "),
            self.net.is_some(),
            self.options.settings
        );
        std::fs::write(self.config(node), text)?;
        Ok(())
    }

    fn data_dir(&self, node: usize) -> PathBuf {
        let given = self.options.data_dirs.get(&node).cloned();
        given.unwrap_or_else(|| self.dir.path().join(format!("n{}", node + 1)))
    }

    fn config(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("n{}.toml", node + 1))
    }

    fn log(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("n{}.log", node + 1))
    }

    /// Starts a node that does not run. Its log goes on in the same file.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn run(&mut self, node: usize) -> Result<()> {
        ensure!(self.processes[node].is_none(), "node {} runs already", node + 1);
        let log = File::options().create(true).append(true).open(self.log(node))?;
        let mut command = match &self.net {
            Some(net) => net.command(node, quorate()?),
            None => Command::new(quorate()?),
        };
        if let Some(clocks) = &self.options.clocks {
            clocks.equip(node, &mut command)?;
        }
        let child = command
            .args(["server", "--config"])
            .arg(self.config(node))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.processes[node] = Some(child);
        Ok(())
    }

    /// Kills a node with SIGKILL: nothing of it runs after that.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        let mut child =
            self.processes[node].take().with_context(|| format!("node {} does not run", node + 1))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks a node to end, as an operator does, and waits until it has.
    ///
    /// # Errors
    /// When it does not, or calls that a failure.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        fault::signal(self.pid(node)?, "TERM")?;
        let (status, log) = self.wait_end(node)?;
        ensure!(status.success(), "node {} was asked to stop: {status}; its log:\n{log}", node + 1);
        Ok(())
    }

    /// Starts a further node, which joins through the API of `through`, and waits until it is ready. Its place is behind all others, and
    /// so is its id.
    ///
    /// # Errors
    /// When it does not start or does not get ready.
    pub fn join(&mut self, through: usize) -> Result<usize> {
        let node = self.begin_join(through)?;
        self.wait_ready(node)?;
        Ok(node)
    }

    /// Starts a further node, which joins through the API of `through`.
    ///
    /// # Errors
    /// When it cannot be started, or its network has no room for it.
    pub fn begin_join(&mut self, through: usize) -> Result<usize> {
        ensure!(self.options.network != Network::Mesh, "a mesh has no wires for a node that joins");
        let node = self.addresses.len();
        let (peer, api) = if let Some(net) = &self.net {
            ensure!(node < self.options.size + self.options.joiners, "the network has no room for it");
            net.addresses(node)
        } else {
            let mut free = free_addresses(2)?.into_iter();
            free.next().zip(free.next()).context("two addresses were asked for")?
        };
        let text = format!(
            "[node]\ndata_dir = \"{}\"\n\n[cluster]\njoin = \"{}\"\n\n[listen]\napi = \"{api}\"\npeer = \"{peer}\"\ninsecure = {}\n\n{}\n",
            self.data_dir(node).display(),
            self.api(through),
            self.net.is_some(),
            self.options.settings
        );
        self.addresses.push((peer, api));
        self.processes.push(None);
        std::fs::write(self.config(node), text)?;
        self.run(node)?;
        Ok(node)
    }

    /// Removes a node from the cluster, for good. Its process goes on.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn remove(&mut self, node: usize) -> Result<()> {
        let said = self.cli(&["cluster", "remove", &(node + 1).to_string()])?;
        ensure!(said.status.success(), "node {} is not removed: {said:?}", node + 1);
        self.removed.insert(node);
        Ok(())
    }

    /// The places of all nodes that belong to the cluster.
    pub fn members(&self) -> Vec<usize> {
        (0..self.addresses.len()).filter(|node| !self.removed.contains(node)).collect()
    }

    /// Waits until a node says that it is ready.
    ///
    /// # Errors
    /// When it ends, or does not get ready within [`BOUND`]; its log is in the error.
    pub fn wait_ready(&mut self, node: usize) -> Result<()> {
        let begin = Instant::now();
        loop {
            if http_ok(&self.addresses[node].1, "/readyz") {
                return Ok(());
            }
            let ended = match &mut self.processes[node] {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended || begin.elapsed() > BOUND {
                let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
                bail!("node {} is not ready (ended: {ended}); its log:\n{log}", node + 1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The network of namespaces between the nodes.
    ///
    /// # Errors
    /// When the cluster was started without.
    pub fn net(&self) -> Result<&Net> {
        self.net.as_ref().context("this cluster has no namespaces")
    }

    /// The clocks of the nodes.
    ///
    /// # Errors
    /// When the cluster was started without.
    pub fn clocks(&self) -> Result<&Clocks> {
        self.options.clocks.as_ref().context("this cluster has the clock of the system")
    }

    /// The proxies between the nodes.
    ///
    /// # Errors
    /// When the cluster was started without.
    pub fn mesh(&self) -> Result<&Mesh> {
        self.mesh.as_ref().context("this cluster has no mesh")
    }

    /// Makes the network between the nodes a good one again, whichever it is.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn heal(&self) -> Result<()> {
        self.mesh.iter().for_each(Mesh::heal);
        self.net.iter().try_for_each(Net::heal)
    }

    /// What a node has written to its log so far.
    ///
    /// # Errors
    /// When it was never started.
    pub fn said(&self, node: usize) -> Result<String> {
        Ok(std::fs::read_to_string(self.log(node))?)
    }

    /// Waits until a node has written this to its log.
    ///
    /// # Errors
    /// When it does not within [`BOUND`].
    pub fn wait_log(&self, node: usize, text: &str) -> Result<()> {
        let begin = Instant::now();
        while !std::fs::read_to_string(self.log(node))?.contains(text) {
            ensure!(begin.elapsed() < BOUND, "node {} does not say: {text}", node + 1);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The process of a node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, node: usize) -> Result<u32> {
        let child =
            self.processes[node].as_ref().with_context(|| format!("node {} does not run", node + 1))?;
        Ok(child.id())
    }

    /// Whether a node's process was started and neither killed nor seen to end.
    pub fn runs(&self, node: usize) -> bool {
        self.processes[node].is_some()
    }

    /// Waits until a node ends by itself; says whether it calls that a success, and what it has written to its log.
    ///
    /// # Errors
    /// When it does not end within [`BOUND`].
    pub fn wait_end(&mut self, node: usize) -> Result<(ExitStatus, String)> {
        let begin = Instant::now();
        let child =
            self.processes[node].as_mut().with_context(|| format!("node {} does not run", node + 1))?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            ensure!(begin.elapsed() < BOUND, "node {} does not end", node + 1);
            std::thread::sleep(Duration::from_millis(10));
        };
        self.processes[node] = None;
        Ok((status, std::fs::read_to_string(self.log(node))?))
    }

    /// The leader as one node knows it, by that node's own word; none if it knows none, or does not answer.
    pub fn leader_seen_by(&self, node: usize) -> Option<usize> {
        let text = http_get(&self.addresses[node].1, "/metrics").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("quorate_leader "))?;
        line.trim().parse::<usize>().ok()?.checked_sub(1)
    }

    /// Waits until a node knows a leader that `wanted` accepts.
    ///
    /// # Errors
    /// When it knows none within [`BOUND`].
    pub fn wait_leader(&self, node: usize, wanted: impl Fn(usize) -> bool) -> Result<usize> {
        let begin = Instant::now();
        while begin.elapsed() < BOUND {
            if let Some(leader) = self.leader_seen_by(node).filter(|leader| wanted(*leader)) {
                return Ok(leader);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("node {} sees no such leader within {BOUND:?}", node + 1)
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.addresses.len()
    }

    /// The base address of a node's HTTP interface.
    pub fn endpoint(&self, node: usize) -> String {
        format!("http://{}", self.addresses[node].1)
    }

    /// The address of a node's HTTP interface.
    pub fn api(&self, node: usize) -> &str {
        &self.addresses[node].1
    }

    /// All of them, as the command line takes them.
    pub fn endpoints(&self) -> String {
        (0..self.addresses.len()).map(|node| self.endpoint(node)).collect::<Vec<_>>().join(",")
    }

    /// The place of the node that leads, as a running node sees it.
    ///
    /// # Errors
    /// When nobody leads within [`BOUND`].
    pub fn leader(&self) -> Result<usize> {
        let begin = Instant::now();
        while begin.elapsed() < BOUND {
            let output = self.cli(&["-o", "json", "cluster", "status"])?;
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let members = status["members"].as_array().cloned().unwrap_or_default();
            if let Some(leader) = members.iter().find(|member| member["role"] == "leader") {
                let id = leader["id"].as_u64().context("a node's id")?;
                return Ok(usize::try_from(id)? - 1);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("nobody leads within {BOUND:?}")
    }

    /// Runs the command line against this cluster.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        cli(&self.endpoints(), args)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for node in 0..self.addresses.len() {
                let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
                eprintln!("--- log of node {} ---\n{log}", node + 1);
            }
        }
    }
}

/// Runs the command line against these endpoints.
///
/// # Errors
/// When it cannot be started.
pub fn cli(endpoints: &str, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(quorate()?);
    command.env("QUORATE_ENDPOINTS", endpoints).args(args).stdin(Stdio::null());
    command.output().context("running quorate")
}

/// `count` addresses on loopback that nobody uses, also while a node is down, or before it is up. Whoever dials gets a port of
/// 127.0.0.1 by the system, and these are of another host, which no other process of tests has.
///
/// # Errors
/// When none are left.
pub fn free_addresses(count: usize) -> Result<Vec<String>> {
    /// How many were tried by this process.
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let (host, mut free) = (own_host(), Vec::new());
    while free.len() < count {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        ensure!(tried < PORTS_LEN, "no port from {PORTS_FROM} on is free");
        // Where all have one host, processes that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(307).wrapping_add(tried) % PORTS_LEN;
        let address = format!("{host}:{}", PORTS_FROM + place);
        if TcpListener::bind(&address).is_ok() {
            free.push(address);
        }
    }
    Ok(free)
}

/// A host of this process's own: on some systems all of 127.0.0.0/8 is this machine. On others 127.0.0.1 must do, and the ports alone must
/// differ from those that systems give out.
fn own_host() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 | high & 63, middle, low);
    if TcpListener::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST }
}

/// The ports of the nodes: above those of well-known services, below those that systems give out (Linux from 32,768 on).
const PORTS_FROM: u32 = 10_000;
/// How many there are.
const PORTS_LEN: u32 = 20_000;

/// Whether a GET of `path` is answered 200.
pub fn http_ok(address: &str, path: &str) -> bool {
    http_get(address, path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The answer to a GET of `path`: its head and its body, as they come.
///
/// # Errors
/// When nobody answers within some seconds.
pub fn http_get(address: &str, path: &str) -> std::io::Result<String> {
    http_answer(http_ask(address, path)?)
}

/// Sends a GET of `path`. When this returns, the question lies with the system of the asked process, if not with the process.
///
/// # Errors
/// When nobody listens.
pub fn http_ask(address: &str, path: &str) -> std::io::Result<TcpStream> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

/// The answer to [`http_ask`].
///
/// # Errors
/// When it does not come within some seconds.
pub fn http_answer(mut question: TcpStream) -> std::io::Result<String> {
    let mut answer = Vec::new();
    question.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// How long a connection may take to be made: a node that is there takes it at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may let wait for its next byte. Longer than a node's own limit for a read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
