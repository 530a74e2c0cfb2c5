//! What was hit: over many runs, how often each class of fault, each extreme of a knob and each consequence came, and in how many runs.

use std::collections::BTreeMap;

use quorate_sim::hits;
use quorate_sim::world::Report;

/// The sums over many runs.
#[derive(Default)]
pub(crate) struct Table {
    /// All runs together.
    pub(crate) sum: Report,
    runs: BTreeMap<&'static str, u64>,
}

impl Table {
    /// Adds a run.
    pub(crate) fn add(&mut self, report: &Report) {
        self.sum.add(report);
        for (name, count) in &report.counters {
            *self.runs.entry(name).or_default() += u64::from(*count > 0);
        }
    }

    /// What should have been hit and was not.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        let hit = |name: &&str| self.runs.get(name).is_some_and(|runs| *runs > 0);
        hits::expected().into_iter().filter(|name| !hit(name)).collect()
    }

    /// Prints all of it, what must be hit first.
    pub(crate) fn print(&self) {
        println!("{:>12} {:>8}  must be hit", "times", "runs");
        let expected = hits::expected();
        for name in &expected {
            self.print_row(name);
        }
        println!("{:>12} {:>8}  may be hit", "times", "runs");
        for name in self.runs.keys().filter(|name| !expected.contains(name)) {
            self.print_row(name);
        }
    }

    fn print_row(&self, name: &str) {
        let times = self.sum.counters.get(name).copied().unwrap_or(0);
        let runs = self.runs.get(name).copied().unwrap_or(0);
        println!("{times:>12} {runs:>8}  {name}");
    }
}

/// What a run, or many, did.
pub(crate) fn print_report(report: &Report) {
    println!(
        "{} events, {} entries committed, {} writes acknowledged, {} reads, {} leaders",
        report.events, report.committed, report.acknowledged, report.reads, report.leaders
    );
}
