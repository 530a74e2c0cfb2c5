//! The pages show what the program really says: their console blocks are run in order and compared.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Run, quorate};
use crate::cluster::Dev;
use crate::recover::Server;

/// One command of the page with what the page says of it.
struct Example {
    command: String,
    said: String,
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).expect("the page is part of the project")
}

/// The commands of all console blocks. A block after a line that names a file becomes that file.
fn examples(name: &str, dir: &Path) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut block: Option<(String, String)> = None;
    let mut named = None;
    for line in page(name).lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(kind)) => block = Some((kind.to_owned(), String::new())),
            (Some((kind, text)), Some(_)) => {
                if kind != "console"
                    && let Some(name) = named.take()
                {
                    let path: PathBuf = dir.join(name);
                    std::fs::write(path, text).expect("the test's directory can be written");
                }
                block = None;
            }
            (Some((kind, _)), None) if kind == "console" => match line.strip_prefix("$ ") {
                Some(command) => {
                    found.push(Example { command: command.to_owned(), said: String::new() });
                }
                None => {
                    let example = found.last_mut().expect("a console block begins with a command");
                    example.said.push_str(line);
                    example.said.push('\n');
                }
            },
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) if line.is_empty() => {}
            (None, None) => {
                let name = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:"));
                named = name.map(str::to_owned);
            }
        }
    }
    found
}

/// What may differ from run to run: times, hashes, places in the log, rates; and how wide a column is.
fn masked(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words = line.split_whitespace().map(|word| {
            let bare = word.trim_end_matches([',', ':', '.']);
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let is_entry = bare.split_once(':').is_some_and(|(term, index)| digits(term) && digits(index));
            let is_time = bare.len() == 24 && bare.ends_with('Z');
            let is_hash = bare.len() >= 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_entry || is_time || is_hash { "#".to_owned() } else { without_numbers_of_json(word) }
        });
        let mut words = words.collect::<Vec<_>>();
        // A row of a survey: how many elections there were before it is chance.
        if let [node, term, last, ..] = &mut words[..]
            && node.starts_with('n')
            && last == "#"
        {
            *term = "#".to_owned();
        }
        let is_rate = matches!(words.first().map(String::as_str), Some("elapsed" | "rate"));
        lines.push(if is_rate { words[0].clone() } else { words.join(" ") });
    }
    lines.join("\n")
}

/// JSON on one line names times and places of the log as numbers.
fn without_numbers_of_json(word: &str) -> String {
    let mut word = word.to_owned();
    for name in ["\"created_ms\":", "\"changed_ms\":", "\"index\":"] {
        if let Some(start) = word.find(name).map(|at| at + name.len()) {
            let end = word[start..].find(|c: char| !c.is_ascii_digit()).map_or(word.len(), |len| start + len);
            word.replace_range(start..end, "#");
        }
    }
    word
}

/// Runs all commands of a page in this folder, and compares. A command that the page shows with an error must fail, and no other.
fn run(examples: Vec<Example>, dir: &Path, endpoints: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_quorate"));
    let folder = program.parent().expect("the program lies in a folder").to_string_lossy();
    for Example { command, said } in examples {
        let bare = command.strip_suffix("; echo $?");
        let output = Command::new("sh")
            .args(["-c", bare.unwrap_or(&command)])
            .env_clear()
            .env("PATH", format!("{folder}:/usr/bin:/bin"))
            .env("QUORATE_ENDPOINTS", endpoints)
            .current_dir(dir)
            .output()
            .expect("a shell runs");
        let run = Run::of(&output);
        let code = if bare.is_some() { format!("{}\n", run.code) } else { String::new() };
        let now = format!("{}{}{code}", run.stdout, run.stderr);
        assert_eq!(masked(&now), masked(&said), "$ {command}\nsays now:\n{now}");
        let fails = said.lines().any(|line| line.starts_with("error: "));
        assert!(bare.is_some() || (run.code != 0) == fails, "$ {command} ends with {}", run.code);
    }
}

#[test]
fn the_page_shows_what_the_program_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(3, &dir.path().join("data"));
    let examples = examples("cli.md", dir.path());
    assert!(examples.len() > 20, "the page lost its examples");
    run(examples, dir.path(), &dev.endpoints);
    let settings = dir.path().join("quorate.toml").to_string_lossy().into_owned();
    quorate(&["config", "dump", "--config", &settings])
        .check(0, &["out:this node in cluster.members", "out:./node-1"]);
}

/// T22: who has lost a quorum follows the page word by word, and has never done so before.
#[test]
fn the_page_of_a_lost_quorum_leads_to_a_cluster_that_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(5, dir.path());
    dev.run(&["create", "lifecycle/a"]).check(0, &["out:Init"]);
    // The page shows survivors that had all.
    dev.settle();
    dev.end("-INT");
    let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let survey = quorate(&["-o", "json", "recover", &at("n4"), &at("n5")]).json();
    let old = survey["cluster"].as_str().expect("the survey names the cluster");
    let mut examples = examples("lost-quorum.md", dir.path());
    assert_eq!(examples.len(), 4, "the page lost its examples");
    for example in &mut examples {
        if let Some((before, _)) = example.command.split_once("--give-up ") {
            example.command = format!("{before}--give-up {old}");
        }
    }
    run(examples, dir.path(), "");

    let server = Server::start(&["--config", &at("recovered/recovered.toml")]);
    server.run(&["get", "lifecycle/a"]).check(0, &["out:Init"]);
    let status = server.run(&["-o", "json", "cluster", "status"]).json();
    let members = status["members"].as_array().expect("the members");
    assert_eq!((members.len(), members[0]["role"].as_str()), (1, Some("leader")), "one node, which leads");
    let last = survey["survivors"][0]["last"]["index"].as_u64().expect("an entry");
    assert_eq!(members[0]["last"], last + 2, "LAST is what the survey said, and two more");
}
