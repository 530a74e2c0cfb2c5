//! The canonical form: one text and one hash for one meaning.

use proptest::prelude::*;
use quorate_machine::{Definition, Format, parse};

use crate::support::definition;

#[test]
fn keys_are_sorted_and_shorthands_are_written_out() {
    let definition = definition(
        r#"
version = 2
machine = "job"
format = 1
initial = "b"
meta = { z = 1, "é" = 2, "€" = 3, "😀" = 4, "\uFB33" = 5, "\r" = 6, "1" = 7, "\u0080" = "\u007f\u0001\"\\/\n" }
[states.b]
on.go = "A"
on.noise = "ignore"
[states.A]
type = "final"
"#,
    );
    // The order of the keys of `meta` is that of the example of RFC 8785, 3.2.3.
    let expected = concat!(
        r#"{"format":1,"initial":"b","machine":"job","meta":{"\r":6,"1":7,"z":1,""#,
        "\u{80}\":\"\u{7f}\\u0001\\\"\\\\/\\n\",",
        "\"é\":2,\"€\":3,\"😀\":4,\"\u{fb33}\":5},",
        r#""states":{"A":{"type":"final"},"b":{"on":{"go":{"target":"A"},"noise":"ignore"}}},"version":2}"#
    );
    assert_eq!(definition.canonical_json(), expected);
    assert_eq!(definition.hash().to_string(), SHA_256_OF_EXPECTED);
}

/// Of the text above, by another program.
const SHA_256_OF_EXPECTED: &str = "e9fd10a327685503b85ec7b5457ade1b0711f0dd366c9edc5b60b2728e493e57";

#[test]
fn the_built_in_machine_never_changes() {
    // Every log and every snapshot holds this machine without its definition: another hash would be another machine.
    let lifecycle = Definition::lifecycle();
    assert_eq!(
        lifecycle.hash().to_string(),
        "38c2d52a960489fbdae3604427599a629bc5db5eab16e5f3ff1506c8f2872c40"
    );
}

#[test]
fn only_the_canonical_text_of_a_definition_is_read_back() {
    let good = Definition::lifecycle().canonical_json().to_owned();
    assert_eq!(Definition::from_canonical_json(&good), Ok(Definition::lifecycle()));
    for bad in [
        String::new(),
        "{}".to_owned(),
        format!(" {good}"),
        good.replace(r#"{"target":"Running"}"#, r#""Running""#),
        good.replace("Running", "Runnin"),
        good.replace(r#""version":1"#, r#""version":1.0"#),
        good.replace(r#""format":1"#, r#""format":2"#),
    ] {
        if bad.contains("Runnin\"") {
            assert!(
                Definition::from_canonical_json(&bad).is_ok(),
                "another name everywhere is another machine"
            );
        } else {
            assert!(Definition::from_canonical_json(&bad).is_err(), "{bad}");
        }
    }
}

/// A small random machine, written in TOML and in JSON in different orders.
fn sources() -> impl Strategy<Value = (String, String)> {
    let name = "[A-Za-z0-9_-]{1,8}";
    let meta = prop::collection::btree_map(".{0,6}", (any::<i64>(), ".{0,12}"), 0..4);
    let states =
        prop::collection::btree_map(name.prop_filter("no state", |name| name != "ignore"), name, 1..6);
    (name, 1..i64::MAX, meta, states, ".{0,20}").prop_map(|(machine, version, meta, states, text)| {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        // JSON's escapes are TOML's, except for DEL, which TOML does not allow as it is.
        let toml_quoted = |text: &str| quoted(text).replace('\u{7f}', "\\u007f");
        let names: Vec<&String> = states.keys().collect();
        let (mut toml, mut json) = (String::new(), Vec::new());
        toml += &format!("initial = {}\nformat = 1\nversion = {version}\n", toml_quoted(names[0]));
        toml += &format!("description = {}\nmachine = \"{machine}\"\n", toml_quoted(&text));
        for (key, (number, word)) in &meta {
            toml += &format!("meta.{} = [{number}, {}]\n", toml_quoted(key), toml_quoted(word));
        }
        for (place, (state, event)) in states.iter().enumerate().rev() {
            let target = names[(place + 1) % names.len()];
            toml += &format!("[states.{state}]\non.{event} = \"{target}\"\n");
            json.push(format!("\"{state}\": {{\"on\": {{\"{event}\": {{\"target\": \"{target}\"}}}}}}"));
        }
        let meta: Vec<String> = meta
            .iter()
            .map(|(key, (number, word))| format!("{}: [{number}, {}]", quoted(key), quoted(word)))
            .collect();
        let json = format!(
            "{{\"states\": {{{}}}, \"meta\": {{{}}}, \"machine\": \"{machine}\", \"version\": {version},\n \
             \"description\": {}, \"initial\": {}, \"format\": 1}}",
            json.join(", "),
            meta.join(","),
            quoted(&text),
            quoted(names[0]),
        );
        (toml, json)
    })
}

proptest! {
    #[test]
    fn one_definition_has_one_hash_in_toml_and_in_json((toml, json) in sources()) {
        let of_toml = parse(&toml, Format::Toml);
        prop_assert!(of_toml.faults.is_empty(), "{}\n{:?}", toml, of_toml.faults);
        let of_json = parse(&json, Format::Json);
        prop_assert!(of_json.faults.is_empty(), "{}\n{:?}", json, of_json.faults);
        let (toml, json) = (of_toml.definition.unwrap(), of_json.definition.unwrap());
        prop_assert_eq!(toml.canonical_json(), json.canonical_json());
        prop_assert_eq!(&toml, &json);
        // Canonical of canonical is the same text, and reading it back gives the same definition.
        let again = Definition::from_canonical_json(toml.canonical_json()).unwrap();
        prop_assert_eq!(again.canonical_json(), toml.canonical_json());
        prop_assert_eq!(&again, toml.as_ref());
        // Another reader of JSON sees the same content.
        let value: serde_json::Value = serde_json::from_str(toml.canonical_json()).unwrap();
        prop_assert_eq!(value["version"].as_u64(), Some(toml.version()));
    }
}
