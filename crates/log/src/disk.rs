//! The one seam between Quorate and a disk. The real one is `real_disk.rs`; the simulated one, which loses and tears what
//! was not synced, is in crate `sim`.

use std::io;

/// A folder on a disk: names are plain file names within it, with at most one `/` for a folder below.
///
/// Rules of the crash model: what `write_at` wrote is durable only after `sync` of that file; that a name exists (created,
/// renamed, removed) is durable only after `sync_dir` of its folder.
pub trait Disk {
    /// An open file.
    type File;

    /// Creates the folder `name` and those above it, readable by the owner only. No error if it is there.
    fn create_dir(&self, name: &str) -> io::Result<()>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Creates a file with mode 0600; an error of kind `AlreadyExists` if it is there.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves `len` bytes from the start of the file; what was not written reads as zeros.
    fn allocate(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// The length of the file in bytes.
    fn len(&self, file: &Self::File) -> io::Result<u64>;
    /// Makes the file's data durable (`fdatasync`). After an error nothing is known of what was written since the last
    /// success: the caller stops, it never tries again.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Makes the names in folder `name` durable; the empty name is the top folder.
    fn sync_dir(&self, name: &str) -> io::Result<()>;
    /// Renames a file, replacing what stood there.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of the files in folder `name`, sorted.
    fn list(&self, name: &str) -> io::Result<Vec<String>>;
    /// Takes the lock file `name` for as long as the returned file lives; kind `WouldBlock` if another process holds it.
    fn lock(&self, name: &str) -> io::Result<Self::File>;
}
