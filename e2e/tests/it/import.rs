//! A real log of status changes goes in, the expected figures come out: to the last one, whatever is killed meanwhile.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use quorate_e2e::{Cluster, cli, data, quorate};
use serde_json::Value;

/// What the shipped data must lead to.
fn expected() -> Value {
    let text = std::fs::read_to_string(data("incidents-sample-expected.json")).expect("the expected figures");
    serde_json::from_str(&text).expect("they are JSON")
}

fn must(output: &Output) -> Value {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "exit {:?}\n{stdout}\n{stderr}", output.status.code());
    serde_json::from_str(&stdout).unwrap_or(Value::Null)
}

fn import_args(rejected: &std::path::Path) -> Vec<String> {
    let csv = data("incidents-sample.csv").display().to_string();
    let rejected = rejected.display().to_string();
    ["-o", "json", "import", &csv, "--machine", "incident", "--rejected", &rejected]
        .map(String::from)
        .to_vec()
}

fn import(endpoints: &str, rejected: &std::path::Path) -> Value {
    let args = import_args(rejected);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    must(&cli(endpoints, &args).expect("quorate runs"))
}

/// The counts by state, zeros aside, and the sums of the import.
fn check(endpoints: &str, report: &Value, rejected: &std::path::Path) {
    let expected = expected();
    assert_eq!(report["committed"], expected["committed"], "{report}");
    assert_eq!(report["rejected"], expected["rejected"], "{report}");
    let rows =
        std::fs::read_to_string(rejected).expect("rejected rows are written to a file").lines().count();
    assert_eq!(
        rows as u64,
        expected["rejected"].as_u64().expect("a number") + 1,
        "a header and each rejected row"
    );
    let count = must(&cli(endpoints, &["-o", "json", "count", "incident"]).expect("quorate runs"));
    let states = count["states"].as_object().expect("counts by state").clone();
    let states: serde_json::Map<String, Value> =
        states.into_iter().filter(|(_, count)| *count != 0).collect();
    assert_eq!(Value::Object(states), expected["final_states"]);
}

fn apply(endpoints: &str) {
    let definition = data("incident.toml").display().to_string();
    must(&cli(endpoints, &["-o", "json", "apply", &definition]).expect("quorate runs"));
}

#[test]
fn an_import_gives_the_same_figures_when_the_leader_is_killed_twice_and_when_it_is_repeated() {
    let mut cluster = Cluster::start(3).expect("three servers start");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let rejected = dir.path().join("rejected.csv");
    apply(&cluster.endpoints());
    let mut command = Command::new(quorate().expect("the binary"));
    command.env("QUORATE_ENDPOINTS", cluster.endpoints()).args(import_args(&rejected));
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the import starts");
    for _ in 0..2 {
        let leader = cluster.leader().expect("somebody leads");
        cluster.kill(leader).expect("it runs");
        cluster.leader().expect("another one leads");
        cluster.run(leader).expect("a killed node starts again");
        cluster.wait_ready(leader).expect("and gets ready again");
    }
    let report = must(&running.wait_with_output().expect("the import ends"));
    check(&cluster.endpoints(), &report, &rejected);
    let again = import(&cluster.endpoints(), &rejected);
    check(&cluster.endpoints(), &again, &rejected);
    for node in 0..3 {
        check(&cluster.endpoint(node), &again, &rejected);
    }
}

/// A `quorate dev` on free ports.
struct Dev {
    child: Child,
    endpoints: String,
}

/// Also of a test that fails nothing is left behind.
impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dev {
    fn start(dir: &std::path::Path) -> Dev {
        let mut command = Command::new(quorate().expect("the binary"));
        command.args(["dev", "--api-port", "0", "--data-dir"]).arg(dir).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("dev starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut endpoints = Vec::new();
        while endpoints.len() < 3 {
            let line = lines.next().expect("dev prints three addresses").expect("text");
            endpoints
                .extend(line.split_whitespace().filter(|word| word.starts_with("http://")).map(String::from));
            endpoints.dedup();
        }
        // Whatever else it prints must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Dev { child, endpoints: endpoints.join(",") }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
    }
}

#[test]
fn a_dev_cluster_killed_whole_and_started_again_goes_on_with_the_repeated_import() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, rejected) = (dir.path().join("data"), dir.path().join("rejected.csv"));
    let dev = Dev::start(&folder);
    apply(&dev.endpoints);
    let mut command = Command::new(quorate().expect("the binary"));
    command.env("QUORATE_ENDPOINTS", &dev.endpoints).args(import_args(&rejected));
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the import starts");
    // Some of it must have happened when everything dies.
    loop {
        let count = must(&cli(&dev.endpoints, &["-o", "json", "count", "incident"]).expect("quorate runs"));
        if count["total"].as_u64().expect("a number") >= 50 || running.try_wait().expect("a child").is_some()
        {
            break;
        }
    }
    dev.kill();
    running.kill().expect("a child can be killed");
    running.wait().expect("it can be waited for");

    let dev = Dev::start(&folder);
    let report = import(&dev.endpoints, &rejected);
    check(&dev.endpoints, &report, &rejected);
    dev.kill();
}
