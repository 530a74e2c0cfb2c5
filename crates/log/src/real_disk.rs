//! The operating system's disk: one folder, positional reads and writes, preallocation, fdatasync, flock. All of it through safe
//! calls of std and rustix.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::disk::Disk;
use crate::error::LogError;

/// A folder of the operating system. Cheap to clone: clones are the same folder.
#[derive(Clone, Debug)]
pub struct RealDisk {
    dir: Arc<Path>,
    writable: bool,
}

impl RealDisk {
    /// The data folder at `path`; it is made, readable by the owner only, if it is not there.
    ///
    /// # Errors
    /// [`LogError::NotADirectory`] if a file is there, else [`LogError::NotWritable`].
    pub fn open(path: impl AsRef<Path>) -> Result<RealDisk, LogError> {
        let path = path.as_ref();
        if path.is_file() {
            return Err(LogError::NotADirectory);
        }
        let names = names_to_sync(path);
        make_dir(path)
            .and_then(|()| check_dir(path))
            .and_then(|()| names.iter().try_for_each(|folder| sync_parent(folder)))
            .map_err(|source| LogError::NotWritable { source })?;
        Ok(RealDisk { dir: path.into(), writable: true })
    }

    /// An existing data folder, never to be changed: for a look at a stopped node.
    ///
    /// # Errors
    /// [`LogError::Io`] if there is no such folder.
    pub fn read_only(path: impl AsRef<Path>) -> Result<RealDisk, LogError> {
        let path = path.as_ref();
        check_dir(path).map_err(|error| LogError::io("cannot read", "the data folder", error))?;
        Ok(RealDisk { dir: path.into(), writable: false })
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.to_path_buf() } else { self.dir.join(name) }
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(self.writable).mode(0o600);
        options
    }
}

impl Disk for RealDisk {
    type File = File;

    fn create_dir(&self, name: &str) -> io::Result<()> {
        make_dir(&self.path(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.options().open(self.path(name))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.options().create_new(true).open(self.path(name))
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn allocate(&self, file: &File, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            Err(error) if error == Errno::OPNOTSUPP || error == Errno::NOSYS => write_zeros(file, len),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(name))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is no UTF-8 is not one of ours; the lossy form is reported as a stranger, never opened by mistake.
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn lock(&self, name: &str) -> io::Result<File> {
        let file = self.options().create(true).open(self.path(name))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Makes a folder and those above it, readable by the owner only.
fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn check_dir(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// The folders whose names must be made durable before the data folder at `path` may be relied on: its own, and those above it that
/// are still to be made. A name lasts only once the folder that holds it is synced, and with it goes all that is below.
fn names_to_sync(path: &Path) -> Vec<&Path> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let above = path.ancestors().skip(1).take_while(missing);
    std::iter::once(path).chain(above).collect()
}

/// Makes the folder's own name durable. A parent that this user may not read was not made by this node: it needs no sync.
fn sync_parent(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    let Some(parent) = path.parent() else { return Ok(()) };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Preallocation on file systems that have none: zeros, written out.
fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = 0;
    while offset < len {
        let step = usize::try_from(len - offset).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
        file.write_all_at(&zeros[..step], offset)?;
        offset += step as u64;
    }
    Ok(())
}

/// How much is written at once where a file system cannot preallocate, in bytes.
const ZEROS_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::names_to_sync;

    #[test]
    fn each_folder_that_is_made_has_its_name_made_durable() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        assert_eq!(names_to_sync(&at("a/b/c")), [at("a/b/c"), at("a/b"), at("a")]);
        std::fs::create_dir_all(at("a/b")).expect("a folder");
        assert_eq!(names_to_sync(&at("a/b/c")), [at("a/b/c")]);
        assert_eq!(names_to_sync(dir.path()), [dir.path()]);
        assert_eq!(
            names_to_sync(Path::new("no-such/node")),
            [Path::new("no-such/node"), Path::new("no-such")]
        );
    }
}
