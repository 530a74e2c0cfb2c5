//! Rules for files as files: their size, their first line, what may not be written in them, golden files.

use crate::tidy::{Finding, Tree};

/// The most lines of code in a file, without comments, and without tests beside the code that they test.
const CODE_LINES_MAX: usize = 600;
/// The largest file.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What may stand in no file, because it is true only on one machine or for the people of one day.
const FOREIGN: &[(&str, &str)] = &[
    (concat!("/", "home/"), "a path of one machine: use a relative path or a placeholder"),
    (concat!("/", "root/"), "a path of one machine: use a relative path or a placeholder"),
    (concat!("/", "Users/"), "a path of one machine: use a relative path or a placeholder"),
    (concat!("/", "work/"), "a path of one machine: use a relative path or a placeholder"),
    (concat!("../", "shared"), "a folder outside of this repository: write the reason in own words"),
];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, size) in &tree.sizes {
        if *size > FILE_BYTES_MAX {
            let message = format!("{size} bytes, the limit is {FILE_BYTES_MAX}: generate it, or split it");
            findings.push(Finding::new(path, 0, "file-size", message));
        }
    }
    check_shape(tree, findings);
    check_foreign(tree, findings);
    check_registries(tree, findings);
    check_golden(tree, findings);
}

/// The first line and the length of Rust files.
fn check_shape(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, rust) in tree.rust() {
        if !file.text.starts_with("//!") {
            let message = "the first line must be //! and say what this file holds and why it exists";
            findings.push(Finding::new(&file.path, 1, "first-line", message));
        }
        let lines = rust.code_lines(file.is_test());
        if lines > CODE_LINES_MAX {
            let message = format!(
                "{lines} lines of code, the limit is {CODE_LINES_MAX}: split the file by what it holds"
            );
            findings.push(Finding::new(&file.path, 0, "file-lines", message));
        }
    }
}

fn check_foreign(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        for (number, line) in file.text.lines().enumerate() {
            for (pattern, what) in FOREIGN {
                if line.contains(pattern) {
                    let message = format!("\"{pattern}\" is {what}");
                    findings.push(Finding::new(&file.path, number + 1, "foreign", message));
                }
            }
        }
    }
}

/// Packages come from crates.io by cargo's own means; how one machine reaches it is that machine's configuration.
fn check_registries(tree: &Tree, findings: &mut Vec<Finding>) {
    const CRATES_IO: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    for file in &tree.files {
        for (number, line) in file.text.lines().enumerate() {
            let lock =
                file.path.ends_with("Cargo.lock") && line.starts_with("source = ") && line != CRATES_IO;
            let config = file.path.contains(".cargo/config")
                && ["[source", "[registr", "[http", "[net", "[env"]
                    .iter()
                    .any(|table| line.starts_with(table));
            if lock {
                let message = "a package from elsewhere than crates.io: depend on a published version";
                findings.push(Finding::new(&file.path, number + 1, "registry", message));
            }
            if config {
                let message = "how a machine reaches its registry does not belong here: only the alias does";
                findings.push(Finding::new(&file.path, number + 1, "registry", message));
            }
        }
    }
}

/// Files below a folder called `golden` or `corpus` end with a line end, and some test of the same room reads the folder or
/// names the file.
fn check_golden(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        let mut parts: Vec<&str> = file.path.split('/').collect();
        let name = parts.pop().unwrap_or("");
        let Some(folder) = parts.iter().find(|part| **part == "golden" || **part == "corpus") else {
            continue;
        };
        if file.path.ends_with(".rs") {
            continue;
        }
        if !file.text.ends_with('\n') {
            findings.push(Finding::new(
                &file.path,
                0,
                "golden-end",
                "must end with a line end: run the update again",
            ));
        }
        let referenced = tree.rust().any(|(source, rust)| {
            let named = rust.with_strings.contains(name);
            let walked = rust.with_strings.contains(&format!("\"{folder}\""))
                || rust.with_strings.contains(&format!("/{folder}\""))
                || rust.with_strings.contains(&format!("\"{folder}/"))
                || rust.with_strings.contains(&format!("/{folder}/"));
            named || (walked && (source.room() == file.room() || source.room() == "sim"))
        });
        if !referenced {
            let message = "no test names this file or reads its folder: add the test or remove the file";
            findings.push(Finding::new(&file.path, 0, "golden-unused", message));
        }
    }
}
