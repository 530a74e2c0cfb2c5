//! What an import did: the counts at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;
use crate::import::progress::rate;
use crate::output::{Output, number};

/// What became of the rows so far.
#[derive(Clone, Default, Debug, Serialize)]
pub(crate) struct Counts {
    /// Ids that this file created, in this run or an earlier one.
    pub(crate) created: u64,
    /// Ids that were there before.
    pub(crate) existed: u64,
    /// Rows by what was decided.
    pub(crate) committed: u64,
    pub(crate) ignored: u64,
    pub(crate) rejected: u64,
    /// The rejected ones by their code.
    pub(crate) rejected_by_code: BTreeMap<String, u64>,
    /// Of the committed, ignored and rejected rows those that were decided before this run began: their answers are told once more.
    pub(crate) answered_before: u64,
    /// Rows that an earlier run proposed and whose answer the cluster no longer keeps.
    pub(crate) answered_earlier: u64,
}

/// The result of an import.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) file: String,
    pub(crate) machine: String,
    /// The session that the request ids belong to, in hex.
    pub(crate) session: String,
    pub(crate) rows: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Where the rejected rows were written, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejected_file: Option<String>,
    pub(crate) elapsed_ms: u64,
    pub(crate) rows_per_s: u64,
}

/// The result of a dry run.
#[derive(Debug, Serialize)]
pub(crate) struct DryReport {
    pub(crate) file: String,
    pub(crate) machine: String,
    pub(crate) dry_run: bool,
    pub(crate) rows: u64,
    pub(crate) ids: u64,
    /// False when there are more ids than are counted.
    pub(crate) ids_exact: bool,
    /// Rows by the event that they name.
    pub(crate) events: BTreeMap<String, u64>,
    /// Rows by the state that they name.
    pub(crate) targets: BTreeMap<String, u64>,
}

impl Counts {
    /// All rows that were answered.
    pub(crate) fn rows(&self) -> u64 {
        self.committed + self.ignored + self.rejected + self.answered_earlier
    }
}

impl Report {
    pub(crate) fn set_time(&mut self, time: Duration) {
        self.elapsed_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.rows_per_s = rate(self.counts.rows(), time);
    }

    pub(crate) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        if !output.is_table() {
            return output.value(self);
        }
        let counts = &self.counts;
        let mut rows = vec![
            row("rows", self.rows),
            row("ids created", counts.created),
            row("ids that existed", counts.existed),
            row("committed", counts.committed),
            row("ignored", counts.ignored),
            row("rejected", counts.rejected),
        ];
        rows.extend(counts.rejected_by_code.iter().map(|(code, count)| row(&format!("- {code}"), *count)));
        if counts.answered_earlier > 0 {
            rows.push(row("answered earlier", counts.answered_earlier));
        }
        if counts.answered_before > 0 {
            rows.push(row("of these, decided by an earlier import", counts.answered_before));
        }
        let seconds = format!("{}.{:01} s", self.elapsed_ms / 1000, self.elapsed_ms % 1000 / 100);
        rows.push(vec!["elapsed".to_owned(), seconds]);
        rows.push(vec!["rate".to_owned(), format!("{} rows/s", number(self.rows_per_s))]);
        if let Some(file) = &self.rejected_file {
            rows.push(vec!["rejected rows in".to_owned(), file.clone()]);
        }
        output.table(&["IMPORT", &self.machine], rows)
    }
}

impl DryReport {
    pub(crate) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        if !output.is_table() {
            return output.value(self);
        }
        let ids = if self.ids_exact { number(self.ids) } else { format!("more than {}", number(self.ids)) };
        let mut rows = vec![row("rows", self.rows), vec!["ids".to_owned(), ids]];
        rows.extend(self.events.iter().map(|(name, count)| row(&format!("event {name}"), *count)));
        rows.extend(self.targets.iter().map(|(name, count)| row(&format!("to {name}"), *count)));
        output.table(&["DRY RUN", &self.machine], rows)
    }
}

fn row(name: &str, count: u64) -> Vec<String> {
    vec![name.to_owned(), number(count)]
}
