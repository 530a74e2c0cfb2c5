//! One fault at a time under load: what the cluster must do, and what it must not lose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate_api::instance::Instance;
use quorate_e2e::fault::{DiskFault, Tracer, pause, permitted, signal};
use quorate_e2e::proxy::Rule;
use quorate_e2e::{BOUND, Cluster, Network, Options, http_answer, http_ask};
use quorate_sim::check::linearizable::history::{Answer, Call};

use crate::history::standing;
use crate::load::{Load, connect_patiently};

/// Clients, each with an instance of its own.
pub(crate) const CLIENTS: usize = 8;
/// How many acknowledgements show that the cluster works.
pub(crate) const SOME: usize = 200;
/// The same while a node hangs: each client waits 3 s for it now and then.
pub(crate) const FEW: usize = 12;

pub(crate) fn three(network: Network) -> Cluster {
    let options = Options { network, ..Options::default() };
    Cluster::start_with(options).expect("three servers start")
}

/// A cluster under load, and its leader.
pub(crate) async fn loaded(cluster: &Cluster) -> (Load, usize) {
    let load = Load::start(cluster, CLIENTS);
    load.progress(SOME).await;
    let leader = cluster.wait_leader(0, |_| true).expect("somebody leads");
    (load, leader)
}

/// All is well again: it goes on, and every node has exactly what was acknowledged.
pub(crate) async fn verify(cluster: &Cluster, load: Load) {
    load.progress(SOME).await;
    load.stop().await.verify(cluster).await;
}

/// The leader's link fails one way; another node takes over.
pub(crate) async fn replaced_when(cluster: Cluster, cut: impl Fn(&Cluster, usize)) {
    let (load, old) = loaded(&cluster).await;
    cut(&cluster, old);
    let begin = Instant::now();
    let new = cluster.wait_leader((old + 1) % 3, |leader| leader != old).expect("another node leads");
    let replaced = begin.elapsed();
    load.progress(FEW).await;
    let begin = Instant::now();
    cluster.heal().expect("it heals");
    cluster.wait_leader(old, |leader| leader != old).expect("the old leader learns of the new one");
    let (from, to, learnt) = (old + 1, new + 1, begin.elapsed());
    println!("node {from} led, node {to} after {replaced:?}; healed, the first learnt it after {learnt:?}");
    verify(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_nobody_hears_is_replaced_and_nothing_acknowledged_is_lost() {
    let cut = |cluster: &Cluster, leader| cluster.mesh().expect("it has one").from(leader, Rule::Cut);
    replaced_when(three(Network::Mesh), cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_hears_nobody_is_replaced_and_nothing_acknowledged_is_lost() {
    let cut = |cluster: &Cluster, leader| cluster.mesh().expect("it has one").to(leader, Rule::Cut);
    replaced_when(three(Network::Mesh), cut).await;
}

/// The leader is paused until another one has led and acknowledged. It is asked before it goes on. With `ignorant`, no word of
/// the others reaches it before it has answered: it must find out by itself that it may not serve.
async fn paused_beyond_its_reign(ignorant: bool) {
    let cluster = three(Network::Mesh);
    let (load, old) = loaded(&cluster).await;
    let paused = cluster.pid(old).expect("it runs");
    pause(paused).expect("it can be paused");
    if ignorant {
        cluster.mesh().expect("it has one").around(old, Rule::Frozen);
    }
    let other = (old + 1) % 3;
    cluster.wait_leader(other, |leader| leader != old).expect("another node leads");
    load.progress(FEW).await;
    // What is answered by now, every later read must see.
    let busy = load.recorder().latest(CLIENTS);
    let (reader, rest) = (load.recorder().process(), connect_patiently(&cluster.endpoint(other)));
    for id in &busy {
        reader.read(&rest, id).await.expect("the rest serves reads");
    }
    // The system takes the questions in while the process stands: they are the first that it sees when it goes on, with the
    // state and the belief in its reign that it had before.
    let ask = |id: &String| {
        let process = load.recorder().process();
        process.call(id, Call::Read);
        let path = format!("/v1/machines/lifecycle/instances/{id}");
        (http_ask(cluster.api(old), &path).expect("the system listens"), process)
    };
    let questions: Vec<_> = busy.iter().map(ask).collect();
    signal(paused, "CONT").expect("it goes on");
    let mut served = 0;
    for (question, process) in questions {
        question.set_read_timeout(Some(BOUND)).expect("a time");
        let answer = http_answer(question).expect("a node that runs answers, be it with a refusal");
        let told = answer.starts_with("HTTP/1.1 200").then(|| {
            let body = answer.split_once("\r\n\r\n").expect("a head and a body").1;
            let instance: Instance = serde_json::from_str(body).expect("an instance");
            Answer::Standing(Some(standing(&instance.state, instance.revision)))
        });
        served += usize::from(told.is_some());
        process.answer(Some(told.unwrap_or(Answer::Refused)));
    }
    println!("{served} of {CLIENTS} questions were served");
    cluster.heal().expect("it heals");
    verify(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_beyond_its_reign_serves_no_stale_read() {
    paused_beyond_its_reign(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_and_hears_of_no_other_serves_no_stale_read() {
    paused_beyond_its_reign(true).await;
}

/// Ends a fault.
pub(crate) type Heal = Box<dyn FnOnce(&Cluster)>;

/// One follower is slow for a while. Clients of the others must not wait for it: if they did, [`MANY`] acknowledgements would
/// take four times [`HELD_UP`]. Afterwards it catches up.
pub(crate) async fn holds_up_nobody(
    cluster: Cluster,
    slow: impl FnOnce(&Cluster, usize, usize) -> Option<Heal>,
) {
    let leader = cluster.wait_leader(0, |_| true).expect("somebody leads");
    let (other, follower) = ((leader + 1) % 3, (leader + 2) % 3);
    let endpoints = format!("{},{}", cluster.endpoint(leader), cluster.endpoint(other));
    let load = Load::start_at(&endpoints, CLIENTS);
    let before = load.progress(MANY).await;
    let Some(heal) = slow(&cluster, leader, follower) else { return };
    let during = load.progress(MANY).await;
    println!("{MANY} acknowledgements took {before:?}, with the slow follower {during:?}");
    // A machine that needs long without any fault needs as long with one, and longer when others begin to use it.
    let held_up = HELD_UP.max(4 * before);
    assert!(during < held_up, "{MANY} acknowledgements took {during:?}, before that {before:?}");
    heal(&cluster);
    verify(&cluster, load).await;
}

/// See [`holds_up_nobody`].
const MANY: usize = 1_000;
/// See [`holds_up_nobody`].
const HELD_UP: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_to_one_follower_does_not_hold_up_the_rest_and_it_catches_up() {
    let cluster = three(Network::Mesh);
    // An acknowledgement takes some 160 bytes of this link.
    let slow = |cluster: &Cluster, leader: usize, follower: usize| {
        cluster.mesh().expect("it has one").wire(leader, follower).set(Rule::rate(2 * 1024));
        Some(Box::new(|cluster: &Cluster| cluster.heal().expect("it heals")) as Heal)
    };
    holds_up_nobody(cluster, slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_link_to_one_follower_does_not_hold_up_the_rest_and_it_catches_up() {
    let cluster = three(Network::Mesh);
    let slow = |cluster: &Cluster, leader: usize, follower: usize| {
        let wires = [(leader, follower), (follower, leader)];
        let wires = wires.map(|(from, to)| cluster.mesh().expect("it has one").wire(from, to));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let flapping = std::thread::spawn(move || {
            // Long enough for a connection to be made now and then, too short for it to last.
            let rules = [Rule::Cut, Rule::Open, Rule::Frozen, Rule::Open, Rule::Cut];
            for (rule, wire) in rules.iter().cycle().zip(wires.iter().cycle()) {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                wire.set(*rule);
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        Some(Box::new(move |cluster: &Cluster| {
            stop.store(true, Ordering::Relaxed);
            flapping.join().expect("it does not panic");
            cluster.heal().expect("it heals");
        }) as Heal)
    };
    holds_up_nobody(cluster, slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_of_one_follower_does_not_hold_up_the_rest() {
    let cluster = three(Network::Loopback);
    // Each client has one proposal at a time.
    let slow = |cluster: &Cluster, _: usize, follower: usize| {
        let pid = cluster.pid(follower).expect("it runs");
        let delay = DiskFault::SyncDelay(Duration::from_millis(500));
        let tracer = permitted(Tracer::attach(pid, delay))?;
        Some(Box::new(|_: &Cluster| drop(tracer)) as Heal)
    };
    holds_up_nobody(cluster, slow).await;
}

/// The syncs of one node fail: it stops and says why, the others go on, and it comes back when its disk is well.
async fn stops_on_a_failed_sync(victim: impl Fn(usize) -> usize) {
    let mut cluster = three(Network::Loopback);
    let (load, leader) = loaded(&cluster).await;
    let victim = victim(leader);
    let pid = cluster.pid(victim).expect("it runs");
    let Some(tracer) = permitted(Tracer::attach(pid, DiskFault::SyncError)) else { return };
    let begin = Instant::now();
    let (status, log) = cluster.wait_end(victim).expect("a node whose disk fails ends");
    println!("node {} ended after {:?}", victim + 1, begin.elapsed());
    drop(tracer);
    assert!(!status.success(), "it must not call that a success: {status}");
    assert!(log.contains("the disk failed, so the node stopped: cannot sync"), "its last words:\n{log}");
    let led = |leader| leader != victim;
    cluster.wait_leader((victim + 1) % 3, led).expect("somebody else leads");
    load.progress(SOME).await;
    cluster.run(victim).expect("it starts again");
    cluster.wait_ready(victim).expect("and gets ready");
    verify(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_sync_fails_stops_with_the_reason_and_the_cluster_goes_on() {
    stops_on_a_failed_sync(|leader| (leader + 1) % 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_sync_fails_stops_and_another_takes_over_without_a_loss() {
    stops_on_a_failed_sync(|leader| leader).await;
}
