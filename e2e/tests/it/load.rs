//! Clients at work under faults, and the check that what they were told came true. Each client moves instances of its own,
//! every proposal repeated under its key until it is answered: afterwards each is there exactly once, on every node. Between
//! these it does to instances that all clients share whatever the interface allows ([`crate::shared`]). All of it is recorded,
//! and the judge of [`crate::history`] must find an order that explains every answer. Beside them every node is asked for
//! stale reads, which have a rule of their own ([`crate::stale`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quorate_api::instance::CreateInstance;
use quorate_api::outcome::Outcome;
use quorate_api::proposal::Propose;
use quorate_client::{Client, ClientConfig, Endpoint, RequestId, RetryPolicy, WriteOptions};
use quorate_e2e::{BOUND, Cluster};
use quorate_sim::check::linearizable::history::{Call, Event};
use tokio::task::JoinHandle;

use crate::history::{EVENTS, Process, Record, Recorder, changes, told_of_creation, told_of_proposal};
use crate::shared::{Shared, Worker};
use crate::stale::{self, Glance, Readers};

/// How often an own instance moves before its client takes a new one: less than the history of an instance keeps.
const LIFE_LEN: usize = 600;
/// How long one attempt waits for its answer. Shorter than a client's own default: a node that hangs is left soon.
const ATTEMPT: Duration = Duration::from_secs(3);

/// What a client knows to have happened to an instance of its own: the key of each acknowledged proposal, in order.
pub(crate) struct Life {
    id: String,
    keys: Vec<String>,
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    recorder: Recorder,
    clients: Vec<JoinHandle<Vec<Life>>>,
    readers: Readers,
}

/// How the own proposals and creations fare.
#[derive(Default)]
pub(crate) struct Tally {
    /// How many were acknowledged.
    count: AtomicUsize,
    /// How often a client gave up, with all the retries that it makes by itself. The load tries again.
    failed: AtomicUsize,
    /// The longest of them, in milliseconds, from the first attempt to the answer.
    slowest_ms: AtomicU64,
}

/// What all clients were told.
pub(crate) struct Told {
    lives: Vec<Life>,
    glances: Vec<Glance>,
    recorder: Recorder,
}

impl Load {
    /// Starts `clients` clients that know all nodes.
    pub(crate) fn start(cluster: &Cluster, clients: usize) -> Load {
        Load::start_at(&cluster.endpoints(), clients)
    }

    /// Starts `clients` clients that know these endpoints, separated by commas.
    pub(crate) fn start_at(endpoints: &str, clients: usize) -> Load {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let (recorder, shared) = (Recorder::new(), Arc::new(Shared::default()));
        let run = |number| {
            let worker = Worker::new(endpoints, number, &recorder, Arc::clone(&shared));
            let (client, process, tally) = (connect(endpoints), recorder.process(), Arc::clone(&tally));
            tokio::spawn(OwnClient { number, client, process, tally }.run(worker, Arc::clone(&stop)))
        };
        let clients = (0..clients).map(run).collect();
        let readers = Readers::start(&Endpoint::parse_list(endpoints).expect("addresses"), &recorder);
        Load { stop, tally, recorder, clients, readers }
    }

    /// Waits until `more` further proposals of own instances are acknowledged, and says how long that took.
    pub(crate) async fn progress(&self, more: usize) -> Duration {
        let acknowledged = || self.tally.count.load(Ordering::Relaxed);
        let (begin, target) = (Instant::now(), acknowledged() + more);
        while acknowledged() < target {
            let count = acknowledged();
            assert!(
                begin.elapsed() < BOUND,
                "{} of {more} more acknowledgements are missing",
                target - count
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begin.elapsed()
    }

    /// How often a client has given up so far, and the longest that a request took.
    pub(crate) fn failures(&self) -> (usize, Duration) {
        let slowest_ms = self.tally.slowest_ms.load(Ordering::Relaxed);
        (self.tally.failed.load(Ordering::Relaxed), Duration::from_millis(slowest_ms))
    }

    /// Where others than the clients record what they are told.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Ends the load. Each client first gets the answer that it waits for.
    pub(crate) async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut lives = Vec::new();
        for client in self.clients {
            lives.extend(client.await.expect("no client panics"));
        }
        let readers = self.readers;
        let glances = tokio::task::spawn_blocking(|| readers.stop()).await.expect("no reader panics");
        Told { lives, glances, recorder: self.recorder }
    }
}

impl Told {
    /// How many proposals of own instances were acknowledged in all.
    pub(crate) fn total(&self) -> usize {
        self.lives.iter().map(|life| life.keys.len()).sum()
    }

    /// Every node's own state holds exactly the acknowledged proposals, in order; and what all clients were told, with a last
    /// look at each instance through each node, is what one copy would have told them. Returns that.
    pub(crate) async fn verify(&self, cluster: &Cluster) -> Record {
        let process = self.recorder.process();
        for node in cluster.members() {
            let client = connect_patiently(&cluster.endpoint(node));
            for life in &self.lives {
                verify(&client, life).await;
            }
            for id in self.recorder.instances() {
                assert!(process.read(&client, &id).await.is_some(), "node {} serves reads", node + 1);
            }
        }
        let first = cluster.members().first().copied().expect("a cluster has members");
        stale::check(&connect_patiently(&cluster.endpoint(first)), &self.glances).await;
        let record = self.recorder.record();
        record.check();
        record
    }
}

/// One client with instances that nobody else moves.
struct OwnClient {
    number: usize,
    client: Client,
    process: Process,
    tally: Arc<Tally>,
}

impl OwnClient {
    /// Moves an instance round and round, then the next one. In between it meets the others.
    async fn run(self, mut worker: Worker, stop: Arc<AtomicBool>) -> Vec<Life> {
        let mut lives = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let mut life = Life { id: format!("job-{}-{}", self.number, lives.len()), keys: Vec::new() };
            self.create(&life.id).await;
            while life.keys.len() < LIFE_LEN && !stop.load(Ordering::Relaxed) {
                let event = EVENTS[life.keys.len() % EVENTS.len()];
                let key = format!("{}-{}-{}", self.number, lives.len(), life.keys.len());
                self.propose(&life.id, &key, event).await;
                life.keys.push(key);
                self.tally.count.fetch_add(1, Ordering::Relaxed);
                worker.act().await;
            }
            lives.push(life);
        }
        lives
    }

    async fn create(&self, id: &str) {
        self.process.call(id, Call::Create);
        let create = CreateInstance { id: Some(id.to_owned()), ..CreateInstance::default() };
        let options = with_key(format!("create-{id}"));
        let begin = Instant::now();
        loop {
            let answer = self.client.create("lifecycle", &create, &options).await;
            if answer.is_ok() {
                self.process.answer(told_of_creation(&answer));
                return self.took(begin);
            }
            self.failed().await;
        }
    }

    /// Proposes what is legal, under one key until there is an answer: a node that was killed in between must not matter.
    async fn propose(&self, id: &str, key: &str, (name, event): (&str, Event)) {
        self.process.call(id, Call::Propose { event, revision: None });
        let propose = Propose { event: Some(name.to_owned()), ..Propose::default() };
        let options = with_key(key.to_owned());
        let begin = Instant::now();
        loop {
            let answer = self.client.propose("lifecycle", id, &propose, &options).await;
            match &answer {
                Ok(told) => {
                    let legal = matches!(told.outcome, Outcome::Committed(_));
                    assert!(legal, "{id}: {name} is legal at {key}, yet: {answer:?}");
                    self.process.answer(told_of_proposal(&answer));
                    return self.took(begin);
                }
                Err(_) => self.failed().await,
            }
        }
    }

    fn took(&self, begin: Instant) {
        let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tally.slowest_ms.fetch_max(ms, Ordering::Relaxed);
    }

    async fn failed(&self) {
        self.tally.failed.fetch_add(1, Ordering::Relaxed);
        pause().await;
    }
}

/// Between two attempts. Nothing depends on it but how often a dead node is knocked at.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

pub(crate) fn with_key(key: String) -> WriteOptions {
    WriteOptions { request_id: Some(RequestId::Key(key)), ..WriteOptions::default() }
}

/// A client of these endpoints, separated by commas.
pub(crate) fn connect(endpoints: &str) -> Client {
    connect_with(endpoints, RetryPolicy::default())
}

/// A client of these endpoints that is to get its answers whatever happens: a leader may change at any moment, and on a slow machine the
/// next one takes its time.
pub(crate) fn connect_patiently(endpoints: &str) -> Client {
    connect_with(endpoints, RetryPolicy { attempts_max: 40, ..RetryPolicy::default() })
}

/// A client of these endpoints that tries so often.
pub(crate) fn connect_with(endpoints: &str, retry: RetryPolicy) -> Client {
    let endpoints = Endpoint::parse_list(endpoints).expect("addresses");
    let config = ClientConfig { request_timeout: ATTEMPT, retry, ..ClientConfig::new(endpoints) };
    Client::new(config).expect("a client")
}

/// One node's own state holds exactly the acknowledged proposals, in order.
async fn verify(client: &Client, life: &Life) {
    let (Life { id, keys }, node) = (life, client.endpoint_list());
    let mut seen: Vec<String> = Vec::new();
    let (changes, rejected) = changes(client, id).await;
    assert_eq!(rejected, 0, "{id} at {node}: each proposal was legal, once");
    for (change, revision) in changes.into_iter().zip(1..) {
        assert_eq!(change.standing.revision, revision, "{id} at {node}: no revision is left out");
        if revision > 1 {
            seen.push(change.key.expect("each had a key"));
        }
    }
    assert_eq!(&seen, keys, "{id} at {node}: each key once, in the order of the client");
}
