//! Real file systems of a test's own: they are full, or all their power goes away at once.

use std::collections::BTreeMap;

use quorate_e2e::disk::SmallDisk;
use quorate_e2e::fault::{pause, permitted};
use quorate_e2e::{Cluster, Options};

use crate::faults::{SOME, loaded, verify};

/// Small files of the log, so that new ones are begun often.
const SETTINGS: &str = "[limits]\ncommand_bytes_max = \"64KiB\"\nsegment_bytes = \"256KiB\"\n";
/// How often the power goes away. Each time hits other moments.
const OUTAGES: usize = 3;

/// A cluster of which these nodes have their data on that disk.
fn cluster_on(disk: &SmallDisk, nodes: std::ops::Range<usize>) -> Cluster {
    let folder = |node| (node, disk.path().join(format!("n{}", node + 1)));
    let data_dirs: BTreeMap<_, _> = nodes.map(folder).collect();
    let options = Options { settings: SETTINGS, data_dirs, ..Options::default() };
    Cluster::start_with(options).expect("three servers start")
}

async fn stops_when_full(disk: SmallDisk) {
    let mut cluster = cluster_on(&disk, 0..1);
    let (load, _) = loaded(&cluster).await;
    disk.fill().expect("it can be filled");
    let (status, log) = cluster.wait_end(0).expect("a node whose disk is full ends");
    assert!(!status.success(), "it must not call that a success: {status}");
    assert!(log.contains("the disk is full"), "its last words:\n{log}");
    cluster.wait_leader(1, |leader| leader != 0).expect("somebody else leads");
    load.progress(SOME).await;
    disk.free().expect("there is space again");
    cluster.run(0).expect("it starts again");
    cluster.wait_ready(0).expect("and gets ready");
    verify(&cluster, load).await;
    drop(cluster);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_stops_with_the_reason_and_comes_back_when_there_is_space() {
    if let Some(disk) = permitted(SmallDisk::in_memory(4 << 20)) {
        stops_when_full(disk).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_device_is_full_stops_with_the_reason_and_comes_back_when_there_is_space() {
    if let Some(disk) = permitted(SmallDisk::on_device(16 << 20)) {
        stops_when_full(disk).await;
    }
}

/// What `kill -9` cannot show: all that the system has in memory and not on the device is lost, on every node at once. Whatever was
/// acknowledged before must be there afterwards. The nodes stand when it happens: each sync has returned or was never begun.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives_a_loss_of_power_of_all_nodes_at_once() {
    let Some(disk) = permitted(SmallDisk::on_device(256 << 20)) else { return };
    let mut cluster = cluster_on(&disk, 0..3);
    let (load, _) = loaded(&cluster).await;
    for _ in 0..OUTAGES {
        for node in 0..cluster.size() {
            pause(cluster.pid(node).expect("it runs")).expect("it can be paused");
        }
        disk.power_off().expect("it can be taken away");
        for node in 0..cluster.size() {
            cluster.kill(node).expect("it was started");
        }
        disk.power_on().expect("nobody uses it");
        for node in 0..cluster.size() {
            cluster.run(node).expect("it starts again");
        }
        for node in 0..cluster.size() {
            cluster.wait_ready(node).expect("and gets ready");
        }
        load.progress(SOME).await;
    }
    verify(&cluster, load).await;
    drop(cluster);
    drop(disk);
}
