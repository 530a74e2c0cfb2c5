//! TOML to the spanned tree. The library finds every syntax error and every duplicate key at once, with places.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Report, Span};
use crate::value::{DEPTH_MAX, Item, Member, Trail, Value};

/// Reads a TOML document. With a syntax error there is no tree: what the library could save of it would only give false faults.
/// Duplicate keys alone leave a tree.
pub(crate) fn read(source: &str, report: &mut Report) -> Option<Item> {
    let (document, errors) = DeTable::parse_recoverable(source);
    let mut whole = true;
    for error in errors {
        let span = error.span().map_or(Span::default(), |range| Span { start: range.start, end: range.end });
        let key = source.get(span.start..span.end).unwrap_or("");
        if error.message() == "duplicate key" {
            report.fault(span, "", format!("duplicate key `{}`", key.escape_debug()), None);
        } else {
            whole = false;
            report.fault(span, "", error.message(), None);
        }
    }
    let mut reader = Reader { trail: Trail::default(), report };
    let value = reader.table(document.into_inner(), 0, Span::default());
    whole.then_some(Item { value, span: Span::default() })
}

struct Reader<'r> {
    trail: Trail,
    report: &'r mut Report,
}

impl Reader<'_> {
    fn table(&mut self, table: DeTable<'_>, depth: usize, span: Span) -> Value {
        if depth > DEPTH_MAX {
            self.too_deep(span);
            dismantle(DeValue::Table(table));
            return Value::Faulty;
        }
        let mut members = Vec::with_capacity(table.len());
        for (key, value) in table {
            let key_span = span_of(&key);
            let key = key.into_inner().into_owned();
            self.trail.push_key(&key);
            let item = self.item(value, depth + 1, key_span);
            self.trail.pop();
            members.push(Member { key, key_span, item });
        }
        members.sort_by_key(|member| member.key_span);
        Value::Object(members)
    }

    fn item(&mut self, spanned: Spanned<DeValue<'_>>, depth: usize, key_span: Span) -> Item {
        let span = match span_of(&spanned) {
            // The table that a dotted key implies has no place of its own.
            Span { start: 0, end: 0 } => key_span,
            span => span,
        };
        let value = match spanned.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Int(number),
                Err(_) => self.no_integer(span),
            },
            DeValue::Float(_) => self.no_integer(span),
            DeValue::Datetime(_) => {
                self.report.fault(
                    span,
                    "",
                    "a date is no JSON value",
                    Some("write it as a string".to_owned()),
                );
                Value::Faulty
            }
            DeValue::Array(items) if depth > DEPTH_MAX => {
                self.too_deep(span);
                dismantle(DeValue::Array(items));
                Value::Faulty
            }
            DeValue::Array(items) => {
                let item = |(place, item)| {
                    self.trail.push_place(place);
                    let item = self.item(item, depth + 1, span);
                    self.trail.pop();
                    item
                };
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            DeValue::Table(table) => self.table(table, depth, span),
        };
        Item { value, span }
    }

    fn no_integer(&mut self, span: Span) -> Value {
        let hint = Some("write other numbers as strings".to_owned());
        self.report.fault(span, &self.trail.to_string(), "this number is not a 64-bit integer", hint);
        Value::Faulty
    }

    fn too_deep(&mut self, span: Span) {
        self.report.fault(span, &self.trail.to_string(), format!("nested more than {DEPTH_MAX} deep"), None);
    }
}

fn span_of<T>(spanned: &Spanned<T>) -> Span {
    let range = spanned.span();
    Span { start: range.start, end: range.end }
}

/// Frees a tree that may be as deep as the source has dots in a key: level by level, because the tree's own drop calls itself
/// for each level and would exhaust the stack.
fn dismantle(value: DeValue<'_>) {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            DeValue::Table(table) => waiting.extend(table.into_iter().map(|(_, value)| value.into_inner())),
            DeValue::Array(items) => waiting.extend(items.into_iter().map(Spanned::into_inner)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}
