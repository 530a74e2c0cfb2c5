//! Random nodes are killed with SIGKILL under load, for twenty seconds or as many minutes as `E2E_LONG` says. Afterwards every
//! acknowledged proposal is there exactly once, on every node.

use std::time::{Duration, Instant};

use quorate_e2e::Cluster;

use crate::load::Load;
use crate::random::setting;

/// Clients, each with an instance of its own.
const CLIENTS: usize = 16;
/// Fewer kills prove nothing.
const KILLS_MIN: usize = 5;
/// Nor do fewer proposals that were acknowledged.
const ACKNOWLEDGED_MIN: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_proposal_survives_random_kills_exactly_once_on_every_node() {
    let mut cluster = Cluster::start(3).expect("three servers start");
    let load = Load::start(&cluster, CLIENTS);

    let long = setting("E2E_LONG").map_or(Duration::from_secs(20), |long| Duration::from_secs(60 * long));
    let mut kills = 0;
    let killing = tokio::task::spawn_blocking(move || {
        let begin = Instant::now();
        // The sequence of victims and pauses is fixed; what they meet is not.
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        // A slow machine takes longer for as many.
        while begin.elapsed() < long || kills < KILLS_MIN {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let victim = usize::try_from(random >> 33).expect("31 bits") % 3;
            cluster.kill(victim).expect("every node runs");
            kills += 1;
            std::thread::sleep(Duration::from_millis(200 + (random >> 40) % 1_500));
            cluster.run(victim).expect("a killed node starts again");
            cluster.wait_ready(victim).expect("a killed node gets ready again");
        }
        (cluster, kills)
    });
    let (cluster, kills) = killing.await.expect("the killer does not panic");
    // With all nodes back, it goes on.
    load.progress(ACKNOWLEDGED_MIN).await;
    let told = load.stop().await;
    let total = told.total();
    println!("{kills} kills, {total} proposals acknowledged");
    assert!(total >= ACKNOWLEDGED_MIN, "a test that met nothing proves nothing: {total} acknowledged");
    told.verify(&cluster).await;
}
