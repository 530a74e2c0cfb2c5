//! Canonical JSON (RFC 8785): the one text of a value, so that a hash names it.
//!
//! Keys are sorted by UTF-16 code units (3.2.3), strings escaped as ECMAScript does (3.2.2.2), no white space. Numbers are
//! integers only, written in decimal digits: within 2^53 that is what RFC 8785 gives; beyond it the digits stay exact where
//! the RFC would round (such a number is told as a warning when a definition is checked).

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::hash::Hash;
use crate::value::{Member, Value};

/// The SHA-256 of a text.
pub(crate) fn hash_of(text: &str) -> Hash {
    Hash(Sha256::digest(text.as_bytes()).into())
}

/// The canonical text of a value.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        // A faulty value never gets here: what has faults is not written. `null` keeps the function total.
        Value::Null | Value::Faulty => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_value(out, &item.value);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<&Member> = members.iter().collect();
            sorted.sort_by(|a, b| a.key.encode_utf16().cmp(b.key.encode_utf16()));
            out.push('{');
            for (place, member) in sorted.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_string(out, &member.key);
                out.push(':');
                write_value(out, &member.item.value);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
