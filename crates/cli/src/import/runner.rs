//! The second pass: rows of one id one after the other, many ids at the same time, and no more read ahead than the window holds.
//!
//! ```text
//!  file ──▶ reading thread ──(bounded)──▶ Runner ─┬─ id a: row 1 in flight, rows 4, 9 wait
//!                                                  ├─ id b: row 2 in flight
//!                                                  └─ id c: ready, waits for a free place
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::meaning::Exit;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::failure::Failure;
use crate::import::answer::{Answered, Created, Decision, Session};
use crate::import::known_ids::KnownIds;
use crate::import::progress::Progress;
use crate::import::rejected::{RejectedFile, RejectedRow};
use crate::import::report::Counts;
use crate::import::row::Row;
use crate::import::source::Source;
use crate::import::window::Window;

/// How many rows may lie between the reading thread and the runner.
const CHANNEL_ROWS_MAX: usize = 64;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// The import while it runs.
pub(crate) struct Runner<'a> {
    session: Arc<Session>,
    /// How far the log was committed when the import began: a row that was decided there was answered by an earlier run.
    begun_at: u64,
    inflight_max: usize,
    counts: &'a mut Counts,
    rejected: &'a mut RejectedFile,
    window: Window<RejectedRow>,
    known: KnownIds,
    /// Rows that wait for their turn, by id. An id stands here as long as it has a row in flight or waiting.
    lanes: HashMap<String, VecDeque<(Row, bool)>>,
    /// Ids with a waiting row and none in flight.
    ready: VecDeque<String>,
    running: JoinSet<(Row, Result<Answered, Failure>)>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        session: Arc<Session>,
        begun_at: u64,
        inflight_max: usize,
        counts: &'a mut Counts,
        rejected: &'a mut RejectedFile,
    ) -> Runner<'a> {
        Runner {
            session,
            begun_at,
            inflight_max,
            counts,
            rejected,
            window: Window::new(),
            known: KnownIds::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            running: JoinSet::new(),
        }
    }

    /// Runs until every row is answered.
    ///
    /// # Errors
    /// The first row that cannot be answered; what is in flight then is dropped, and a later run repeats it.
    pub(crate) async fn run(&mut self, source: &Source, progress: &mut Progress) -> Result<(), Failure> {
        let mut rows = read(source.clone());
        let mut more = true;
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        while more || !self.running.is_empty() {
            tokio::select! {
                row = rows.recv(), if more && !self.window.is_full() => match row {
                    Some(row) => self.admit(row?),
                    None => more = false,
                },
                Some(done) = self.running.join_next(), if !self.running.is_empty() => self.settle(done)?,
                _ = tick.tick() => progress.answered(self.counts.rows(), self.session.pulse.stalled()),
                _ = &mut interrupted => return Err(Failure::new(Exit::Error, "interrupted")),
            }
            self.start();
        }
        Ok(())
    }

    /// A row was read.
    fn admit(&mut self, row: Row) {
        self.window.admit(row.weight());
        let is_first = self.known.insert(&row.id);
        match self.lanes.get_mut(&row.id) {
            Some(lane) => lane.push_back((row, is_first)),
            None => {
                self.ready.push_back(row.id.clone());
                self.lanes.insert(row.id.clone(), VecDeque::from([(row, is_first)]));
            }
        }
    }

    /// Sends rows of ready ids while there is a free place.
    fn start(&mut self) {
        while self.running.len() < self.inflight_max
            && let Some(id) = self.ready.pop_front()
        {
            let Some((row, is_first)) = self.lanes.get_mut(&id).and_then(VecDeque::pop_front) else {
                continue;
            };
            let session = self.session.clone();
            let acknowledged = self.window.acknowledged();
            self.running.spawn(async move {
                let answered = session.answer(&row, is_first, acknowledged).await;
                (row, answered)
            });
        }
    }

    /// A row was answered: its id may go on.
    fn settle(&mut self, done: Result<(Row, Result<Answered, Failure>), JoinError>) -> Result<(), Failure> {
        let (row, answered) = done.map_err(|error| Failure::new(Exit::Error, format!("a bug: {error}")))?;
        let answered = answered?;
        if answered.index.is_some_and(|index| index <= self.begun_at) {
            self.counts.answered_before += 1;
        }
        match answered.count(self.counts) {
            None => self.pass(row.number, None)?,
            Some((code, detail)) => {
                let Row { number, line, cells, .. } = row;
                self.free(&row.id);
                return self.pass(number, Some(RejectedRow { number, line, cells, code, detail }));
            }
        }
        self.free(&row.id);
        Ok(())
    }

    fn pass(&mut self, number: u64, left: Option<RejectedRow>) -> Result<(), Failure> {
        self.window.answer(number, left).iter().try_for_each(|row| self.rejected.write(row))
    }

    fn free(&mut self, id: &str) {
        match self.lanes.get(id) {
            Some(lane) if !lane.is_empty() => self.ready.push_back(id.to_owned()),
            Some(_) | None => {
                self.lanes.remove(id);
            }
        }
    }
}

impl Answered {
    /// Counts the row. Returns the reason if it was rejected.
    fn count(self, counts: &mut Counts) -> Option<(&'static str, String)> {
        match self.creation {
            Some(Created::New) => counts.created += 1,
            Some(Created::Existed) => counts.existed += 1,
            Some(Created::Refused) | None => {}
        }
        match self.decision {
            Decision::Committed => counts.committed += 1,
            Decision::Ignored => counts.ignored += 1,
            Decision::Earlier => counts.answered_earlier += 1,
            Decision::Rejected(code, detail) => {
                counts.rejected += 1;
                *counts.rejected_by_code.entry(code.as_str().to_owned()).or_default() += 1;
                return Some((code.as_str(), detail));
            }
        }
        None
    }
}

/// Reads the rows on a thread of its own, as far ahead as the channel lets it.
fn read(source: Source) -> mpsc::Receiver<Result<Row, Failure>> {
    let (sender, receiver) = mpsc::channel(CHANNEL_ROWS_MAX);
    tokio::task::spawn_blocking(move || {
        let mut rows = match source.rows() {
            Ok(rows) => rows,
            Err(failure) => return drop(sender.blocking_send(Err(failure))),
        };
        loop {
            let sent = match rows.next_row() {
                Ok(Some(row)) => sender.blocking_send(Ok(row)),
                Ok(None) => return,
                Err(failure) => return drop(sender.blocking_send(Err(failure))),
            };
            // Nobody waits for rows any more: the import has stopped.
            if sent.is_err() {
                return;
            }
        }
    });
    receiver
}
