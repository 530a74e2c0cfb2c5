//! What operators do to a cluster that serves: they restart its nodes one after the other, add nodes and remove them, and put it on a disk
//! that is too slow. Clients must notice nothing but the wait.

use std::time::{Duration, Instant};

use quorate_e2e::fault::{DiskFault, Tracer, permitted};
use quorate_e2e::{BOUND, Cluster, Options, http_get};

use crate::faults::{CLIENTS, SOME, loaded, three, verify};
use crate::random::setting;

/// Small files of the log and early snapshots, so that the log is cut soon.
const SMALL: &str = "[limits]\ncommand_bytes_max = \"64KiB\"\nsegment_bytes = \"256KiB\"\nsnapshot_log_bytes_min = \"256KiB\"\n";

/// All nodes are restarted one after the other with SIGTERM, under load, as for an upgrade: `E2E_LONG=N` goes around N times. Nobody who
/// retries sees a failure: the client's own retries are enough. A leader hands over before it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request() {
    let mut cluster = three(quorate_e2e::Network::Loopback);
    let (load, _) = loaded(&cluster).await;
    let (begin, rounds) = (Instant::now(), setting("E2E_LONG").unwrap_or(1));
    for _ in 0..rounds {
        for node in 0..cluster.size() {
            cluster.stop(node).expect("it stops in order");
            load.progress(SOME).await;
            cluster.run(node).expect("it starts again");
            cluster.wait_ready(node).expect("and gets ready");
            load.progress(SOME).await;
        }
    }
    let (failed, slowest) = load.failures();
    println!(
        "{} restarts in {:?}: {failed} failed requests, the longest took {slowest:?}",
        3 * rounds,
        begin.elapsed()
    );
    assert_eq!(failed, 0, "requests that the client gave up");
    verify(&cluster, load).await;
}

/// The disk of the leader does 20 writes in a second, those of the others hundreds. Another node leads within ten seconds, under load, and the
/// slow one does not take the leadership back.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_does_twenty_writes_in_a_second_is_replaced_within_ten_seconds() {
    let cluster = three(quorate_e2e::Network::Loopback);
    let (load, leader) = loaded(&cluster).await;
    let before = load.progress(SOME).await;
    // A disk that is as slow as those of the others, or as all else, is no reason to give way: on a slow machine it takes more.
    let own = (0..3).map(|node| sync_time(&cluster, node)).max().unwrap_or_default();
    let latency = before * u32::try_from(CLIENTS).expect("a few") / u32::try_from(SOME).expect("some");
    let delay = Duration::from_millis(50).max(4 * own).max(latency);
    let slow = DiskFault::SyncDelay(delay);
    let Some(tracer) = permitted(Tracer::attach(cluster.pid(leader).expect("it runs"), slow)) else { return };
    // A machine that is so busy that proposals take seconds without any fault takes longer for this as well.
    let bound = Duration::from_secs(10).max(200 * delay).max(5 * before);
    let syncs = || metric(&cluster, leader, "quorate_fsync_seconds_count");
    let (begin, synced) = (Instant::now(), syncs());
    let next = cluster.wait_leader((leader + 1) % 3, |next| next != leader).expect("another leads");
    let (took, done) = (begin.elapsed(), syncs() - synced);
    let least = delay * u32::try_from(done.saturating_sub(1)).expect("a few");
    assert!(least <= begin.elapsed(), "{done} syncs in {took:?}");
    println!(
        "node {} leads {took:?} after the disk of node {} became slow, and did {done} syncs",
        next + 1,
        leader + 1
    );
    assert!(took < bound, "it took {took:?}");
    load.progress(10 * SOME).await;
    assert_ne!(cluster.leader_seen_by((leader + 1) % 3), Some(leader), "a node with a slow disk leads again");
    drop(tracer);
    verify(&cluster, load).await;
}

/// A fourth process joins a cluster that has cut its log, gets the snapshot over the bulk connection, and becomes a voter; then an old node is
/// removed, and its process says so wherever one looks: `cluster status`, `/readyz`, its log; and it leaves the others alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_behind_a_cut_log_and_one_that_is_removed_says_so() {
    let options = Options { settings: SMALL, ..Options::default() };
    let mut cluster = Cluster::start_with(options).expect("three servers start");
    let (load, leader) = loaded(&cluster).await;
    let begin = Instant::now();
    // All of them: any may lead when the fourth asks.
    while (0..3).any(|node| metric(&cluster, node, "quorate_log_base_index") == 0) {
        assert!(begin.elapsed() < BOUND, "the logs are never cut");
        load.progress(SOME).await;
    }
    let fourth = cluster.join((leader + 1) % 3).expect("a fourth process joins");
    // More than one, where it takes so long that the log is cut again on the way.
    let installed = metric(&cluster, fourth, "quorate_snapshots_installed_total");
    assert!(installed >= 1, "what was cut comes as a snapshot");
    wait_status(&cluster, fourth, "4 leader|4 follower").await;
    let said = cluster.said(fourth).expect("it runs");
    assert!(!said.contains("was removed"), "the members of before it are no removal of it:\n{said}");
    load.progress(SOME).await;
    let old = (leader + 2) % 3;
    cluster.remove(old).expect("it is removed");
    cluster.wait_log(old, "this node was removed from the cluster: stop it").expect("it says so");
    let ready = http_get(cluster.api(old), "/readyz").expect("its process goes on");
    assert!(ready.contains("member: this node was removed from the cluster"), "{ready}");
    wait_status(&cluster, old, &format!("{} removed", old + 1)).await;
    let begin = Instant::now();
    while metric(&cluster, old, "quorate_peer_connected{peer=\"4\"}") != 0 {
        assert!(begin.elapsed() < BOUND, "it goes on dialling");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    load.progress(SOME).await;
    cluster.stop(old).expect("it may be stopped");
    verify(&cluster, load).await;
}

/// How long a sync of this node takes on average.
fn sync_time(cluster: &Cluster, node: usize) -> Duration {
    let value = |name| told(cluster, node, name).and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    Duration::from_secs_f64(
        value("quorate_fsync_seconds_sum") / value("quorate_fsync_seconds_count").max(1.0),
    )
}

/// What a node measures under this name, in its words.
fn told(cluster: &Cluster, node: usize, name: &str) -> Option<String> {
    let metrics = http_get(cluster.api(node), "/metrics").expect("it answers");
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned)
}

/// A number that a node measures; 0 before there is any.
fn metric(cluster: &Cluster, node: usize, name: &str) -> u64 {
    told(cluster, node, name).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Waits until `cluster status`, asked of this node alone, shows one of these rows: the id and the role, without the mark of a learner.
async fn wait_status(cluster: &Cluster, node: usize, wanted: &str) {
    let begin = Instant::now();
    loop {
        let output = quorate_e2e::cli(&cluster.endpoint(node), &["cluster", "status"]).expect("it runs");
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows: Vec<String> = table
            .lines()
            .map(|line| line.trim_start_matches('n').split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let shows = |row: &String| {
            wanted
                .split('|')
                .any(|wanted| row.starts_with(&format!("{wanted} ")) && !row.contains("(learner)"))
        };
        if rows.iter().any(shows) {
            return;
        }
        assert!(begin.elapsed() < BOUND, "`{wanted}` is not in\n{table}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
