//! Reads by leases on real nodes and real clocks.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use quorate::{Node, Reads};

use crate::cluster::{Cluster, Words, bounded, leader};

/// What a node counts under this name.
fn counted(node: &Node<Words>, name: &str) -> u64 {
    let mut registry = Registry::default();
    node.register_metrics(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).expect("text takes everything");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}_total ")));
    line.expect("the counter is there").parse().expect("a number")
}

/// Followers' reads profit as well: their question to the leader is answered at once.
#[tokio::test(flavor = "multi_thread")]
async fn reads_on_every_node_are_answered_by_the_lease() {
    let mut cluster = Cluster::new(3);
    cluster.config.reads = Reads::Lease;
    let nodes = cluster.start_all().await;
    let leader = &nodes[leader(&nodes).await];
    bounded(leader.wait(|status| status.lease_ms > 0)).await.expect("the node runs");
    // A machine that is busy may hold heartbeats up until the lease has ended: then a read takes a round. So more than one is tried.
    let mut written = 0;
    while counted(leader, "quorate_reads_by_lease") < 10 {
        written = bounded(leader.propose("word".into())).await.expect("a leader is there");
        for node in &nodes {
            let seen =
                bounded(node.read(|words: &Words| words.0.len() as u64)).await.expect("a leader is there");
            assert_eq!(seen, written, "a read sees what was acknowledged before it");
        }
    }
    assert!(written > 0);
    for node in &nodes {
        bounded(node.stop_at_once()).await;
    }
}

/// Without leases nobody counts on a clock.
#[tokio::test(flavor = "multi_thread")]
async fn without_leases_every_read_takes_a_round() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    // What is counted is made known a moment later.
    while nodes.iter().all(|node| counted(node, "quorate_reads_by_round") == 0) {
        for node in &nodes {
            bounded(node.read(|words: &Words| words.0.len())).await.expect("a leader is there");
        }
    }
    for node in &nodes {
        assert_eq!((counted(node, "quorate_reads_by_lease"), node.status().lease_ms), (0, 0));
        bounded(node.stop_at_once()).await;
    }
}
