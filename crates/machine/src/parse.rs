//! From text to a definition: TOML and JSON through one spanned tree, every fault and warning at once.

use std::sync::Arc;

use crate::definition::Definition;
use crate::diagnostic::{Diagnostic, Report, Severity, Span};
use crate::format::Format;
use crate::lint::lint;
use crate::{json, toml_tree, validate};

/// The most bytes that the text of a definition may have.
pub const SOURCE_BYTES_MAX: usize = 1024 * 1024;

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The definition; `None` exactly when there are faults.
    pub definition: Option<Arc<Definition>>,
    /// What makes the definition meaningless, in order of the source.
    pub faults: Vec<Diagnostic>,
    /// What is merely suspicious, in order of the source.
    pub warnings: Vec<Diagnostic>,
}

impl Checked {
    /// The same check with warnings as faults.
    #[must_use]
    pub fn strict(mut self) -> Checked {
        let warnings = self.warnings.drain(..);
        self.faults.extend(warnings.map(|warning| Diagnostic { severity: Severity::Fault, ..warning }));
        self.faults.sort_by_key(|fault| fault.span.start);
        if !self.faults.is_empty() {
            self.definition = None;
        }
        self
    }
}

/// Checks a definition. Never panics; text above [`SOURCE_BYTES_MAX`] is a fault and is not read.
pub fn parse(text: &str, format: Format) -> Checked {
    let mut report = Report::new(format);
    if text.len() > SOURCE_BYTES_MAX {
        let message = format!("the definition has {} bytes, the limit is {SOURCE_BYTES_MAX}", text.len());
        report.fault(Span::default(), "", message, None);
        return finish(None, report, text);
    }
    let root = match format {
        Format::Toml => toml_tree::read(text, &mut report),
        Format::Json => json::read(text, &mut report),
    };
    let draft = root.as_ref().and_then(|root| validate::draft(root, &mut report));
    let definition = match (draft, root) {
        (Some(draft), Some(root)) if !report.has_faults() => {
            lint(&draft, &root, &mut report);
            Some(Arc::new(Definition::build(&draft)))
        }
        _ => None,
    };
    finish(definition, report, text)
}

/// Checks a definition that may not be UTF-8 (then that is the one fault).
pub fn parse_bytes(bytes: &[u8], format: Format) -> Checked {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, format),
        Err(error) => {
            let mut report = Report::new(format);
            let valid = bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
            let valid = valid.unwrap_or("");
            let span = Span { start: valid.len(), end: valid.len() };
            report.fault(span, "", "the text is not UTF-8", None);
            finish(None, report, valid)
        }
    }
}

fn finish(definition: Option<Arc<Definition>>, report: Report, source: &str) -> Checked {
    let (faults, warnings) = report.finish(source);
    Checked { definition, faults, warnings }
}
