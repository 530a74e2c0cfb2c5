//! One node as `quorate server`, and a look into its log when it has stopped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::cli::{program, quorate, write};
use crate::cluster::Dev;

#[test]
fn a_server_takes_its_settings_from_file_and_flags_and_stops_at_a_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data").to_string_lossy().into_owned();
    let file = write(
        dir.path(),
        "quorate.toml",
        format!("[node]\ndata_dir = \"{data}\"\n\n[listen]\napi = \"127.0.0.1:1\"\npeer = \"127.0.0.1:0\"\n"),
    );
    let arguments = ["server", "--config", &file, "--listen-api", "127.0.0.1:0", "--log-level", "warn"];
    let mut child = program(&arguments).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let told = lines.by_ref().map(|line| line.expect("UTF-8")).find(|line| line.contains("clients http://"));
    let told = told.expect("it says where it listens");
    let endpoint = told.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
    let endpoint = endpoint.trim_end_matches(',');
    let at = ["--endpoint", endpoint];
    quorate(&[&at[..], &["create", "lifecycle/a"]].concat()).check(0, &["out:Init"]);
    quorate(&[&at[..], &["propose", "lifecycle/a", "start"]].concat()).check(0, &["out:Running"]);

    // A second one on the same data is refused by name.
    let second = ["server", "--config", &file, "--listen-api", "127.0.0.1:0"];
    quorate(&second).check(1, &[&format!("err:{data}"), "err:in use"]);

    // Signals that would end a program that does not listen for them are told, and it goes on.
    let id = child.id().to_string();
    for (signal, words) in [("-HUP", "settings are read at the start only"), ("-USR1", "node 1 is leader")] {
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
        let told = lines.by_ref().map(|line| line.expect("UTF-8")).find(|line| line.contains("SIG"));
        assert!(told.as_ref().is_some_and(|line| line.contains(words)), "{told:?}");
    }
    quorate(&[&at[..], &["get", "lifecycle/a"]].concat()).check(0, &["out:Running"]);

    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    let rest = lines.map(|line| line.expect("UTF-8")).collect::<Vec<_>>();
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{rest:#?}");

    let inspect = quorate(&["log", "inspect", &data]);
    inspect.check(0, &["err:segments 1", "out:wal/"]);
    let log = format!("{data}/wal");
    let entries = quorate(&["log", "inspect", &log, "--entries"]);
    entries.check(0, &["err:segments 1"]);
    assert!(entries.stdout.lines().count() > inspect.stdout.lines().count(), "{entries:#?}\n{inspect:#?}");
    let json = quorate(&["log", "inspect", &data, "--entries", "-o", "jsonl"]);
    for line in json.check(0, &[]).stdout.lines() {
        let found: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(found["state"], "good", "{line}");
    }
    inspect.check(0, &["out:CLOSED:0 stopped in order", "out:NODE:0 node n1", "out:PEERS:0 0 peers met"]);
    damage_is_named(&data);
}

/// `log inspect` on a stopped node whose files were damaged one after the other: each is named, and the exit code says so.
fn damage_is_named(data: &str) {
    let json =
        |code: i32| quorate(&["log", "inspect", data, "--entries", "-o", "json"]).check(code, &[]).json();
    let whole = json(0);
    assert_eq!(whole["totals"]["lost_entries"], 0, "{whole:#}");
    let findings = whole["findings"].as_array().expect("all findings are in one document");
    let command =
        findings.iter().rfind(|one| one["what"].as_str().is_some_and(|w| w.starts_with("command ")));
    let command = command.expect("a command was proposed");
    let text = |key: &str| command[key].as_str().expect("text").to_owned();
    let offset = usize::try_from(command["offset"].as_u64().expect("a number")).expect("it fits");
    let flip = |name: &str, at: usize| {
        let path = format!("{data}/{name}");
        let mut bytes = std::fs::read(&path).expect("the file is there");
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("the node is stopped");
    };
    flip(&text("file"), offset + 50);
    let id = text("what").split([' ', ',']).nth(1).expect("its id").to_owned();
    let run = quorate(&["log", "inspect", data]);
    run.check(1, &[&format!("out:DAMAGED (repairable) entry {id} is lost here"), "err:asks its peers"]);
    assert_eq!(json(1)["totals"]["lost_entries"], 1);

    flip("LOG", 30);
    flip("PEERS", 30);
    std::fs::remove_file(format!("{data}/NODE")).expect("the file is there");
    let words =
        ["out:NODE:0 DAMAGED", "out:PEERS:0 DAMAGED", "out:LOG:0 DAMAGED", "err:quorate cluster remove"];
    quorate(&["log", "inspect", data]).check(1, &words);
}

/// A node is started with nothing but the address of a member, finds the others by itself, and is removed again.
#[test]
fn a_server_joins_a_running_cluster_by_the_address_of_any_member() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(3, &dir.path().join("dev"));
    dev.run(&["create", "lifecycle/a"]).check(0, &["out:Init"]);
    let member = dev.endpoints.split(',').next_back().expect("it has nodes").to_owned();
    let data = dir.path().join("joined").to_string_lossy().into_owned();
    // It listens on all addresses of its machine, as in a container: somebody must say which of them the others dial.
    let everywhere =
        ["--insecure", "--listen-api", "127.0.0.1:0", "--listen-peer", "0.0.0.0:0", "--log-level", "warn"];
    let arguments = [&["server", "--join", &member, "--data-dir", &data], &everywhere[..]].concat();
    quorate(&arguments)
        .check(2, &["err:no address at which the other nodes reach this one", "err:--advertise-peer"]);
    let lost = LostAnswer::start(&member);
    let through = ["server", "--join", &lost.address, "--data-dir", &data, "--advertise-peer", "localhost:0"];
    let arguments = [&through[..], &everywhere[..]].concat();
    let mut child = program(&arguments).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let mut told: Vec<String> = Vec::new();
    while told.last().is_none_or(|line| !line.contains("clients http://")) {
        told.push(lines.next().expect("it says where it listens").expect("UTF-8"));
    }
    let endpoint =
        told.last().and_then(|line| line.split_whitespace().find(|word| word.starts_with("http://")));
    let endpoint = endpoint.expect("an address").trim_end_matches(',').to_owned();
    // It was added once, although it never heard that it was.
    let says = |words: &str| told.iter().any(|line| line.contains(words));
    assert!(says("whether the node was added is not known"), "{told:#?}");
    assert!(says("node 4 of cluster") && says("reached at localhost:"), "{told:#?}");
    let at = ["--endpoint", endpoint.as_str()];
    quorate(&[&at[..], &["propose", "lifecycle/a", "start"]].concat()).check(0, &["out:Running"]);
    let status = dev.run(&["cluster", "status"]);
    status.check(0, &["out:n4", "out:localhost:"]);
    assert!(!status.stdout.contains("n5"), "{status:#?}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    dev.run(&["cluster", "remove", "4"]).check(0, &["out:n4 is removed"]);
    dev.run(&["cluster", "remove", "4"]).check(3, &["err:no member"]);
    dev.run(&["cluster", "add", "127.0.0.1:9", "--id", "4"]).check(3, &["err:never reused", "err:5"]);
    let words = ["out:n5", "err:what the program of node 5 understands", "err:feature level 1"];
    dev.run(&["cluster", "add", "127.0.0.1:9", "--learner"]).check(0, &words);
}

/// Stands before a member and carries each request to it. The answer to the first one that adds a node is lost.
struct LostAnswer {
    address: String,
}

impl LostAnswer {
    fn start(member: &str) -> LostAnswer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let member = member.trim_start_matches("http://").to_owned();
        std::thread::spawn(move || {
            let mut lost = false;
            for caller in listener.incoming() {
                let (mut caller, mut called) =
                    (caller.expect("a caller"), TcpStream::connect(&member).expect("it listens"));
                let request = read_message(&mut caller);
                called.write_all(&request).expect("it reads");
                let answer = read_message(&mut called);
                let adds = request.starts_with(b"POST /v1/cluster/members ");
                if adds && !lost {
                    lost = true;
                    continue;
                }
                // Whoever has gone needs none.
                let _ = caller.write_all(&answer);
            }
        });
        LostAnswer { address }
    }
}

/// One message of HTTP: its head, and as much behind it as that says.
fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= len.map_or(0, |len| len.parse().expect("a number")) {
                return bytes;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return bytes,
            Ok(len) => bytes.extend_from_slice(&chunk[..len]),
        }
    }
}
