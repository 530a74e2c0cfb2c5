//! What must hold, checked while it happens: the five safety properties of Raft (thesis figure 3.2) and the promises that
//! durability, exactly-once and linearizable reads add to them.
//!
//! The checks watch from outside: writes that the core asks for, syncs that returned, messages that left, entries that were
//! applied, answers that clients got. They keep a history of the whole run and never ask a node what it believes, so a
//! node that deceives itself is caught too. Every check costs about a map look-up for each event.

pub mod applied;
pub(crate) mod budgets;
mod by_node;
pub mod commit;
mod damage;
pub mod election;
mod full_leaders;
pub(crate) mod guests;
pub mod linearizable;
pub mod log_matching;
pub mod log_time;
pub mod members;

use std::collections::BTreeSet;
use std::fmt;

use quorate_core::entry::Entry;
use quorate_core::message::{Envelope, Message};
use quorate_core::ready::Write;
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, Term, WriteNumber};

use self::applied::Applied;
use self::budgets::Budgets;
use self::commit::Commits;
use self::election::Elections;
use self::full_leaders::FullLeaders;
use self::linearizable::witness::Witness;
use self::log_matching::Logs;
use self::log_time::LogTime;
use self::members::Members;

/// A rule that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Whether something wrong happened, or the right thing failed to happen in time.
    pub kind: ViolationKind,
    /// The rule, in a few words.
    pub rule: &'static str,
    /// Who broke it, where and when.
    pub what: String,
}

/// Safety or liveness.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ViolationKind {
    /// Something happened that must never happen.
    Safety,
    /// Something did not happen although nothing stood in its way.
    Liveness,
}

impl Violation {
    /// A safety rule that was broken.
    pub fn safety(rule: &'static str, what: String) -> Violation {
        Violation { kind: ViolationKind::Safety, rule, what }
    }

    /// Progress that did not come.
    pub fn liveness(rule: &'static str, what: String) -> Violation {
        Violation { kind: ViolationKind::Liveness, rule, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ViolationKind::Safety => "safety",
            ViolationKind::Liveness => "liveness",
        };
        write!(f, "{kind}: {}: {}", self.rule, self.what)
    }
}

/// What can be seen of a node after each of its turns.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which node.
    pub node: NodeId,
    /// Its term.
    pub term: Term,
    /// Whether it leads that term.
    pub leads: bool,
    /// Its commit index.
    pub commit: Index,
    /// Whether its disk is full: then it may hold entries that it never asked to be written, and know of them that they are committed.
    pub paused: bool,
}

/// All checks of a run with their history.
#[derive(Debug, Default)]
pub struct Checks {
    elections: Elections,
    logs: Logs,
    commits: Commits,
    full_leaders: FullLeaders,
    members: Members,
    applied: Applied,
    time: LogTime,
    pub(crate) budgets: Budgets,
    /// Nodes that lost all that they stored. What they say reaches nobody, so it binds nobody.
    wiped: BTreeSet<NodeId>,
    /// Acknowledged writes and reads.
    pub linearizable: Witness,
}

impl Checks {
    /// A node started with what its disk gave back.
    ///
    /// # Errors
    /// When something durable was lost, or something came back that was never written.
    pub fn on_start(&mut self, node: NodeId, stored: &Stored, log: &[Entry]) -> Result<(), Violation> {
        let compacted = self.commits.prefix(node, stored.base)?;
        if let Some(covered) = stored.snapshot_lost {
            self.commits.prefix(node, covered)?;
        }
        if let Some(snapshot) = &stored.snapshot {
            self.commits.prefix(node, snapshot.last)?;
        }
        self.members.on_start(node, &compacted, log);
        self.logs.on_start(node, stored, compacted, log)?;
        self.commits.on_start(node);
        self.applied.on_start(node);
        Ok(())
    }

    /// A node lost all that it stored: it starts as one that never was. From now on it must be refused by all others.
    pub fn on_wipe(&mut self, node: NodeId) {
        self.logs.on_wipe(node);
        self.wiped.insert(node);
    }

    /// A node looks at its wall clock.
    pub fn on_wall(&mut self, node: NodeId, wall_ms: u64) {
        self.time.on_wall(node, wall_ms);
    }

    /// The latest time of any entry, in milliseconds since 1970.
    pub fn newest_ms(&self) -> u64 {
        self.time.newest_ms()
    }

    /// A node finished a turn. `write` is what it asked to be written in that turn.
    ///
    /// # Errors
    /// When a rule of elections, logs or commits was broken.
    pub fn on_turn(&mut self, seen: Seen, write: Option<&Write>) -> Result<(), Violation> {
        // What found no room is handed out again, as it is: nothing new is written, and nothing is cut.
        let again = write.is_some_and(|write| self.logs.is_written_again(seen.node, write));
        if let Some(write) = write
            && !again
        {
            let gives_back = write.install.as_ref().is_some_and(|meta| {
                self.logs.damage(seen.node).is_some_and(|damage| damage.is_mended_by(meta.last))
            });
            self.commits.on_write(seen, write, self.logs.written(seen.node), gives_back)?;
        }
        let install = write.and_then(|write| write.install.as_ref());
        let install = install.map(|meta| self.log_behind(seen.node, meta.last)).transpose()?;
        if let Some(covered) = &install {
            self.members.on_install(seen.node, covered);
        }
        let fresh = write.filter(|_| !again);
        self.members.on_write(seen, fresh, self.logs.written(seen.node))?;
        if let Some(write) = write {
            self.time.on_write(seen, &write.entries, self.members.in_force(seen.node))?;
            self.logs.on_write(seen.node, write, install)?;
        }
        if seen.leads && self.logs.damage(seen.node).is_some() {
            let what =
                format!("{} leads {} and has lost {:?}", seen.node, seen.term, self.logs.damage(seen.node));
            return Err(Violation::safety("a leader has all bytes of its log", what));
        }
        let new_leader = seen.leads && self.elections.on_leader(seen.node, seen.term)?;
        self.commits.on_turn(seen, &self.logs, &self.members)?;
        if new_leader {
            self.commits.on_new_leader(seen, self.logs.written(seen.node))?;
            if !self.wiped.contains(&seen.node) {
                let voted = |voter| self.elections.voted(voter, seen.term, seen.node);
                self.members.check_election(seen.node, seen.term, voted)?;
            }
        }
        Ok(())
    }

    /// A node ends a turn in which so many ticks passed for it. A leader whose disk is full gives way within its election timeout.
    ///
    /// # Errors
    /// When it has led for far longer.
    pub fn on_ticks(&mut self, seen: Seen, ticks: u64, timeout_ticks: u64) -> Result<(), Violation> {
        let led = (seen.leads && seen.paused).then_some(seen.term);
        self.full_leaders.on_turn(seen.node, led, ticks, timeout_ticks)
    }

    /// The log of a node that goes on behind a snapshot: what that covers, and what stood behind it if the log held its last entry.
    fn log_behind(&self, node: NodeId, last: EntryId) -> Result<Vec<EntryId>, Violation> {
        let mut log = self.commits.prefix(node, last)?;
        let written = self.logs.written(node);
        if written.get(position(last.index)) == Some(&last) {
            log.extend_from_slice(&written[position(last.index) + 1..]);
        }
        Ok(log)
    }

    /// Whether a node's disk has lost something that is not durable again.
    pub fn is_damaged(&self, node: NodeId) -> bool {
        self.logs.damage(node).is_some()
    }

    /// All writes of a node up to this number are durable.
    ///
    /// # Errors
    /// When a second vote in one term became durable.
    pub fn on_durable(&mut self, node: NodeId, number: WriteNumber) -> Result<(), Violation> {
        let hard_state = self.logs.on_durable(node, number)?;
        match hard_state.vote {
            Some(_) if self.wiped.contains(&node) => Ok(()),
            Some(vote) => self.elections.on_vote(node, hard_state.term, vote),
            None => Ok(()),
        }
    }

    /// The disk of a node had no room for this write: neither it nor any later one is carried out.
    pub fn on_no_room(&mut self, node: NodeId, from: WriteNumber) {
        if let Some(last) = self.logs.on_no_room(node, from) {
            self.commits.on_install_refused(node, last);
        }
    }

    /// A message left its node.
    ///
    /// # Errors
    /// When it promises what is not durable, or gives a second vote in one term.
    pub fn on_sent(&mut self, envelope: &Envelope) -> Result<(), Violation> {
        self.logs.on_sent(envelope)?;
        if self.wiped.contains(&envelope.from) {
            return Ok(());
        }
        match envelope.message {
            Message::VoteRequest { .. } => {
                self.elections.on_vote(envelope.from, envelope.term, envelope.from)
            }
            Message::VoteResponse { granted: true, .. } => {
                self.elections.on_vote(envelope.from, envelope.term, envelope.to)
            }
            Message::VoteResponse { granted: false, .. }
            | Message::PreVoteRequest { .. }
            | Message::PreVoteResponse { .. }
            | Message::AppendRequest { .. }
            | Message::AppendResponse { .. }
            | Message::AppendRejected { .. }
            | Message::SnapshotOffer { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatResponse { .. }
            | Message::RepairRequest { .. }
            | Message::RepairResponse { .. }
            | Message::Donation { .. }
            | Message::TimeoutNow { .. } => Ok(()),
        }
    }

    /// A node is about to apply these entries.
    ///
    /// # Errors
    /// When they are not the next committed ones, or not on the node's own disk yet.
    pub fn on_apply(&mut self, node: NodeId, entries: &[Entry]) -> Result<(), Violation> {
        self.applied.on_apply(node, entries, &self.commits, &self.logs)
    }

    /// A node took a snapshot of its state.
    ///
    /// # Errors
    /// When it covers anything but what the node has applied.
    pub fn on_snapshot(&mut self, node: NodeId, meta: &SnapshotMeta) -> Result<(), Violation> {
        self.commits.prefix(node, meta.last)?;
        let applied = self.applied(node);
        if meta.last.index == applied {
            return Ok(());
        }
        let what = format!("{node} has applied {applied} and covers {}", meta.last);
        Err(Violation::safety("a snapshot covers what its node has applied", what))
    }

    /// A node's state was replaced by that of a snapshot.
    ///
    /// # Errors
    /// When that is older than what the node had applied, or not committed, or the node's log does not go on behind it.
    pub fn on_restore(&mut self, node: NodeId, last: EntryId) -> Result<(), Violation> {
        self.commits.prefix(node, last)?;
        self.applied.on_restore(node, last, &self.logs)
    }

    /// A node's state after applying all up to `index` has this fingerprint.
    ///
    /// # Errors
    /// When another node had another state at the same index.
    pub fn on_state(&mut self, node: NodeId, index: Index, fingerprint: u64) -> Result<(), Violation> {
        self.applied.on_state(node, index, fingerprint)
    }

    /// How far the cluster is known to have committed.
    pub fn committed(&self) -> Index {
        self.commits.committed()
    }

    /// The members by the newest membership that is committed.
    pub(crate) fn members(&self) -> BTreeSet<NodeId> {
        self.members.committed(|id| self.commits.entry(id.index) == Some(id))
    }

    /// How far this node has applied since it started.
    pub fn applied(&self, node: NodeId) -> Index {
        self.applied.through(node)
    }

    /// How many leaders there were.
    pub fn leaders(&self) -> u64 {
        self.elections.leaders()
    }
}

/// The fingerprint of an entry: what two logs must agree on under one id.
pub(crate) fn fingerprint(entry: &Entry) -> u64 {
    use quorate_core::entry::Payload;

    use crate::rng::{HASH_START, hash_word};
    let start = hash_word(HASH_START, entry.timestamp_ms);
    match &entry.payload {
        Payload::Noop => hash_word(start, 1),
        Payload::Command(bytes) => hash_content(hash_word(start, 2), bytes),
        Payload::Membership(membership) => {
            let mut bytes = bytes::BytesMut::new();
            membership.encode(&mut bytes);
            hash_content(hash_word(start, 3), &bytes)
        }
    }
}

/// A hash of these bytes. Each entry is hashed twice on each node, so the words are only multiplied, which tells any two contents apart
/// that differ in one word for certain, and mixed once at the end.
fn hash_content(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(start, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    crate::rng::hash_word(step(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

/// Where the entry of this index stands in a list that begins with index 1.
pub(crate) fn position(index: Index) -> usize {
    assert!(index > Index(0), "no entry stands at index 0");
    usize::try_from(index.0 - 1).expect("a simulated log fits memory")
}

/// The last index of a list that begins with index 1.
pub(crate) fn last_index<T>(list: &[T]) -> Index {
    Index(u64::try_from(list.len()).expect("a simulated log fits memory"))
}
