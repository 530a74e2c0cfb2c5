//! The verbs that look at one run: `run` in short, `replay` in full, `twice` for whether it is one run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use quorate_sim::ended::{Ended, attempt};
use quorate_sim::profile::Profile;
use quorate_sim::recipe::Recipe;
use quorate_sim::trace::{LEGEND, TraceMode};
use quorate_sim::world::World;

use crate::table::print_report;

/// One run in short.
pub(crate) fn run(recipe: &Recipe) -> ExitCode {
    let mut world = recipe.world(TraceMode::Keep);
    let ended = attempt(&mut world);
    let seed = recipe.seed;
    println!("seed {seed}: {}", about(world.profile()));
    if ended.exit_code() != 0 {
        print_lines(&world, LINES_SHORT);
    }
    println!("seed {seed}: {}", ended.story());
    match &ended {
        Ended::Held(report) => {
            print_report(report);
            println!("seed {seed}: unseed {:016x}", report.unseed);
        }
        Ended::Broken(_) | Ended::Panicked(_) => println!("all of it: {}", recipe.command("replay")),
    }
    println!("seed {seed}: exit code {}", ended.exit_code());
    ExitCode::from(ended.exit_code())
}

/// One run in full: what led to its end, a drawing of it, and how each node stood.
pub(crate) fn replay(recipe: &Recipe, all: bool) -> ExitCode {
    let mut world = recipe.world(TraceMode::Keep);
    // A panic is told below, where it belongs in the order of things.
    std::panic::set_hook(Box::new(|_| {}));
    let ended = attempt(&mut world);
    let seed = recipe.seed;
    println!("seed {seed}: {recipe}");
    println!("seed {seed}: {}", about(world.profile()));
    println!("seed {seed}: {}", ended.story().lines().next().unwrap_or_default());
    print_lines(&world, if all { usize::MAX } else { LINES_LONG });
    println!("\n== the last messages, and what happened between them");
    for row in world.trace().diagram().draw(world.nodes_len(), DIAGRAM_ROWS) {
        println!("{}", row.trim_end());
    }
    println!("\n== the faults that struck{}", struck(&world));
    println!("\n== how everybody stood at {}", time(world.now_us()));
    match catch_unwind(AssertUnwindSafe(|| world.describe())) {
        Ok(text) => println!("{text}"),
        Err(_) => println!("the panic left nothing to look at"),
    }
    println!("\n== the verdict");
    match &ended {
        Ended::Held(report) => print_report(report),
        Ended::Broken(violation) => {
            println!("broken rule: {}", violation.rule);
            // Of missing progress, the rest is how everybody stood.
            println!("by:          {}", violation.what.lines().next().unwrap_or_default());
            println!("smaller:     {}", recipe.command("shrink"));
        }
        Ended::Panicked(message) => {
            println!("panic:   {message}");
            println!("smaller: {}", recipe.command("shrink"));
        }
    }
    println!("seed {seed}: exit code {}", ended.exit_code());
    ExitCode::from(ended.exit_code())
}

/// Runs it twice: both must do the same, line for line.
pub(crate) fn twice(recipe: &Recipe) -> ExitCode {
    let fingerprints = [(); 2].map(|()| {
        let mut world = recipe.world(TraceMode::Fingerprint);
        let story = attempt(&mut world).story();
        (story, world.trace().lines_len(), world.trace().fingerprint())
    });
    let [first, second] = fingerprints;
    let seed = recipe.seed;
    println!("seed {seed}: {} lines, fingerprint {:016x}, {}", first.1, first.2, first.0);
    if first == second {
        return ExitCode::SUCCESS;
    }
    println!(
        "seed {seed}: the second run differs: {} lines, fingerprint {:016x}, {}",
        second.1, second.2, second.0
    );
    ExitCode::from(11)
}

fn print_lines(world: &World, lines_max: usize) {
    let lines = world.trace().lines();
    let left_out = world.trace().lines_len() - lines.len().min(lines_max) as u64;
    println!("{LEGEND}");
    if left_out > 0 {
        println!("# {left_out} earlier lines are left out");
    }
    for line in &lines[lines.len().saturating_sub(lines_max)..] {
        println!("{line}");
    }
}

/// What the run was made of.
fn about(profile: &Profile) -> String {
    let drawn = profile.drawn().join(", ");
    format!(
        "{} nodes, {} clients, faults until {}; {drawn}",
        profile.nodes,
        profile.clients,
        time(profile.faulty_us)
    )
}

/// The newest faults, the last one first.
fn struck(world: &World) -> String {
    let lines = world.trace().lines().iter().rev();
    let faults: Vec<&str> =
        lines.filter(|line| line.contains(" world fault ")).map(String::as_str).take(FAULTS_SHOWN).collect();
    if faults.is_empty() { ": none".into() } else { format!(", the last one first\n{}", faults.join("\n")) }
}

fn time(us: u64) -> String {
    format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
}

/// How many lines before a failure are shown in short, and in full.
const LINES_SHORT: usize = 60;
const LINES_LONG: usize = 10_000;
/// How many rows a drawing has at most.
const DIAGRAM_ROWS: usize = 60;
const FAULTS_SHOWN: usize = 20;
