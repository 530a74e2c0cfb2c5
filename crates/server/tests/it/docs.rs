//! Every example of `docs/http.md` is run, and its output is what the page shows.

use std::time::Instant;

use serde_json::Value;

use crate::support::{Ask, BOUND, Cluster, get, json_of, tell};

const PAGE: &str = include_str!("../../../../docs/http.md");

/// Runs one `curl` of the page; ports name the node: 7480, 7490, 7500.
async fn check(cluster: &Cluster, command: &str) -> Value {
    let words = words(command);
    let mut words = words.iter().map(String::as_str);
    assert_eq!(words.next(), Some("curl"));
    let (mut ask, mut method, mut server) = (get("/"), None, 0);
    let mut headers = Vec::new();
    let mut body = None;
    while let Some(word) = words.next() {
        match word {
            "-X" => method = Some(words.next().unwrap().to_owned()),
            "-H" => headers.push(words.next().unwrap().split_once(": ").unwrap()),
            "-d" => body = Some(words.next().unwrap().to_owned()),
            "--data-binary" => {
                assert_eq!(words.next(), Some("@job.toml"));
                body = Some(block("toml").remove(0));
            }
            url => {
                let rest = url.strip_prefix("localhost:74").or(url.strip_prefix("localhost:75")).unwrap();
                let (port, path) = rest.split_at(2);
                server = ["80", "90", "00"].iter().position(|known| *known == port).unwrap();
                ask = get(path);
            }
        }
    }
    let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    let ask = headers
        .into_iter()
        .fold(ask.method(method.leak()), |ask: Ask, (name, value)| ask.header(name, value));
    let ask = ask.body(body.unwrap_or_default());
    json_of(&ask, &tell(cluster.servers[server].api_address(), ask.clone()).await).1
}

/// The words of a shell command; only single quotes, as the page uses them.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

/// The fenced blocks of a language.
fn block(language: &str) -> Vec<String> {
    let fences = PAGE.split("```").skip(1).step_by(2);
    fences.filter_map(|fence| fence.strip_prefix(language)?.strip_prefix('\n')).map(str::to_owned).collect()
}

/// Makes equal what differs from run to run: places in the log, times, addresses, who leads.
fn mask(value: &mut Value) {
    const MASKED: [&str; 18] = [
        "index",
        "term",
        "created_ms",
        "changed_ms",
        "time_ms",
        "at_us",
        "fsync_p50_us",
        "fsync_p99_us",
        "last",
        "commit",
        "applied",
        "lag",
        "api",
        "peer",
        "role",
        "leader",
        "node",
        "explain",
    ];
    match value {
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(fields) => {
            if fields.contains_key("ok") {
                fields.remove("detail");
            }
            for (name, value) in fields {
                if MASKED.contains(&name.as_str()) {
                    *value = Value::Null;
                } else {
                    mask(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_page_shows_what_the_server_says() {
    let cluster = Cluster::three().await;
    let mut examples = 0;
    for console in block("console") {
        for example in console.split("$ ").skip(1) {
            let (command, shown) = example.split_once('\n').unwrap();
            let mut shown: Value =
                serde_json::from_str(shown).unwrap_or_else(|error| panic!("{command}: {error}"));
            mask(&mut shown);
            // What only asks may be asked again: nodes need a while to hear of each other.
            let (begin, asks) = (Instant::now(), !command.contains(" -"));
            let told = loop {
                let mut told = check(&cluster, command).await;
                mask(&mut told);
                if !asks || told == shown || begin.elapsed() > BOUND {
                    break told;
                }
            };
            assert_eq!(told, shown, "{command}");
            examples += 1;
        }
    }
    assert_eq!(examples, 18, "no example is overlooked");
}
