//! `dev`: a whole cluster in one process, for trying things out: real TCP between the nodes, real fsync on each, and the same data
//! again at the next start.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate_api::meaning::Exit;
use quorate_server::{Listeners, MemberSettings, RunningServer, Server, ServerConfig};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::args::DevArgs;
use crate::commands::server::{Signals, start_failure, start_log, stop_at_once};
use crate::failure::Failure;
use crate::output::Output;

/// How long a first leader may take.
const LEADER_WAIT: Duration = Duration::from_secs(30);
/// The token of every cluster that `dev` makes; together with the ids of its nodes it names the cluster.
const TOKEN: &str = "quorate-dev";
/// How long a file of the log is, in bytes. Each node reserves one at once: what is tried out should not take the space of a real cluster.
const SEGMENT_BYTES: u64 = 8 << 20;

/// One node of the cluster.
struct DevNode {
    id: u64,
    data_dir: PathBuf,
    server: RunningServer,
}

/// A node as it is told.
#[derive(Serialize)]
struct NodeJson {
    id: u64,
    api: String,
    peer: String,
    data_dir: PathBuf,
    leader: bool,
}

/// `dev`: runs until a signal, or until every node has failed.
pub(crate) async fn dev(output: &mut Output, arguments: &DevArgs) -> Result<Exit, Failure> {
    check_data(arguments)?;
    // Nodes that stop tell each other so; what a person must see of a failed node is told by `watch`.
    start_log(&std::env::var("QUORATE_LOG__LEVEL").unwrap_or_else(|_| "error".to_owned()));
    let mut signals = Signals::new()?;
    let begun = Instant::now();
    let nodes = start(arguments).await?;
    let ran = tokio::select! {
        ran = serve(output, arguments, &nodes, begun) => ran,
        () = signals.stop_or_hang_up() => Ok(()),
    };
    stop(nodes, &mut signals).await;
    ran.map(|()| Exit::Ok)
}

/// Waits for a leader, shows the cluster, and ends only when no node is left.
async fn serve(
    output: &mut Output,
    arguments: &DevArgs,
    nodes: &[DevNode],
    begun: Instant,
) -> Result<(), Failure> {
    let leader = tokio::time::timeout(LEADER_WAIT, first_leader(nodes)).await.map_err(|_| {
        Failure::new(Exit::Error, format!("no leader was elected within {} s", LEADER_WAIT.as_secs()))
            .hint("QUORATE_LOG__LEVEL=info tells more; is the disk or the machine overloaded?")
    })?;
    tell(output, arguments, nodes, leader?, begun.elapsed())?;
    watch(nodes).await
}

/// The directory must be one that `dev` made, and for as many nodes: another number of nodes is another cluster.
fn check_data(arguments: &DevArgs) -> Result<(), Failure> {
    let dir = &arguments.data_dir;
    if dir.join("NODE").exists() {
        let what = format!("{} is the data directory of a single node", dir.display());
        return Err(Failure::new(Exit::Error, what).hint("choose another one with --data-dir"));
    }
    let exists = |id: &u64| node_dir(dir, *id).exists();
    let found = (1..=9).filter(exists).count() as u64;
    if found == 0 || found == arguments.nodes {
        return Ok(());
    }
    let what = format!("{} holds a cluster of {found}, not of {}", dir.display(), arguments.nodes);
    Err(Failure::new(Exit::Error, what)
        .hint(format!("start it with --nodes {found}, or choose another directory with --data-dir")))
}

fn node_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("n{id}"))
}

/// Binds all ports first, so that a port in use is told before anything is written, then starts node after node.
async fn start(arguments: &DevArgs) -> Result<Vec<DevNode>, Failure> {
    let mut bound = Vec::new();
    for id in 1..=arguments.nodes {
        bound.push((id, bind(arguments.api_port, id, 0)?, bind(arguments.api_port, id, 1)?));
    }
    let mut members = Vec::new();
    for (id, api, peer) in &bound {
        members.push(MemberSettings { id: *id, peer: address(peer)?, api: Some(address(api)?) });
    }
    let mut nodes = Vec::new();
    for (id, api, peer) in bound {
        let data_dir = node_dir(&arguments.data_dir, id);
        let mut config = ServerConfig::default();
        config.node.id = id;
        config.node.data_dir.clone_from(&data_dir);
        config.cluster.token = TOKEN.to_owned();
        config.cluster.members.clone_from(&members);
        config.listen.api = address(&api)?;
        config.listen.peer = address(&peer)?;
        config.replication.segment_bytes = SEGMENT_BYTES;
        let listeners = Listeners { api: Some(api), peer: Some(peer) };
        let server = Server::start_on(config, listeners).await.map_err(|error| {
            let failure = start_failure(&error);
            Failure { what: format!("node {id} does not start: {}", failure.what), ..failure }
        })?;
        nodes.push(DevNode { id, data_dir, server });
    }
    Ok(nodes)
}

/// Node n has the ports base + 10(n-1) for clients and the next one for peers; base 0 means any free ones.
fn bind(base: u16, id: u64, offset: u16) -> Result<TcpListener, Failure> {
    let step = u16::try_from((id - 1) * 10).unwrap_or(u16::MAX);
    let port = match base {
        0 => Some(0),
        base => base.checked_add(step).and_then(|port| port.checked_add(offset)),
    };
    let Some(port) = port else {
        return Err(Failure::usage(format!("--api-port {base} leaves no ports for {id} nodes")));
    };
    TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        let what = format!("cannot listen on 127.0.0.1:{port}: {error}");
        Failure::new(Exit::Error, what).hint(
            "another program uses this port, perhaps another `quorate dev`; stop it, or choose other ports with --api-port",
        )
    })
}

fn address(listener: &TcpListener) -> Result<String, Failure> {
    let address = listener.local_addr();
    let address =
        address.map_err(|error| Failure::new(Exit::Error, format!("a socket has no address: {error}")))?;
    Ok(address.to_string())
}

/// The leader, as soon as all nodes know it.
async fn first_leader(nodes: &[DevNode]) -> Result<u64, Failure> {
    let mut leader = 0;
    for node in nodes {
        let ended = |cause| Failure::new(Exit::Error, format!("node {} has ended: {cause}", node.id));
        leader = node.server.node().wait(|status| status.leader != 0).await.map_err(ended)?.leader;
    }
    Ok(leader)
}

/// Says when a node fails, and why; the others go on. Returns when none is left.
async fn watch(nodes: &[DevNode]) -> Result<(), Failure> {
    let mut watched = JoinSet::new();
    for node in nodes {
        let (id, inner) = (node.id, node.server.node().clone());
        watched.spawn(async move { (id, inner.stopped().await) });
    }
    while let Some(ended) = watched.join_next().await {
        if let Ok((id, cause)) = ended {
            let left = watched.len();
            Failure::new(Exit::Error, format!("node {id} has ended: {cause}"))
                .hint(format!(
                    "{left} of {} nodes are left; stop and start `quorate dev` to bring it back",
                    nodes.len()
                ))
                .tell();
        }
    }
    Err(Failure::new(Exit::Error, "no node is left"))
}

/// Stops all nodes at the same time; a second signal ends the process at once. Nothing that was answered can be lost by that.
async fn stop(nodes: Vec<DevNode>, signals: &mut Signals) {
    let mut stopping = JoinSet::new();
    for node in nodes {
        stopping.spawn(node.server.shutdown_with_all());
    }
    tokio::select! {
        () = async { while stopping.join_next().await.is_some() {} } => {}
        () = signals.stop() => stop_at_once(),
    }
}

/// The first screen: what runs, where, and what to try.
fn tell(
    output: &mut Output,
    arguments: &DevArgs,
    nodes: &[DevNode],
    leader: u64,
    took: Duration,
) -> Result<(), Failure> {
    let nodes_json = nodes.iter().map(|node| NodeJson {
        id: node.id,
        api: url(node.server.api_address()),
        peer: node.server.peer_address().to_string(),
        data_dir: node.data_dir.clone(),
        leader: node.id == leader,
    });
    let nodes_json = nodes_json.collect::<Vec<_>>();
    if !output.is_table() {
        return output.value(&nodes_json);
    }
    let endpoints = nodes_json.iter().map(|node| node.api.as_str()).collect::<Vec<_>>().join(",");
    if arguments.quiet {
        return output.line(&format!("QUORATE_ENDPOINTS={endpoints}"));
    }
    let count = nodes.len();
    let dir = arguments.data_dir.display();
    let ms = took.as_millis();
    let nodes_word = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") };
    output.line(&format!("quorate dev: {nodes_word} in one process, a leader after {ms} ms\n"))?;
    let rows = nodes_json.iter().map(|node| {
        let role = if node.leader { "leader" } else { "follower" };
        let data = node.data_dir.display().to_string();
        vec![format!("n{}", node.id), role.to_owned(), node.api.clone(), node.peer.clone(), data]
    });
    output.table(&["NODE", "ROLE", "CLIENTS", "PEERS", "DATA"], rows.collect())?;
    let quorum = count / 2 + 1;
    let program = program();
    output.line(&format!(
        "\nAn answer means: on the disk of {quorum} of {count}. The data stays in {dir}; Ctrl-C stops the cluster,\n\
         and neither that nor kill -9 {} loses anything.\n\n\
         In another terminal:",
        std::process::id()
    ))?;
    output.line(&format!("  export QUORATE_ENDPOINTS={endpoints}"))?;
    for command in [
        "create lifecycle/job-1",
        "propose lifecycle/job-1 start --explain",
        "propose lifecycle/job-1 reset           # rejected, with the reason",
        "get lifecycle/job-1",
        "history lifecycle/job-1",
        "cluster status",
    ] {
        output.line(&format!("  {program} {command}"))?;
    }
    Ok(())
}

/// The program as it was called, so that the printed commands can be pasted.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.contains('/') { called } else { "quorate".to_owned() }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
