//! Faults of every kind in a random order under load. With a majority untouched the cluster must go on; without one it must go
//! on when it is healed. Afterwards every acknowledged proposal is there exactly once, on every node.
//!
//! Once over proxies, and once in network namespaces, where packets are lost and not bytes. `E2E_LONG=30 cargo test -p quorate-e2e
//! --test it mixed -- --nocapture` goes on for 30 minutes; `E2E_SEED=7` draws another order.

use std::time::{Duration, Instant};

use quorate_e2e::fault::{DiskFault, Tracer, pause, permitted, signal};
use quorate_e2e::net::Net;
use quorate_e2e::proxy::{Mesh, Rule};
use quorate_e2e::{Cluster, Network, Options};

use crate::load::Load;
use crate::net::alone;
use crate::random::{Random, setting};

/// Clients, each with an instance of its own.
const CLIENTS: usize = 8;
/// How many acknowledgements show that the cluster works.
const SOME: usize = 24;

/// What one node suffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Killed,
    Paused,
    Link(Link),
    SyncSlow,
    SyncError,
    DiskFull,
}

/// What its links to the others suffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    NobodyHearsIt,
    HearsNobody,
    Frozen,
    Late,
    Narrow,
    Reset,
}

const FAULTS: [Fault; 11] = [
    Fault::Killed,
    Fault::Paused,
    Fault::Link(Link::NobodyHearsIt),
    Fault::Link(Link::HearsNobody),
    Fault::Link(Link::Frozen),
    Fault::Link(Link::Late),
    Fault::Link(Link::Narrow),
    Fault::Link(Link::Reset),
    Fault::SyncSlow,
    Fault::SyncError,
    Fault::DiskFull,
];

/// The kinds that this network knows: no packet is made late there, and no connection broken off.
fn kinds(network: Network) -> Vec<Fault> {
    let known =
        |fault: &Fault| network == Network::Mesh || !matches!(fault, Fault::Link(Link::Late | Link::Reset));
    FAULTS.into_iter().filter(known).collect()
}

/// What ends a fault of a node.
enum Undo {
    Start,
    Continue,
    Heal,
    Detach(Tracer),
    /// The process may be about to end, so it is killed and started again.
    Replace(Tracer),
    Nothing,
}

/// A fault of the network between proxies.
fn spoil(mesh: &Mesh, node: usize, fault: Link) {
    match fault {
        Link::NobodyHearsIt => mesh.from(node, Rule::Cut),
        Link::HearsNobody => mesh.to(node, Rule::Cut),
        Link::Frozen => mesh.around(node, Rule::Frozen),
        Link::Late => mesh.around(node, Rule::delay(Duration::from_millis(300))),
        Link::Narrow => mesh.around(node, Rule::rate(16 * 1024)),
        Link::Reset => mesh.reset(node),
    }
}

/// A fault of the network between namespaces.
fn lose(net: &Net, node: usize, fault: Link) {
    let lost = match fault {
        Link::NobodyHearsIt => net.lose_from(node),
        Link::HearsNobody => net.lose_to(node),
        Link::Frozen => net.lose_from(node).and_then(|()| net.lose_to(node)),
        Link::Narrow => net.narrow(node, 256),
        Link::Late | Link::Reset => unreachable!("{fault:?} is none of the kinds of this network"),
    };
    lost.expect("the tools work");
}

fn begin(cluster: &mut Cluster, node: usize, fault: Fault) -> Undo {
    let pid = cluster.pid(node).expect("every node runs between the rounds");
    let disk = |fault| permitted(Tracer::attach(pid, fault));
    match fault {
        Fault::Killed => {
            cluster.kill(node).expect("it runs");
            return Undo::Start;
        }
        Fault::Paused => {
            pause(pid).expect("it can be paused");
            return Undo::Continue;
        }
        Fault::Link(fault) => match cluster.net() {
            Ok(net) => lose(net, node, fault),
            Err(_) => spoil(cluster.mesh().expect("one of both"), node, fault),
        },
        Fault::SyncSlow => {
            let delay = DiskFault::SyncDelay(Duration::from_millis(100));
            return disk(delay).map_or(Undo::Nothing, Undo::Detach);
        }
        Fault::SyncError => return disk(DiskFault::SyncError).map_or(Undo::Nothing, Undo::Replace),
        // It pauses, and goes on by itself.
        Fault::DiskFull => return disk(DiskFault::Full).map_or(Undo::Nothing, Undo::Detach),
    }
    Undo::Heal
}

fn end(cluster: &mut Cluster, node: usize, undo: Undo) {
    match undo {
        Undo::Start => cluster.run(node).expect("a killed node starts again"),
        Undo::Continue => signal(cluster.pid(node).expect("it runs"), "CONT").expect("it goes on"),
        Undo::Heal => cluster.heal().expect("it heals"),
        Undo::Detach(tracer) => drop(tracer),
        Undo::Replace(tracer) => {
            drop(tracer);
            if cluster.runs(node) {
                cluster.kill(node).expect("it runs");
            }
            cluster.run(node).expect("it starts again");
        }
        Undo::Nothing => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_faults_lose_nothing_and_repeat_nothing() {
    mixed(Network::Mesh).await;
}

#[test]
fn mixed_faults_with_lost_packets_lose_nothing_and_repeat_nothing() {
    alone("mixed::mixed_faults_with_lost_packets_lose_nothing_and_repeat_nothing", || mixed(Network::Net));
}

/// Every kind of fault at least once, in rounds.
async fn mixed(network: Network) {
    let kinds = kinds(network);
    let (seed, long) = (setting("E2E_SEED").unwrap_or(1), setting("E2E_LONG").unwrap_or(0));
    // Small files of the log, so that a full disk is met soon.
    let settings = "[limits]\ncommand_bytes_max = \"64KiB\"\nsegment_bytes = \"256KiB\"\n";
    let options = Options { network, settings, ..Options::default() };
    let mut cluster = Cluster::start_with(options).expect("three servers start");
    let load = Load::start(&cluster, CLIENTS);
    load.progress(SOME).await;
    let (mut random, clock, mut round) = (Random(seed), Instant::now(), 0);
    while round < kinds.len() || clock.elapsed() < Duration::from_secs(60 * long) {
        // Each kind comes once in a while for certain; who suffers it, the leader in two of three
        // rounds, and what a second node suffers, is drawn.
        let leader = cluster.wait_leader(0, |_| true).expect("somebody leads");
        let drawn = [leader, random.below(3)][random.below(2)];
        let first = (drawn, kinds[round % kinds.len()]);
        let second = ((first.0 + 1 + random.below(2)) % 3, kinds[random.below(kinds.len())]);
        let both = random.below(3) == 0;
        println!(
            "{:?}: {first:?}{}",
            clock.elapsed(),
            if both { format!(" and {second:?}") } else { String::new() }
        );
        let mut undo = vec![(first.0, begin(&mut cluster, first.0, first.1))];
        if both {
            undo.push((second.0, begin(&mut cluster, second.0, second.1)));
            // Nothing is promised without a majority.
            tokio::time::sleep(Duration::from_millis(random.below(2_000) as u64)).await;
        } else {
            load.progress(SOME).await;
            if matches!(undo[0].1, Undo::Replace(_)) {
                let (status, log) = cluster.wait_end(first.0).expect("a node whose disk fails ends");
                assert!(!status.success(), "it must not call that a success: {status}");
                assert!(log.contains("the node stopped: "), "its last words:\n{log}");
                load.progress(SOME).await;
            }
        }
        for (node, undo) in undo {
            end(&mut cluster, node, undo);
        }
        for node in 0..3 {
            cluster.wait_ready(node).expect("healed, every node gets ready again");
        }
        load.progress(SOME).await;
        round += 1;
    }
    let told = load.stop().await;
    told.verify(&cluster).await;
    let (total, took) = (told.total(), clock.elapsed());
    println!("seed {seed}: {round} rounds, {total} proposals acknowledged and found, {took:?}");
}
