//! What the folders hold: each is locked and opened as a start would do it, but every change stays in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_core::entry::Membership;
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, Index, NodeId, Term};
use quorate_log::{DataDir, GivenUp, Log, LogError, LogOptions, Overlay, RealDisk, owner_of};

/// The data folders of nodes that are stopped, each locked as long as this lives.
pub struct Survey {
    pub(super) survivors: Vec<Survivor>,
}

/// One folder.
pub struct Survivor {
    /// Where it is.
    pub directory: PathBuf,
    /// What it holds; or why that cannot be said.
    pub found: Result<Found, LogError>,
}

/// What the data of a node holds.
pub struct Found {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The newest members that it knows of, committed or not.
    pub membership: Arc<Membership>,
    /// The time of the last entry.
    pub(super) timestamp_ms: u64,
    /// The cluster that was made of this folder and others before.
    pub given_up: Option<GivenUp>,
    pub(super) log: Log<Overlay<RealDisk>>,
    pub(super) stored: Stored,
    pub(super) disk: RealDisk,
}

impl Found {
    /// The highest term that it has seen.
    pub fn term(&self) -> Term {
        self.stored.hard_state.term
    }

    /// Its last entry, durable here and perhaps nowhere else.
    pub fn last(&self) -> EntryId {
        self.stored.last
    }

    /// The last entry that its newest snapshot covers: so far all is committed for sure.
    pub fn snapshot(&self) -> Option<EntryId> {
        self.stored.snapshot.as_ref().map(|meta| meta.last)
    }

    /// Whether every byte is there. How much is lost else, in words.
    pub fn damage(&self) -> Option<String> {
        if let Some(covered) = self.stored.snapshot_lost {
            return Some(format!("its snapshot is lost, with all up to {covered}"));
        }
        let (first, last) = (self.stored.damaged.first()?, self.stored.damaged.last()?);
        Some(format!("damaged entries: {}, from {first} to {last}", self.stored.damaged.len()))
    }
}

impl Survey {
    /// Looks at these folders, which belong to nodes that are stopped.
    pub fn of(directories: &[PathBuf]) -> Survey {
        let look = |directory: &PathBuf| Survivor { directory: directory.clone(), found: look(directory) };
        Survey { survivors: directories.iter().map(look).collect() }
    }

    /// The folders, in the order in which they were named.
    pub fn survivors(&self) -> &[Survivor] {
        &self.survivors
    }

    /// Those that could be read.
    pub(super) fn found(&self) -> impl Iterator<Item = &Found> {
        self.survivors.iter().filter_map(|survivor| survivor.found.as_ref().ok())
    }

    /// The one whose log is the furthest by term and index of its last entry: it holds all that any of them had acknowledged.
    /// None that is damaged.
    pub fn best(&self) -> Option<&Found> {
        let whole = self.found().filter(|found| found.damage().is_none());
        whole.max_by_key(|found| (found.last(), std::cmp::Reverse(found.node)))
    }

    /// The cluster that was made of these folders before, and of whom; perhaps it was interrupted.
    pub fn mark(&self) -> Option<&GivenUp> {
        self.found().find_map(|found| found.given_up.as_ref())
    }

    pub(super) fn disks(&self) -> impl Iterator<Item = (&Path, &RealDisk)> {
        let found = |survivor: &'_ Survivor| survivor.found.is_ok();
        self.survivors.iter().filter(move |survivor| found(survivor)).filter_map(|survivor| {
            survivor.found.as_ref().ok().map(|found| (survivor.directory.as_path(), &found.disk))
        })
    }

    /// The highest term that any of them has seen.
    pub(super) fn term_highest(&self) -> Term {
        self.found().map(|found| found.term().max(found.last().term)).max().unwrap_or_default()
    }

    /// The highest id that was ever given, as far as any of them knows.
    pub(super) fn id_highest(&self) -> u64 {
        let known = self.found().flat_map(|found| &found.stored.memberships);
        let own = self.found().map(|found| found.node.get());
        known.map(|(_, membership)| membership.id_last()).chain(own).max().unwrap_or_default()
    }
}

fn look(directory: &Path) -> Result<Found, LogError> {
    let missing =
        |what: &str| LogError::Corrupt { file: "NODE".to_owned(), offset: 0, what: what.to_owned() };
    if !directory.is_dir() {
        return Err(missing("there is no such directory"));
    }
    let disk = RealDisk::open(directory)?;
    let owner = owner_of(&disk)?.ok_or_else(|| missing("this is no data directory of a node"))?;
    let overlay = Overlay::new(disk.clone());
    let dir = DataDir::open(overlay)?;
    let given_up = GivenUp::read(&disk)?;
    let options = LogOptions { opens_damaged: true, ..LogOptions::new(owner.cluster, None) };
    let (log, stored) = Log::open(dir, options)?;
    let newest = stored.memberships.last();
    let membership = newest.map_or_else(Arc::default, |(_, membership)| Arc::clone(membership));
    let timestamp_ms = timestamp_of(&log, &stored)?;
    let (cluster, node) = (owner.cluster, owner.node);
    Ok(Found { cluster, node, membership, timestamp_ms, given_up, log, stored, disk })
}

/// The time of the last entry, in the log or covered by the snapshot.
fn timestamp_of(log: &Log<Overlay<RealDisk>>, stored: &Stored) -> Result<u64, LogError> {
    let covered = stored.snapshot.as_ref().map_or(0, |meta| meta.timestamp_ms);
    if let Some(entry) = stored.tail.last() {
        return Ok(entry.timestamp_ms.max(covered));
    }
    if stored.last.index == Index(0) || !stored.damaged.is_empty() {
        return Ok(covered);
    }
    let entries =
        log.plan(stored.last.index, stored.last.index, 1).map(|plan| plan.read(log.disk())).transpose()?;
    let newest = entries.as_ref().and_then(|entries| entries.last());
    Ok(newest.map_or(covered, |entry| entry.timestamp_ms.max(covered)))
}
