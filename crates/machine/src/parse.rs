//! From text to a definition: TOML and JSON through one spanned tree, every fault and warning at once.

use std::sync::Arc;

use crate::definition::Definition;
use crate::diagnostic::Diagnostic;

/// The most bytes that the text of a definition may have.
pub const SOURCE_BYTES_MAX: usize = 1024 * 1024;

/// How a definition is written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// TOML: the documentation's default.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// The format that a file name's ending says: `.json` is JSON, `.toml` is TOML.
    pub fn of_file_name(name: &str) -> Option<Format> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "toml" => Some(Format::Toml),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

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
    pub fn strict(self) -> Checked {
        unimplemented!()
    }
}

/// Checks a definition.
pub fn parse(_text: &str, _format: Format) -> Checked {
    unimplemented!()
}

/// Checks a definition that may not be UTF-8 (then that is the one fault).
pub fn parse_bytes(_bytes: &[u8], _format: Format) -> Checked {
    unimplemented!()
}
