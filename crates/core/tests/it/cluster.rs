//! A handful of cores that pass messages by hand: the smallest cluster in which a rule of the thesis can be shown. Every
//! message goes through the codec, every step is checked against the invariants, and nothing that is not durable survives a
//! crash. Failures that are drawn at random, and many more of them, are the business of the simulator.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::invariants;
use quorate_core::message::{Envelope, Message, Standing};
use quorate_core::quorum;
use quorate_core::raft::Raft;
use quorate_core::ready::{
    ChangeEnd, Durable, Fact, Fetch, FetchFor, Input, Ready, Refusal, TransferEnd, Write,
};
use quorate_core::status::Role;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, Term};

/// Shorthand for node ids.
pub(crate) fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

/// What a follower answers to the heartbeat of `round`, when its wall clock shows `wall_ms` (0: it does not know).
pub(crate) fn heartbeat_answer(round: u64, wall_ms: u64) -> Message {
    Message::HeartbeatResponse { round, standing: Standing::default(), wall_ms, features: 0, promise_us: 0 }
}

/// What a node's disk holds.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    /// What was written, damaged or not.
    pub(crate) entries: Vec<Entry>,
    /// The indices at which only the id can be read.
    pub(crate) damaged: BTreeSet<u64>,
}

impl Disk {
    pub(crate) fn write(&mut self, write: &Write) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        for entry in &write.repaired {
            let lost = &self.entries[place(entry.id.index)];
            assert_eq!(lost, entry, "what comes back is what was lost");
            assert!(self.damaged.remove(&entry.id.index.0), "only what is damaged is repaired");
        }
        if let Some(first) = write.entries.first() {
            let keep = place(first.id.index);
            assert!(keep <= self.entries.len(), "a write leaves no gap");
            self.entries.truncate(keep);
            self.damaged.retain(|index| *index < first.id.index.0);
            self.entries.extend(write.entries.iter().cloned());
        }
    }

    /// What a start finds.
    fn stored(&self) -> Stored {
        let mut stored = Stored::of_entries(self.hard_state, self.entries.clone());
        let is_damaged = |index: Index| self.damaged.contains(&index.0);
        stored.memberships.retain(|(index, _)| !is_damaged(*index));
        stored.damaged =
            self.entries.iter().map(|entry| entry.id).filter(|id| is_damaged(id.index)).collect();
        if let Some(last) = stored.damaged.last() {
            stored.tail.retain(|entry| entry.id.index > last.index);
        }
        stored
    }

    fn holds(&self, entry: EntryId) -> bool {
        entry == EntryId::ZERO || self.entries.get(place(entry.index)).is_some_and(|own| own.id == entry)
    }
}

/// Where the entry of an index stands in a list that begins with index 1.
fn place(index: Index) -> usize {
    usize::try_from(index.0 - 1).expect("test logs are short")
}

/// One node: its core, its disk, and what it was seen to do.
pub(crate) struct Node {
    pub(crate) raft: Raft,
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    /// What the disk will hold once all writes that were handed out are carried out.
    pub(crate) written: Disk,
    /// Writes that were handed out and are not carried out yet.
    pub(crate) writes: VecDeque<Write>,
    /// Reads from the log that were asked for and are not answered yet.
    pub(crate) fetches: VecDeque<Fetch>,
    /// How far the node may apply.
    pub(crate) apply_through: Index,
    pub(crate) up: bool,
    pub(crate) accepted: Vec<(u64, EntryId)>,
    pub(crate) refused: Vec<(u64, Refusal)>,
    pub(crate) reads: Vec<(u64, Index)>,
    pub(crate) leased: Vec<(u64, Index)>,
    pub(crate) transfers: Vec<(u64, TransferEnd)>,
    pub(crate) changes: Vec<(u64, ChangeEnd)>,
    pub(crate) facts: Vec<Fact>,
}

/// The cluster.
pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// Messages under way, oldest first.
    pub(crate) network: VecDeque<Envelope>,
    /// Nodes whose writes are not carried out by themselves.
    pub(crate) slow_disks: BTreeSet<NodeId>,
    /// Nodes that neither apply nor read their log back by themselves.
    pub(crate) slow_appliers: BTreeSet<NodeId>,
    /// How many reads from the log were answered.
    pub(crate) fetches_served: usize,
    /// Directed links that lose everything.
    pub(crate) cuts: BTreeSet<(NodeId, NodeId)>,
    /// Every term's leader, over the whole history.
    leaders: BTreeMap<Term, NodeId>,
    /// What was applied at each index, by anybody, ever.
    pub(crate) applied: BTreeMap<Index, Entry>,
    /// Whom each node voted for in each term, as far as it told.
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// The last ticket that [`Cluster::next_ticket`] gave.
    tickets: u64,
    /// For each read that waits: what was committed anywhere when it came in.
    read_floors: BTreeMap<u64, Index>,
}

/// Small limits, so that tests reach them. No donations: the rules of votes are shown without them.
pub(crate) fn small_config(node: u64) -> Config {
    Config {
        seed: node,
        election_timeout_ticks: 10,
        heartbeat_ticks: 2,
        donation: false,
        ..Config::new(id(node))
    }
}

impl Cluster {
    /// A cluster of `count` voters that all start with the same bootstrap entry.
    pub(crate) fn new(count: u64) -> Cluster {
        let membership = Membership::of_voters((1..=count).map(id));
        let bootstrap = vec![Entry::bootstrap(membership)];
        Cluster::of_logs(
            (1..=count).map(|node| (small_config(node), HardState::default(), bootstrap.clone())),
        )
    }

    /// A cluster of nodes with these settings and disks.
    pub(crate) fn of_logs(nodes: impl IntoIterator<Item = (Config, HardState, Vec<Entry>)>) -> Cluster {
        let node = |(config, hard_state, entries): (Config, HardState, Vec<Entry>)| {
            let disk = Disk { hard_state, entries, damaged: BTreeSet::new() };
            let raft = Raft::new(config.clone(), disk.stored());
            let node = Node {
                raft,
                config,
                written: disk.clone(),
                disk,
                writes: VecDeque::new(),
                fetches: VecDeque::new(),
                apply_through: Index(0),
                up: true,
                accepted: Vec::new(),
                refused: Vec::new(),
                reads: Vec::new(),
                leased: Vec::new(),
                transfers: Vec::new(),
                changes: Vec::new(),
                facts: Vec::new(),
            };
            (node.config.node, node)
        };
        Cluster {
            nodes: nodes.into_iter().map(node).collect(),
            network: VecDeque::new(),
            slow_disks: BTreeSet::new(),
            slow_appliers: BTreeSet::new(),
            fetches_served: 0,
            cuts: BTreeSet::new(),
            leaders: BTreeMap::new(),
            applied: BTreeMap::new(),
            votes: BTreeMap::new(),
            tickets: 1_000,
            read_floors: BTreeMap::new(),
        }
    }

    /// Starts a node that is no member yet: its log is empty, and it knows nobody.
    pub(crate) fn join(&mut self, number: u64) {
        let joined = Cluster::of_logs([(small_config(number), HardState::default(), Vec::new())]);
        self.nodes.extend(joined.nodes);
    }

    /// A cluster whose node n holds, behind the bootstrap entry, entries of the terms in `logs[n - 1]`. Each node's term is
    /// that of its last entry; logs that share a prefix of terms share its entries.
    pub(crate) fn of_terms(logs: &[&[u64]]) -> Cluster {
        let members = 1..=logs.len() as u64;
        let bootstrap = Entry::bootstrap(Membership::of_voters(members.clone().map(id)));
        Cluster::of_logs(members.zip(logs).map(|(node, terms)| {
            let entry = |(place, term): (usize, &u64)| Entry {
                id: EntryId::new(*term, place as u64 + 2),
                timestamp_ms: 0,
                payload: Payload::Command(Bytes::from(vec![b'x'; usize::try_from(*term).expect("small")])),
            };
            let entries =
                std::iter::once(bootstrap.clone()).chain(terms.iter().enumerate().map(entry)).collect();
            let term = Term(terms.last().copied().unwrap_or(0));
            (small_config(node), HardState { term, vote: None }, entries)
        }))
    }

    /// The same cluster, whose voters give candidates what they lack.
    pub(crate) fn donating(mut self) -> Cluster {
        for number in self.numbers() {
            self.nodes.get_mut(&id(number)).expect("the node exists").config.donation = true;
            self.crash(number);
            self.restart(number);
        }
        self
    }

    /// Gives a node a message and returns what is under way then: its answer, if it is not behind a slow disk.
    pub(crate) fn ask(&mut self, from: u64, to: u64, term: u64, message: Message) -> Vec<Envelope> {
        self.network.clear();
        self.deliver(Envelope { from: id(from), to: id(to), term: Term(term), message });
        self.sent()
    }

    /// Takes all that is under way.
    pub(crate) fn sent(&mut self) -> Vec<Envelope> {
        self.network.drain(..).collect()
    }

    /// Gives a node one input and carries out what it asks for.
    pub(crate) fn step(&mut self, number: u64, input: Input) {
        self.turn(number, vec![input]);
    }

    /// Gives a node several inputs in one turn.
    pub(crate) fn turn(&mut self, number: u64, inputs: Vec<Input>) {
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        if !node.up {
            return;
        }
        for input in inputs {
            if let Input::ReadIndex { ticket } = input {
                let committed = self.nodes.values().map(|node| node.raft.commit_index()).max();
                self.read_floors.insert(ticket, committed.expect("there are nodes"));
            }
            let node = self.nodes.get_mut(&id(number)).expect("the node exists");
            let before = node.raft.clone();
            node.raft.step(input);
            invariants::check(&node.raft);
            invariants::check_step(&before, &node.raft);
            self.check_commit(number, before.commit_index());
        }
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        let before = node.raft.clone();
        let ready = node.raft.ready();
        invariants::check(&node.raft);
        invariants::check_step(&before, &node.raft);
        self.carry_out(number, ready);
    }

    fn carry_out(&mut self, number: u64, ready: Ready) {
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        if let Some(write) = &ready.write {
            node.written.write(write);
        }
        for fact in &ready.facts {
            if let Fact::BecameLeader(term) = fact {
                let first = *self.leaders.entry(*term).or_insert(id(number));
                assert_eq!(first, id(number), "election safety: a term has one leader");
                for (index, entry) in &self.applied {
                    let own = node.written.entries.get(place(*index));
                    assert_eq!(
                        own,
                        Some(entry),
                        "leader completeness: {} leads {term} without it",
                        id(number)
                    );
                }
            }
        }
        for (ticket, index) in ready.reads.iter().chain(&ready.leased) {
            let floor = self.read_floors.remove(ticket).expect("a read is served once");
            assert!(
                *index >= floor,
                "a read sees all that was committed before it came in: {index} < {floor}"
            );
        }
        node.accepted.extend(ready.accepted);
        node.refused.extend(ready.refused);
        node.reads.extend(ready.reads);
        node.leased.extend(ready.leased);
        node.transfers.extend(ready.transfers);
        node.changes.extend(ready.changes);
        node.facts.extend(ready.facts);
        node.writes.extend(ready.write);
        node.fetches.extend(ready.fetches);
        node.apply_through = ready.apply_through;
        self.put_on_network(ready.send);
        if !self.slow_appliers.contains(&id(number)) {
            self.apply(number);
            self.serve_fetches(number);
        }
        if !self.slow_disks.contains(&id(number)) {
            self.persist(number, usize::MAX);
        }
    }

    /// What a leader commits by counting is on the disks of a majority, its own perhaps among them.
    fn check_commit(&self, number: u64, before: Index) {
        let raft = self.raft(number);
        if raft.role() != Role::Leader || raft.commit_index() == before {
            return;
        }
        let entry =
            self.node(number).written.entries.get(place(raft.commit_index())).expect("it was handed out").id;
        let holds = |node| self.nodes.get(&node).is_some_and(|node| node.disk.holds(entry));
        let membership = raft.membership();
        assert!(
            quorum::has_quorum(&membership, holds),
            "{entry} is committed without a quorum of {membership:?}"
        );
    }

    /// Puts messages on the network, after a look at what they promise.
    fn put_on_network(&mut self, messages: Vec<Envelope>) {
        for envelope in messages {
            let vote = if matches!(envelope.message, Message::VoteResponse { granted: true, wall_ms: 0 }) {
                Some(envelope.to)
            } else if matches!(envelope.message, Message::VoteRequest { .. }) {
                Some(envelope.from)
            } else {
                None
            };
            if let Some(voted_for) = vote {
                let first = *self.votes.entry((envelope.from, envelope.term)).or_insert(voted_for);
                assert_eq!(first, voted_for, "a node votes once in a term, also over a crash");
            }
            self.network.push_back(through_codec(&envelope));
        }
    }

    /// Applies what a node may apply, after a look at what others applied there.
    pub(crate) fn apply(&mut self, number: u64) {
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        let from = node.raft.status().applied.next();
        for index in from.0..=node.apply_through.0 {
            assert!(!node.disk.damaged.contains(&index), "no damaged entry is applied");
            let entry = &node.disk.entries[place(Index(index))];
            let first = self.applied.entry(entry.id.index).or_insert_with(|| entry.clone());
            assert_eq!(first, entry, "state machine safety: one entry for each index, ever");
        }
        if node.apply_through >= from {
            node.raft.step(Input::Applied(node.apply_through));
        }
    }

    /// Reads back what a node asked for, from its disk, one entry or more as the limit allows.
    pub(crate) fn serve_fetches(&mut self, number: u64) {
        while let Some(fetch) = self.nodes.get_mut(&id(number)).expect("the node exists").fetches.pop_front()
        {
            let entries = &self.node(number).disk.entries[place(fetch.from)..=place(fetch.through)];
            let count = (fetch.bytes_max / 100).clamp(1, entries.len());
            let entries = entries[..count].to_vec();
            let damaged = &self.node(number).disk.damaged;
            assert!(
                entries.iter().all(|entry| !damaged.contains(&entry.id.index.0)),
                "no damaged entry is served"
            );
            self.fetches_served += 1;
            let peer = fetch.peer;
            self.step(
                number,
                match fetch.purpose {
                    FetchFor::Append => Input::Fetched { peer, entries },
                    FetchFor::Repair => Input::FetchedForRepair { peer, entries },
                },
            );
        }
    }

    /// Carries out up to `count` of the writes that wait at a node, and tells it.
    pub(crate) fn persist(&mut self, number: u64, count: usize) {
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        let mut last = None;
        let mut released = Vec::new();
        for _ in 0..count {
            let Some(write) = node.writes.pop_front() else { break };
            node.disk.write(&write);
            let number = write.number;
            released.extend(write.barrier.release(Durable::attest(number)));
            last = Some(number);
        }
        self.put_on_network(released);
        if let Some(last) = last {
            self.step(number, Input::Persisted(last));
        }
    }

    /// A ticket that was not given before.
    pub(crate) fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Delivers the oldest message. Returns whether there was one.
    pub(crate) fn deliver_one(&mut self) -> bool {
        let Some(envelope) = self.network.pop_front() else { return false };
        self.deliver(envelope);
        true
    }

    /// Delivers this message, unless its way is cut.
    pub(crate) fn deliver(&mut self, envelope: Envelope) {
        if !self.cuts.contains(&(envelope.from, envelope.to)) && self.nodes.contains_key(&envelope.to) {
            self.step(envelope.to.get(), Input::Received(envelope));
        }
    }

    /// Delivers messages until none is left.
    pub(crate) fn settle(&mut self) {
        let mut budget = 1_000_000;
        while self.deliver_one() {
            budget -= 1;
            assert!(budget > 0, "the cluster does not come to rest");
        }
    }

    /// Lets a tick pass at every node, then settles; `count` times.
    pub(crate) fn tick(&mut self, count: u64) {
        for _ in 0..count {
            for number in self.numbers() {
                self.step(number, Input::Tick { elapsed: 1, wall_ms: 0 });
            }
            self.settle();
        }
    }

    /// Makes a node campaign, and settles.
    pub(crate) fn elect(&mut self, number: u64) {
        self.step(number, Input::Campaign);
        self.settle();
        assert_eq!(self.raft(number).role(), Role::Leader, "{}", self.raft(number).status());
    }

    /// Proposes a command at a node; the ticket is its length.
    pub(crate) fn propose(&mut self, number: u64, command: &'static [u8]) {
        let ticket = command.len() as u64;
        self.step(number, Input::Propose { ticket, command: Bytes::from_static(command), timestamp_ms: 0 });
    }

    /// Cuts a node off from all others, both ways.
    pub(crate) fn cut(&mut self, number: u64) {
        for other in self.numbers() {
            self.cuts.insert((id(number), id(other)));
            self.cuts.insert((id(other), id(number)));
        }
    }

    /// Lets everybody reach everybody again.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Stops a node; what was not durable is lost, and so are messages to it.
    pub(crate) fn crash(&mut self, number: u64) {
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        node.up = false;
        node.writes.clear();
        node.fetches.clear();
        self.network.retain(|envelope| envelope.to != id(number));
    }

    /// Starts a node with what its disk holds.
    pub(crate) fn restart(&mut self, number: u64) {
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        node.raft = Raft::new(node.config.clone(), node.disk.stored());
        node.written = node.disk.clone();
        node.apply_through = Index(0);
        node.up = true;
        invariants::check(&node.raft);
    }

    /// A node loses the bytes of these entries while it is down, and starts again.
    pub(crate) fn damage(&mut self, number: u64, indices: impl IntoIterator<Item = u64>) {
        self.crash(number);
        let node = self.nodes.get_mut(&id(number)).expect("the node exists");
        node.disk.damaged.extend(indices);
        self.restart(number);
    }

    /// The core of a node.
    pub(crate) fn raft(&self, number: u64) -> &Raft {
        &self.nodes[&id(number)].raft
    }

    /// A node.
    pub(crate) fn node(&self, number: u64) -> &Node {
        &self.nodes[&id(number)]
    }

    /// The terms of a node's log, from index 1 on.
    pub(crate) fn terms(&self, number: u64) -> Vec<u64> {
        self.node(number).written.entries.iter().map(|entry| entry.id.term.0).collect()
    }

    /// Log matching (thesis 3.5): two logs that hold the same id are equal up to it.
    pub(crate) fn check_logs_match(&self) {
        for (a, b) in self.nodes.values().flat_map(|a| self.nodes.values().map(move |b| (a, b))) {
            let (a, b) = (&a.written.entries, &b.written.entries);
            let same = a.iter().zip(b).rposition(|(x, y)| x.id == y.id).map_or(0, |place| place + 1);
            assert_eq!(a[..same], b[..same], "log matching");
        }
    }

    /// The numbers of all nodes.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.nodes.keys().map(|node| node.get()).collect()
    }

    /// The nodes that lead, each in its term.
    pub(crate) fn leaders(&self) -> Vec<u64> {
        self.numbers()
            .into_iter()
            .filter(|number| self.node(*number).up && self.raft(*number).role() == Role::Leader)
            .collect()
    }
}

/// The entries of a message that must be an append request.
pub(crate) fn entries_of(envelope: &Envelope) -> &[Entry] {
    let Message::AppendRequest { entries, .. } = &envelope.message else {
        panic!("no append request: {envelope:?}")
    };
    entries
}

/// A message as the receiver sees it.
fn through_codec(envelope: &Envelope) -> Envelope {
    let mut bytes = BytesMut::new();
    envelope.encode(&mut bytes);
    assert_eq!(bytes.len(), envelope.encoded_len(), "the length is known before");
    let decoded = Envelope::decode(&mut bytes.freeze()).expect("what was encoded decodes");
    assert_eq!(decoded, *envelope);
    decoded
}
