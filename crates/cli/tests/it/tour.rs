//! The tour of a new user over a cluster of three: create, propose, be rejected, look.

use std::net::TcpListener;
use std::time::Instant;

use serde_json::json;

use crate::cli::{program, quorate};
use crate::cluster::{BOUND, Dev};

#[test]
fn the_tour() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(3, dir.path());
    let run = |arguments: &[&str]| dev.run(arguments);

    run(&["create", "lifecycle/job-1"]).check(0, &["out:lifecycle/job-1", "out:Init"]);
    run(&["create", "lifecycle/job-1"]).check(4, &["out:exists", "err:quorate get lifecycle/job-1"]);
    run(&["propose", "lifecycle/job-1", "start"]).check(0, &["out:committed", "out:Init", "out:Running"]);
    run(&["propose", "lifecycle/job-1", "reset"]).check(3, &["out:no_transition", "out:stop", "err:Running"]);
    run(&["propose", "lifecycle/job-1", "strat"]).check(3, &["out:unknown_event", "err:did you mean"]);
    run(&["propose", "lifecycle/job-1", "--to", "Stoped"]).check(3, &["err:did you mean"]);
    run(&["propose", "lifecycle/job-1", "stop", "--expect-revision", "9"])
        .check(4, &["out:conflict", "err:quorate get lifecycle/job-1"]);
    run(&[
        "propose",
        "lifecycle/job-1",
        "--to",
        "Stopped",
        "--expect-state",
        "Running",
        "--data",
        r#"{"by":"ann"}"#,
    ])
    .check(0, &["out:committed", "out:Stopped"]);

    let get = run(&["get", "lifecycle/job-1", "-o", "json"]);
    let instance = get.check(0, &[]).json();
    assert_eq!(
        [&instance["state"], &instance["revision"], &instance["allowed"]],
        [&json!("Stopped"), &json!(3), &json!(["reset"])],
        "{get:#?}"
    );
    run(&["get", "lifecycle/job-1"]).check(0, &["out:Stopped", "out:reset"]);
    run(&["list", "lifecycle"]).check(0, &["out:job-1", "out:Stopped"]);
    run(&["list", "lifecycle", "--state", "Stoped"]).check(2, &["err:Stopped"]);
    run(&["count", "lifecycle"]).check(0, &["out:Init", "out:Stopped", "out:(all)"]);
    let count = run(&["count", "lifecycle", "-o", "json"]);
    assert_eq!(count.json()["states"], json!({"Init": 0, "Running": 0, "Stopped": 1}), "{count:#?}");
    let history = run(&["history", "lifecycle/job-1", "-o", "jsonl"]);
    let records = history.stdout.lines().map(serde_json::from_str::<serde_json::Value>);
    let outcomes =
        records.map(|record| record.expect("a line is JSON")["outcome"].clone()).collect::<Vec<_>>();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "committed").count(), 2, "{history:#?}");
    run(&["history", "lifecycle/job-1"])
        .check(0, &["out:created", "out:rejected: no_transition", r#"out:{"by":"ann"}"#]);

    run(&["cluster", "transfer", "2"]).check(0, &["out:n2", "out:leader"]);
    run(&["cluster", "transfer", "9"]).check(3, &["err:no voter", "err:/v1/cluster"]);
    let moved = run(&["cluster", "transfer", "3", "-o", "json"]);
    assert_eq!(moved.check(0, &[]).json(), json!({ "leader": 3 }), "{moved:#?}");

    run(&["get", "lifecycle/job-2"]).check(5, &["err:job-2"]);
    run(&["propose", "lifecycle/job-2", "start"]).check(5, &["err:quorate create lifecycle/job-2"]);
    run(&["get", "lifecicle/job-1"]).check(5, &["err:did you mean"]);
    run(&["create", "lifecicle/job-1"]).check(5, &["err:did you mean"]);
    run(&["count", "lifecicle"]).check(5, &["err:did you mean"]);
    run(&["machines"]).check(0, &["out:lifecycle"]);
    run(&["machine", "lifecycle"]).check(0, &["out:start", "out:Running", "err:version 1"]);
    run(&["machine", "lifecycle", "--version", "7"]).check(5, &[]);

    let status = run(&["cluster", "status", "-o", "json"]);
    let members = status.check(0, &[]).json()["members"].as_array().map(Vec::len);
    assert_eq!(members, Some(3), "{status:#?}");
    run(&["cluster", "status"]).check(0, &["out:leader", "out:follower", "out:n3"]);
}

#[test]
fn a_key_gets_its_first_answer_again_and_no_second_transition() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(1, dir.path());
    dev.run(&["create", "lifecycle/k"]).check(0, &[]);
    let propose = ["propose", "lifecycle/k", "start", "--key", "once", "-o", "json"];
    let first = dev.run(&propose);
    let second = dev.run(&propose);
    assert_eq!(first.check(0, &[]).json(), second.check(0, &[]).json());
    dev.run(&["propose", "lifecycle/k", "stop", "--key", "once"]).check(4, &["err:key"]);
    assert_eq!(dev.run(&["get", "lifecycle/k", "-o", "json"]).json()["revision"], 2);
}

#[test]
fn explain_tells_each_step_on_every_node() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(3, dir.path());
    dev.run(&["create", "lifecycle/e"]).check(0, &[]);
    let begin = Instant::now();
    loop {
        let (mut forwarded, mut terms) = (0, Vec::new());
        for (endpoint, event) in dev.endpoints.split(',').zip(["start", "stop", "reset"]) {
            let run = dev.run(&["propose", "lifecycle/e", event, "--explain", "--endpoint", endpoint]);
            run.check(
                0,
                &[
                    "out:accepted from the client",
                    "out:appended as entry",
                    "out:acknowledged by",
                    "out:committed: a quorum",
                    "out:applied",
                ],
            );
            forwarded += usize::from(run.stdout.contains("forwarded to the leader"));
            let entry = run.stdout.split("appended as entry ").nth(1).expect("it was found just now");
            terms.push(entry.split(':').next().expect("term:index").to_owned());
        }
        // One leader for all three. On a slow machine there may be another one in between.
        terms.dedup();
        if terms.len() == 1 {
            return assert_eq!(forwarded, 2, "two of three nodes are followers");
        }
        assert!(begin.elapsed() < BOUND, "no leader lasts for three proposals");
    }
}

#[test]
fn ids_may_hold_anything_but_control_characters() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(1, dir.path());
    for id in ["a/b/c", "50% off?", "grün #7", "..."] {
        let target = format!("lifecycle/{id}");
        dev.run(&["create", &target]).check(0, &[]);
        dev.run(&["propose", &target, "start"]).check(0, &["out:Running"]);
        let get = dev.run(&["get", &target, "-o", "json"]);
        assert_eq!(get.json()["id"], id);
    }
    dev.run(&["list", "lifecycle", "--limit", "2"]).check(0, &["err:there are more"]);
}

#[test]
fn a_signal_stops_it_in_order_and_the_data_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    for (round, signal) in ["-INT", "-TERM", "-KILL"].into_iter().enumerate() {
        let dev = Dev::start(3, dir.path());
        let target = format!("lifecycle/round-{round}");
        dev.run(&["create", &target]).check(0, &[]);
        dev.run(&["propose", &target, "start"]).check(0, &[]);
        let count = dev.run(&["count", "lifecycle", "-o", "json"]);
        assert_eq!(count.json()["states"]["Running"], round as u64 + 1, "{count:#?}");
        let code = dev.end(signal);
        assert_eq!(code, if signal == "-KILL" { None } else { Some(0) }, "{signal}");
    }
    let dev = Dev::start(3, dir.path());
    assert_eq!(dev.run(&["count", "lifecycle", "-o", "json"]).json()["total"], 3);
}

#[test]
fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(1, dir.path());
    let path = dir.path().to_string_lossy().into_owned();
    quorate(&["dev", "--nodes", "1", "--api-port", "0", "--data-dir", &path])
        .check(1, &["err:node 1", "err:n1"]);
    quorate(&["dev", "--nodes", "3", "--api-port", "0", "--data-dir", &path]).check(1, &["err:--nodes 1"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("a bound socket has an address").port().to_string();
    let other = tempfile::tempdir().expect("a directory");
    let other = other.path().to_string_lossy().into_owned();
    quorate(&["dev", "--nodes", "1", "--api-port", &port, "--data-dir", &other])
        .check(1, &[&format!("err:127.0.0.1:{port}"), "err:--api-port"]);
    let file = dir.path().join("file");
    std::fs::write(&file, "no directory").expect("the test's directory can be written");
    let file = file.to_string_lossy().into_owned();
    quorate(&["dev", "--nodes", "1", "--api-port", "0", "--data-dir", &file]).check(1, &["err:file"]);
    drop(dev);
}

#[test]
fn the_first_screen_tells_nodes_leader_data_and_what_to_paste() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    let mut child = program(&["dev", "--api-port", "0", "--data-dir", &path])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    let stdout = child.stdout.take().expect("stdout is piped");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let mut screen = Vec::new();
    for line in lines {
        screen.push(line.expect("UTF-8"));
        if screen.last().is_some_and(|line| line.contains("cluster status")) {
            break;
        }
    }
    child.kill().expect("the child runs");
    child.wait().expect("the child ends");
    let screen = screen.join("\n");
    for word in [
        "3 nodes in one process",
        "leader",
        "follower",
        "n3",
        &path,
        "QUORATE_ENDPOINTS=http://",
        "propose lifecycle/job-1",
    ] {
        assert!(screen.contains(word), "`{word}` is missing\n{screen}");
    }
}
