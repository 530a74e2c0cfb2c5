//! Clients that move instances round and round under faults, and the check that what they were told came true: every
//! acknowledged proposal is there exactly once, on every node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quorate_api::history::HistoryKind;
use quorate_api::instance::CreateInstance;
use quorate_api::outcome::{Creation, Outcome};
use quorate_api::proposal::Propose;
use quorate_client::{Client, ClientConfig, Endpoint, RequestId, WriteOptions};
use quorate_e2e::{BOUND, Cluster};
use tokio::task::JoinHandle;

/// The life of an instance, round and round.
const EVENTS: [&str; 3] = ["start", "stop", "reset"];
/// How many of the newest revisions are compared key by key: fewer than the history keeps.
const CHECKED_LEN: u64 = 900;
/// How long one attempt waits for its answer. Shorter than a client's own default: a node that hangs is left soon.
const ATTEMPT: Duration = Duration::from_secs(3);

/// What a client knows to have happened: the key of each acknowledged proposal, in order.
pub(crate) struct Acknowledged {
    id: String,
    keys: Vec<String>,
}

/// Clients at work, each with an instance of its own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Acknowledged>>,
}

impl Load {
    /// Starts `clients` clients that know all nodes.
    pub(crate) fn start(cluster: &Cluster, clients: usize) -> Load {
        Load::start_at(&cluster.endpoints(), clients)
    }

    /// Starts `clients` clients that know these endpoints, separated by commas.
    pub(crate) fn start_at(endpoints: &str, clients: usize) -> Load {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let run = |n| tokio::spawn(client(endpoints.to_owned(), n, Arc::clone(&stop), Arc::clone(&count)));
        let clients = (0..clients).map(run).collect();
        Load { stop, count, clients }
    }

    /// Waits until `more` further proposals are acknowledged, and says how long that took.
    pub(crate) async fn progress(&self, more: usize) -> Duration {
        let (begin, target) = (Instant::now(), self.count.load(Ordering::Relaxed) + more);
        while self.count.load(Ordering::Relaxed) < target {
            let count = self.count.load(Ordering::Relaxed);
            assert!(
                begin.elapsed() < BOUND,
                "{} of {more} more acknowledgements are missing",
                target - count
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begin.elapsed()
    }

    /// Ends the load. Each client first gets the answer that it waits for.
    pub(crate) async fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.push(client.await.expect("no client panics"));
        }
        all
    }
}

/// How many proposals were acknowledged in all.
pub(crate) fn total(acknowledged: &[Acknowledged]) -> usize {
    acknowledged.iter().map(|client| client.keys.len()).sum()
}

/// Every node's own state holds exactly the acknowledged proposals, in order.
pub(crate) async fn verify_all(cluster: &Cluster, acknowledged: &[Acknowledged]) {
    for node in 0..cluster.size() {
        for client in acknowledged {
            verify(&cluster.endpoint(node), client).await;
        }
    }
}

/// Moves one instance round and round. Every proposal is repeated under its key until it has an answer.
async fn client(
    endpoints: String,
    number: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Acknowledged {
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
        count.fetch_add(1, Ordering::Relaxed);
    }
    Acknowledged { id, keys }
}

/// A client of these endpoints, separated by commas.
pub(crate) fn connect(endpoints: &str) -> Client {
    let endpoints = Endpoint::parse_list(endpoints).expect("addresses");
    let config = ClientConfig { request_timeout: ATTEMPT, ..ClientConfig::new(endpoints) };
    Client::new(config).expect("a client")
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
