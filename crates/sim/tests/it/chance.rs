//! The generator must draw the same numbers for ever: the corpus of failing seeds depends on it.

use quorate_sim::rng::Rng;

#[test]
fn split_mix_and_xoshiro_draw_their_published_numbers() {
    // Computed from the authors' reference programs: SplitMix64 seeded with 0 fills the state, xoshiro256** draws.
    let mut rng = Rng::new(0);
    assert_eq!(
        [rng.next_u64(), rng.next_u64(), rng.next_u64()],
        [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a, 0x1a5f_849d_4933_e6e0]
    );
}

#[test]
fn streams_of_one_seed_are_independent_of_each_other() {
    let mut first = Rng::stream(7, "network");
    let mut second = Rng::stream(7, "faults");
    let mut again = Rng::stream(7, "network");
    let drawn: Vec<u64> = (0..4).map(|_| first.next_u64()).collect();
    assert_ne!(drawn, (0..4).map(|_| second.next_u64()).collect::<Vec<_>>());
    assert_eq!(drawn, (0..4).map(|_| again.next_u64()).collect::<Vec<_>>());
}

#[test]
fn draws_stay_in_their_range_and_reach_both_ends() {
    let mut rng = Rng::new(3);
    let drawn: Vec<u64> = (0..1000).map(|_| rng.between(5, 8)).collect();
    assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&5), Some(&8)));
    let mean: u64 = (0..10_000).map(|_| rng.exponential(1000)).sum::<u64>() / 10_000;
    assert!((900..1200).contains(&mean), "the exponential delay keeps near its mean, not {mean}");
}
