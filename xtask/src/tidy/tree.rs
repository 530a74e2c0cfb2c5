//! The files that tidy looks at: those that git knows or would take, else all below the root but build output.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tidy::rust_text::RustText;

/// One file that is text.
#[derive(Debug)]
pub struct TextFile {
    /// From the root of the workspace, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Its content as Rust, if it is Rust.
    pub rust: Option<RustText>,
}

/// The files of a workspace.
#[derive(Debug)]
pub struct Tree {
    /// The text files, sorted by path.
    pub files: Vec<TextFile>,
    /// Path and size in bytes of every file, text or not.
    pub sizes: Vec<(String, u64)>,
}

impl Tree {
    /// Reads the tree below `root`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(root: &Path) -> Result<Tree> {
        let mut paths = match git_files(root) {
            Some(paths) => paths,
            None => walk(root, "")?,
        };
        paths.sort();
        let mut tree = Tree { files: Vec::new(), sizes: Vec::new() };
        for path in paths {
            let bytes = match fs::read(root.join(&path)) {
                Ok(bytes) => bytes,
                // Removed but not yet committed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("reading {path}")),
            };
            tree.sizes.push((path.clone(), bytes.len() as u64));
            if let Ok(text) = String::from_utf8(bytes) {
                let rust = path.ends_with(".rs").then(|| RustText::new(&text));
                tree.files.push(TextFile { path, text, rust });
            }
        }
        Ok(tree)
    }

    /// The file at this path.
    pub fn get(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&TextFile, &RustText)> {
        self.files.iter().filter_map(|file| file.rust.as_ref().map(|rust| (file, rust)))
    }
}

impl TextFile {
    /// The short name of the crate that the file belongs to: `core` for `crates/core/src/raft.rs`, `xtask`, `e2e`, `examples`, or `""`.
    pub fn room(&self) -> &str {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates") => parts.next().unwrap_or(""),
            Some(top @ ("xtask" | "e2e" | "examples")) => top,
            _ => "",
        }
    }

    /// Whether all of the file is test code.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "benches")
            || self.path.ends_with("tests.rs")
    }
}

/// What git tracks or would track, if the root is a repository and git is there.
fn git_files(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.split_terminator('\0').map(str::to_owned).collect())
}

/// All files below a folder, but what cargo and git keep for themselves.
fn walk(root: &Path, below: &str) -> Result<Vec<String>> {
    let folder = root.join(below);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name == "target" || name == ".git" {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            paths.extend(walk(root, &path)?);
        } else {
            paths.push(path);
        }
    }
    Ok(paths)
}
