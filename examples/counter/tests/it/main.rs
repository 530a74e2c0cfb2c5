//! The counter as a user runs it: three processes, three folders.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

/// A node of the example; killed when the test ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().expect("a child can be killed");
        self.0.wait().expect("a child can be waited for");
    }
}

/// The example itself.
const SOURCE: &str = include_str!("../../src/main.rs");

#[test]
fn the_example_has_at_most_forty_lines_and_stands_in_the_readme() {
    let lines = SOURCE.lines().count();
    assert!(lines <= 40, "the example has {lines} lines");
    let readme = include_str!("../../../../README.md");
    assert!(
        readme.contains(SOURCE),
        "README.md shows another program: copy examples/counter/src/main.rs into it"
    );
}

#[test]
fn three_counters_agree() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Nobody dials from this host, so nobody takes these ports before the counters do. Where a system does not know it, another must do.
    let own = Ipv4Addr::new(127, 77, 0, 1);
    let host = if TcpListener::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST };
    let listeners: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind((host, 0)).expect("a free port")).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
    let peers = listeners.iter().map(address).collect::<Vec<_>>().join(",");
    drop(listeners);
    let mut nodes: Vec<Process> = (1..=3)
        .map(|id| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_counter"));
            command.args([&id.to_string(), "5", &peers]).current_dir(dir.path()).stdout(Stdio::piped());
            Process(command.spawn().expect("the example starts"))
        })
        .collect();
    let totals: Vec<u64> = nodes
        .iter_mut()
        .map(|node| {
            let mut lines = BufReader::new(node.0.stdout.take().expect("piped")).lines();
            let mut total = || {
                let line = lines.next().expect("the example prints two lines").expect("it prints text");
                line.rsplit(' ')
                    .next()
                    .and_then(|word| word.parse::<u64>().ok())
                    .expect("a total ends the line")
            };
            let (added, read) = (total(), total());
            assert!(read >= added, "a read sees the proposal before it: {read} after {added}");
            added
        })
        .collect();
    let mut sorted = totals.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [5, 10, 15], "each addition was applied once, in one order: {totals:?}");
}
