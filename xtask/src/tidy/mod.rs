//! Tidy: the rules of docs/style.md that neither the compiler nor clippy knows. Each message says what to do. A rule that one
//! file has to break is exempted here by name with its reason; an exemption that nothing needs any more is a finding itself.

pub mod docs;
mod edges;
mod exemptions;
mod files;
mod known_bugs;
mod modules;
mod naming;
mod planted;
mod rust_rules;
mod rust_text;
mod tree;

use std::path::Path;

use anyhow::Result;

pub use exemptions::{EXEMPTIONS, Exemption};
pub use rust_text::RustText;
pub use tree::{TextFile, Tree};

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the workspace, with `/`.
    pub path: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The rule's short name, as exemptions name it.
    pub rule: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    /// A finding about one line of a file, or about all of it if `line` is 0.
    pub(crate) fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, rule, message: message.into() }
    }
}

/// All findings in the tree below `root`, in order of files and lines.
///
/// # Errors
/// The tree cannot be read.
pub fn check(root: &Path, exemptions: &[Exemption]) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    files::check(&tree, &mut findings);
    modules::check(&tree, &mut findings);
    rust_rules::check(&tree, &mut findings);
    naming::check(&tree, &mut findings);
    edges::check(&tree, &mut findings);
    planted::check(&tree, &mut findings);
    docs::check(&tree, &mut findings);
    known_bugs::check(&tree, &mut findings);
    Ok(exemptions::apply(&findings, exemptions))
}

/// Prints all findings: whether there are none.
///
/// # Errors
/// The tree cannot be read.
pub fn report(root: &Path) -> Result<bool> {
    let findings = check(root, EXEMPTIONS)?;
    for finding in &findings {
        println!("{}:{}: [{}] {}", finding.path, finding.line, finding.rule, finding.message);
    }
    if !findings.is_empty() {
        println!("tidy: {} findings", findings.len());
    }
    Ok(findings.is_empty())
}
