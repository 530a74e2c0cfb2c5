//! Imports: the sample twice with the same figures, other forms of files, broken rows, and a cluster that dies on the way.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{quorate, write};
use crate::cluster::Dev;

/// A sample of a real incident log: CSV with CRLF, and what must come of it.
fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/data").join(name)
}

fn sample_text(name: &str) -> String {
    std::fs::read_to_string(sample(name)).expect("the sample is part of the project")
}

fn expected() -> Value {
    serde_json::from_str(&sample_text("incidents-sample-expected.json")).expect("JSON")
}

/// A cluster that knows the sample's machine.
fn with_incident(nodes: u64, dir: &Path) -> Dev {
    let dev = Dev::start(nodes, dir);
    dev.run(&["apply", &sample("incident.toml").to_string_lossy()]).check(0, &["out:incident"]);
    dev
}

/// Imports and returns the counts.
fn import(dev: &Dev, file: &str, machine: &str) -> Value {
    let run = dev.run(&["import", file, "--machine", machine, "-o", "json"]);
    run.check(0, &[]).json()
}

/// The counts that must not depend on when or how often a file is imported.
fn figures(report: &Value) -> Value {
    let names = ["rows", "created", "existed", "committed", "ignored", "rejected", "rejected_by_code"];
    names
        .iter()
        .map(|name| ((*name).to_owned(), report[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The states of all instances, those without any left out.
fn states(dev: &Dev, machine: &str) -> Value {
    let count = dev.run(&["count", machine, "-o", "json"]).check(0, &[]).json();
    let states = count["states"].as_object().expect("an object").clone();
    states
        .into_iter()
        .filter(|(_, instances)| *instances != json!(0))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn the_sample_gives_its_figures_and_a_second_import_the_same_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = with_incident(3, dir.path());
    let file = write(dir.path(), "sample.csv", sample_text("incidents-sample.csv"));
    let expected = expected();
    let first = import(&dev, &file, "incident");
    assert_eq!(
        [&first["rows"], &first["created"], &first["committed"], &first["rejected"]],
        [&expected["events"], &expected["instances"], &expected["committed"], &expected["rejected"]],
        "{first:#}"
    );
    assert_eq!(states(&dev, "incident"), expected["final_states"]);
    let rejected =
        std::fs::read_to_string(format!("{file}.rejected.csv")).expect("rejected rows are written");
    assert_eq!(
        rejected.lines().count() as u64,
        1 + expected["rejected"].as_u64().expect("a number"),
        "{rejected}"
    );
    assert!(rejected.starts_with("row,line,id,to,time,group,impact,product,rejected_code,rejected_detail"));
    let rows =
        rejected.lines().skip(1).map(|line| line.split(',').next().and_then(|row| row.parse::<u64>().ok()));
    assert!(rows.clone().all(|row| row.is_some()) && rows.is_sorted(), "{rejected}");

    let second = import(&dev, &file, "incident");
    assert_eq!(figures(&second), figures(&first));
    assert_eq!(
        [&first["answered_before"], &second["answered_before"]],
        [&json!(0), &first["rows"]],
        "{second:#}"
    );
    assert_eq!(states(&dev, "incident"), expected["final_states"]);
    assert_eq!(std::fs::read_to_string(format!("{file}.rejected.csv")).ok(), Some(rejected));
    dev.run(&["import", &file, "--machine", "incident"])
        .check(0, &["out:committed", "out:2,661", "out:no_transition", "out:decided by an earlier import"]);
}

#[test]
fn an_import_that_was_cut_off_continues_and_gives_the_same_figures() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let dev = with_incident(3, &data);
    let file = write(dir.path(), "sample.csv", sample_text("incidents-sample.csv"));
    let mut import_child = dev
        .command(&["import", &file, "--machine", "incident", "--patience", "0"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    // The first instances are there: the import is on its way. Without patience it may have ended already, when the leader changed.
    while import_child.try_wait().expect("it can be asked").is_none() {
        let count = dev.run(&["count", "incident", "-o", "json"]).check(0, &[]).json();
        if count["total"].as_u64().is_some_and(|total| total >= 20) {
            break;
        }
    }
    dev.end("-KILL");
    let code = import_child.wait().expect("the import ends").code();
    // On a fast machine the import may have been over before the cluster died; all else is a stop that says how to go on.
    assert!(matches!(code, Some(0 | 6 | 7)), "{code:?}");
    let dev = Dev::start(3, &data);
    let expected = expected();
    let report = import(&dev, &file, "incident");
    assert_eq!(
        [&report["rows"], &report["created"], &report["committed"], &report["rejected"]],
        [&expected["events"], &expected["instances"], &expected["committed"], &expected["rejected"]],
        "{report:#}"
    );
    assert_eq!(states(&dev, "incident"), expected["final_states"]);
}

#[test]
fn every_form_of_the_same_rows_gives_the_same_figures() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(1, &dir.path().join("data"));
    let forms = [
        ("lf.csv", "id,event,note\nF/1,start,a\nF/1,stop,\nF/2,stop,\"x, \"\"y\"\"\nand z\"\nF/1,reset,b\n"),
        (
            "crlf.csv",
            "id,event,note\r\nF/1,start,a\r\nF/1,stop,\r\nF/2,stop,\"x, \"\"y\"\"\nand z\"\r\nF/1,reset,b\r\n",
        ),
        (
            "bom.csv",
            "\u{feff}id,event,note\nF/1,start,a\nF/1,stop,\nF/2,stop,\"x, \"\"y\"\"\nand z\"\nF/1,reset,b",
        ),
        (
            "blank.csv",
            "id,event,note\n\nF/1,start,a\n\nF/1,stop,\nF/2,stop,\"x, \"\"y\"\"\nand z\"\nF/1,reset,b\n\n",
        ),
        (
            "order.csv",
            "note,event,id\na,start,F/1\n,stop,F/1\n\"x, \"\"y\"\"\nand z\",stop,F/2\nb,reset,F/1\n",
        ),
        (
            "both.csv",
            "id,event,to,note\nF/1,start,,a\nF/1,,Stopped,\nF/2,stop,,\"x, \"\"y\"\"\nand z\"\nF/1,reset,,b\n",
        ),
        (
            "rows.jsonl",
            "{\"id\":\"F/1\",\"event\":\"start\",\"data\":{\"note\":\"a\"}}\n{\"id\":\"F/1\",\"to\":\"Stopped\",\"data\":{\"note\":\"\"}}\r\n\n\
             {\"id\":\"F/2\",\"event\":\"stop\",\"data\":{\"note\":\"x, \\\"y\\\"\\nand z\"}}\n{\"id\":\"F/1\",\"event\":\"reset\",\"data\":{\"note\":\"b\"}}",
        ),
    ];
    for (name, text) in forms {
        let file = write(dir.path(), name, text.replace("F/", &format!("{name}/")));
        let report = import(&dev, &file, "lifecycle");
        let expected = json!({"rows": 4, "created": 2, "existed": 0, "committed": 3, "ignored": 0, "rejected": 1,
            "rejected_by_code": {"no_transition": 1}});
        assert_eq!(figures(&report), expected, "{name}");
        let history = dev.run(&["history", &format!("lifecycle/{name}/2"), "-o", "json"]);
        let records = history.json()["records"].clone();
        let data = records.as_array().and_then(|records| records.last()).map(|record| record["data"].clone());
        assert_eq!(data, Some(json!({"note": "x, \"y\"\nand z"})), "{name}: {history:#?}");
    }
}

#[test]
fn a_broken_file_is_refused_with_the_line_before_anything_is_proposed() {
    let dir = tempfile::tempdir().expect("a directory");
    let long = format!("id,event\n{}\n", "x".repeat(3_000_000));
    let table: &[(&str, &[u8], &str)] = &[
        ("empty.csv", b"", "is empty"),
        (
            "no-id.csv",
            b"name,event\na,start\n",
            "line 1: there is no column `id`; the columns are: name, event",
        ),
        ("no-event.csv", b"id,state\na,start\n", "line 1: there is no column `event` and none `to`"),
        ("twice.csv", b"id,event,id\na,start,b\n", "line 1: the column `id` stands there twice"),
        (
            "short.csv",
            b"id,event,note\r\na,start,x\r\nb,start\r\n",
            "line 3: the row has 2 columns, the header has 3",
        ),
        ("blank.csv", b"\r\nid,event\r\n\r\n\r\na,start\r\n\r\nb,\r\n", "line 7: neither"),
        ("lines.csv", b"id,event,note\na,start,\"x\ny\r\n\"\nb,,\"x\ny\"", "line 5: neither"),
        ("long.csv", b"id,event\na,start\nb,start,x\n", "line 3: the row has 3 columns, the header has 2"),
        ("latin1.csv", b"id,event,note\na,start,x\nb,start,gr\xfcn\n", "line 3: column `note` is not UTF-8"),
        ("neither.csv", b"id,event,to\na,start,\nb,,\n", "line 3: neither `event` nor `to` is given"),
        ("both.csv", b"id,event,to\na,start,Running\n", "line 2: both `event` and `to` are given"),
        ("no-name.csv", b"id,event\n,start\n", "line 2: `id`: an id is empty"),
        ("space.csv", b"id,event\na,\"start now\"\n", "line 2: `event`: a name holds"),
        ("endless.csv", long.as_bytes(), "line 2: one row is longer than"),
        (
            "key.jsonl",
            b"{\"id\":\"a\",\"event\":\"start\"}\n{\"id\":\"a\",\"evnt\":\"start\"}\n",
            "line 2: unknown field `evnt`",
        ),
        ("cut.jsonl", b"{\"id\":\"a\",\"event\":\"start\"}\n{\"id\":", "line 2: "),
        ("bytes.jsonl", b"\n{\"id\":\"\xff\",\"event\":\"start\"}\n", "line 2: the line is not UTF-8"),
    ];
    for (name, text, why) in table {
        let file = write(dir.path(), name, text);
        // Nobody listens there: the file is checked before anybody is asked.
        let run = quorate(&["import", &file, "--machine", "lifecycle", "--endpoint", "127.0.0.1:1"]);
        run.check(1, &[&format!("err:{why}"), &format!("err:{name}")]);
    }
    quorate(&["import", "/does/not/exist.csv", "--machine", "m"])
        .check(1, &["err:cannot read /does/not/exist.csv"]);
    quorate(&["import", &dir.path().to_string_lossy(), "--machine", "m"])
        .check(2, &["err:not a regular file"]);
    let file = write(dir.path(), "rows.txt", "id,event\n");
    quorate(&["import", &file, "--machine", "m"]).check(2, &["err:.csv or .jsonl"]);
}

#[test]
fn a_dry_run_counts_and_proposes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(1, &dir.path().join("data"));
    let file = write(dir.path(), "rows.csv", "id,event\na,start\na,stop\nb,strat\n");
    let run = dev.run(&["import", &file, "--machine", "lifecycle", "--dry-run", "-o", "json"]);
    let report = run.check(0, &["err:lifecycle has no event `strat`: 1 rows will be rejected"]).json();
    assert_eq!([&report["rows"], &report["ids"]], [&json!(3), &json!(2)], "{run:#?}");
    assert_eq!(report["events"], json!({"start": 1, "stop": 1, "strat": 1}));
    assert_eq!(dev.run(&["count", "lifecycle", "-o", "json"]).json()["total"], 0);
    dev.run(&["import", &file, "--machine", "lifecicle", "--dry-run"]).check(5, &["err:did you mean"]);
}

#[test]
fn rejected_rows_go_where_the_user_says_or_nothing_is_proposed() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(1, &dir.path().join("data"));
    let file = write(dir.path(), "rows.csv", "id,event\na,stop\n");
    let bad = dir.path().join("no/such/folder.csv").to_string_lossy().into_owned();
    dev.run(&["import", &file, "--machine", "lifecycle", "--rejected", &bad])
        .check(1, &["err:cannot write", "err:folder.csv"]);
    assert_eq!(dev.run(&["count", "lifecycle", "-o", "json"]).json()["total"], 0);
    let good = dir.path().join("rejected.csv").to_string_lossy().into_owned();
    dev.run(&["import", &file, "--machine", "lifecycle", "--rejected", &good])
        .check(0, &["out:rejected.csv"]);
    let text = std::fs::read_to_string(&good).expect("it was written");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("row,line,id,event,rejected_code,rejected_detail"));
    assert!(lines.next().is_some_and(|line| line.starts_with("1,2,a,stop,no_transition,")), "{text}");
}
