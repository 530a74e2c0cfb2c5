//! A cluster of `quorate dev` on free ports, for one test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{Run, program};

/// No test waits longer than this for anything: a bound on a hang, not a measure of speed.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// A running `quorate dev`. Killed when dropped.
pub(crate) struct Dev {
    child: Child,
    /// The clients' addresses, joined by commas.
    pub(crate) endpoints: String,
}

impl Dev {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(nodes: u64, data_dir: &Path) -> Dev {
        let nodes = nodes.to_string();
        let data_dir = data_dir.to_string_lossy();
        let arguments =
            ["dev", "--nodes", &nodes, "--api-port", "0", "--data-dir", &data_dir, "--output", "jsonl"];
        let mut child = program(&arguments).stdout(Stdio::piped()).spawn().expect("the program runs");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("dev writes UTF-8");
        let told: serde_json::Value =
            serde_json::from_str(&line).expect("dev tells its nodes when it is ready");
        let apis = told.as_array().expect("a list of nodes").iter();
        let apis = apis.map(|node| node["api"].as_str().expect("each has an address"));
        let endpoints = apis.collect::<Vec<_>>().join(",");
        Dev { child, endpoints }
    }

    /// Runs the program against this cluster.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().expect("the program runs");
        Run::of(&output)
    }

    /// Waits until every node has all that any has: what was acknowledged by a quorum may be on its way to the others still.
    pub(crate) fn settle(&self) {
        let begin = Instant::now();
        loop {
            let status = self.run(&["cluster", "status", "-o", "json"]).json();
            let members = status["members"].as_array().expect("a list of members");
            let same = |member: &serde_json::Value| {
                member["last"] == members[0]["last"] && member["applied"] == member["last"]
            };
            if status["failed"].as_array().is_some_and(Vec::is_empty) && members.iter().all(same) {
                return;
            }
            assert!(begin.elapsed() < BOUND, "the nodes do not come to rest: {status:#}");
        }
    }

    /// The program against this cluster, to be run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("QUORATE_ENDPOINTS", &self.endpoints);
        command
    }

    /// Sends a signal by its name, and waits for the end. Returns the exit code, if there is one.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success(), "the signal was not sent");
        self.child.wait().expect("the child can be waited for").code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
