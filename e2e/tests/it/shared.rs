//! What clients do to instances that they share: proposals that are legal or not, with and without an expected revision,
//! creations of what may exist already, and linearizable reads of every kind that the interface has.
//!
//! Each way to ask is there: under a key and under a place in a session, where a lost answer is asked for again; and without
//! either, where a lost answer stays lost. Whoever asked a few times in vain gives up: then the outcome is unknown for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_api::header::SessionRequest;
use quorate_api::history::HistoryKind;
use quorate_api::instance::CreateInstance;
use quorate_api::proposal::{Expect, Propose};
use quorate_client::{Client, ListQuery, RequestId, RetryPolicy, WriteOptions, random_id};
use quorate_sim::check::linearizable::history::{Answer, Call};

use crate::history::{EVENTS, Process, Recorder, standing, told_of_creation, told_of_proposal};
use crate::load::{connect, connect_with, pause, with_key};
use crate::random::Random;

/// How many instances are shared at a time: few, so that clients meet.
const SLOTS: usize = 3;
/// After how many calls a shared instance is left for a new one, so that no history of one grows without end.
const CALLS_LEN: u64 = 400;
/// How often a call is sent again before its client gives up.
const ATTEMPTS: usize = 2;

/// How often each shared place was called.
#[derive(Default)]
pub(crate) struct Shared {
    calls: [AtomicU64; SLOTS],
}

impl Shared {
    /// The instance that is at this place now.
    fn id(&self, slot: usize) -> String {
        format!("all-{slot}-{}", self.calls[slot].fetch_add(1, Ordering::Relaxed) / CALLS_LEN)
    }
}

/// What a request is known by when it is sent again.
#[derive(Copy, Clone)]
enum Known {
    Key,
    Session,
    No,
}

/// What is asked to happen.
enum Wish {
    Create(CreateInstance),
    Propose(Propose),
}

impl Wish {
    async fn ask(&self, client: &Client, id: &str, options: &WriteOptions) -> Option<Answer> {
        match self {
            Wish::Create(create) => told_of_creation(&client.create("lifecycle", create, options).await),
            Wish::Propose(propose) => {
                told_of_proposal(&client.propose("lifecycle", id, propose, options).await)
            }
        }
    }

    /// Asks until there is an answer, as long as asking again is harmless and patience lasts. `None`: nobody knows what
    /// became of it.
    async fn insist(
        &self,
        known: Known,
        client: &Client,
        id: &str,
        options: &WriteOptions,
    ) -> Option<Answer> {
        let mut told = self.ask(client, id, options).await;
        for _ in 1..ATTEMPTS {
            match (known, &told) {
                (Known::Key | Known::Session, None) => pause().await,
                (Known::No, _) | (_, Some(_)) => break,
            }
            // That a repeated request was not accepted says nothing of the first one.
            told = self.ask(client, id, options).await.filter(|told| *told != Answer::Refused);
        }
        told
    }
}

/// One client of the shared instances.
pub(crate) struct Worker {
    number: usize,
    patient: Client,
    /// Asks each endpoint at most once.
    hasty: Client,
    process: Process,
    /// One for each place: a list reads them all at once.
    listed: Vec<Process>,
    shared: Arc<Shared>,
    random: Random,
    /// The last revision that was seen of some shared instance: an expectation that may hold.
    seen: u64,
    requests: u64,
    session: u128,
    session_is_open: bool,
}

impl Worker {
    pub(crate) fn new(endpoints: &str, number: usize, recorder: &Recorder, shared: Arc<Shared>) -> Worker {
        Worker {
            number,
            patient: connect(endpoints),
            hasty: connect_with(endpoints, RetryPolicy::never()),
            process: recorder.process(),
            listed: (0..SLOTS).map(|_| recorder.process()).collect(),
            shared,
            random: Random(number as u64),
            seen: 1,
            requests: 0,
            session: random_id(),
            session_is_open: false,
        }
    }

    /// Does one thing to a shared instance.
    pub(crate) async fn act(&mut self) {
        let id = self.shared.id(self.random.below(SLOTS));
        let kind = self.random.below(16);
        let hasty = self.random.below(4) == 0;
        let client = if hasty { self.hasty.clone() } else { self.patient.clone() };
        match kind {
            0 => self.create(&client, &id).await,
            1..=8 => self.propose(&client, &id).await,
            9..=12 => {
                if let Some(Answer::Standing(Some(standing))) = self.process.read(&client, &id).await {
                    self.seen = standing.revision;
                }
            }
            13 | 14 => self.read_history(&client, &id).await,
            _ => self.list(&client).await,
        }
    }

    /// A request id of a kind that is drawn, or none.
    async fn options(&mut self) -> (Known, WriteOptions) {
        let known = [Known::Key, Known::Session, Known::No][self.random.below(3)];
        self.requests += 1;
        match known {
            Known::Session => {
                if !self.session_is_open {
                    self.session_is_open = self.patient.open_session(self.session).await.is_ok();
                }
                // All earlier ones are answered, or nobody waits for them any more.
                let (session, sequence) = (self.session, self.requests);
                let request = SessionRequest { session, sequence, acknowledged: sequence - 1 };
                let options =
                    WriteOptions { request_id: Some(RequestId::Session(request)), ..WriteOptions::default() };
                if self.session_is_open { (known, options) } else { (Known::No, WriteOptions::default()) }
            }
            Known::Key => (known, with_key(format!("all-{}-{}", self.number, self.requests))),
            Known::No => (known, WriteOptions::default()),
        }
    }

    async fn create(&mut self, client: &Client, id: &str) {
        let (known, options) = self.options().await;
        let create = CreateInstance { id: Some(id.to_owned()), ..CreateInstance::default() };
        self.process.call(id, Call::Create);
        let told = Wish::Create(create).insist(known, client, id, &options).await;
        self.process.answer(told);
    }

    async fn propose(&mut self, client: &Client, id: &str) {
        let (known, options) = self.options().await;
        let (name, event) = EVENTS[self.random.below(EVENTS.len())];
        let revision = (self.random.below(3) == 0).then_some(self.seen);
        let expect = revision.map(|revision| Expect { revision: Some(revision), state: None });
        let propose = Propose { event: Some(name.to_owned()), expect, ..Propose::default() };
        self.process.call(id, Call::Propose { event, revision });
        let told = Wish::Propose(propose).insist(known, client, id, &options).await;
        if let Some(Answer::Moved(standing) | Answer::Rejected(Some(standing))) = &told {
            self.seen = standing.revision;
        }
        self.process.answer(told);
    }

    /// The last change that the instance's own history tells of is where it stands.
    async fn read_history(&mut self, client: &Client, id: &str) {
        self.process.call(id, Call::Read);
        let page = client.history("lifecycle", id, None, Some(1_000)).await;
        let last = page.ok().filter(|page| page.next.is_none()).and_then(|page| {
            page.records.iter().rev().find_map(|record| match &record.what {
                HistoryKind::Created { to } | HistoryKind::Committed { to, .. } => {
                    Some(standing(to, record.revision))
                }
                HistoryKind::Rejected { .. } => None,
            })
        });
        self.process.answer(Some(last.map_or(Answer::Refused, |last| Answer::Standing(Some(last)))));
    }

    /// One list is a read of all shared instances at one moment; it is judged as one read of each.
    async fn list(&mut self, client: &Client) {
        let ids: Vec<String> = (0..SLOTS).map(|slot| self.shared.id(slot)).collect();
        for (process, id) in self.listed.iter().zip(&ids) {
            process.call(id, Call::Read);
        }
        let page = client.list("lifecycle", &ListQuery { limit: Some(1_000), ..ListQuery::default() }).await;
        for (process, id) in self.listed.iter().zip(&ids) {
            let told = page.as_ref().ok().and_then(|page| {
                let found = page.instances.iter().find(|instance| instance.id == *id);
                let found = found.map(|instance| standing(&instance.state, instance.revision));
                // What stands on no further page either does not exist.
                (found.is_some() || page.cursor.is_none()).then_some(Answer::Standing(found))
            });
            process.answer(Some(told.unwrap_or(Answer::Refused)));
        }
    }
}
