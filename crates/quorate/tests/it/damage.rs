//! Damaged files of running nodes: what a disk has lost of the log or of a snapshot comes back from the others over real sockets.

use std::path::Path;

use quorate::Node;

use crate::cluster::{Cluster, Words, bounded};
use crate::snapshots::{propose, small};

/// Flips a bit in each place where these bytes stand in the files of a folder. How many there were.
fn damage(folder: &Path, wanted: &[u8]) -> usize {
    let mut struck = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let mut bytes = std::fs::read(&path).expect("it is a file");
        let places: Vec<usize> = bytes
            .windows(wanted.len())
            .enumerate()
            .filter(|(_, here)| *here == wanted)
            .map(|(at, _)| at)
            .collect();
        for at in &places {
            bytes[*at] ^= 1;
        }
        struck += places.len();
        std::fs::write(&path, bytes).expect("it can be written");
    }
    struck
}

async fn words(node: &Node<Words>) -> Vec<String> {
    bounded(node.read(|words| words.0.clone())).await.expect("a quorum runs")
}

/// Each node has lost another entry while all were stopped: no leader is needed to get them back, and then one is elected.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_each_disk_has_lost_come_back_from_the_others() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    propose(&nodes[0], 0, 30).await;
    let told = words(&nodes[0]).await;
    for node in &nodes {
        assert_eq!(words(node).await, told);
    }
    for node in nodes {
        bounded(node.stop()).await;
    }
    for id in 1..=3 {
        let word = format!("word {} ", 3 + 7 * id);
        assert_eq!(damage(&cluster.folder(id).join("wal"), word.as_bytes()), 1, "{word}");
    }
    let nodes = cluster.start_all().await;
    propose(&nodes[0], 30, 1).await;
    for node in &nodes {
        let after = words(node).await;
        assert_eq!(after[..30], told);
        let status = node.status();
        assert_eq!((status.damaged_entries, status.state_lost), (0, false), "{status:?}");
    }
    for node in nodes {
        bounded(node.stop()).await;
    }
}

/// A node whose only snapshot is damaged starts without a state and gets one from the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_a_disk_has_lost_comes_back_from_the_others() {
    let mut cluster = Cluster::new(3);
    small(&mut cluster);
    let mut nodes = cluster.start_all().await;
    let mut proposed = 0;
    while nodes.iter().any(|node| node.status().base_index < 200) {
        propose(&nodes[0], proposed, 200).await;
        proposed += 200;
        assert!(proposed < 20_000, "the log is never compacted");
    }
    bounded(nodes.remove(2).stop()).await;
    assert!(damage(&cluster.folder(3).join("snapshot"), b"word 3 ") > 0, "the state holds its first words");
    let mended = cluster.start(3).await;
    propose(&nodes[0], proposed, 10).await;
    bounded(mended.ready()).await.expect("the node runs");
    assert_eq!(words(&mended).await, words(&nodes[0]).await);
    let status = mended.status();
    assert_eq!((status.damaged_entries, status.state_lost), (0, false), "{status:?}");
    for node in nodes.into_iter().chain([mended]) {
        bounded(node.stop()).await;
    }
}
