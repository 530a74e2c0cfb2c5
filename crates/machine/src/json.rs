//! JSON (RFC 8259) to the spanned tree, by hand: the libraries that give places either stop at nothing (comments, two equal
//! keys) or are large. Strict: no comments, no trailing commas. Bounded: depth by [`DEPTH_MAX`], size by the caller.

use crate::diagnostic::{Report, Span};
use crate::value::{DEPTH_MAX, Item, Member, Trail, Value};
use crate::wording::shown;

/// Reads one JSON value. A syntax error is told and ends the reading; two equal keys and numbers that are no 64-bit integers are
/// told and the reading goes on.
pub(crate) fn read(source: &str, report: &mut Report) -> Option<Item> {
    let mut reader = Reader { source, at: 0, trail: Trail::default(), report };
    if source.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    match reader.document() {
        Ok(item) => Some(item),
        Err(Stop { span, message, hint }) => {
            reader.report.fault(span, &reader.trail.to_string(), message, hint.map(str::to_owned));
            None
        }
    }
}

struct Reader<'a, 'r> {
    source: &'a str,
    at: usize,
    trail: Trail,
    report: &'r mut Report,
}

/// A syntax error.
struct Stop {
    span: Span,
    message: String,
    hint: Option<&'static str>,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<Item, Stop> {
        self.space();
        let item = self.item(0)?;
        self.space();
        match self.peek() {
            None => Ok(item),
            Some(_) => Err(self.unexpected("the end of the document", None)),
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item, Stop> {
        let start = self.at;
        if depth > DEPTH_MAX && matches!(self.peek(), Some(b'{' | b'[')) {
            return Err(self.stop_here(format!("nested more than {DEPTH_MAX} deep")));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected("a value", None)),
        };
        Ok(Item { value, span: Span { start, end: self.at } })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Stop> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        self.space();
        if self.eat(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes", self.comma_hint()));
            }
            let key = self.string()?;
            let key_span = Span { start, end: self.at };
            self.space();
            if !self.eat(b':') {
                return Err(self.unexpected("`:` after the key", None));
            }
            self.space();
            self.trail.push_key(&key);
            let item = self.item(depth + 1)?;
            if seen.insert(key.clone()) {
                members.push(Member { key, key_span, item });
            } else {
                self.report.fault(
                    key_span,
                    &self.trail.to_string(),
                    format!("duplicate key {}", shown(&key)),
                    None,
                );
            }
            self.trail.pop();
            self.space();
            if self.eat(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("`,` or `}`", None));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Stop> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.eat(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            self.space();
            if self.peek() == Some(b']') {
                return Err(self.unexpected("a value", self.comma_hint()));
            }
            self.trail.push_place(items.len());
            items.push(self.item(depth + 1)?);
            self.trail.pop();
            self.space();
            if self.eat(b']') {
                return Ok(Value::Array(items));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("`,` or `]`", None));
            }
        }
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.source[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    let message = "a control character in a string";
                    return Err(Stop {
                        hint: Some("write it as an escape, a line break as \\n"),
                        ..self.stop_here(message)
                    });
                }
                None => return Err(self.stop_here("the document ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        let start = self.at;
        self.at += 1;
        let escaped = self.peek();
        self.at += usize::from(escaped.is_some_and(|byte| byte.is_ascii()));
        Ok(match escaped {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.stop_from(start, "an unknown escape in a string")),
        })
    }

    /// The character of `\uXXXX`, or of a pair of them beyond the basic plane.
    fn unicode_escape(&mut self, start: usize) -> Result<char, Stop> {
        let first = self.four_hex_digits(start)?;
        let mut code = u32::from(first);
        if (0xd800..0xdc00).contains(&first) && self.source[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.four_hex_digits(start)?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x1_0000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(second) - 0xdc00);
            }
        }
        char::from_u32(code).ok_or_else(|| self.stop_from(start, "half of a surrogate pair is no character"))
    }

    fn four_hex_digits(&mut self, start: usize) -> Result<u16, Stop> {
        let digits = self.source.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else {
            return Err(self.stop_from(start, "`\\u` needs four hexadecimal digits"));
        };
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, Stop> {
        let start = self.at;
        let negative = self.eat(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (leading_zero && digits > 1) {
            let sign = if negative { "after `-`" } else { "here" };
            return Err(
                self.stop_from(start, format!("no number {sign}: digits without a leading zero are needed"))
            );
        }
        let mut integer = true;
        if self.eat(b'.') {
            integer = false;
            if self.digits() == 0 {
                return Err(self.stop_from(start, "a number ends after its point"));
            }
        }
        if self.eat(b'e') || self.eat(b'E') {
            integer = false;
            let _signed = self.eat(b'+') || self.eat(b'-');
            if self.digits() == 0 {
                return Err(self.stop_from(start, "a number ends after its exponent's `e`"));
            }
        }
        let text = &self.source[start..self.at];
        if let (true, Ok(number)) = (integer, text.parse()) {
            return Ok(Value::Int(number));
        }
        let hint = Some("write other numbers as strings".to_owned());
        let span = Span { start, end: self.at };
        self.report.fault(span, &self.trail.to_string(), "this number is not a 64-bit integer", hint);
        Ok(Value::Faulty)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Stop> {
        if self.source[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.unexpected("a value", None))
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn comma_hint(&self) -> Option<&'static str> {
        let before = self.source[..self.at].trim_end();
        before.ends_with(',').then_some("JSON allows no comma after the last one")
    }

    fn unexpected(&self, wanted: &str, hint: Option<&'static str>) -> Stop {
        let rest = &self.source[self.at..];
        let hint = if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#') {
            Some("JSON has no comments: write the definition in TOML, or use `description` or `meta`")
        } else {
            hint
        };
        let found = rest.chars().next().map_or("the end of the document".to_owned(), |c| format!("{c:?}"));
        Stop { hint, ..self.stop_here(format!("expected {wanted}, found {found}")) }
    }

    fn stop_here(&self, message: impl Into<String>) -> Stop {
        self.stop_from(self.at, message)
    }

    fn stop_from(&self, start: usize, message: impl Into<String>) -> Stop {
        let next = self.source[self.at..].chars().next().map_or(0, char::len_utf8);
        let end = if self.at > start { self.at } else { self.at + next };
        Stop { span: Span { start, end }, message: message.into(), hint: None }
    }
}
