//! The verb `shrink`: how small a failing run can be made, and how to repeat the small one.

use std::process::ExitCode;

use quorate_sim::ended::{Ended, attempt};
use quorate_sim::recipe::Recipe;
use quorate_sim::shrink::{Failure, shrink};
use quorate_sim::trace::TraceMode;

use crate::stopwatch;

/// Makes a failing run smaller as long as it breaks the same rule, and tells what is left of it.
pub(crate) fn smaller(recipe: &Recipe, runs_max: u64) -> ExitCode {
    // The runs under way may panic often; the last one is told.
    std::panic::set_hook(Box::new(|_| {}));
    let watch = stopwatch();
    let ended = attempt(&mut recipe.world(TraceMode::Off));
    let seed = recipe.seed;
    println!("seed {seed}: {}", ended.story());
    if ended.exit_code() == 0 {
        println!("seed {seed}: there is nothing to make smaller");
        return ExitCode::SUCCESS;
    }
    let before = failure(recipe, &ended).expect("a seed means one run: what failed fails again");
    println!("before: {before}");
    let found = shrink(recipe.clone(), before.clone(), runs_max, |smaller| failure(smaller, &ended));
    println!("after:  {}", found.failure);
    println!(
        "in {} runs and {} ms{}",
        found.runs,
        watch(),
        if found.runs >= runs_max { ", which is all that it was given" } else { "" }
    );
    println!("look at it:  {}", found.recipe.command("replay"));
    println!("seed {seed}: exit code {}", ended.exit_code());
    ExitCode::from(ended.exit_code())
}

/// How the run fails, if it breaks the same rule.
fn failure(recipe: &Recipe, wanted: &Ended) -> Option<Failure> {
    let mut world = recipe.world(TraceMode::Off);
    let ended = attempt(&mut world);
    if ended.exit_code() != wanted.exit_code() || rule(&ended) != rule(wanted) {
        return None;
    }
    Some(Failure {
        nodes: world.profile().nodes,
        clients: world.profile().clients,
        operations: world.operations_len(),
        faults: world.faults_struck(),
        knobs: recipe.turned(),
        at_us: world.now_us(),
        until_us: world.profile().faulty_us,
        events: world.events(),
    })
}

/// The rule, without the numbers that a panic may name: they differ from run to run.
fn rule(ended: &Ended) -> String {
    ended
        .rule()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect()
}
