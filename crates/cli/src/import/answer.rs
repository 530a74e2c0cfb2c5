//! One row's way: create its instance if it is the id's first row, then propose. Each request has an id made of file, machine and
//! row, so it is repeated until it is answered, through leader changes and lost nodes, and still happens once.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_api::definition::MachineDefinition;
use quorate_api::header::SessionRequest;
use quorate_api::instance::CreateInstance;
use quorate_api::meaning::{Exit, ProblemCode, RejectionCode};
use quorate_api::outcome::{Creation, Outcome, Rejection};
use quorate_api::problem::Fate;
use quorate_client::{Client, ClientError, RequestId, WriteOptions};

use crate::failure::Failure;
use crate::import::row::Row;

/// How long a row pauses after the client itself has given up on a call.
const PAUSE: Duration = Duration::from_millis(250);

/// What the rows in flight share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) machine: String,
    pub(crate) id: u128,
    pub(crate) pulse: Pulse,
}

/// When the cluster last answered anything, and why it does not.
#[derive(Debug)]
pub(crate) struct Pulse {
    started: Instant,
    /// Milliseconds after `started`.
    last_answer_ms: AtomicU64,
    last_failure: Mutex<String>,
    /// How long no answer at all is borne.
    patience: Duration,
}

/// What became of one row.
#[derive(Debug)]
pub(crate) struct Answered {
    /// None: the row created nothing.
    pub(crate) creation: Option<Created>,
    pub(crate) decision: Decision,
    /// The place in the log at which the row was decided, if it has one.
    pub(crate) index: Option<u64>,
}

/// What became of the id of a first row.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Created {
    New,
    Existed,
    Refused,
}

/// What became of the proposal of a row.
#[derive(Debug)]
pub(crate) enum Decision {
    Committed,
    Ignored,
    Rejected(RejectionCode, String),
    Earlier,
}

impl Session {
    /// Sees one row through. `acknowledged`: every reply up to this sequence may be forgotten.
    pub(crate) async fn answer(
        &self,
        row: &Row,
        is_first: bool,
        acknowledged: u64,
    ) -> Result<Answered, Failure> {
        let mut creation = None;
        if is_first {
            match self.create(row, acknowledged).await? {
                None => creation = Some(Created::Existed),
                Some(Creation::Created(_)) => creation = Some(Created::New),
                Some(Creation::Rejected(rejection)) if rejection.code == RejectionCode::Exists => {
                    creation = Some(Created::Existed);
                }
                Some(Creation::Rejected(rejection)) => {
                    let index = rejection.index;
                    let decision = rejected(rejection);
                    return Ok(Answered { creation: Some(Created::Refused), decision, index });
                }
            }
        }
        let (decision, index) = match self.propose(row, acknowledged).await? {
            None => (Decision::Earlier, None),
            Some(Outcome::Committed(committed)) => (Decision::Committed, Some(committed.index)),
            Some(Outcome::Ignored(ignored)) => (Decision::Ignored, Some(ignored.index)),
            Some(Outcome::Rejected(rejection)) => {
                let index = rejection.index;
                (rejected(rejection), index)
            }
        };
        Ok(Answered { creation, decision, index })
    }

    /// The machine, as it is declared now.
    pub(crate) async fn definition(&self) -> Result<MachineDefinition, Failure> {
        let asked = self.insist(0, || self.client.machine(&self.machine, None)).await?;
        asked.ok_or_else(|| Failure::new(Exit::Error, "the definition of a machine is never forgotten"))
    }

    /// How far the log is committed, as far as anybody says: what has a place up to here was decided before. 0 if nobody does.
    pub(crate) async fn committed(&self) -> u64 {
        let members = self.client.cluster().await.map(|status| status.members).unwrap_or_default();
        members.iter().map(|member| member.commit).max().unwrap_or_default()
    }

    /// Opens the session; opening an open one changes nothing.
    pub(crate) async fn open(&self) -> Result<(), Failure> {
        let opened = self.insist(0, || self.client.open_session(self.id)).await?;
        opened.map(|_| ()).ok_or_else(|| {
            let what = "the cluster has forgotten what it answered to an earlier import of this file: nobody knows which of its rows were done";
            Failure::new(Exit::Unknown, what).hint("see what is there, and import a file of the rows that are missing")
        })
    }

    async fn create(&self, row: &Row, acknowledged: u64) -> Result<Option<Creation>, Failure> {
        let create = CreateInstance { id: Some(row.id.clone()), ..CreateInstance::default() };
        let options = self.options(2 * row.number - 1, acknowledged);
        self.insist(row.line, || self.client.create(&self.machine, &create, &options)).await
    }

    async fn propose(&self, row: &Row, acknowledged: u64) -> Result<Option<Outcome>, Failure> {
        let options = self.options(2 * row.number, acknowledged);
        let propose = || self.client.propose(&self.machine, &row.id, &row.propose, &options);
        Ok(self.insist(row.line, propose).await?.map(|answer| answer.outcome))
    }

    fn options(&self, sequence: u64, acknowledged: u64) -> WriteOptions {
        let place = SessionRequest { session: self.id, sequence, acknowledged };
        WriteOptions { request_id: Some(RequestId::Session(place)), ..WriteOptions::default() }
    }

    /// Repeats a call until the cluster has answered it. None: it was answered in an earlier run, and the answer is forgotten.
    ///
    /// # Errors
    /// A refusal that stays, or no answer of any kind to any row for as long as patience lasts.
    async fn insist<T, F, Fut>(&self, line: u64, call: F) -> Result<Option<T>, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, ClientError>>,
    {
        loop {
            let error = match call().await {
                Ok(answer) => {
                    self.pulse.beat();
                    return Ok(Some(answer));
                }
                Err(error) => error,
            };
            match &error {
                ClientError::Refused { problem, .. } if problem.code == ProblemCode::Forgotten => {
                    self.pulse.beat();
                    return Ok(None);
                }
                ClientError::NotAccepted { .. } | ClientError::Unknown { .. } => self.pulse.miss(&error)?,
                ClientError::Invalid(_) | ClientError::Refused { .. } | ClientError::Malformed { .. } => {
                    let failure = Failure::from(error);
                    let place = if line > 0 { format!("line {line}: ") } else { String::new() };
                    return Err(Failure { what: format!("{place}{}", failure.what), ..failure });
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Pulse {
    pub(crate) fn new(patience: Duration) -> Pulse {
        Pulse {
            started: Instant::now(),
            last_answer_ms: AtomicU64::new(0),
            last_failure: Mutex::new(String::new()),
            patience,
        }
    }

    /// For how long nothing was answered, and why, when that is worth a word.
    pub(crate) fn stalled(&self) -> Option<(Duration, String)> {
        let time = self.since_answer();
        let why = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        (time >= Duration::from_secs(2)).then(|| (time, why.clone()))
    }

    fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_answer_ms.fetch_max(now, Ordering::Relaxed);
    }

    fn miss(&self, error: &ClientError) -> Result<(), Failure> {
        let time = self.since_answer();
        if time >= self.patience {
            let what = format!("no answer for {} s: {error}", time.as_secs());
            // The row that was asked for last may be done, and is not done again when the file is imported again.
            let exit = if error.fate() == Fate::Unknown { Exit::Unknown } else { Exit::Unavailable };
            return Err(Failure::new(exit, what));
        }
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        Ok(())
    }

    fn since_answer(&self) -> Duration {
        let last = Duration::from_millis(self.last_answer_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }
}

fn rejected(rejection: Rejection) -> Decision {
    Decision::Rejected(rejection.code, rejection.detail)
}
