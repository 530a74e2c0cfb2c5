//! What is wrong or suspicious in a definition, with its place in the source.

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
    /// The diagnostic as text for people: the message, the place, the source line and a caret under it, the hint.
    /// `file` is shown as it is given; `source` is the text that was parsed.
    pub fn render(&self, _file: &str, _source: &str) -> String {
        unimplemented!()
    }
}
