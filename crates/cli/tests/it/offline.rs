//! What needs no cluster: help, usage errors, checks, completions, and what is said when nobody listens.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tokio::net::TcpSocket;

use crate::cli::{Run, program, quorate, write};

#[test]
fn help_opens_with_three_examples_and_names_the_exit_codes() {
    for arguments in [&["--help"][..], &["-h"], &["help"]] {
        let run = quorate(arguments);
        run.check(0, &["out:quorate dev", "out:propose", "out:Exit codes: 0 ok"]);
        let opening = run.stdout.split("Usage:").next().expect("the text before the usage");
        let examples = opening.lines().filter(|line| line.trim_start().starts_with("quorate ")).count();
        assert_eq!(examples, 3, "{opening}");
    }
}

#[test]
fn every_command_tells_its_flags() {
    let verbs = "dev server apply machines machine check create propose get list count history import cluster log recover config completions";
    for verb in verbs.split(' ') {
        quorate(&[verb, "--help"]).check(0, &["out:Usage: quorate"]);
        quorate(&["--help"]).check(0, &[&format!("out:\n  {verb}")]);
    }
}

#[test]
fn a_wrong_call_ends_with_2_and_says_what_is_wrong() {
    let table: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["propse", "a/b", "start"], "propose"),
        (&["propose", "a/b"], "EVENT"),
        (&["propose", "a/b", "start", "--to", "Running"], "cannot be used with"),
        (&["propose", "a", "start"], "names a machine, but no instance"),
        (&["propose", "a/", "start"], "an id is empty"),
        (&["propose", "/b", "start"], "a name is empty"),
        (&["propose", "a/b", "start", "--data", "[1]"], "--data is no JSON object"),
        (&["propose", "a/b", "start", "--data", r#"{"by":1,"by":2}"#], "--data: by: the key is there twice"),
        (
            &["propose", "a/b", "start", "--data", r#"{"n":[1,99999999999999999999]}"#],
            "--data: n[1]: the number",
        ),
        (&["propose", "a/b", "start", "--key", ""], "the key has 0 bytes"),
        (&["get", "über/b"], "only ASCII letters"),
        (&["machines", "-o", "xml"], "table"),
        (&["machines", "--endpoint", "https://a"], "TLS is not supported"),
        (&["machines", "--endpoint", ","], "the list of endpoints is empty"),
        (&["dev", "--nodes", "0"], "1..=9"),
        (&["dev", "--nodes", "9", "--api-port", "65530"], "leaves no ports"),
        (&["import", "x.csv"], "--machine"),
        (&["server", "--set", "listen.api"], "the `=` is missing"),
        (&["server", "--set", "listen.apo=127.0.0.1:0"], "listen.api"),
        (&["config", "dump", "--config", "/does/not/exist.toml"], "/does/not/exist.toml"),
    ];
    for (arguments, word) in table {
        quorate(arguments).check(2, &[&format!("err:{word}")]);
    }
}

#[test]
fn check_shows_every_fault_with_its_place_and_needs_no_cluster() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = write(
        dir.path(),
        "door.toml",
        "format = 1\nmachine = \"door\"\nversion = 1\ninitial = \"Shut\"\n\n[states.Shut]\non.open = \"Open\"\n\n[states.Open]\non.shut = \"Shut\"\n",
    );
    quorate(&["check", &good]).check(0, &["out:ok", "out:door"]);
    let bad = write(
        dir.path(),
        "bad.toml",
        "format = 1\nmachine = \"door\"\nversion = 1\ninitial = \"Shut\"\ncolour = \"red\"\n\n[states.Shut]\non.open = \"Opne\"\n\n[states.Open]\non.shut = \"Shut\"\n",
    );
    let run = quorate(&["check", &good, &bad]);
    run.check(
        1,
        &["err:colour", "err:Opne", "err:Open", "err:bad.toml:5", "err:bad.toml:8", "err:^", "out:refused"],
    );
    let report = quorate(&["check", &bad, "-o", "json"]);
    assert_eq!(report.check(1, &[]).json()[0]["faults"].as_array().map(Vec::len), Some(2), "{report:#?}");
    let lonely = write(
        dir.path(),
        "lonely.toml",
        "format = 1\nmachine = \"lonely\"\nversion = 1\ninitial = \"A\"\n\n[states.A]\non.a = \"A\"\n\n[states.B]\non.b = \"A\"\n",
    );
    quorate(&["check", &lonely]).check(0, &["err:B", "out:ok"]);
    quorate(&["check", &lonely, "--strict"]).check(1, &["err:B", "out:refused"]);
    quorate(&["check", "/does/not/exist.toml"]).check(1, &["err:cannot read /does/not/exist.toml"]);
    quorate(&["check", "definition.yaml"]).check(2, &["err:.toml or .json"]);
    // A file that is not there hides none of the others.
    let all = ["check", "/does/not/exist.toml", &bad, "definition.yaml", &good];
    quorate(&all).check(
        2,
        &[
            "err:cannot read /does/not/exist",
            "err:Opne",
            "out:unread",
            "out:refused",
            "out:ok",
            "err:3 of 4 files",
        ],
    );
    let report = quorate(&["check", "/does/not/exist.toml", &good, "-o", "json"]);
    let report = report.check(1, &[]).json();
    assert!(report[0]["error"].is_string() && report[1]["ok"] == true, "{report:#}");
}

#[test]
fn completions_exist_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        quorate(&["completions", shell]).check(0, &["out:quorate", "out:propose", "out:expect-revision"]);
    }
    quorate(&["completions", "cmd"]).check(2, &["err:bash"]);
}

#[test]
fn without_a_listener_it_ends_with_6_and_says_what_to_do() {
    // Bound and never listened on: nobody else gets the port, and nobody answers.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address").to_string();
    let told = format!("err:no listener at {address} (connection refused)");
    for verb in [&["machines"][..], &["get", "a/b"], &["propose", "a/b", "start"], &["cluster", "status"]] {
        let arguments = [&["--endpoint", &address], verb].concat();
        quorate(&arguments).check(6, &[&told, "err:is `quorate dev`", "err:QUORATE_ENDPOINTS"]);
    }
}

#[test]
fn the_first_calls_of_an_import_are_repeated_as_long_as_patience_lasts() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address").to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), "rows.csv", "id,event\na,start\n");
    let arguments = ["--endpoint", &address, "import", &file, "--machine", "lifecycle", "--patience"];
    for (patience, words) in [("0", "err:no answer for 0 s"), ("2", "err:no answer for 2 s")] {
        quorate(&[&arguments[..], &[patience]].concat()).check(6, &[words, "err:no listener"]);
    }
}

#[test]
fn who_waits_is_told_what_for() {
    // It takes connections and says nothing: a node that hangs.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("a bound socket has an address").to_string();
    let mut child = program(&["--endpoint", &address, "machines"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("it is a pipe")).read_line(&mut line).expect("a line comes");
    assert_eq!(line, format!("still trying: no answer yet from {address} (Ctrl-C ends it)\n"));
    child.kill().expect("it runs");
    child.wait().expect("it ended");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [&["completions", "bash"][..], &["--help"], &["config", "dump"]] {
        let mut child = program(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        Run::of(&output).check(0, &[]);
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let run = quorate(&["check", "definition.yaml"]);
    assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
}

#[test]
fn settings_are_dumped_with_their_origin() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = write(dir.path(), "quorate.toml", "[listen]\napi = \"127.0.0.1:7777\"\n");
    let run = quorate(&["config", "dump", "--config", &file, "--set", "timeouts.shutdown=3s"]);
    run.check(0, &["out:127.0.0.1:7777", "out:quorate.toml:2", "out:--set timeouts.shutdown", "out:default"]);
    let json = quorate(&["config", "dump", "-o", "json", "--log-level", "debug"]);
    let settings = json.check(0, &[]).json();
    let level = settings.as_array().and_then(|all| all.iter().find(|one| one["key"] == "log.level"));
    assert_eq!(level.map(|one| one["origin"].clone()), Some("flag --log-level".into()), "{json:#?}");
}

#[test]
fn a_log_is_looked_for_where_it_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    quorate(&["log", "inspect", &path]).check(1, &["err:no data directory"]);
    quorate(&["log", "inspect", "/does/not/exist"]).check(1, &["err:/does/not/exist"]);
}

#[cfg(unix)]
#[test]
fn rejected_rows_never_replace_the_imported_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let import = path("rows.csv");
    std::fs::write(&import, "id,event\na,start\n").expect("written");
    std::fs::hard_link(&import, path("hard.csv")).expect("linked");
    std::os::unix::fs::symlink(&import, path("soft.csv")).expect("linked");
    for rejected in ["rows.csv", "hard.csv", "soft.csv"] {
        let run = quorate(&["import", &import, "--machine", "m", "--rejected", &path(rejected)]);
        run.check(2, &["err:is the imported file itself"]);
    }
    assert_eq!(std::fs::read_to_string(&import).expect("read"), "id,event\na,start\n");
}
