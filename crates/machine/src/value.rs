//! The one tree under TOML and JSON: every key and value knows its place, so that one set of rules gives good carets in both.

use crate::diagnostic::Span;
use crate::format::Format;
use crate::wording::join;

/// The deepest nesting of arrays and objects.
pub(crate) const DEPTH_MAX: usize = 64;

/// A value and its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// A value of a definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    String(String),
    Array(Vec<Item>),
    /// Members in order of the source. Invariant: no key twice (the readers tell the second one as a fault and leave it out).
    Object(Vec<Member>),
    /// Something that the reader has told as a fault already: the rules pass over it in silence.
    Faulty,
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) item: Item,
}

impl Value {
    /// What people call this kind of value.
    pub(crate) fn kind(&self, format: Format) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => object_word(format),
            Value::Faulty => "a faulty value",
        }
    }

    /// A string made by us: it has no place in a source.
    pub(crate) fn string(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

/// What a set of keys is called in each language.
pub(crate) fn object_word(format: Format) -> &'static str {
    match format {
        Format::Toml => "a table",
        Format::Json => "an object",
    }
}

impl From<Value> for Item {
    fn from(value: Value) -> Item {
        Item { value, span: Span::default() }
    }
}

/// A member made by us: it has no place in a source.
pub(crate) fn member(key: &str, value: Value) -> Member {
    Member { key: key.to_owned(), key_span: Span::default(), item: value.into() }
}

/// The way to a value: kept as parts and written out only when something is told, because a source may be deep and wide.
#[derive(Default)]
pub(crate) struct Trail {
    parts: Vec<String>,
}

impl Trail {
    pub(crate) fn push_key(&mut self, key: &str) {
        self.parts.push(join("", key));
    }

    pub(crate) fn push_place(&mut self, place: usize) {
        self.parts.push(format!("[{place}]"));
    }

    pub(crate) fn pop(&mut self) {
        self.parts.pop();
    }
}

impl std::fmt::Display for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            let dot = if place > 0 && !part.starts_with('[') { "." } else { "" };
            write!(f, "{dot}{part}")?;
        }
        Ok(())
    }
}
