//! Documents that name code must not outlive it: paths and functions exist, format documents carry the hash of the code that
//! they describe, decision records have a number and a status.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::tidy::{Finding, TextFile, Tree};

/// The documents whose names of files and functions are checked.
const MAPS: &[&str] = &["ARCHITECTURE.md", "AGENTS.md", "docs/life-of-a-proposal.md"];
/// The documents that describe a byte format.
const FORMATS: &[&str] = &["docs/log-format.md", "docs/wire-format.md"];

const TIE: &str = "<!-- describes: ";

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| MAPS.contains(&file.path.as_str())) {
        check_names(tree, file, findings);
    }
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        check_ties(tree, file, findings);
    }
    check_records(tree, findings);
}

/// Each `path.rs` and `path.rs::function` in backticks exists.
fn check_names(tree: &Tree, file: &TextFile, findings: &mut Vec<Finding>) {
    for (number, line) in file.text.lines().enumerate() {
        // Every second piece between backticks is code.
        for name in line.split('`').skip(1).step_by(2) {
            let (path, function) = name.split_once("::").unwrap_or((name, ""));
            if !path.ends_with(".rs") || path.contains([' ', '*', '{']) {
                continue;
            }
            let mut candidates = tree.rust().filter(|(source, _)| names(path, &source.path)).peekable();
            let function = function.trim_end_matches("()");
            let message = if candidates.peek().is_none() {
                format!("`{path}` does not exist: follow the code, or correct the name")
            } else if !function.is_empty() && !candidates.any(|(_, rust)| rust.has_function(function)) {
                format!("`{path}` has no function `{function}`: follow the code, or correct the name")
            } else {
                continue;
            };
            findings.push(Finding::new(&file.path, number + 1, "map", message));
        }
    }
}

/// Whether a document may mean the file at `path` by `name`: its end, with or without `crates` and `src`.
fn names(name: &str, path: &str) -> bool {
    let short: Vec<&str> = path.split('/').filter(|part| *part != "crates" && *part != "src").collect();
    [path, &short.join("/")].iter().any(|path| *path == name || path.ends_with(&format!("/{name}")))
}

fn check_ties(tree: &Tree, file: &TextFile, findings: &mut Vec<Finding>) {
    let mut tied = false;
    for (number, line) in file.text.lines().enumerate() {
        let Some(tie) = line.strip_prefix(TIE) else {
            continue;
        };
        tied = true;
        let path = tie.split(' ').next().unwrap_or("");
        let message = match tie_line(tree, path) {
            None => format!("{path} does not exist: name the file that holds the format now"),
            Some(now) if now != line => format!(
                "{path} has changed since this document was last compared with it: read both, correct the document, then run \
                 `cargo xtask hash --update`"
            ),
            Some(_) => continue,
        };
        findings.push(Finding::new(&file.path, number + 1, "format", message));
    }
    if !tied && FORMATS.contains(&file.path.as_str()) {
        let message = format!(
            "say which file it describes: a line `{TIE}crates/ROOM/src/FILE.rs sha256:0 -->`, then run \
                               `cargo xtask hash --update`"
        );
        findings.push(Finding::new(&file.path, 0, "format", message));
    }
}

/// The line that ties a document to a source file as it is now. Comments, layout and tests do not count.
fn tie_line(tree: &Tree, path: &str) -> Option<String> {
    let essence = tree.get(path)?.rust.as_ref()?.essence();
    let digest = Sha256::digest(essence.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{TIE}{path} sha256:{hex} -->"))
}

/// Prints the ties of all documents as they would be now; with `update` writes them into the documents. Always well.
///
/// # Errors
/// A file cannot be read or written.
pub fn print_hashes(root: &Path, update: bool) -> Result<bool> {
    let tree = Tree::read(root)?;
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        let mut text = String::with_capacity(file.text.len());
        for line in file.text.lines() {
            let path = line.strip_prefix(TIE).and_then(|tie| tie.split(' ').next());
            let now = path.and_then(|path| tie_line(&tree, path));
            if let Some(now) = &now {
                println!("{}: {now}{}", file.path, if now == line { "" } else { "  (changed)" });
            }
            text.push_str(now.as_deref().unwrap_or(line));
            text.push('\n');
        }
        if update && text != file.text {
            fs::write(root.join(&file.path), text).with_context(|| format!("writing {}", file.path))?;
        }
    }
    Ok(true)
}

/// Decision records have unique numbers and say whether they hold.
fn check_records(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut numbers: Vec<&str> = Vec::new();
    for file in &tree.files {
        let Some(name) = file.path.strip_prefix("docs/adr/") else {
            continue;
        };
        let number = name.split('-').next().unwrap_or("");
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) || !name.ends_with(".md") {
            findings.push(Finding::new(&file.path, 0, "record", "name it NNNN-title.md"));
            continue;
        }
        if numbers.contains(&number) {
            findings.push(Finding::new(
                &file.path,
                0,
                "record",
                format!("number {number} is taken: take the next free one"),
            ));
        }
        numbers.push(number);
        let status = file
            .text
            .lines()
            .find_map(|line| line.trim_start_matches(['*', '-', ' ']).strip_prefix("Status"));
        let status = status.map(|status| status.trim_start_matches([':', '*', ' ']));
        let known = status.is_some_and(|status| {
            status.starts_with("Proposed")
                || status.starts_with("Accepted")
                || status.starts_with("Superseded by ")
        });
        if !known {
            let message = "needs a line `Status: Proposed`, `Accepted` or `Superseded by NNNN`";
            findings.push(Finding::new(&file.path, 0, "record", message));
        }
    }
}
