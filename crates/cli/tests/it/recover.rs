//! A cluster loses two of its three nodes for good (T22), and a new one is made of what is left; the dead that come back never meet it
//! (T21, T23).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;

use crate::cli::{Run, program, quorate, write};
use crate::cluster::{BOUND, Dev};

/// A node as `quorate server`. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    api: String,
    peer: String,
    lines: mpsc::Receiver<String>,
}

impl Server {
    /// Starts it on free ports and waits until it says where it listens.
    pub(crate) fn start(arguments: &[&str]) -> Server {
        let ports = ["--listen-api", "127.0.0.1:0", "--listen-peer", "127.0.0.1:0"];
        let arguments = [&["server"], arguments, &ports[..]].concat();
        let mut child = program(&arguments).stderr(Stdio::piped()).spawn().expect("the program runs");
        let lines = lines(child.stderr.take().expect("stderr is piped"));
        let told = until(&lines, |line| line.contains("clients http://"));
        let mut words = told.split_whitespace();
        let api = words.find_map(|word| word.strip_prefix("http://")).expect("an address");
        let api = api.trim_end_matches(',').to_owned();
        let peer = words.last().expect("an address").to_owned();
        Server { child, api, peer, lines }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let at = ["--endpoint", self.api.as_str()];
        quorate(&[&at[..], arguments].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program says on stderr, read all the time so that it never waits.
fn lines(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::sync_channel(LINES_MAX);
    std::thread::spawn(move || {
        let told = BufReader::new(stderr).lines().map_while(Result::ok);
        told.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    lines
}

/// The first line of which this holds.
fn until(lines: &mpsc::Receiver<String>, holds: impl Fn(&str) -> bool) -> String {
    let mut told = Vec::new();
    loop {
        match lines.recv_timeout(BOUND) {
            Ok(line) if holds(&line) => return line,
            Ok(line) => told.push(line),
            Err(error) => panic!("{error}; it said {told:#?}"),
        }
    }
}

fn cluster_of(survey: &Run) -> String {
    survey.json()["cluster"].as_str().expect("the survey names the cluster").to_owned()
}

#[test]
fn a_survivor_becomes_a_new_cluster_with_all_that_it_held_and_the_old_one_never_meets_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let dev = Dev::start(3, &dir.path().join("data"));
    for id in ["a", "b", "c"] {
        dev.run(&["create", &format!("lifecycle/{id}"), "--key", id]).check(0, &["out:Init"]);
        dev.run(&["propose", &format!("lifecycle/{id}"), "start"]).check(0, &["out:Running"]);
    }
    let (n1, n2, n3, new) = (at("data/n1"), at("data/n2"), at("data/n3"), at("new"));
    quorate(&["recover", &n1]).check(1, &["err:in use", "out:unusable"]);
    // A follower has what was acknowledged by a quorum, or it has not: only all of them together say so.
    dev.settle();
    dev.end("-INT");

    quorate(&["recover", &n1, &n2, &n3]).check(1, &["err:no quorum is lost", "out:best", "out:1,2,3"]);
    quorate(&["recover", &n1, &n2]).check(1, &["err:start these nodes"]);
    std::fs::remove_dir_all(&n2).expect("node 2 is gone");
    let survey = quorate(&["recover", &n1]);
    survey.check(0, &["out:best", "err:n2 and n3 alone", "err:Nothing was changed", "err:--give-up"]);
    let old = cluster_of(&quorate(&["recover", &n1, "-o", "json"]));
    assert!(survey.stderr.contains(&old), "{survey:#?}");
    refused(&n1, &new, &old);

    let made = quorate(&["recover", &n1, "--into", &new, "--give-up", &old]);
    made.check(0, &["out:of n1 alone", "err:recovered.toml"]);
    let again = quorate(&["recover", &n1, "--into", &new, "--give-up", &old]);
    assert_eq!(again.check(0, &[]).stdout, made.stdout, "the same call again changes nothing");
    quorate(&["recover", &n1, "--into", &at("other"), "--give-up", &old]).check(1, &["err:GIVEN-UP"]);
    quorate(&["recover", &n1]).check(0, &["out:given up", "err:given up already"]);
    // The old folder elects nobody any more.
    let zombie = ["server", "--join", "127.0.0.1:1", "--data-dir", &n1, "--listen-api", "127.0.0.1:0"];
    quorate(&zombie).check(1, &["err:was given up", "err:--join"]);

    let settings = format!("{new}/recovered.toml");
    let first = Server::start(&["--config", &settings]);
    let join = |name: &str| Server::start(&["--join", &first.api, "--data-dir", &at(name)]);
    let others = [join("second"), join("third")];
    for (server, id) in [(&first, "a"), (&others[0], "b"), (&others[1], "c")] {
        server.run(&["get", &format!("lifecycle/{id}")]).check(0, &["out:Running"]);
        // A retry of what the old cluster had answered is answered once more, and not done again.
        server.run(&["create", &format!("lifecycle/{id}"), "--key", id]).check(0, &["out:Init"]);
        server.run(&["propose", &format!("lifecycle/{id}"), "stop"]).check(0, &["out:Stopped"]);
        server.run(&["history", &format!("lifecycle/{id}")]).check(0, &["out:3  "]);
    }
    first.run(&["cluster", "status"]).check(0, &["out:n1", "out:n4", "out:n5"]);

    first.run(&["cluster", "status"]).check(0, &["out:SNAPSHOT", "out:none"]);
    returns_and_is_refused(dir.path(), &n3, &first);
    first.run(&["create", "lifecycle/d"]).check(0, &["out:Init"]);
}

/// Nothing is made where somebody did not say exactly what he gives up, or where something else is.
fn refused(survivor: &str, new: &str, old: &str) {
    let other = "00000000000000000000000000000000";
    quorate(&["recover", survivor, "--into", new]).check(2, &["err:--give-up"]);
    quorate(&["recover", survivor, "--give-up", old]).check(2, &["err:--into"]);
    quorate(&["recover", survivor, "--into", new, "--give-up", "yes"]).check(2, &["err:32 hex digits"]);
    quorate(&["recover", survivor, "--into", new, "--give-up", other])
        .check(1, &["err:another one was named"]);
    quorate(&["recover", survivor, "--into", survivor, "--give-up", old]).check(1, &["err:is there already"]);
    quorate(&["recover", survivor, survivor]).check(1, &["err:in use"]);
    quorate(&["recover", survivor, "/does/not/exist"]).check(1, &["err:no such directory"]);
    let copy = format!("{survivor}-copy");
    let copied = Command::new("cp").args(["-r", survivor, &copy]).status().expect("cp runs");
    assert!(copied.success(), "the folder was not copied");
    quorate(&["recover", survivor, &copy]).check(1, &["err:two of the folders are of node 1"]);
    // A flipped bit in an entry: what this node held is not known any more.
    let segment = format!("{copy}/wal/0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("the segment is there");
    let word = b"lifecycle";
    let at =
        bytes.windows(word.len()).rposition(|window| window == word).expect("a command names its machine");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("it can be written");
    quorate(&["recover", &copy]).check(1, &["err:damaged entries: 1", "err:leave it out", "out:damaged"]);
    assert!(!Path::new(new).exists(), "nothing was made");
}

/// A node of the old cluster starts again, with the address of the new first node among its members.
fn returns_and_is_refused(dir: &Path, data: &str, first: &Server) {
    let settings = write(
        dir,
        "old.toml",
        format!(
            "[node]\nid = 3\ndata_dir = \"{data}\"\n[cluster]\ntoken = \"quorate-dev\"\nmembers = [\n  \
             {{ id = 1, peer = \"{}\" }},\n  {{ id = 2, peer = \"127.0.0.1:1\" }},\n  {{ id = 3, peer = \"127.0.0.1:2\" }},\n]\n",
            first.peer
        ),
    );
    let _dead = Server::start(&["--config", &settings]);
    let told = until(&first.lines, |line| line.contains("wrong cluster"));
    assert!(told.contains("n3 to cluster"), "{told}");
    assert_eq!(told.matches(" node=").count(), 1, "each line names its node once: {told}");
    assert_eq!(told.matches(" address=").count(), 1, "and whoever called: {told}");
}

/// More lines than a node says within a test.
const LINES_MAX: usize = 10_000;
