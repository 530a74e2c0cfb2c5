//! Settings: which source wins, and what is said about each mistake.

use std::path::PathBuf;
use std::time::Duration;

use quorate_server::{Override, ServerConfig};

/// Loads settings from a file's text, variables and flags.
fn check(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<ServerConfig, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quorate.toml");
    std::fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let overrides: Vec<_> = flags
        .iter()
        .map(|(key, value)| Override {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            flag: format!("--{}", key.replace('.', "-")),
        })
        .collect();
    let place = format!("{}:", path.display());
    ServerConfig::load(Some(&path), variables, &overrides)
        .map_err(|error| error.faults.into_iter().map(|fault| fault.replace(&place, "file:")).collect())
}

fn origin(config: &ServerConfig, key: &str) -> String {
    let line = config.dump().into_iter().find(|line| line.key == key).unwrap();
    let origin = line.origin.to_string();
    match origin.rsplit_once('/') {
        Some((_, name)) => format!("{} from {name}", line.value),
        None => format!("{} from {origin}", line.value),
    }
}

#[test]
fn each_source_goes_over_the_one_before_and_is_remembered() {
    let file = "[timeouts]\nelection = \"2s\"\nheartbeat = \"200ms\"\nproposal = \"4s\"\nread = \"4s\"\n";
    let variables =
        [("QUORATE_TIMEOUTS__HEARTBEAT", "250ms"), ("QUORATE_TIMEOUTS__READ", "5s"), ("HOME", "/")];
    let config = check(file, &variables, &[("timeouts.read", "6s")]).unwrap();
    assert_eq!(origin(&config, "timeouts.election"), "2s from quorate.toml:2");
    assert_eq!(origin(&config, "timeouts.heartbeat"), "250ms from environment QUORATE_TIMEOUTS__HEARTBEAT");
    assert_eq!(origin(&config, "timeouts.read"), "6s from flag --timeouts-read");
    assert_eq!(origin(&config, "timeouts.header"), "30s from default");
    assert_eq!(config.replication.read_timeout, Duration::from_secs(6));
}

#[test]
fn the_clients_own_variables_are_no_settings_of_the_server() {
    check("", &[("QUORATE_ENDPOINTS", "x"), ("QUORATE_TOKEN", "x")], &[]).unwrap();
}

#[test]
fn a_whole_file_is_read_and_every_dumped_value_is_read_again() {
    let file = r#"
[node]
id = 2
data_dir = "/var/lib/quorate"
[cluster]
token = "secret"
[[cluster.members]]
id = 1
peer = "127.0.0.1:1481"
[[cluster.members]]
id = 2
peer = "127.0.0.1:1581"
api = "127.0.0.1:1580"
[limits]
body_bytes_max = "1MiB"
segment_bytes = 33_554_432
"#;
    let config = check(file, &[], &[]).unwrap();
    assert_eq!(config.node.data_dir, PathBuf::from("/var/lib/quorate"));
    assert_eq!(config.limits.body_bytes_max, 1 << 20);
    assert_eq!(config.listen.peer, "127.0.0.1:1581", "where its peers look for it");
    assert_eq!(origin(&config, "listen.api"), "127.0.0.1:1580 from this node in cluster.members");
    let dump = config.dump();
    assert!(dump.iter().all(|line| !line.value.contains("secret")), "a secret is never shown");
    let again: Vec<_> = dump.iter().map(|line| (line.key, line.value.as_str())).collect();
    let again = check("", &[], &again).unwrap().dump();
    for (first, second) in dump.iter().zip(&again) {
        assert_eq!((first.key, &first.value), (second.key, &second.value));
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_way_out() {
    let file =
        "[listne]\napi = \"x\"\n[listen]\napu = \"127.0.0.1:1\"\n[timeouts]\nelection = \"soon\"\nread = 5\n";
    let faults = check(file, &[("QUORATE_NODE__IDD", "1")], &[("node.id", "x")]).unwrap_err();
    let expected = [
        ("file:2:1: unknown key `listne.api`", "did you mean `listen.api`?"),
        ("file:4:1: unknown key `listen.apu`", "did you mean `listen.api`?"),
        ("file:6:12: timeouts.election: `soon` is no duration", "500ms"),
        ("file:7:8: timeouts.read: `5` is no duration", "500ms"),
        ("QUORATE_NODE__IDD: unknown key `node.idd`", "did you mean `node.id`?"),
        ("--node-id: node.id: `x` is not a number", ""),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for ((begin, hint), fault) in expected.into_iter().zip(&faults) {
        assert!(fault.starts_with(begin) && fault.contains(hint), "{begin} … {hint} in {faults:#?}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_is_not_there_is_told() {
    let faults = check("[listen\n", &[], &[]).unwrap_err();
    assert!(faults[0].starts_with("file:1:"), "{faults:?}");
    let faults = check("id = 1\n", &[], &[]).unwrap_err();
    assert!(faults[0].starts_with("file:1:1: unknown key `id`"), "{faults:?}");
    let missing = ServerConfig::load(Some("/nonexistent/quorate.toml".as_ref()), [], &[]).unwrap_err();
    assert!(missing.faults[0].contains("/nonexistent/quorate.toml"), "{missing}");
}

#[test]
fn what_does_not_fit_together_is_told() {
    let member = |id: u64, peer: &str| format!("[[cluster.members]]\nid = {id}\npeer = \"{peer}\"\n");
    for (file, word) in [
        (member(2, "127.0.0.1:1"), "node.id: this node (1) is not among cluster.members (2)"),
        (member(1, "127.0.0.1:1") + &member(1, "127.0.0.1:2"), "node 1 is listed twice"),
        (member(1, "127.0.0.1:1") + &member(2, "127.0.0.1:1"), "the peer address of two members"),
        ("[[cluster.members]]\nid = 1\n".to_owned(), "a member has no `peer`"),
        ("[[cluster.members]]\nid = 1\npear = \"x\"\n".to_owned(), "did you mean `peer`?"),
        ("[node]\nid = 0\n".to_owned(), "0 is no node id"),
        ("[listen]\napi = \"0.0.0.0:7480\"\n".to_owned(), "listen.insecure"),
        ("[timeouts]\nheartbeat = \"5s\"\n".to_owned(), "election_timeout"),
        ("[limits]\nbody_bytes_max = \"1GiB\"\n".to_owned(), "limits.bodies_bytes_max"),
        ("[limits]\nbody_bytes_max = \"99999999999GiB\"\n".to_owned(), "no size"),
        ("[limits]\nconnections_len_max = 0\n".to_owned(), "at least 1"),
        ("[cluster]\ntoken = \"\"\n".to_owned(), "it is empty"),
        ("[log]\nlevel = \"inof\"\n".to_owned(), "`inof` is no level"),
        ("[log]\nlevel = \"quorate=debg,info\"\n".to_owned(), "did you mean `debug`?"),
    ] {
        let faults = check(&file, &[], &[]).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(word)), "{word} in {faults:#?}");
    }
    let open = "[listen]\napi = \"0.0.0.0:7480\"\ninsecure = true\n";
    assert!(check(open, &[], &[]).unwrap().listen.insecure);
}

#[test]
fn a_number_in_quotes_is_no_number() {
    let cases = [
        ("[node]\nid = \"1\"\n", "file:2:6: node.id: it is a number: write it without quotes, as 1"),
        (
            "[listen]\ninsecure = \"true\"\n",
            "file:2:12: listen.insecure: it is true or false: write it without quotes",
        ),
        (
            "[cluster]\nmembers = [{ id = \"1\", peer = \"127.0.0.1:1\" }]\n",
            "file:2:12: cluster.members: an id is a number",
        ),
    ];
    for (file, words) in cases {
        let faults = check(file, &[], &[]).unwrap_err();
        assert!(faults.len() == 1 && faults[0].starts_with(words), "{faults:?}");
    }
    check("[node]\ndata_dir = \"7\"\n[limits]\nbody_bytes_max = \"65536\"\n", &[], &[]).unwrap();
}
