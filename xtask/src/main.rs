//! `cargo xtask COMMAND`: the one entry to the workshop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::{golden, graph, licences, tidy, verify};

const USAGE: &str = "cargo xtask COMMAND
  tidy                    the rules that neither the compiler nor clippy knows
  licences                licences, banned packages and packages in two versions, offline
  verify                  all that is quick and changes nothing: format, tidy, licences, clippy, docs
  fix                     all that may rewrite files: format, clippy's own corrections
  golden [FILE] [--update]  run the golden scripts; with --update write what came out and show the difference
  hash [--update]         the lines that tie format documents to the code that they describe
  graph                   crates, their edges and their sizes";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
fn run() -> Result<bool> {
    let root = root();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::report(&root),
        ["licences"] => licences::report(&root),
        ["verify"] => verify::verify(&root),
        ["fix"] => verify::fix(&root),
        ["golden", rest @ ..] => golden::run(&root, rest),
        ["hash"] => tidy::docs::print_hashes(&root, false),
        ["hash", "--update"] => tidy::docs::print_hashes(&root, true),
        ["graph"] => graph::print(&root),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => bail!("unknown command: {}\n{USAGE}", words.join(" ")),
    }
}

/// The workspace: the folder above this package. Cargo says at run time where that is; a binary that was built in one
/// checkout and is run in another must not look at the first.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    package.parent().unwrap_or(package).to_owned()
}
