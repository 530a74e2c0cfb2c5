//! The binary as it is called: what it prints, what it writes, and its exit codes, on which scripts rely.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Runs the binary; it must end with this code, and its output must have these words.
fn check(line: &str, code: i32, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_quorate-sim"))
        .args(line.split_whitespace())
        .output()
        .expect("the binary was built for this test");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}\n{text}");
    for word in words {
        assert!(text.contains(word), "{line} does not say {word:?}:\n{text}");
    }
    text
}

/// An empty folder of this test alone.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

const SHORT: &str = "--seed 1 --until 6s";

#[test]
fn a_run_ends_with_the_code_of_what_it_broke() {
    check(&format!("run {SHORT}"), 0, &["all rules held", "unseed", "exit code 0"]);
    check(&format!("run {SHORT} --drill panic"), 10, &["panic: a drill", "exit code 10"]);
    check(&format!("run {SHORT} --drill safety"), 11, &["safety: a drill breaks no rule", "exit code 11"]);
    check(&format!("run {SHORT} --drill liveness"), 12, &["liveness: a drill goes on", "exit code 12"]);
    check(&format!("shrink {SHORT} --drill liveness"), 12, &["--only 5 --drill liveness", "exit code 12"]);
    check(&format!("shrink {SHORT}"), 0, &["nothing to make smaller"]);
    check(&format!("twice {SHORT}"), 0, &["all rules held"]);
}

#[test]
fn what_is_no_verb_or_option_is_refused_with_the_usage() {
    for (line, words) in [
        ("", "no verb"),
        ("dance", "dance is no verb"),
        ("run", "--seed S"),
        ("run --seed 1 --loud", "--loud is no option"),
        ("run --seed 1 --nodes 9", "--nodes 9"),
        ("many", "--minutes M"),
        ("many --seeds 1 --minutes 1", "--minutes M"),
        ("run --seed 1 --planted NoSuchBug", "NoSuchBug"),
    ] {
        check(line, 2, &[words, "exit codes:"]);
    }
}

#[test]
fn a_replay_begins_and_ends_with_its_seed_and_tells_all_of_it() {
    let line = format!("replay {SHORT} --drill safety");
    let text = check(
        &line,
        11,
        &[
            "# seconds.micros who  what",
            "== the last messages",
            "== the faults that struck, the last one first",
            "world fault 5:",
            "== how everybody stood",
            "broken rule: a drill breaks no rule",
            "shrink --seed 1 --until 6s --drill safety",
        ],
    );
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("seed 1: --seed 1") && lines[2].contains("a drill breaks no rule"),
        "{:?}",
        &lines[..3]
    );
    assert_eq!(lines.last(), Some(&"seed 1: exit code 11"));
    assert!(lines.len() < 11_000, "a replay is bounded: {} lines", lines.len());
    let all = check(&format!("{line} --all"), 11, &[]);
    assert!(!all.contains("earlier lines are left out") && all.contains(" n1 starts life 1 with t0 no vote"));
}

#[test]
fn a_failing_run_is_written_into_the_corpus_and_runs_first_from_then_on() {
    let folder = folder("a failing run is written").display().to_string().replace(' ', "-");
    let _ = fs::remove_dir_all(&folder);
    let many = |more: &str| format!("many --seeds 1 --until 6s --corpus {folder} {more}");
    check(
        &many("--from 3 --drill liveness"),
        12,
        &["written to", "replay --seed 3", "shrink --seed 3", "failing seed 3"],
    );
    let page = format!("{folder}/seed-3-until-6s-drill-liveness.txt");
    let text = fs::read_to_string(&page).expect("the page was written");
    assert!(
        text.starts_with(
            "run --seed 3 --until 6s --drill liveness\nbroke liveness: a drill goes on\ncommit "
        ),
        "{text}"
    );
    check(&many("--from 9"), 12, &["this run is kept in", "its story is not told yet", "failing seed 3"]);
    fs::write(&page, text.replace(" --drill liveness", "")).expect("the folder is ours");
    check(&many("--from 9"), 0, &["1 runs of the corpus", "2 runs, each", "last seed 9: all rules held"]);
    fs::write(&page, "seed 3\n").expect("the folder is ours");
    check(&many("--from 9"), 2, &["the corpus cannot be read", "a page has the lines"]);
}

#[test]
fn what_fails_on_purpose_is_not_kept_unless_a_folder_is_named() {
    check("many --seeds 1 --until 6s --drill safety --no-corpus", 11, &["not written: --no-corpus"]);
    check("many --seeds 1 --until 6s --drill safety --standard", 11, &["not written: it fails on purpose"]);
}

#[test]
fn what_was_never_hit_fails_only_when_asked() {
    let few = "many --seeds 1 --until 2s --no-corpus";
    check(few, 0, &["of them never were"]);
    let text = check(
        &format!("{few} --strict-hits --hits"),
        13,
        &["must be hit", "may be hit", "limit: window of 200 bytes"],
    );
    assert!(text.contains("  key forgotten, its command applied again"));
}
