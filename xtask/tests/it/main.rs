//! The repository is tidy, and tidy would say so if it were not: each rule is broken once in a small tree of its own, because
//! a check that cannot fail proves nothing.

mod planted;

use std::path::Path;

use xtask::tidy;

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package stands below the root");
    let findings = tidy::check(root, tidy::EXEMPTIONS).expect("the tree can be read");
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}:{}: [{}] {}", finding.path, finding.line, finding.rule, finding.message))
        .collect();
    assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}
