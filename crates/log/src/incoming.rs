//! A snapshot that arrives from a peer, piece by piece, in a file beside the snapshots. Each piece is checked when it comes; what is there
//! survives a restart, and only what is missing is asked for again. The file becomes a snapshot when the log is begun anew behind it.

use std::io;

use bytes::Bytes;
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};

use crate::disk::Disk;
use crate::error::LogError;
use crate::read::read_chunk;
use crate::snapshot_file::{Header, Origin, SNAPSHOT_DIR, SnapshotOptions, chain, file_name};

/// A snapshot on its way from a peer. There is one at a time.
pub struct Incoming<D: Disk> {
    disk: D,
    file: D::File,
    options: SnapshotOptions,
    header: Header,
    /// The next piece that is missing. Invariant: all before it are in the file, checked.
    next: u64,
    check: u32,
}

impl<D: Disk + Clone> Incoming<D> {
    /// Begins with the header, which is the first piece. What an earlier attempt left of the very same snapshot is kept; of any other it is
    /// removed, so that pieces of two are never mixed.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::OtherCluster`], [`LogError::NewerFormat`] if the header is not one that this node can use: then
    /// nothing has changed. [`LogError::Full`]: then what had come before is kept. [`LogError::Io`].
    pub fn begin(disk: &D, options: SnapshotOptions, first: &Bytes) -> Result<Incoming<D>, LogError> {
        let header = Header::decode(INCOMING_FILE, first, &options)?;
        let failed = |error| LogError::of_growing("cannot write", INCOMING_FILE, error);
        match disk.open(INCOMING_FILE) {
            Ok(file) => {
                let front = read_chunk(disk, &file, 0, first.len()).map_err(failed)?;
                if front == *first {
                    let mut incoming =
                        Incoming { disk: disk.clone(), file, options, header, next: 1, check: 0 };
                    incoming.take_stock(first)?;
                    return Ok(incoming);
                }
                disk.remove(INCOMING_FILE).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let file = disk.create(INCOMING_FILE).map_err(failed)?;
        disk.write_at(&file, first, 0).map_err(failed)?;
        Ok(Incoming { disk: disk.clone(), file, options, header, next: 1, check: 0 })
    }

    /// Counts the pieces at the front of the file that are what they should be, and writes them once more: after a sync that failed, the
    /// system may show bytes that never reached the disk, and the next sync would say yes without writing them.
    fn take_stock(&mut self, first: &Bytes) -> Result<(), LogError> {
        let failed = |error| LogError::of_growing("cannot write", INCOMING_FILE, error);
        self.disk.write_at(&self.file, first, 0).map_err(failed)?;
        while let Some((offset, len)) = self.header.place(self.next) {
            let piece = read_chunk(&self.disk, &self.file, offset, len)
                .map_err(|error| LogError::io("cannot read", INCOMING_FILE, error))?;
            if self.header.check_piece(self.options.cluster, self.next, &piece).is_none() {
                break;
            }
            self.disk.write_at(&self.file, &piece, offset).map_err(failed)?;
            self.check = chain(self.check, &piece);
            self.next += 1;
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> SnapshotName {
        self.header.name()
    }

    /// The next piece that is missing; equal to [`Incoming::pieces`] when none is.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// How many pieces there are, the header counted as the first.
    pub fn pieces(&self) -> u64 {
        1 + self.header.pieces()
    }

    /// Takes the next piece. Returns false, and changes nothing, if it is not the next one or not what it should be.
    ///
    /// # Errors
    /// [`LogError::Full`]: the piece may be asked for again once there is space. [`LogError::Io`].
    pub fn take(&mut self, number: u64, piece: &Bytes) -> Result<bool, LogError> {
        let whole = self.header.check_piece(self.options.cluster, number, piece).is_some();
        if number != self.next || !whole {
            return Ok(false);
        }
        let (offset, _) = self.header.place(number).expect("a piece that was checked has its place");
        let written = self.disk.write_at(&self.file, piece, offset);
        written.map_err(|error| LogError::of_growing("cannot write", INCOMING_FILE, error))?;
        self.check = chain(self.check, piece);
        self.next += 1;
        assert!(self.next <= self.pieces(), "there are no more pieces than the header says");
        Ok(true)
    }

    /// Makes the whole snapshot durable beside the others. What it covers may be given to the protocol now.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if the pieces are not those of the header: then the file is gone. [`LogError::Io`].
    ///
    /// # Panics
    /// If a piece is missing.
    pub fn finish(self) -> Result<SnapshotMeta, LogError> {
        assert!(self.next == self.pieces(), "a snapshot is finished when all its pieces are there");
        if self.check != self.header.check {
            remove(&self.disk)?;
            let what = "the pieces of the snapshot are not those that its header names";
            return Err(LogError::corrupt(INCOMING_FILE, 0, what));
        }
        self.disk
            .sync(&self.file)
            .map_err(|error| LogError::of_growing("cannot sync", INCOMING_FILE, error))?;
        Ok(self.header.meta)
    }
}

/// Gives the snapshot that has arrived, which covers `meta`, its name, durably. From then on it is decided that the log begins anew behind
/// it: a start that finds the log without it does so.
pub(crate) fn adopt<D: Disk>(disk: &D, meta: &SnapshotMeta) -> Result<(), LogError> {
    let failed = |error| LogError::io("cannot install", INCOMING_FILE, error);
    let name = file_name(meta.last, Origin::Received);
    match disk.rename(INCOMING_FILE, &name) {
        // It has its name since an attempt that found no room for what comes after.
        Err(error) if error.kind() == io::ErrorKind::NotFound && disk.open(&name).is_ok() => {}
        renamed => renamed.map_err(failed)?,
    }
    disk.sync_dir(SNAPSHOT_DIR).map_err(failed)
}

/// Takes a snapshot that was just written here for one that has arrived and waits for its install.
pub(crate) fn take_for_arrived<D: Disk>(disk: &D, meta: &SnapshotMeta) -> Result<(), LogError> {
    let renamed = disk.rename(&file_name(meta.last, Origin::Taken), INCOMING_FILE);
    renamed.map_err(|error| LogError::io("cannot rename", INCOMING_FILE, error))
}

/// Removes what has arrived: it is not wanted.
pub fn remove<D: Disk>(disk: &D) -> Result<(), LogError> {
    match disk.remove(INCOMING_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LogError::io("cannot remove", INCOMING_FILE, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where a snapshot arrives. Its name needs no sync of the folder before it gets its own: until then it is worth nothing.
const INCOMING_FILE: &str = "snapshot/incoming.part";
