//! The files that may break a rule, each with its reason. Short lists stay honest: what is not needed any more must go.

use crate::tidy::Finding;

/// Lets one file break one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemption {
    /// The rule.
    pub rule: &'static str,
    /// The file.
    pub path: &'static str,
    /// Why it may.
    pub reason: &'static str,
}

/// All exemptions of this repository.
pub const EXEMPTIONS: &[Exemption] = &[
    Exemption {
        rule: "foreign",
        path: "xtask/tests/it/planted.rs",
        reason: "it plants such paths to see them found",
    },
    Exemption {
        rule: "pure",
        path: "crates/sim/src/main.rs",
        reason: "it stops after the minutes that it was given and dates a failing run; no run sees these clocks",
    },
];

/// The findings that no exemption covers, and one for each exemption that covers none.
pub(crate) fn apply(findings: &[Finding], exemptions: &[Exemption]) -> Vec<Finding> {
    let covers = |exemption: &Exemption, finding: &Finding| {
        exemption.rule == finding.rule && exemption.path == finding.path
    };
    let unused =
        exemptions.iter().filter(|exemption| !findings.iter().any(|finding| covers(exemption, finding)));
    let unused = unused.map(|exemption| {
        let message = format!(
            "the exemption from \"{}\" ({}) is not needed: remove it from xtask/src/tidy/exemptions.rs",
            exemption.rule, exemption.reason
        );
        Finding::new(exemption.path, 0, "exemption", message)
    });
    let mut left: Vec<Finding> = unused.collect();
    left.extend(
        findings
            .iter()
            .filter(|finding| !exemptions.iter().any(|exemption| covers(exemption, finding)))
            .cloned(),
    );
    left.sort();
    left
}
