//! The quick part of the gate, and its opposite: what may rewrite files.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{licences, tidy};

/// Everything that is quick and changes nothing; stops at the first failure. Whether all is well.
///
/// # Errors
/// A program cannot be started.
pub fn verify(root: &Path) -> Result<bool> {
    Ok(stage("format", || cargo(root, &["fmt", "--all", "--check"], &[]))?
        && stage("tidy", || tidy::report(root))?
        && stage("licences", || licences::report(root))?
        && stage("clippy", || {
            cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
        })?
        && stage("docs", || {
            cargo(root, &["doc", "--no-deps", "--workspace"], &[("RUSTDOCFLAGS", "-D warnings")])
        })?)
}

/// Everything that may rewrite files. Whether all went well.
///
/// # Errors
/// A program cannot be started.
pub fn fix(root: &Path) -> Result<bool> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"];
    Ok(stage("clippy", || cargo(root, &clippy, &[]))?
        && stage("format", || cargo(root, &["fmt", "--all"], &[]))?)
}

/// Runs one stage and prints how it went.
fn stage(name: &str, run: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let started = Instant::now();
    let well = run()?;
    let verdict = if well { "ok" } else { "FAILED" };
    println!("{name}: {verdict} ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(well)
}

/// Whether cargo succeeds.
pub(crate) fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<bool> {
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("running cargo {}", arguments.join(" ")))?;
    Ok(status.success())
}
