//! A cluster in one process on free ports and temporary folders, and the state machine of these tests.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use quorate::{Config, Context, Node, Snapshot, StartError, StateMachine};

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
    dir: tempfile::TempDir,
    pub(crate) members: Vec<(u64, String)>,
    /// Bound sockets of nodes that were not started yet: their ports cannot be taken by others.
    listeners: Vec<Option<TcpListener>>,
    /// The settings of nodes that are started from now on.
    pub(crate) config: Config,
}

/// No test waits longer than this for anything: a bound on a hang, not a measure of speed.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

impl Cluster {
    /// `size` nodes, none started.
    pub(crate) fn new(size: u64) -> Cluster {
        let listeners: Vec<TcpListener> =
            (0..size).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
        let members = (1..).zip(listeners.iter().map(address)).collect();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = Config { election_timeout: Duration::from_millis(300), ..Config::default() };
        // Every node reserves a segment at once.
        let config = Config { heartbeat: Duration::from_millis(50), segment_bytes: 4 << 20, ..config };
        Cluster { dir, members, listeners: listeners.into_iter().map(Some).collect(), config }
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
    tokio::time::timeout(BOUND, wanted).await.expect("it happens within a minute")
}

/// The place of the leader among the nodes.
pub(crate) fn leader(nodes: &[Node<Words>]) -> usize {
    let id = nodes[0].status().leader;
    nodes.iter().position(|node| node.status().node == id).expect("the leader is one of the nodes")
}
