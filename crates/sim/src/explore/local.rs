//! One node as the explorer sees it: the real core, what is on its disk, and the writes under way with what waits for them.
//!
//! The explorer plays the disk, as a test of the core does: it may say that a write is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{BufMut, Bytes, BytesMut};
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::invariants;
use quorate_core::message::Envelope;
use quorate_core::raft::Raft;
use quorate_core::ready::{Durable, Fact, Input, Write};
use quorate_core::state::Name;
use quorate_core::status::Role;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, Term, WriteNumber};

/// What may happen to one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(Envelope),
    /// The oldest write under way becomes durable.
    Persist,
    /// It stands for election.
    Campaign,
    /// A client proposes the command with this number.
    Propose(u8),
    /// A leader's heartbeat timer fires.
    Heartbeat,
    /// A leader has heard nobody for an election timeout.
    Silence,
    /// It loses all that is not durable and starts again.
    Crash,
}

impl Event {
    /// The event as it would be if the nodes had other names.
    #[must_use]
    pub fn renamed(&self, name: Name<'_>) -> Event {
        match self {
            Event::Deliver(envelope) => Event::Deliver(envelope.renamed(name)),
            Event::Persist
            | Event::Campaign
            | Event::Propose(_)
            | Event::Heartbeat
            | Event::Silence
            | Event::Crash => self.clone(),
        }
    }
}

/// A node.
#[derive(Clone)]
pub struct Local {
    raft: Raft,
    hard_state: HardState,
    disk: Vec<Entry>,
    /// Oldest first. None is empty: what would wait for an empty one waits for the one before it.
    pending: Vec<Pending>,
    world: World,
}

/// What is the same for all nodes and never changes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct World {
    /// Nodes, all of them voters.
    pub nodes: u8,
    /// Whether what was sent stays in flight for ever: it may come never, at any time, and any number of times. Then one copy
    /// of a message says all that two would.
    pub messages_stay: bool,
    /// Whether a message carries one entry at most.
    pub one_entry: bool,
    /// Whether voters give candidates what their logs lack.
    pub donation: bool,
}

/// A write under way.
#[derive(Clone)]
struct Pending {
    hard_state: Option<HardState>,
    entries: Vec<Entry>,
    /// In order of their binary forms: they leave together.
    messages: Vec<Envelope>,
}

/// What an event did, besides to the node itself.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// What left.
    pub sent: Vec<Envelope>,
    /// Whether the node became leader.
    pub elected: bool,
}

impl Local {
    /// A node that has never run.
    pub fn new(node: NodeId, world: World) -> Local {
        let entries =
            vec![Entry::bootstrap(Membership::of_voters((1..=u64::from(world.nodes)).map(NodeId::new)))];
        let mut local = Local {
            raft: Raft::new(config(node, world), Stored::of_entries(HardState::default(), entries.clone())),
            hard_state: HardState::default(),
            disk: entries,
            pending: Vec::new(),
            world,
        };
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
            let output = local.happen(event);
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

    fn happen(&mut self, event: &Event) -> Output {
        let input = match event {
            Event::Deliver(envelope) => Input::Received(envelope.clone()),
            Event::Persist => return self.persist(),
            Event::Campaign => Input::Campaign,
            Event::Propose(number) => Input::Propose {
                ticket: u64::from(*number),
                command: Bytes::copy_from_slice(&[*number]),
                timestamp_ms: 0,
            },
            Event::Heartbeat => Input::Tick { elapsed: HEARTBEAT_TICKS, wall_ms: 0 },
            Event::Silence => Input::Tick { elapsed: ELECTION_TICKS, wall_ms: 0 },
            Event::Crash => {
                self.pending.clear();
                let stored = Stored::of_entries(self.hard_state, self.disk.clone());
                self.raft = Raft::new(config(self.raft.node(), self.world), stored);
                return Output::default();
            }
        };
        let mut output = Output::default();
        self.turn(input, &mut output);
        output
    }

    /// The oldest write becomes durable: its messages leave, and the node learns of it.
    fn persist(&mut self) -> Output {
        let Pending { hard_state, entries, messages } = self.pending.remove(0);
        if let Some(hard_state) = hard_state {
            self.hard_state = hard_state;
        }
        if let Some(first) = entries.first() {
            self.disk.retain(|entry| entry.id.index < first.id.index);
            self.disk.extend(entries);
        }
        let mut output = Output { sent: messages, elected: false };
        // Writes under way are numbered from 1 on.
        self.turn(Input::Persisted(WriteNumber(1)), &mut output);
        output
    }

    /// One input and what it asks for, with all invariants of one node before, between and after.
    fn turn(&mut self, input: Input, output: &mut Output) {
        let before = self.raft.clone();
        self.raft.step(input);
        invariants::check_step(&before, &self.raft);
        let between = self.raft.clone();
        let ready = self.raft.ready();
        invariants::check_step(&between, &self.raft);
        invariants::check(&self.raft);
        assert!(ready.fetches.is_empty(), "all entries are in the window");
        assert!(ready.offers.is_empty(), "nothing is compacted");
        if let Some(Write {
            number,
            after_refusal: _,
            hard_state,
            install: _,
            repaired: _,
            entries,
            barrier,
        }) = ready.write
        {
            let messages = barrier.release(Durable::attest(number));
            match self.pending.last_mut() {
                Some(before) if hard_state.is_none() && entries.is_empty() => {
                    before.messages.extend(messages);
                    self.raft.join_empty_write();
                }
                _ => self.pending.push(Pending { hard_state, entries, messages }),
            }
            self.sort_newest();
        }
        output.elected = ready.facts.iter().any(|fact| matches!(fact, Fact::BecameLeader(_)));
        output.sent.extend(ready.send);
    }

    /// Brings the messages that wait for the newest write into their order.
    fn sort_newest(&mut self) {
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
        let renamed = |entries: &[Entry]| entries.iter().map(|entry| entry.renamed(name)).collect();
        let pending = |Pending { hard_state, entries, messages }: &Pending| {
            let mut messages: Vec<Envelope> =
                messages.iter().map(|envelope| envelope.renamed(name)).collect();
            sort(&mut messages);
            let hard_state = hard_state.map(|hard_state| hard_state.renamed(name));
            Pending { hard_state, entries: renamed(entries), messages }
        };
        Local {
            raft: self.raft.renamed(name),
            hard_state: self.hard_state.renamed(name),
            disk: renamed(&self.disk),
            pending: self.pending.iter().map(pending).collect(),
            world: self.world,
        }
    }

    /// The canonical form: equal bytes behave alike for ever.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.raft.node().get());
        self.raft.encode_state(out);
        self.hard_state.encode(out);
        put_entries(out, &self.disk);
        for Pending { hard_state, entries, messages } in &self.pending {
            out.put_u8(u8::from(hard_state.is_some()));
            hard_state.unwrap_or_default().encode(out);
            put_entries(out, entries);
            out.put_u64_le(messages.len() as u64);
            messages.iter().for_each(|envelope| envelope.encode(out));
        }
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
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// What it is in its term.
    pub fn role(&self) -> Role {
        self.raft.role()
    }

    /// For how many writes it waits.
    pub fn writes_under_way(&self) -> usize {
        self.pending.len()
    }

    /// How far it knows its log to be committed.
    pub fn commit(&self) -> Index {
        self.raft.commit_index()
    }

    /// Its log as it knows it.
    pub fn log(&self) -> Vec<Entry> {
        self.raft
            .entries(Index(1), self.raft.last().index, usize::MAX)
            .expect("all entries are in the window")
    }

    /// Its log as its disk holds it.
    pub fn disk(&self) -> &[Entry] {
        &self.disk
    }

    /// One line about it.
    pub fn line(&self) -> String {
        let ids = |entries: &[Entry]| {
            let ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
            ids.iter().map(EntryId::to_string).collect::<Vec<_>>().join(" ")
        };
        let vote = self.raft.status().vote.map_or_else(|| "nobody".into(), |vote| vote.to_string());
        format!(
            "{}, voted for {vote}, log {}; on disk t{} {}; {} writes under way",
            self.raft.status(),
            ids(&self.log()),
            self.hard_state.term.0,
            ids(&self.disk),
            self.pending.len()
        )
    }
}

fn sort(messages: &mut [Envelope]) {
    messages.sort_by_cached_key(|envelope| {
        let mut key = BytesMut::new();
        envelope.encode(&mut key);
        key
    });
}

fn put_entries(out: &mut BytesMut, entries: &[Entry]) {
    out.put_u64_le(entries.len() as u64);
    entries.iter().for_each(|entry| entry.encode(out));
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
