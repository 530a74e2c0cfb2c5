//! Damaged disks: the table of "Protocol-Aware Recovery" (FAST 2018), and what one fault of the simulator does.

use quorate_sim::damage_table::{self, PATTERNS};

/// Of the 4,096 patterns of damage to three nodes and four entries those recover in which each entry has a copy left; in the others
/// nobody leads and nothing is guessed. Here each fifth pattern; all of them with `quorate-sim damage`.
#[test]
fn what_has_a_copy_left_comes_back_and_nothing_else_is_guessed() {
    let patterns = || (0..PATTERNS).step_by(5);
    let rows = damage_table::run(patterns()).expect("no rule is broken");
    let has_copies = |pattern: &u16| pattern & pattern >> 4 & pattern >> 8 & 0xf == 0;
    let recovered: u32 = rows.iter().map(|row| row.recovered).sum();
    let unavailable: u32 = rows.iter().map(|row| row.unavailable).sum();
    let expected = patterns().filter(has_copies).count();
    assert_eq!((recovered as usize, unavailable as usize), (expected, patterns().count() - expected));
}

/// The numbers of the paper, counted.
#[test]
fn the_table_has_2401_and_1695_patterns() {
    let has_copies = |pattern: &u16| pattern & pattern >> 4 & pattern >> 8 & 0xf == 0;
    assert_eq!((0..PATTERNS).filter(has_copies).count(), 2_401);
    assert_eq!(usize::from(PATTERNS) - 2_401, 1_695);
}
