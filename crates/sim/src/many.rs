//! The verb `many`: the corpus first, then fresh seeds, until one fails. A failing run is written into the corpus.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use quorate_sim::corpus::{self, Page};
use quorate_sim::ended::{Ended, attempt};
use quorate_sim::hits;
use quorate_sim::recipe::Recipe;
use quorate_sim::trace::TraceMode;
use quorate_sim::world::Report;

use crate::table::{Table, print_report};
use crate::{Options, stopwatch, today};

/// Runs the corpus, then fresh seeds.
pub(crate) fn many(options: &Options) -> ExitCode {
    // A panic is told once, with its seed, below.
    std::panic::set_hook(Box::new(|_| {}));
    let watch = stopwatch();
    let pages = match options.corpus.as_deref().map_or(Ok(Vec::new()), corpus::read) {
        Ok(pages) => pages,
        Err(what) => {
            println!("the corpus cannot be read: {what}");
            return ExitCode::from(2);
        }
    };
    match &options.corpus {
        Some(folder) => println!("{} runs of the corpus in {}", pages.len(), folder.display()),
        None => println!("no corpus: nothing is read from it and nothing is written into it"),
    }
    println!("first seed {}", options.from);
    let mut table = Table::default();
    let mut count: u64 = 0;
    for page in &pages {
        let ended = attempt(&mut page.recipe.world(TraceMode::Off));
        count += 1;
        match &ended {
            Ended::Held(report) => table.add(report),
            Ended::Broken(_) | Ended::Panicked(_) => return fails_again(page, &ended),
        }
    }
    let mut last = options.from;
    for seed in options.from..options.from.saturating_add(options.seeds.unwrap_or(u64::MAX)) {
        if options.minutes.is_some_and(|minutes| watch() > minutes * 60_000) {
            break;
        }
        last = seed;
        let recipe = Recipe { seed, ..options.recipe.clone() };
        let ended = attempt(&mut recipe.world(TraceMode::Off));
        count += 1;
        match &ended {
            Ended::Held(report) => table.add(report),
            Ended::Broken(_) | Ended::Panicked(_) => {
                println!("seed {seed}: {}", ended.story());
                println!("after {count} runs and {} ms", watch());
                keep(options, &recipe, &ended);
                println!("failing seed {seed}");
                return ExitCode::from(ended.exit_code());
            }
        }
    }
    conclude(&table, options, count, watch().max(1), last)
}

/// Tells what all runs did, none of which failed.
fn conclude(table: &Table, options: &Options, count: u64, millis: u64, last: u64) -> ExitCode {
    let sum = &table.sum;
    print_report(sum);
    if options.hits {
        table.print();
    }
    println!(
        "{count} runs, each of at least {} simulated seconds, with {} operations answered in a second while faults struck",
        sum.shortest_seconds(),
        sum.answered_per_second(),
    );
    tell_speed(sum, "", millis);
    if let Some(millis) = processor_millis() {
        tell_speed(sum, " of processor time", millis.max(1));
    }
    let never = table.never();
    println!("{} things must be hit, {} of them never were {never:?}", hits::expected().len(), never.len());
    println!("unseed of all runs {:016x}", sum.unseed);
    if options.strict_hits && !never.is_empty() {
        return ExitCode::from(13);
    }
    println!("last seed {last}: all rules held");
    ExitCode::SUCCESS
}

fn tell_speed(sum: &Report, which: &str, millis: u64) {
    println!(
        "{} simulated seconds in {}.{:03} s{which}: {} times real time, {} events/s",
        sum.simulated_seconds(),
        millis / 1000,
        millis % 1000,
        sum.simulated_seconds() * 1000 / millis,
        sum.events * 1000 / millis
    );
}

/// What this process has taken of its core, in milliseconds, where the system tells it as Linux does. On a machine that does other work too,
/// only this says how fast the simulator is.
fn processor_millis() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanos / 1_000_000)
}

/// A run of the corpus fails: it was mended once, or it is still to be mended.
fn fails_again(page: &Page, ended: &Ended) -> ExitCode {
    println!("seed {}: {}", page.recipe.seed, ended.story());
    println!("this run is kept in {}", page.path.display());
    match page.lacks() {
        Some(_) => println!("its story is not told yet: it has still to be mended"),
        None => println!("its story, when it was mended: {}", page.story),
    }
    say_next(&page.recipe);
    println!("failing seed {}", page.recipe.seed);
    ExitCode::from(ended.exit_code())
}

/// Writes the page of a failing run, and says what to do. What fails on purpose is kept only where somebody said so.
fn keep(options: &Options, recipe: &Recipe, ended: &Ended) {
    let on_purpose = recipe.drill.is_some() || recipe.planted.is_some();
    match &options.corpus {
        Some(folder) if options.corpus_named || !on_purpose => match write_page(folder, recipe, ended) {
            Ok(path) => {
                println!("written to {path}");
                println!("  from now on it runs first, in `many` and in `cargo test -p quorate-sim`");
                println!("  that test fails until the run holds and its story is told in that file");
            }
            Err(what) => println!("not written: {what}"),
        },
        Some(_) => println!("not written: it fails on purpose"),
        None => println!("not written: --no-corpus"),
    }
    say_next(recipe);
}

fn say_next(recipe: &Recipe) {
    println!("next:");
    println!("  look at it        {}", recipe.command("replay"));
    println!("  make it smaller   {}", recipe.command("shrink"));
    println!("  then write the smallest scenario as a test or golden script, mend it, and tell the story");
}

fn write_page(folder: &Path, recipe: &Recipe, ended: &Ended) -> Result<String, String> {
    let path = folder.join(corpus::file_name(recipe));
    let failed = |error| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(&path, corpus::new_page(recipe, ended, &commit(), &today())).map_err(failed)?;
    Ok(path.display().to_string())
}

/// The commit of the source tree, if it is one and git is there.
fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude", "*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(_) | Err(_) => "unknown".into(),
    }
}
