//! Rules for what stands in Rust code: words and phrases that have no place in it, or only in some rooms.

use crate::tidy::{Finding, RustText, TextFile, Tree};

/// The rooms that are pure: no clock, no thread, no chance but a seed, no order that differs from run to run.
const PURE: &[&str] = &["core", "replica", "log", "machine", "sim"];
/// The rooms that may use `async`; tests may everywhere.
const ASYNC: &[&str] = &["quorate", "transport", "server", "client", "cli", "bench", "e2e", "examples"];
/// The traits that stand at boundaries.
const TRAITS: &[&str] = &["StateMachine", "Codec", "Disk"];

/// A phrase that may not stand in code.
struct Ban {
    rule: &'static str,
    phrase: &'static str,
    /// Where it is banned; nothing means everywhere.
    rooms: &'static [&'static str],
    /// Whether it is banned in tests too.
    in_tests: bool,
    message: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        rule: "unfinished",
        phrase: "todo!",
        rooms: &[],
        in_tests: true,
        message: "finish it: unfinished code does not land",
    },
    Ban {
        rule: "unfinished",
        phrase: "unimplemented!",
        rooms: &[],
        in_tests: true,
        message: "finish it: unfinished code does not land",
    },
    Ban {
        rule: "unfinished",
        phrase: "dbg!",
        rooms: &[],
        in_tests: true,
        message: "remove it, or log with tracing",
    },
    Ban {
        rule: "unwrap",
        phrase: ".unwrap()",
        rooms: &[],
        in_tests: false,
        message: "return an error, or use expect with the proof why it holds",
    },
    Ban {
        rule: "unbounded",
        phrase: "unbounded_channel",
        rooms: &[],
        in_tests: true,
        message: "every queue has a bound: use channel(limit) and answer when it is full",
    },
    Ban {
        rule: "unbounded",
        phrase: "mpsc::channel()",
        rooms: &[],
        in_tests: true,
        message: "every queue has a bound: use sync_channel(limit) and answer when it is full",
    },
    Ban {
        rule: "ignored-test",
        phrase: "#[ignore",
        rooms: &[],
        in_tests: true,
        message: "a test that does not run proves nothing: mend it or remove it",
    },
    Ban {
        rule: "macro",
        phrase: "macro_rules!",
        rooms: &[],
        in_tests: true,
        message: "write a function: own macros need a decision record",
    },
    Ban {
        rule: "pure",
        phrase: "Mutex",
        rooms: PURE,
        in_tests: true,
        message: "this room has one owner: share by messages",
    },
    Ban {
        rule: "pure",
        phrase: "RwLock",
        rooms: PURE,
        in_tests: true,
        message: "this room has one owner: share by messages",
    },
    Ban {
        rule: "pure",
        phrase: "HashMap",
        rooms: PURE,
        in_tests: true,
        message: "its order differs from run to run: use BTreeMap",
    },
    Ban {
        rule: "pure",
        phrase: "HashSet",
        rooms: PURE,
        in_tests: true,
        message: "its order differs from run to run: use BTreeSet",
    },
    Ban {
        rule: "pure",
        phrase: "Instant::now",
        rooms: PURE,
        in_tests: true,
        message: "this room has no clock: time comes in as ticks or timestamps",
    },
    Ban {
        rule: "pure",
        phrase: "SystemTime::now",
        rooms: PURE,
        in_tests: true,
        message: "this room has no clock: time comes in as ticks or timestamps",
    },
    Ban {
        rule: "pure",
        phrase: "thread::spawn",
        rooms: PURE,
        in_tests: true,
        message: "this room has no threads: crate quorate owns them all",
    },
    Ban {
        rule: "pure",
        phrase: "thread::sleep",
        rooms: PURE,
        in_tests: true,
        message: "this room never waits: time comes in as ticks or timestamps",
    },
];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, rust) in tree.rust() {
        check_bans(file, rust, findings);
        check_unfinished_words(file, findings);
        check_async(file, rust, findings);
        check_traits(file, rust, findings);
        check_exports(file, rust, findings);
        // The explorer of states plays the disk, as a test does.
        let plays_the_disk = file.is_test() || file.path.ends_with("sim/src/explore/local.rs");
        if file.room() != "log" && !plays_the_disk {
            let message = "only the log knows what is durable: wait for the report of its write";
            add(findings, file, rust.lines_with("Durable::attest"), "attest", message);
        }
    }
    check_rooms(tree, findings);
}

fn add(findings: &mut Vec<Finding>, file: &TextFile, lines: Vec<usize>, rule: &'static str, message: &str) {
    findings.extend(lines.into_iter().map(|line| Finding::new(&file.path, line, rule, message)));
}

fn check_bans(file: &TextFile, rust: &RustText, findings: &mut Vec<Finding>) {
    let everywhere_or_here = |ban: &&Ban| ban.rooms.is_empty() || ban.rooms.contains(&file.room());
    for ban in BANS.iter().filter(everywhere_or_here) {
        let lines = rust.lines_with(ban.phrase).into_iter();
        let lines =
            lines.filter(|line| ban.in_tests || !(file.is_test() || rust.is_test_line(*line))).collect();
        add(findings, file, lines, ban.rule, &format!("{}: {}", ban.phrase, ban.message));
    }
}

/// Marks that people leave in comments for later.
fn check_unfinished_words(file: &TextFile, findings: &mut Vec<Finding>) {
    const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for (number, line) in file.text.lines().enumerate() {
        for word in line.split(|character: char| !character.is_alphanumeric() && character != '_') {
            if MARKS.contains(&word) {
                let message = format!("{word}: do it now, or write an issue and remove the mark");
                findings.push(Finding::new(&file.path, number + 1, "unfinished", message));
            }
        }
    }
}

fn check_async(file: &TextFile, rust: &RustText, findings: &mut Vec<Finding>) {
    if ASYNC.contains(&file.room()) || file.is_test() {
        return;
    }
    let words =
        rust.words().filter(|word| matches!(word.text, "async" | "await") && !rust.is_test_line(word.line));
    let lines = words.map(|word| word.line).collect();
    let message = "this room is synchronous: async lives in quorate, transport, server, client and cli";
    add(findings, file, lines, "async", message);
}

fn check_traits(file: &TextFile, rust: &RustText, findings: &mut Vec<Finding>) {
    let words: Vec<_> = rust.words().collect();
    for window in words.windows(3) {
        let &[visible, keyword, name] = window else {
            continue;
        };
        if visible.text == "pub" && keyword.text == "trait" && !TRAITS.contains(&name.text) {
            let message = format!(
                "pub trait {}: boundaries have three traits ({}); another needs a decision record with two real implementors",
                name.text,
                TRAITS.join(", ")
            );
            findings.push(Finding::new(&file.path, name.line, "trait", message));
        }
    }
}

/// What a crate offers stands in its lib.rs, so that one page shows it.
fn check_exports(file: &TextFile, rust: &RustText, findings: &mut Vec<Finding>) {
    let at_home = file.path.ends_with("/lib.rs") || file.path.ends_with("/mod.rs");
    if !at_home && !file.is_test() {
        let message =
            "export again only from lib.rs (or from the mod.rs of a folder): name the item where it lives";
        add(findings, file, rust.lines_with("pub use"), "export", message);
    }
    add(
        findings,
        file,
        rust.lines_with("mod prelude"),
        "export",
        "no prelude: readers look names up at their use",
    );
}

/// What each room says and sets about itself.
fn check_rooms(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        let library = file.path.starts_with("crates/") && file.path.ends_with("/src/lib.rs");
        if library && !promises_ignorance(&file.text) {
            let message = "the head comment must say what this crate \"knows nothing of\"";
            findings.push(Finding::new(&file.path, 1, "ignorance", message));
        }
        let manifest = file.path.ends_with("/Cargo.toml");
        if manifest && !file.text.contains("[lints]\nworkspace = true") {
            let message = "add `[lints]` with `workspace = true`: it forbids unsafe code and asks for docs";
            findings.push(Finding::new(&file.path, 0, "lints", message));
        }
        if manifest && PURE.contains(&file.room()) {
            let path = format!("crates/{}/clippy.toml", file.room());
            if !tree.get(&path).is_some_and(|clippy| clippy.text.contains("std::time::Instant::now")) {
                let message =
                    "a pure room needs a clippy.toml that bans clocks, threads, locks and hash maps";
                findings.push(Finding::new(&path, 0, "lints", message));
            }
        }
        let clippy = file.path == "clippy.toml" || file.path.ends_with("/clippy.toml");
        if clippy && !file.text.contains("too-many-lines-threshold = 70\n") {
            let message = "set `too-many-lines-threshold = 70`: a function fits a screen";
            findings.push(Finding::new(&file.path, 0, "lints", message));
        }
    }
    if let Some(manifest) = tree.get("Cargo.toml") {
        let needed = [
            "unsafe_code = \"forbid\"",
            "missing_docs = \"warn\"",
            "unwrap_used = \"deny\"",
            "too_many_lines = \"warn\"",
        ];
        for lint in needed.iter().filter(|lint| !manifest.text.contains(**lint)) {
            findings.push(Finding::new(
                "Cargo.toml",
                0,
                "lints",
                format!("put `{lint}` into the workspace's lints"),
            ));
        }
    }
}

fn promises_ignorance(text: &str) -> bool {
    let head = text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join(" ");
    head.contains("nothing of") || head.contains("knows nothing")
}
