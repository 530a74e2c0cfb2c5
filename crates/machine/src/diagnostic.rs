//! What is wrong or suspicious in a definition, with its place in the source.

use std::fmt::Write as _;

use crate::parse::Format;

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
    found: Vec<(Severity, Span, String, String, Option<String>)>,
    /// How many were not kept, faults and warnings.
    beyond: [usize; 2],
    faults: usize,
    warnings: usize,
}

/// The most faults, and the most warnings, that one check tells in full.
const DIAGNOSTICS_MAX: usize = 100;

impl Report {
    pub(crate) fn new(format: Format) -> Report {
        Report { format, found: Vec::new(), beyond: [0, 0], faults: 0, warnings: 0 }
    }

    pub(crate) fn fault(&mut self, span: Span, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.faults += 1;
        if self.faults > DIAGNOSTICS_MAX {
            self.beyond[0] += 1;
            return;
        }
        self.found.push((Severity::Fault, span, path.to_owned(), message.into(), hint));
    }

    pub(crate) fn warning(
        &mut self,
        span: Span,
        path: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.warnings += 1;
        if self.warnings > DIAGNOSTICS_MAX {
            self.beyond[1] += 1;
            return;
        }
        self.found.push((Severity::Warning, span, path.to_owned(), message.into(), hint));
    }

    pub(crate) fn has_faults(&self) -> bool {
        self.faults > 0
    }

    /// The first fault in words, for those who have no source to show.
    pub(crate) fn first_fault(&self) -> Option<String> {
        let (_, _, path, message, _) = self.found.iter().find(|found| found.0 == Severity::Fault)?;
        Some(if path.is_empty() { message.clone() } else { format!("{path}: {message}") })
    }

    /// Faults and warnings, each in order of the source.
    pub(crate) fn finish(mut self, source: &str) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.found.sort_by_key(|found| found.1.start);
        let mut lines = Lines::new(source);
        let mut both = (Vec::new(), Vec::new());
        for (severity, span, path, message, hint) in self.found {
            let (line, column) = lines.place(span.start);
            let diagnostic = Diagnostic { severity, message, hint, path, span, line, column };
            match severity {
                Severity::Fault => both.0.push(diagnostic),
                Severity::Warning => both.1.push(diagnostic),
            }
        }
        for (list, beyond) in [(&mut both.0, self.beyond[0]), (&mut both.1, self.beyond[1])] {
            if let (true, Some(last)) = (beyond > 0, list.last()) {
                let message = format!("and {beyond} more, not shown");
                list.push(Diagnostic { message, hint: None, path: String::new(), ..last.clone() });
            }
        }
        both
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
