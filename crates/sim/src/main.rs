//! `quorate-sim`: runs seeds, tells what happened in one, makes a failing one smaller, and shows that a seed means one run.

use std::path::PathBuf;
use std::process::ExitCode;

use quorate_sim::check::linearizable::random::Shape;
use quorate_sim::corpus;
use quorate_sim::recipe::Recipe;

mod damage_verb;
mod explore_verb;
mod histories;
mod look;
mod many;
#[cfg(feature = "planted")]
mod planted;
mod shapes_verb;
mod smaller;
mod table;

const USAGE: &str = "\
quorate-sim run RUN                             one run: its verdict, and the last lines if it failed
quorate-sim replay RUN [--all]                  one run told: the last 10,000 events or all, who sent what to whom, how each node ended
quorate-sim shrink RUN [--runs N]               makes a failing run smaller while it breaks the same rule, in at most N runs (1000)
quorate-sim many --minutes M | --seeds N        the corpus, then fresh seeds, for M minutes or N of them
            [--from S] [--standard] [--hits]    from seed S on; with the standard mix of faults; with a table of what was hit
            [--strict-hits]                     fails when a class of fault or an extreme was never hit
            [--corpus DIR] [--no-corpus]        where failing runs are written and read; neither read nor write
quorate-sim twice RUN                           the same run twice: the traces must be equal
quorate-sim shapes [--seeds N] [--from S]       how long five nodes stand still when their links fail in part; 500 seeds of each shape
quorate-sim linearizable --operations N --clients N --objects N [--from S]
                                                the judge of histories on large random ones
quorate-sim planted [--minutes-each M] [BUG]    each planted bug until a check catches it; with `--features planted` only
quorate-sim damage [--every N]                  the 4,096 patterns of damage on three nodes and four entries, or each Nth
quorate-sim explore [options]                   every state of a small cluster (explore --help)

RUN: --seed S, and what stands in place of what the seed draws:
  --standard        five nodes, 200 answers a second, a fault a second of any class, late turns, frequent snapshots
  --nodes N         the first N nodes alone          --clients N     the first N clients alone
  --operations N    each client begins at most N     --until 12.5s   faults end and healing begins then
  --only 3,17       those faults alone strike        --knobs loss    those knobs as drawn, all others plain
  --drill panic|safety|liveness                      it fails on purpose, at the fifth fault
  --planted BUG     with a mistake made; with `--features planted` only

exit codes: 0 all rules held, 2 bad arguments, 10 a panic, 11 a safety rule was broken, 12 no progress,
            13 a class of fault was never hit";

/// All that may stand behind a verb.
pub(crate) struct Options {
    /// The run.
    pub(crate) recipe: Recipe,
    from: u64,
    seeds: Option<u64>,
    minutes: Option<u64>,
    /// How many runs it may take to make one smaller.
    runs: u64,
    all: bool,
    hits: bool,
    strict_hits: bool,
    /// None: the corpus is neither read nor written.
    corpus: Option<PathBuf>,
    /// Whether the corpus was named by whoever asked.
    corpus_named: bool,
    shape: Shape,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((verb, rest)) = words.split_first() else { return refuse("no verb") };
    match *verb {
        "explore" => return explore_verb::explore(rest),
        "damage" => return damage_verb::damage(rest),
        #[cfg(feature = "planted")]
        "planted" => return planted::run(rest),
        _ => {}
    }
    let options = match parse(rest) {
        Ok(options) => options,
        Err(what) => return refuse(&what),
    };
    if let Some(bug) = &options.recipe.planted
        && !plant(bug)
    {
        return refuse(&format!("no such planted bug, or not built with `--features planted`: {bug}"));
    }
    let seed_is_named = rest.contains(&"--seed");
    match *verb {
        "run" | "replay" | "shrink" | "twice" if !seed_is_named => refuse("which run? --seed S"),
        "run" => look::run(&options.recipe),
        "replay" => look::replay(&options.recipe, options.all),
        "shrink" => smaller::smaller(&options.recipe, options.runs),
        "twice" => look::twice(&options.recipe),
        "shapes" => shapes_verb::run(options.from, options.seeds.unwrap_or(500)),
        "many" if options.seeds.is_some() != options.minutes.is_some() => many::many(&options),
        "many" => refuse("how many? either --seeds N or --minutes M"),
        "linearizable" => {
            let shape = options.shape;
            if shape.operations.min(shape.clients).min(shape.objects) == 0 {
                return refuse("--operations, --clients and --objects are needed");
            }
            histories::judge_large(shape, options.from, stopwatch())
        }
        verb => refuse(&format!("{verb} is no verb")),
    }
}

fn refuse(what: &str) -> ExitCode {
    eprintln!("{what}\n\n{USAGE}");
    ExitCode::from(2)
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        recipe: Recipe::default(),
        from: 1,
        seeds: None,
        minutes: None,
        runs: 1000,
        all: false,
        hits: false,
        strict_hits: false,
        corpus: Some(corpus::default_folder()),
        corpus_named: false,
        shape: Shape { operations: 0, clients: 0, objects: 0, unknown_per_mille: 10, refused_per_mille: 10 },
    };
    let mut rest = words;
    while let Some((option, after)) = rest.split_first() {
        match *option {
            "--all" => options.all = true,
            "--hits" => options.hits = true,
            "--strict-hits" => options.strict_hits = true,
            "--no-corpus" => options.corpus = None,
            "--corpus" | "--from" | "--seeds" | "--minutes" | "--runs" | "--objects" => {
                let (value, after) = after.split_first().ok_or_else(|| format!("{option} needs a value"))?;
                rest = after;
                if *option == "--corpus" {
                    (options.corpus, options.corpus_named) = (Some(PathBuf::from(value)), true);
                    continue;
                }
                let value = value.parse().map_err(|_| format!("{option} {value}: no such value"))?;
                match *option {
                    "--from" => options.from = value,
                    "--seeds" => options.seeds = Some(value),
                    "--minutes" => options.minutes = Some(value),
                    "--runs" => options.runs = value,
                    _ => options.shape.objects = value,
                }
                continue;
            }
            _ if options.recipe.take(&mut rest)? => continue,
            _ => return Err(format!("{option} is no option")),
        }
        rest = after;
    }
    // A history has clients and operations as a run has.
    options.shape.operations = options.recipe.operations.unwrap_or(0);
    options.shape.clients = options.recipe.clients.map_or(0, u64::from);
    Ok(options)
}

/// Makes the mistake of this name. False if there is none, or if mistakes cannot be made in this build.
#[cfg(feature = "planted")]
fn plant(bug: &str) -> bool {
    let bug = planted::named(bug);
    quorate_core::planted::plant(bug);
    bug.is_some()
}

#[cfg(not(feature = "planted"))]
fn plant(_: &str) -> bool {
    false
}

/// Milliseconds since now. This and the date are the only clocks of this crate: it says how fast the simulator is and decides nothing in a run.
#[expect(clippy::disallowed_methods, reason = "measures the simulator itself, never what is simulated")]
pub(crate) fn stopwatch() -> impl Fn() -> u64 {
    let start = std::time::Instant::now();
    move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The date in UTC, for the page of a failing run.
#[expect(clippy::disallowed_methods, reason = "says when a run failed, decides nothing in a run")]
pub(crate) fn today() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    corpus::date(now.map_or(0, |since| since.as_secs() / 86_400))
}
