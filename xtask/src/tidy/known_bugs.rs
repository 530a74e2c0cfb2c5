//! The bugs of others that tests stand against: every line that a comment names is told in docs/known-bugs.md, and every line that is told
//! there as tested is named by a comment.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{Finding, TextFile, Tree};

/// Where the lines are told.
const LIST: &str = "docs/known-bugs.md";
/// The heading behind which lines stand that need no test.
const UNTESTED: &str = "## Without a test";

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let listed = tree.get(LIST).map(listed).unwrap_or_default();
    for file in tree.files.iter().filter(|file| tells_of_tests(&file.path)) {
        for (number, line) in file.text.lines().enumerate() {
            for id in ids(comment(line)) {
                named.insert(id);
                if !listed.contains_key(id) {
                    let message = format!("{LIST} has no line {id}: tell there what went wrong, and where");
                    findings.push(Finding::new(&file.path, number + 1, "known-bug", message));
                }
            }
        }
    }
    for (id, (line, _)) in listed.iter().filter(|(id, (_, is_tested))| *is_tested && !named.contains(*id)) {
        let message = format!(
            "no comment names {id}: name it above the test that holds it, or say below `{UNTESTED}` why none is needed"
        );
        findings.push(Finding::new(LIST, *line, "known-bug", message));
    }
}

/// The lines of the list by id: where each stands, and whether a test must name it.
fn listed(file: &TextFile) -> BTreeMap<&str, (usize, bool)> {
    let mut is_tested = true;
    let mut listed = BTreeMap::new();
    for (number, line) in file.text.lines().enumerate() {
        is_tested &= !line.starts_with(UNTESTED);
        let id = line.strip_prefix("| ").and_then(|row| row.split(' ').next()).filter(|word| is_id(word));
        listed.extend(id.map(|id| (id, (number + 1, is_tested))));
    }
    listed
}

/// Tests, golden scripts, and the code of the rooms with its own tests.
fn tells_of_tests(path: &str) -> bool {
    (path.starts_with("crates/") || path.starts_with("e2e/"))
        && (path.ends_with(".rs") || path.ends_with(".txt"))
}

/// What a line says as a comment of Rust or of a golden script.
fn comment(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") || line.starts_with("# ") { line } else { "" }
}

fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| is_id(word))
}

/// R with two digits, T with one or two.
fn is_id(word: &str) -> bool {
    let digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_at_checked(1) {
        Some(("R", number)) => number.len() == 2 && digits(number),
        Some(("T", number)) => (1..=2).contains(&number.len()) && digits(number),
        _ => false,
    }
}
