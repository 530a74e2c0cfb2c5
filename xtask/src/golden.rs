//! Golden scripts: runs them, and on request writes down what came out.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::verify::cargo;

/// The runner in crates/core/tests/it runs only the scripts whose names contain this.
const FILTER: &str = "QUORATE_GOLDEN_FILE";
/// If set, the runner writes what came out instead of comparing it.
const UPDATE: &str = "QUORATE_GOLDEN_UPDATE";

/// Runs the golden scripts, all or one; with `--update` writes their output and shows what has changed. Whether all is well.
///
/// # Errors
/// The arguments are wrong or a program cannot be started.
pub fn run(root: &Path, arguments: &[&str]) -> Result<bool> {
    let (mut file, mut update) = (None, false);
    for argument in arguments {
        match *argument {
            "--update" => update = true,
            option if option.starts_with('-') => bail!("unknown option {option}"),
            name if file.is_none() => file = Some(name),
            name => bail!("one file at a time, not also {name}"),
        }
    }
    let mut environment = Vec::new();
    if let Some(file) = file {
        environment.push((FILTER, file));
    }
    if update {
        environment.push((UPDATE, "1"));
    }
    let well = cargo(
        root,
        &["test", "--package", "quorate-core", "--test", "it", "golden", "--", "--nocapture"],
        &environment,
    )?;
    if update {
        Command::new("git")
            .current_dir(root)
            .args(["--no-pager", "diff", "--stat", "--patch", "--", "*golden*"])
            .status()
            .context("running git diff")?;
        println!("Commit only what you can explain.");
    }
    Ok(well)
}
