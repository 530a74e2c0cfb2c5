//! Three replicas under loss, repetition, cuts and crashes: each call answered once, each command applied at most once,
//! reads and proposals in real-time order. What is checked stands in the harness.

use quorate_core::types::NodeId;
use quorate_replica::input::{Input, Ticket};
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::session::SessionLimits;

use crate::harness::{Cluster, Faults};

/// Runs these seeds; afterwards each of `met` must have happened, or the test has proven nothing about it.
fn check(seeds: std::ops::Range<u64>, faults: &Faults, load_percent: u64, met: &[&'static str]) {
    let mut counts = std::collections::BTreeMap::new();
    for seed in seeds {
        let mut cluster = Cluster::new(seed, faults.clone());
        cluster.run(2_000, load_percent);
        cluster.settle();
        for (what, count) in cluster.clients.counts {
            *counts.entry(what).or_insert(0) += count;
        }
    }
    for what in met {
        assert!(counts.contains_key(what), "{what} never happened: {counts:?}");
    }
}

#[test]
fn without_faults_everything_is_answered() {
    let mut cluster = Cluster::new(1, Faults::none());
    cluster.run(500, 0);
    cluster.run(2_000, 100);
    cluster.settle();
    let counts = &cluster.clients.counts;
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["proposals answered", "reads served"]);
    assert!(counts["proposals answered"] >= 2_000);
}

/// R32, R67: lost messages are sent again, repeated ones change nothing.
#[test]
fn loss_and_repetition_neither_lose_nor_double_a_proposal() {
    let faults = Faults { loss_percent: 10, repeat_percent: 20, delay_ms_max: 10, ..Faults::none() };
    check(0..6, &faults, 80, &["proposals answered", "reads served"]);
}

/// R40, R41, T49: cuts depose leaders while proposals and reads are under way.
#[test]
fn a_change_of_leader_neither_loses_nor_doubles_a_proposal_nor_serves_an_old_read() {
    let faults = Faults {
        loss_percent: 2,
        repeat_percent: 5,
        delay_ms_max: 10,
        disk_ms_max: 5,
        apply_ms_max: 5,
        cut_permille: 4,
        ..Faults::none()
    };
    check(100..110, &faults, 80, &["proposals answered", "reads served"]);
}

/// R42, R65, R69, T55: nodes die and come back with their disks; their appliers start from nothing.
#[test]
fn a_restart_neither_loses_nor_doubles_a_proposal_nor_serves_an_old_read() {
    let faults = Faults {
        loss_percent: 2,
        repeat_percent: 10,
        delay_ms_max: 10,
        disk_ms_max: 10,
        apply_ms_max: 10,
        cut_permille: 1,
        crash_permille: 4,
        ..Faults::none()
    };
    check(200..210, &faults, 80, &["proposals answered", "reads served", "asked again"]);
}

#[test]
fn full_queues_refuse_and_everything_else_is_answered() {
    let faults = Faults {
        loss_percent: 5,
        repeat_percent: 5,
        delay_ms_max: 20,
        disk_ms_max: 30,
        apply_ms_max: 40,
        cut_permille: 2,
        crash_permille: 2,
        small: true,
        ..Faults::none()
    };
    let met = ["proposals answered", "reads served", "overloaded", "entries read back"];
    check(300..308, &faults, 100, &met);
}

#[test]
fn proposals_that_run_out_of_time_say_what_they_know() {
    let faults = Faults {
        loss_percent: 20,
        delay_ms_max: 30,
        cut_permille: 8,
        crash_permille: 2,
        proposal_timeout_ticks: 100,
        ..Faults::none()
    };
    check(400..406, &faults, 80, &["proposals answered", "timed out", "no leader", "reads refused"]);
}

/// Repeated openings and small tables push sessions out all the time: refused, never applied twice.
#[test]
fn forgotten_sessions_never_double_a_proposal() {
    let limits = SessionLimits { sessions_len_max: 2, ..SessionLimits::default() };
    let faults = Faults { delay_ms_max: 3, limits, ..Faults::none() };
    check(500..503, &faults, 60, &["proposals answered", "session unknown"]);
}

/// The node's own session was pushed out: one proposal has an unknown outcome, the next gets its id from a fresh session.
#[test]
fn a_forgotten_session_is_replaced() {
    let limits = SessionLimits { sessions_len_max: 4, ..SessionLimits::default() };
    for at_leader in [true, false] {
        let mut cluster = Cluster::new(3, Faults { limits: limits.clone(), ..Faults::none() });
        cluster.run(500, 0);
        let leader = cluster.leader_at();
        let at = if at_leader { leader } else { (leader + 1) % 3 };
        cluster.clients.propose(&mut cluster.nodes[at], false);
        cluster.run(100, 0);
        for session in 1..=4 {
            cluster.nodes[leader].inputs.push(open_session(session));
        }
        cluster.run(100, 0);
        assert_eq!(cluster.clients.counted("proposals answered"), 1);
        cluster.clients.propose(&mut cluster.nodes[at], false);
        cluster.run(100, 0);
        assert_eq!(cluster.clients.counted("session unknown"), 1);
        cluster.clients.propose(&mut cluster.nodes[at], false);
        cluster.run(100, 0);
        assert_eq!(cluster.clients.counted("proposals answered"), 2, "leader: {at_leader}");
    }
}

/// Opens a session for nobody in particular: a peer's proposal, whose answer goes to a peer that does not wait for it.
fn open_session(session: u128) -> Input {
    let command = CommandEnvelope {
        kind: CommandKind::OpenSession,
        request_id: Some(RequestId::Session { session, sequence: 0, acknowledged: 0 }),
        ..CommandEnvelope::default()
    };
    let ticket = Ticket(u64::try_from(session).unwrap());
    let proposals = vec![(ticket, command.encode().unwrap(), false)];
    Input::Received { from: NodeId::new(1), message: PeerMessage::Forward { proposals } }
}

/// R32: the message to the leader is lost, then its answer: each time the proposal is sent again after a while.
#[test]
fn a_lost_forward_or_answer_is_made_good_by_sending_again() {
    for lose in [
        (|message| matches!(message, PeerMessage::Forward { .. })) as fn(&PeerMessage) -> bool,
        |message| matches!(message, PeerMessage::ForwardReply { .. }),
        |message| matches!(message, PeerMessage::ForwardRead { .. }),
        |message| matches!(message, PeerMessage::ForwardReadReply { .. }),
    ] {
        let mut cluster = Cluster::new(4, Faults::none());
        cluster.run(500, 0);
        let follower = (cluster.leader_at() + 1) % 3;
        // The first one opens the session, so that the loss meets a proposal alone.
        cluster.clients.propose(&mut cluster.nodes[follower], false);
        cluster.run(50, 0);
        cluster.faults.lose = lose;
        cluster.clients.propose(&mut cluster.nodes[follower], false);
        cluster.clients.read(&mut cluster.nodes[follower]);
        cluster.run(100, 0);
        let answered = |cluster: &Cluster| {
            cluster.clients.counted("proposals answered") + cluster.clients.counted("reads served")
        };
        assert_eq!(answered(&cluster), 2, "one of both was lost");
        cluster.faults.lose = |_| false;
        cluster.run(200, 0);
        assert_eq!(answered(&cluster), 3, "both are answered long before their time is over");
        cluster.settle();
    }
}

/// R67, T49: entries of a deposed leader are replaced; those who waited for them get their answer from the next leader,
/// under the same request id, and no call runs out of time.
#[test]
fn proposals_whose_entries_were_replaced_are_made_again() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(seed, Faults { proposal_timeout_ticks: 5_000, ..Faults::none() });
        cluster.run(500, 0);
        let old = cluster.leader_at();
        for _ in 0..10 {
            cluster.clients.propose(&mut cluster.nodes[old], false);
        }
        cluster.run(50, 0);
        assert_eq!(cluster.clients.counted("proposals answered"), 10);
        // The old leader appends ten more that reach nobody; a follower's proposals go to it and to its successor.
        cluster.cut = Some((cluster.nodes[old].id, cluster.now_ms + 600));
        for _ in 0..10 {
            cluster.clients.propose(&mut cluster.nodes[old], false);
            cluster.clients.read(&mut cluster.nodes[old]);
            cluster.clients.propose(&mut cluster.nodes[(old + 1) % 3], false);
        }
        cluster.run(590, 0);
        assert_eq!(cluster.clients.counted("proposals answered"), 20, "the majority serves");
        assert_eq!(cluster.clients.counted("reads served"), 0, "who is cut off serves no read (R35)");
        cluster.run(400, 0);
        assert_eq!(cluster.clients.counted("proposals answered"), 30, "all are answered, seed {seed}");
        assert_eq!(cluster.clients.counted("reads served"), 10);
        let retried: u64 =
            cluster.nodes.iter().map(|node| node.replica.status().metrics.proposals_retried).sum();
        assert!(retried >= 10, "the replaced ones were made again");
        cluster.settle();
    }
}

/// A leader that dies takes its peers' proposals with it: they go to the next leader at once, not after a timeout.
#[test]
fn forwarded_proposals_follow_the_leadership() {
    let mut cluster = Cluster::new(9, Faults { proposal_timeout_ticks: 5_000, ..Faults::none() });
    cluster.run(500, 0);
    let old = cluster.leader_at();
    let follower = (old + 1) % 3;
    cluster.clients.propose(&mut cluster.nodes[follower], false);
    cluster.run(50, 0);
    cluster.crash(old, 3_000);
    for _ in 0..10 {
        cluster.clients.propose(&mut cluster.nodes[follower], false);
        cluster.clients.read(&mut cluster.nodes[follower]);
    }
    cluster.run(800, 0);
    assert_eq!(cluster.clients.counted("proposals answered"), 11);
    assert_eq!(cluster.clients.counted("reads served"), 10);
    cluster.settle();
}
