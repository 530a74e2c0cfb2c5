//! Real file systems of a test's own: they are full, or all their power goes away at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_api::instance::CreateInstance;
use quorate_client::{ClientError, RetryPolicy, WriteOptions};
use quorate_e2e::disk::SmallDisk;
use quorate_e2e::fault::{pause, permitted};
use quorate_e2e::{BOUND, Cluster, Options, http_get};

use crate::faults::{SOME, loaded, verify};
use crate::load::connect_with;

/// Small files of the log, so that new ones are begun often.
const SETTINGS: &str = "[limits]\ncommand_bytes_max = \"64KiB\"\nsegment_bytes = \"256KiB\"\n";
/// A proposal that waits for something takes longer: the nodes keep it for 10 s, and the client for 3 s.
const WAITED: Duration = Duration::from_millis(2_500);
/// How often the power goes away. Each time hits other moments.
const OUTAGES: usize = 3;

/// A cluster of which these nodes have their data on that disk.
fn cluster_on(disk: &SmallDisk, nodes: std::ops::Range<usize>) -> Cluster {
    let folder = |node| (node, disk.path().join(format!("n{}", node + 1)));
    let data_dirs: BTreeMap<_, _> = nodes.map(folder).collect();
    let options = Options { settings: SETTINGS, data_dirs, ..Options::default() };
    Cluster::start_with(options).expect("three servers start")
}

/// Fills the disk, again and again as the nodes on it make room for themselves, until more than half of them say that it is full: who they
/// are. Then nothing is committed that could fill what another one has reserved.
fn fill_for_good(cluster: &Cluster, disk: &SmallDisk, nodes: std::ops::Range<usize>) -> Vec<usize> {
    let begin = Instant::now();
    let says = |node: &usize| {
        http_get(cluster.api(*node), "/readyz").is_ok_and(|answer| answer.contains("the disk is full"))
    };
    let (mut full, mut in_a_row) = (Vec::new(), 0);
    while in_a_row < 5 {
        disk.fill().expect("it can be filled");
        let before = std::mem::replace(&mut full, nodes.clone().filter(says).collect());
        in_a_row = if full.len() > nodes.len() / 2 && full == before { in_a_row + 1 } else { 0 };
        assert!(begin.elapsed() < BOUND, "the nodes do not say that their disk is full: only {full:?}");
    }
    full
}

/// A node is asked once, and nobody else: it refuses at once, and says that nothing happened and why.
async fn refuses(cluster: &Cluster, node: usize) {
    let client = connect_with(&cluster.endpoint(node), RetryPolicy::never());
    let begin = Instant::now();
    let refused = client.create("lifecycle", &CreateInstance::default(), &WriteOptions::default()).await;
    let took = begin.elapsed();
    let Err(error @ ClientError::NotAccepted { .. }) = refused else {
        panic!("node {} must refuse: {refused:?}", node + 1)
    };
    let said = error.to_string();
    assert!(said.contains("the disk of this node is full: the proposal was not accepted"), "{said}");
    assert!(took < WAITED, "at once, not after {took:?}");
}

/// One disk is full: its node refuses, another leads, nobody else waits; with space it goes on in the same process.
async fn pauses_when_full(disk: SmallDisk) {
    let mut cluster = cluster_on(&disk, 0..1);
    let (load, _) = loaded(&cluster).await;
    let pid = cluster.pid(0).expect("it runs");
    fill_for_good(&cluster, &disk, 0..1);
    refuses(&cluster, 0).await;
    cluster.wait_leader(1, |leader| leader != 0).expect("somebody else leads");
    load.progress(SOME).await;
    let metrics = http_get(cluster.api(0), "/metrics").expect("it answers");
    assert!(metrics.contains("\nquorate_log_paused 1\n"), "{metrics}");
    let status = cluster.cli(&["cluster", "status"]).expect("the command runs");
    assert!(String::from_utf8_lossy(&status.stdout).contains("(disk full)"), "{status:?}");
    disk.free().expect("there is space again");
    let freed = Instant::now();
    cluster.wait_ready(0).expect("it goes on");
    println!("ready {:?} after there was space", freed.elapsed());
    cluster.wait_log(0, "there is room on the disk again").expect("it says so");
    assert_eq!(cluster.pid(0).expect("it runs"), pid, "it is the same process");
    verify(&cluster, load).await;
    drop(cluster);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_refuses_and_goes_on_without_a_restart_when_there_is_space() {
    if let Some(disk) = permitted(SmallDisk::in_memory(4 << 20)) {
        pauses_when_full(disk).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_device_is_full_refuses_and_goes_on_without_a_restart_when_there_is_space() {
    if let Some(disk) = permitted(SmallDisk::on_device(16 << 20)) {
        pauses_when_full(disk).await;
    }
}

/// All disks are full at once: nothing is taken, nothing that was acknowledged is lost, and with space all go on in the same processes.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_disks_of_all_nodes_full_the_cluster_waits_for_space() {
    let Some(disk) = permitted(SmallDisk::on_device(16 << 20)) else { return };
    let mut cluster = cluster_on(&disk, 0..3);
    let (load, _) = loaded(&cluster).await;
    let pids: Vec<u32> = (0..3).map(|node| cluster.pid(node).expect("it runs")).collect();
    for node in fill_for_good(&cluster, &disk, 0..3) {
        refuses(&cluster, node).await;
    }
    disk.free().expect("there is space again");
    let freed = Instant::now();
    for node in 0..3 {
        cluster.wait_ready(node).expect("it goes on");
    }
    println!("all are ready {:?} after there was space", freed.elapsed());
    for (node, pid) in pids.into_iter().enumerate() {
        assert_eq!(cluster.pid(node).expect("it runs"), pid, "node {} is the same process", node + 1);
    }
    verify(&cluster, load).await;
    drop(cluster);
    drop(disk);
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
