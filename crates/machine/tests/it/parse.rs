//! Every fault and warning at once, each with its place, in TOML and in JSON.

use proptest::prelude::*;
use quorate_machine::{Format, parse, parse_bytes};

/// Compares what people see with what they should see.
pub(crate) fn check(format: Format, source: &str, expected: &str) {
    let file = match format {
        Format::Toml => "m.toml",
        Format::Json => "m.json",
    };
    let checked = parse(source, format);
    assert_eq!(
        checked.definition.is_none(),
        !checked.faults.is_empty(),
        "a definition exactly without faults"
    );
    let told = checked.faults.iter().chain(&checked.warnings).map(|one| one.render(file, source));
    let told = told.collect::<Vec<_>>().join("\n");
    assert!(told == expected, "--- told\n{told}\n--- expected\n{expected}");
}

#[test]
fn every_fault_of_a_toml_definition_is_told_at_once_with_a_caret() {
    let source = r##"machine = "my job"
version = 0
initial = "Int"
colour = "red"

[context]
attempt = 1

[states.Init]
on.start = { target = "Runing", guard = "x" }
on.skip = "#id"
on."*" = "Done"

[states.Running]
entry = []
on.stop = [{ target = "Done" }, { target = "Init" }]
on.fail = ["Done"]
on.next = { targte = "Done" }

[states.Done]
type = "finale"
tags = ["a", "a", 3]

[states.End]
type = "final"
on.reset = "Init"
"##;
    check(
        Format::Toml,
        source,
        r##"error: `format` is missing
 --> m.toml:1:1
  |
1 | machine = "my job"
  | ^ format
  = help: write `format = 1` at the top

error: a name holds ' ': only ASCII letters, digits, `_` and `-` are allowed
 --> m.toml:1:11
  |
1 | machine = "my job"
  |           ^^^^^^^^ machine

error: 0 is no version
 --> m.toml:2:11
  |
2 | version = 0
  |           ^ version
  = help: versions start at 1 and rise

error: `initial` names the unknown state "Int"
 --> m.toml:3:11
  |
3 | initial = "Int"
  |           ^^^^^ initial
  = help: did you mean "Init"?

error: unknown key "colour"
 --> m.toml:4:1
  |
4 | colour = "red"
  | ^^^^^^ colour
  = help: a machine has `format`, `machine`, `version`, `initial`, `description`, `tags`, `meta`, `states`

error: `context` is not supported by this version
 --> m.toml:6:2
  |
6 | [context]
  |  ^^^^^^^ context
  = help: remove it, or keep it under `meta`, where any content is allowed

error: unknown target "Runing"
  --> m.toml:10:23
   |
10 | on.start = { target = "Runing", guard = "x" }
   |                       ^^^^^^^^ states.Init.on.start.target
   = help: did you mean "Running"?

error: `guard` is not supported by this version
  --> m.toml:10:33
   |
10 | on.start = { target = "Runing", guard = "x" }
   |                                 ^^^^^ states.Init.on.start.guard
   = help: remove it, or keep it under `meta`, where any content is allowed

error: relative and `#id` targets such as "#id" are not supported by this version
  --> m.toml:11:11
   |
11 | on.skip = "#id"
   |           ^^^^^ states.Init.on.skip
   = help: write the state's name

error: the wildcard `*` is not supported by this version
  --> m.toml:12:4
   |
12 | on."*" = "Done"
   |    ^^^ states.Init.on."*"
   = help: name the events one by one

error: `entry` is not supported by this version
  --> m.toml:15:1
   |
15 | entry = []
   | ^^^^^ states.Running.entry
   = help: remove it, or keep it under `meta`, where any content is allowed

error: alternatives are not supported by this version: without guards the first always wins
  --> m.toml:16:33
   |
16 | on.stop = [{ target = "Done" }, { target = "Init" }]
   |                                 ^^^^^^^^^^^^^^^^^^^ states.Running.on.stop
   = help: keep one transition for each event

error: a transition without `target`
  --> m.toml:18:4
   |
18 | on.next = { targte = "Done" }
   |    ^^^^ states.Running.on.next
   = help: write the state that it goes to

error: unknown key "targte"
  --> m.toml:18:13
   |
18 | on.next = { targte = "Done" }
   |             ^^^^^^ states.Running.on.next.targte
   = help: did you mean "target"?

error: unknown type "finale"
  --> m.toml:21:8
   |
21 | type = "finale"
   |        ^^^^^^^^ states.Done.type
   = help: did you mean "final"?

error: duplicate tag "a"
  --> m.toml:22:14
   |
22 | tags = ["a", "a", 3]
   |              ^^^ states.Done.tags[1]

error: expected a string, found an integer
  --> m.toml:22:19
   |
22 | tags = ["a", "a", 3]
   |                   ^ states.Done.tags[2]

error: a final state handles no events
  --> m.toml:26:1
   |
26 | on.reset = "Init"
   | ^^ states.End.on
   = help: remove `on`, or `type` if it is not an end
"##,
    );
}

#[test]
fn every_fault_of_a_json_definition_is_told_at_once_with_a_caret() {
    let source = r#"{
  "format": 1.5, "machine": "job", "version": 1,
  "id": "job", "initial": "Init",
  "states": {
    "Init": {"on": {"start": "Running", "start": "Init"}},
    "Running": {"on": {"stop": {"target": "Init", "guard": "x"}}, "after": {}},
    "ignore": {},
    "Bad Name": null
  }
}"#;
    check(
        Format::Json,
        source,
        r#"error: this number is not a 64-bit integer
 --> m.json:2:13
  |
2 |   "format": 1.5, "machine": "job", "version": 1,
  |             ^^^ format
  = help: write other numbers as strings

error: unknown key "id"
 --> m.json:3:3
  |
3 |   "id": "job", "initial": "Init",
  |   ^^^^ id
  = help: did you mean "machine"?

error: duplicate key "start"
 --> m.json:5:41
  |
5 |     "Init": {"on": {"start": "Running", "start": "Init"}},
  |                                         ^^^^^^^ states.Init.on.start

error: `guard` is not supported by this version
 --> m.json:6:51
  |
6 |     "Running": {"on": {"stop": {"target": "Init", "guard": "x"}}, "after": {}},
  |                                                   ^^^^^^^ states.Running.on.stop.guard
  = help: remove it, or keep it under `meta`, where any content is allowed

error: `after` is not supported by this version
 --> m.json:6:67
  |
6 |     "Running": {"on": {"stop": {"target": "Init", "guard": "x"}}, "after": {}},
  |                                                                   ^^^^^^^ states.Running.after
  = help: remove it, or keep it under `meta`, where any content is allowed

error: `ignore` is no name for a state
 --> m.json:7:5
  |
7 |     "ignore": {},
  |     ^^^^^^^^ states.ignore
  = help: `ignore` stands for an ignored event

error: a name holds ' ': only ASCII letters, digits, `_` and `-` are allowed
 --> m.json:8:5
  |
8 |     "Bad Name": null
  |     ^^^^^^^^^^ states."Bad Name"

error: expected an object, found null
 --> m.json:8:17
  |
8 |     "Bad Name": null
  |                 ^^^^ states."Bad Name"
"#,
    );
}

#[test]
fn what_is_missing_is_told_with_what_to_write() {
    check(
        Format::Toml,
        "",
        r#"error: `format` is missing
 --> m.toml:1:1
  |
1 |
  | ^ format
  = help: write `format = 1` at the top

error: `machine` is missing
 --> m.toml:1:1
  |
1 |
  | ^ machine
  = help: write `machine = "job"`: the machine's name

error: `version` is missing
 --> m.toml:1:1
  |
1 |
  | ^ version
  = help: write `version = 1`, and raise it with every change

error: the machine has no states
 --> m.toml:1:1
  |
1 |
  | ^ states
  = help: write at least one, as in [states.Init]

error: `initial` is missing
 --> m.toml:1:1
  |
1 |
  | ^ initial
  = help: write `initial = "Init"`: the state of new instances
"#,
    );
    check(
        Format::Json,
        "{\"states\": {}}",
        r#"error: `format` is missing
 --> m.json:1:1
  |
1 | {"states": {}}
  | ^ format
  = help: write `"format": 1` at the top

error: `machine` is missing
 --> m.json:1:1
  |
1 | {"states": {}}
  | ^ machine
  = help: write `"machine": "job"`: the machine's name

error: `version` is missing
 --> m.json:1:1
  |
1 | {"states": {}}
  | ^ version
  = help: write `"version": 1`, and raise it with every change

error: `initial` is missing
 --> m.json:1:1
  |
1 | {"states": {}}
  | ^ initial
  = help: write `"initial": "Init"`: the state of new instances

error: the machine has no states
 --> m.json:1:2
  |
1 | {"states": {}}
  |  ^^^^^^^^ states
  = help: write at least one, as in "states": {"Init": {}}
"#,
    );
    check(
        Format::Json,
        "[]",
        r#"error: expected an object, found an array
 --> m.json:1:1
  |
1 | []
  | ^^
"#,
    );
}

#[test]
fn what_is_suspicious_is_a_warning_and_strict_makes_it_a_fault() {
    let source = r#"format = 1
machine = "job"
version = 1
initial = "Init"
meta.large = 9007199254740993

[states.Init]
on.start = "End"
on.noise = "ignore"

[states.End]

[states.Lost]
on.back = "Init"
"#;
    check(
        Format::Toml,
        source,
        r#"warning: an integer beyond 2^53 is rounded by many readers of JSON
 --> m.toml:5:14
  |
5 | meta.large = 9007199254740993
  |              ^^^^^^^^^^^^^^^^ meta.large
  = help: write it as a string

warning: no event leads out of state "End", and it is not final
  --> m.toml:11:9
   |
11 | [states.End]
   |         ^^^ states.End
   = help: write `type = "final"` if it is an end

warning: no path leads from "Init" to state "Lost"
  --> m.toml:13:9
   |
13 | [states.Lost]
   |         ^^^^ states.Lost
"#,
    );
    let strict = parse(source, Format::Toml).strict();
    assert_eq!((strict.definition, strict.faults.len(), strict.warnings.len()), (None, 3, 0));
}

#[test]
fn syntax_errors_are_told_with_their_place() {
    check(
        Format::Toml,
        "a = \nb = 1\nb = 2\n",
        r#"error: string values must be quoted, expected literal string
 --> m.toml:1:5
  |
1 | a =
  |     ^

error: duplicate key `b`
 --> m.toml:3:1
  |
3 | b = 2
  | ^
"#,
    );
    check(
        Format::Json,
        "{\"a\": [1, 2,]}",
        r#"error: expected a value, found ']'
 --> m.json:1:13
  |
1 | {"a": [1, 2,]}
  |             ^ a
  = help: JSON allows no comma after the last one
"#,
    );
    check(
        Format::Json,
        "{\"a\": 1,}",
        r#"error: expected a key in double quotes, found '}'
 --> m.json:1:9
  |
1 | {"a": 1,}
  |         ^
  = help: JSON allows no comma after the last one
"#,
    );
    check(
        Format::Json,
        "{ // why\n}",
        r#"error: expected a key in double quotes, found '/'
 --> m.json:1:3
  |
1 | { // why
  |   ^
  = help: JSON has no comments: write the definition in TOML, or use `description` or `meta`
"#,
    );
    check(
        Format::Json,
        "{\"a\": \"\\ud800\"}",
        r#"error: half of a surrogate pair is no character
 --> m.json:1:8
  |
1 | {"a": "\ud800"}
  |        ^^^^^^ a
"#,
    );
}

#[test]
fn every_key_of_the_format_that_this_version_lacks_is_refused_by_name() {
    let machine =
        ["context", "events", "guards", "invariants", "migrate", "retain", "limit", "roles", "bind"];
    let state =
        ["entry", "exit", "timeout", "onTimeout", "after", "always", "limit", "retain", "states", "invoke"];
    let transition = ["guard", "assign", "roles", "limit", "actions", "reenter", "emit"];
    for (keys, before, after) in [
        (&machine[..], "", "[states.A]\non.go = { target = \"A\" }\n"),
        (&state[..], "[states.A]\n", "on.go = { target = \"A\" }\n"),
        (&transition[..], "[states.A]\non.go = { target = \"A\", ", " }\n"),
    ] {
        for key in keys {
            let source = format!(
                "format = 1\nmachine = \"m\"\nversion = 1\ninitial = \"A\"\n{before}{key} = 1\n{after}"
            );
            let checked = parse(&source, Format::Toml);
            let messages: Vec<_> = checked.faults.iter().map(|fault| fault.message.as_str()).collect();
            assert_eq!(messages, [format!("`{key}` is not supported by this version")], "{source}");
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_one_fault_at_its_place() {
    let checked = parse_bytes(b"format = 1\nmachine = \"\xff\"", Format::Toml);
    let told: Vec<_> =
        checked.faults.iter().map(|fault| (fault.message.as_str(), fault.line, fault.column)).collect();
    assert_eq!(told, [("the text is not UTF-8", 2, 12)]);
    assert!(parse_bytes(b"", Format::Json).definition.is_none());
}

#[test]
fn an_array_of_one_transition_means_the_transition() {
    let head = "format = 1\nmachine = \"m\"\nversion = 1\ninitial = \"A\"\n[states.A]\n";
    let hash = |on: &str| parse(&format!("{head}{on}"), Format::Toml).definition.unwrap().hash();
    let plain = hash("on.go = \"A\"");
    for same in [
        "on.go = [\"A\"]",
        "on.go = { target = \"A\" }",
        "on.go = [{ target = \"A\" }]",
        "on.go = { target = \"A\", description = \"\", meta = {} }\ntype = \"atomic\"\ntags = []",
        "[states.A.on.go]\ntarget = \"A\"",
    ] {
        assert_eq!(hash(same), plain, "{same}");
    }
    assert_ne!(
        hash("on.go = { target = \"A\", description = \"why\" }"),
        plain,
        "words are part of a definition"
    );
}

proptest! {
    /// Whatever a hand does to a source: an answer, never a panic, and every place lies inside the source.
    #[test]
    fn a_damaged_source_is_answered(
        json in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, any::<prop::sample::Index>()), 1..6),
    ) {
        let (format, source) = if json { (Format::Json, JSON) } else { (Format::Toml, TOML) };
        let mut letters: Vec<char> = source.chars().collect();
        for (place, kind, other) in edits {
            let at = place.index(letters.len());
            match kind {
                0 => { letters.remove(at); }
                1 => letters[at] = STRANGERS[other.index(STRANGERS.len())],
                _ => { let from = other.index(letters.len()); let piece: Vec<_> = letters[from..].iter().take(20).copied().collect();
                       letters.splice(at..at, piece); }
            }
        }
        let source: String = letters.into_iter().collect();
        let checked = parse(&source, format);
        prop_assert_eq!(checked.definition.is_none(), !checked.faults.is_empty());
        for told in checked.faults.iter().chain(&checked.warnings) {
            prop_assert!(told.span.start <= told.span.end && told.span.end <= source.len());
            prop_assert!(told.render("file", &source).lines().count() >= 5);
        }
    }
}

const STRANGERS: [char; 16] =
    ['"', '\'', '{', '}', '[', ']', '=', ':', ',', '.', '\\', '\n', '\u{0}', '\u{2028}', '🦀', '9'];

const TOML: &str = r#"
format = 1
machine = "job" # a comment
version = 1
initial = "Init"
meta = { a = [1, 2, { b = "x\u0041" }], c.d = -5, e = 0x1f }
[states.Init]
tags = ["a", "b"]
on.start = { target = "Done", description = """two
lines""" }
on.noise = "ignore"
[states.Done]
type = "final"
"#;

const JSON: &str = r#"{"format": 1, "machine": "job", "version": 1, "initial": "Init",
 "meta": {"a": [1, -2, true, null, {"b": "x\u0041\ud83e\udd80\n"}]},
 "states": {"Init": {"on": {"start": [{"target": "Done"}], "noise": "ignore"}}, "Done": {"type": "final"}}}"#;
