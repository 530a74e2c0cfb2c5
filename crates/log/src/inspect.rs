//! A look into the log of a stopped node, without the lock and without a change: for `quorate log inspect`.

use std::fmt;

use crate::disk::Disk;
use crate::error::LogError;

/// One thing found in the log; its `Display` is one line. Never shows a payload, only its length and checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file's name within the data folder.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What stands there, in words.
    pub what: String,
    /// Whether it is damage, or a torn tail (that a start will cut), or in order.
    pub state: FindingState,
}

/// Whether what was found is in order.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FindingState {
    /// In order.
    Good,
    /// Left by a crash; the next start cuts it.
    Torn,
    /// Damage: the node will not start.
    Damaged,
}

/// What was found in all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Segment files.
    pub segments: u64,
    /// Intact batches.
    pub batches: u64,
    /// Entry records, those that were truncated later included.
    pub entries: u64,
    /// Hard state records.
    pub hard_states: u64,
    /// Findings that are [`FindingState::Damaged`].
    pub damages: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            FindingState::Good => "",
            FindingState::Torn => "TORN ",
            FindingState::Damaged => "DAMAGED ",
        };
        write!(f, "{}:{} {mark}{}", self.file, self.offset, self.what)
    }
}

/// Reads the whole log and hands each finding to `on_finding`, in order of files and offsets; `records` says whether single records are
/// wanted or only segments and batches.
///
/// # Errors
/// [`LogError::Io`] if the folder cannot be read. Damage is a finding, not an error.
pub fn inspect<D: Disk>(
    disk: &D,
    records: bool,
    on_finding: &mut dyn FnMut(&Finding),
) -> Result<Totals, LogError> {
    let _ = (disk, records, on_finding);
    unimplemented!()
}
