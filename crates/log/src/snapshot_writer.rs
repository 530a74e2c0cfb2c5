//! Writing a snapshot of the own state: beside, synced, renamed, the name made durable. A crash leaves the whole snapshot or none; what
//! it leaves half made nobody reads. The log is cut only behind a snapshot that [`SnapshotWriter::finish`] has attested.

use std::io;

use bytes::BufMut;
use quorate_core::planted::{self, Bug};
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};

use crate::disk::Disk;
use crate::error::LogError;
use crate::segment::BESIDE;
use crate::snapshot_file::{
    Header, Origin, PIECE_BYTES_MAX, PIECE_HEAD_BYTES, SNAPSHOT_DIR, SnapshotOptions, chain, file_name,
    header_len, piece_check,
};

/// A snapshot on its way to the disk. The state is written to it as a stream; no more than one piece of it is in memory.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    file: D::File,
    options: SnapshotOptions,
    header: Header,
    /// The piece that is being filled, behind the room for its length and checksum.
    piece: Vec<u8>,
    /// How many pieces are written.
    pieces: u64,
    beside: String,
}

impl<D: Disk + Clone> SnapshotWriter<D> {
    /// Begins a snapshot that covers this. One is written at a time: what an earlier one left unfinished is removed.
    ///
    /// # Errors
    /// [`LogError::Full`] if the disk has no room, else [`LogError::Io`].
    ///
    /// # Panics
    /// If `options.piece_bytes` is out of its range.
    pub fn begin(
        disk: D,
        options: SnapshotOptions,
        meta: SnapshotMeta,
    ) -> Result<SnapshotWriter<D>, LogError> {
        assert!((1..=PIECE_BYTES_MAX).contains(&options.piece_bytes), "a piece fits into one frame");
        assert!(meta.membership_index <= meta.last.index, "a snapshot covers the membership that it carries");
        let beside = format!("{}{BESIDE}", file_name(meta.last, Origin::Taken));
        let failed = |error| failed(&beside, error);
        for name in disk.list(SNAPSHOT_DIR).map_err(failed)? {
            if name.ends_with(BESIDE) {
                disk.remove(&format!("{SNAPSHOT_DIR}/{name}")).map_err(failed)?;
            }
        }
        let file = disk.create(&beside).map_err(failed)?;
        let header = Header {
            header_len: header_len(&meta),
            meta,
            piece_bytes: u32::try_from(options.piece_bytes).expect("the bound fits 32 bits"),
            content_bytes: 0,
            check: 0,
        };
        let mut piece = Vec::with_capacity(PIECE_HEAD_BYTES + options.piece_bytes);
        piece.resize(PIECE_HEAD_BYTES, 0);
        Ok(SnapshotWriter { disk, file, options, header, piece, pieces: 0, beside })
    }

    /// Makes the snapshot durable under its name, and with it what it covers.
    ///
    /// # Errors
    /// [`LogError::Full`] if the disk has no room: then there is no snapshot and nothing else has changed. [`LogError::Io`] is fatal
    /// as for the log.
    pub fn finish(self) -> Result<SnapshotName, LogError> {
        let (disk, beside) = (self.disk.clone(), self.beside.clone());
        let finished = self.complete();
        if matches!(finished, Err(LogError::Full { .. })) {
            let _ = disk.remove(&beside);
        }
        finished
    }

    /// Gives up: the space that the unfinished snapshot took is free again.
    ///
    /// # Errors
    /// [`LogError::Io`]; then the next [`SnapshotWriter::begin`] or start removes it.
    pub fn discard(self) -> Result<(), LogError> {
        self.disk.remove(&self.beside).map_err(|error| LogError::io("cannot remove", &self.beside, error))
    }

    /// What the state machine met while it wrote to this, in the words of the log: [`LogError::Full`] if the disk has no room.
    pub fn failure(&self, error: io::Error) -> LogError {
        failed(&self.beside, error)
    }

    fn complete(mut self) -> Result<SnapshotName, LogError> {
        let beside = self.beside.clone();
        let failed = |error| failed(&beside, error);
        if self.piece.len() > PIECE_HEAD_BYTES {
            self.put_piece().map_err(failed)?;
        }
        assert!(self.pieces == self.header.pieces(), "the pieces hold the whole state");
        let header = self.header.encode(&self.options);
        self.disk.write_at(&self.file, &header, 0).map_err(failed)?;
        if !planted::is(Bug::SnapshotNotSynced) {
            self.disk.sync(&self.file).map_err(failed)?;
        }
        let name = file_name(self.header.meta.last, Origin::Taken);
        self.disk.rename(&self.beside, &name).map_err(failed)?;
        if !planted::is(Bug::SnapshotNameNotSynced) {
            self.disk.sync_dir(SNAPSHOT_DIR).map_err(failed)?;
        }
        Ok(self.header.name())
    }

    fn put_piece(&mut self) -> io::Result<()> {
        let number = self.pieces + 1;
        let content = &self.piece[PIECE_HEAD_BYTES..];
        let len = u32::try_from(content.len()).expect("a piece is at most a few MiB");
        let check = piece_check(self.options.cluster, self.header.meta.last, number, content);
        let mut head = &mut self.piece[..PIECE_HEAD_BYTES];
        head.put_u32_le(len);
        head.put_u32_le(check);
        self.header.content_bytes += u64::from(len);
        let (offset, _) = self.header.place(number).expect("the piece is counted in the length of the state");
        self.disk.write_at(&self.file, &self.piece, offset)?;
        self.header.check = chain(self.header.check, &self.piece);
        self.pieces = number;
        self.piece.truncate(PIECE_HEAD_BYTES);
        Ok(())
    }
}

impl<D: Disk + Clone> io::Write for SnapshotWriter<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_HEAD_BYTES + self.options.piece_bytes - self.piece.len();
        let len = room.min(bytes.len());
        self.piece.extend_from_slice(&bytes[..len]);
        if len == room {
            self.put_piece()?;
        }
        assert!(
            self.piece.len() < PIECE_HEAD_BYTES + self.options.piece_bytes,
            "a full piece is written at once"
        );
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(name: &str, error: io::Error) -> LogError {
    LogError::of_growing("cannot write", name, error)
}
