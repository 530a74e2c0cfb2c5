//! Sources at their limits and beyond: long, deep, wide, with more faults than anybody reads.

use quorate_machine::{Format, SOURCE_BYTES_MAX, parse};

use crate::parse::check;

#[test]
fn a_definition_at_each_limit_is_accepted_and_one_beyond_it_is_refused() {
    let head = "format = 1\nmachine = \"m\"\nversion = 1\ninitial = \"s0\"\n";
    let states = |count: usize, events: usize| {
        let on: String = (0..events).map(|event| format!("on.e{event} = \"s0\"\n")).collect();
        (0..count).map(|state| format!("[states.s{state}]\n{on}")).collect::<String>()
    };
    let text = |bytes: usize| format!("{head}description = \"{}\"\n[states.s0]\n", "x".repeat(bytes));
    let name = |bytes: usize| format!("{head}[states.s0]\non.{} = \"s0\"\n", "e".repeat(bytes));
    let tags = |count: usize| {
        let tags: Vec<String> = (0..count).map(|tag| format!("\"t{tag}\"")).collect();
        format!("{head}tags = [{}]\n[states.s0]\n", tags.join(", "))
    };
    let padded = |bytes: usize| {
        let source = head.to_owned() + &states(1, 1);
        let space = " ".repeat(bytes - source.len());
        source + &space
    };
    let deep =
        |levels: usize| format!("{head}meta.x = {}{}\n[states.s0]\n", "[".repeat(levels), "]".repeat(levels));
    for (fits, beyond) in [
        (head.to_owned() + &states(1024, 1), head.to_owned() + &states(1025, 1)),
        (head.to_owned() + &states(1, 1024), head.to_owned() + &states(1, 1025)),
        (head.to_owned() + &states(16, 1024), head.to_owned() + &states(17, 1000)),
        (text(4096), text(4097)),
        (name(64), name(65)),
        (tags(64), tags(65)),
        (deep(62), deep(64)),
        (padded(SOURCE_BYTES_MAX), padded(SOURCE_BYTES_MAX + 1)),
    ] {
        let checked = parse(&fits, Format::Toml);
        assert!(checked.definition.is_some(), "{:?}", checked.faults.first());
        let definition = checked.definition.unwrap();
        assert_eq!(parse(definition.canonical_json(), Format::Json).definition, Some(definition));
        let faults = parse(&beyond, Format::Toml).faults;
        assert_eq!(faults.len(), 1, "{:?}", faults.first());
    }
}

#[test]
fn a_thousand_faults_are_counted_and_a_hundred_are_told() {
    let keys: String = (0..1_000).map(|key| format!("key{key} = 1\n")).collect();
    let faults = parse(&keys, Format::Toml).faults;
    assert_eq!(faults.len(), 101);
    assert_eq!(faults.last().unwrap().message, "and 905 more, not shown");
}

#[test]
fn a_source_as_deep_as_it_is_long_is_a_fault_and_not_a_crash() {
    for (format, source) in [
        (Format::Toml, format!("a{} = 1", ".a".repeat(500_000))),
        (Format::Toml, format!("[a{}]", ".a".repeat(500_000))),
        (Format::Toml, format!("a = {}", "[".repeat(500_000))),
        (Format::Toml, format!("a = {}1{}", "{a=".repeat(70), "}".repeat(70))),
        (Format::Json, "[".repeat(500_000)),
        (Format::Json, "{\"a\":".repeat(150_000)),
    ] {
        assert!(!parse(&source, format).faults.is_empty());
    }
}

#[test]
fn a_long_line_is_cut_around_the_fault_and_control_characters_are_not_shown() {
    let states: String =
        (0..100).map(|state| format!("\"s{state}\": {{\"on\": {{\"go\": \"s0\"}}}}, ")).collect();
    let source = format!(
        "{{\"format\": 1, \"machine\": \"m\", \"version\": 1, \"initial\": \"s0\", \"states\": {{{states}\"\u{9b}end\": {{}}}}}}"
    );
    check(
        Format::Json,
        &source,
        r#"error: a name holds '\u{9b}': only ASCII letters, digits, `_` and `-` are allowed
 --> m.json:1:2963
  |
1 | {"on": {"go": "s0"}}, "s98": {"on": {"go": "s0"}}, "s99": {"on": {"go": "s0"}}, "�end": {}}}
  |                                                                                 ^^^^^^ states."\u{9b}end"
"#,
    );
}

#[test]
fn many_wrong_names_among_many_right_ones_are_answered_in_time() {
    // 16,000 wrong targets and 1,000 states: to compare all with all takes minutes.
    let states: String = (0..1_000)
        .map(|state| {
            let on: String = (0..16).map(|event| format!("\"event{event}\": \"x{state}\",")).collect();
            format!("\"a-long-name-of-a-state-{state}\": {{\"on\": {{{}}}}},", &on[..on.len() - 1])
        })
        .collect();
    let source = format!("{{\"states\": {{{}}}}}", &states[..states.len() - 1]);
    assert_eq!(parse(&source, Format::Json).faults.len(), 101);
}
