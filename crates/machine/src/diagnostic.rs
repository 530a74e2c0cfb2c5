//! What is wrong or suspicious in a definition, with its place in the source.

use std::fmt::Write as _;

use crate::format::Format;
use crate::suggest::did_you_mean;

/// A range of bytes of the source.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// How bad it is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The definition means nothing as it stands: it is refused.
    Fault,
    /// Accepted, but probably not what was meant.
    Warning,
}

/// One thing that is wrong or suspicious in a definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The key that it is about, as in `states.Running.on.stop`; empty for the whole document.
    pub path: String,
    /// The place in the source.
    pub span: Span,
    /// The line of the span's start, from 1.
    pub line: usize,
    /// The column of the span's start, from 1, counted in characters.
    pub column: usize,
}

impl Diagnostic {
    /// The diagnostic as text for people: the message, the place, the source line with a caret under it, the hint. Ends with
    /// a line break. `file` is shown as it is given; `source` is the text that was parsed.
    ///
    /// ```text
    /// error: unknown target "Runing"
    ///  --> job.toml:8:12
    ///   |
    /// 8 | on.start = "Runing"
    ///   |            ^^^^^^^^ states.Init.on.start
    ///   = help: did you mean "Running"?
    /// ```
    pub fn render(&self, file: &str, source: &str) -> String {
        let word = match self.severity {
            Severity::Fault => "error",
            Severity::Warning => "warning",
        };
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (line, shift) = window(source.lines().nth(self.line - 1).unwrap_or(""), self.column - 1);
        let before = self.column - 1 - shift;
        let indent: String =
            line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect::<String>();
        let marked = source.get(self.span.start..self.span.end).unwrap_or("");
        let room = line.chars().count().saturating_sub(before).max(1);
        let carets = marked.lines().next().map_or(1, |text| text.chars().count()).clamp(1, room);

        let mut out = String::new();
        let _ = writeln!(out, "{word}: {}", self.message);
        let _ = writeln!(out, "{margin}--> {file}:{}:{}", self.line, self.column);
        let _ = writeln!(out, "{margin} |");
        let _ = writeln!(out, "{}", format!("{number} | {line}").trim_end());
        let label = format!("{margin} | {indent}{} {}", "^".repeat(carets), self.path);
        let _ = writeln!(out, "{}", label.trim_end());
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{margin} = help: {hint}");
        }
        out
    }
}

/// The part of a line around a column, and how many characters were left out before it: a definition may be one very long
/// line of JSON. Control characters are shown as a replacement: a source cannot steer the terminal.
fn window(line: &str, column: usize) -> (String, usize) {
    let shift = if column > LINE_CHARS_MAX * 3 / 4 { column - LINE_CHARS_MAX / 2 } else { 0 };
    let shown = line.chars().skip(shift).take(LINE_CHARS_MAX);
    (shown.map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect(), shift)
}

const LINE_CHARS_MAX: usize = 160;

/// Collects what is found in one source; places become lines and columns at the end.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) format: Format,
    faults: Findings,
    warnings: Findings,
}

/// Faults, or warnings: the first ones in full, the rest only counted.
#[derive(Debug, Default)]
struct Findings {
    kept: Vec<Finding>,
    beyond: usize,
}

#[derive(Debug)]
struct Finding {
    span: Span,
    path: String,
    message: String,
    hint: Option<String>,
}

/// The most faults, and the most warnings, that one check tells in full.
const DIAGNOSTICS_MAX: usize = 100;

impl Report {
    pub(crate) fn new(format: Format) -> Report {
        Report { format, faults: Findings::default(), warnings: Findings::default() }
    }

    pub(crate) fn fault(&mut self, span: Span, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.faults.add(span, path, message, hint);
    }

    pub(crate) fn warning(
        &mut self,
        span: Span,
        path: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.warnings.add(span, path, message, hint);
    }

    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.kept.is_empty()
    }

    /// "Did you mean", for a fault that is going to be told. Beyond the faults that are kept nothing is compared: a source of
    /// many thousand wrong names must not cost as many comparisons with all right ones.
    pub(crate) fn suggestion<'a>(
        &self,
        word: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        if self.faults.kept.len() >= DIAGNOSTICS_MAX {
            return None;
        }
        did_you_mean(word, names).map(|name| format!("did you mean {name:?}?"))
    }

    /// The first fault in words, for those who have no source to show.
    pub(crate) fn first_fault(&self) -> Option<String> {
        let Finding { path, message, .. } = self.faults.kept.first()?;
        Some(if path.is_empty() { message.clone() } else { format!("{path}: {message}") })
    }

    /// Faults and warnings, each in order of the source.
    pub(crate) fn finish(self, source: &str) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        (self.faults.finish(Severity::Fault, source), self.warnings.finish(Severity::Warning, source))
    }
}

impl Findings {
    fn add(&mut self, span: Span, path: &str, message: impl Into<String>, hint: Option<String>) {
        if self.kept.len() >= DIAGNOSTICS_MAX {
            self.beyond += 1;
            return;
        }
        self.kept.push(Finding { span, path: path.to_owned(), message: message.into(), hint });
    }

    fn finish(mut self, severity: Severity, source: &str) -> Vec<Diagnostic> {
        self.kept.sort_by_key(|finding| finding.span.start);
        let mut lines = Lines::new(source);
        let place = |Finding { span, path, message, hint }| {
            let (line, column) = lines.place(span.start);
            Diagnostic { severity, message, hint, path, span, line, column }
        };
        let mut told: Vec<Diagnostic> = self.kept.into_iter().map(place).collect();
        if let (true, Some(last)) = (self.beyond > 0, told.last()) {
            let message = format!("and {} more, not shown", self.beyond);
            told.push(Diagnostic { message, hint: None, path: String::new(), ..last.clone() });
        }
        told
    }
}

/// Turns rising byte places into lines and columns in one pass over the source.
struct Lines<'a> {
    source: &'a str,
    line: usize,
    line_start: usize,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str) -> Lines<'a> {
        Lines { source, line: 1, line_start: 0 }
    }

    /// Line and column, both from 1, of a byte place that is not before the line of the one asked for last.
    fn place(&mut self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        while let Some(length) = self.source[self.line_start..at].find('\n') {
            self.line_start += length + 1;
            self.line += 1;
        }
        (self.line, self.source[self.line_start..at].chars().count() + 1)
    }
}
