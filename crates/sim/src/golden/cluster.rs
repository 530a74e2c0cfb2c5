//! The nodes of a golden script: a core, a log over a simulated disk, and what a reader wants to know of both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_core::config::Config;
use quorate_core::entry::{Membership, Payload};
use quorate_core::invariants;
use quorate_core::raft::Raft;
use quorate_core::ready::{ChangeEnd, Fact, FetchFor, Input, Ready, TransferEnd, Write};
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, NodeId};
use quorate_log::{Content, Log, LogError, SnapshotFile};

use super::wire::{Filter, Flying, Wire, describe, describe_entries};
use crate::check::{Checks, Seen, Violation};
use crate::disk::{Fault, SimDisk};
use crate::member::WALL_START_MS;
use crate::network::{Network, NetworkOptions};
use crate::rng::Rng;
use crate::store;

/// The nodes, what is between them, and what has been said of them.
pub(super) struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    /// The initial voters, and the settings of all.
    voters: Vec<NodeId>,
    config: Option<Config>,
    pub(super) network: Network,
    pub(super) wire: Wire,
    pub(super) shows_messages: bool,
    pub(super) checks: Checks,
    /// The length of a log segment.
    pub(super) segment_bytes: u64,
    /// The priorities of nodes that have not the highest.
    pub(super) priorities: BTreeMap<NodeId, u8>,
    /// The node that has no leases, where the others do.
    pub(super) without_lease: Option<NodeId>,
    tickets: u64,
    turns: u64,
    out: String,
}

pub(super) struct Node {
    pub(super) disk: SimDisk,
    config: Config,
    pub(super) running: Option<Running>,
    stalled: bool,
    /// What its wall clock showed at the beginning, in milliseconds since 1970.
    wall_ms: u64,
    /// Its monotonic clock, which also goes on while the node is down.
    clock_us: u64,
    /// The file that was damaged last, as it was before.
    pub(super) intact: Option<(String, Vec<u8>)>,
    /// What happened since the last line.
    notes: Vec<String>,
    /// The last line.
    line: String,
}

pub(super) struct Running {
    pub(super) raft: Raft,
    pub(super) log: Log<SimDisk>,
    /// Writes that wait for the disk.
    waiting: VecDeque<Write>,
    /// Writes that are written and not synced.
    written: Vec<Write>,
    /// The last entry applied, with its timestamp.
    pub(super) applied: (EntryId, u64),
    /// The newest members that were applied, with the index of the entry that names them.
    pub(super) members: (Index, Arc<Membership>),
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            nodes: BTreeMap::new(),
            voters: Vec::new(),
            config: None,
            network: Network::new(NetworkOptions::healthy(), Rng::new(0)),
            wire: Wire::default(),
            shows_messages: false,
            checks: Checks::default(),
            segment_bytes: SEGMENT_BYTES,
            priorities: BTreeMap::new(),
            without_lease: None,
            tickets: 0,
            turns: 0,
            out: String::new(),
        }
    }
}

impl Cluster {
    /// Starts nodes 1 to `count` with empty disks.
    pub(super) fn start(&mut self, count: u64, config: &Config) -> Result<(), String> {
        config.validate().map_err(|error| error.to_string())?;
        let nodes: Vec<NodeId> = (1..=count).map(NodeId::new).collect();
        self.voters.clone_from(&nodes);
        self.checks = Checks::default();
        self.config = Some(config.clone());
        for node in nodes {
            self.set_up(node, config);
        }
        for node in self.nodes() {
            self.restart(node)?;
        }
        self.forget_notes();
        Ok(())
    }

    fn set_up(&mut self, node: NodeId, config: &Config) {
        let priority = self.priorities.get(&node).copied().unwrap_or(config.priority);
        let lease = config.lease.filter(|_| self.without_lease != Some(node));
        let config = Config { node, seed: node.get(), priority, lease, ..config.clone() };
        let disk = SimDisk::new(Rng::new(node.get()));
        let state = Node {
            disk,
            config,
            running: None,
            stalled: false,
            wall_ms: WALL_START_MS,
            clock_us: 0,
            intact: None,
            notes: Vec::new(),
            line: String::new(),
        };
        self.nodes.insert(node, state);
    }

    /// Starts a node that is no member yet: its log is empty, and it knows nobody.
    pub(super) fn join(&mut self, node: NodeId) -> Result<(), String> {
        let config = self.config.clone().ok_or("there is no cluster to join")?;
        if self.nodes.contains_key(&node) {
            return Err(format!("{node} is there already"));
        }
        self.set_up(node, &config);
        self.restart(node)
    }

    /// All nodes.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// All nodes that run.
    pub(super) fn running(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.running.is_some()).map(|(id, _)| *id).collect()
    }

    /// The monotonic clock of a node moves on.
    pub(super) fn pass_time(&mut self, id: NodeId, us: u64) -> Result<(), String> {
        self.node(id)?.clock_us += us;
        Ok(())
    }

    /// The name of the next who waits.
    pub(super) fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// The wall clock of a node, which moves with each turn of any.
    pub(super) fn wall_ms(&mut self, id: NodeId) -> Result<u64, String> {
        let shows = self.node(id)?.wall_ms.saturating_add(self.turns);
        self.checks.on_wall(id, shows);
        Ok(shows)
    }

    /// The wall clock of a node jumps: it would have shown this at the beginning.
    pub(super) fn set_wall(&mut self, id: NodeId, wall_ms: u64) -> Result<(), String> {
        self.node(id)?.wall_ms = wall_ms;
        Ok(())
    }

    /// How far the time of the last entry that a node has applied is from the true time, which no clock need show.
    pub(super) fn log_time(&mut self, id: NodeId) -> Result<(), String> {
        let true_ms = WALL_START_MS + self.turns;
        let applied_ms = self.running_node(id)?.applied.1;
        let seconds = true_ms.abs_diff(applied_ms) / 1000;
        let what = match seconds {
            0 => "within a second of the true time".to_owned(),
            _ if applied_ms > true_ms => format!("{seconds} s ahead of the true time"),
            _ => format!("{seconds} s behind the true time"),
        };
        self.note(id, format!("its log is {what}"));
        Ok(())
    }

    /// Gives inputs to a node and carries out all that comes of them, its own disk's answers included.
    pub(super) fn turn(&mut self, id: NodeId, inputs: Vec<Input>) -> Result<(), String> {
        let monotonic_us = self.node(id)?.clock_us;
        let running = self.node(id)?.running.as_mut().ok_or("the node is down")?;
        running.raft.step(Input::Clock { monotonic_us });
        for input in inputs {
            running.raft.step(input);
        }
        loop {
            self.turns += 1;
            let running = self.running_node(id)?;
            let ready = running.raft.ready();
            invariants::check(&running.raft);
            let status = running.raft.status();
            let seen = Seen {
                node: id,
                term: status.term,
                leads: status.role == Role::Leader,
                commit: status.commit,
                paused: status.paused,
            };
            let applied = running.applied.0.index;
            broken(self.checks.on_turn(seen, ready.write.as_ref()))?;
            if is_empty(&ready, applied) {
                return Ok(());
            }
            self.carry_out(id, ready)?;
        }
    }

    fn carry_out(&mut self, id: NodeId, ready: Ready) -> Result<(), String> {
        for envelope in &ready.send {
            broken(self.checks.on_sent(envelope))?;
            self.wire.send(envelope);
        }
        let (stalled, disk) = (self.node(id)?.stalled, self.node(id)?.disk.clone());
        let running = self.running_node(id)?;
        running.waiting.extend(ready.write);
        for fetch in ready.fetches {
            let running = self.running_node(id)?;
            let plan = running.log.plan(fetch.from, fetch.through, fetch.bytes_max);
            let plan = plan.ok_or("the log does not hold what is wanted back")?;
            let entries = plan.read(&disk).map_err(|error| error.to_string())?;
            running.raft.step(match fetch.purpose {
                FetchFor::Append => Input::Fetched { peer: fetch.peer, entries },
                FetchFor::Repair => Input::FetchedForRepair { peer: fetch.peer, entries },
            });
            self.note(id, format!("reads {}.. back for {}", fetch.from, fetch.peer));
        }
        for (from, last) in &ready.offers {
            self.note(id, format!("is offered the snapshot up to {last} by {from}"));
        }
        if let Some(last) = ready.refused_snapshot {
            self.note(id, format!("refuses the snapshot up to {last}"));
        }
        if ready.snapshot_wanted {
            self.note(id, "should take a snapshot".into());
        }
        for fact in &ready.facts {
            self.note(id, describe_fact(fact));
        }
        match ready.accepted.as_slice() {
            [] => {}
            [(ticket, entry)] => self.note(id, format!("ticket {ticket} is {entry}")),
            [(first, begin), .., (last, end)] => {
                self.note(id, format!("tickets {first} to {last} are {begin} to {end}"));
            }
        }
        for (ticket, refusal) in ready.refused {
            self.note(id, format!("ticket {ticket} refused: {refusal:?}"));
        }
        for (ticket, index) in ready.reads {
            self.note(id, format!("ticket {ticket} may read at {index}"));
        }
        for (ticket, index) in ready.leased {
            self.note(id, format!("ticket {ticket} may read at {index} by the lease"));
        }
        for (ticket, end) in ready.transfers {
            self.note(id, format!("ticket {ticket}: {}", describe_transfer(end)));
        }
        for (ticket, end) in ready.changes {
            self.note(id, format!("ticket {ticket}: {}", describe_change(&end)));
        }
        self.apply(id, ready.apply_through)?;
        if !stalled {
            self.write(id)?;
            self.fsync(id)?;
        }
        Ok(())
    }

    fn apply(&mut self, id: NodeId, through: Index) -> Result<(), String> {
        let disk = self.node(id)?.disk.clone();
        let running = self.running_node(id)?;
        if through <= running.applied.0.index {
            return Ok(());
        }
        // A snapshot that was installed takes the place of what it covers.
        let (restored, base) = (running.raft.snapshot(), running.raft.base());
        if restored.index > running.applied.0.index && restored == base {
            if through < restored.index {
                // It is not in use before its write is durable.
                return Ok(());
            }
            let found =
                SnapshotFile::open(&disk, &store::SNAPSHOTS, restored).map_err(|error| error.to_string())?;
            let found = found.ok_or("the snapshot that was installed is not there")?;
            running.applied = (restored, found.meta().timestamp_ms);
            running.members = (found.meta().membership_index, Arc::clone(&found.meta().membership));
            broken(self.checks.on_restore(id, restored))?;
            return self.apply(id, through);
        }
        let from = running.applied.0.index.next();
        let entries = match running.raft.entries(from, through, usize::MAX) {
            Some(entries) => entries,
            None => store::read(&running.log, &disk, from, through).map_err(|error| error.to_string())?,
        };
        running.applied = entries.last().map_or(running.applied, |entry| (entry.id, entry.timestamp_ms));
        for entry in &entries {
            if let Payload::Membership(members) = &entry.payload {
                running.members = (entry.id.index, Arc::clone(members));
            }
        }
        running.raft.step(Input::Applied(through));
        broken(self.checks.on_apply(id, &entries))?;
        self.note(id, format!("applies {}", describe_entries(&entries)));
        Ok(())
    }

    /// The disk of a node writes what waits, without a sync.
    pub(super) fn write(&mut self, id: NodeId) -> Result<(), String> {
        let running = self.running_node(id)?;
        let batch: Vec<Write> = running.waiting.drain(..).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let contents = batch.iter().map(Content::from).collect::<Vec<_>>();
        match running.log.write(&contents) {
            Err(LogError::Full { .. }) => {}
            written => written.map_err(|error| error.to_string())?,
        }
        let carried_out = running.log.written();
        let (done, refused): (Vec<Write>, Vec<Write>) =
            batch.into_iter().partition(|write| write.number <= carried_out);
        running.written.extend(done);
        if let Some(from) = refused.first().map(|write| write.number) {
            running.raft.step(Input::NoRoom { from });
            self.checks.on_no_room(id, from);
        }
        Ok(())
    }

    /// The disk of a node syncs what is written: the messages behind it leave, and the core is told.
    pub(super) fn fsync(&mut self, id: NodeId) -> Result<(), String> {
        let running = self.running_node(id)?;
        let written = std::mem::take(&mut running.written);
        if written.is_empty() {
            return Ok(());
        }
        let durable = running.log.sync().map_err(|error| error.to_string())?;
        running.raft.step(Input::Persisted(durable.number()));
        broken(self.checks.on_durable(id, durable.number()))?;
        for envelope in written.into_iter().flat_map(|write| write.barrier.release(durable)) {
            broken(self.checks.on_sent(&envelope))?;
            self.wire.send(&envelope);
        }
        if self.node(id)?.stalled { self.turn(id, Vec::new()) } else { Ok(()) }
    }

    /// The disk of a node has no room for anything new, or has again.
    pub(super) fn set_full(&mut self, id: NodeId, full: bool) -> Result<(), String> {
        self.node(id)?.disk.set_rate(Fault::Full, if full { 1000 } else { 0 });
        Ok(())
    }

    /// From now on the disk of a node does only what the script says.
    pub(super) fn stall(&mut self, id: NodeId) -> Result<(), String> {
        self.node(id)?.stalled = true;
        Ok(())
    }

    /// The disk of a node works again.
    pub(super) fn unstall(&mut self, id: NodeId) -> Result<(), String> {
        self.write(id)?;
        self.fsync(id)?;
        self.node(id)?.stalled = false;
        Ok(())
    }

    /// A node loses its power, and all that its disk has not synced.
    pub(super) fn crash(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        node.running = None;
        node.stalled = false;
        node.disk.crash_losing_all();
        Ok(())
    }

    /// A node starts with what its disk holds.
    pub(super) fn restart(&mut self, id: NodeId) -> Result<(), String> {
        let voters = if self.voters.contains(&id) { self.voters.clone() } else { Vec::new() };
        let segment_bytes = self.segment_bytes;
        let node = self.node(id)?;
        let window_bytes_max = node.config.window_bytes_max;
        let (log, stored, entries) = store::open(&node.disk, &voters, window_bytes_max, segment_bytes)
            .map_err(|error| error.to_string())?;
        let snapshot = stored.snapshot.as_ref();
        let applied = snapshot.map_or((EntryId::ZERO, 0), |meta| (meta.last, meta.timestamp_ms));
        let members = snapshot.map(|meta| (meta.membership_index, Arc::clone(&meta.membership)));
        let members = members.unwrap_or_default();
        let raft = Raft::new(node.config.clone(), stored.clone());
        let (waiting, written) = (VecDeque::new(), Vec::new());
        node.running = Some(Running { raft, log, waiting, written, applied, members });
        broken(self.checks.on_start(id, &stored, &entries))?;
        if applied.0 > EntryId::ZERO {
            broken(self.checks.on_restore(id, applied.0))?;
        }
        self.turn(id, Vec::new())
    }

    /// Delivers what is under way now and matches.
    pub(super) fn deliver(&mut self, filter: &Filter) -> Result<(), String> {
        for flying in self.wire.take(filter) {
            self.arrive(&flying)?;
        }
        Ok(())
    }

    /// Delivers until nothing is under way.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..DELIVERIES_MAX {
            let Some(flying) = self.wire.next() else { return Ok(()) };
            self.arrive(&flying)?;
        }
        Err(format!("{DELIVERIES_MAX} messages did not settle it"))
    }

    fn arrive(&mut self, flying: &Flying) -> Result<(), String> {
        let hears = self.nodes.get(&flying.to).is_some_and(|node| node.running.is_some());
        if !hears || !self.network.carries(flying.from, flying.to) {
            return Ok(());
        }
        let envelope = flying.arrive()?;
        if self.shows_messages {
            self.out.push_str(&format!("    {}\n", describe(&envelope)));
        }
        self.turn(flying.to, vec![Input::Received(envelope)])
    }

    /// Fails unless `words` stand in the line of a node.
    pub(super) fn expect(&mut self, id: NodeId, words: &str) -> Result<(), String> {
        let line = self.node(id)?.status();
        let padded = format!(" {} ", line.split_whitespace().collect::<Vec<_>>().join(" "));
        if padded.contains(&format!(" {words} ")) { Ok(()) } else { Err(line) }
    }

    /// The lines of the nodes that changed since the last time, with what happened to each.
    pub(super) fn take_output(&mut self) -> String {
        let mut out = std::mem::take(&mut self.out);
        for node in self.nodes.values_mut() {
            let line = node.status();
            if line != node.line || !node.notes.is_empty() {
                let text = format!("{line:<51} {}", node.notes.join("; "));
                out.push_str(&format!("  {}\n", text.trim_end()));
            }
            node.line = line;
            node.notes.clear();
        }
        out
    }

    /// Drops what happened so far: the beginning of a script shows only where it leads.
    pub(super) fn forget_notes(&mut self) {
        for node in self.nodes.values_mut() {
            node.notes.clear();
        }
    }

    pub(super) fn note(&mut self, id: NodeId, note: String) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.notes.push(note);
        }
    }

    pub(super) fn node(&mut self, id: NodeId) -> Result<&mut Node, String> {
        self.nodes.get_mut(&id).ok_or_else(|| format!("there is no {id}"))
    }

    pub(super) fn running_node(&mut self, id: NodeId) -> Result<&mut Running, String> {
        self.node(id)?.running.as_mut().ok_or_else(|| format!("{id} is down"))
    }
}

impl Node {
    fn status(&self) -> String {
        match &self.running {
            Some(running) => running.raft.status().to_string(),
            None => format!("{} down", self.config.node),
        }
    }
}

fn is_empty(ready: &Ready, applied: Index) -> bool {
    ready.write.is_none()
        && ready.send.is_empty()
        && ready.accepted.is_empty()
        && ready.refused.is_empty()
        && ready.reads.is_empty()
        && ready.leased.is_empty()
        && ready.apply_through <= applied
        && ready.fetches.is_empty()
        && ready.offers.is_empty()
        && ready.refused_snapshot.is_none()
        && !ready.snapshot_wanted
        && ready.transfers.is_empty()
        && ready.changes.is_empty()
        && ready.facts.is_empty()
}

fn describe_fact(fact: &Fact) -> String {
    match fact {
        Fact::PreCampaign(term) => format!("asks for pre-votes in {term}"),
        Fact::Campaign(term) => format!("asks for votes in {term}"),
        Fact::BecameLeader(term) => format!("leads {term}"),
        Fact::SteppedDown { term, reason } => format!("steps down from {term}: {reason}"),
        Fact::Follows { term, leader } => format!("follows {leader} in {term}"),
        Fact::Ignored { from, reason } => format!("ignores a message of {from}: {reason}"),
        Fact::Members { members, .. } => describe_members(members),
        Fact::HandsOver { to } => format!("hands over to {to}"),
        Fact::Adopted { from, through } => format!("takes what it lacks up to {through} from {from}"),
        Fact::GivesWay { to, reason } => format!("gives way to {to}: {reason}"),
        Fact::LeaseGivenUp => "gives up its lease".into(),
        Fact::VoteWithheld { from, after_start: true } => {
            format!("withholds its vote from {from}: it may have promised it before it started")
        }
        Fact::VoteWithheld { from, after_start: false } => {
            format!("withholds its vote from {from}: it has promised it to a leader")
        }
        Fact::LeadsOn { to } => format!("leads on: {to} has not taken over"),
        Fact::Clock { node, is_off: true, .. } => format!("finds the clock of {node} far from a quorum's"),
        Fact::Clock { node, is_off: false, .. } => format!("finds that the clock of {node} fits again"),
        Fact::Paused => "pauses: its disk is full".into(),
        Fact::Resumed => "goes on: there is room on its disk".into(),
        Fact::Installed { last } => format!("goes on behind the snapshot up to {last}"),
        Fact::Truncated { from } => format!("cuts its log from {from}"),
        Fact::Damaged { entries: 1, first, .. } => format!("has lost {first}"),
        Fact::Damaged { entries, first, last } => {
            format!("has lost {entries} entries from {first} to {last}")
        }
        Fact::StateLost { behind } => format!("has lost its state up to {behind}"),
        Fact::CommittedElsewhere { last, by } => {
            format!("hears from {by}, whose state is lost, that {last} is committed")
        }
        Fact::Repaired { entries, from } => format!("gets {entries} back from {from}"),
        Fact::Whole => "is whole again".into(),
    }
}

fn describe_members(members: &Membership) -> String {
    let names = |nodes: &std::collections::BTreeSet<NodeId>| {
        nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
    };
    let mut text = format!("voters {}", names(&members.voters));
    if members.is_joint() {
        text.push_str(&format!(" and {}", names(&members.voters_outgoing)));
    }
    if !members.learners.is_empty() {
        text.push_str(&format!(", learners {}", names(&members.learners)));
    }
    text
}

fn describe_change(end: &ChangeEnd) -> String {
    match end {
        ChangeEnd::Done { node: Some(node) } => format!("{node} is a member"),
        ChangeEnd::Done { node: None } => "the members are as wanted".into(),
        ChangeEnd::Refused(refusal) => format!("refused: {refusal:?}"),
        ChangeEnd::LeadershipLost => "the leadership was lost".into(),
    }
}

fn describe_transfer(end: TransferEnd) -> String {
    match end {
        TransferEnd::SteppedDown { .. } => "the leadership was handed over".into(),
        TransferEnd::GivenUp { to } => format!("{to} did not take over in time"),
        TransferEnd::Refused(refusal) => format!("refused: {refusal:?}"),
    }
}

pub(super) fn broken(result: Result<(), Violation>) -> Result<(), String> {
    result.map_err(|violation| violation.to_string())
}

/// The length of a log segment.
const SEGMENT_BYTES: u64 = 1 << 20;

/// A script that needs more is a live-lock.
const DELIVERIES_MAX: u64 = 10_000;
