//! The command `linearizable`: how long the judge of histories takes for large ones, honest and forged.

use std::process::ExitCode;

use quorate_sim::check::linearizable::history::History;
use quorate_sim::check::linearizable::random::{self, Shape};
use quorate_sim::check::linearizable::search::{Verdict, judge};
use quorate_sim::rng::Rng;

/// Judges an honest history and one with a forged answer for each of the first ten seeds from `from` on. `watch` tells
/// milliseconds.
pub(crate) fn judge_large(shape: Shape, from: u64, watch: impl Fn() -> u64) -> ExitCode {
    println!("{shape:?}");
    let (mut slowest, mut wrong, mut undecided) = (0, 0, 0);
    for seed in from..from.saturating_add(SEEDS) {
        let mut rng = Rng::stream(seed, "large histories");
        let mut history = random::honest(&mut rng, shape);
        let (honest, took) = timed(&history, &watch);
        slowest = slowest.max(took);
        wrong += u64::from(matches!(honest, Verdict::Broken { .. }));
        undecided += u64::from(matches!(honest, Verdict::Undecided { .. }));
        random::forge(&mut rng, &mut history);
        // A forged answer may be possible too, so its verdict is shown and not judged; its time is.
        slowest = slowest.max(timed(&history, &watch).1);
    }
    println!("{} histories, the slowest took {slowest} ms", 2 * SEEDS);
    println!("of the honest ones {wrong} were called broken, and {undecided} undecided");
    ExitCode::from(if wrong + undecided == 0 { 0 } else { 11 })
}

fn timed(history: &History, watch: &impl Fn() -> u64) -> (Verdict, u64) {
    let begin = watch();
    let (verdict, effort) = judge(history, STEPS_MAX);
    let took = watch() - begin;
    let word = match &verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Broken { .. } => "broken",
        Verdict::Undecided { .. } => "undecided",
    };
    println!(
        "{word}: {} operations, {} objects, {} steps, {took} ms",
        history.operations().len(),
        effort.objects,
        effort.steps
    );
    (verdict, took)
}

const SEEDS: u64 = 10;

/// The deadline of each object.
const STEPS_MAX: u64 = 10_000_000;
