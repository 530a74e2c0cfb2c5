//! What a log must say after anything may have happened to its files: all that was acknowledged is served with the right bytes, or listed
//! as lost, or the log refuses to open. Nothing is silently gone, and nothing goes back.

use std::collections::BTreeMap;

use quorate_core::entry::{Entry, HardState, Payload};
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, Term, WriteNumber};
use quorate_log::disk::Disk;
use quorate_log::{Content, DataDir, Identity, Log, LogError, LogOptions, Wanted};

use crate::kit::{CLUSTER, command, newest, options, state};

/// What was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) hard_state: HardState,
    /// All entries from index 1 on, those that snapshots cover included.
    pub(crate) entries: Vec<Entry>,
    /// The peers that the node has met.
    pub(crate) peers: BTreeMap<u64, u128>,
    /// How long the state is that the tests put into a snapshot which ends with this entry.
    pub(crate) state_len: fn(EntryId) -> usize,
}

/// How a start ended that broke no rule.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Outcome {
    /// All is there, and nothing is to be said.
    Whole,
    /// All is there. Something is damaged, and it is said what.
    Told,
    /// Entries are listed as damaged, or the state is lost.
    Listed,
    /// The node does not start.
    Refused,
}

impl Truth {
    fn last(&self) -> EntryId {
        self.entries.last().unwrap().id
    }

    fn entry(&self, index: Index) -> &Entry {
        &self.entries[usize::try_from(index.0 - 1).unwrap()]
    }

    fn id(&self, index: Index) -> EntryId {
        if index == Index(0) { EntryId::ZERO } else { self.entry(index).id }
    }

    /// Starts a node on the files and compares; then repairs what is listed, goes on writing, and starts once more.
    pub(crate) fn check<D: Disk + Clone>(&self, disk: &D, segment_bytes: u64) -> Result<Outcome, String> {
        let options = LogOptions { opens_damaged: true, ..options(segment_bytes) };
        let (mut log, stored) = match self.open(disk, &options)? {
            Some(opened) => opened,
            None => return Ok(Outcome::Refused),
        };
        self.compare(disk, &log, &stored)?;
        let whole = stored.damaged.is_empty() && stored.snapshot_lost.is_none();
        let outcome = match (whole, log.notes().is_empty()) {
            (true, true) => Outcome::Whole,
            (true, false) => Outcome::Told,
            (false, false) => Outcome::Listed,
            (false, true) => return Err("something is lost, and nothing was said".to_owned()),
        };
        if outcome == Outcome::Whole {
            return Ok(outcome);
        }
        // Again, on what the first start has put in order.
        let failed = |error: LogError| format!("after the start: {error}");
        let repaired: Vec<Entry> = stored.damaged.iter().map(|id| self.entry(id.index).clone()).collect();
        let next = command(self.last().term.0, self.last().index.0 + 1, 77);
        let content = Content {
            number: WriteNumber(1),
            hard_state: None,
            install: None,
            repaired: &repaired,
            entries: std::slice::from_ref(&next),
        };
        log.write(&[content]).map_err(failed)?;
        log.sync().map_err(failed)?;
        let mut after = self.clone();
        after.entries.push(next);
        after.compare_reads(disk, &log, &[])?;
        log.close().map_err(failed)?;
        let (log, stored) = after.open(disk, &options)?.ok_or("refused after a repair")?;
        after.compare(disk, &log, &stored)?;
        if !stored.damaged.is_empty() {
            return Err(format!("still damaged after a repair: {:?}", stored.damaged));
        }
        Ok(outcome)
    }

    /// Opens identity and log; none if either is refused.
    fn open<D: Disk + Clone>(
        &self,
        disk: &D,
        options: &LogOptions,
    ) -> Result<Option<(Log<D>, Stored)>, String> {
        let opened = || -> Result<(Identity<D>, bool, Log<D>, Stored), LogError> {
            let dir = DataDir::open(disk.clone())?;
            let (identity, created) =
                Identity::open_or_create(&dir, Wanted { cluster: CLUSTER, node: NodeId::new(1) }, 1)?;
            let (log, stored) = Log::open(dir, options.clone())?;
            Ok((identity, created, log, stored))
        };
        let (identity, created, log, stored) = match opened() {
            Ok(opened) => opened,
            Err(LogError::Corrupt { .. } | LogError::NewerFormat { .. } | LogError::OtherCluster { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(format!("neither opened nor refused: {error}")),
        };
        if created || identity.incarnation() != INCARNATION {
            return Err("the store has another name".to_owned());
        }
        for (peer, incarnation) in &self.peers {
            if identity.known_incarnation(NodeId::new(*peer)) != Some(*incarnation) {
                return Err(format!("peer {peer} is forgotten"));
            }
        }
        Ok(Some((log, stored)))
    }

    fn compare<D: Disk + Clone>(&self, disk: &D, log: &Log<D>, stored: &Stored) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {stored:?}"));
        if stored.hard_state != self.hard_state {
            return wrong("term or vote went back");
        }
        if stored.last != self.last() || log.last() != stored.last {
            return wrong("entries are gone");
        }
        if stored.base.index > stored.last.index || stored.base != self.id(stored.base.index) {
            return wrong("the base is no entry of the log");
        }
        let mut starts: Vec<EntryId> = Vec::new();
        for entry in &self.entries[usize::try_from(stored.base.index.0).unwrap()..] {
            if starts.last().map_or(Term(u64::MAX), |first| first.term) != entry.id.term {
                starts.push(entry.id);
            }
        }
        if stored.term_starts != starts {
            return wrong("ids are gone");
        }
        let covered = match (&stored.snapshot, stored.snapshot_lost) {
            (Some(meta), None) => {
                let content = state(meta.last, (self.state_len)(meta.last));
                if meta.last != self.id(meta.last.index) || newest(disk) != Some((meta.last, content)) {
                    return wrong("the state is another one");
                }
                if meta.last.index < stored.base.index {
                    return wrong("snapshot and log do not meet");
                }
                meta.last.index
            }
            (None, Some(lost)) if stored.base.index > Index(0) && lost.index >= stored.base.index => {
                stored.base.index
            }
            (None, None) if stored.base == EntryId::ZERO => Index(0),
            _ => return wrong("the state is missing"),
        };
        let ids: Vec<EntryId> = stored.damaged.iter().map(|id| self.id(id.index)).collect();
        let ascending = stored.damaged.is_sorted_by(|one, other| one.index < other.index);
        if ids != stored.damaged || !ascending || ids.first().is_some_and(|id| id.index <= covered) {
            return wrong("what is listed as damaged is not in the log, or is covered");
        }
        self.compare_tail(stored)?;
        self.compare_memberships(stored)?;
        self.compare_reads(disk, log, &stored.damaged)
    }

    fn compare_tail(&self, stored: &Stored) -> Result<(), String> {
        let Some(first) = stored.tail.first() else {
            let may_lack = stored.damaged.last() == Some(&stored.last) || stored.base == stored.last;
            return if may_lack { Ok(()) } else { Err("the last entry is not in the tail".to_owned()) };
        };
        let sound = first.id.index > stored.damaged.last().map_or(Index(0), |id| id.index)
            && stored.tail == self.entries[usize::try_from(first.id.index.0 - 1).unwrap()..];
        if sound { Ok(()) } else { Err(format!("the tail holds something else: {stored:?}")) }
    }

    fn compare_memberships(&self, stored: &Stored) -> Result<(), String> {
        let carried = stored.snapshot.as_ref().map(|meta| meta.membership_index);
        let from = carried.unwrap_or(stored.base.index);
        let in_log = self.entries.iter().filter(|entry| {
            matches!(entry.payload, Payload::Membership(_))
                && entry.id.index > from
                && !stored.damaged.contains(&entry.id)
        });
        let wanted: Vec<Index> = carried.into_iter().chain(in_log.map(|entry| entry.id.index)).collect();
        let found: Vec<Index> = stored.memberships.iter().map(|(index, _)| *index).collect();
        if wanted == found { Ok(()) } else { Err(format!("memberships {found:?} instead of {wanted:?}")) }
    }

    /// What is not damaged is read back with its bytes, what is damaged is not served.
    fn compare_reads<D: Disk + Clone>(
        &self,
        disk: &D,
        log: &Log<D>,
        damaged: &[EntryId],
    ) -> Result<(), String> {
        let (mut index, last) = (log.base().index.next(), self.last().index);
        while index <= last {
            let hole = damaged.iter().find(|id| id.index >= index).map_or(last.next(), |id| id.index);
            let mut next = index;
            for through in [index, last] {
                let plan = log.plan(index, through, usize::MAX);
                let read = plan.map(|plan| plan.read(disk).map_err(|error| format!("{index}: {error}")));
                let read = read.transpose()?.unwrap_or_default();
                let wanted: Vec<Entry> = self.entries[usize::try_from(index.0 - 1).unwrap()..]
                    .iter()
                    .take_while(|entry| entry.id.index < hole && entry.id.index <= through)
                    .cloned()
                    .collect();
                if read != wanted {
                    return Err(format!(
                        "from {index} to {through}: read {} of {}",
                        read.len(),
                        wanted.len()
                    ));
                }
                next = index.plus(wanted.len() as u64);
            }
            // The holes one by one, and a few starts in the middle of what is whole.
            index = if next == index { index.next() } else { Index(next.0.min(index.0 + 7)) };
        }
        Ok(())
    }
}

/// The name of the store whose files are damaged.
pub(crate) const INCARNATION: u128 = 77;
