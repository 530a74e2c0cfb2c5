//! What the numbers of a state stand for, what may happen next in it, and what comes of that.
//!
//! What an event does to a node depends on that node alone. So it is computed once for each pair of them, by the real core,
//! with all invariants of one node; after that it is looked up.

use bytes::BytesMut;
use quorate_core::entry::Entry;
use quorate_core::message::{Envelope, Message};
use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::explore::interner::Interner;
use crate::explore::local::{Event, Local};
use crate::explore::rules;
use crate::explore::state::{Budgets, State};

/// How large the cluster is and how much may happen.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Nodes, all of them voters.
    pub nodes: u8,
    /// The highest term in which a node may stand for election.
    pub terms: u8,
    /// What else may happen.
    pub budgets: Budgets,
    /// Whether what was sent stays in flight for ever: it may come never, at any time, and any number of times.
    pub messages_stay: bool,
}

/// Something that may happen. Nodes are given by their place, which is one less than their id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A message arrives.
    Deliver(u16),
    /// A message disappears.
    Lose(u16),
    /// The oldest write of a node becomes durable.
    Persist(usize),
    /// A node stands for election.
    Campaign(usize),
    /// A client proposes to a leader.
    Propose(usize),
    /// A leader begins a heartbeat round.
    Heartbeat(usize),
    /// A leader finds itself without a quorum.
    Silence(usize),
    /// A node loses what is not durable and starts again.
    Crash(usize),
}

/// All distinct parts of the states that were seen.
pub struct Model {
    bounds: Bounds,
    messages: Interner<Envelope>,
    receivers: Vec<Receiver>,
    entries: Interner<Entry>,
    /// Lists of numbers of entries.
    lists: Interner<Vec<u16>>,
    locals: Interner<Local>,
    /// What the rules of the cluster need to know of each node state.
    facts: Vec<Facts>,
    /// For each node state, the events that were tried, with the place of what came of each.
    tried: Vec<Vec<(u32, u32)>>,
    outcomes: Vec<Outcome>,
}

/// What the rules of the cluster need to know of a node state.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The log as the node knows it: the number of a list.
    pub log: u16,
    /// The log on its disk.
    pub disk: u16,
    /// What it knows to be committed.
    pub committed: u16,
    /// Its term.
    pub term: u8,
    /// Its term after a crash.
    disk_term: u8,
    leads: bool,
    writes: bool,
}

/// What a message is to its receiver.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Receiver {
    /// The place of the receiver.
    node: usize,
    term: u8,
    is_answer: bool,
}

/// What an event does to a node state.
#[derive(Clone, Debug)]
struct Outcome {
    to: u32,
    sent: Vec<u16>,
    elected: bool,
}

impl Model {
    /// Nothing is known yet.
    pub fn new(bounds: Bounds) -> Model {
        Model {
            bounds,
            messages: Interner::new(),
            receivers: Vec::new(),
            entries: Interner::new(),
            lists: Interner::new(),
            locals: Interner::new(),
            facts: Vec::new(),
            tried: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// The state in which the cluster starts.
    pub fn start(&mut self) -> State {
        let ids = 1..=u64::from(self.bounds.nodes);
        let nodes: Vec<u32> = ids
            .map(|id| self.local_number(&Local::new(NodeId::new(id), u64::from(self.bounds.nodes))))
            .collect();
        State {
            messages: Vec::new(),
            // All nodes begin with the same first entry, and nothing is committed.
            committed: self.list_number(&[]),
            leaders: vec![0; usize::from(self.bounds.terms)],
            left: self.bounds.budgets,
            nodes,
        }
    }

    /// Everything that may happen in a state, always in the same order.
    pub fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.clear();
        let mut before = None;
        for message in &state.messages {
            if before == Some(*message) {
                continue;
            }
            before = Some(*message);
            actions.push(Action::Deliver(*message));
            if state.left.losses > 0 {
                actions.push(Action::Lose(*message));
            }
        }
        for (node, local) in state.nodes.iter().enumerate() {
            let facts = self.facts[*local as usize];
            let may = [
                (facts.writes, Action::Persist(node)),
                (!facts.leads && facts.term < self.bounds.terms, Action::Campaign(node)),
                (facts.leads && state.left.proposals > 0, Action::Propose(node)),
                (facts.leads && state.left.heartbeats > 0, Action::Heartbeat(node)),
                (facts.leads && state.left.silences > 0, Action::Silence(node)),
                (state.left.crashes > 0, Action::Crash(node)),
            ];
            actions.extend(may.iter().filter(|(may, _)| *may).map(|(_, action)| *action));
        }
    }

    /// Puts what comes of `action` into `next`. Returns whether anything does: what changes nothing is not followed.
    ///
    /// # Errors
    /// A rule that is broken by it.
    pub fn follow(&mut self, state: &State, action: Action, next: &mut State) -> Result<bool, Violation> {
        next.clone_from(state);
        let (node, event) = match action {
            Action::Lose(message) => {
                next.remove(message);
                next.left.losses -= 1;
                return Ok(true);
            }
            Action::Deliver(message) => {
                if !self.bounds.messages_stay {
                    next.remove(message);
                }
                (self.receivers[usize::from(message)].node, DELIVER | u32::from(message))
            }
            Action::Persist(node) => (node, PERSIST),
            Action::Campaign(node) => (node, CAMPAIGN),
            Action::Propose(node) => {
                next.left.proposals -= 1;
                (node, PROPOSE | u32::from(next.left.proposals))
            }
            Action::Heartbeat(node) => {
                next.left.heartbeats -= 1;
                (node, HEARTBEAT)
            }
            Action::Silence(node) => {
                next.left.silences -= 1;
                (node, SILENCE)
            }
            Action::Crash(node) => {
                next.left.crashes -= 1;
                (node, CRASH)
            }
        };
        let from = state.nodes[node];
        let place = self.outcome(from, event)?;
        let Outcome { to, sent, elected } = &self.outcomes[place as usize];
        if *to == from && sent.is_empty() {
            return Ok(false);
        }
        next.nodes[node] = *to;
        for message in sent {
            if !self.bounds.messages_stay || next.messages.binary_search(message).is_err() {
                next.send(*message);
            }
        }
        rules::check(self, next, node, *elected)?;
        self.forget_dead(next);
        Ok(true)
    }

    /// Drops answers in a term that their receiver has left and can never be in again, also not after a crash: it would drop
    /// them itself whenever they came.
    fn forget_dead(&self, state: &mut State) {
        let State { nodes, messages, left, .. } = state;
        messages.retain(|message| {
            let receiver = self.receivers[usize::from(*message)];
            let facts = self.facts[nodes[receiver.node] as usize];
            let term = if left.crashes > 0 { facts.disk_term } else { facts.term };
            !receiver.is_answer || receiver.term >= term
        });
    }

    /// What an event does to a node state, computed or remembered.
    fn outcome(&mut self, from: u32, code: u32) -> Result<u32, Violation> {
        if let Some((_, place)) = self.tried[from as usize].iter().find(|(tried, _)| *tried == code) {
            return Ok(*place);
        }
        let event = self.event(code);
        let (local, output) = self
            .locals
            .get(from)
            .after(&event)
            .map_err(|panic| Violation::safety("a node's own invariants", panic))?;
        let to = self.local_number(&local);
        let sent = output.sent.iter().map(|envelope| self.message_number(envelope)).collect();
        let place = u32::try_from(self.outcomes.len()).expect("the number of outcomes fits 32 bits");
        self.outcomes.push(Outcome { to, sent, elected: output.elected });
        self.tried[from as usize].push((code, place));
        Ok(place)
    }

    /// The event that a code stands for.
    fn event(&self, code: u32) -> Event {
        let argument = code & ARGUMENT;
        match code & !ARGUMENT {
            DELIVER => Event::Deliver(self.messages.get(argument).clone()),
            PERSIST => Event::Persist,
            CAMPAIGN => Event::Campaign,
            PROPOSE => Event::Propose(u8::try_from(argument).expect("a budget is a byte")),
            HEARTBEAT => Event::Heartbeat,
            SILENCE => Event::Silence,
            CRASH => Event::Crash,
            _ => unreachable!("no other codes are made"),
        }
    }

    fn local_number(&mut self, local: &Local) -> u32 {
        let mut key = BytesMut::new();
        local.encode(&mut key);
        let number = self.locals.number(&key, || local.clone());
        if number as usize == self.facts.len() {
            let log = local.log();
            let committed = usize::try_from(local.commit().0).expect("logs are short here");
            let facts = Facts {
                log: self.list_number(&log),
                disk: self.list_number(local.disk()),
                committed: self.list_number(&log[..committed]),
                term: u8::try_from(local.term().0).expect("terms are bounded"),
                disk_term: u8::try_from(local.disk_term().0).expect("terms are bounded"),
                leads: local.leads(),
                writes: local.writes(),
            };
            self.facts.push(facts);
            self.tried.push(Vec::new());
        }
        assert!(self.facts.len() == self.locals.len(), "the facts of each node state are known");
        number
    }

    fn message_number(&mut self, envelope: &Envelope) -> u16 {
        let mut key = BytesMut::new();
        envelope.encode(&mut key);
        let number = narrow(self.messages.number(&key, || envelope.clone()));
        if usize::from(number) == self.receivers.len() {
            self.receivers.push(Receiver {
                node: usize::try_from(envelope.to.get() - 1).expect("ids are small here"),
                term: u8::try_from(envelope.term.0).expect("terms are bounded"),
                is_answer: is_answer(&envelope.message),
            });
        }
        assert!(self.receivers.len() == self.messages.len(), "the receiver of each message is known");
        number
    }

    fn list_number(&mut self, entries: &[Entry]) -> u16 {
        let numbers: Vec<u16> = entries.iter().map(|entry| self.entry_number(entry)).collect();
        let key: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        narrow(self.lists.number(&key, || numbers))
    }

    fn entry_number(&mut self, entry: &Entry) -> u16 {
        let mut key = BytesMut::new();
        entry.encode(&mut key);
        narrow(self.entries.number(&key, || entry.clone()))
    }

    /// What the rules need to know of a node state.
    pub fn facts(&self, local: u32) -> Facts {
        self.facts[local as usize]
    }

    /// A node state.
    pub fn local(&self, number: u32) -> &Local {
        self.locals.get(number)
    }

    /// A message.
    pub fn message(&self, number: u16) -> &Envelope {
        self.messages.get(u32::from(number))
    }

    /// A list of numbers of entries.
    pub fn list(&self, number: u16) -> &[u16] {
        self.lists.get(u32::from(number))
    }

    /// An entry.
    pub fn entry(&self, number: u16) -> &Entry {
        self.entries.get(u32::from(number))
    }

    /// How many node states and messages there are.
    pub fn parts(&self) -> (usize, usize) {
        (self.locals.len(), self.messages.len())
    }

    /// Whether the numbers of messages, entries or lists may not suffice for one more state.
    pub fn is_full(&self) -> bool {
        [self.messages.len(), self.entries.len(), self.lists.len()].iter().any(|len| *len > PARTS_MAX)
    }

    /// An estimate of the memory of all parts, in bytes.
    pub fn bytes(&self) -> usize {
        self.locals.bytes()
            + self.locals.len() * LOCAL_HEAP_BYTES
            + self.messages.bytes()
            + self.outcomes.len() * (size_of::<Outcome>() + OUTCOME_HEAP_BYTES)
    }
}

/// Whether a message is dropped without an answer when it comes in an older term than its receiver's.
fn is_answer(message: &Message) -> bool {
    match message {
        Message::VoteResponse { .. }
        | Message::AppendResponse { .. }
        | Message::AppendRejected { .. }
        | Message::HeartbeatResponse { .. }
        | Message::TimeoutNow => true,
        // Pre-votes speak of a term in which nobody stands yet.
        Message::PreVoteRequest { .. }
        | Message::PreVoteResponse { .. }
        | Message::VoteRequest { .. }
        | Message::AppendRequest { .. }
        | Message::Heartbeat { .. } => false,
    }
}

/// The search looks at [`Model::is_full`] after every state.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).expect("the search ends before the numbers do")
}

const ARGUMENT: u32 = 0xffff;
const DELIVER: u32 = 0;
const PERSIST: u32 = 1 << 16;
const CAMPAIGN: u32 = 2 << 16;
const PROPOSE: u32 = 3 << 16;
const HEARTBEAT: u32 = 4 << 16;
const SILENCE: u32 = 5 << 16;
const CRASH: u32 = 6 << 16;

/// What a node state points to: its window, its disk, its writes, its peers.
const LOCAL_HEAP_BYTES: usize = 2_000;
/// The messages of an outcome and its place in the list of what was tried.
const OUTCOME_HEAP_BYTES: usize = 24;
/// Far more than any search that fits in memory needs, and 16 bits less what one state may add.
const PARTS_MAX: usize = 60_000;
