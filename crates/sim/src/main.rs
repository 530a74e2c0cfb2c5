//! `quorate-sim`: runs seeds, replays one, and shows that a seed means one run.

mod explore_verb;

use std::collections::BTreeSet;
use std::process::ExitCode;

use quorate_sim::check::linearizable::random::Shape;
use quorate_sim::ended::{Ended, attempt};
use quorate_sim::profile::Profile;
use quorate_sim::trace::{LEGEND, TraceMode};
use quorate_sim::world::{Report, World};
use quorate_sim::{corpus, hits, shrink};

mod histories;
#[cfg(feature = "planted")]
mod planted;

const USAGE: &str = "\
quorate-sim run --seed S [--trace] [--only N,N] one run; with --trace every event as a line, with --only those faults alone
quorate-sim shrink --seed S                     leaves out faults of a failing run while it still breaks the same rule
quorate-sim many --minutes M [--from S]         the corpus, then fresh seeds for M minutes
quorate-sim many --seeds N [--from S]           the corpus, then N seeds
            with --strict-hits it fails when a class of fault was never hit, with --standard every run has the
            standard mix of faults: five nodes, 200 requests a second
quorate-sim twice --seed S                      the same run twice: the traces must be equal
quorate-sim linearizable --operations N --clients N --objects N [--from S]
                                                the judge of histories on large random ones
quorate-sim planted [--minutes-each M] [BUG]    each planted bug until a check catches it; with `--features planted` only
quorate-sim explore [options]                   every state of a small cluster (explore --help)

exit codes: 0 all rules held, 2 bad arguments, 10 a panic, 11 a safety rule was broken, 12 no progress,
            13 a class of fault was never hit";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    #[cfg(feature = "planted")]
    if let Some(("planted", rest)) = words.split_first().map(|(verb, rest)| (*verb, rest)) {
        return planted::run(rest);
    }
    if let Some(("explore", options)) = words.split_first().map(|(verb, options)| (*verb, options)) {
        return explore_verb::explore(options);
    }
    match parse(&words) {
        Some(Verb::Run { seed, trace, only }) => run(seed, trace, only),
        Some(Verb::Shrink { seed }) => smaller(seed),
        Some(Verb::Twice { seed }) => twice(seed),
        Some(Verb::Many { from, seeds, minutes, strict_hits, standard }) => {
            many(from, seeds, minutes, strict_hits, standard)
        }
        Some(Verb::Linearizable { from, shape }) => histories::judge_large(shape, from, stopwatch()),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

enum Verb {
    Run { seed: u64, trace: bool, only: Option<BTreeSet<u64>> },
    Shrink { seed: u64 },
    Twice { seed: u64 },
    Many { from: u64, seeds: u64, minutes: Option<u64>, strict_hits: bool, standard: bool },
    Linearizable { from: u64, shape: Shape },
}

fn parse(words: &[&str]) -> Option<Verb> {
    let (verb, mut rest) = words.split_first()?;
    let (mut seed, mut from, mut seeds, mut minutes) = (None, 1, None, None);
    let (mut trace, mut strict_hits, mut standard, mut only) = (false, false, false, None);
    let mut shape =
        Shape { operations: 0, clients: 0, objects: 0, unknown_per_mille: 10, refused_per_mille: 10 };
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        if *option == "--trace" {
            trace = true;
            continue;
        }
        if *option == "--strict-hits" {
            strict_hits = true;
            continue;
        }
        if *option == "--standard" {
            standard = true;
            continue;
        }
        let (value, after) = rest.split_first()?;
        rest = after;
        if *option == "--only" {
            only =
                Some(value.split_terminator(',').map(|number| number.parse().ok()).collect::<Option<_>>()?);
            continue;
        }
        let value: u64 = value.parse().ok()?;
        match *option {
            "--seed" => seed = Some(value),
            "--from" => from = value,
            "--seeds" => seeds = Some(value),
            "--minutes" => minutes = Some(value),
            "--operations" => shape.operations = value,
            "--clients" => shape.clients = value,
            "--objects" => shape.objects = value,
            _ => return None,
        }
    }
    match *verb {
        "run" => Some(Verb::Run { seed: seed?, trace, only }),
        "shrink" => Some(Verb::Shrink { seed: seed? }),
        "twice" => Some(Verb::Twice { seed: seed? }),
        "linearizable" if shape.operations.min(shape.clients).min(shape.objects) > 0 => {
            Some(Verb::Linearizable { from, shape })
        }
        "many" if seeds.is_some() != minutes.is_some() => {
            Some(Verb::Many { from, seeds: seeds.unwrap_or(u64::MAX), minutes, strict_hits, standard })
        }
        _ => None,
    }
}

/// Leaves out faults as long as the same rule is broken, and says which are left.
fn smaller(seed: u64) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let mut world = World::new(seed, TraceMode::Off);
    let ended = attempt(&mut world);
    let mut runs: u64 = 1;
    let faults_len = world.faults_len();
    if ended.exit_code() == 0 {
        println!("seed {seed}: {}: there is nothing to make smaller", ended.story());
        return ExitCode::SUCCESS;
    }
    let left = shrink::shrink((1..=faults_len).collect(), |only| {
        runs += 1;
        let world = World::new(seed, TraceMode::Off).with_faults(seed, only.iter().copied().collect());
        attempt(&mut { world }).rule() == ended.rule()
    });
    let names: Vec<String> = left.iter().map(u64::to_string).collect();
    println!("seed {seed}: {}", ended.story());
    println!("seed {seed}: {} of {faults_len} faults are enough, found in {runs} runs", left.len());
    println!(
        "replay: cargo run --release -p quorate-sim -- run --seed {seed} --only {}, --trace",
        names.join(",")
    );
    ExitCode::from(ended.exit_code())
}

fn run(seed: u64, trace: bool, only: Option<BTreeSet<u64>>) -> ExitCode {
    let mut world = World::new(seed, TraceMode::Keep);
    if let Some(only) = only {
        world = world.with_faults(seed, only);
    }
    let ended = attempt(&mut world);
    let lines = world.trace().lines();
    let shown = if trace {
        lines.len()
    } else if ended.exit_code() == 0 {
        0
    } else {
        lines.len().min(LINES_SHOWN)
    };
    if shown > 0 {
        println!("{LEGEND}");
        for line in &lines[lines.len() - shown..] {
            println!("{line}");
        }
    }
    println!("seed {seed}: {}", ended.story());
    if let Ended::Held(report) = &ended {
        print_report(report);
        println!("seed {seed}: unseed {:016x}", report.unseed);
    }
    println!("seed {seed}: exit code {}", ended.exit_code());
    ExitCode::from(ended.exit_code())
}

fn twice(seed: u64) -> ExitCode {
    let fingerprints = [(); 2].map(|()| {
        let mut world = World::new(seed, TraceMode::Fingerprint);
        let story = attempt(&mut world).story();
        (story, world.trace().lines_len(), world.trace().fingerprint())
    });
    let [first, second] = fingerprints;
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

fn many(from: u64, seeds: u64, minutes: Option<u64>, strict_hits: bool, standard: bool) -> ExitCode {
    // A panic is told once, with its seed, below.
    std::panic::set_hook(Box::new(|_| {}));
    let watch = stopwatch();
    let mut sum = Report::default();
    let mut count: u64 = 0;
    let corpus = corpus::seeds();
    println!("first seed {from}, after {} of the corpus", corpus.len());
    let fresh = from..from.saturating_add(seeds);
    for seed in corpus.into_iter().chain(fresh) {
        if minutes.is_some_and(|minutes| watch() > minutes * 60_000) {
            break;
        }
        let profile = if standard { Profile::standard(seed) } else { Profile::draw(seed) };
        let ended = attempt(&mut World::with_profile(seed, profile, TraceMode::Off));
        count += 1;
        match &ended {
            Ended::Held(report) => sum.add(report),
            Ended::Broken(_) | Ended::Panicked(_) => {
                println!("seed {seed}: {}", ended.story());
                println!("after {count} runs and {} ms", watch());
                println!("replay: cargo run --release -p quorate-sim -- run --seed {seed} --trace");
                println!("failing seed {seed}");
                return ExitCode::from(ended.exit_code());
            }
        }
    }
    print_report(&sum);
    let millis = watch().max(1);
    println!(
        "{count} runs, each of at least {} simulated seconds, with {} operations answered in a second while faults struck",
        sum.shortest_seconds(),
        sum.answered_per_second(),
    );
    println!(
        "{} simulated seconds in {}.{:03} s: {} times real time, {} events/s",
        sum.simulated_seconds(),
        millis / 1000,
        millis % 1000,
        sum.simulated_seconds() * 1000 / millis,
        sum.events * 1000 / millis
    );
    let never: Vec<&str> = hits::expected()
        .into_iter()
        .filter(|name| sum.counters.get(name).is_none_or(|count| *count == 0))
        .collect();
    println!("{} classes, {} of them never hit {never:?}", hits::expected().len(), never.len());
    println!("unseed of all runs {:016x}", sum.unseed);
    if strict_hits && !never.is_empty() {
        return ExitCode::from(13);
    }
    println!("last seed {}: all rules held", from + count.saturating_sub(1));
    ExitCode::SUCCESS
}

fn print_report(report: &Report) {
    println!(
        "{} events, {} entries committed, {} writes acknowledged, {} reads, {} leaders",
        report.events, report.committed, report.acknowledged, report.reads, report.leaders
    );
    for (name, count) in &report.counters {
        println!("{count:>12}  {name}");
    }
}

/// Milliseconds since now. The only clock of this crate: it says how fast the simulator is and decides nothing in a run.
#[expect(clippy::disallowed_methods, reason = "measures the simulator itself, never what is simulated")]
fn stopwatch() -> impl Fn() -> u64 {
    let start = std::time::Instant::now();
    move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How many lines before a failure are shown without `--trace`.
const LINES_SHOWN: usize = 60;
