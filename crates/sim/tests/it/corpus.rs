//! The runs that once failed: each holds, each has its story, and a page says what it lacks.

use std::path::Path;

use quorate_sim::corpus::{self, Page};
use quorate_sim::ended::{Ended, attempt};
use quorate_sim::recipe::Recipe;
use quorate_sim::trace::TraceMode;

const STORY: &str = "story:\nA node forgot its vote when it lost its power,\nbecause the vote was never written. It is written now.\n";

/// Reads a page; either its story, or words of what is wrong with it.
fn check(text: &str, expected: Result<&str, &str>) {
    let page = Page::parse(Path::new("corpus/seed-7.txt"), text);
    let read = page.and_then(|page| page.lacks().map_or(Ok(page.story), Err));
    match (read, expected) {
        (Ok(story), Ok(expected)) => assert_eq!(story, expected),
        (Err(what), Err(words)) => assert!(what.contains(words), "{text}: {what}"),
        (read, expected) => panic!("{text}: {read:?} instead of {expected:?}"),
    }
}

#[test]
fn runs_that_once_failed_hold_and_have_their_stories() {
    for page in corpus::read(&corpus::default_folder()).expect("the corpus can be read") {
        if let Some(what) = page.lacks() {
            panic!("{what}");
        }
        let ended = attempt(&mut page.recipe.world(TraceMode::Off));
        assert_eq!(ended.exit_code(), 0, "{}: {}", page.path.display(), ended.story());
    }
}

#[test]
fn a_page_without_a_story_says_how_to_tell_it() {
    check(
        &format!("run --seed 7\nbroke safety: x\ncommit c\ndate d\n\n{STORY}"),
        Ok(
            "A node forgot its vote when it lost its power, because the vote was never written. It is written now.",
        ),
    );
    check("run --seed 7\n", Err("corpus/seed-7.txt has no story"));
    check("run --seed 7\nstory:\n# Look at it.\nmended\n", Err("what mended it"));
    check("run --seed 7 --nodes 3\nstory:\n", Err("replay --seed 7 --nodes 3"));
}

#[test]
fn a_page_that_is_none_names_its_line() {
    check(STORY, Err("needs a line `run --seed S`"));
    check("run --seed 7\nrun --seed 8\n", Err("corpus/seed-7.txt:2: a page has one run"));
    check("run --seed 7 --loud\n", Err("corpus/seed-7.txt:1: --loud"));
    check("seed 7\n", Err("corpus/seed-7.txt:1: a page has the lines"));
}

#[test]
fn the_page_of_a_new_failure_lacks_only_its_story() {
    let recipe = Recipe::parse("--seed 7 --standard --until 1.5s").expect("a recipe");
    let ended = Ended::Panicked("assertion: one\nof two lines".into());
    let text = corpus::new_page(&recipe, &ended, "abc", "2026-11-21");
    check(&text, Err("has no story"));
    let page = Page::parse(Path::new("x"), &text).expect("a new page can be read");
    assert_eq!(page.recipe, recipe);
    assert!(text.contains("broke panic: assertion: one\ncommit abc\ndate 2026-11-21\n"), "{text}");
    assert_eq!(corpus::file_name(&recipe), "seed-7-standard-until-1.5s.txt");
}

#[test]
fn days_have_their_dates() {
    let dates = [0, 59, 365, 789, 11_016, 20_778].map(corpus::date);
    assert_eq!(dates, ["1970-01-01", "1970-03-01", "1971-01-01", "1972-02-29", "2000-02-29", "2026-11-21"]);
}
