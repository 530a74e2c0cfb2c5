//! Wall clocks that jump by hours, on the node that leads and on those that will. The log's clock is the leader's: it may jump
//! ahead with it, it never goes back, and nothing that clients see depends on it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_e2e::clock::Clocks;
use quorate_e2e::fault::permitted;
use quorate_e2e::{Cluster, Options};

use crate::faults::{SOME, loaded, verify};
use crate::history::{Change, changes};
use crate::load::{Load, connect};

/// Where the clocks of the leaders jump to, in hours from the time of the system. In all less than a key is remembered.
const JUMPS: [i32; 4] = [5, -4, 11, -11];

/// All changes of all instances, in the order of the log.
async fn log_of(cluster: &Cluster, load: &Load) -> Vec<Change> {
    let client = connect(&cluster.endpoint(0));
    let mut log = Vec::new();
    for id in load.recorder().instances() {
        log.extend(changes(&client, &id).await.0);
    }
    log.sort_by_key(|change| change.index);
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn wall_clocks_that_jump_by_hours_move_the_logs_clock_forward_only_and_nothing_else() {
    let Some(clocks) = permitted(Clocks::find()) else { return };
    let options = Options { clocks: Some(clocks), ..Options::default() };
    let mut cluster = Cluster::start_with(options).expect("three servers start");
    let (load, _) = loaded(&cluster).await;
    for hours in JUMPS {
        let leader = cluster.wait_leader(0, |_| true).expect("somebody leads");
        cluster.clocks().expect("it has them").set(leader, hours).expect("it can be set");
        load.progress(SOME).await;
        // Another clock comes to lead.
        cluster.kill(leader).expect("it runs");
        load.progress(SOME).await;
        cluster.run(leader).expect("it starts again");
        cluster.wait_ready(leader).expect("it gets ready");
    }
    let log = log_of(&cluster, &load).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let last = Duration::from_millis(log.last().expect("there are changes").time_ms);
    assert!(
        last > now + Duration::from_hours(4),
        "clocks that do not jump prove nothing: {last:?} at {now:?}"
    );
    for pair in log.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert!(before.time_ms <= after.time_ms, "the clock went back at index {}", after.index);
    }
    verify(&cluster, load).await;
}
