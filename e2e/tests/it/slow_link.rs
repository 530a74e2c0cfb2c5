//! A large state for a node behind a narrow link: it fetches the snapshot over 10 Mbit/s, with a change of the leader on the way, and the others
//! go on as if nothing were.
//!
//! A few MiB by default; `E2E_STATE_MB=500 cargo test -p quorate-e2e --test it slow_link -- --nocapture` is the long one, about ten minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quorate_api::instance::CreateInstance;
use quorate_api::proposal::Propose;
use quorate_client::{Client, WriteOptions};
use quorate_e2e::proxy::Rule;
use quorate_e2e::{Cluster, Network, Options, http_get};

use crate::history::EVENTS;
use crate::load::connect;
use crate::random::setting;

const SETTINGS: &str =
    "[limits]\ncommand_bytes_max = \"64KiB\"\nsegment_bytes = \"1MiB\"\nsnapshot_log_bytes_min = \"2MiB\"\n";
/// What each of the objects that make the state large holds, in bytes.
const OBJECT_BYTES: usize = 48 << 10;
/// How many clients make them.
const MAKERS: usize = 8;
/// 10 Mbit/s.
const LINK_BYTES_PER_SECOND: u32 = 1_250_000;
/// Who is behind the link.
const FAR: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_state_gets_over_a_narrow_link_once_and_nobody_else_waits() {
    let bytes = setting("E2E_STATE_MB").unwrap_or(6) << 20;
    let options = Options { network: Network::Mesh, settings: SETTINGS, ..Options::default() };
    let mut cluster = Cluster::start_with(options).expect("three servers start");
    cluster.stop(FAR).expect("it stops, with next to nothing in its log");
    make_state(&cluster, usize::try_from(bytes).expect("it fits") / OBJECT_BYTES).await;
    let near = connect(&format!("{},{}", cluster.endpoint(0), cluster.endpoint(1)));
    let quiet = Pulse::start(near.clone(), "quiet");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let quiet = quiet.stop().await;

    cluster.mesh().expect("it has one").to(FAR, Rule::rate(LINK_BYTES_PER_SECOND));
    let begin = Instant::now();
    cluster.run(FAR).expect("it starts again");
    let pulse = Pulse::start(near, "busy");
    let received = |cluster: &Cluster| metric(cluster, FAR, "quorate_snapshot_received_bytes_total");
    let (mut moved, mut memory_kib) = (None, [0; 3]);
    while metric(&cluster, FAR, "quorate_snapshots_installed_total") == 0 || !caught_up(&cluster) {
        assert!(begin.elapsed() < Duration::from_secs(60 + bytes / 500_000), "it does not get there");
        for (node, most) in memory_kib.iter_mut().enumerate() {
            *most = memory_of(cluster.pid(node).expect("it runs")).max(*most);
        }
        if moved.is_none() && received(&cluster) > bytes / 3 {
            let leader = cluster.wait_leader(0, |leader| leader != FAR).expect("somebody leads");
            let to = (2 - leader).to_string();
            let output = cluster.cli(&["cluster", "transfer", &to]).expect("it runs");
            assert!(output.status.success(), "{output:?}");
            moved = Some(received(&cluster));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (took, busy) = (begin.elapsed(), pulse.stop().await);
    let got = received(&cluster);
    let sent: u64 = (0..2).map(|node| metric(&cluster, node, "quorate_snapshot_sent_bytes_total")).sum();
    println!("state of {bytes} bytes: {got} bytes came, {sent} were sent, in {took:?}");
    println!("the leadership moved when {moved:?} bytes had come");
    println!("proposals meanwhile: {busy}; before: {quiet}");
    println!("most memory of each node: {memory_kib:?} KiB");
    println!("the longest that apply stood for a snapshot: {} us", stood_us(&cluster));
    assert!(moved.is_some(), "the leader changed on the way");
    assert!(got < bytes + bytes / 4 + (1 << 20), "what has come does not come again: {got} of {bytes}");
    assert_eq!(busy.failed, 0, "nobody is failed by it");
    let most = memory_kib.into_iter().max().unwrap_or(0) << 10;
    assert!(most < 4 * bytes + (400 << 20), "memory is bounded: {most}");
}

/// Objects with a history that is large.
async fn make_state(cluster: &Cluster, count: usize) {
    let text = serde_json::Value::String("x".repeat(OBJECT_BYTES));
    let data: serde_json::Map<_, _> = [("text".to_owned(), text)].into_iter().collect();
    let (next, data) = (Arc::new(AtomicUsize::new(0)), Arc::new(data));
    let makers = (0..MAKERS).map(|_| {
        let client = connect(&format!("{},{}", cluster.endpoint(0), cluster.endpoint(1)));
        let (next, data) = (Arc::clone(&next), Arc::clone(&data));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let id = format!("large-{number}");
                let create = CreateInstance { id: Some(id.clone()), ..CreateInstance::default() };
                let created = client.create("lifecycle", &create, &WriteOptions::default()).await;
                created.expect("the cluster serves");
                let propose = Propose {
                    event: Some(EVENTS[0].0.to_owned()),
                    data: Some((*data).clone()),
                    ..Propose::default()
                };
                let moved = client.propose("lifecycle", &id, &propose, &WriteOptions::default()).await;
                moved.expect("the cluster serves");
            }
        })
    });
    for maker in makers.collect::<Vec<_>>() {
        maker.await.expect("no maker panics");
    }
}

/// One proposal after the other, and how long each takes.
struct Pulse {
    stop: Arc<AtomicBool>,
    beat: tokio::task::JoinHandle<Beat>,
}

/// How long proposals took.
struct Beat {
    took: Vec<Duration>,
    failed: usize,
}

impl Pulse {
    fn start(client: Client, name: &'static str) -> Pulse {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let beat = tokio::spawn(async move {
            let (mut beat, mut number) = (Beat { took: Vec::new(), failed: 0 }, 0);
            while !stopped.load(Ordering::Relaxed) {
                number += 1;
                let create =
                    CreateInstance { id: Some(format!("{name}-{number}")), ..CreateInstance::default() };
                let begin = Instant::now();
                let answer = client.create("lifecycle", &create, &WriteOptions::default()).await;
                beat.took.push(begin.elapsed());
                beat.failed += usize::from(answer.is_err());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            beat.took.sort_unstable();
            beat
        });
        Pulse { stop, beat }
    }

    async fn stop(self) -> Beat {
        self.stop.store(true, Ordering::Relaxed);
        self.beat.await.expect("the pulse does not panic")
    }
}

impl std::fmt::Display for Beat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent: usize| self.took.get(self.took.len() * percent / 100).copied().unwrap_or_default();
        let (count, longest) = (self.took.len(), self.took.last().copied().unwrap_or_default());
        write!(f, "{count}, p50 {:?}, p99 {:?}, longest {longest:?}, {} failed", at(50), at(99), self.failed)
    }
}

/// A number that a node measures; 0 if it does not answer yet.
fn metric(cluster: &Cluster, node: usize, name: &str) -> u64 {
    let metrics = http_get(cluster.api(node), "/metrics").unwrap_or_default();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Whether the far node has applied nearly all that the first one has.
fn caught_up(cluster: &Cluster) -> bool {
    let applied = |node| metric(cluster, node, "quorate_applied_index");
    applied(FAR) > 0 && applied(FAR) + 100 > applied(0)
}

/// What a process holds in memory now, in KiB.
fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The longest that the state machine of any node stood for a snapshot to be taken, in microseconds, as the nodes say.
fn stood_us(cluster: &Cluster) -> u64 {
    let logs = (0..3).filter_map(|node| cluster.said(node).ok());
    let stood = |log: String| -> u64 {
        let told = log
            .split("stood_us=")
            .skip(1)
            .filter_map(|rest| rest.split(|end: char| !end.is_ascii_digit()).next()?.parse::<u64>().ok());
        told.max().unwrap_or(0)
    };
    logs.map(stood).max().unwrap_or(0)
}
