//! The server measurement: three `quorate server` processes, proposals made over HTTP by this process through the client
//! library, each client on an instance of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use quorate_api::instance::CreateInstance;
use quorate_api::outcome::Outcome;
use quorate_api::proposal::Propose;
use quorate_client::{Client, ClientConfig, Endpoint, WriteOptions};

use crate::Load;
use crate::processes::{cpu_us, free_addresses};
use crate::report::Measured;

/// The life of an instance of the built-in machine, round and round.
const EVENTS: [&str; 3] = ["start", "stop", "reset"];
/// How long the servers may take to get ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server process; killed when dropped.
struct Server {
    child: Child,
    api: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures one window on a fresh cluster.
pub(crate) fn measure(load: &Load, window: usize, dir: &Path) -> Result<Measured> {
    let servers = start(dir)?;
    for server in &servers {
        wait_ready(server)?;
    }
    let endpoints =
        servers.iter().map(|server| format!("http://{}", server.api)).collect::<Vec<_>>().join(",");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new(ClientConfig::new(Endpoint::parse_list(&endpoints)?))?;
        let ids = create(&client, window).await?;
        let before = totals(&servers)?;
        let begin = Instant::now();
        let latencies = closed_loop(&client, &ids, load).await?;
        let elapsed = begin.elapsed();
        let after = totals(&servers)?;
        let mut measured = Measured::new(window, load.bytes, latencies.len() as u64, elapsed, latencies);
        let [cpu_us, fsyncs, bytes_written] = std::array::from_fn(|n| after[n] - before[n]);
        measured.set_totals(cpu_us, fsyncs, bytes_written);
        Ok(measured)
    })
}

fn start(dir: &Path) -> Result<Vec<Server>> {
    let binary = std::env::current_exe()?.with_file_name("quorate");
    ensure!(
        binary.exists(),
        "there is no {}: build it first with `cargo build --release -p quorate-cli`",
        binary.display()
    );
    let addresses = free_addresses(6)?;
    let members: Vec<String> = (1..)
        .zip(addresses.chunks(2))
        .map(|(id, pair)| format!("{{ id = {id}, peer = \"{}\", api = \"{}\" }}", pair[0], pair[1]))
        .collect();
    let members = members.join(", ");
    (1..)
        .zip(addresses.chunks(2))
        .map(|(id, pair)| {
            let config = dir.join(format!("n{id}.toml"));
            let data = dir.join(format!("n{id}"));
            let text = format!(
                "[node]\nid = {id}\ndata_dir = \"{}\"\n[cluster]\ntoken = \"bench\"\nmembers = [{members}]\n\
                 [listen]\npeer = \"{}\"\napi = \"{}\"\n[log]\nlevel = \"warn\"\n",
                data.display(),
                pair[0],
                pair[1]
            );
            std::fs::write(&config, text)?;
            let mut command = Command::new(&binary);
            command.args(["server", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().context("starting a server")?;
            Ok(Server { child, api: pair[1].clone() })
        })
        .collect()
}

fn wait_ready(server: &Server) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < READY_WITHIN {
        if get(&server.api, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the server at {} is not ready within {READY_WITHIN:?}", server.api)
}

async fn create(client: &Client, window: usize) -> Result<Vec<String>> {
    let ids: Vec<String> = (0..window).map(|n| format!("bench-{n}")).collect();
    for id in &ids {
        let create = CreateInstance { id: Some(id.clone()), ..CreateInstance::default() };
        client.create("lifecycle", &create, &WriteOptions::default()).await?;
    }
    Ok(ids)
}

async fn closed_loop(client: &Client, ids: &[String], load: &Load) -> Result<Vec<u32>> {
    let end = Instant::now() + Duration::from_secs_f64(load.seconds);
    // The data of a proposal fills it up to about the wanted size.
    let filler = "x".repeat(load.bytes.saturating_sub(64));
    let tasks: Vec<_> = ids
        .iter()
        .map(|id| {
            let (client, id, filler) = (client.clone(), id.clone(), filler.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut since = Instant::now();
                let data = serde_json::Map::from_iter([("filler".to_string(), filler.into())]);
                for event in EVENTS.iter().cycle() {
                    let propose = Propose {
                        event: Some((*event).to_string()),
                        data: Some(data.clone()),
                        ..Propose::default()
                    };
                    let answer = client.propose("lifecycle", &id, &propose, &WriteOptions::default()).await?;
                    ensure!(matches!(answer.outcome, Outcome::Committed(_)), "{id}: {:?}", answer.outcome);
                    let now = Instant::now();
                    latencies.push(u32::try_from((now - since).as_micros()).unwrap_or(u32::MAX));
                    since = now;
                    if now >= end {
                        break;
                    }
                }
                Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.context("a client of the measurement panicked")??);
    }
    Ok(latencies)
}

/// CPU microseconds of the servers and of this process, fsyncs and bytes written of the servers so far.
fn totals(servers: &[Server]) -> Result<[u64; 3]> {
    let mut totals = [cpu_us(std::process::id())?, 0, 0];
    for server in servers {
        let metrics = get(&server.api, "/metrics")?;
        totals[0] += cpu_us(server.child.id())?;
        totals[1] += metric(&metrics, "quorate_fsync_seconds_count")?;
        totals[2] += metric(&metrics, "quorate_log_written_bytes_total")?;
    }
    Ok(totals)
}

fn metric(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).with_context(|| format!("no {name} among the metrics"))
}

/// One GET with its head and body; nothing of this is measured.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
