//! The three threads of a node that may wait: the log's (writes and fsyncs), the reader's (entries read back), the applier's.
//! Each owns its part, takes jobs from one bounded queue, and reports to the one inbox.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quorate_core::entry::Entry;
use quorate_core::ready::Write;
use quorate_core::types::{EntryId, Index, Term};
use quorate_log::{Content, Log, LogError, ReadPlan, RealDisk, SnapshotFile, SnapshotOptions};
use quorate_replica::applier::{Applier, LevelTooNew};
use quorate_replica::effect::{Answered, ApplyBatch, FetchPurpose};
use quorate_replica::input::{Input, Ticket};
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::state_machine::StateMachine;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::error::NodeError;
use crate::mail::{Mail, Place, ReadMail};
use crate::metrics::Metrics;
use crate::peers::{Peers, Unsent};
use crate::snapshot_workers::WriteJob;

/// What the log's thread is asked for, in order.
pub(crate) enum LogJob {
    /// Write this, and let its messages go when it is durable.
    Write(Write),
    /// Read entries back, without holding up the writes behind it.
    Fetch { purpose: FetchPurpose, from: Index, through: Index, bytes_max: usize },
    /// Let go of what snapshots hold.
    Compact { through: Index, keep: Vec<EntryId> },
}

/// What the reader's thread is asked for.
pub(crate) struct ReadJob {
    purpose: FetchPurpose,
    plan: ReadPlan,
}

/// What the applier's thread is asked for, in order.
pub(crate) enum ApplierJob {
    /// Apply a batch and answer these callers.
    Apply { batch: ApplyBatch, callers: Vec<(Ticket, oneshot::Sender<Answered>)> },
    /// Run a read on what is applied now.
    Read(ReadMail),
    /// Take a snapshot of what is applied now, to be written elsewhere.
    TakeSnapshot { term: Term },
    /// Go on from the snapshot that ends with this entry.
    Restore { last: EntryId },
}

/// How many jobs may wait for the log's thread. The budgets of the protocol keep the queue far shorter; a queue this long
/// means a disk that has stood for minutes, and the node stops.
pub(crate) const LOG_QUEUE_LEN_MAX: usize = 65_536;
/// How many jobs may wait for the applier: the replica bounds the batches to a few, and reads take at most half of it.
pub(crate) const APPLIER_QUEUE_LEN_MAX: usize = 65_536;
/// How many reads of the log may wait; the core asks for one for each peer, and one for the applier.
pub(crate) const READER_QUEUE_LEN_MAX: usize = 256;
/// How many writes one fsync covers at most.
const WRITES_PER_SYNC_MAX: usize = 1_024;
/// How many bytes of entries one fsync covers at most, but for the last write. Larger ones gain nothing, and a batch that
/// outgrew the largest segment could never be read again.
const BYTES_PER_SYNC_MAX: usize = 16 << 20;

/// The writes that one fsync will cover.
#[derive(Default)]
struct Gathered {
    writes: Vec<Write>,
    /// The bytes of their entries.
    bytes: usize,
}

impl Gathered {
    fn push(&mut self, write: Write) {
        self.bytes += write.entries.iter().map(Entry::encoded_len).sum::<usize>();
        self.writes.push(write);
    }

    fn is_full(&self) -> bool {
        self.writes.len() >= WRITES_PER_SYNC_MAX || self.bytes >= BYTES_PER_SYNC_MAX
    }
}

/// The log's thread: all writes that wait become one write and one fsync; then their messages go.
pub(crate) struct LogWorker {
    pub(crate) log: Log<RealDisk>,
    pub(crate) jobs: mpsc::Receiver<LogJob>,
    pub(crate) reader: mpsc::Sender<ReadJob>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) inbox: mpsc::Sender<Mail>,
    pub(crate) metrics: Arc<Metrics>,
    /// A write found no room, and the core has not heard of it yet.
    pub(crate) refuses: bool,
}

impl LogWorker {
    /// Runs until the loop has ended and everything that it asked for is done.
    pub(crate) fn run(mut self) -> Result<(), NodeError> {
        let mut gathered = Gathered::default();
        while let Some(job) = self.jobs.blocking_recv() {
            let mut next = Some(job);
            while let Some(job) = next {
                match job {
                    LogJob::Write(write) => {
                        self.refuses &= !write.after_refusal;
                        // What was handed out before the refusal was heard is not carried out: the core hands it out again.
                        if !self.refuses {
                            gathered.push(write);
                        }
                    }
                    LogJob::Fetch { purpose, from, through, bytes_max } => {
                        // What is to be read may be among the writes that wait.
                        self.write(std::mem::take(&mut gathered))?;
                        self.plan(purpose, from, through, bytes_max)?;
                    }
                    LogJob::Compact { through, keep } => {
                        self.write(std::mem::take(&mut gathered))?;
                        match self.log.compact(through, &keep) {
                            Err(error @ LogError::Full { .. }) => {
                                tracing::warn!(%error, "the log was not cut, that is tried again later");
                            }
                            compacted => drop(compacted.map_err(failed)?),
                        }
                        let base = self.log.base();
                        report(&self.inbox, Mail::Done(Input::Compacted { base }));
                    }
                }
                next = if gathered.is_full() { None } else { self.jobs.try_recv().ok() };
            }
            self.write(std::mem::take(&mut gathered))?;
        }
        // Nothing depends on it: without it the next start only knows less of what must be there.
        if let Err(error) = self.log.close() {
            tracing::warn!(%error, "cannot write down where the log ends");
        }
        Ok(())
    }

    fn write(&mut self, gathered: Gathered) -> Result<(), NodeError> {
        let writes = gathered.writes;
        if writes.is_empty() {
            return Ok(());
        }
        let contents: Vec<Content<'_>> = writes.iter().map(Content::from).collect();
        let before = self.log.written_bytes();
        let full = match self.log.write(&contents) {
            Err(error @ LogError::Full { .. }) => Some(error),
            written => written.map(|()| None).map_err(failed)?,
        };
        let begin = Instant::now();
        let durable = self.log.sync().map_err(failed)?;
        let written = self.log.written_bytes() - before;
        if written > 0 {
            self.metrics.fsync.observe(begin.elapsed());
            Metrics::add(&self.metrics.log_written_bytes, written);
        }
        let mut lost = Vec::new();
        let mut refused = None;
        for write in writes {
            if write.number > durable.number() {
                // Its messages promise what is not on the disk: they go with it.
                refused.get_or_insert(write.number);
                continue;
            }
            for envelope in write.barrier.release(durable) {
                let to = envelope.to;
                if self.peers.send(to, &PeerMessage::Raft(envelope)) == Err(Unsent::Dropped) {
                    lost.push(to);
                }
            }
        }
        lost.sort_unstable();
        lost.dedup();
        report(&self.inbox, Mail::Done(Input::Persisted(durable.number())));
        for peer in lost {
            report(&self.inbox, Mail::Done(Input::Dropped { peer }));
        }
        assert!(full.is_some() == refused.is_some(), "a write is refused for want of room only");
        if let (Some(error), Some(from)) = (full, refused) {
            tracing::debug!(%error, "a write found no room");
            self.refuses = true;
            report(&self.inbox, Mail::Done(Input::NoRoom { from }));
        }
        Ok(())
    }

    fn plan(
        &self,
        purpose: FetchPurpose,
        from: Index,
        through: Index,
        bytes_max: usize,
    ) -> Result<(), NodeError> {
        // The core asks only for what it has appended, and this thread has written all of that. It may not know yet what was
        // compacted just now: that report is on its way before this one.
        let Some(plan) = self.log.plan(from, through, bytes_max) else {
            assert!(from <= self.log.base().index, "an entry that is asked for is in the log");
            report(&self.inbox, Mail::Done(Input::Fetched { purpose, entries: Vec::new() }));
            return Ok(());
        };
        self.reader.try_send(ReadJob { purpose, plan }).map_err(|_| NodeError::Ended { part: "log reader" })
    }
}

/// The reader's thread: reads entries back while the log's thread goes on writing.
pub(crate) struct ReaderWorker {
    pub(crate) disk: RealDisk,
    pub(crate) jobs: mpsc::Receiver<ReadJob>,
    pub(crate) inbox: mpsc::Sender<Mail>,
}

impl ReaderWorker {
    /// Runs until the log's thread has ended.
    pub(crate) fn run(mut self) -> Result<(), NodeError> {
        while let Some(ReadJob { purpose, plan }) = self.jobs.blocking_recv() {
            let entries = match plan.read(&self.disk) {
                Err(LogError::Compacted { .. }) => Vec::new(),
                // What was whole at the start is damaged now. A start looks at all of the log, so it knows what else is.
                Err(error @ LogError::Corrupt { .. }) => {
                    let advice = "start the node again: it gets from its peers what its disk has lost";
                    return Err(NodeError::Disk(format!("{error}; {advice}")));
                }
                read => read.map_err(failed)?,
            };
            report(&self.inbox, Mail::Done(Input::Fetched { purpose, entries }));
        }
        Ok(())
    }
}

/// The applier's thread.
pub(crate) struct ApplierWorker<S: StateMachine> {
    pub(crate) applier: Applier<S>,
    pub(crate) jobs: mpsc::Receiver<ApplierJob>,
    pub(crate) inbox: mpsc::Sender<Mail>,
    pub(crate) clock: Clock,
    pub(crate) disk: RealDisk,
    pub(crate) options: SnapshotOptions,
    pub(crate) writer: mpsc::Sender<WriteJob>,
    pub(crate) metrics: Arc<Metrics>,
}

impl<S: StateMachine> ApplierWorker<S> {
    /// Runs until the loop has ended and everything that it handed over is applied.
    pub(crate) fn run(mut self) -> Result<(), NodeError> {
        while let Some(job) = self.jobs.blocking_recv() {
            match job {
                ApplierJob::Apply { batch, callers } => self.complete(batch, callers)?,
                ApplierJob::TakeSnapshot { term } => {
                    let begin = Instant::now();
                    let (meta, write) = self.applier.snapshot(term);
                    // Commands wait for as long as this takes.
                    let stood = begin.elapsed();
                    self.metrics.snapshot_pause.observe(stood);
                    let stood_us = u64::try_from(stood.as_micros()).unwrap_or(u64::MAX);
                    tracing::info!(last = %meta.last, stood_us, "takes a snapshot");
                    let sent = self.writer.try_send(WriteJob { meta, write });
                    sent.map_err(|_| NodeError::Ended { part: "snapshots" })?;
                }
                ApplierJob::Restore { last } => self.restore(last)?,
                ApplierJob::Read(read) => {
                    let (applied, timestamp_ms) = (self.applier.applied(), self.applier.timestamp_ms());
                    read.run(self.applier.state() as &dyn Any, Place { applied, timestamp_ms });
                }
            }
        }
        Ok(())
    }

    /// Replaces the state by that of a snapshot from a peer.
    fn restore(&mut self, last: EntryId) -> Result<(), NodeError> {
        let found = SnapshotFile::open(&self.disk, &self.options, last).map_err(failed)?;
        let found = found.expect("a snapshot that was installed is there until a newer one is taken");
        let meta = found.meta().clone();
        let restored = self.applier.restore(&meta, &mut found.into_reader());
        restored
            .map_err(|error| NodeError::Disk(format!("cannot restore the snapshot up to {last}: {error}")))?;
        tracing::info!(last = %last, "goes on from a peer's snapshot");
        report(&self.inbox, Mail::Done(self.applier.restored()));
        Ok(())
    }

    /// Applies a batch and answers its callers: the one place where a proposal's answer is given.
    fn complete(
        &mut self,
        batch: ApplyBatch,
        callers: Vec<(Ticket, oneshot::Sender<Answered>)>,
    ) -> Result<(), NodeError> {
        let applied = self.applier.apply(batch);
        if let Some(LevelTooNew { level, level_max }) = applied.too_new {
            return Err(NodeError::LevelTooNew { level, level_max });
        }
        let now_us = self.clock.monotonic_us();
        assert_eq!(applied.answers.len(), callers.len(), "each local caller of a batch gets one answer");
        for (answer, (ticket, caller)) in applied.answers.into_iter().zip(callers) {
            assert_eq!(answer.ticket, ticket, "answers come in the order of the entries");
            // The caller may have stopped waiting.
            let _ = caller.send(answer.finish(now_us));
        }
        report(&self.inbox, Mail::Done(applied.report));
        Ok(())
    }
}

/// Puts a report into the inbox, waiting for room: the loop always makes some. After the loop has ended nobody wants it.
pub(crate) fn report(inbox: &mpsc::Sender<Mail>, mail: Mail) {
    let _ = inbox.blocking_send(mail);
}

#[allow(clippy::needless_pass_by_value)] // The shape that map_err wants.
pub(crate) fn failed(error: LogError) -> NodeError {
    NodeError::Disk(error.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_core::config::Config;
    use quorate_core::entry::Membership;
    use quorate_core::raft::Raft;
    use quorate_core::ready::Input;
    use quorate_core::stored::Stored;
    use quorate_core::types::NodeId;

    use super::{BYTES_PER_SYNC_MAX, Gathered};

    #[test]
    fn one_fsync_covers_a_bounded_number_of_bytes() {
        let alone = NodeId::new(1);
        let mut raft = Raft::new(Config::new(alone), Stored::bootstrap(Membership::of_voters([alone])));
        raft.step(Input::Campaign);
        let vote = raft.ready().write.expect("the own vote is written");
        raft.step(Input::Persisted(vote.number));
        let (mut gathered, command_bytes) = (Gathered::default(), 1 << 20);
        while !gathered.is_full() {
            let command = Bytes::from(vec![0; command_bytes]);
            raft.step(Input::Propose { ticket: 1, command, timestamp_ms: 0 });
            gathered.push(raft.ready().write.expect("the command is written"));
            assert!(gathered.bytes < BYTES_PER_SYNC_MAX + 2 * command_bytes, "{} bytes", gathered.bytes);
        }
        assert!(gathered.writes.len() > 8, "several writes share one fsync");
    }
}
