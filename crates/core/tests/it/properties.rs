//! Whole runs: what must hold whatever happens.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::ready::{Fact, Input, Refusal};

use crate::chance::Chance;
use crate::cluster::{Cluster, id, small_config};

#[test]
fn three_nodes_left_alone_elect_one_leader_and_commit() {
    let mut cluster = Cluster::new(3);
    cluster.tick(60);
    let leaders = cluster.leaders();
    assert_eq!(leaders.len(), 1);
    cluster.propose(leaders[0], b"a");
    cluster.settle();
    cluster.tick(5);
    for number in cluster.numbers() {
        assert_eq!(cluster.raft(number).commit_index().0, 3, "{}", cluster.raft(number).status());
    }
}

/// The safety properties of the thesis (figure 3.2) under loss, repetition and reordering of messages, cuts, crashes that
/// lose what was not durable, slow disks, slow state machines and tiny limits; then the cluster heals and must commit.
#[test]
fn nothing_is_lost_or_doubled_whatever_the_network_and_the_disks_do() {
    let mut seen = [0; 7];
    for seed in 0..RUNS {
        let cluster = run(seed);
        let nodes = || cluster.nodes.values();
        let facts = |wanted: fn(&Fact) -> bool| {
            nodes().flat_map(|node| &node.facts).filter(|fact| wanted(fact)).count()
        };
        for (count, more) in seen.iter_mut().zip([
            facts(|fact| matches!(fact, Fact::Truncated { .. })),
            facts(|fact| matches!(fact, Fact::BecameLeader(_))),
            facts(|fact| matches!(fact, Fact::SteppedDown { .. })),
            nodes().map(|node| node.reads.len()).sum(),
            nodes()
                .flat_map(|node| &node.refused)
                .filter(|(_, refusal)| *refusal == Refusal::Overloaded)
                .count(),
            cluster.fetches_served,
            nodes().map(|node| node.transfers.len()).sum(),
        ]) {
            *count += more;
        }
    }
    // A storm in which nothing rare happens proves little.
    assert!(
        seen.iter().all(|count| *count > 100),
        "truncated, led, stepped down, read, overloaded, fetched, transferred: {seen:?}"
    );
}

/// The same seed gives the same run, to the last byte of every node's state.
#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..3 {
        let states = |cluster: &Cluster| -> Vec<_> {
            let state = |number: &u64| {
                let mut bytes = bytes::BytesMut::new();
                cluster.raft(*number).encode_state(&mut bytes);
                bytes
            };
            cluster.numbers().iter().map(state).collect()
        };
        assert_eq!(states(&run(seed)), states(&run(seed)));
    }
}

/// One run: a storm, then calm.
fn run(seed: u64) -> Cluster {
    let mut chance = Chance::new(seed);
    let count = [1, 2, 3, 3, 3, 4, 5, 5][chance.below(8)];
    let bootstrap = vec![Entry::bootstrap(Membership::of_voters((1..=count).map(id)))];
    let mut cluster = Cluster::of_logs(
        (1..=count).map(|node| (random_config(node, &mut chance), HardState::default(), bootstrap.clone())),
    );
    cluster.slow_disks = cluster.numbers().into_iter().filter(|_| chance.below(2) == 0).map(id).collect();
    cluster.slow_appliers = cluster.numbers().into_iter().filter(|_| chance.below(2) == 0).map(id).collect();
    let storm = Storm {
        loss: chance.below(30),
        repetition: chance.below(20),
        reordering: chance.below(50),
        crash: chance.below(3) * chance.below(4),
        cut: chance.below(2) * chance.below(6),
    };
    for step in 0..STEPS {
        one_event(&mut cluster, &storm, &mut chance);
        if step % 64 == 0 {
            cluster.check_logs_match();
        }
    }
    calm(&mut cluster, seed);
    cluster
}

/// Limits so small that every window fills and entries are read back from the log.
fn random_config(node: u64, chance: &mut Chance) -> Config {
    Config {
        seed: chance.bits(),
        append_bytes_max: [1, 200, 100_000][chance.below(3)],
        inflight_appends_max: [1, 2, 100][chance.below(3)],
        inflight_bytes_max: [1, 500, 100_000][chance.below(3)],
        window_bytes_max: [1, 500, 100_000][chance.below(3)],
        uncommitted_bytes_max: [300, 100_000][chance.below(2)],
        reads_len_max: 5,
        ..small_config(node)
    }
}

/// How likely each trouble is, in percent of messages or of events.
struct Storm {
    loss: usize,
    repetition: usize,
    reordering: usize,
    crash: usize,
    cut: usize,
}

fn one_event(cluster: &mut Cluster, storm: &Storm, chance: &mut Chance) {
    let numbers = cluster.numbers();
    let number = numbers[chance.below(numbers.len())];
    let other = numbers[chance.below(numbers.len())];
    match chance.below(100) {
        0..55 => deliver_some(cluster, storm, chance),
        55..74 => cluster.step(number, Input::Tick { elapsed: 1, wall_ms: chance.bits() % 1_000 }),
        75..82 => {
            let inputs = (0..1 + chance.below(4)).map(|_| Input::Propose {
                ticket: 0,
                command: Bytes::from(vec![7; chance.below(100)]),
                timestamp_ms: chance.bits() % 1_000,
            });
            let inputs = inputs.collect();
            cluster.turn(number, inputs);
        }
        82..84 => {
            let ticket = chance.bits();
            cluster.step(number, Input::ReadIndex { ticket });
        }
        84..92 => cluster.persist(number, 1 + chance.below(3)),
        92..96 => {
            cluster.apply(number);
            cluster.serve_fetches(number);
        }
        96 => cluster.step(number, Input::Dropped { peer: id(other) }),
        74 => {
            let to = (chance.below(2) == 0).then(|| id(other));
            cluster.step(number, Input::Transfer { ticket: 0, to });
        }
        97 => cluster.step(number, Input::Campaign),
        98 => crash_or_restart(cluster, storm, number, chance),
        _ => {
            if chance.below(100) < storm.cut * 5 {
                cluster.cuts.insert((id(number), id(other)));
            } else if chance.below(3) == 0 {
                cluster.heal();
            }
        }
    }
    while cluster.network.len() > 300 {
        let victim = chance.below(cluster.network.len());
        cluster.network.remove(victim);
    }
}

fn deliver_some(cluster: &mut Cluster, storm: &Storm, chance: &mut Chance) {
    let len = cluster.network.len();
    if len == 0 {
        return;
    }
    let place = if chance.below(100) < storm.reordering { chance.below(len) } else { 0 };
    let envelope = cluster.network.remove(place).expect("the place is there");
    if chance.below(100) < storm.repetition {
        cluster.network.push_back(envelope.clone());
    }
    if chance.below(100) >= storm.loss {
        cluster.deliver(envelope);
    }
}

/// A crash keeps the writes up to some point, although nobody was told that they are durable.
fn crash_or_restart(cluster: &mut Cluster, storm: &Storm, number: u64, chance: &mut Chance) {
    if !cluster.node(number).up {
        cluster.restart(number);
    } else if chance.below(100) < storm.crash * 15 {
        let node = cluster.nodes.get_mut(&id(number)).expect("the node exists");
        for _ in 0..chance.below(node.writes.len() + 1) {
            let write = node.writes.pop_front().expect("there are as many");
            node.disk.write(&write);
        }
        cluster.crash(number);
    }
}

/// All faults end. Within a bounded time one node leads and everybody has what it committed.
fn calm(cluster: &mut Cluster, seed: u64) {
    cluster.heal();
    cluster.slow_disks = BTreeSet::new();
    cluster.slow_appliers = BTreeSet::new();
    for number in cluster.numbers() {
        if !cluster.node(number).up {
            cluster.restart(number);
        }
        cluster.persist(number, usize::MAX);
        cluster.apply(number);
        cluster.serve_fetches(number);
    }
    cluster.settle();
    cluster.tick(200);
    let leaders = cluster.leaders();
    assert_eq!(leaders.len(), 1, "seed {seed}: one node leads after the storm");
    cluster.propose(leaders[0], b"after the storm");
    cluster.tick(400);
    let last = cluster.raft(leaders[0]).last();
    for number in cluster.numbers() {
        let status = cluster.raft(number).status();
        assert_eq!(
            (status.last, status.commit, status.applied),
            (last, last.index, last.index),
            "seed {seed}: {status}"
        );
    }
    cluster.check_logs_match();
}

const RUNS: u64 = 120;
const STEPS: u64 = 1_500;
