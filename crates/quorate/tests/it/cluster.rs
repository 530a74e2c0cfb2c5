//! A cluster in one process on free ports and temporary folders, and the state machine of these tests.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quorate::{
    ClusterError, ClusterRefusal, Config, Context, Node, NodeStatus, Snapshot, StartError, StateMachine,
};

/// Remembers every command in order. A command that begins with `panic` panics.
#[derive(Default)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl StateMachine for Words {
    type Command = String;
    type Reply = u64;

    fn feature_level_max(&self) -> u16 {
        2
    }

    fn apply(&mut self, _: &Context, word: String) -> u64 {
        assert!(!word.starts_with("panic"), "told to panic");
        self.0.push(word);
        self.0.len() as u64
    }

    fn snapshot(&self) -> Snapshot {
        let all = self.0.join("\n");
        Box::new(move |out| out.write_all(all.as_bytes()))
    }

    fn restore(&mut self, source: &mut dyn Read) -> std::io::Result<()> {
        let mut all = String::new();
        source.read_to_string(&mut all)?;
        self.0 = all.lines().map(ToString::to_string).collect();
        Ok(())
    }
}

/// Nodes that know each other, each startable and stoppable.
pub(crate) struct Cluster {
    host: Ipv4Addr,
    dir: tempfile::TempDir,
    pub(crate) members: Vec<(u64, String)>,
    /// Bound sockets of nodes that were not started yet: their ports cannot be taken by others. Nor can those of nodes that are down: nobody
    /// else has this host.
    listeners: Vec<Option<TcpListener>>,
    /// The settings of nodes that are started from now on.
    pub(crate) config: Config,
}

/// No test waits longer than this for anything: a bound on a hang, not a measure of speed.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

impl Cluster {
    /// `size` nodes, none started.
    pub(crate) fn new(size: u64) -> Cluster {
        let host = own_host();
        let listeners: Vec<TcpListener> =
            (0..size).map(|_| TcpListener::bind((host, 0)).expect("a free port")).collect();
        let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
        let members = (1..).zip(listeners.iter().map(address)).collect();
        let dir = tempfile::tempdir().expect("a temporary folder");
        // Every node reserves a segment at once. The timeouts are those of users: with shorter ones a busy machine changes leaders.
        let config = Config { segment_bytes: 4 << 20, ..Config::default() };
        Cluster { host, dir, members, listeners: listeners.into_iter().map(Some).collect(), config }
    }

    /// A socket for a node that joins.
    pub(crate) fn socket(&self) -> TcpListener {
        TcpListener::bind((self.host, 0)).expect("a free port")
    }

    /// The folder of a node.
    pub(crate) fn folder(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("n{id}"))
    }

    /// Starts a node, for the first time or again.
    pub(crate) async fn try_start(&mut self, id: u64) -> Result<Node<Words>, StartError> {
        self.try_start_with(id, Words::default()).await
    }

    /// Starts a node with a state machine that holds something before the first command.
    pub(crate) async fn try_start_with(&mut self, id: u64, words: Words) -> Result<Node<Words>, StartError> {
        let config = self.config.clone();
        let builder =
            Node::builder(self.folder(id)).id(id).cluster("tests").peers(self.members.clone()).config(config);
        let place = usize::try_from(id - 1).expect("a small id");
        let builder = match self.listeners[place].take() {
            Some(listener) => {
                listener.set_nonblocking(true).expect("a socket that does not block");
                builder.listen_on(listener)
            }
            None => builder,
        };
        builder.start(words).await
    }

    /// The builder of a node's next start.
    pub(crate) fn builder<S: StateMachine>(&self, id: u64) -> quorate::NodeBuilder<S> {
        let builder = quorate::Node::<S>::builder(self.folder(id)).id(id).cluster("tests");
        builder.peers(self.members.clone()).config(self.config.clone())
    }

    /// Starts a node that must start.
    pub(crate) async fn start(&mut self, id: u64) -> Node<Words> {
        self.try_start(id).await.expect("the node starts")
    }

    /// Starts all nodes and waits until each knows a leader.
    pub(crate) async fn start_all(&mut self) -> Vec<Node<Words>> {
        let mut nodes = Vec::new();
        for id in 1..=self.members.len() as u64 {
            nodes.push(self.start(id).await);
        }
        for node in &nodes {
            bounded(node.ready()).await.expect("the node runs");
        }
        nodes
    }
}

/// Waits for something that must happen.
pub(crate) async fn bounded<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, wanted).await.expect("it happens within its bound")
}

/// The place of the leader among the nodes, as the first one knows it; between two leaders it waits for the next.
pub(crate) async fn leader(nodes: &[Node<Words>]) -> usize {
    let place = |id| nodes.iter().position(|node| node.status().node == id);
    let known = bounded(nodes[0].wait(|status| place(status.leader).is_some())).await.expect("the node runs");
    place(known.leader).expect("it was found just now")
}

/// A node shall lead. Where the machine is slow, it may not take over in time, or another one may win: then it is asked again.
pub(crate) async fn hand_over(asked: &Node<Words>, to: u64) {
    bounded(async {
        loop {
            match asked.transfer_leadership(Some(to)).await {
                Ok(leader) if leader == to => return,
                Ok(_) | Err(ClusterError::TimedOut | ClusterError::NoLeader { .. }) => {}
                Err(ClusterError::Refused(
                    ClusterRefusal::NotTakenOver { .. } | ClusterRefusal::TransferUnderWay { .. },
                )) => {}
                Err(other) => panic!("node {to} can lead: {other}"),
            }
        }
    })
    .await;
}

/// Waits until each node has a connection to each other one.
pub(crate) async fn all_met(nodes: &[Node<Words>]) {
    let met = |status: &NodeStatus| {
        status.peers.len() + 1 >= nodes.len() && status.peers.iter().all(|peer| peer.connected)
    };
    for node in nodes {
        bounded(node.wait(met)).await.expect("the node runs");
    }
}

/// A host that no other cluster has: on some systems all of 127.0.0.0/8 is this machine. Whoever dials does so from 127.0.0.1, and so takes no port
/// of it. On other systems 127.0.0.1 must do.
fn own_host() -> Ipv4Addr {
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(64).wrapping_add(CLUSTERS.fetch_add(1, Ordering::Relaxed));
    let [_, high, middle, low] = number.to_be_bytes();
    let own = Ipv4Addr::new(127, 128 | high & 63, middle, low);
    if TcpListener::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST }
}
