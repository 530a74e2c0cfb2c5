//! Wall clocks that jump by hours, of the node that leads and of all. The log's clock goes with what a quorum's clocks show: one wrong clock
//! does not move it, whoever leads; it never goes back, and nothing that clients see depends on it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_e2e::clock::Clocks;
use quorate_e2e::fault::permitted;
use quorate_e2e::{Cluster, Options};

use crate::faults::{SOME, loaded, verify};
use crate::history::{Change, changes_so_far};
use crate::load::{Load, connect_patiently};

/// How far from the system's time the log's may be while a quorum's clocks show that: the bound of the nodes, and how long this machine may
/// take between two looks at clocks.
const APART: Duration = Duration::from_secs(60);

/// All changes of all instances, in the order of the log. The load goes on: an instance may have been called and not be there yet.
async fn log_of(cluster: &Cluster, load: &Load) -> Vec<Change> {
    let client = connect_patiently(&cluster.endpoint(0));
    let mut log = Vec::new();
    for id in load.recorder().instances() {
        log.extend(changes_so_far(&client, &id).await.into_iter().flat_map(|(changes, _)| changes));
    }
    log.sort_by_key(|change| change.index);
    log
}

/// The clocks of these nodes jump to so many hours from the system's; then the leader is killed, another one leads, and it comes back.
async fn jump(cluster: &mut Cluster, load: &Load, nodes: &[usize], hours: i32) {
    for node in nodes {
        cluster.clocks().expect("it has them").set(*node, hours).expect("it can be set");
    }
    load.progress(SOME).await;
    let leader = cluster.wait_leader(0, |_| true).expect("somebody leads");
    cluster.kill(leader).expect("it runs");
    load.progress(SOME).await;
    cluster.run(leader).expect("it starts again");
    cluster.wait_ready(leader).expect("it gets ready");
    load.progress(SOME).await;
}

/// The time of the newest change, and the system's.
async fn times(cluster: &Cluster, load: &Load) -> (Duration, Duration) {
    let log = log_of(cluster, load).await;
    let last = Duration::from_millis(log.last().expect("there are changes").time_ms);
    (last, SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_clock_follows_a_quorums_clocks_that_jump_by_hours_and_never_goes_back() {
    let Some(clocks) = permitted(Clocks::find()) else { return };
    let options = Options { clocks: Some(clocks), ..Options::default() };
    let mut cluster = Cluster::start_with(options).expect("three servers start");
    let (load, leader) = loaded(&cluster).await;
    for hours in [5, -4] {
        jump(&mut cluster, &load, &[leader], hours).await;
        let (last, now) = times(&cluster, &load).await;
        assert!(last.abs_diff(now) < APART, "one clock {hours} h off: {last:?} at {now:?}");
    }
    jump(&mut cluster, &load, &[0, 1, 2], 5).await;
    let (last, now) = times(&cluster, &load).await;
    let wanted = now + Duration::from_hours(5);
    assert!(last.abs_diff(wanted) < APART, "clocks that do not jump prove nothing: {last:?} at {now:?}");
    jump(&mut cluster, &load, &[0, 1, 2], -11).await;
    for pair in log_of(&cluster, &load).await.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert!(before.time_ms <= after.time_ms, "the clock went back at index {}", after.index);
    }
    verify(&cluster, load).await;
}
