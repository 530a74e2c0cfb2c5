//! A server: a node with its HTTP interface over it. How it starts, how it ends, and in which order.
//!
//! **Start**: both sockets are bound first, so that a port in use is told before anything is written; then the node
//! opens its data and takes part in the cluster; then connections are accepted.
//!
//! **Stop**, in this order, each step bounded:
//! 1. no new connections;
//! 2. a leading node hands its leadership over (an election timeout at most), so that nobody has to wait for an election;
//! 3. open connections finish the request that they are in (`timeouts.shutdown` at most), while the node still decides:
//!    nobody who was heard is left without an answer;
//! 4. the node stops: what is on its way to the disk is finished, the data directory is free again.
//!
//! A node that ends by itself (a failed disk, a bug) ends the server too, with the cause: [`RunningServer::failed`].

use std::io;
use std::net::{SocketAddr, TcpListener};

use quorate::{Node, NodeError};
use quorate_machine::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::accept;
use crate::app::App;
use crate::config::{ConfigError, ServerConfig};
use crate::routes::router;

/// Starts servers.
pub struct Server;

/// Sockets that are bound already, in place of the addresses in the settings.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For clients.
    pub api: Option<TcpListener>,
    /// For peers.
    pub peer: Option<TcpListener>,
}

/// A server that runs. It stops by [`RunningServer::shutdown`], or by itself when its node fails; dropped, it stops
/// without waiting.
pub struct RunningServer {
    node: Node<Registry>,
    api_address: SocketAddr,
    peer_address: SocketAddr,
    stopping: CancellationToken,
    connections: TaskTracker,
    acceptor: JoinHandle<()>,
    patience: std::time::Duration,
}

/// Why a server does not start. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are not usable.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("cannot listen for {whom} on {address}: {}", listen_help(.source, .setting))]
    Listen {
        /// For whom: `clients` or `peers`.
        whom: &'static str,
        /// The address.
        address: String,
        /// The setting that holds it.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The node does not start: its data directory is in use, not writable, of another cluster, or damaged.
    #[error("{0}")]
    Node(#[from] quorate::StartError),
}

impl Server {
    /// Starts a server with these settings. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: ServerConfig) -> Result<RunningServer, StartError> {
        Server::start_on(config, Listeners::default()).await
    }

    /// Starts a server on sockets that are bound already.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_on(
        mut config: ServerConfig,
        listeners: Listeners,
    ) -> Result<RunningServer, StartError> {
        let mut faults = Vec::new();
        config.check(&mut faults);
        if config.joined()?.is_none() && config.cluster.join.is_some() {
            faults.push(
                "cluster.join: this node was not added to the cluster yet; `quorate server --join` does it"
                    .to_owned(),
            );
        }
        if !faults.is_empty() {
            return Err(StartError::Config(ConfigError { faults }));
        }
        let (api, api_address) = bound(listeners.api, "clients", &config.listen.api, "listen.api")?;
        let (peer, peer_address) = bound(listeners.peer, "peers", &config.listen.peer, "listen.peer")?;
        let node = start_node(&config, peer, peer_address, api_address).await?;
        let listener = tokio::net::TcpListener::from_std(api).map_err(|source| StartError::Listen {
            whom: "clients",
            address: api_address.to_string(),
            setting: "listen.api",
            source,
        })?;
        let app = App::new(node.clone(), &config);
        let (stopping, connections) = (CancellationToken::new(), TaskTracker::new());
        let router = router(app.clone());
        let acceptor = tokio::spawn(accept(listener, app, router, stopping.clone(), connections.clone()));
        stop_with_the_node(&node, &stopping);
        tracing::info!(node = config.node.id, api = %api_address, peer = %peer_address, "serves");
        let patience = config.timeouts.shutdown;
        Ok(RunningServer { node, api_address, peer_address, stopping, connections, acceptor, patience })
    }
}

impl RunningServer {
    /// Where clients reach the server.
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Where peers reach its node.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Its node.
    pub fn node(&self) -> &Node<Registry> {
        &self.node
    }

    /// Resolves when the node has ended by itself or was stopped, with the cause.
    pub async fn failed(&self) -> NodeError {
        self.node.stopped().await
    }

    /// Stops the server in the order that this file describes. Returns when the data directory is free.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        self.node.hand_over().await;
        self.finish().await;
    }

    /// Stops the server together with all others of its cluster: nobody is left to hand over to.
    pub async fn shutdown_with_all(self) {
        self.finish().await;
    }

    async fn finish(mut self) {
        self.stopping.cancel();
        let _ = (&mut self.acceptor).await;
        self.connections.close();
        if tokio::time::timeout(self.patience, self.connections.wait()).await.is_err() {
            tracing::warn!(
                open = self.connections.len(),
                "connections did not end in time; the node stops under them"
            );
        }
        self.node.stop_at_once().await;
        tracing::info!("stopped");
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn start_node(
    config: &ServerConfig,
    listener: TcpListener,
    peer_address: SocketAddr,
    api_address: SocketAddr,
) -> Result<Node<Registry>, StartError> {
    let mut members: Vec<(u64, String)> =
        config.cluster.members.iter().map(|member| (member.id, member.peer.clone())).collect();
    if members.is_empty() && config.joined_cluster().is_none() {
        let told = config.advertised_peer(peer_address).unwrap_or_else(|| {
            tracing::warn!(
                listens = %peer_address,
                "other nodes cannot join this one: nobody has said where they reach it (advertise.peer)"
            );
            peer_address.to_string()
        });
        members.push((config.node.id, told));
    }
    let told = config.advertised_api(api_address).unwrap_or_default();
    let builder = Node::builder(&config.node.data_dir)
        .id(config.node.id)
        .cluster(config.cluster.token.clone())
        .listen_on(listener)
        .peers(members)
        .api_address(told)
        .config(config.replication.clone());
    let builder = match config.joined_cluster() {
        Some(cluster) => builder.joins(cluster),
        None => builder,
    };
    Ok(builder.start(Registry::new()).await?)
}

/// A node that ends by itself takes the server along: a server without its node would only turn clients away.
fn stop_with_the_node(node: &Node<Registry>, stopping: &CancellationToken) {
    let (node, stopping) = (node.clone(), stopping.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            cause = node.stopped() => {
                tracing::error!(%cause, "the node has ended, so the server ends");
                stopping.cancel();
            }
        }
    });
}

fn bound(
    given: Option<TcpListener>,
    whom: &'static str,
    address: &str,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let listen = || {
        let listener = match given {
            Some(listener) => listener,
            None => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen().map_err(|source| StartError::Listen { whom, address: address.to_owned(), setting, source })
}

fn listen_help(error: &io::Error, setting: &str) -> String {
    let variable = setting.to_ascii_uppercase().replace('.', "__");
    let choose = format!("choose another address with {setting} (QUORATE_{variable})");
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        format!("another program uses this port, perhaps another node; stop it, or {choose}")
    } else if kind == io::ErrorKind::AddrNotAvailable {
        format!("this machine has no such address; {choose}")
    } else if kind == io::ErrorKind::PermissionDenied {
        format!("the system does not allow it (ports below 1024 need rights); {choose}")
    } else {
        format!("{error}; {choose}")
    }
}
