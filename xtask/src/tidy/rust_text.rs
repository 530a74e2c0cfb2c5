//! Rust source as text, with comments and the content of strings told apart from code. Not a parser: enough to count lines
//! and to find words, and simple enough to trust.

/// One Rust file.
#[derive(Debug)]
pub struct RustText {
    /// The source with comments and the content of strings and characters replaced by spaces; lines stay where they are.
    pub code: String,
    /// The source with comments alone replaced by spaces.
    pub with_strings: String,
    /// For each line, whether it stands in an item marked `#[cfg(test)]`.
    test_lines: Vec<bool>,
}

/// One identifier or keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// Its line, from 1.
    pub line: usize,
    /// Where it starts in the code.
    pub at: usize,
}

impl RustText {
    /// Reads a source.
    pub fn new(source: &str) -> RustText {
        let (code, with_strings) = mask(source);
        let test_lines = test_lines(&code);
        RustText { code, with_strings, test_lines }
    }

    /// Whether the line, from 1, is part of an item marked `#[cfg(test)]`.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// How many lines hold code. Lines of `#[cfg(test)]` items count only if `with_tests`.
    pub fn code_lines(&self, with_tests: bool) -> usize {
        let lines = self.with_strings.lines().enumerate();
        lines
            .filter(|(at, line)| !line.trim().is_empty() && (with_tests || !self.is_test_line(at + 1)))
            .count()
    }

    /// All identifiers and keywords of the code, in order.
    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        let code = self.code.as_str();
        let mut line = 1;
        let mut at = 0;
        std::iter::from_fn(move || {
            let bytes = code.as_bytes();
            while at < bytes.len() && !is_word_start(bytes[at]) {
                // A number with a suffix is one token, not a word.
                if bytes[at].is_ascii_digit() {
                    while at < bytes.len() && is_word_byte(bytes[at]) {
                        at += 1;
                    }
                    continue;
                }
                line += usize::from(bytes[at] == b'\n');
                at += 1;
            }
            let start = at;
            while at < bytes.len() && is_word_byte(bytes[at]) {
                at += 1;
            }
            (start < at).then(|| Word { text: &code[start..at], line, at: start })
        })
    }

    /// The lines, from 1, where `pattern` stands in the code, not as part of a longer word.
    pub fn lines_with(&self, pattern: &str) -> Vec<usize> {
        let bytes = self.code.as_bytes();
        let starts_word = pattern.as_bytes().first().is_some_and(|byte| is_word_byte(*byte));
        let ends_word = pattern.as_bytes().last().is_some_and(|byte| is_word_byte(*byte));
        let continues =
            |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| is_word_byte(*byte));
        let found = self.code.match_indices(pattern).filter(|(at, _)| {
            let longer_before = starts_word && continues(at.checked_sub(1));
            let longer_after = ends_word && continues(Some(at + pattern.len()));
            !longer_before && !longer_after
        });
        found.map(|(at, _)| self.code[..at].matches('\n').count() + 1).collect()
    }

    /// Whether the code defines a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        !self.lines_with(&format!("fn {name}")).is_empty()
    }

    /// All that may change what the code does, in a form that layout and comments do not change.
    pub fn essence(&self) -> String {
        let lines = self.with_strings.lines().enumerate().filter(|(at, _)| !self.is_test_line(at + 1));
        lines.flat_map(|(_, line)| line.split_whitespace()).collect::<Vec<_>>().join(" ")
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The source without comments and string contents, and the source without comments only.
fn mask(source: &str) -> (String, String) {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut with_strings = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"//") {
            let end = at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            blank(&mut code[at..end]);
            blank(&mut with_strings[at..end]);
            at = end;
        } else if rest.starts_with(b"/*") {
            let end = at + block_comment_len(rest);
            blank(&mut code[at..end]);
            blank(&mut with_strings[at..end]);
            at = end;
        } else if let Some((open, len)) = literal_len(bytes, at) {
            blank(&mut code[at + open..at + len]);
            at += len;
        } else {
            at += 1;
        }
    }
    // Blanking replaces whole characters by spaces, so both stay UTF-8.
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&with_strings).into_owned())
}

/// Spaces instead of everything but line ends.
fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// The length of the block comment at the front; they nest.
fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// If a string or character literal starts at `at`: how many bytes stand before its content, and its whole length.
fn literal_len(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &bytes[at..];
    let in_word = at > 0 && is_word_byte(bytes[at - 1]);
    match rest[0] {
        b'"' => Some((1, 1 + quoted_len(&rest[1..], b'"'))),
        b'r' if !in_word || bytes[at - 1] == b'b' || bytes[at - 1] == b'c' => raw_string_len(rest),
        b'\'' => {
            // A lifetime has no closing quote right after one character.
            let character = rest.get(1)?;
            if *character == b'\\' {
                return Some((1, 1 + quoted_len(&rest[1..], b'\'')));
            }
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .map_or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]).ok(), Some)?
                .chars()
                .next()?
                .len_utf8();
            (rest.get(1 + width) == Some(&b'\'')).then_some((1, width + 2))
        }
        _ => None,
    }
}

/// The length up to and with the closing quote.
fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The content's start and the length of the raw string at the front, if there is one.
fn raw_string_len(rest: &[u8]) -> Option<(usize, usize)> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let open = hashes + 2;
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let len = rest[open..].windows(close.len()).position(|window| window == close);
    Some((open, len.map_or(rest.len(), |len| open + len + close.len())))
}

/// For each line, whether it belongs to an item marked `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count()];
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let item = &code[at..];
        let end = match item.find(['{', ';']) {
            Some(open) if item.as_bytes()[open] == b'{' => open + braces_len(&item[open..]),
            Some(semicolon) => semicolon + 1,
            None => item.len(),
        };
        let first = code[..at].matches('\n').count();
        let last = first + item[..end].matches('\n').count();
        lines.iter_mut().take(last + 1).skip(first).for_each(|line| *line = true);
    }
    lines
}

/// The length of the braces at the front with all between them.
fn braces_len(item: &str) -> usize {
    let mut depth = 0usize;
    for (at, character) in item.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::RustText;

    /// What remains of a source as code, and with strings.
    fn check(source: &str, code: &str) {
        let text = RustText::new(source);
        let squeezed = text.code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, code, "{source}");
        assert_eq!(text.code.lines().count(), source.lines().count(), "lines stay where they are");
    }

    #[test]
    fn comments_and_strings_are_told_apart_from_code() {
        check("let a = 1; // b", "let a = 1;");
        check("a /* b /* c */ d */ e", "a e");
        check("let a = \"// \\\" b\"; c", "let a = \" ; c");
        check("let a = r#\"b \" c\"#; d", "let a = r#\" ; d");
        check("let a = br\"b\"; d", "let a = br\" ; d");
        check("let a = '\"'; let b: &'static str = '\\''; 'é'", "let a = ' ; let b: &'static str = ' ; '");
        check("for_r\"x\"", "for_r\"");
    }

    #[test]
    fn items_of_tests_do_not_count() {
        let text =
            RustText::new("fn a() {}\n\n// b\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\nfn d() {}\n");
        assert_eq!((text.code_lines(false), text.code_lines(true)), (2, 6));
        assert!(text.has_function("d") && !text.has_function("e"));
        assert_eq!(text.words().map(|word| word.text).collect::<Vec<_>>()[..4], ["fn", "a", "cfg", "test"]);
        assert_eq!(text.lines_with("fn d"), [8]);
        assert_eq!(text.essence(), "fn a() {} fn d() {}");
    }
}
