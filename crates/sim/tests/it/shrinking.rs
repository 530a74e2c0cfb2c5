//! A failing run becomes smaller, and still fails.

use std::collections::BTreeSet;

use quorate_sim::ended::attempt;
use quorate_sim::knobs::KNOBS;
use quorate_sim::recipe::{DRILL_FAULT, Recipe};
use quorate_sim::shrink::{Failure, Shrunk, fewer, shrink};
use quorate_sim::trace::TraceMode;

/// Makes a run of five nodes, eight clients, 64 faults and all knobs smaller that fails exactly if `fails` says so.
fn check(runs_max: u64, fails: impl Fn(&Recipe) -> bool) -> Shrunk {
    let failing = |recipe: &Recipe| Failure {
        nodes: recipe.nodes.unwrap_or(5),
        clients: recipe.clients.unwrap_or(8),
        operations: recipe.operations.unwrap_or(1000),
        faults: recipe
            .only
            .as_ref()
            .map_or_else(|| (1..=64).collect(), |only| only.iter().copied().collect()),
        knobs: recipe.knobs.as_ref().map_or_else(
            || KNOBS.into_iter().map(|knob| knob.name).collect(),
            |knobs| knobs.iter().copied().collect(),
        ),
        at_us: recipe.until_us.unwrap_or(60_000_000) - 1,
        until_us: recipe.until_us.unwrap_or(60_000_000),
        events: 0,
    };
    let recipe = Recipe::new(1);
    let before = failing(&recipe);
    shrink(recipe, before, runs_max, |recipe| fails(recipe).then(|| failing(recipe)))
}

#[test]
fn only_what_matters_is_left() {
    let needs_two =
        |recipe: &Recipe| recipe.only.as_ref().is_none_or(|only| only.contains(&3) && only.contains(&40));
    let needs_loss = |recipe: &Recipe| recipe.knobs.as_ref().is_none_or(|knobs| knobs.contains("loss"));
    let needs_time = |recipe: &Recipe| recipe.until_us.is_none_or(|until_us| until_us > 7_000_000);
    let needs_three = |recipe: &Recipe| recipe.nodes.is_none_or(|nodes| nodes >= 3);
    let needs_ten = |recipe: &Recipe| recipe.operations.is_none_or(|operations| operations >= 10);
    let found = check(1000, |recipe| {
        needs_two(recipe)
            && needs_loss(recipe)
            && needs_time(recipe)
            && needs_three(recipe)
            && needs_ten(recipe)
    });
    let Recipe { nodes, clients, operations, knobs, only, until_us, .. } = found.recipe;
    assert_eq!((nodes, clients, operations), (Some(3), Some(1), Some(10)));
    assert_eq!((knobs, only), (Some(BTreeSet::from(["loss"])), Some(BTreeSet::from([3, 40]))));
    assert!(until_us.is_some_and(|until_us| (7_000_000..7_020_000).contains(&until_us)), "{until_us:?}");
    assert!(found.runs < 200, "halves are tried before single ones: {} runs", found.runs);
}

#[test]
fn what_fails_whatever_is_left_out_needs_nothing() {
    let found = check(1000, |_| true);
    assert_eq!(
        found.recipe.to_string(),
        "--seed 1 --nodes 1 --clients 1 --operations 1 --until 0.007324s --knobs none --only none"
    );
    assert_eq!(fewer(vec![1, 2, 3], |_| true), Vec::<u64>::new());
}

#[test]
fn what_cannot_be_left_out_stays_and_the_bound_on_runs_holds() {
    assert_eq!(check(1000, |_| false).recipe, Recipe::new(1));
    let found = check(7, |recipe| recipe.nodes.is_none());
    assert_eq!(found.runs, 7);
}

#[test]
fn a_run_with_all_its_faults_and_knobs_named_is_the_run_itself() {
    let recipe = Recipe::new(5);
    let mut whole = recipe.world(TraceMode::Off);
    let report = whole.run().expect("seed 5 holds");
    let named = Recipe {
        only: Some((1..=whole.faults_len()).collect()),
        knobs: Some(recipe.turned().into_iter().collect()),
        nodes: Some(whole.profile().nodes),
        clients: Some(whole.profile().clients),
        until_us: Some(whole.profile().faulty_us),
        ..recipe
    };
    let again = named.world(TraceMode::Off).run().expect("seed 5 holds");
    assert_eq!(report.unseed, again.unseed);
    assert!(whole.faults_len() > 0, "the seed has faults");
}

#[test]
fn a_plain_run_has_ordinary_limits_and_no_lasting_fault() {
    let plain = Recipe { knobs: Some(BTreeSet::new()), ..Recipe::new(5) };
    assert_eq!(plain.turned(), Vec::<&str>::new());
    assert!(!Recipe::new(5).turned().is_empty(), "a seed turns knobs");
    let one = Recipe { knobs: Some(BTreeSet::from([Recipe::new(5).turned()[0]])), ..Recipe::new(5) };
    assert_eq!(one.turned().len(), 1);
}

#[test]
fn a_drill_is_made_as_small_as_its_one_fault() {
    let drill = Recipe::parse("--seed 1 --drill safety").expect("a recipe");
    let fails = |recipe: &Recipe| {
        let mut world = recipe.world(TraceMode::Off);
        (attempt(&mut world).exit_code() == 11).then(|| Failure {
            nodes: world.profile().nodes,
            clients: world.profile().clients,
            operations: world.operations_len(),
            faults: world.faults_struck(),
            knobs: recipe.turned(),
            at_us: world.now_us(),
            until_us: world.profile().faulty_us,
            events: world.events(),
        })
    };
    let before = fails(&drill).expect("a drill fails");
    let found = shrink(drill, before, 200, fails);
    assert_eq!(found.recipe.only, Some(BTreeSet::from([DRILL_FAULT])));
    assert_eq!((found.recipe.nodes, found.recipe.clients), (Some(1), Some(1)));
}
