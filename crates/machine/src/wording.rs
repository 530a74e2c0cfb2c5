//! How keys, paths and texts from outside are written in messages, alike in every fault and warning.

use crate::diagnostic::Report;
use crate::format::Format;
use crate::names::check_name;

/// How a key is given a value in the source's language.
pub(crate) fn assignment(report: &Report, key: &str, value: &str) -> String {
    match report.format {
        Format::Toml => format!("`{key} = {value}`"),
        Format::Json => format!("`\"{key}\": {value}`"),
    }
}

/// A path with one more key.
pub(crate) fn join(path: &str, key: &str) -> String {
    let key = if check_name(key).is_ok() { key.to_owned() } else { shown(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A text from outside in quotes, escaped, and cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
