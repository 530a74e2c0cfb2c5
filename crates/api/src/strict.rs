//! What JSON allows and a program must not guess at: two equal keys in an object, of which a reader keeps one, and whole numbers that no
//! 64-bit integer holds, which a reader rounds. Data that is kept for ever must be what was sent.

use std::collections::BTreeSet;
use std::fmt;

/// What is wrong with a text of JSON, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonFault {
    /// The place within the document, as in `data.items[2].price`.
    pub path: String,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Looks through JSON that a parser has taken already, which is then nested no deeper than that parser allows. Of text that is no JSON
/// nothing is said.
///
/// # Errors
/// The first key that is there twice, or number that would be rounded.
pub fn check_json(text: &str) -> Result<(), JsonFault> {
    let mut open: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'{' | b'[' => {
                open.push(Level { is_object: *byte == b'{', ..Level::default() });
                at += 1;
            }
            b'}' | b']' => {
                open.pop();
                at += 1;
            }
            b',' => {
                if let Some(level) = open.last_mut() {
                    (level.place, level.has_key) = (level.place + 1, false);
                }
                at += 1;
            }
            b'"' => {
                let end = at + string_len(&text[at..]);
                if let Some(level) = open.last_mut().filter(|level| level.is_object && !level.has_key) {
                    let key = serde_json::from_str::<String>(&text[at..end]).unwrap_or_default();
                    level.has_key = true;
                    level.key.clone_from(&key);
                    if !level.keys.insert(key) {
                        let what = "the key is there twice; which value is meant?".to_owned();
                        return Err(JsonFault { path: path(&open), what });
                    }
                }
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let len = text[at..].bytes().take_while(|byte| b"+-.eE0123456789".contains(byte)).count();
                let number = &text[at..at + len];
                let is_whole = !number.contains(['.', 'e', 'E']);
                if is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    let what =
                        "the number fits no 64 bits and would be rounded; send it as a text".to_owned();
                    return Err(JsonFault { path: path(&open), what });
                }
                at += len;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// An object or a list that is open at a place of the text.
#[derive(Default)]
struct Level {
    is_object: bool,
    /// Whether the key of the member at this place was read, so that the next string is a value.
    has_key: bool,
    key: String,
    keys: BTreeSet<String>,
    /// Which member it is, from 0.
    place: usize,
}

/// The length of the string at the front of the text, with its quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn path(open: &[Level]) -> String {
    let mut path = String::new();
    for level in open {
        if !level.is_object {
            path.push_str(&format!("[{}]", level.place));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&level.key);
    }
    if path.is_empty() { "the document".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::check_json;

    #[test]
    fn a_key_that_is_there_twice_and_a_number_that_would_be_rounded_are_named_with_their_place() {
        let table = [
            (r#"{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}"#, ""),
            (r#"{"data":{"by":"ann","by":"bob"}}"#, "data.by: the key is there twice"),
            (r#"{"a":[1,{"x":{"k":"k","\u006b":2}}]}"#, "a[1].x.k: the key"),
            (r#"{"a":"\"}{,","a\\":1,"a\\":2}"#, "a\\: the key"),
            (r#"{"n":18446744073709551615,"m":-9223372036854775808}"#, ""),
            (r#"{"data":{"n":18446744073709551616}}"#, "data.n: the number fits no 64 bits"),
            (r#"[0, -9223372036854775809]"#, "[1]: the number"),
            ("123456789012345678901234567890", "the document: the number"),
            (r#"{"n":1e300,"m":0.1,"k":123456789012345678901234567890.5,"s":"99999999999999999999"}"#, ""),
            ("no JSON {\"", ""),
        ];
        for (text, words) in table {
            let told = check_json(text).err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(told.starts_with(words), "{text}: {told}");
            assert_eq!(told.is_empty(), words.is_empty(), "{text}: {told}");
        }
    }
}
