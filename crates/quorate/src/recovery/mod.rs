//! When a quorum is lost for good: what the data of the survivors holds, and a new cluster made of the best of it (thesis 4.3 has no answer
//! to this: without a quorum nothing can be decided, so what is done here is decided by a human).
//!
//! A [`Survey`] looks and changes nothing. [`Survey::recover`] writes a new folder and never changes an entry of an old one: the new cluster
//! has a name of its own, so a dead node that comes back can never meet it, and the old folders are marked, so that no survivor gives
//! the old cluster its vote again. `docs/lost-quorum.md` tells when to use it, and when not.

mod survey;
mod verdict;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::types::{ClusterId, EntryId, NodeId};
use quorate_log::{Founding, GivenUp, LogError, RealDisk, Wanted, found, owner_of};

use crate::config::Config;
use crate::error::StartError;
use crate::start::{cluster_id, random_u128};

pub use survey::{Found, Survey, Survivor};
pub use verdict::{Loss, Refusal};

/// The new cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Its name.
    pub cluster: ClusterId,
    /// The token of which the name is made: [`crate::NodeBuilder::cluster`] takes it.
    pub token: String,
    /// Its only member, under the id that it had.
    pub node: NodeId,
    /// The last entry: it names the new members. All before is what the survivor held. Zero if an earlier call has done the work.
    pub last: EntryId,
    /// Where its data is.
    pub directory: PathBuf,
}

/// Why no new cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// It must not be.
    #[error("{0}")]
    Refused(Refusal),
    /// The place for the new data is taken.
    #[error("{} {what}", .directory.display())]
    Taken {
        /// The place.
        directory: PathBuf,
        /// By what, and what to do.
        what: &'static str,
    },
    /// A folder cannot be read or written.
    #[error("cannot use the data directory {}: {source}", .directory.display())]
    Data {
        /// The folder.
        directory: PathBuf,
        /// Why.
        source: LogError,
    },
    /// The system refused something else.
    #[error("cannot {doing} {}: {source}", .directory.display())]
    System {
        /// What was tried.
        doing: &'static str,
        /// With which folder.
        directory: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Survey {
    /// Makes the new cluster of the best survivor, in a new folder `into`. `give_up` must name the old cluster: the one who calls it says with
    /// that what may be lost. The same call again finishes what was interrupted, and changes nothing once it is done.
    ///
    /// In this order, each step durable: the whole new folder beside `into`; the mark in each old folder; the new folder gets its name.
    /// A crash before the first mark leaves nothing but a folder that the next call removes; one after it leaves the new cluster whole.
    ///
    /// # Errors
    /// See [`RecoveryError`]; then no old folder is marked, unless an earlier call has done so.
    pub fn recover(&self, into: &Path, give_up: ClusterId) -> Result<Recovered, RecoveryError> {
        self.check(Some(give_up)).map_err(RecoveryError::Refused)?;
        let beside = beside(into)?;
        if let Some(mark) = self.mark() {
            return self.finish(into, &beside, mark.clone());
        }
        if into.exists() {
            let what = "is there already: name a directory that does not exist, best on the same file system";
            return Err(RecoveryError::Taken { directory: into.to_owned(), what });
        }
        remove_unfinished(&beside)?;
        let best = self.best().expect("a survey that passed its check has a best survivor");
        let mark = new_cluster(best.node).map_err(|error| system("draw a name for", into, &error))?;
        let last = self.write(best, &beside, &mark)?;
        Ok(Recovered { last, ..self.finish(into, &beside, mark)? })
    }

    /// Writes the new folder.
    fn write(&self, best: &Found, beside: &Path, mark: &GivenUp) -> Result<EntryId, RecoveryError> {
        let node = mark.founder;
        let config = Config::default();
        let term = self.term_highest().next();
        let id = EntryId { term, index: best.stored.last.index.next() };
        let membership = Arc::new(alone(node, &best.membership, self.id_highest()));
        let failed = |source| RecoveryError::Data { directory: beside.to_owned(), source };
        let founding = Founding {
            owner: Wanted { cluster: mark.cluster, node },
            incarnation: random_u128().map_err(|error| system("draw a name for", beside, &error))?,
            hard_state: HardState { term, vote: Some(node) },
            entry: Entry { id, timestamp_ms: best.timestamp_ms, payload: Payload::Membership(membership) },
            segment_bytes: config.segment_bytes,
            piece_bytes: config.snapshot_piece_bytes,
        };
        let disk = RealDisk::open(beside).map_err(failed)?;
        found(&best.log, &best.stored, &disk, &founding).map_err(failed)?;
        Ok(id)
    }

    /// Marks the old folders and gives the new one its name.
    fn finish(&self, into: &Path, beside: &Path, mark: GivenUp) -> Result<Recovered, RecoveryError> {
        let owner = Wanted { cluster: mark.cluster, node: mark.founder };
        let is_new = |directory: &Path| {
            directory.is_dir()
                && RealDisk::read_only(directory)
                    .and_then(|disk| owner_of(&disk))
                    .is_ok_and(|found| found == Some(owner))
        };
        let named = is_new(into);
        if !named && !is_new(beside) {
            let what = "does not hold the new cluster for which these folders were given up already: name the directory in which it is, or \
                        remove the file GIVEN-UP in each of them if it never came to be";
            return Err(RecoveryError::Taken { directory: into.to_owned(), what });
        }
        for (directory, disk) in self.disks() {
            let written = mark.write(disk);
            written.map_err(|source| RecoveryError::Data { directory: directory.to_owned(), source })?;
        }
        if !named {
            std::fs::rename(beside, into).map_err(|source| failed("rename to", into, source))?;
            let parent = into.canonicalize().map_err(|source| failed("find", into, source))?;
            let parent = parent.parent().unwrap_or(&parent);
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(|source| failed("sync", parent, source))?;
        }
        Ok(Recovered {
            cluster: mark.cluster,
            token: mark.token,
            node: mark.founder,
            last: EntryId::ZERO,
            directory: into.to_owned(),
        })
    }
}

/// The members of the new cluster: this node alone. Ids that were ever given stay given.
fn alone(node: NodeId, before: &Membership, id_highest: u64) -> Membership {
    let mut membership = Membership::of_voters([node]);
    membership.id_given = id_highest;
    membership.addresses = before
        .addresses
        .iter()
        .filter(|(known, _)| **known == node)
        .map(|(id, at)| (*id, at.clone()))
        .collect();
    membership
}

/// A name that no cluster had before.
fn new_cluster(founder: NodeId) -> Result<GivenUp, StartError> {
    let token = format!("recovered-{:032x}", random_u128()?);
    Ok(GivenUp { cluster: cluster_id(&token, &[founder].into()), founder, token })
}

/// Where the new folder is made before it gets its name: on the same file system, so that the name is given at once.
fn beside(into: &Path) -> Result<PathBuf, RecoveryError> {
    let Some(name) = into.file_name() else {
        let what = "is no name for a new directory";
        return Err(RecoveryError::Taken { directory: into.to_owned(), what });
    };
    let mut name = name.to_owned();
    name.push(BESIDE);
    Ok(into.with_file_name(name))
}

/// Removes what an interrupted call left. Nothing but that is ever removed: what is no folder of a node stays.
fn remove_unfinished(beside: &Path) -> Result<(), RecoveryError> {
    if !beside.exists() {
        return Ok(());
    }
    let names = std::fs::read_dir(beside).map_err(|source| failed("read", beside, source))?;
    let known = ["LOCK", "LOG", "NODE", "PEERS", "wal", "snapshot", "LOG.tmp", "NODE.tmp", "PEERS.tmp"];
    let strangers = names.flatten().any(|entry| !known.iter().any(|name| entry.file_name() == **name));
    if strangers {
        let what = "is in the way, and holds more than an interrupted recovery leaves: move it away";
        return Err(RecoveryError::Taken { directory: beside.to_owned(), what });
    }
    std::fs::remove_dir_all(beside).map_err(|source| failed("remove", beside, source))
}

fn failed(doing: &'static str, directory: &Path, source: io::Error) -> RecoveryError {
    RecoveryError::System { doing, directory: directory.to_owned(), source }
}

fn system(doing: &'static str, directory: &Path, error: &StartError) -> RecoveryError {
    failed(doing, directory, io::Error::other(error.to_string()))
}

/// What the name of the new folder ends in until it is whole.
const BESIDE: &str = ".unfinished";
