//! Progress on stderr: a bar when a person watches, else a line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::words;
use crate::output::number;

/// How often a line is written when nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How many rows are checked between two looks at the clock.
const ROWS_PER_LOOK: u64 = 1024;

/// Where progress goes.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    told: Instant,
    rows: u64,
}

impl Progress {
    /// Starts with the first pass over a file of this many bytes.
    pub(crate) fn check(file_bytes: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(file_bytes);
            bar.set_style(style("checking   {bar:40} {bytes:>12} of {total_bytes} {msg}"));
            bar
        });
        Progress { bar, started: Instant::now(), told: Instant::now(), rows: 0 }
    }

    /// A row was checked.
    pub(crate) fn checked(&mut self, row: u64, bytes: u64) {
        if !row.is_multiple_of(ROWS_PER_LOOK) {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_position(bytes),
            None if self.told.elapsed() >= LINE_EVERY => {
                self.told = Instant::now();
                words(&format!("checking: {} rows", number(row)));
            }
            None => {}
        }
    }

    /// The first pass is over; the rows are proposed now.
    pub(crate) fn start(&mut self, rows: u64) {
        self.rows = rows;
        self.started = Instant::now();
        self.told = Instant::now();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            let bar = ProgressBar::new(rows);
            bar.set_style(style(
                "proposing  {bar:40} {human_pos:>12} of {human_len} rows  {per_sec}  {eta} left  {msg}",
            ));
            self.bar = Some(bar);
        }
    }

    /// So many rows are answered. `stalled`: for how long nothing was answered, and why.
    pub(crate) fn answered(&mut self, rows: u64, stalled: Option<(Duration, String)>) {
        if let Some(bar) = &self.bar {
            bar.set_position(rows);
            bar.set_message(stalled.map(|(time, why)| waiting(time, &why)).unwrap_or_default());
            return;
        }
        if self.told.elapsed() < LINE_EVERY {
            return;
        }
        self.told = Instant::now();
        let percent = rows * 100 / self.rows.max(1);
        let rate = rate(rows, self.started.elapsed());
        let text =
            format!("{} of {} rows ({percent}%), {} rows/s", number(rows), number(self.rows), number(rate));
        match stalled {
            Some((time, why)) => words(&format!("{text}; {}", waiting(time, &why))),
            None => words(&text),
        }
    }

    /// Clears the bar. Returns how long the proposing took.
    pub(crate) fn finish(&mut self) -> Duration {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}

/// Rows in a second.
pub(crate) fn rate(rows: u64, time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    rows.saturating_mul(1000) / ms
}

fn waiting(time: Duration, why: &str) -> String {
    format!("no answer for {} s: {why}", time.as_secs())
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse would only cost the looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
