//! Leases for reads (thesis 6.4.1): when a leader may answer without a round, and what a node has promised. Time is told to each
//! node by hand, in milliseconds.

use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::lease::LeaseConfig;
use quorate_core::membership::Change;
use quorate_core::message::{Ground, Message};
use quorate_core::ready::{Fact, Input};
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, Term};

use crate::cluster::{Cluster, id, small_config};

/// What a follower promises, and what a leader makes of it: clocks may run apart by a quarter, and a millisecond is left off.
const PROMISE_MS: u64 = 100;
const LEASE_MS: u64 = 79;
const DRIFT: u64 = 25;

fn config(node: u64, leases: bool) -> Config {
    let config = small_config(node);
    if leases { config.with_lease(PROMISE_MS * 1_000, DRIFT) } else { config }
}

/// A cluster in which these nodes have leases, at the time 0.
fn cluster_of(count: u64, with: &[u64]) -> Cluster {
    let bootstrap = vec![Entry::bootstrap(Membership::of_voters((1..=count).map(id)))];
    let mut cluster = Cluster::of_logs(
        (1..=count).map(|node| (config(node, with.contains(&node)), HardState::default(), bootstrap.clone())),
    );
    clocks(&mut cluster, 0);
    cluster
}

fn clock(cluster: &mut Cluster, number: u64, ms: u64) {
    cluster.step(number, Input::Clock { monotonic_us: ms * 1_000 });
}

fn clocks(cluster: &mut Cluster, ms: u64) {
    for number in cluster.numbers() {
        clock(cluster, number, ms);
    }
}

/// Three nodes at the time 1,000 ms, led by the first, whose no-op all have committed. The last round was sent and answered at that time.
fn led_by_one() -> Cluster {
    let mut cluster = cluster_of(3, &[1, 2, 3]);
    clocks(&mut cluster, 1_000);
    cluster.elect(1);
    cluster.tick(4);
    cluster
}

/// Whether a read at node 1 is answered in the turn in which it comes in.
fn is_leased(cluster: &mut Cluster, ms: u64) -> bool {
    clock(cluster, 1, ms);
    let before = cluster.node(1).leased.len();
    let ticket = cluster.next_ticket();
    cluster.step(1, Input::ReadIndex { ticket });
    cluster.network.clear();
    cluster.node(1).leased.len() > before
}

#[test]
fn s6_4_1_a_read_is_answered_at_once_until_the_lease_ends_and_then_by_a_round() {
    let mut cluster = led_by_one();
    assert!(is_leased(&mut cluster, 1_000));
    assert!(is_leased(&mut cluster, 1_000 + LEASE_MS - 1));
    assert!(!is_leased(&mut cluster, 1_000 + LEASE_MS));
    clocks(&mut cluster, 1_200);
    cluster.step(1, Input::ReadIndex { ticket: 1 });
    assert_eq!(cluster.network.len(), 2, "it waits for a round");
    cluster.settle();
    assert_eq!(cluster.node(1).reads.last(), Some(&(1, Index(2))));
    assert!(is_leased(&mut cluster, 1_200 + LEASE_MS - 1), "the round of a read brings a lease as well");
}

/// An answer that took its time says nothing of when the peer heard: the lease runs from the sending.
#[test]
fn s6_4_1_the_lease_is_counted_from_the_sending_of_the_round() {
    let mut cluster = led_by_one();
    clocks(&mut cluster, 2_000);
    cluster.step(1, Input::Tick { elapsed: 2, wall_ms: 0 });
    let sent = cluster.sent();
    clocks(&mut cluster, 2_050);
    cluster.network.extend(sent);
    cluster.settle();
    assert!(is_leased(&mut cluster, 2_000 + LEASE_MS - 1));
    assert!(!is_leased(&mut cluster, 2_000 + LEASE_MS));
}

/// `LeaseIgnoresDrift`: what the peer promises by its clock may end sooner by the leader's.
#[test]
fn s6_4_1_the_lease_is_shorter_than_the_promise_by_the_bound_on_drift() {
    let lease_us =
        |percent| LeaseConfig { promise_us: 0, clock_drift_max_percent: percent }.lease_us(1_000_000);
    assert_eq!(lease_us(1), 989_099);
    assert_eq!(lease_us(10), 908_090);
    assert_eq!(lease_us(100), 499_000);
    let verdict = |promise_us, percent| small_config(1).with_lease(promise_us, percent).validate().is_ok();
    assert!(verdict(100_000, 10) && verdict(100_000, 100));
    assert!(!verdict(100_000, 0), "no two clocks run alike");
    assert!(!verdict(100_000, 101));
    assert!(!verdict(1_000, 10), "nothing is left of so short a promise");
    assert!(!verdict(u64::MAX, 10));
}

/// T54, `ReadBeforeOwnCommit`: a leader does not know what is committed before an entry of its own is, however well its rounds are answered.
#[test]
fn s6_4_1_a_new_leader_reads_nothing_before_its_no_op_is_committed() {
    let mut cluster = led_by_one();
    clocks(&mut cluster, 2_000);
    cluster.slow_disks = [id(1), id(3)].into();
    cluster.step(2, Input::Campaign);
    cluster.settle();
    for node in [1, 3] {
        cluster.persist(node, 9);
    }
    cluster.settle();
    assert_eq!(cluster.raft(2).role(), Role::Leader);
    cluster.tick(4);
    assert!(cluster.raft(2).lease_left_us().is_some(), "its rounds are answered");
    cluster.step(2, Input::ReadIndex { ticket: 1 });
    cluster.settle();
    assert_eq!((cluster.node(2).leased.len(), cluster.node(2).reads.len()), (0, 0));
    cluster.slow_disks.clear();
    cluster.persist(3, 9);
    cluster.settle();
    assert_eq!(cluster.node(2).leased, [(1, cluster.raft(2).commit_index())]);
}

/// Leader stickiness by the monotonic clock (thesis 4.2.3): ticks may run as they like, and neither an operator nor the own election timer
/// makes a node break its word.
#[test]
fn s6_4_1_whoever_heard_a_leader_takes_part_in_no_election_until_its_promise_is_over() {
    for (ms, is_free) in [(1_000 + PROMISE_MS - 1, false), (1_000 + PROMISE_MS, true)] {
        let mut cluster = led_by_one();
        cluster.cut(1);
        clocks(&mut cluster, ms);
        cluster.step(2, Input::Tick { elapsed: 50, wall_ms: 0 });
        let stands = cluster.node(2).facts.contains(&Fact::PreCampaign(Term(2)));
        assert_eq!(stands, is_free, "by the election timer at {ms}");

        let mut cluster = led_by_one();
        cluster.step(2, Input::Tick { elapsed: 50, wall_ms: 0 });
        clock(&mut cluster, 2, ms);
        let last = EntryId::new(1, 2);
        let answers = cluster.ask(3, 2, 2, Message::PreVoteRequest { last });
        assert_eq!(answers[0].message, Message::PreVoteResponse { granted: is_free });
        for ground in [Ground::Silence, Ground::Operator] {
            let answers = cluster.ask(3, 2, 2, Message::VoteRequest { last, ground });
            assert_eq!(
                answers[0].message,
                Message::VoteResponse { granted: is_free, wall_ms: 0 },
                "{ground:?} at {ms}"
            );
            assert_eq!(cluster.raft(2).term() == Term(2), is_free, "a vote that is withheld raises no term");
        }

        let mut cluster = led_by_one();
        clock(&mut cluster, 2, ms);
        cluster.step(2, Input::Campaign);
        assert_eq!(cluster.raft(2).role() == Role::Candidate, is_free);
        let withheld = Fact::VoteWithheld { from: id(2), after_start: false };
        assert_eq!(cluster.node(2).facts.contains(&withheld), !is_free);
    }
}

/// A crash makes a node forget its promise, but not the leader that relies on it.
#[test]
fn s6_4_1_a_node_that_starts_votes_for_nobody_for_as_long_as_it_may_have_promised() {
    let mut cluster = led_by_one();
    cluster.crash(2);
    cluster.restart(2);
    let last = EntryId::new(1, 2);
    let ask = |cluster: &mut Cluster| {
        let answers =
            cluster.ask(3, 2, 2, Message::VoteRequest { last, ground: Ground::Leader { round: 99 } });
        answers[0].message == Message::VoteResponse { granted: true, wall_ms: 0 }
    };
    assert!(!ask(&mut cluster), "it does not even know the time");
    clock(&mut cluster, 2, 5);
    assert!(!ask(&mut cluster));
    assert!(cluster.node(2).facts.contains(&Fact::VoteWithheld { from: id(3), after_start: true }));
    clock(&mut cluster, 2, 5 + PROMISE_MS - 1);
    assert!(!ask(&mut cluster));
    clock(&mut cluster, 2, 5 + PROMISE_MS);
    assert!(ask(&mut cluster));
}

/// R36, `TransferKeepsLease`: from the moment at which somebody else is asked to lead, the lease is over; and promises of before do not bring it back.
#[test]
fn s6_4_1_a_leader_that_hands_over_has_no_lease_until_newer_rounds_are_answered() {
    let mut cluster = led_by_one();
    assert!(is_leased(&mut cluster, 1_010));
    cluster.cut(2);
    cluster.step(1, Input::Transfer { ticket: 1, to: Some(id(2)) });
    assert!(cluster.node(1).facts.contains(&Fact::LeaseGivenUp));
    assert!(!is_leased(&mut cluster, 1_010));
    // The transfer comes to nothing. Rounds went on meanwhile, each with the word behind it.
    cluster.tick(9);
    assert!(!is_leased(&mut cluster, 1_010));
    cluster.tick(1);
    assert_eq!(cluster.node(1).transfers.len(), 1);
    assert!(
        !is_leased(&mut cluster, 1_010),
        "the voters that heard the word are free of all that they promised"
    );
    cluster.heal();
    cluster.tick(2);
    assert!(is_leased(&mut cluster, 1_010 + LEASE_MS - 1));
}

/// The word of a transfer that was given up may come at any time. It frees nobody of what was promised since.
#[test]
fn s6_4_1_an_old_word_to_a_successor_frees_nobody_who_heard_the_leader_since() {
    let mut cluster = led_by_one();
    cluster.step(1, Input::Transfer { ticket: 1, to: Some(id(2)) });
    let word = cluster.sent().into_iter().find(|sent| matches!(sent.message, Message::TimeoutNow { .. }));
    let word = word.expect("the peer has caught up");
    let Message::TimeoutNow { round } = word.message else { panic!("it is the word") };
    cluster.cuts.insert((id(1), id(2)));
    cluster.tick(12);
    assert!(is_leased(&mut cluster, 1_010), "node 3 has answered newer rounds");
    // Node 2 has heard none of them, and stands for election. Node 3 has.
    cluster.network.clear();
    cluster.cuts = [(id(2), id(1))].into();
    cluster.deliver(word);
    assert_eq!(cluster.raft(2).role(), Role::Candidate, "it was asked, and knows of nothing newer");
    cluster.settle();
    assert_eq!(cluster.leaders(), [1]);
    let last = EntryId::new(1, 2);
    let ground = Ground::Leader { round };
    let answers = cluster.ask(2, 3, cluster.raft(3).term().0 + 1, Message::VoteRequest { last, ground });
    assert_eq!(answers[0].message, Message::VoteResponse { granted: false, wall_ms: 0 });
}

/// A node without leases keeps no promise, so it gives none: its answers make no lease, whatever its leader believes in.
#[test]
fn s6_4_1_only_answers_that_promise_something_count() {
    for (with, holds) in [(&[1, 2][..], true), (&[1][..], false), (&[2, 3][..], false)] {
        let mut cluster = cluster_of(3, with);
        clocks(&mut cluster, 1_000);
        cluster.elect(1);
        cluster.tick(4);
        assert_eq!(is_leased(&mut cluster, 1_000), holds, "leases at {with:?}");
    }
}

/// Of a joint membership both sets must have promised (thesis 4.3).
#[test]
fn s6_4_1_in_a_joint_membership_both_sets_must_have_promised() {
    let mut cluster = led_by_one();
    cluster.cut(3);
    clocks(&mut cluster, 2_000);
    // Node 1 and 2 remain the quorum of three, and with node 4, which is not there, also of four.
    let add = Change::Add { node: Some(id(4)), address: "n4:1".into(), voter: true, replaces: None };
    cluster.step(1, Input::Change { ticket: 1, change: add });
    cluster.tick(4);
    assert!(is_leased(&mut cluster, 2_000), "a learner does not count");
    let mut cluster = led_by_one();
    clocks(&mut cluster, 2_000);
    cluster.step(1, Input::Change { ticket: 1, change: Change::Remove { node: id(3) } });
    assert!(cluster.raft(1).membership().is_joint());
    cluster.network.clear();
    cluster.cut(2);
    cluster.tick(4);
    assert!(cluster.raft(1).membership().is_joint());
    assert!(
        !is_leased(&mut cluster, 2_000),
        "nodes 1 and 3 are a quorum of the old set, node 1 alone is none of the new"
    );
}

#[test]
fn s6_4_1_a_single_voter_needs_nobodys_promise() {
    let mut cluster = cluster_of(1, &[1]);
    clocks(&mut cluster, 1_000);
    cluster.elect(1);
    assert!(is_leased(&mut cluster, 99_000));
}

/// What a leader notes of its rounds is bounded, and what it does not note costs it no lease.
#[test]
fn s6_4_1_two_thousand_rounds_in_a_lease_are_few_notes() {
    let mut cluster = led_by_one();
    for step in 0..2_000 {
        clocks(&mut cluster, 3_000 + step / 20);
        cluster.tick(2);
    }
    // The assertions bound the notes. An answer to the newest round still counts.
    clocks(&mut cluster, 3_100);
    cluster.tick(2);
    assert!(is_leased(&mut cluster, 3_100 + LEASE_MS / 2));
}
