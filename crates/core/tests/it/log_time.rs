//! The time that entries carry: the leader's wall clock, held close to what a quorum's clocks show. The stories stand in the golden scripts.

use bytes::Bytes;
use quorate_core::message::Message;
use quorate_core::ready::{Fact, Input};

use crate::cluster::{Cluster, heartbeat_answer, id};

/// A bound that no test depends on otherwise.
const BOUND_MS: u64 = 1_000;
/// The leader's clock before anything is wrong with it.
const NOON_MS: u64 = 1_790_000_000_000;
const YEAR_MS: u64 = 365 * 24 * 3_600_000;

/// Node 1 leads `count` nodes, and its own clock shows noon.
fn led(count: u64) -> Cluster {
    let mut cluster = Cluster::new(count);
    cluster.elect(1);
    cluster.settle();
    cluster.step(1, Input::Tick { elapsed: 1, wall_ms: NOON_MS });
    cluster
}

/// A peer answers `round` while its clock shows `wall_ms`.
fn show(cluster: &mut Cluster, peer: u64, round: u64, wall_ms: u64) {
    cluster.ask(peer, 1, 1, heartbeat_answer(round, wall_ms));
}

/// The time of an entry that the leader makes while its clock shows `own_ms`.
fn time_of_entry(cluster: &mut Cluster, own_ms: u64) -> u64 {
    cluster.step(1, Input::Propose { ticket: 1, command: Bytes::from_static(b"x"), timestamp_ms: own_ms });
    cluster.node(1).written.entries.last().expect("a leader has a no-op").timestamp_ms
}

/// What an entry's time is, as the difference from noon, when the peers have shown these differences from it and the leader's own
/// clock this one.
fn check(shown: &[i64], own: i64, expected: Option<i64>) {
    let at = |by_ms: i64| NOON_MS.saturating_add_signed(by_ms);
    let count = shown.len() as u64 + 1;
    let mut cluster = led(count);
    let before = cluster.node(1).written.entries.last().expect("a leader has a no-op").timestamp_ms;
    cluster.step(1, Input::Tick { elapsed: 1, wall_ms: at(own) });
    let round = 0;
    for (peer, by_ms) in (2..).zip(shown) {
        show(&mut cluster, peer, round, at(*by_ms));
    }
    let expected = expected.map_or(before, at);
    assert_eq!(time_of_entry(&mut cluster, at(own)), expected, "{shown:?} and {own}");
}

#[test]
fn an_entry_has_the_leaders_time_within_the_bound_of_what_a_quorum_shows() {
    let (year, bound) = (YEAR_MS.cast_signed(), BOUND_MS.cast_signed());
    // Close enough: the leader's own.
    check(&[-100, 50], 20, Some(20));
    check(&[-900, -900], 0, Some(0));
    // The leader is wrong.
    check(&[0, 0], year, Some(bound));
    check(&[0, -20], year, Some(bound));
    check(&[0, 0], -year, Some(-bound));
    // One that is not the leader is wrong.
    check(&[year, 0], 5, Some(5));
    check(&[-year, 0], 5, Some(5));
    check(&[year, year, 0, 0], 5, Some(5));
    check(&[-year, -year, 0, 0], 5, Some(5));
    // With an even number half of them are no quorum: the time that more than half have reached.
    check(&[year], 5, Some(5));
    check(&[0], year, Some(bound));
    check(&[year, 0, 0], year, Some(bound));
    // No two agree: the one in the middle.
    check(&[-year, 3_600_000], year, Some(3_600_000 + bound));
    // It has only itself.
    check(&[], year, Some(year));
}

/// A fresh leader gives its entries the time of the one before them: it may be the one that is wrong.
#[test]
fn time_stands_still_until_a_quorum_has_shown_its_clocks() {
    let mut cluster = led(3);
    let before = cluster.node(1).written.entries.last().expect("a leader has a no-op").timestamp_ms;
    assert_eq!(time_of_entry(&mut cluster, NOON_MS + YEAR_MS), before, "nobody has shown anything");
    cluster.ask(2, 1, 1, Message::VoteResponse { granted: true, wall_ms: 0 });
    show(&mut cluster, 2, 0, 0);
    assert_eq!(time_of_entry(&mut cluster, NOON_MS + YEAR_MS), before, "0 shows nothing");
    show(&mut cluster, 2, 0, NOON_MS);
    assert_eq!(time_of_entry(&mut cluster, NOON_MS), NOON_MS);
}

#[test]
fn time_never_falls_when_clocks_do() {
    let mut cluster = led(3);
    show(&mut cluster, 2, 0, NOON_MS);
    assert_eq!(time_of_entry(&mut cluster, NOON_MS), NOON_MS);
    cluster.step(1, Input::Tick { elapsed: 1, wall_ms: NOON_MS - YEAR_MS });
    assert_eq!(time_of_entry(&mut cluster, NOON_MS - YEAR_MS), NOON_MS);
}

/// An answer that is late, repeated or overtaken shows a time that is long over.
#[test]
fn an_answer_to_an_older_round_shows_no_clock() {
    let mut cluster = led(3);
    for _ in 0..3 {
        cluster.step(1, Input::Tick { elapsed: 2, wall_ms: NOON_MS });
    }
    show(&mut cluster, 2, 2, NOON_MS);
    show(&mut cluster, 2, 1, NOON_MS - YEAR_MS);
    show(&mut cluster, 2, 2, NOON_MS - YEAR_MS);
    assert_eq!(time_of_entry(&mut cluster, NOON_MS), NOON_MS);
}

/// Whose clock is off is said once, and once when it fits again; an answer that took long says nothing about the difference.
#[test]
fn a_clock_that_is_off_is_told_once() {
    let mut cluster = led(3);
    let mut wall_ms = NOON_MS;
    let mut round = 0;
    let mut beat = |cluster: &mut Cluster, late_ms: u64, third: i64| {
        wall_ms += 100;
        cluster.step(1, Input::Tick { elapsed: 2, wall_ms });
        round += 1;
        wall_ms += late_ms;
        cluster.step(1, Input::Tick { elapsed: 0, wall_ms });
        show(cluster, 2, round, wall_ms - late_ms);
        show(cluster, 3, round, (wall_ms - late_ms).saturating_add_signed(third));
    };
    let before = cluster.node(1).facts.len();
    let third = YEAR_MS.cast_signed();
    for (late_ms, third) in [(0, 0), (5_000, 0), (0, third), (0, third), (0, 900), (0, 0), (0, 0)] {
        beat(&mut cluster, late_ms, third);
    }
    let told: Vec<(u64, i64, bool)> = cluster.node(1).facts[before..]
        .iter()
        .filter_map(|fact| {
            if let Fact::Clock { node, by_ms, is_off } = fact {
                Some((node.get(), *by_ms, *is_off))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(told, [(3, third, true), (3, 0, false)]);
    let status = cluster.raft(1).status();
    let skews: Vec<_> = status.peers.iter().map(|peer| (peer.node, peer.clock_skew_ms)).collect();
    assert_eq!(skews, [(id(2), Some(0)), (id(3), Some(0))]);
}

/// A leader knows the clocks of those who elected it: no entry of a new cluster has the time of an older one, or none.
#[test]
fn a_vote_shows_the_voters_clock() {
    let mut cluster = Cluster::new(3);
    for number in 1..=3 {
        cluster.step(number, Input::Tick { elapsed: 1, wall_ms: NOON_MS });
    }
    cluster.elect(1);
    let noop = &cluster.node(1).written.entries[1];
    assert_eq!(noop.timestamp_ms, NOON_MS);
}
