//! Random nodes are killed with SIGKILL under load for a minute. Afterwards every acknowledged proposal is there exactly once,
//! on every node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate_api::history::HistoryKind;
use quorate_api::instance::CreateInstance;
use quorate_api::outcome::{Creation, Outcome};
use quorate_api::proposal::Propose;
use quorate_client::{Client, ClientConfig, Endpoint, RequestId, WriteOptions};
use quorate_e2e::Cluster;

/// How long nodes are killed.
const LOAD: Duration = Duration::from_secs(60);
/// Clients, each with an instance of its own.
const CLIENTS: usize = 16;
/// The life of an instance, round and round.
const EVENTS: [&str; 3] = ["start", "stop", "reset"];

/// What a client knows to have happened: the revision that each acknowledged proposal led to.
struct Acknowledged {
    id: String,
    keys: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_proposal_survives_a_minute_of_kills_exactly_once_on_every_node() {
    let mut cluster = Cluster::start(3).expect("three servers start");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| tokio::spawn(client(cluster.endpoints(), n, Arc::clone(&stop)))).collect();

    let mut kills = 0;
    let killing = tokio::task::spawn_blocking(move || {
        let begin = Instant::now();
        // The sequence of victims and pauses is fixed; what they meet is not.
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        while begin.elapsed() < LOAD {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let victim = usize::try_from(random >> 33).expect("31 bits") % 3;
            cluster.kill(victim).expect("every node runs");
            kills += 1;
            std::thread::sleep(Duration::from_millis(200 + (random >> 40) % 1_500));
            cluster.run(victim).expect("a killed node starts again");
            cluster.wait_ready(victim).expect("a killed node gets ready again");
        }
        (cluster, kills)
    });
    let (cluster, kills) = killing.await.expect("the killer does not panic");
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.push(client.await.expect("no client panics"));
    }
    let total: usize = acknowledged.iter().map(|client| client.keys.len()).sum();
    println!("{kills} kills, {total} proposals acknowledged");
    assert!(
        kills >= 10 && total >= 100,
        "a test that met nothing proves nothing: {kills} kills, {total} acknowledged"
    );
    for node in 0..3 {
        for client in &acknowledged {
            verify(&cluster.endpoint(node), client).await;
        }
    }
}

/// Moves one instance round and round. Every proposal is repeated under its key until it has an answer.
async fn client(endpoints: String, number: usize, stop: Arc<AtomicBool>) -> Acknowledged {
    let client = connect(&endpoints);
    let id = format!("job-{number}");
    loop {
        let create = CreateInstance { id: Some(id.clone()), ..CreateInstance::default() };
        let options = WriteOptions {
            request_id: Some(RequestId::Key(format!("create-{number}"))),
            ..WriteOptions::default()
        };
        if let Ok(Creation::Created(_)) = client.create("lifecycle", &create, &options).await {
            break;
        }
    }
    let mut keys = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let event = EVENTS[keys.len() % EVENTS.len()];
        let key = format!("{number}-{}", keys.len());
        let propose = Propose { event: Some(event.to_string()), ..Propose::default() };
        let options =
            WriteOptions { request_id: Some(RequestId::Key(key.clone())), ..WriteOptions::default() };
        loop {
            match client.propose("lifecycle", &id, &propose, &options).await {
                Ok(answer) => match answer.outcome {
                    Outcome::Committed(_) => break,
                    other @ (Outcome::Ignored(_) | Outcome::Rejected(_)) => {
                        panic!("{id}: {event} after {} others is legal, yet: {other:?}", keys.len())
                    }
                },
                Err(error) => {
                    // A node was killed under it: the same key again is harmless. That is what is tested.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    drop(error);
                }
            }
        }
        keys.push(key);
    }
    Acknowledged { id, keys }
}

fn connect(endpoints: &str) -> Client {
    let endpoints = Endpoint::parse_list(endpoints).expect("addresses");
    Client::new(ClientConfig::new(endpoints)).expect("a client")
}

/// One node's own state holds exactly the acknowledged proposals, in order.
async fn verify(endpoint: &str, acknowledged: &Acknowledged) {
    let client = connect(endpoint);
    let Acknowledged { id, keys } = acknowledged;
    let instance = client.instance("lifecycle", id).await.expect("every node serves reads");
    assert_eq!(
        instance.revision,
        1 + keys.len() as u64,
        "{id} at {endpoint}: one revision for each acknowledgement"
    );
    let mut from = instance.revision.saturating_sub(CHECKED_LEN).max(1);
    let mut seen = Vec::new();
    loop {
        let page =
            client.history("lifecycle", id, Some(from), Some(500)).await.expect("every node serves reads");
        for record in &page.records {
            match &record.what {
                HistoryKind::Committed { .. } => {
                    seen.push((record.revision, record.request_id.clone().expect("each had a key")));
                }
                HistoryKind::Created { .. } => {}
                HistoryKind::Rejected { .. } => panic!("{id} at {endpoint}: {record:?}"),
            }
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    let wanted =
        (2..).zip(keys.iter()).filter(|(revision, _)| *revision >= seen.first().map_or(0, |first| first.0));
    let wanted: Vec<(u64, String)> = wanted.map(|(revision, key)| (revision, key.clone())).collect();
    assert!(!seen.is_empty() || keys.is_empty(), "{id} at {endpoint}: there is a history");
    assert_eq!(seen, wanted, "{id} at {endpoint}: each key once, in the order of the client");
}

/// How many of the newest revisions are compared key by key: fewer than the history keeps.
const CHECKED_LEN: u64 = 900;
