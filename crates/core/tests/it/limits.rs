//! Every bound of the protocol, and what happens when it is reached.

use bytes::Bytes;
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::message::Message;
use quorate_core::ready::{Input, Refusal};
use quorate_core::status::Role;
use quorate_core::types::Index;

use crate::cluster::{Cluster, entries_of, id, small_config};

/// Three nodes with these limits; n1 leads.
fn cluster_with(change: impl Fn(&mut Config)) -> Cluster {
    let bootstrap = vec![Entry::bootstrap(Membership::of_voters((1..=3).map(id)))];
    let mut cluster = Cluster::of_logs((1..=3).map(|number| {
        let mut config = small_config(number);
        change(&mut config);
        (config, HardState::default(), bootstrap.clone())
    }));
    cluster.elect(1);
    cluster
}

fn propose(cluster: &mut Cluster, ticket: u64, bytes: usize) {
    cluster.step(1, Input::Propose { ticket, command: Bytes::from(vec![0; bytes]), timestamp_ms: 0 });
}

#[test]
fn a_command_above_command_bytes_max_is_refused() {
    let mut cluster = cluster_with(|config| config.command_bytes_max = 100);
    propose(&mut cluster, 1, 100);
    propose(&mut cluster, 2, 101);
    assert_eq!(cluster.node(1).accepted.len(), 1);
    assert_eq!(cluster.node(1).refused, [(2, Refusal::TooLarge)]);
}

#[test]
fn proposals_above_uncommitted_bytes_max_are_refused_until_some_commit() {
    let mut cluster = cluster_with(|config| config.uncommitted_bytes_max = 1_000);
    cluster.cut(1);
    propose(&mut cluster, 0, 5_000);
    assert_eq!(cluster.node(1).accepted.len(), 1, "one command is always taken");
    propose(&mut cluster, 1, 1);
    assert_eq!(cluster.node(1).refused, [(1, Refusal::Overloaded)]);
    cluster.heal();
    cluster.tick(4);
    propose(&mut cluster, 2, 1);
    assert_eq!(cluster.node(1).accepted.len(), 2);
}

#[test]
fn the_window_in_flight_is_bounded_in_messages_and_in_bytes() {
    for (appends, bytes, expected) in [(3, 100_000, 3), (100, 400, 2)] {
        let mut cluster = cluster_with(|config| {
            config.inflight_appends_max = appends;
            config.inflight_bytes_max = bytes;
        });
        cluster.cut(2);
        for ticket in 0..50 {
            propose(&mut cluster, ticket, 200);
        }
        let to_n2 = cluster.sent().into_iter().filter(|envelope| envelope.to == id(2)).count();
        assert_eq!(to_n2, expected);
        assert_eq!(cluster.raft(1).status().peers[0].inflight, expected);
        cluster.heal();
        cluster.tick(20);
        assert_eq!(cluster.raft(2).last(), cluster.raft(1).last());
    }
}

#[test]
fn a_message_holds_at_most_append_bytes_max_but_always_one_entry() {
    let mut cluster = cluster_with(|config| config.append_bytes_max = 1_000);
    let proposals = [5_000, 100, 100, 100, 100, 100, 100, 100, 100];
    let proposal =
        |bytes: usize| Input::Propose { ticket: 0, command: Bytes::from(vec![0; bytes]), timestamp_ms: 0 };
    cluster.turn(1, proposals.into_iter().map(proposal).collect());
    let lens: Vec<usize> = cluster
        .sent()
        .into_iter()
        .filter(|envelope| envelope.to == id(2))
        .map(|envelope| entries_of(&envelope).len())
        .collect();
    assert_eq!(lens, [1, 6, 2]);
}

#[test]
fn reads_above_reads_len_max_are_refused() {
    let mut cluster = cluster_with(|config| config.reads_len_max = 2);
    cluster.turn(1, (1..=3).map(|ticket| Input::ReadIndex { ticket }).collect());
    assert_eq!(cluster.node(1).refused, [(3, Refusal::Overloaded)]);
    cluster.settle();
    assert_eq!(cluster.node(1).reads.len(), 2);
    cluster.step(1, Input::ReadIndex { ticket: 4 });
    cluster.settle();
    assert_eq!(cluster.node(1).reads.len(), 3);
}

/// The window keeps what is not persisted or not applied, and lets the rest go above its limit. Two windows of committed
/// entries that nobody applies are the end, give or take a message: the leader refuses, a follower takes no more until it
/// has applied some, and meanwhile the two do not keep each other busy.
#[test]
fn the_window_in_memory_is_bounded() {
    let limit = 10_000;
    let mut cluster = cluster_with(|config| {
        config.window_bytes_max = limit;
        config.append_bytes_max = 2_000;
    });
    cluster.slow_appliers = [id(3)].into();
    for ticket in 0..100 {
        propose(&mut cluster, ticket, 1_000);
        cluster.settle();
        assert!(cluster.raft(1).status().window_bytes <= limit + 1_100);
    }
    cluster.tick(20);
    assert_eq!(cluster.raft(1).commit_index(), Index(102));
    let held = cluster.raft(3).status();
    assert!(
        held.window_bytes > limit && held.window_bytes <= 2 * limit + 2_200,
        "{} bytes",
        held.window_bytes
    );
    assert!(held.last.index < Index(102));
    cluster.slow_appliers.clear();
    cluster.apply(3);
    cluster.tick(200);
    assert_eq!(cluster.raft(3).status().applied, Index(102));

    cluster.slow_appliers = [id(1)].into();
    for ticket in 0..100 {
        propose(&mut cluster, ticket, 1_000);
        cluster.settle();
    }
    assert!(cluster.node(1).refused.iter().any(|(_, refusal)| *refusal == Refusal::Overloaded));
    assert!(cluster.raft(1).status().window_bytes <= 2 * limit + 2_200);
}

#[test]
fn a_configuration_whose_limits_do_not_fit_together_is_refused_with_what_to_do() {
    let good = small_config(1);
    assert_eq!(good.validate(), Ok(()));
    assert_eq!(Config::new(id(1)).validate(), Ok(()));
    let changes: [fn(&mut Config); 9] = [
        |config| config.heartbeat_ticks = 0,
        |config| config.election_timeout_ticks = 3,
        |config| config.election_timeout_ticks = u64::MAX,
        |config| config.append_bytes_max = 0,
        |config| config.inflight_appends_max = 0,
        |config| config.inflight_bytes_max = 0,
        |config| config.uncommitted_bytes_max = 0,
        |config| config.window_bytes_max = 0,
        |config| config.reads_len_max = 0,
    ];
    for change in changes {
        let mut config = good.clone();
        change(&mut config);
        let error = config.validate().expect_err("it does not fit");
        assert!(error.to_string().contains("must be"), "{error}");
    }
}

#[test]
fn the_next_deadline_is_the_earliest_moment_at_which_a_timer_fires() {
    let mut cluster = cluster_with(|_| {});
    assert_eq!(cluster.raft(1).next_deadline_ticks(), 2);
    cluster.step(1, Input::Tick { elapsed: 1, wall_ms: 0 });
    assert_eq!(cluster.raft(1).next_deadline_ticks(), 1);
    let waits = cluster.raft(2).next_deadline_ticks();
    cluster.step(2, Input::Tick { elapsed: waits - 1, wall_ms: 0 });
    assert_eq!(cluster.raft(2).next_deadline_ticks(), 1);
    cluster.sent();
    cluster.step(2, Input::Tick { elapsed: 1, wall_ms: 0 });
    assert!(cluster.sent().iter().any(|envelope| matches!(envelope.message, Message::PreVoteRequest { .. })));
}

/// A disk that owes a read is as silent as one that owes a write: a leader that cannot read back what it has yet to apply
/// refuses proposals, so it has no write under way by which the silence could be noticed.
#[test]
fn a_leader_whose_disk_owes_a_read_gives_way_after_four_election_timeouts() {
    let gives_way = |answers_every: Option<u64>| {
        let mut cluster = cluster_with(|_| {});
        cluster.settle();
        let timeout = cluster.node(1).config.election_timeout_ticks;
        cluster.step(1, Input::ReadingBack(true));
        for tick in 1..timeout * 4 {
            cluster.tick(1);
            if answers_every.is_some_and(|every| tick % every == 0) {
                cluster.step(1, Input::ReadingBack(false));
                cluster.step(1, Input::ReadingBack(true));
            }
            assert_eq!(cluster.raft(1).role(), Role::Leader, "not before its time: tick {tick}");
        }
        cluster.tick(1);
        cluster.raft(1).role() != Role::Leader
    };
    assert!(gives_way(None));
    assert!(!gives_way(Some(7)), "a disk that answers now and then is slow, not silent");
}
