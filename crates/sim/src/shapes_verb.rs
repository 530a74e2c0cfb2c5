//! The verb `shapes`: how long five nodes stand still in each shape of partial connectivity, over many seeds.

use std::process::ExitCode;

use quorate_sim::world::shapes::{SHAPES, TIMEOUTS_MAX};

/// Measures `seeds` runs of each shape, from seed `from` on, and prints the percentiles.
pub(crate) fn run(from: u64, seeds: u64) -> ExitCode {
    println!(
        "from the cut to the first commit of something new, in longest election timeouts; {seeds} seeds from {from} on"
    );
    println!("| shape | p50 | p90 | p99 | max | none within {TIMEOUTS_MAX} |");
    println!("|---|---|---|---|---|---|");
    for shape in SHAPES {
        let (mut took, mut never) = (Vec::new(), 0);
        for seed in from..from.saturating_add(seeds) {
            match shape.measure(seed) {
                Ok(Some(thousandths)) => took.push(thousandths),
                Ok(None) => {
                    never += 1;
                    took.push(u64::MAX);
                }
                Err(violation) => {
                    println!("{}, seed {seed}: {violation}", shape.name());
                    return ExitCode::from(11);
                }
            }
        }
        took.sort_unstable();
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| in_timeouts(percentile(&took, percent)));
        println!("| {} | {p50} | {p90} | {p99} | {max} | {never} |", shape.name());
    }
    ExitCode::SUCCESS
}

/// The least of `sorted` that `percent` of them do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0)
}

fn in_timeouts(thousandths: u64) -> String {
    match thousandths {
        u64::MAX => "none".to_owned(),
        _ => format!("{}.{:02}", thousandths / 1000, thousandths % 1000 / 10),
    }
}
