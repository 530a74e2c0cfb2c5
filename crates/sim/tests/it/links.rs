//! The network's own promises: what is cut carries nothing, what is healthy loses nothing.

use quorate_core::types::NodeId;
use quorate_sim::network::{Arrivals, MessageKind, Network, NetworkOptions, Parcel};
use quorate_sim::rng::Rng;

const ONE: NodeId = NodeId::new(1);
const TWO: NodeId = NodeId::new(2);
const LOST: Arrivals = Arrivals { first: None, copy: None };

fn network(options: NetworkOptions) -> Network {
    Network::new(options, Rng::stream(1, "network"))
}

fn parcel(from: NodeId, to: NodeId) -> Parcel {
    Parcel { from, to, kind: MessageKind::Append, len: 1000 }
}

#[test]
fn a_reset_loses_what_is_under_way_and_nothing_later() {
    let mut network = network(NetworkOptions::healthy());
    network.reset(10, ONE, TWO);
    assert!(network.lost_in_reset(9, ONE, TWO));
    assert!(!network.lost_in_reset(11, ONE, TWO));
    assert!(!network.lost_in_reset(9, TWO, ONE), "the other direction is another connection");
    assert_eq!(network.counters().reset, 1);
}

#[test]
fn a_kind_or_size_that_does_not_pass_is_lost_until_the_links_are_healed() {
    let mut network = network(NetworkOptions::healthy());
    network.filter(MessageKind::Append);
    assert_eq!(network.judge(0, parcel(ONE, TWO)), LOST);
    network.heal();
    network.limit_len(999);
    assert_eq!(network.judge(0, parcel(ONE, TWO)), LOST);
    assert_eq!(network.judge(0, Parcel { len: 999, ..parcel(ONE, TWO) }).all().count(), 1);
    network.heal();
    assert_eq!(network.judge(0, parcel(ONE, TWO)).all().count(), 1);
    assert_eq!((network.counters().filtered, network.counters().too_large), (1, 1));
}

#[test]
fn a_slow_link_is_slow_in_its_direction_only() {
    let mut network = network(NetworkOptions::healthy());
    network.slow(ONE, TWO, 1_000_000);
    assert!(network.judge(0, parcel(ONE, TWO)).first >= Some(1_000_000));
    assert!(network.judge(0, parcel(TWO, ONE)).first < Some(1_000_000));
}

#[test]
fn a_cut_holds_in_its_direction_only() {
    let mut network = network(NetworkOptions::healthy());
    network.cut(ONE, TWO);
    assert_eq!(network.judge(0, parcel(ONE, TWO)), LOST);
    assert_eq!(network.judge(0, parcel(TWO, ONE)).all().count(), 1);
    network.heal();
    assert_eq!(network.judge(0, parcel(ONE, TWO)).all().count(), 1);
}

#[test]
fn an_ordered_link_never_lets_a_message_overtake_another() {
    let mut network = network(NetworkOptions::healthy());
    let arrivals: Vec<u64> = (0..1000).flat_map(|now| network.judge(now, parcel(ONE, TWO)).all()).collect();
    assert_eq!(arrivals.len(), 1000);
    assert!(arrivals.is_sorted());
}

#[test]
fn loss_repetition_and_reordering_happen_and_are_counted() {
    let options = NetworkOptions {
        loss_per_mille: 200,
        repeat_per_mille: 200,
        straggle_per_mille: 10,
        ordered: false,
        ..NetworkOptions::healthy()
    };
    let mut network = network(options);
    let arrivals: Vec<u64> = (0..1000).flat_map(|now| network.judge(now, parcel(ONE, TWO)).all()).collect();
    let counters = network.counters();
    assert_eq!(arrivals.len() as u64, 1000 - counters.lost + counters.repeated);
    assert!(counters.lost > 0 && counters.repeated > 0 && counters.straggled > 0);
    assert!(!arrivals.is_sorted());
}
