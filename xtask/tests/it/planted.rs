//! One broken rule at a time, in a tree that is tidy without it.

use std::fs;

use tempfile::TempDir;
use xtask::tidy::{self, Exemption, Finding};

const MANIFEST: &str = "[workspace.lints]\nunsafe_code = \"forbid\"\nmissing_docs = \"warn\"\nunwrap_used = \"deny\"\n\
                        too_many_lines = \"warn\"\n";
const CLIPPY: &str = "too-many-lines-threshold = 70\ndisallowed-methods = [\"std::time::Instant::now\"]\n";
const LIB: &str = "//! A room that knows nothing of others.\n\nmod raft;\n";
const RAFT: &str = "//! The protocol.\n\n/// A step.\npub fn step() {}\n";

/// A small workspace without a fault.
fn tidy_tree() -> Vec<(String, String)> {
    let mut files = vec![
        ("Cargo.toml".to_owned(), MANIFEST.to_owned()),
        ("clippy.toml".to_owned(), CLIPPY.to_owned()),
        ("ARCHITECTURE.md".to_owned(), "Read `core/raft.rs` and `raft.rs::step()`, `a.b`.\n".to_owned()),
        ("docs/adr/0001-one-inbox.md".to_owned(), "# One inbox\n\nStatus: Accepted\n".to_owned()),
        ("crates/core/golden/one.txt".to_owned(), "x\n".to_owned()),
        (
            "crates/core/tests/it/main.rs".to_owned(),
            "//! Tests.\nconst FOLDER: &str = \"golden\";\n".to_owned(),
        ),
    ];
    for room in ["core", "log", "quorate"] {
        let manifest = "[dependencies]\nbytes = \"1\"\n\n[lints]\nworkspace = true\n";
        files.push((format!("crates/{room}/Cargo.toml"), manifest.to_owned()));
        files.push((format!("crates/{room}/clippy.toml"), CLIPPY.to_owned()));
        files.push((format!("crates/{room}/src/lib.rs"), LIB.to_owned()));
        files.push((format!("crates/{room}/src/raft.rs"), RAFT.to_owned()));
    }
    files
}

/// What tidy finds when these files are added to the tidy tree or replace files of it.
fn findings(changes: &[(&str, &str)], exemptions: &[Exemption]) -> Vec<Finding> {
    let folder = TempDir::new().expect("a temporary folder");
    let mut files = tidy_tree();
    files.extend(changes.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("the folder is ours");
        fs::write(path, text).expect("the folder is ours");
    }
    tidy::check(folder.path(), exemptions).expect("the tree can be read")
}

/// These changes break one rule once, at this line, and the message has these words.
fn check(changes: &[(&str, &str)], rule: &str, line: usize, words: &str) {
    let findings = findings(changes, &[]);
    let [finding] = findings.as_slice() else {
        panic!("one finding of {rule} is expected for {changes:?}, not {findings:#?}");
    };
    assert_eq!((finding.rule, finding.line), (rule, line), "{finding:?}");
    assert!(finding.message.contains(words), "{:?} does not say {words:?}", finding.message);
    let exempted = findings_exempted(changes, finding);
    assert!(exempted.is_empty(), "an exemption covers it: {exempted:?}");
}

fn findings_exempted(changes: &[(&str, &str)], finding: &Finding) -> Vec<Finding> {
    let path: &'static str = finding.path.clone().leak();
    findings(changes, &[Exemption { rule: finding.rule, path, reason: "a test" }])
}

/// The file crates/core/src/raft.rs with these lines from line 2 on breaks one rule once.
fn check_core(lines: &str, rule: &str, line: usize, words: &str) {
    check(
        &[(
            "crates/core/src/raft.rs",
            &format!("//! The protocol.\n{lines}\n/// A step.\npub fn step() {{}}\n"),
        )],
        rule,
        line,
        words,
    );
}

/// The same in a room that is not pure.
fn check_quorate(lines: &str, rule: &str, line: usize, words: &str) {
    check(&[("crates/quorate/src/raft.rs", &format!("//! The runtime.\n{lines}\n"))], rule, line, words);
}

/// These lines in crates/core/src/raft.rs break nothing.
fn check_fine(lines: &str) {
    let text = format!("//! The protocol.\n{lines}\n/// A step.\npub fn step() {{}}\n");
    let findings = findings(&[("crates/core/src/raft.rs", &text)], &[]);
    assert!(findings.is_empty(), "{lines:?}: {findings:#?}");
}

#[test]
fn a_tidy_tree_has_no_findings() {
    assert_eq!(findings(&[], &[]), []);
}

#[test]
fn an_exemption_that_nothing_needs_is_a_finding() {
    let findings =
        findings(&[], &[Exemption { rule: "pure", path: "crates/core/src/raft.rs", reason: "none" }]);
    assert!(findings.len() == 1 && findings[0].rule == "exemption", "{findings:?}");
}

#[test]
fn shape_of_files() {
    let long = |lines: usize| {
        format!("//! Long.\n// Comments and empty lines do not count.\n\n{}", "mod a {}\n".repeat(lines))
    };
    let lib = "//! Knows nothing of others.\nmod raft;\nmod long;\n";
    check(
        &[("crates/core/src/lib.rs", lib), ("crates/core/src/long.rs", &long(601))],
        "file-lines",
        0,
        "601 lines of code",
    );
    assert_eq!(
        findings(&[("crates/core/src/lib.rs", lib), ("crates/core/src/long.rs", &long(600))], &[]),
        []
    );
    let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", long(600), "fn a() {}\n".repeat(300));
    assert_eq!(
        findings(&[("crates/core/src/lib.rs", lib), ("crates/core/src/long.rs", &with_tests)], &[]),
        []
    );
    let tests = "//! Tests.\nmod long;\nconst FOLDER: &str = \"golden\";\n";
    let main = ("crates/core/tests/it/main.rs", tests);
    check(&[main, ("crates/core/tests/it/long.rs", &long(601))], "file-lines", 0, "the limit is 600");
    check(&[("crates/core/src/raft.rs", "// No.\npub fn step() {}\n")], "first-line", 1, "//!");
    check(&[("data.txt", &"x".repeat(256 * 1024 + 1))], "file-size", 0, "262145 bytes");
    check(&[("crates/core/src/lost.rs", "//! Lost.\n")], "orphan", 0, "no `mod lost;`");
    check(&[("crates/core/tests/it/lost.rs", "//! Lost.\n")], "orphan", 0, "no `mod lost;`");
    check(&[("crates/core/src/raft/deep.rs", "//! Deep.\n")], "orphan", 0, "no `mod deep;`");
}

#[test]
fn what_is_true_only_on_one_machine() {
    for path in ["/home/x", "/root/x", "/Users/x", "/work/x"] {
        check(&[("notes.md", &format!("a\nsee {path}\n"))], "foreign", 2, "one machine");
    }
    check(&[("notes.md", concat!("see ../", "shared/x\n"))], "foreign", 1, "own words");
    let alias = "[alias]\nxtask = \"run\"\n";
    assert_eq!(findings(&[(".cargo/config.toml", alias)], &[]), []);
    check(&[(".cargo/config.toml", "[alias]\n[source.mirror]\n")], "registry", 2, "only the alias");
    check(&[("Cargo.lock", "source = \"git+https://example.org/x\"\n")], "registry", 1, "published version");
}

#[test]
fn golden_files_are_whole_and_used() {
    check(&[("crates/core/golden/two.txt", "x")], "golden-end", 0, "line end");
    check(&[("crates/log/golden/two.txt", "x\n")], "golden-unused", 0, "no test names this file");
}

#[test]
fn words_that_have_no_place_in_code() {
    for macro_name in ["todo!", "unimplemented!", "dbg!"] {
        check_quorate(&format!("fn a() {{\n    {macro_name}();\n}}"), "unfinished", 3, macro_name);
    }
    for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
        check_quorate(&format!("// {mark}: later"), "unfinished", 2, mark);
    }
    check_quorate("fn a(b: Option<u8>) -> u8 { b.unwrap() }", "unwrap", 2, "expect with the proof");
    check_quorate(
        "fn a() { tokio::sync::mpsc::unbounded_channel::<u8>(); }",
        "unbounded",
        2,
        "every queue has a bound",
    );
    check_quorate("fn a() { let _ = mpsc::channel(); }", "unbounded", 2, "every queue has a bound");
    check_quorate("#[test]\n#[ignore = \"slow\"]\nfn a() {}", "ignored-test", 3, "proves nothing");
    check_quorate("macro_rules! a { () => {}; }", "macro", 2, "decision record");
    check_quorate("pub use std::fmt;", "export", 2, "only from lib.rs");
    check_quorate("mod prelude {}", "export", 2, "no prelude");
    check_quorate("pub trait Sink {}", "trait", 2, "two real implementors");
    check_quorate("fn a() { Durable::attest(1); }", "attest", 2, "only the log");
    check_fine(
        "// An .unwrap() in a comment, a \"macro_rules!\" in none.\nconst A: &str = \".unwrap() dbg! HashMap async\";",
    );
    check_fine("#[cfg(test)]\nmod tests {\n    fn a(b: Option<u8>) -> u8 { b.unwrap() }\n}");
    check_fine("pub trait Disk {}\npub trait StateMachine {}\ntrait Private {}");
}

/// A test of the core plays the disk itself.
#[test]
fn a_test_may_say_that_a_write_is_durable() {
    let tests = "//! Tests.\nconst FOLDER: &str = \"golden\";\nfn a() { Durable::attest(1); }\n";
    assert_eq!(findings(&[("crates/core/tests/it/main.rs", tests)], &[]), []);
}

#[test]
fn what_pure_rooms_may_not_have() {
    for word in ["Mutex", "RwLock", "HashMap", "HashSet"] {
        check_core(&format!("fn a(_: {word}<u8>) {{}}"), "pure", 2, word);
    }
    for call in ["Instant::now", "SystemTime::now", "thread::spawn", "thread::sleep"] {
        check_core(&format!("fn a() {{ {call}(); }}"), "pure", 2, call);
    }
    check_core("async fn a() {}", "async", 2, "synchronous");
    let outside = "//! The runtime.\nasync fn a(_: HashMap<u8, Mutex<u8>>) { Instant::now(); }\n";
    assert_eq!(findings(&[("crates/quorate/src/raft.rs", outside)], &[]), []);
    check(&[("crates/log/clippy.toml", "too-many-lines-threshold = 70\n")], "lints", 0, "bans clocks");
    check(&[("clippy.toml", "too-many-lines-threshold = 100\n")], "lints", 0, "fits a screen");
}

#[test]
fn words_that_the_glossary_avoids() {
    for identifier in ["view", "new_epoch", "OpLog", "purge_to", "MASTER", "fsm", "Journal", "checkpointOf"] {
        check_core(&format!("struct X {{ {identifier}: u8 }}"), "glossary", 2, "the glossary says");
    }
    check_fine(
        "// A view of an epoch.\nfn open(text: &str) -> &str { text.trim() }\nuse std::ops::Range;\nstruct Options;\nfn a_no_op() {}",
    );
}

#[test]
fn edges_and_lints_of_crates() {
    let manifest =
        |dependencies: &str| format!("[dependencies]\n{dependencies}\n\n[lints]\nworkspace = true\n");
    let core = "crates/core/Cargo.toml";
    check(&[(core, &manifest("quorate-log.workspace = true"))], "edge", 2, "core may not know log");
    check(&[(core, &manifest("serde = \"1\""))], "edge", 2, "core may not use serde");
    let target = "[target.'cfg(unix)'.dependencies]\nlibc = \"1\"";
    check(&[(core, &manifest(target))], "edge", 3, "core may not use libc");
    check(&[("crates/log/Cargo.toml", &manifest("quorate = \"1\""))], "edge", 2, "log may not know quorate");
    let own_tests = "[dev-dependencies]\nquorate-sim = \"1\"";
    assert_eq!(findings(&[(core, &manifest(own_tests))], &[]), []);
    check(&[("crates/more/Cargo.toml", &manifest(""))], "edge", 0, "not in the table");
    check(&[(core, "[dependencies]\nbytes = \"1\"\n")], "lints", 0, "workspace = true");
    check(&[("Cargo.toml", &MANIFEST.replace("forbid", "deny"))], "lints", 0, "unsafe_code");
    check(&[("crates/log/src/lib.rs", "//! A room.\nmod raft;\n")], "ignorance", 1, "knows nothing of");
}

#[test]
fn bugs_of_others() {
    let list =
        "# Bugs\n| R43 | there | an id comes back |\n## Without a test of their own\n| T9 | there | why |\n";
    let (list, told) = (("docs/known-bugs.md", list), "/// R43, and no TAB or T100: a step.\npub fn a() {}");
    let text = |lines: &str| format!("//! The protocol.\n{lines}\n/// A step.\npub fn step() {{}}\n");
    let core = "crates/core/src/raft.rs";
    assert_eq!(findings(&[list, (core, &text(told))], &[]), []);
    check(&[list], "known-bug", 2, "no comment names R43");
    let more = text(&format!("{told}\n// T10 (Omni-Paxos) too."));
    check(&[list, (core, &more)], "known-bug", 4, "has no line T10");
}

#[test]
fn documents_that_name_code() {
    check(&[("ARCHITECTURE.md", "a\n`core/rafd.rs`\n")], "map", 2, "`core/rafd.rs` does not exist");
    check(&[("docs/life-of-a-proposal.md", "`raft.rs::stop`\n")], "map", 1, "no function `stop`");
    let format =
        |hash: &str| format!("# Format\n<!-- describes: crates/core/src/raft.rs sha256:{hash} -->\n");
    check(&[("docs/log-format.md", &format("00"))], "format", 2, "cargo xtask hash --update");
    check(&[("docs/log-format.md", "# Format\n")], "format", 0, "say which file");
    check(&[("docs/x.md", "<!-- describes: lost.rs sha256:0 -->\n")], "format", 1, "lost.rs does not exist");
    let record = "docs/adr/0001-again.md";
    check(&[(record, "Status: Accepted\n")], "record", 0, "number 0001 is taken");
    check(&[("docs/adr/0002-x.md", "# X\n")], "record", 0, "Status");
    check(&[("docs/adr/x.md", "Status: Accepted\n")], "record", 0, "NNNN-title.md");
}

#[test]
fn planted_bugs_stand_once_are_tried_and_never_ship() {
    let list = (
        "crates/core/src/planted.rs",
        "//! Bugs.\n\n/// A bug.\npub enum Bug {\n    /// One.\n    One,\n}\n",
    );
    let lib = ("crates/core/src/lib.rs", "//! Knows nothing of others.\n\nmod planted;\nmod raft;\n");
    let place = |asks: &str| format!("//! The protocol.\n\n/// A step.\npub fn step() {{\n{asks}}}\n");
    let ask = "    let _ = planted::is(Bug::One);\n";
    let verb =
        ("crates/sim/src/planted.rs", "//! The verb.\nconst BUGS: [(Bug, u8); 1] = [(Bug::One, 1)];\n");
    let sim = [
        ("crates/sim/src/lib.rs", "//! Knows nothing of others.\n\nmod planted;\n"),
        ("crates/sim/clippy.toml", CLIPPY),
        (
            "crates/sim/Cargo.toml",
            "[features]\nplanted = [\"quorate-core/planted\"]\n\n[lints]\nworkspace = true\n",
        ),
    ];
    let with = |raft: &str, verb: (&str, &str), more: &[(&str, &str)]| {
        let mut changes = vec![list, lib, ("crates/core/src/raft.rs", raft), verb];
        changes.extend(sim);
        changes.extend(more);
        findings(&changes, &[]).into_iter().map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(with(&place(ask), verb, &[]), [""; 0], "one bug at one place that the simulator plants");
    let twice = with(&place(&ask.repeat(2)), verb, &[]);
    assert!(twice.len() == 1 && twice[0].contains("2 places"), "{twice:?}");
    let nowhere = with(&place(""), verb, &[]);
    assert!(nowhere.len() == 1 && nowhere[0].contains("0 places"), "{nowhere:?}");
    let untried = with(&place(ask), ("crates/sim/src/planted.rs", "//! The verb.\n"), &[]);
    assert!(untried.len() == 1 && untried[0].contains("does not plant"), "{untried:?}");
    for line in ["default = [\"planted\"]", "bytes = { version = \"1\", features = [\"planted\"] }"] {
        let manifest = format!("[dependencies]\n{line}\n[lints]\nworkspace = true\n");
        let manifest = if line.starts_with("default") {
            manifest.replace("[dependencies]", "[features]")
        } else {
            manifest
        };
        let shipped = with(&place(ask), verb, &[("crates/quorate/Cargo.toml", &manifest)]);
        assert!(shipped.len() == 1 && shipped[0].contains("never ship"), "{shipped:?}");
    }
}

/// The tie holds over comments and layout, and breaks when the code changes; the update mends it.
#[test]
fn a_format_document_follows_its_code() {
    let folder = TempDir::new().expect("a temporary folder");
    let write =
        |path: &str, text: &str| fs::write(folder.path().join(path), text).expect("the folder is ours");
    let broken = || {
        tidy::check(folder.path(), &[])
            .expect("the tree can be read")
            .iter()
            .any(|found| found.rule == "format")
    };
    write("frame.rs", "//! A frame.\nconst MAGIC: &str = \"A\";\n");
    write("format.md", "<!-- describes: frame.rs sha256:0 -->\n");
    assert!(broken());
    assert!(tidy::docs::print_hashes(folder.path(), true).expect("the folder is ours"));
    assert!(!broken());
    write("frame.rs", "//! A frame!\n\nconst MAGIC: &str =\n    \"A\";\n");
    assert!(!broken(), "comments and layout do not count");
    write("frame.rs", "//! A frame.\nconst MAGIC: &str = \"B\";\n");
    assert!(broken(), "strings count");
}
