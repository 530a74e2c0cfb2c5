//! The snapshots of a running node: taken behind the applier, written and finished as two events, given to peers and stored from them
//! piece by piece, each piece an event of its own. The code that writes, checks and installs is what ships.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::{EntryId, Index, NodeId, Term};
use quorate_log::{Incoming, LogError, SnapshotFile, SnapshotReader, SnapshotWriter, incoming};
use quorate_replica::input::{Input, Piece};
use quorate_replica::state_machine::Snapshot;

use crate::check::Violation;
use crate::disk::SimDisk;
use crate::running::{NotStarted, Running, Stopped};
use crate::scene::{Event, Scene, Work};
use crate::store;

/// What a node does with snapshots apart from its applier.
#[derive(Default)]
pub(crate) struct SnapshotWork {
    /// The one that was taken and waits to be written.
    taken: Option<(SnapshotMeta, Snapshot)>,
    /// The one that is written and not yet durable.
    written: Option<SnapshotWriter<SimDisk>>,
    /// Pieces that came and are to be stored, in order; none stands for the wish to remove what was stored.
    to_store: VecDeque<Option<(u64, Bytes)>>,
    storing: bool,
    incoming: Option<Incoming<SimDisk>>,
}

impl Running {
    /// Puts the applier behind the newest snapshot, if there is one.
    pub(crate) fn start_from_snapshot(&mut self, scene: &mut Scene) -> Result<(), NotStarted> {
        let options = store::snapshot_options(&scene.profile.limits);
        let Some(found) = SnapshotFile::newest(&self.disk, &options).map_err(NotStarted::Disk)? else {
            return Ok(());
        };
        let (name, meta) = (found.name(), found.meta().clone());
        let mut source = Source { reader: found.into_reader(), failed: false };
        if let Err(error) = self.applier.restore(&meta, &mut source) {
            if error.kind() == io::ErrorKind::Unsupported {
                return Err(NotStarted::Level);
            }
            return Err(match source.refusal(self.life.node, &meta, &error) {
                Some(violation) => NotStarted::Broken(violation),
                None => NotStarted::Disk(unreadable(error)),
            });
        }
        let line =
            scene.checks.on_restore(self.life.node, meta.last).and_then(|()| self.compare_restored(scene));
        line.map_err(NotStarted::Broken)?;
        scene.count("start from a snapshot");
        self.take(scene, Input::SnapshotTaken { name });
        Ok(())
    }

    /// Compares the state with that of the other nodes after the same entries.
    fn compare_restored(&mut self, scene: &mut Scene) -> Result<(), Violation> {
        let state = self.applier.state().ledger();
        self.fingerprints_seen = state.fingerprints_len();
        if state.last() == EntryId::ZERO {
            return Ok(());
        }
        scene.checks.on_state(self.life.node, state.last().index, state.fingerprint())
    }

    /// The applier takes a snapshot of what it has applied. It goes on at once; writing is an event of its own.
    pub(crate) fn take_snapshot(&mut self, scene: &mut Scene, term: Term) -> Result<(), Violation> {
        assert!(self.snapshots.taken.is_none(), "one snapshot is taken at a time");
        let (meta, write) = self.applier.snapshot(term);
        scene.checks.on_snapshot(self.life.node, &meta)?;
        scene.line(self.life.node, || format!("takes a snapshot up to {}", meta.last));
        self.snapshots.taken = Some((meta, write));
        let delay = scene.delays.between(10, 5_000);
        scene.after(delay, Event::Work(self.life, Work::SnapshotWrite));
        Ok(())
    }

    /// The snapshot is written beside the others.
    pub(crate) fn snapshot_write(&mut self, scene: &mut Scene) -> Stopped {
        let (meta, write) = self.snapshots.taken.take().expect("a snapshot was taken");
        let options = store::snapshot_options(&scene.profile.limits);
        let written = SnapshotWriter::begin(self.disk.clone(), options, meta).and_then(|mut writer| {
            match write(&mut writer) {
                Ok(()) => Ok(writer),
                Err(error) => {
                    let error = writer.failure(error);
                    writer.discard()?;
                    Err(error)
                }
            }
        });
        match written {
            Ok(writer) => {
                self.snapshots.written = Some(writer);
                let delay = 50 + scene.sync_mean_us(self.life.node);
                scene.after(delay, Event::Work(self.life, Work::SnapshotFinish));
                Stopped::No
            }
            Err(error) => self.snapshot_failed(scene, &error),
        }
    }

    /// The snapshot becomes durable.
    pub(crate) fn snapshot_finish(&mut self, scene: &mut Scene) -> Stopped {
        let writer = self.snapshots.written.take().expect("a snapshot was written");
        if scene.is_faulty() && scene.delays.chance(scene.profile.faults.crash_before_sync_per_mille) {
            scene.count("power lost before a snapshot was durable");
            return Stopped::Power;
        }
        match writer.finish() {
            Ok(name) => {
                scene.count("snapshot taken");
                self.take(scene, Input::SnapshotTaken { name });
                Stopped::No
            }
            Err(error) => self.snapshot_failed(scene, &error),
        }
    }

    fn snapshot_failed(&mut self, scene: &mut Scene, error: &LogError) -> Stopped {
        scene.line(self.life.node, || format!("writes no snapshot: {error}"));
        if matches!(error, LogError::Full { .. }) {
            scene.count("no room for a snapshot");
            self.take(scene, Input::SnapshotFailed);
            return Stopped::No;
        }
        Stopped::Disk
    }

    /// The log lets go of what snapshots hold.
    pub(crate) fn compact(&mut self, scene: &mut Scene, through: Index, keep: &[EntryId]) -> Stopped {
        let before = self.log.base();
        match self.log.compact(through, keep) {
            Ok(base) => {
                if base != before {
                    scene.count("log compacted");
                    scene.line(self.life.node, || format!("compacts its log up to {base}"));
                }
                self.take(scene, Input::Compacted { base });
                Stopped::No
            }
            Err(LogError::Full { .. }) => {
                scene.count("no room to cut the log");
                self.take(scene, Input::Compacted { base: before });
                Stopped::No
            }
            Err(error) => self.stops(scene, &error),
        }
    }

    /// The state of a received snapshot takes the place of the applier's.
    pub(crate) fn restore(&mut self, scene: &mut Scene, last: EntryId) -> Result<Stopped, Violation> {
        let options = store::snapshot_options(&scene.profile.limits);
        let found = match SnapshotFile::open(&self.disk, &options, last) {
            Ok(found) => found.expect("a snapshot that was installed is there until a newer one is taken"),
            Err(error) => return Ok(self.stops(scene, &error)),
        };
        let meta = found.meta().clone();
        let mut source = Source { reader: found.into_reader(), failed: false };
        if let Err(error) = self.applier.restore(&meta, &mut source) {
            if error.kind() == io::ErrorKind::Unsupported {
                return Ok(Stopped::Level);
            }
            return match source.refusal(self.life.node, &meta, &error) {
                Some(violation) => Err(violation),
                None => Ok(self.stops(scene, &unreadable(error))),
            };
        }
        scene.count("snapshot installed");
        scene.line(self.life.node, || format!("goes on from the snapshot up to {last}"));
        scene.checks.on_restore(self.life.node, last)?;
        self.compare_restored(scene)?;
        self.take(scene, self.applier.restored());
        Ok(Stopped::No)
    }

    /// A piece is read for a peer.
    pub(crate) fn read_piece(&mut self, scene: &mut Scene, to: NodeId, last: EntryId, piece: u64) -> Stopped {
        let options = store::snapshot_options(&scene.profile.limits);
        let read = SnapshotFile::open(&self.disk, &options, last).and_then(|file| {
            let Some(file) = file else { return Ok(Piece::Gone) };
            let name = file.name();
            Ok(file.piece(piece)?.map_or(Piece::Gone, |bytes| Piece::Here { name, piece, bytes }))
        });
        let found = match read {
            Ok(found) => found,
            Err(LogError::Corrupt { .. }) => {
                scene.count("damaged piece of a snapshot not given to a peer");
                Piece::Damaged
            }
            Err(error) => return self.stops(scene, &error),
        };
        self.take(scene, Input::PieceRead { to, last, found });
        Stopped::No
    }

    /// A piece came, or what came is not wanted.
    pub(crate) fn store_piece(&mut self, scene: &mut Scene, piece: Option<(u64, Bytes)>) {
        self.snapshots.to_store.push_back(piece);
        self.wake_store(scene);
    }

    fn wake_store(&mut self, scene: &mut Scene) {
        if !self.snapshots.storing && !self.snapshots.to_store.is_empty() {
            self.snapshots.storing = true;
            let delay = scene.delays.between(5, 200);
            scene.after(delay, Event::Work(self.life, Work::StorePiece));
        }
    }

    /// The next piece is stored.
    pub(crate) fn store_next(&mut self, scene: &mut Scene) -> Stopped {
        self.snapshots.storing = false;
        let stored = match self.snapshots.to_store.pop_front() {
            Some(Some((piece, bytes))) => self.store(scene, piece, &bytes).map(Some),
            Some(None) => {
                self.snapshots.incoming = None;
                incoming::remove(&self.disk).map(|()| None)
            }
            None => Ok(None),
        };
        self.wake_store(scene);
        match stored {
            Ok(input) => {
                if let Some(input) = input {
                    self.take(scene, input);
                }
                Stopped::No
            }
            Err(LogError::Corrupt { .. }) => {
                scene.count("fetched snapshot was not what it promised");
                self.take(scene, Input::PieceRefused);
                Stopped::No
            }
            Err(LogError::Full { .. }) => {
                scene.count("no room for a piece of a snapshot");
                self.snapshots.incoming = None;
                self.take(scene, Input::PieceNoRoom);
                Stopped::No
            }
            Err(error) => self.stops(scene, &error),
        }
    }

    fn store(&mut self, scene: &mut Scene, piece: u64, bytes: &Bytes) -> Result<Input, LogError> {
        if piece == 0 {
            let options = store::snapshot_options(&scene.profile.limits);
            let begun = Incoming::begin(&self.disk, options, bytes)?;
            if begun.next() > 1 {
                scene.count("fetch of a snapshot resumed");
            }
            self.snapshots.incoming = Some(begun);
        } else {
            let Some(arriving) = &mut self.snapshots.incoming else { return Ok(Input::PieceRefused) };
            if !arriving.take(piece, bytes)? {
                return Ok(Input::PieceRefused);
            }
        }
        let arriving = self.snapshots.incoming.take().expect("a piece belongs to a snapshot that has begun");
        let (name, next, pieces) = (arriving.name(), arriving.next(), arriving.pieces());
        let whole = if next == pieces {
            Some(arriving.finish()?)
        } else {
            self.snapshots.incoming = Some(arriving);
            None
        };
        Ok(Input::PieceStored { name, next, pieces, whole })
    }

    /// The disk failed: the node stops.
    fn stops(&self, scene: &mut Scene, error: &LogError) -> Stopped {
        scene.line(self.life.node, || format!("stops: {error}"));
        Stopped::Disk
    }
}

/// A snapshot as the state machine reads it: remembers whether the disk failed.
struct Source {
    reader: SnapshotReader<SimDisk>,
    failed: bool,
}

impl Source {
    /// The rule that is broken if the disk gave all that was asked for, and the state machine did not take it.
    fn refusal(&self, node: NodeId, meta: &SnapshotMeta, error: &io::Error) -> Option<Violation> {
        let what = format!("{node} does not take the one up to {}: {error}", meta.last);
        (!self.failed).then(|| Violation::safety("a snapshot can be restored", what))
    }
}

impl io::Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|_| self.failed = true)
    }
}

/// A stream that could not be read or written, in the words of the log.
fn unreadable(source: io::Error) -> LogError {
    if source.kind() == io::ErrorKind::InvalidData || source.kind() == io::ErrorKind::UnexpectedEof {
        return LogError::Corrupt { file: "snapshot".to_owned(), offset: 0, what: source.to_string() };
    }
    LogError::Io { action: "cannot read or write", file: "snapshot".to_owned(), source }
}
