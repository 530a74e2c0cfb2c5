//! What the clients of real processes were told, as a history for the same judge that judges simulated runs: some order of all
//! calls on an instance, each at one moment between its call and its answer, must explain every answer.
//!
//! The clock is the order in which calls and answers pass one lock of the test's own process: monotonic, and nothing is
//! recorded as answered before it was, or as called after it was sent. A repeated request is one call, open until one of its
//! attempts is answered. A call of unknown fate stays open for ever.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use quorate_api::history::HistoryKind;
use quorate_api::meaning::ProblemCode;
use quorate_api::outcome::{self, Creation, Outcome};
use quorate_api::problem::Fate;
use quorate_client::{Client, ClientError};
use quorate_sim::check::linearizable::history::{
    Answer, Call, Event, History, Kind, Object, Operation, Phase, Standing,
};
use quorate_sim::check::linearizable::search::{Effort, Verdict, judge};

/// The deadline of the judge for each instance. Revisions in the answers leave it little to try: it takes about as many steps as
/// there are operations.
const STEPS_MAX: u64 = 10_000_000;

/// A history that is being written by many clients. Clones share it.
#[derive(Clone)]
pub(crate) struct Recorder {
    shared: Arc<Mutex<Record>>,
}

/// All that was called and answered.
#[derive(Clone)]
pub(crate) struct Record {
    history: History,
    /// When each operation was called, since the record began: for people. The judge needs the order only.
    called: Vec<Duration>,
    began: Instant,
    /// The instances by their number as objects.
    ids: Vec<String>,
    numbers: BTreeMap<String, u64>,
    /// How many processes there are: the number of the next one.
    processes: u64,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        let record = Record {
            history: History::default(),
            called: Vec::new(),
            began: Instant::now(),
            ids: Vec::new(),
            numbers: BTreeMap::new(),
            processes: 0,
        };
        Recorder { shared: Arc::new(Mutex::new(record)) }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.shared.lock().expect("nobody panics while holding it")
    }

    /// A new logical process: one thread of calls, one open at a time.
    pub(crate) fn process(&self) -> Process {
        let mut record = self.lock();
        record.processes += 1;
        Process { number: record.processes, recorder: self.clone() }
    }

    /// The record as it stands.
    pub(crate) fn record(&self) -> Record {
        self.lock().clone()
    }

    /// Every instance that was called so far, in the order of the first calls.
    pub(crate) fn instances(&self) -> Vec<String> {
        self.lock().ids.clone()
    }

    /// The `count` instances that were called last.
    pub(crate) fn latest(&self, count: usize) -> Vec<String> {
        let record = self.lock();
        let mut latest: Vec<String> = Vec::new();
        for operation in record.operations().iter().rev() {
            let name = record.name(operation.object);
            if latest.len() < count && latest.iter().all(|known| known != name) {
                latest.push(name.to_owned());
            }
        }
        latest
    }
}

/// One logical process of a history.
pub(crate) struct Process {
    number: u64,
    recorder: Recorder,
}

impl Process {
    /// Must stand before the call is sent.
    pub(crate) fn call(&self, id: &str, call: Call) {
        let mut record = self.recorder.lock();
        let object = record.object(id);
        record.history.call(self.number, object, call);
        let at = record.began.elapsed();
        record.called.push(at);
    }

    /// Must stand after the answer has arrived; `None`: nobody knows what became of the call.
    pub(crate) fn answer(&self, answer: Option<Answer>) {
        let mut record = self.recorder.lock();
        match answer {
            Some(answer) => record.history.answer(self.number, answer),
            None => record.history.give_up(self.number),
        }
    }

    /// Reads an instance through this client, and records that.
    pub(crate) async fn read(&self, client: &Client, id: &str) -> Option<Answer> {
        self.call(id, Call::Read);
        let told = match client.instance("lifecycle", id).await {
            Ok(instance) => Answer::Standing(Some(standing(&instance.state, instance.revision))),
            Err(ClientError::Refused { problem, .. }) if problem.code == ProblemCode::UnknownInstance => {
                Answer::Standing(None)
            }
            // What only reads may be refused or get lost: it changes nothing and shows nothing.
            Err(_) => Answer::Refused,
        };
        self.answer(Some(told.clone()));
        (told != Answer::Refused).then_some(told)
    }
}

impl Record {
    fn object(&mut self, id: &str) -> Object {
        let next = self.ids.len() as u64;
        let number = *self.numbers.entry(id.to_owned()).or_insert(next);
        if number == next {
            self.ids.push(id.to_owned());
        }
        Object { kind: Kind::Instance, number }
    }

    pub(crate) fn operations(&self) -> &[Operation] {
        self.history.operations()
    }

    /// Changes the answer of one operation.
    pub(crate) fn forge(&mut self, place: usize, answer: Answer) {
        self.history.forge(place, answer);
    }

    /// What the judge says. No verdict within its deadline is no pass.
    ///
    /// # Errors
    /// When no order explains the answers, or none was found in time: with all operations on that instance.
    pub(crate) fn judge(&self) -> Result<Effort, String> {
        let (verdict, effort) = judge(&self.history, STEPS_MAX);
        match verdict {
            Verdict::Linearizable => Ok(effort),
            Verdict::Broken { object, blocked, explained } => Err(format!(
                "not linearizable: after {explained} operations on {} nothing explains the one called at {}:\n{}",
                self.name(object),
                blocked.called_at,
                self.story(object)
            )),
            Verdict::Undecided { object } => Err(format!(
                "no verdict on {} within {STEPS_MAX} steps:\n{}",
                self.name(object),
                self.story(object)
            )),
        }
    }

    /// What the judge must say of every run.
    pub(crate) fn check(&self) {
        let begin = Instant::now();
        match self.judge() {
            Ok(effort) => println!(
                "history: {} operations of {} processes on {} instances, {} of unknown outcome: linearizable, {} steps, {:?}",
                self.operations().len(),
                self.processes,
                effort.objects,
                self.operations().iter().filter(|operation| operation.answered.is_none()).count(),
                effort.steps,
                begin.elapsed()
            ),
            Err(story) => panic!("{story}"),
        }
    }

    fn name(&self, object: Object) -> &str {
        usize::try_from(object.number)
            .ok()
            .and_then(|number| self.ids.get(number))
            .map_or("?", String::as_str)
    }

    /// All operations on one object, a line each.
    fn story(&self, object: Object) -> String {
        let mut text = String::from("  called at (after) - answered at | process | call | answer\n");
        for (operation, called) in self.operations().iter().zip(&self.called) {
            if operation.object != object {
                continue;
            }
            let (at, answer) = match &operation.answered {
                Some(answered) => (answered.at.to_string(), format!("{:?}", answered.answer)),
                None => ("never".to_owned(), "unknown".to_owned()),
            };
            let Operation { called_at, process, call, .. } = operation;
            writeln!(text, "  {called_at} ({called:.3?}) - {at} | {process} | {call:?} | {answer}")
                .expect("a string takes all");
        }
        text
    }
}

/// The names of the events and states of `lifecycle`, and what the judge calls them.
pub(crate) const EVENTS: [(&str, Event); 3] =
    [("start", Event::Start), ("stop", Event::Stop), ("reset", Event::Reset)];

pub(crate) fn standing(state: &str, revision: u64) -> Standing {
    let phase = match state {
        "Init" => Phase::Init,
        "Running" => Phase::Running,
        "Stopped" => Phase::Stopped,
        other => panic!("`lifecycle` has no state {other}"),
    };
    Standing { phase, revision }
}

/// One change of an instance, as its own history tells it.
pub(crate) struct Change {
    /// Its place in the log.
    pub(crate) index: u64,
    /// Where it led.
    pub(crate) standing: Standing,
    /// When, by the log's clock: milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// The key of the proposal, if it had one.
    pub(crate) key: Option<String>,
}

/// All changes of an instance that was created, oldest first, as the nodes of this client have them, and how many proposals were rejected.
pub(crate) async fn changes(client: &Client, id: &str) -> (Vec<Change>, usize) {
    changes_so_far(client, id).await.expect("it was created")
}

/// As [`changes`], of an instance whose creation may still be on its way: `None` until it is there.
pub(crate) async fn changes_so_far(client: &Client, id: &str) -> Option<(Vec<Change>, usize)> {
    let (mut changes, mut rejected) = (Vec::new(), 0);
    let mut from = Some(1);
    while from.is_some() {
        let page = match client.history("lifecycle", id, from, Some(500)).await {
            Err(ClientError::Refused { problem, .. }) if problem.code == ProblemCode::UnknownInstance => {
                return None;
            }
            page => page.expect("every node serves reads"),
        };
        for record in page.records {
            match record.what {
                HistoryKind::Created { to } | HistoryKind::Committed { to, .. } => changes.push(Change {
                    index: record.index,
                    standing: standing(&to, record.revision),
                    time_ms: record.time_ms,
                    key: record.request_id,
                }),
                HistoryKind::Rejected { .. } => rejected += 1,
            }
        }
        from = page.next;
    }
    Some((changes, rejected))
}

/// What a creation was answered; `None`: its outcome is unknown.
pub(crate) fn told_of_creation(answer: &Result<Creation, ClientError>) -> Option<Answer> {
    match answer {
        Ok(Creation::Created(created)) => Some(Answer::Moved(standing(&created.state, created.revision))),
        Ok(Creation::Rejected(rejection)) => Some(rejected(rejection)),
        Err(error) => refused(error),
    }
}

/// What a proposal was answered; `None`: its outcome is unknown.
pub(crate) fn told_of_proposal(answer: &Result<outcome::Answer, ClientError>) -> Option<Answer> {
    match answer {
        Ok(answer) => match &answer.outcome {
            Outcome::Committed(moved) => Some(Answer::Moved(standing(&moved.to, moved.revision))),
            Outcome::Rejected(rejection) => Some(rejected(rejection)),
            Outcome::Ignored(ignored) => panic!("`lifecycle` ignores nothing: {ignored:?}"),
        },
        Err(error) => refused(error),
    }
}

fn rejected(rejection: &outcome::Rejection) -> Answer {
    let state = rejection.state.as_deref();
    Answer::Rejected(state.zip(rejection.revision).map(|(state, revision)| standing(state, revision)))
}

/// What certainly did not happen changes nothing. Anything else may have happened, or may still.
fn refused(error: &ClientError) -> Option<Answer> {
    match error.fate() {
        Fate::NotAccepted => Some(Answer::Refused),
        Fate::Unknown | Fate::Applied => None,
    }
}
