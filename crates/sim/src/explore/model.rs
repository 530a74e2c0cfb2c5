//! What the numbers of a state stand for, what may happen next in it, and what comes of that.
//!
//! What an event does to a node depends on that node alone. So it is computed once for each pair of them, by the real core,
//! with all invariants of one node; after that it is looked up.

use std::sync::Arc;

use bytes::BytesMut;
use quorate_core::entry::{Entry, Membership};
use quorate_core::message::Envelope;
use quorate_core::state::Name;
use quorate_core::status::Role;
use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::explore::action::{Action, Step, spend};
use crate::explore::dead::{self, Address};
use crate::explore::event::Event;
use crate::explore::fingerprint::{fingerprint, scramble};
use crate::explore::interner::Interner;
use crate::explore::local::{Local, Output};
use crate::explore::members;
use crate::explore::rules::{self, Moved};
use crate::explore::snapshot::Snapshot;
use crate::explore::start::{self, Start};
use crate::explore::state::{Budgets, State};
use crate::explore::symmetry::{Prints, Renamings};
use crate::explore::world::{Wish, World};

/// How large the cluster is and how much may happen.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The nodes, and how they talk.
    pub world: World,
    /// Where the search begins.
    pub start: Start,
    /// The highest term in which a node may stand for election.
    pub terms: u8,
    /// What else may happen.
    pub budgets: Budgets,
    /// What need not be told apart.
    pub reductions: Reductions,
}

/// What need not be told apart. All of it can be switched off, to show that nothing is missed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Reductions {
    /// States that differ only by the names of the nodes are one ([`crate::explore::symmetry`]).
    pub names: bool,
    /// Messages that can do nothing any more are forgotten (`dead.rs`).
    pub dead: bool,
}

impl Reductions {
    /// All of them.
    pub const ALL: Reductions = Reductions { names: true, dead: true };
    /// None.
    pub const NONE: Reductions = Reductions { names: false, dead: false };
}

/// All distinct parts of the states that were seen.
pub struct Model {
    bounds: Bounds,
    renamings: Renamings,
    messages: Interner<Envelope>,
    message_prints: Prints,
    addresses: Vec<Address>,
    entries: Interner<Entry>,
    /// Lists of numbers of entries.
    lists: Interner<Vec<u16>>,
    list_prints: Prints,
    /// Who decided somewhere, or may have.
    memberships: Interner<Arc<Membership>>,
    snapshots: Interner<Snapshot>,
    snapshot_prints: Prints,
    locals: Interner<Local>,
    local_prints: Prints,
    /// For each term all leaders that it may have had, nobody first.
    leader_prints: Prints,
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
    /// Whom it voted for in its term.
    vote: Option<u8>,
    /// Its term and its vote after a crash.
    pub(super) disk_vote: (u8, Option<u8>),
    /// What it is.
    pub role: Role,
    /// The newest membership of its log: its number.
    pub members: u16,
    /// What it may do next.
    may: May,
}

/// What a node may do next by itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct May {
    /// A write is under way.
    persist: bool,
    /// One of them installs a snapshot.
    name_install: bool,
    /// It may apply more than its snapshot covers.
    snapshot: bool,
    /// Its snapshot covers entries of its log.
    compact: bool,
    /// It hands its leadership over.
    give_up: bool,
}

impl Facts {
    /// The lowest term that the node can ever be in again, with the vote in it; `crashes` tells whether a crash may still come.
    pub fn lowest(&self, crashes: bool) -> (u8, Option<u8>) {
        if crashes { self.disk_vote } else { (self.term, self.vote) }
    }
}

/// What an event does to a node state.
#[derive(Clone, Debug)]
struct Outcome {
    to: u32,
    sent: Vec<u16>,
    elected: bool,
    decided: Option<u16>,
    /// Something else may come of it as well, which stands behind this.
    has_more: bool,
}

impl Model {
    /// Nothing is known yet.
    pub fn new(bounds: Bounds) -> Model {
        let renamings = Renamings::of(bounds.world);
        let mut leader_prints = Prints::default();
        for term in 0..u64::from(bounds.terms) {
            leader_prints.push(&renamings.prints(|_| scramble(term << 8 | LEADER_KIND)));
            for node in bounds.world.ids() {
                let print =
                    |name: &dyn Fn(NodeId) -> NodeId| name(node).get() << 32 | term << 8 | LEADER_KIND;
                leader_prints.push(&renamings.prints(|name| scramble(print(name))));
            }
        }
        Model {
            bounds,
            renamings,
            messages: Interner::new(),
            message_prints: Prints::default(),
            addresses: Vec::new(),
            entries: Interner::new(),
            lists: Interner::new(),
            list_prints: Prints::default(),
            memberships: Interner::new(),
            snapshots: Interner::new(),
            snapshot_prints: Prints::default(),
            locals: Interner::new(),
            local_prints: Prints::default(),
            leader_prints,
            facts: Vec::new(),
            tried: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// The state in which the cluster starts.
    pub fn start(&mut self) -> State {
        let Bounds { world, start, terms, budgets, .. } = self.bounds;
        let nodes = world.ids().map(|id| self.local_number(&Local::new(id, world))).collect();
        let mut state = State {
            messages: Vec::new(),
            snapshots: Vec::new(),
            // All nodes begin with the same first entry, and nothing is committed.
            committed: self.list_number(&[]),
            leaders: vec![0; usize::from(terms)],
            left: budgets,
            nodes,
            sums: Vec::new(),
        };
        self.sum(&mut state);
        start::lead(self, &mut state, start);
        state
    }

    /// Puts the fingerprints of all parts together anew.
    pub fn sum(&self, state: &mut State) {
        let State { nodes, messages, snapshots, committed, leaders, left, sums } = state;
        sums.clear();
        sums.resize(self.renamings.len(), budget_print(*left));
        nodes.iter().for_each(|node| self.local_prints.add(*node as usize, sums));
        messages.iter().for_each(|message| self.message_prints.add(usize::from(*message), sums));
        snapshots.iter().for_each(|snapshot| self.snapshot_prints.add(usize::from(*snapshot), sums));
        self.list_prints.add(usize::from(*committed), sums);
        for (term, leader) in (1..).zip(leaders.iter()) {
            self.leader_prints.add(self.leader_place(term, *leader), sums);
        }
    }

    /// The fingerprint by which the search knows a state again.
    pub fn fingerprint(&self, state: &State) -> u64 {
        if self.bounds.reductions.names { nameless(&state.sums) } else { scramble(state.sums[0]) }
    }

    /// The fingerprint of what a search with all reductions makes of a state.
    pub fn reduced_fingerprint(&self, state: &State) -> u64 {
        let mut state = state.clone();
        self.forget_dead(&mut state);
        nameless(&state.sums)
    }

    fn leader_place(&self, term: u8, leader: u8) -> usize {
        let World { nodes, spares, .. } = self.bounds.world;
        usize::from(term - 1) * (usize::from(nodes + spares) + 1) + usize::from(leader)
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
        }
        let left = state.left;
        for (node, local) in state.nodes.iter().enumerate() {
            let facts = &self.facts[*local as usize];
            let leads = facts.role == Role::Leader;
            let may_campaign = left.campaigns != Some(0) && !leads && facts.term < self.bounds.terms;
            let may = [
                (facts.may.persist, Action::Persist(node)),
                (may_campaign, Action::Campaign(node)),
                (leads && left.proposals > 0, Action::Propose(node)),
                (leads && left.heartbeats > 0, Action::Heartbeat(node)),
                (leads && left.silences > 0, Action::Silence(node)),
                (left.crashes > 0, Action::Crash(node)),
                (left.crashes > 0 && facts.may.name_install, Action::CrashInInstall(node)),
                (left.snapshots > 0 && facts.may.snapshot, Action::Snapshot(node)),
                (facts.may.compact, Action::Compact(node)),
                (facts.may.give_up, Action::GiveUp(node)),
            ];
            actions.extend(may.iter().filter(|(may, _)| *may).map(|(_, action)| *action));
            if left.installs > 0 {
                actions.extend(state.snapshots.iter().map(|snapshot| Action::Install(node, *snapshot)));
            }
            if leads && left.transfers > 0 {
                let others = (0..state.nodes.len()).filter(|to| *to != node);
                actions.extend(others.map(|to| Action::Transfer(node, to)));
            }
            if leads && left.changes > 0 {
                let mut wishes = Vec::new();
                self.bounds.world.wishes(self.members(facts.members), &mut wishes);
                actions.extend(wishes.iter().map(|wish| Action::Change(node, *wish)));
            }
        }
    }

    /// Puts what comes of a step into `next`. `None` if nothing does: what changes nothing is not followed. Else whether there is
    /// another choice behind this one.
    ///
    /// # Errors
    /// A rule that is broken by it.
    pub fn follow(&mut self, state: &State, step: Step, next: &mut State) -> Result<Option<bool>, Violation> {
        let Step { action, choice } = step;
        let (node, code) = self.code(state, action);
        let from = state.nodes[node];
        let place = self.outcome(from, code)? + choice;
        let Outcome { to, sent, elected, decided, has_more } = &self.outcomes[place as usize];
        let (before, after) = (&self.facts[from as usize], &self.facts[*to as usize]);
        let stands = after.role == Role::Candidate && after.term > before.term;
        let out_of_bounds = after.term > self.bounds.terms || state.left.campaigns == Some(0);
        if *to == from && sent.is_empty() || stands && out_of_bounds {
            return Ok(None);
        }
        next.clone_from(state);
        if let Action::Deliver(message) = action
            && !self.bounds.world.messages_stay
        {
            next.remove(message);
            self.message_prints.take(usize::from(message), &mut next.sums);
        }
        spend(action, &mut next.left);
        if stands {
            next.left.campaigns = next.left.campaigns.map(|campaigns| campaigns - 1);
        }
        if next.left != state.left {
            let change = budget_print(next.left).wrapping_sub(budget_print(state.left));
            next.sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(change));
        }
        next.nodes[node] = *to;
        self.local_prints.take(from as usize, &mut next.sums);
        self.local_prints.add(*to as usize, &mut next.sums);
        for message in sent {
            if !self.bounds.world.messages_stay || next.messages.binary_search(message).is_err() {
                next.send(*message);
                self.message_prints.add(usize::from(*message), &mut next.sums);
            }
        }
        let moved = Moved { node, from, elected: *elected, decided: *decided };
        let has_more = *has_more;
        if let Action::Snapshot(_) = action {
            self.note_snapshot(next, node)?;
        }
        rules::check(self, next, moved)?;
        self.list_prints.take(usize::from(state.committed), &mut next.sums);
        self.list_prints.add(usize::from(next.committed), &mut next.sums);
        for (term, (before, after)) in (1..).zip(state.leaders.iter().zip(&next.leaders)) {
            if before != after {
                self.leader_prints.take(self.leader_place(term, *before), &mut next.sums);
                self.leader_prints.add(self.leader_place(term, *after), &mut next.sums);
            }
        }
        if self.bounds.reductions.dead {
            self.forget_dead(next);
        }
        Ok(Some(has_more))
    }

    /// The node at this place has just taken a snapshot: from now on anybody may get it.
    fn note_snapshot(&mut self, state: &mut State, node: usize) -> Result<(), Violation> {
        let taken = self.local(state.nodes[node]).snapshot().expect("it was taken just now").clone();
        let covered = self.list_number(&taken.covered);
        rules::check_snapshot(self, state, node, covered)?;
        let number = self.snapshot_number(&taken);
        if let Err(place) = state.snapshots.binary_search(&number) {
            state.snapshots.insert(place, number);
            self.snapshot_prints.add(usize::from(number), &mut state.sums);
        }
        Ok(())
    }

    /// Which node an action moves, and the code of the event that it is to that node.
    fn code(&self, state: &State, action: Action) -> (usize, u32) {
        match action {
            Action::Deliver(message) => {
                (self.addresses[usize::from(message)].to, DELIVER | u32::from(message))
            }
            Action::Persist(node) => (node, PERSIST),
            Action::Campaign(node) => (node, CAMPAIGN),
            Action::Propose(node) => (node, PROPOSE | u32::from(state.left.proposals)),
            Action::Heartbeat(node) => (node, HEARTBEAT),
            Action::Silence(node) => (node, SILENCE),
            Action::Crash(node) => (node, CRASH),
            Action::CrashInInstall(node) => (node, CRASH_IN_INSTALL),
            Action::Snapshot(node) => (node, SNAPSHOT),
            Action::Compact(node) => (node, COMPACT),
            Action::Install(node, snapshot) => (node, INSTALL | u32::from(snapshot)),
            Action::Transfer(node, to) => {
                (node, TRANSFER | u32::try_from(to + 1).expect("there are few nodes"))
            }
            Action::GiveUp(node) => (node, GIVE_UP),
            Action::Change(node, wish) => (node, CHANGE | wish.code()),
        }
    }

    /// Drops what can do nothing any more: messages, and who led a term that nobody can win again.
    pub fn forget_dead(&self, state: &mut State) {
        let State { nodes, messages, snapshots, left, sums, leaders, .. } = state;
        if left.installs == 0 {
            snapshots.iter().for_each(|snapshot| self.snapshot_prints.take(usize::from(*snapshot), sums));
            snapshots.clear();
        }
        for (term, leader) in (1..).zip(leaders.iter_mut()).filter(|(_, leader)| **leader != 0) {
            let may_win = |node: &u32| dead::may_win(&self.facts[*node as usize], left.crashes > 0, term);
            if !nodes.iter().any(may_win) {
                self.leader_prints.take(self.leader_place(term, *leader), sums);
                self.leader_prints.add(self.leader_place(term, 0), sums);
                *leader = 0;
            }
        }
        messages.retain(|message| {
            let place = usize::from(*message);
            let address = &self.addresses[place];
            let [from, to] = [address.from, address.to].map(|node| &self.facts[nodes[node] as usize]);
            let dead = address.is_dead(from, to, left.crashes > 0, self.bounds.terms);
            if dead {
                self.message_prints.take(place, sums);
            }
            !dead
        });
    }

    /// What an event does to a node state, computed or remembered: the place of the first of the things that may come of it.
    fn outcome(&mut self, from: u32, code: u32) -> Result<u32, Violation> {
        if let Some((_, place)) = self.tried[from as usize].iter().find(|(tried, _)| *tried == code) {
            return Ok(*place);
        }
        let event = self.event(code);
        let mut all = vec![after(self.locals.get(from), &event)?];
        if all[0].1.chose {
            for place in 1..self.renamings.len() {
                let name = |node: NodeId| self.renamings.name(place, node);
                let renamed = after(&self.locals.get(from).renamed(&name), &event.renamed(&name))?;
                all.push(renamed_back(&renamed, &|name| self.renamings.named(place, name)));
            }
        }
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (local, output) in &all {
            let outcome = Outcome {
                to: self.local_number(local),
                sent: output.sent.iter().map(|envelope| self.message_number(envelope)).collect(),
                elected: output.elected,
                decided: output.decided.as_ref().map(|members| self.membership_number(members)),
                has_more: true,
            };
            let is_known = |other: &Outcome| other.to == outcome.to && other.sent == outcome.sent;
            if !outcomes.iter().any(is_known) {
                outcomes.push(outcome);
            }
        }
        outcomes.last_mut().expect("something comes of it").has_more = false;
        let place = u32::try_from(self.outcomes.len()).expect("the number of outcomes fits 32 bits");
        self.outcomes.append(&mut outcomes);
        self.tried[from as usize].push((code, place));
        Ok(place)
    }

    /// Which node an action moves, and the event that it is to that node.
    pub fn event_of(&self, state: &State, action: Action) -> (usize, Event) {
        let (node, code) = self.code(state, action);
        (node, self.event(code))
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
            CRASH_IN_INSTALL => Event::CrashInInstall,
            SNAPSHOT => Event::Snapshot,
            COMPACT => Event::Compact,
            INSTALL => Event::Install(self.snapshots.get(argument).clone()),
            TRANSFER => Event::Transfer(NodeId::new(u64::from(argument))),
            GIVE_UP => Event::GiveUp,
            CHANGE => Event::Change(Wish::of_code(argument)),
            _ => unreachable!("no other codes are made"),
        }
    }

    fn local_number(&mut self, local: &Local) -> u32 {
        let number = self.locals.number(&local_key(local), || local.clone());
        if number as usize == self.facts.len() {
            let log = local.log();
            let committed = usize::try_from(local.commit().0).expect("logs are short here");
            let small = |number| u8::try_from(number).expect("terms and ids are small here");
            let vote = |vote: Option<NodeId>| vote.map(|node| small(node.get()));
            let lowest = local.lowest();
            let members = members::newest(&log).map(|(_, members)| Arc::clone(members)).unwrap_or_default();
            let facts = Facts {
                log: self.list_number(&log),
                disk: self.list_number(&local.disk()),
                committed: self.list_number(&log[..committed]),
                term: small(local.term().0),
                vote: vote(local.vote()),
                disk_vote: (small(lowest.term.0), vote(lowest.vote)),
                role: local.role(),
                members: self.membership_number(&members),
                may: May {
                    persist: local.writes_under_way() > 0,
                    name_install: local.installs(),
                    snapshot: local.may_apply() > local.snapshot_last().index,
                    compact: local.base().index < local.snapshot_last().index,
                    give_up: local.hands_over(),
                },
            };
            self.facts.push(facts);
            self.tried.push(Vec::new());
            self.local_prints
                .push(&self.renamings.prints(|name| fingerprint(&local_key(&local.renamed(name)))));
        }
        assert!(self.facts.len() == self.locals.len(), "the facts of each node state are known");
        number
    }

    fn message_number(&mut self, envelope: &Envelope) -> u16 {
        let number = narrow(self.messages.number(&message_key(envelope), || envelope.clone()));
        if usize::from(number) == self.addresses.len() {
            self.addresses.push(Address::of(envelope));
            self.message_prints
                .push(&self.renamings.prints(|name| fingerprint(&message_key(&envelope.renamed(name)))));
        }
        assert!(self.addresses.len() == self.messages.len(), "sender and receiver of each message are known");
        number
    }

    fn list_number(&mut self, entries: &[Entry]) -> u16 {
        let numbers: Vec<u16> = entries.iter().map(|entry| self.entry_number(entry)).collect();
        let key: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let known = self.lists.len();
        let number = self.lists.number(&key, || numbers);
        if number as usize == known {
            self.list_prints.push(&self.renamings.prints(|name| {
                let mut key = BytesMut::from(&b"committed"[..]);
                entries.iter().for_each(|entry| entry.renamed(name).encode(&mut key));
                fingerprint(&key)
            }));
        }
        narrow(number)
    }

    fn snapshot_number(&mut self, snapshot: &Snapshot) -> u16 {
        let known = self.snapshots.len();
        let number = self.snapshots.number(&snapshot_key(snapshot), || snapshot.clone());
        if number as usize == known {
            self.snapshot_prints
                .push(&self.renamings.prints(|name| fingerprint(&snapshot_key(&snapshot.renamed(name)))));
        }
        narrow(number)
    }

    fn membership_number(&mut self, membership: &Arc<Membership>) -> u16 {
        let mut key = BytesMut::new();
        membership.encode(&mut key);
        narrow(self.memberships.number(&key, || Arc::clone(membership)))
    }

    fn entry_number(&mut self, entry: &Entry) -> u16 {
        let mut key = BytesMut::new();
        entry.encode(&mut key);
        narrow(self.entries.number(&key, || entry.clone()))
    }

    /// The messages in flight from one node to another, given by their places, in order of their numbers.
    pub fn on_the_way(&self, state: &State, from: usize, to: usize) -> Vec<u16> {
        let goes = |message: &&u16| {
            let address = &self.addresses[usize::from(**message)];
            (address.from, address.to) == (from, to)
        };
        state.messages.iter().filter(goes).copied().collect()
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

    /// A snapshot.
    pub fn snapshot(&self, number: u16) -> &Snapshot {
        self.snapshots.get(u32::from(number))
    }

    /// A membership.
    pub fn members(&self, number: u16) -> &Membership {
        self.memberships.get(u32::from(number))
    }

    /// Whether the members may change.
    pub fn members_change(&self) -> bool {
        self.bounds.world.changes.any()
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
            + (self.local_prints.len() + self.message_prints.len() + self.list_prints.len())
                * size_of::<u64>()
            + self.outcomes.len() * (size_of::<Outcome>() + OUTCOME_HEAP_BYTES)
    }
}

/// The fingerprint that a state has in common with all that renaming can make of it: these have the same sums in another order.
fn nameless(sums: &[u64]) -> u64 {
    sums.iter().fold(0, |fingerprint, sum| fingerprint.wrapping_add(scramble(*sum)))
}

fn after(local: &Local, event: &Event) -> Result<(Local, Output), Violation> {
    local.after(event).map_err(|panic| Violation::safety("a node's own invariants", panic))
}

/// What came of an event under other names, under those that the nodes have.
fn renamed_back((local, output): &(Local, Output), name: Name<'_>) -> (Local, Output) {
    let mut output = output.clone();
    output.sent.iter_mut().for_each(|envelope| *envelope = envelope.renamed(name));
    output.decided = output.decided.map(|members| Arc::new(members.renamed(name)));
    (local.renamed(name), output)
}

fn local_key(local: &Local) -> BytesMut {
    let mut key = BytesMut::new();
    local.encode(&mut key);
    key
}

fn message_key(envelope: &Envelope) -> BytesMut {
    let mut key = BytesMut::new();
    envelope.encode(&mut key);
    key
}

fn snapshot_key(snapshot: &Snapshot) -> BytesMut {
    let mut key = BytesMut::from(&b"snapshot"[..]);
    snapshot.encode(&mut key);
    key
}

fn budget_print(left: Budgets) -> u64 {
    scramble(left.packed() << 8 | BUDGET_KIND)
}

/// The search looks at [`Model::is_full`] after every state.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).expect("the search ends before the numbers do")
}

/// Parts of different kinds have different fingerprints.
const LEADER_KIND: u64 = 1;
const BUDGET_KIND: u64 = 2;

const ARGUMENT: u32 = 0xffff;
const DELIVER: u32 = 0;
const PERSIST: u32 = 1 << 16;
const CAMPAIGN: u32 = 2 << 16;
const PROPOSE: u32 = 3 << 16;
const HEARTBEAT: u32 = 4 << 16;
const SILENCE: u32 = 5 << 16;
const CRASH: u32 = 6 << 16;
const CRASH_IN_INSTALL: u32 = 7 << 16;
const SNAPSHOT: u32 = 8 << 16;
const COMPACT: u32 = 9 << 16;
const INSTALL: u32 = 10 << 16;
const TRANSFER: u32 = 11 << 16;
const GIVE_UP: u32 = 12 << 16;
const CHANGE: u32 = 13 << 16;

/// What a node state points to: its window, its disk, its writes, its peers.
const LOCAL_HEAP_BYTES: usize = 2_000;
/// The messages of an outcome and its place in the list of what was tried.
const OUTCOME_HEAP_BYTES: usize = 24;
/// Far more than any search that fits in memory needs, and 16 bits less what one state may add.
const PARTS_MAX: usize = 60_000;
