//! The two threads of a node that move snapshots: one writes those of the own state, one reads pieces for peers and stores what comes from
//! them. They are apart because writing a large state takes minutes, in which a peer must not wait for its pieces.

use bytes::Bytes;
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::{EntryId, NodeId};
use quorate_log::{Incoming, LogError, RealDisk, SnapshotFile, SnapshotOptions, SnapshotWriter, incoming};
use quorate_replica::input::{Input, Piece};
use quorate_replica::state_machine::Snapshot;
use tokio::sync::mpsc;

use crate::error::NodeError;
use crate::mail::Mail;
use crate::workers::{failed, report};

/// A snapshot that was taken and is to be written.
pub(crate) struct WriteJob {
    pub(crate) meta: SnapshotMeta,
    pub(crate) write: Snapshot,
}

/// What the thread for pieces is asked for, in order.
pub(crate) enum PieceJob {
    /// Read a piece for a peer.
    Read { to: NodeId, last: EntryId, piece: u64 },
    /// Store a piece that came.
    Store { piece: u64, bytes: Bytes },
    /// What came is not wanted.
    Discard,
}

/// The replica takes one snapshot at a time.
pub(crate) const WRITE_QUEUE_LEN_MAX: usize = 1;
/// How many pieces may wait: the replica asks for a few of either kind.
pub(crate) const PIECE_QUEUE_LEN_MAX: usize = 1_024;

/// The thread that writes snapshots of the own state.
pub(crate) struct SnapshotWorker {
    pub(crate) disk: RealDisk,
    pub(crate) options: SnapshotOptions,
    pub(crate) jobs: mpsc::Receiver<WriteJob>,
    pub(crate) inbox: mpsc::Sender<Mail>,
}

impl SnapshotWorker {
    /// Runs until the applier's thread has ended.
    pub(crate) fn run(mut self) -> Result<(), NodeError> {
        while let Some(WriteJob { meta, write }) = self.jobs.blocking_recv() {
            let last = meta.last;
            let input = match self.write(meta, write) {
                Ok(name) => {
                    tracing::info!(last = %last, bytes = name.bytes, "wrote a snapshot");
                    Input::SnapshotTaken { name }
                }
                Err(Unwritten::Fatal(error)) => return Err(failed(error)),
                Err(Unwritten::Skipped(error)) => {
                    tracing::warn!(last = %last, %error, "no snapshot was written, it is tried again later");
                    Input::SnapshotFailed
                }
            };
            report(&self.inbox, Mail::Done(input));
        }
        Ok(())
    }

    fn write(
        &self,
        meta: SnapshotMeta,
        write: Snapshot,
    ) -> Result<quorate_core::snapshot::SnapshotName, Unwritten> {
        let mut writer = SnapshotWriter::begin(self.disk.clone(), self.options, meta)?;
        // What fails here is the disk or the state machine's own code; either way there is no snapshot, and the log is as it was.
        if let Err(error) = write(&mut writer) {
            let error = Unwritten::Skipped(writer.failure(error).to_string());
            writer.discard()?;
            return Err(error);
        }
        Ok(writer.finish()?)
    }
}

/// Why there is no snapshot.
enum Unwritten {
    /// The node goes on without one for a while.
    Skipped(String),
    /// The disk failed where nothing may be tried again.
    Fatal(LogError),
}

impl From<LogError> for Unwritten {
    fn from(error: LogError) -> Unwritten {
        if matches!(error, LogError::Full { .. }) {
            return Unwritten::Skipped(error.to_string());
        }
        Unwritten::Fatal(error)
    }
}

/// The thread that reads pieces for peers, and stores those that come.
pub(crate) struct PieceWorker {
    pub(crate) disk: RealDisk,
    pub(crate) options: SnapshotOptions,
    pub(crate) jobs: mpsc::Receiver<PieceJob>,
    pub(crate) inbox: mpsc::Sender<Mail>,
    pub(crate) arriving: Option<Incoming<RealDisk>>,
}

impl PieceWorker {
    /// Runs until the loop has ended.
    pub(crate) fn run(mut self) -> Result<(), NodeError> {
        while let Some(job) = self.jobs.blocking_recv() {
            let input = match job {
                PieceJob::Read { to, last, piece } => {
                    Some(Input::PieceRead { to, last, found: self.read(last, piece)? })
                }
                PieceJob::Store { piece, bytes } => Some(match self.store(piece, &bytes) {
                    Ok(input) => input,
                    Err(error @ LogError::Io { .. }) => return Err(failed(error)),
                    Err(error @ LogError::Full { .. }) => {
                        tracing::warn!(%error, "a peer's snapshot finds no room, it goes on later");
                        // What is there is read again: a piece may have been written in part.
                        self.arriving = None;
                        Input::PieceNoRoom
                    }
                    Err(error) => {
                        tracing::warn!(%error, "what came of a peer's snapshot cannot be used");
                        Input::PieceRefused
                    }
                }),
                PieceJob::Discard => {
                    self.arriving = None;
                    incoming::remove(&self.disk).map_err(failed)?;
                    None
                }
            };
            if let Some(input) = input {
                report(&self.inbox, Mail::Done(input));
            }
        }
        Ok(())
    }

    fn read(&self, last: EntryId, piece: u64) -> Result<Piece, NodeError> {
        let read = SnapshotFile::open(&self.disk, &self.options, last).and_then(|file| {
            let Some(file) = file else { return Ok(Piece::Gone) };
            let name = file.name();
            Ok(file.piece(piece)?.map_or(Piece::Gone, |bytes| Piece::Here { name, piece, bytes }))
        });
        match read {
            Ok(found) => Ok(found),
            Err(error @ LogError::Corrupt { .. }) => {
                tracing::error!(%error, "a snapshot of this node is damaged, another one is taken");
                Ok(Piece::Damaged)
            }
            // It was replaced by a newer one just now.
            Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Piece::Gone)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn store(&mut self, piece: u64, bytes: &Bytes) -> Result<Input, LogError> {
        if piece == 0 {
            let begun = Incoming::begin(&self.disk, self.options, bytes)?;
            let (last, found) = (begun.name().last, begun.next() - 1);
            tracing::info!(last = %last, bytes = begun.name().bytes, found, "fetches a snapshot");
            self.arriving = Some(begun);
        } else {
            let Some(arriving) = &mut self.arriving else { return Ok(Input::PieceRefused) };
            if !arriving.take(piece, bytes)? {
                return Ok(Input::PieceRefused);
            }
        }
        let arriving = self.arriving.take().expect("a piece belongs to a snapshot that has begun");
        let (name, next, pieces) = (arriving.name(), arriving.next(), arriving.pieces());
        let whole = if next == pieces {
            Some(arriving.finish()?)
        } else {
            self.arriving = Some(arriving);
            None
        };
        Ok(Input::PieceStored { name, next, pieces, whole })
    }
}
