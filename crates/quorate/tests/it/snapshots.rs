//! Snapshots in a running node: the log stays bounded, a restart begins with the newest one, and a node that lacks what is compacted gets it
//! from the others.

use std::path::Path;

use quorate::{Config, Node};

use crate::cluster::{Cluster, Words, bounded, leader};

/// Snapshots after some ten kilobytes of log, in small pieces; the smallest segments that fit.
pub(crate) fn small(cluster: &mut Cluster) {
    cluster.config = Config {
        command_bytes_max: 1024,
        segment_bytes: 128 << 10,
        snapshot_log_bytes_min: 16 << 10,
        snapshot_piece_bytes: 1000,
        ..cluster.config.clone()
    };
}

/// Proposes this many words, some at a time.
pub(crate) async fn propose(node: &Node<Words>, from: usize, count: usize) {
    for first in (from..from + count).step_by(50) {
        let words = (first..(first + 50).min(from + count)).map(|n| format!("word {n} {}", "x".repeat(200)));
        let proposals = words.map(|word| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(word).await })
        });
        for proposal in proposals.collect::<Vec<_>>() {
            bounded(proposal).await.expect("the task runs").expect("a quorum runs");
        }
    }
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("the folder is there");
    names.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_bounded_and_a_restart_begins_with_the_newest_snapshot() {
    let mut cluster = Cluster::new(1);
    small(&mut cluster);
    let node = cluster.start(1).await;
    bounded(node.ready()).await.expect("the node runs");
    let mut segments_max = 0;
    for round in 0..20 {
        propose(&node, round * 150, 150).await;
        segments_max = segments_max.max(files(&cluster.folder(1).join("wal")).len());
    }
    let told: Vec<String> = bounded(node.read(|words| words.0.clone())).await.expect("the node runs");
    assert!(told.len() == 3000 && segments_max < 40, "{} words, {segments_max} segments", told.len());
    // Snapshots are written, and the log is cut, beside all else.
    bounded(node.wait(|status| status.base_index > 0)).await.expect("the node runs");
    bounded(node.stop()).await;

    let snapshots = files(&cluster.folder(1).join("snapshot"));
    assert!((1..=2).contains(&snapshots.len()), "{snapshots:?}");
    assert!(!cluster.folder(1).join("wal/0000000000000001.seg").exists(), "the front of the log is gone");
    let node = cluster.start(1).await;
    let status = node.status();
    assert!(status.base_index > 0 && status.snapshot_index >= status.base_index, "{status:?}");
    bounded(node.ready()).await.expect("the node runs");
    assert_eq!(bounded(node.read(|words| words.0.clone())).await, Ok(told));
    propose(&node, 3000, 10).await;
    bounded(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lacks_what_is_compacted_gets_the_snapshot_and_then_the_rest() {
    let mut cluster = Cluster::new(3);
    small(&mut cluster);
    let mut nodes = cluster.start_all().await;
    propose(&nodes[0], 0, 10).await;
    let leads = leader(&nodes).await;
    let behind = (leads + 1) % 3;
    let id = nodes[behind].status().node;
    bounded(nodes.remove(behind).stop()).await;
    let mut proposed = 10;
    while nodes.iter().any(|node| node.status().base_index < 200) {
        propose(&nodes[0], proposed, 200).await;
        proposed += 200;
        assert!(proposed < 20_000, "the log is never compacted");
    }
    let late = cluster.start(id).await;
    propose(&nodes[0], proposed, 100).await;
    proposed += 100;
    bounded(late.ready()).await.expect("the node runs");
    let own = bounded(late.read(|words| words.0.clone())).await.expect("a quorum runs");
    let others = bounded(nodes[0].read(|words| words.0.clone())).await.expect("a quorum runs");
    assert!(own == others && own.len() == proposed, "{} of {proposed}", own.len());
    let status = late.status();
    assert!(status.base_index >= 200, "the log begins behind the snapshot: {status:?}");
    propose(&late, proposed, 10).await;
    for node in nodes.into_iter().chain([late]) {
        bounded(node.stop()).await;
    }
}
