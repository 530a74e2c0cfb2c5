//! Who should lead: a leader that serves badly although it is heard gives way, and so does one of lower priority; who gave way does not
//! come back at once. Sections of the thesis: 6.2 and 3.10.

use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::membership::Change;
use quorate_core::message::Message;
use quorate_core::ready::{Fact, Input};
use quorate_core::status::Role;
use quorate_core::types::{Index, Term};

use crate::cluster::{Cluster, id, small_config};

/// Node 1 leads a cluster of three, and all have all. Election timeouts are of 10 ticks.
fn led_by_one() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.tick(4);
    cluster
}

/// Three nodes of these priorities.
fn of_priorities(priorities: [u8; 3]) -> Cluster {
    let bootstrap = vec![Entry::bootstrap(Membership::of_voters((1..=3).map(id)))];
    Cluster::of_logs((1..).zip(priorities).map(|(node, priority)| {
        let config = quorate_core::config::Config { priority, ..small_config(node) };
        (config, HardState::default(), bootstrap.clone())
    }))
}

/// Lets ticks pass under load, in which the disks named take `write_ticks` for a write.
fn load(cluster: &mut Cluster, ticks: u64, slow: &[u64], write_ticks: u64) {
    cluster.slow_disks = slow.iter().map(|node| id(*node)).collect();
    for tick in 0..ticks {
        if let Some(leader) = cluster.leaders().first().copied() {
            cluster.propose(leader, b"x");
        }
        cluster.settle();
        cluster.tick(1);
        if tick % write_ticks == write_ticks - 1 {
            for node in slow {
                cluster.persist(*node, usize::MAX);
            }
        }
    }
    slow.iter().for_each(|node| cluster.persist(*node, usize::MAX));
    cluster.slow_disks.clear();
    cluster.settle();
}

fn gave_way(cluster: &Cluster, number: u64) -> Vec<&'static str> {
    let reason = |fact: &Fact| if let Fact::GivesWay { reason, .. } = fact { Some(*reason) } else { None };
    cluster.node(number).facts.iter().filter_map(reason).collect()
}

fn stepped_down(cluster: &Cluster, number: u64) -> Vec<&'static str> {
    let reason = |fact: &Fact| if let Fact::SteppedDown { reason, .. } = fact { Some(*reason) } else { None };
    cluster.node(number).facts.iter().filter_map(reason).collect()
}

/// T82: the disk works, but far slower than the others'. Everybody commits without it, and its callers wait for it alone.
#[test]
fn s6_2_a_leader_whose_disk_is_slower_than_the_others_hands_over_and_does_not_come_back() {
    let mut cluster = led_by_one();
    load(&mut cluster, 60, &[1], 5);
    let leaders = cluster.leaders();
    assert!(leaders == [2] || leaders == [3], "another leads: {leaders:?}");
    assert_eq!(gave_way(&cluster, 1), ["the own disk is slower than the others'"]);
    assert_eq!(stepped_down(&cluster, 1), gave_way(&cluster, 1), "the reason is told once more at the end");
    let term = cluster.raft(1).term();
    load(&mut cluster, 300, &[1], 5);
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (leaders, term), "and it stays so");
}

/// A seed of the simulator found it: in one turn a leader learns that its removal is committed, and finds in a tick with a heartbeat that
/// its disk is slow. It gives way to a successor that holds all, so it leads no more when it comes to the heartbeat.
#[test]
fn s4_2_2_a_leader_that_is_removed_gives_way_and_beats_no_more() {
    let mut cluster = led_by_one();
    cluster.slow_disks = [id(1)].into();
    for _ in 0..14 {
        cluster.propose(1, b"x");
        cluster.settle();
        cluster.tick(1);
    }
    cluster.step(1, Input::Change { ticket: 5, change: Change::Remove { node: id(1) } });
    while cluster.raft(1).membership().is_joint() || cluster.raft(1).membership().is_voter(id(1)) {
        assert!(cluster.deliver_one(), "the change goes on as long as messages do");
    }
    let mut late = Vec::new();
    loop {
        let (of_three, rest): (Vec<_>, Vec<_>) =
            cluster.sent().into_iter().partition(|envelope| envelope.from == id(3));
        late.extend(of_three.into_iter().map(Input::Received));
        if rest.is_empty() {
            break;
        }
        rest.into_iter().for_each(|envelope| cluster.deliver(envelope));
    }
    let removal = cluster.raft(1).last().index;
    assert!(removal > cluster.raft(1).commit_index(), "its removal is not committed");
    late.push(Input::Tick { elapsed: 8, wall_ms: 0 });
    cluster.turn(1, late);
    assert_eq!(cluster.raft(1).commit_index(), removal);
    assert_eq!(gave_way(&cluster, 1), ["the own disk is slower than the others'"]);
    assert_eq!(cluster.raft(1).role(), Role::Follower);
}

/// Moving the leadership would make nothing better.
#[test]
fn s6_2_where_all_disks_are_slow_nobody_moves() {
    let mut cluster = led_by_one();
    load(&mut cluster, 400, &[1, 2, 3], 5);
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (vec![1], Term(1)));
    assert!(gave_way(&cluster, 1).is_empty());
}

/// T93: what lasts a moment accuses nobody.
#[test]
fn s6_2_a_disk_that_is_slow_now_and_then_is_no_reason() {
    let mut cluster = led_by_one();
    for _ in 0..20 {
        load(&mut cluster, 15, &[1], 15);
        load(&mut cluster, 20, &[], 1);
    }
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (vec![1], Term(1)));
}

/// T90: entries of node 1 are lost, heartbeats and questions pass. A failure detector that knows heartbeats only never acts.
#[test]
fn s6_2_a_leader_whose_entries_do_not_arrive_steps_down_and_lets_others_stand() {
    let mut cluster = led_by_one();
    let lose = |cluster: &mut Cluster, ticks: u64| {
        for _ in 0..ticks {
            for number in 1..=3 {
                cluster.step(number, Input::Tick { elapsed: 1, wall_ms: 0 });
            }
            while !cluster.network.is_empty() {
                let large = |message: &Message| matches!(message, Message::AppendRequest { entries, .. } if !entries.is_empty());
                cluster.network.retain(|sent| sent.from != id(1) || !large(&sent.message));
                cluster.deliver_one();
            }
        }
    };
    cluster.propose(1, b"lost");
    lose(&mut cluster, 39);
    assert_eq!(cluster.leaders(), [1]);
    lose(&mut cluster, 5);
    assert_eq!(stepped_down(&cluster, 1), ["entries do not arrive although heartbeats do"]);
    lose(&mut cluster, 60);
    let leaders = cluster.leaders();
    assert!(leaders == [2] || leaders == [3], "{leaders:?}");
    cluster.propose(leaders[0], b"passes");
    lose(&mut cluster, 4);
    assert_eq!(cluster.raft(leaders[0]).commit_index(), cluster.raft(leaders[0]).last().index);
    // That one is lost, but node 1 waits longer than the others.
    cluster.cut(leaders[0]);
    lose(&mut cluster, 24);
    assert!(cluster.leaders().iter().all(|leader| *leader != 1), "{:?}", cluster.leaders());
}

/// Disks that stand keep entries from being acknowledged too, and another leader could not write there either.
#[test]
fn s6_2_a_leader_does_not_answer_for_the_disks_of_the_others() {
    let mut cluster = led_by_one();
    cluster.slow_disks = [id(2), id(3)].into();
    cluster.propose(1, b"waits");
    cluster.tick(200);
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (vec![1], Term(1)));
}

/// The leadership moves once, to the node that is meant to lead, when the cluster has come to rest.
#[test]
fn s3_10_the_leadership_moves_to_the_fit_voter_of_the_highest_priority() {
    let mut cluster = of_priorities([10, 20, 30]);
    cluster.elect(1);
    cluster.tick(38);
    assert_eq!(cluster.leaders(), [1], "a leader is not deposed before the cluster is at rest");
    cluster.tick(4);
    assert_eq!(cluster.leaders(), [3]);
    assert_eq!(gave_way(&cluster, 1), ["a node of higher priority is fit to lead"]);
    cluster.tick(200);
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (vec![3], Term(2)));
    // It is gone, and the others do without it; when it comes back it leads again.
    cluster.crash(3);
    cluster.tick(200);
    assert_eq!(cluster.leaders(), [2]);
    cluster.restart(3);
    cluster.tick(60);
    assert_eq!(cluster.leaders(), [3]);
}

/// Neither a voter that lacks entries nor one whose disk is slow leads because of its priority.
#[test]
fn s3_10_priority_alone_makes_nobody_fit() {
    let mut cluster = of_priorities([50, 50, 100]);
    cluster.elect(1);
    load(&mut cluster, 300, &[3], 8);
    assert_eq!((cluster.leaders(), cluster.raft(1).term()), (vec![1], Term(1)));
    cluster.tick(60);
    assert_eq!(cluster.leaders(), [3], "its disk has rested");
}

/// While members change the leadership stays where it is: the leader has something to complete (thesis 4.3).
#[test]
fn s3_10_the_leadership_does_not_move_while_members_change() {
    let mut cluster = of_priorities([50, 50, 100]);
    cluster.elect(1);
    cluster.tick(4);
    cluster.slow_disks = [id(1), id(2), id(3)].into();
    let change = quorate_core::membership::Change::Remove { node: id(2) };
    cluster.step(1, Input::Change { ticket: 1, change });
    cluster.tick(100);
    assert!(gave_way(&cluster, 1).is_empty(), "the change is not complete");
    cluster.slow_disks.clear();
    (1..=3).for_each(|node| cluster.persist(node, usize::MAX));
    cluster.tick(60);
    assert_eq!(cluster.leaders(), [3]);
}

/// T19 (NuRaft #436): a node of priority 0 stands back as long as anybody else can lead.
#[test]
fn s3_4_a_node_of_priority_zero_is_not_elected_while_another_can_be() {
    let mut cluster = of_priorities([100, 0, 100]);
    cluster.elect(1);
    cluster.tick(4);
    for round in 0..10 {
        let leader = cluster.leaders()[0];
        assert_ne!(leader, 2, "round {round}");
        cluster.crash(leader);
        cluster.tick(60);
        assert_eq!(cluster.leaders(), [if leader == 1 { 3 } else { 1 }], "round {round}");
        cluster.restart(leader);
        cluster.tick(10);
    }
}

/// The log of a node of priority 0 may be the only one with what was committed. Then it leads until another holds the same, since a
/// priority must not cost availability; and it does not wait for the cluster to come to rest.
#[test]
fn s3_6_1_a_node_of_priority_zero_leads_when_nobody_else_can_and_hands_over_at_once() {
    let mut cluster = of_priorities([100, 0, 100]);
    cluster.elect(1);
    cluster.tick(4);
    cluster.cuts = [(id(1), id(3)), (id(3), id(1))].into();
    cluster.propose(1, b"only 1 and 2 hold it");
    cluster.settle();
    cluster.crash(1);
    cluster.tick(150);
    assert_eq!(cluster.leaders(), [3]);
    assert!(gave_way(&cluster, 2).contains(&"a node of higher priority is fit to lead"));
    assert!(cluster.raft(3).commit_index() >= Index(3), "and nothing was lost");
}

/// Nobody else could.
#[test]
fn s3_4_the_only_voter_leads_whatever_its_priority() {
    let bootstrap = vec![Entry::bootstrap(Membership::of_voters([id(1)]))];
    let config = quorate_core::config::Config { priority: 0, ..small_config(1) };
    let mut cluster = Cluster::of_logs([(config, HardState::default(), bootstrap)]);
    cluster.tick(40);
    assert_eq!(cluster.leaders(), [1]);
}

/// A leader whose disk fails it again and again, each time after it was well for a while, comes back more and more rarely.
#[test]
fn s6_2_who_gives_way_again_soon_rests_longer() {
    let mut cluster = of_priorities([100, 50, 50]);
    cluster.elect(1);
    cluster.tick(4);
    let mut rests = Vec::new();
    for _ in 0..4 {
        load(&mut cluster, 60, &[1], 5);
        assert_ne!(cluster.leaders(), [1]);
        let mut ticks = 0;
        while cluster.leaders() != [1] {
            cluster.tick(1);
            ticks += 1;
            assert!(ticks < 2_000, "it comes back in the end");
        }
        rests.push(ticks);
    }
    assert!(rests.windows(2).all(|pair| pair[0] < pair[1]), "{rests:?}");
}
