//! The first pass over the file: every row is checked before the first one is proposed, and the file's hash gives the session, so
//! that a second import of the same file continues the first one.

use std::collections::BTreeMap;

use sha2::Digest;

use crate::failure::Failure;
use crate::import::known_ids::KnownIds;
use crate::import::progress::Progress;
use crate::import::source::Source;

/// How many different events and targets are counted by name; files that name more are counted as a whole.
const NAMES_MAX: usize = 1000;

/// What the first pass found.
#[derive(Debug)]
pub(crate) struct Scan {
    /// All rows.
    pub(crate) rows: u64,
    /// Different ids; at least so many when `ids_exact` is false.
    pub(crate) ids: u64,
    pub(crate) ids_exact: bool,
    /// Rows by the event that they name, and by the state.
    pub(crate) events: BTreeMap<String, u64>,
    pub(crate) targets: BTreeMap<String, u64>,
    /// From the file's bytes and the machine.
    pub(crate) session: u128,
}

/// Reads the whole file once.
pub(crate) fn scan(source: &Source, machine: &str, progress: &mut Progress) -> Result<Scan, Failure> {
    let mut rows = source.rows()?;
    let mut known = KnownIds::new();
    let mut found = Scan {
        rows: 0,
        ids: 0,
        ids_exact: true,
        events: BTreeMap::new(),
        targets: BTreeMap::new(),
        session: 0,
    };
    while let Some(row) = rows.next_row()? {
        found.rows = row.number;
        found.ids += u64::from(known.insert(&row.id));
        count(&mut found.events, row.propose.event);
        count(&mut found.targets, row.propose.to);
        progress.checked(row.number, rows.bytes_read());
    }
    if known.has_forgotten() {
        found.ids = known.len();
        found.ids_exact = false;
    }
    let mut hash = rows.into_hash();
    // No byte of a name is 0, so the end of the file and the start of the name cannot be confused.
    hash.update([0]);
    hash.update(machine.as_bytes());
    let digest = hash.finalize();
    let first = digest.iter().take(16).fold(0u128, |session, byte| (session << 8) | u128::from(*byte));
    found.session = first;
    Ok(found)
}

fn count(names: &mut BTreeMap<String, u64>, name: Option<String>) {
    let Some(name) = name else { return };
    if let Some(rows) = names.get_mut(&name) {
        *rows += 1;
    } else if names.len() < NAMES_MAX {
        names.insert(name, 1);
    }
}
