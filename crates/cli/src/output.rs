//! Results on stdout: a table for people, the interface's JSON for programs. A reader that goes away (`| head`) ends the output
//! quietly, whatever the command does next.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use comfy_table::{ColumnConstraint, Table, Width, presets};
use quorate_api::meaning::Exit;
use serde::Serialize;

use crate::args::OutputFormat;
use crate::failure::Failure;

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) format: OutputFormat,
    /// Whether the reader has gone away.
    closed: bool,
}

impl Output {
    pub(crate) fn new(format: OutputFormat) -> Output {
        Output { format, closed: false }
    }

    /// Whether the reader has gone away: a long listing may stop.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether people read it.
    pub(crate) fn is_table(&self) -> bool {
        self.format == OutputFormat::Table
    }

    /// One line, or several.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = anstream::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(Exit::Error, format!("cannot write to stdout: {error}"))),
        }
    }

    /// A value of the interface: indented as `json`, on one line as `jsonl`.
    pub(crate) fn value<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = match self.format {
            OutputFormat::Table | OutputFormat::Json => serde_json::to_string_pretty(value),
            OutputFormat::Jsonl => serde_json::to_string(value),
        };
        let text =
            text.map_err(|error| Failure::new(Exit::Error, format!("cannot write as JSON: {error}")))?;
        self.line(&text)
    }

    /// A table with a head.
    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        self.page(&mut Columns::default(), head, rows)
    }

    /// One page of a long table: the first one writes the head and sets the least widths of all that follow.
    pub(crate) fn page(
        &mut self,
        columns: &mut Columns,
        head: &[&str],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let with_head = columns.widths.is_empty();
        if with_head {
            table.add_row(head.to_vec());
        }
        table.add_rows(rows);
        if with_head {
            columns.widths = table.column_max_content_widths();
        }
        for (column, width) in table.column_iter_mut().zip(&columns.widths) {
            column.set_padding((0, 2));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + 2)));
        }
        if table.row_iter().next().is_none() {
            return Ok(());
        }
        let text = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        self.line(&text.join("\n"))
    }
}

/// The widths of a table that is written page by page.
#[derive(Default, Debug)]
pub(crate) struct Columns {
    widths: Vec<u16>,
}

/// A moment of the log's clock, in UTC.
pub(crate) fn moment(time_ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(time_ms));
    // Later than the year 9999 has no such form; a clock gone mad is shown as the number that it gave.
    match time.filter(|_| time_ms < 253_402_300_800_000) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => format!("{time_ms} ms"),
    }
}

/// An entry of the log, as term and index.
pub(crate) fn entry(term: u64, index: u64) -> String {
    format!("{term}:{index}")
}

/// A number with its thousands apart.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
