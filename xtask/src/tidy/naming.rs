//! One name for one thing: words that docs/glossary.md avoids may not be identifiers where the protocol lives.

use crate::tidy::{Finding, Tree};

/// The rooms that speak the glossary's language.
const ROOMS: &[&str] = &["core", "replica", "log"];

/// A word to avoid and what to say instead.
const AVOIDED: &[(&str, &str)] = &[
    ("view", "term"),
    ("epoch", "term"),
    ("ballot", "term"),
    ("op", "entry or command"),
    ("ops", "entries or commands"),
    ("lsn", "index"),
    ("master", "leader"),
    ("primary", "leader"),
    ("slave", "follower"),
    ("purge", "compact"),
    ("trim", "compact"),
    ("gc", "compact"),
    ("checkpoint", "snapshot"),
    ("journal", "log"),
    ("wal", "log"),
    ("fsm", "StateMachine"),
    ("observer", "learner"),
];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, rust) in tree.rust().filter(|(file, _)| ROOMS.contains(&file.room())) {
        for word in rust.words() {
            // What is used through a dot or a path is named elsewhere: here, where its own line is found, or in std.
            let before = rust.code[..word.at].trim_end();
            if before.ends_with('.') || before.ends_with("::") {
                continue;
            }
            let parts = parts(word.text);
            for (place, part) in parts.iter().enumerate() {
                // The entry without a payload is called no-op by the literature.
                let no_op = part == "op" && place > 0 && parts[place - 1] == "no";
                let avoided = AVOIDED.iter().find(|(avoided, _)| avoided == part && !no_op);
                if let Some((avoided, instead)) = avoided {
                    let message = format!("`{}` says \"{avoided}\": the glossary says {instead}", word.text);
                    findings.push(Finding::new(&file.path, word.line, "glossary", message));
                }
            }
        }
    }
}

/// The words within a snake_case, SCREAMING_CASE or CamelCase identifier, in lower case.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_lower = false;
    for character in identifier.chars() {
        let starts = character == '_' || (character.is_uppercase() && before_lower);
        if starts {
            parts.push(String::new());
        }
        before_lower = character.is_lowercase();
        if character != '_' {
            parts.last_mut().expect("there is always a last part").extend(character.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn identifiers_fall_into_their_words() {
        assert_eq!(parts("on_append_ok"), ["on", "append", "ok"]);
        assert_eq!(parts("PreCandidate"), ["pre", "candidate"]);
        assert_eq!(parts("MAX_OP_BYTES"), ["max", "op", "bytes"]);
        assert_eq!(parts("opOps"), ["op", "ops"]);
        assert_eq!(parts("_"), [""; 0]);
    }
}
