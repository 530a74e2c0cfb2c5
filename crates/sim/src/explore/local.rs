//! One node as the explorer sees it: the real core, what is on its disk, and the writes under way with what waits for them.
//!
//! The explorer plays the disk, as a test of the core does: it may say that a write is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::invariants;
use quorate_core::message::Envelope;
use quorate_core::raft::Raft;
use quorate_core::ready::{Durable, Fact, Input, Write};
use quorate_core::state::Name;
use quorate_core::status::Role;
use quorate_core::types::{EntryId, Index, NodeId, Term, WriteNumber};

use crate::explore::disk::{Disk, Pending, sort};
use crate::explore::event::Event;
use crate::explore::members;
use crate::explore::snapshot::Snapshot;
use crate::explore::world::World;

/// A node.
#[derive(Clone)]
pub struct Local {
    raft: Raft,
    /// What stood before the first entry of the log that the core knows; for the rules only.
    behind: Vec<Entry>,
    disk: Disk,
    /// Oldest first. None is empty: what would wait for an empty one waits for the one before it.
    pending: Vec<Pending>,
    world: World,
}

/// What an event did, besides to the node itself.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// What left.
    pub sent: Vec<Envelope>,
    /// Whether the node became leader.
    pub elected: bool,
    /// Who decided, if the node leads and committed something by counting copies.
    pub decided: Option<Arc<Membership>>,
    /// Whether the node chose another one by itself. Where two were equal to it, it chose by their names.
    pub chose: bool,
}

impl Local {
    /// A node that has never run: a voter of the beginning, or one that waits to be added.
    pub fn new(node: NodeId, world: World) -> Local {
        let bootstrap = Entry::bootstrap(Membership::of_voters(world.voters()));
        let is_voter = world.voters().any(|voter| voter == node);
        let disk = Disk { entries: is_voter.then_some(bootstrap).into_iter().collect(), ..Disk::default() };
        let raft = Raft::new(config(node, world), disk.stored());
        let mut local = Local { raft, behind: Vec::new(), disk, pending: Vec::new(), world };
        local.raft.forget_time();
        local
    }

    /// The node after an event.
    ///
    /// # Errors
    /// What the core says when one of its own assertions fails.
    pub fn after(&self, event: &Event) -> Result<(Local, Output), String> {
        let happen = || {
            let mut local = self.clone();
            let mut output = Output::default();
            local.happen(event, &mut output);
            local.raft.forget_time();
            (local, output)
        };
        catch_unwind(AssertUnwindSafe(happen)).map_err(|panic| match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic
                .downcast::<&str>()
                .map_or_else(|_| "a panic without words".into(), |text| text.to_string()),
        })
    }

    fn happen(&mut self, event: &Event, output: &mut Output) {
        let input = match event {
            Event::Deliver(envelope) => Input::Received(envelope.clone()),
            Event::Persist => self.persist(output),
            Event::Campaign => Input::Campaign,
            Event::Propose(number) => Input::Propose {
                ticket: u64::from(*number),
                command: Bytes::copy_from_slice(&[*number]),
                timestamp_ms: 0,
            },
            Event::Heartbeat => Input::Tick { elapsed: HEARTBEAT_TICKS, wall_ms: 0 },
            Event::Silence => Input::Tick { elapsed: ELECTION_TICKS, wall_ms: 0 },
            Event::Crash | Event::CrashInInstall => {
                self.crash(*event == Event::CrashInInstall);
                // The first turn writes down the term of the snapshot, if that is not yet on the disk.
                return self.turn(None, None, output);
            }
            Event::Snapshot => self.take_snapshot(),
            Event::Compact => {
                self.disk.compact();
                Input::Compacted { base: self.raft.snapshot() }
            }
            Event::Install(snapshot) => {
                let input = Input::SnapshotReceived(snapshot.meta.clone());
                return self.turn(Some(input), Some(snapshot), output);
            }
            Event::Transfer(to) => Input::Transfer { ticket: TICKET, to: Some(*to) },
            Event::GiveUp => {
                self.raft.overdue_transfer();
                Input::Tick { elapsed: 0, wall_ms: 0 }
            }
            Event::Change(wish) => {
                Input::Change { ticket: TICKET, change: wish.change(&self.raft.membership()) }
            }
        };
        self.turn(Some(input), None, output);
        output.chose &= !matches!(event, Event::Transfer(_));
    }

    /// The oldest write becomes durable: its messages leave, and the node learns of it.
    fn persist(&mut self, output: &mut Output) -> Input {
        let Pending { hard_state, install, entries, messages } = self.pending.remove(0);
        self.disk.write(hard_state, install, entries);
        output.sent = messages;
        // Writes under way are numbered from 1 on.
        Input::Persisted(WriteNumber(1))
    }

    /// What is not durable goes. If it comes in the middle of an install, the received snapshot is named.
    fn crash(&mut self, in_install: bool) {
        let install = self.pending.drain(..).find_map(|write| write.install);
        if let Some(snapshot) = install.filter(|_| in_install) {
            self.disk.finish_install(snapshot);
        }
        self.behind.clone_from(&self.disk.compacted);
        self.raft = Raft::new(config(self.raft.node(), self.world), self.disk.stored());
    }

    /// All that may be applied is applied, and a snapshot of it is durable.
    fn take_snapshot(&mut self) -> Input {
        let through = self.may_apply();
        let before = self.raft.clone();
        self.raft.step(Input::Applied(through));
        invariants::check_step(&before, &self.raft);
        let covered: Vec<Entry> =
            self.log().into_iter().take_while(|entry| entry.id.index <= through).collect();
        let snapshot = Snapshot::of(&covered, self.raft.term());
        let last = snapshot.last();
        self.disk.snapshot = Some(snapshot);
        Input::SnapshotTaken { last }
    }

    /// One input, or none, and what it asks for, with all invariants of one node before, between and after. A snapshot that comes with the input is
    /// the one that a write may install.
    fn turn(&mut self, input: Option<Input>, received: Option<&Snapshot>, output: &mut Output) {
        let before = self.raft.clone();
        if let Some(input) = input {
            self.raft.step(input);
        }
        invariants::check_step(&before, &self.raft);
        if self.raft.base() != before.base() {
            let snapshot = received.or(self.disk.snapshot.as_ref());
            self.behind.clone_from(&snapshot.expect("a log is cut behind a snapshot").covered);
        }
        let leads = self.raft.role() == Role::Leader;
        let (commit, term) = (self.raft.commit_index(), self.raft.term());
        if leads && commit > before.commit_index() {
            output.decided = members::newest(&self.log()).map(|(_, newest)| Arc::clone(newest));
        }
        let between = self.raft.clone();
        let ready = self.raft.ready();
        invariants::check_step(&between, &self.raft);
        invariants::check(&self.raft);
        if leads && self.raft.last() != before.last() {
            let len = usize::try_from(before.last().index.0).expect("logs are short here");
            members::check_made(&self.log(), len, commit, term);
        }
        assert!(ready.fetches.is_empty(), "all entries are in the window");
        if let Some(write) = ready.write {
            self.begin_write(write, received);
        }
        for fact in &ready.facts {
            output.elected |= matches!(fact, Fact::BecameLeader(_));
            output.chose |= matches!(fact, Fact::HandsOver { .. });
        }
        output.sent.extend(ready.send);
    }

    fn begin_write(&mut self, write: Write, received: Option<&Snapshot>) {
        let Write { number, after_refusal: _, hard_state, install, repaired: _, entries, barrier } = write;
        let install = install.map(|meta| {
            let received = received.expect("an install follows its snapshot at once");
            assert!(received.meta == meta, "what came is installed");
            received.clone()
        });
        let messages = barrier.release(Durable::attest(number));
        match self.pending.last_mut() {
            Some(before) if hard_state.is_none() && install.is_none() && entries.is_empty() => {
                before.messages.extend(messages);
                self.raft.join_empty_write();
            }
            _ => self.pending.push(Pending { hard_state, install, entries, messages }),
        }
        if let Some(Pending { messages, .. }) = self.pending.last_mut() {
            sort(messages);
            if self.world.messages_stay {
                messages.dedup();
            }
        }
    }

    /// The node as it would be if the nodes had other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Local {
        Local {
            raft: self.raft.renamed(name),
            behind: self.behind.iter().map(|entry| entry.renamed(name)).collect(),
            disk: self.disk.renamed(name),
            pending: self.pending.iter().map(|write| write.renamed(name)).collect(),
            world: self.world,
        }
    }

    /// The canonical form: equal bytes behave alike for ever.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.raft.node().get());
        self.raft.encode_state(out);
        self.disk.encode(out);
        self.pending.iter().for_each(|write| write.encode(out));
    }

    /// Its term.
    pub fn term(&self) -> Term {
        self.raft.term()
    }

    /// Its vote in this term.
    pub fn vote(&self) -> Option<NodeId> {
        self.raft.status().vote
    }

    /// The term and the vote that it would have after a crash.
    pub fn lowest(&self) -> HardState {
        self.disk.lowest()
    }

    /// What it is in its term.
    pub fn role(&self) -> Role {
        self.raft.role()
    }

    /// For how many writes it waits.
    pub fn writes_under_way(&self) -> usize {
        self.pending.len()
    }

    /// Whether one of these installs a snapshot.
    pub fn installs(&self) -> bool {
        self.pending.iter().any(|write| write.install.is_some())
    }

    /// How far it knows its log to be committed.
    pub fn commit(&self) -> Index {
        self.raft.commit_index()
    }

    /// How far its state machine may go: to what is committed and on the own disk.
    pub fn may_apply(&self) -> Index {
        self.raft.commit_index().min(self.raft.status().persisted)
    }

    /// The last entry of its newest snapshot.
    pub fn snapshot_last(&self) -> EntryId {
        self.raft.snapshot()
    }

    /// Its newest snapshot.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.disk.snapshot.as_ref()
    }

    /// The entry before the first one of its log.
    pub fn base(&self) -> EntryId {
        self.raft.base()
    }

    /// Whether it hands its leadership over.
    pub fn hands_over(&self) -> bool {
        self.raft.successor().is_some()
    }

    /// Its log as it knows it, from the first entry on.
    pub fn log(&self) -> Vec<Entry> {
        let from = self.raft.base().index.next();
        let entries = self.raft.entries(from, self.raft.last().index, usize::MAX);
        let entries = entries.expect("all entries that are not compacted are in the window");
        self.behind.iter().cloned().chain(entries).collect()
    }

    /// Its log as its disk holds it, or held it before it was cut.
    pub fn disk(&self) -> Vec<Entry> {
        self.disk.log()
    }

    /// One line about it.
    pub fn line(&self) -> String {
        let ids = |entries: &[Entry], base: EntryId| {
            let held = entries.iter().filter(|entry| entry.id.index > base.index);
            let ids: Vec<String> = held.map(|entry| entry.id.to_string()).collect();
            let behind = if base == EntryId::ZERO { String::new() } else { format!("..{base}] ") };
            format!("{behind}{}", ids.join(" "))
        };
        let vote = self.raft.status().vote.map_or_else(|| "nobody".into(), |vote| vote.to_string());
        let disk_base = self.disk.compacted.last().map_or(EntryId::ZERO, |entry| entry.id);
        format!(
            "{}, voted for {vote}, log {}; on disk t{} {}; {} writes under way",
            self.raft.status(),
            ids(&self.log(), self.base()),
            self.disk.hard_state.term.0,
            ids(&self.disk(), disk_base),
            self.pending.len()
        )
    }
}

/// Timers never fire by themselves here: an election timeout is out of reach of any number of heartbeats.
fn config(node: NodeId, world: World) -> Config {
    let sound = Config::new(node);
    Config {
        seed: 0,
        election_timeout_ticks: ELECTION_TICKS,
        heartbeat_ticks: HEARTBEAT_TICKS,
        // Nobody says what it understands here: nothing in the protocol hangs on it, and each answer would be another state.
        features: 0,
        append_bytes_max: if world.one_entry { 1 } else { sound.append_bytes_max },
        donation: world.donation,
        ..sound
    }
}

const HEARTBEAT_TICKS: u64 = 1;
const ELECTION_TICKS: u64 = 1 << 32;
/// Who asks for a transfer or a change. It makes no difference.
const TICKET: u64 = 1;
