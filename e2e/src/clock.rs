//! Wall clocks that jump: each node may have one of its own, which a test sets while the node runs. The library `faketime` stands
//! between a process and its system. *Knows nothing of* the clock that only goes forward: that one stays the system's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::fault::NotPermitted;

/// Where systems put the library: below here, in a folder `faketime`, or below the folder of the machine's kind.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// The wall clocks of some nodes.
pub struct Clocks {
    library: PathBuf,
    /// How far each node's clock is from the system's, in a file that the library reads at each question.
    offsets: tempfile::TempDir,
}

impl Clocks {
    /// Clocks that tell the time of the system, for nodes that are not started yet.
    ///
    /// # Errors
    /// When the library is not there.
    pub fn find() -> Result<Clocks, NotPermitted> {
        let missing = || NotPermitted("no library faketime, by which clocks could jump".to_owned());
        let library = LIBRARIES.iter().map(Path::new).find_map(library_below).ok_or_else(missing)?;
        let offsets =
            tempfile::tempdir().map_err(|error| NotPermitted(format!("no temporary folder: {error}")))?;
        Ok(Clocks { library, offsets })
    }

    fn offset(&self, node: usize) -> PathBuf {
        self.offsets.path().join(format!("n{}", node + 1))
    }

    /// From now on the node's clock is so many hours before or behind that of the system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, node: usize, hours: i32) -> Result<()> {
        // Renamed, so that no half of it is ever read.
        let new = self.offsets.path().join("new");
        std::fs::write(&new, format!("{hours:+}h\n"))?;
        Ok(std::fs::rename(new, self.offset(node))?)
    }

    /// Gives a process the clock of this node.
    pub(crate) fn equip(&self, node: usize, command: &mut Command) -> Result<()> {
        if !self.offset(node).exists() {
            self.set(node, 0)?;
        }
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.offset(node));
        for setting in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"] {
            command.env(setting, "1");
        }
        command.env("NO_FAKE_STAT", "1");
        Ok(())
    }
}

fn library_below(folder: &Path) -> Option<PathBuf> {
    let kinds = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let mut folders = kinds.chain([folder.to_owned()]).map(|kind| kind.join("faketime"));
    folders.find_map(|folder| {
        let library = folder.join("libfaketimeMT.so.1");
        library.exists().then_some(library)
    })
}
