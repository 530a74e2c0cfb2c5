//! Nodes of two releases in one cluster, over real sockets: "the same binary with a lower version" stands for the older one. It refuses the
//! newer form as the older one would.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quorate::{Context, Node, NodeError, NodeStatus, Proposal, RequestId, Role, Snapshot, StateMachine};

use crate::cluster::{Cluster, Words, bounded};

/// The nodes that clients may ask now.
type Nodes = Arc<Mutex<Vec<Node<Words>>>>;

fn node(nodes: &Nodes, place: usize) -> Node<Words> {
    let nodes = nodes.lock().expect("nobody panics with the lock");
    nodes[place % nodes.len()].clone()
}

/// Proposes so many words under keys, each until it is answered, by whichever node answers.
async fn write(nodes: Nodes, prefix: &'static str, count: usize) {
    for n in 0..count {
        let word = format!("{prefix}{n}");
        let mut attempt = n;
        loop {
            let mut proposal = Proposal::new(word.clone());
            proposal.request_id = Some(RequestId::Key(Bytes::from(word.clone())));
            attempt += 1;
            if bounded(node(&nodes, attempt).propose_with(proposal)).await.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Starts a node anew in another version while somebody writes.
async fn replace(cluster: &mut Cluster, nodes: &Nodes, place: usize, version: u16) {
    let prefix: &'static str = Box::leak(format!("v{version} n{place} ").into_boxed_str());
    let writing = tokio::spawn(write(Arc::clone(nodes), prefix, 30));
    let old = node(nodes, place);
    bounded(old.stop()).await;
    drop(old);
    cluster.config.wire_version_max = version;
    let new = cluster.start(place as u64 + 1).await;
    bounded(new.ready()).await.expect("the node runs");
    nodes.lock().expect("nobody panics with the lock")[place] = new;
    bounded(writing).await.expect("all was written");
}

/// Each word stands once on each node, and they stand in the same order.
async fn check(nodes: &Nodes, words: usize) {
    let mut before: Option<Vec<String>> = None;
    for place in 0..3 {
        let all = bounded(node(nodes, place).read(|words| words.0.clone())).await.expect("a quorum runs");
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!((once.len(), all.len()), (words, words), "each word stands once");
        assert!(before.is_none_or(|before| before == all), "nodes of all versions hold the same");
        before = Some(all);
    }
}

/// Waits until so many peers have shown their clocks to the leader, whoever it is: those with which it speaks version 1.
async fn clocks_shown(nodes: &Nodes, wanted: usize) {
    let is_wanted = |status: &NodeStatus| {
        let shown = status.peers.iter().filter(|peer| peer.clock_skew_ms.is_some()).count();
        status.role == Role::Leader && shown == wanted
    };
    let [first, second, third] = [0, 1, 2].map(|place| node(nodes, place));
    let found = bounded(async {
        tokio::select! {
            found = first.wait(is_wanted) => found,
            found = second.wait(is_wanted) => found,
            found = third.wait(is_wanted) => found,
        }
    });
    found.await.expect("the nodes run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_upgraded_and_taken_back_node_by_node_without_a_lost_write() {
    let mut cluster = Cluster::new(3);
    cluster.config.wire_version_max = 0;
    let nodes: Nodes = Arc::new(Mutex::new(cluster.start_all().await));
    write(Arc::clone(&nodes), "old ", 10).await;
    clocks_shown(&nodes, 0).await;
    let mut words = 10;
    for place in 0..3 {
        replace(&mut cluster, &nodes, place, 1).await;
        words += 30;
        check(&nodes, words).await;
    }
    clocks_shown(&nodes, 2).await;
    for place in [1, 2] {
        replace(&mut cluster, &nodes, place, 0).await;
        words += 30;
        check(&nodes, words).await;
    }
    clocks_shown(&nodes, 0).await;
}

/// What is in force has a name in this release; a later one is not.
#[test]
fn a_version_that_is_not_known_is_no_setting() {
    let newer = quorate::Config { wire_version_max: u16::MAX, ..quorate::Config::default() };
    let verdict = newer.validate().expect_err("no such version exists");
    assert!(verdict.contains("wire_version_max"), "{verdict}");
}

/// The same state machine in the release before: it understands the first level only.
struct Before(Words);

impl StateMachine for Before {
    type Command = String;
    type Reply = u64;

    fn apply(&mut self, context: &Context, word: String) -> u64 {
        assert_eq!(context.level, 1, "what is not understood is never applied");
        self.0.apply(context, word)
    }

    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn restore(&mut self, source: &mut dyn std::io::Read) -> std::io::Result<()> {
        self.0.restore(source)
    }
}

/// Waits until each node has this feature level.
async fn at_level(nodes: &[Node<Words>], level: u64) {
    for node in nodes {
        bounded(node.wait(|status| status.feature_level == level)).await.expect("the node runs");
    }
}

/// T60, R47: apply means the same on all members of a cluster that is being upgraded. As long as one member holds back, all stays as it was and
/// the way back is open; then the level rises by itself, and an older binary stops before it applies what it does not understand.
#[tokio::test(flavor = "multi_thread")]
async fn the_feature_level_rises_when_every_member_understands_it_and_an_older_binary_stops() {
    let mut cluster = Cluster::new(3);
    let first = cluster.start(1).await;
    let second = cluster.start(2).await;
    cluster.config.feature_level_max = Some(1);
    let held = cluster.start(3).await;
    bounded(held.ready()).await.expect("the node runs");
    for n in 0..20 {
        bounded(first.propose(format!("{n}"))).await.expect("a quorum runs");
    }
    let nodes = [first, second, held];
    at_level(&nodes, 1).await;
    let said: Vec<u64> = nodes.iter().map(|node| node.status().feature_level_max).collect();
    assert_eq!(said, [2, 2, 1]);
    let [first, second, held] = nodes;
    bounded(held.stop()).await;
    drop(held);
    cluster.config.feature_level_max = None;
    let third = cluster.start(3).await;
    at_level(&[first.clone(), second.clone(), third.clone()], 2).await;
    bounded(third.stop()).await;
    drop(third);
    let older = cluster.builder::<Before>(3).start(Before(Words::default())).await.expect("it starts");
    let cause = bounded(older.stopped()).await;
    assert_eq!(cause, NodeError::LevelTooNew { level: 2, level_max: 1 });
    assert!(cause.to_string().contains("start it with the newer binary"), "{cause}");
    drop(older);
    let again = cluster.start(3).await;
    bounded(again.ready()).await.expect("the node runs");
    let all = bounded(again.read(|words| words.0.len())).await.expect("a quorum runs");
    assert_eq!(all, 20);
    at_level(&[first, second, again], 2).await;
}
