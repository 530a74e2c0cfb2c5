//! The operating system's disk without its syncs. The files are those that the log writes; nobody pulls a plug in these tests, and a
//! thousand starts with all their syncs would take minutes.

use std::fs::File;
use std::io;

use quorate_log::RealDisk;
use quorate_log::disk::Disk;

/// A real folder whose syncs do nothing.
#[derive(Clone, Debug)]
pub(crate) struct Unsynced(pub(crate) RealDisk);

impl Disk for Unsynced {
    type File = File;

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.0.create_dir(name)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.0.open(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.0.create(name)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(file, buffer, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(file, bytes, offset)
    }

    fn allocate(&self, file: &File, len: u64) -> io::Result<()> {
        self.0.allocate(file, len)
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        self.0.set_len(file, len)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        self.0.len(file)
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.0.list(name)
    }

    fn lock(&self, name: &str) -> io::Result<File> {
        self.0.lock(name)
    }
}
