//! The verb `explore`: every state of a small cluster, counted and timed.

use std::process::ExitCode;

use quorate_sim::explore::model::{Bounds, Reductions};
use quorate_sim::explore::search::{Ended, Found, Limits, Search};
use quorate_sim::explore::start::Start;
use quorate_sim::explore::state::Budgets;
use quorate_sim::explore::story;
use quorate_sim::explore::world::{Changes, World};

const USAGE: &str = "\
quorate-sim explore       every state of a cluster that starts empty, breadth first
  --nodes N               voters, 1 to 7 (3)
  --terms N               the highest term in which a node stands for election (2)
  --entries N             commands that clients propose (2)
  --crashes N             crashes of a node, each losing what is not durable (1)
  --heartbeats N          heartbeat rounds (0)
  --campaigns N           candidacies, of all nodes in all terms (as many as the terms allow)
  --silences N            times that a leader finds itself without a quorum (0)
  --duplicate             what was sent stays in flight: it may come never, or any number of times
  --donation              voters give a candidate what its log lacks
  --one-entry             a message carries one entry at most
  --snapshots N           snapshots that nodes take; the log is cut behind each, sooner or later or never (0)
  --installs N            snapshots that come to a node, from whoever took them (0)
  --transfers N           times that a leader is asked to hand over (0)
  --changes N             times that a leader is asked to change the members (0)
  --change KIND           what may be asked: learner, voter, replace, promote, remove; may be repeated (all)
  --spares N              nodes that may be added (0)
  --led                   begins where node 1 leads term 1, and all hold its first entry and know that it is committed
  --figure-8              five nodes, one entry in a message; begins where an entry of term 1 is on two disks, another
                          one of term 2 on a third, and the first leader leads again in term 3
  --unreduced             tells apart what need not be told apart
  --levels                tells how many states there are within so many steps, while it searches
  --states-max N          stop after so many states (100,000,000)
  --planted BUG           with a known mistake in the core; with `--features planted` only
  --bytes-max N           stop at so many bytes of memory (2147483648)

exit codes: 0 all rules held in every state, 1 a limit was reached before that, 2 bad arguments, 11 a rule was broken";

/// Explores as `options` say and tells what was found.
pub(crate) fn explore(options: &[&str]) -> ExitCode {
    let levels = options.contains(&"--levels");
    let options: Vec<&str> = options.iter().copied().filter(|option| *option != "--levels").collect();
    let Some((bounds, limits)) = parse(&options) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // An assertion that fails in the core is told with the path to it, below.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{bounds:?}");
    let watch = crate::stopwatch();
    let mut search = Search::new(bounds, limits);
    if levels {
        search.tell_levels(Box::new(|depth, states| println!("{states} states within {depth} steps")));
    }
    let found = search.run();
    let millis = watch().max(1);
    print_found(&found, millis);
    match &found.ended {
        Ended::Complete => {
            println!("complete: all rules held in every state");
            ExitCode::SUCCESS
        }
        Ended::Limit(what) => {
            println!("not complete: the limit of {what} was reached; all rules held in what was seen");
            ExitCode::from(1)
        }
        Ended::Broken(violation, path) => {
            println!("a shortest path, {} steps:", path.len());
            for line in story::tell(search.model(), path, violation) {
                println!("{line}");
            }
            ExitCode::from(11)
        }
    }
}

fn print_found(found: &Found, millis: u64) {
    let (locals, messages) = found.parts;
    println!(
        "{} states in {}.{:03} s, {} states/s; {} actions, depth {}, widest level {}",
        found.states,
        millis / 1000,
        millis % 1000,
        found.states * 1000 / millis,
        found.actions,
        found.depth,
        found.widest
    );
    println!(
        "{locals} node states, {messages} messages; {} bytes, {} for each state",
        found.bytes,
        found.bytes as u64 / found.states.max(1)
    );
}

fn parse(options: &[&str]) -> Option<(Bounds, Limits)> {
    let budgets = Budgets { proposals: 2, crashes: 1, ..Budgets::default() };
    let world = World::of_voters(3);
    let (start, reductions) = (Start::Empty, Reductions::ALL);
    let mut bounds = Bounds { world, start, terms: 2, budgets, reductions };
    let mut limits = Limits { states_max: 100_000_000, bytes_max: 2 << 30 };
    let mut rest = options;
    while let Some((option, after)) = rest.split_first() {
        rest = after;
        match *option {
            "--donation" => {
                bounds.world.donation = true;
                continue;
            }
            "--one-entry" => {
                bounds.world.one_entry = true;
                continue;
            }
            "--led" => {
                bounds.start = Start::Led;
                continue;
            }
            "--figure-8" => {
                (bounds.start, bounds.terms) = (Start::Figure8, bounds.terms.max(4));
                bounds.world = World { nodes: 5, one_entry: true, ..bounds.world };
                continue;
            }
            "--unreduced" => {
                bounds.reductions = Reductions::NONE;
                continue;
            }
            "--duplicate" => {
                bounds.world.messages_stay = true;
                continue;
            }
            _ => {}
        }
        let (value, after) = rest.split_first()?;
        rest = after;
        match *option {
            "--nodes" => bounds.world.nodes = value.parse().ok().filter(|nodes| (1..=7).contains(nodes))?,
            "--terms" => bounds.terms = value.parse().ok()?,
            "--entries" => bounds.budgets.proposals = value.parse().ok()?,
            "--crashes" => bounds.budgets.crashes = value.parse().ok()?,
            "--heartbeats" => bounds.budgets.heartbeats = value.parse().ok()?,
            "--campaigns" => bounds.budgets.campaigns = Some(value.parse().ok()?),
            "--snapshots" => bounds.budgets.snapshots = value.parse().ok()?,
            "--installs" => bounds.budgets.installs = value.parse().ok()?,
            "--transfers" => bounds.budgets.transfers = value.parse().ok()?,
            "--changes" => bounds.budgets.changes = value.parse().ok()?,
            "--change" => allow(&mut bounds.world.changes, value)?,
            "--spares" => bounds.world.spares = value.parse().ok().filter(|spares| *spares <= 4)?,
            "--silences" => bounds.budgets.silences = value.parse().ok()?,
            "--states-max" => limits.states_max = value.parse().ok()?,
            #[cfg(feature = "planted")]
            "--planted" => quorate_core::planted::plant(Some(crate::planted::named(value)?)),
            "--bytes-max" => limits.bytes_max = value.parse().ok()?,
            _ => return None,
        }
    }
    if bounds.budgets.changes > 0 && !bounds.world.changes.any() {
        bounds.world.changes = Changes::ALL;
    }
    Some((bounds, limits))
}

fn allow(changes: &mut Changes, kind: &str) -> Option<()> {
    let allowed = match kind {
        "learner" => &mut changes.learner,
        "voter" => &mut changes.voter,
        "replace" => &mut changes.replace,
        "promote" => &mut changes.promote,
        "remove" => &mut changes.remove,
        _ => return None,
    };
    *allowed = true;
    Some(())
}
