//! The network's own promises: what is cut carries nothing, what is healthy loses nothing.

use quorate_core::types::NodeId;
use quorate_sim::network::{Network, NetworkOptions};
use quorate_sim::rng::Rng;

const ONE: NodeId = NodeId::new(1);
const TWO: NodeId = NodeId::new(2);

fn network(options: NetworkOptions) -> Network {
    Network::new(options, Rng::stream(1, "network"))
}

#[test]
fn a_cut_holds_in_its_direction_only() {
    let mut network = network(NetworkOptions::healthy());
    network.cut(ONE, TWO);
    assert_eq!(network.judge(0, ONE, TWO), Vec::<u64>::new());
    assert_eq!(network.judge(0, TWO, ONE).len(), 1);
    network.heal();
    assert_eq!(network.judge(0, ONE, TWO).len(), 1);
}

#[test]
fn an_ordered_link_never_lets_a_message_overtake_another() {
    let mut network = network(NetworkOptions::healthy());
    let arrivals: Vec<u64> = (0..1000).flat_map(|now| network.judge(now, ONE, TWO)).collect();
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
    let arrivals: Vec<u64> = (0..1000).flat_map(|now| network.judge(now, ONE, TWO)).collect();
    let counters = network.counters();
    assert_eq!(arrivals.len() as u64, 1000 - counters.lost + counters.repeated);
    assert!(counters.lost > 0 && counters.repeated > 0 && counters.straggled > 0);
    assert!(!arrivals.is_sorted());
}
