//! A run is told as a line of options, and the line means that run.

use quorate_sim::recipe::Recipe;

/// The line reads, and is written again as `written`.
fn check(line: &str, written: &str) {
    let recipe = Recipe::parse(line).unwrap_or_else(|what| panic!("{line}: {what}"));
    assert_eq!(recipe.to_string(), written);
    assert_eq!(Recipe::parse(written), Ok(recipe));
}

fn refused(line: &str, words: &str) {
    let what = Recipe::parse(line).expect_err(line);
    assert!(what.contains(words), "{line}: {what}");
}

#[test]
fn a_line_means_the_run_that_wrote_it() {
    check("--seed 7", "--seed 7");
    check("--seed 7 --standard --nodes 3 --clients 1", "--seed 7 --standard --nodes 3 --clients 1");
    check("--only 17,3, --seed 7 --until 12s", "--seed 7 --until 12s --only 3,17");
    check("--seed 7 --until 12.345678s", "--seed 7 --until 12.345678s");
    check("--seed 7 --until 0.5s --operations 9", "--seed 7 --operations 9 --until 0.5s");
    check("--seed 7 --knobs window,loss --only ,", "--seed 7 --knobs loss,window --only none");
    check(
        "--seed 7 --knobs none --drill liveness --planted Bug",
        "--seed 7 --knobs none --drill liveness --planted Bug",
    );
}

#[test]
fn what_is_no_run_is_refused_in_words() {
    refused("--nodes 3", "no seed");
    refused("--seed", "needs a value");
    refused("--seed x", "--seed x");
    refused("--seed 1 --nodes 0", "--nodes 0");
    refused("--seed 1 --nodes 6", "--nodes 6");
    refused("--seed 1 --clients 0", "--clients 0");
    refused("--seed 1 --until 12", "--until 12");
    refused("--seed 1 --until 1.2345678s", "--until");
    refused("--seed 1 --knobs loss,dust", "dust");
    refused("--seed 1 --loud yes", "--loud");
}

#[test]
fn what_is_put_in_place_of_the_drawn_is_what_runs() {
    let recipe = Recipe::parse("--seed 7 --nodes 2 --clients 3 --operations 4 --until 9s").expect("a recipe");
    let profile = recipe.profile();
    assert_eq!((profile.nodes, profile.clients), (2, 3));
    assert_eq!((profile.operations_max, profile.faulty_us), (4, 9_000_000));
    let mut world = recipe.world(quorate_sim::trace::TraceMode::Off);
    world.run().expect("seed 7 holds");
    assert_eq!((world.nodes_len(), world.operations_len()), (2, 4));
}
