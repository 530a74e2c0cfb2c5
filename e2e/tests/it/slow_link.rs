//! A large state for a new node behind a narrow link: it joins, gets the state as a snapshot over 10 Mbit/s, and becomes a voter. On the way
//! the leader that gives it is killed and comes back, and the leadership is moved once more; the others go on as if nothing were.
//!
//! 8 MiB over 5 Mbit/s by default; `E2E_STATE_MB=500 cargo test --release -p quorate-e2e --test it slow_link -- --nocapture` is the long one
//! over 10 Mbit/s, about ten minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quorate_api::instance::CreateInstance;
use quorate_api::outcome::Outcome;
use quorate_api::proposal::Propose;
use quorate_client::{Client, random_id};
use quorate_e2e::{Cluster, Network, Options, http_get};

use crate::history::EVENTS;
use crate::load::{connect_patiently, with_key};
use crate::net::alone;
use crate::random::setting;

const SETTINGS: &str =
    "[limits]\ncommand_bytes_max = \"64KiB\"\nsegment_bytes = \"1MiB\"\nsnapshot_log_bytes_min = \"2MiB\"\n";
/// What each of the objects that make the state large holds, in bytes.
const OBJECT_BYTES: usize = 48 << 10;
/// How many clients make them.
const MAKERS: usize = 8;
/// How large the state is in a run that nobody has asked more of.
const SHORT_MIB: u64 = 8;

#[test]
fn a_new_node_gets_a_large_state_over_a_narrow_link_once_although_its_leaders_go() {
    alone(
        "slow_link::a_new_node_gets_a_large_state_over_a_narrow_link_once_although_its_leaders_go",
        || async {
            let mib = setting("E2E_STATE_MB").unwrap_or(SHORT_MIB);
            joins_behind_a_narrow_link(mib << 20, if mib > SHORT_MIB { 10_000 } else { 5_000 }).await;
        },
    );
}

async fn joins_behind_a_narrow_link(bytes: u64, kilobits: u32) {
    let options = Options { network: Network::Net, joiners: 1, settings: SETTINGS, ..Options::default() };
    let mut cluster = Cluster::start_with(options).expect("three servers start");
    make_state(&cluster, usize::try_from(bytes).expect("it fits") / OBJECT_BYTES).await;
    let giver = cluster.leader().expect("somebody leads");
    snapshot_holds_it_all(&cluster, giver).await;
    let near = connect_patiently(&cluster.endpoints());
    let quiet = Pulse::start(near.clone(), "quiet");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let quiet = quiet.stop().await;

    let far = cluster.size();
    cluster.net().expect("it has one").limit(far, kilobits).expect("its link is narrow");
    let begin = Instant::now();
    assert_eq!(cluster.begin_join((giver + 1) % 3).expect("a fourth node joins"), far);
    let pulse = Pulse::start(near, "busy");
    let (mut at_kill, mut at_transfer, mut at_vote) = (None, None, None);
    let mut memory_kib = [0; 4];
    while metric(&cluster, far, "quorate_snapshots_installed_total") == 0 || !caught_up(&cluster, far) {
        let patience = Duration::from_secs(60 + 3 * bytes / (125 * u64::from(kilobits)));
        assert!(begin.elapsed() < patience, "it does not get there");
        for (node, most) in memory_kib.iter_mut().enumerate() {
            *most = memory_of(cluster.pid(node).expect("it runs")).max(*most);
        }
        let received = metric(&cluster, far, "quorate_snapshot_received_bytes_total");
        if at_kill.is_none() && received > bytes / 4 {
            cluster.kill(giver).expect("it ran");
            let other = (giver + 1) % 3;
            cluster.wait_leader(other, |leader| leader != giver).expect("another one leads");
            // Nobody waits for it: on a slow machine the state would be through by then.
            cluster.run(giver).expect("it starts again");
            at_kill = Some(received);
        }
        if at_transfer.is_none() && received > bytes / 2 {
            let leader = cluster.leader().expect("somebody leads");
            // The one that was killed may lack much yet.
            let others = [1, 2].map(|step| (leader + step) % 3);
            let to = others.into_iter().find(|node| *node != giver).expect("there are two") + 1;
            let output = cluster.cli(&["cluster", "transfer", &to.to_string()]).expect("it runs");
            println!("asked to hand over to node {to}: {:?}", output.status.code());
            at_transfer = (cluster.leader().expect("somebody leads") != leader).then_some(received);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = begin.elapsed();
    while at_vote.is_none() {
        assert!(begin.elapsed() < took + Duration::from_secs(60), "it becomes no voter");
        at_vote = is_voter(&cluster, far).then(|| begin.elapsed());
    }
    cluster.wait_ready(giver).expect("it is back");
    let busy = pulse.stop().await;
    let got = metric(&cluster, far, "quorate_snapshot_received_bytes_total");
    let sent = cluster.net().expect("it has one").sent_bytes(far).expect("it is counted");
    println!(
        "state of {bytes} bytes over {kilobits} kbit/s: {got} bytes of snapshot came in {took:?}; the node votes after {at_vote:?}"
    );
    println!("the link carried {sent} bytes, {:.3} of that", sent as f64 / got as f64);
    println!(
        "the leader was killed when {at_kill:?} bytes had come, the next one handed over at {at_transfer:?}"
    );
    println!("proposals meanwhile: {busy}; before: {quiet}");
    println!("most memory of each node: {memory_kib:?} KiB");
    println!("the longest that apply stood for a snapshot: {} us", stood_us(&cluster));
    assert!(at_kill.is_some() && at_transfer.is_some(), "the leader changed twice on the way");
    let installed = metric(&cluster, far, "quorate_snapshots_installed_total");
    assert_eq!(installed, 1, "one snapshot is enough");
    assert!(got + got / 50 > bytes, "the whole state came as a snapshot: {got} of {bytes}");
    assert!(sent < got + got / 5, "what has come does not come again: {sent} for {got}");
    assert_eq!(busy.failed, 0, "nobody is failed by it");
    let most = memory_kib.into_iter().max().unwrap_or(0) << 10;
    assert!(most < 4 * bytes + (400 << 20), "memory is bounded: {most}");
}

/// Objects with a history that is large.
async fn make_state(cluster: &Cluster, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let makers = (0..MAKERS).map(|_| {
        let (client, next, propose) = (connect_patiently(&cluster.endpoints()), Arc::clone(&next), large());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let id = format!("large-{number}");
                let create = CreateInstance { id: Some(id.clone()), ..CreateInstance::default() };
                let created = client.create("lifecycle", &create, &with_key(format!("create-{id}"))).await;
                created.expect("the cluster serves");
                let moved = client.propose("lifecycle", &id, &propose, &with_key(format!("move-{id}"))).await;
                moved.expect("the cluster serves");
            }
        })
    });
    for maker in makers.collect::<Vec<_>>() {
        maker.await.expect("no maker panics");
    }
}

/// Lets the log grow, and nothing else, until the newest snapshot of this node holds all that was made before. Nearly nothing follows it.
async fn snapshot_holds_it_all(cluster: &Cluster, node: usize) {
    let made = metric(cluster, node, "quorate_commit_index");
    let begun = || cluster.said(node).expect("it runs").matches("stood_us=").count() as u64;
    while metric(cluster, node, "quorate_snapshot_index") < made {
        if begun() > metric(cluster, node, "quorate_snapshots_taken_total") {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let fillers = (0..MAKERS).map(|_| {
            let (client, propose) = (connect_patiently(&cluster.endpoints()), large());
            tokio::spawn(async move {
                let options = with_key(format!("fill-{:x}", random_id()));
                let answer = client.propose("lifecycle", "nobody", &propose, &options).await;
                let told = answer.expect("the cluster serves");
                assert!(matches!(told.outcome, Outcome::Rejected(_)), "there is no such instance: {told:?}");
            })
        });
        for filler in fillers.collect::<Vec<_>>() {
            filler.await.expect("no filler panics");
        }
    }
}

fn large() -> Propose {
    let text = serde_json::Value::String("x".repeat(OBJECT_BYTES));
    let data = Some([("text".to_owned(), text)].into_iter().collect());
    Propose { event: Some(EVENTS[0].0.to_owned()), data, ..Propose::default() }
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
                // Whoever names no key can be told that nobody knows, when the node dies that was asked.
                let (begin, options) = (Instant::now(), with_key(format!("{name}-{number}")));
                let answer = client.create("lifecycle", &create, &options).await;
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

/// Whether the far node has applied nearly all that the others have.
fn caught_up(cluster: &Cluster, far: usize) -> bool {
    let applied = |node| metric(cluster, node, "quorate_applied_index");
    applied(far) > 0 && applied(far) + 100 > applied(0).max(applied(1))
}

/// Whether a node has a vote, by its own word.
fn is_voter(cluster: &Cluster, node: usize) -> bool {
    let output = quorate_e2e::cli(&cluster.endpoint(node), &["-o", "json", "cluster", "status"]);
    let output = output.expect("it runs");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let members = status["members"].as_array().cloned().unwrap_or_default();
    members.iter().any(|member| member["id"] == node + 1 && member["voter"] == true)
}

/// What a process holds in memory now, in KiB.
fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The longest that the state machine of any node stood for a snapshot to be taken, in microseconds, as the nodes say.
fn stood_us(cluster: &Cluster) -> u64 {
    let logs = (0..cluster.size()).filter_map(|node| cluster.said(node).ok());
    let stood = |log: String| -> u64 {
        let told = log
            .split("stood_us=")
            .skip(1)
            .filter_map(|rest| rest.split(|end: char| !end.is_ascii_digit()).next()?.parse::<u64>().ok());
        told.max().unwrap_or(0)
    };
    logs.map(stood).max().unwrap_or(0)
}
