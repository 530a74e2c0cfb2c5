//! A cluster in memory: replicas and appliers as they ship, a network that loses, repeats and delays, disks and appliers
//! that take their time. One seed decides everything. The checks stand in `Clients`, which knows only what callers know.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use bytes::Bytes;
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::raft::Raft;
use quorate_core::ready::{Durable, Write};
use quorate_core::stored::Stored;
use quorate_core::types::NodeId;
use quorate_replica::applier::Applier;
use quorate_replica::config::ReplicaConfig;
use quorate_replica::effect::{ApplyBatch, Effect, Outcome};
use quorate_replica::error::{Fate, ProposeError};
use quorate_replica::input::{Input, Now, Ticket};
use quorate_replica::peer_codec;
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::replica::Replica;
use quorate_replica::request::{CommandEnvelope, RequestId};
use quorate_replica::session::SessionLimits;
use quorate_replica::state_machine::{Context, Snapshot, StateMachine};

use crate::chance::Chance;

/// Remembers the order of all commands, which are different numbers, and answers each with its place. It panics when one
/// comes twice: at most once is checked on every node at every moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) order: Vec<u64>,
    set: BTreeSet<u64>,
}

impl StateMachine for Ledger {
    type Command = u64;
    type Reply = u64;

    fn apply(&mut self, _context: &Context, command: u64) -> u64 {
        assert!(self.set.insert(command), "command {command} was applied twice");
        self.order.push(command);
        self.order.len() as u64
    }

    fn snapshot(&self) -> Snapshot {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _source: &mut dyn io::Read) -> io::Result<()> {
        Ok(())
    }
}

/// What goes wrong, and how large things are.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_ms_max: u64,
    pub(crate) disk_ms_max: u64,
    pub(crate) apply_ms_max: u64,
    /// A cut of one node begins with this chance in a thousand each millisecond, and lasts up to 400 ms.
    pub(crate) cut_permille: u64,
    /// A node dies with this chance in a thousand each millisecond, and is down for up to 300 ms.
    pub(crate) crash_permille: u64,
    pub(crate) limits: SessionLimits,
    pub(crate) proposal_timeout_ticks: u64,
    /// Messages that get lost whatever the chance.
    pub(crate) lose: fn(&PeerMessage) -> bool,
    /// Small bounds for batches and queues, so that full ones are met.
    pub(crate) small: bool,
}

impl Faults {
    pub(crate) fn none() -> Faults {
        Faults {
            loss_percent: 0,
            repeat_percent: 0,
            delay_ms_max: 1,
            disk_ms_max: 1,
            apply_ms_max: 1,
            cut_permille: 0,
            crash_permille: 0,
            limits: SessionLimits::default(),
            proposal_timeout_ticks: 2_000,
            lose: |_| false,
            small: false,
        }
    }
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) replica: Replica,
    pub(crate) applier: Applier<Ledger>,
    hard_state: HardState,
    log: Vec<Entry>,
    /// Writes on their way to the disk, each with the time at which it is durable.
    writes: VecDeque<(u64, Write)>,
    /// What the applier has to do, each with the time at which it is done.
    applies: VecDeque<(u64, Work)>,
    pub(crate) inputs: Vec<Input>,
    /// Down until then; its state is that of its disk.
    down_until: Option<u64>,
}

enum Work {
    Apply(ApplyBatch),
    Read(Ticket),
}

/// What callers know: what they asked, when, and what they were told.
#[derive(Default)]
pub(crate) struct Clients {
    next_ticket: u64,
    next_command: u64,
    open: BTreeMap<Ticket, Asked>,
    /// The highest place that any caller has been told of.
    told: u64,
    /// Places that were told, by command.
    places: BTreeMap<u64, u64>,
    /// Commands whose refusal promises that they never happen.
    never: BTreeSet<u64>,
    /// Keyed commands whose outcome is unknown: to be asked again.
    again: Vec<u64>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Asked {
    node: NodeId,
    /// The highest place told when the question was asked.
    floor: u64,
    what: Ask,
}

#[derive(Copy, Clone, Debug)]
enum Ask {
    Add { command: u64, keyed: bool },
    Read,
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Clients,
    pub(crate) chance: Chance,
    pub(crate) faults: Faults,
    pub(crate) now_ms: u64,
    /// Messages under way: when, a tie-breaker, from, to, frame.
    network: BTreeMap<(u64, u64), (NodeId, NodeId, u8, Bytes)>,
    sent: u64,
    /// The node that is cut off, and until when.
    pub(crate) cut: Option<(NodeId, u64)>,
    membership: Membership,
}

impl Cluster {
    pub(crate) fn new(seed: u64, faults: Faults) -> Cluster {
        let membership = Membership { voters: (1..=3).map(NodeId::new).collect(), ..Membership::default() };
        let mut cluster = Cluster {
            nodes: Vec::new(),
            clients: Clients::default(),
            chance: Chance(seed),
            faults,
            now_ms: 0,
            network: BTreeMap::new(),
            sent: 0,
            cut: None,
            membership,
        };
        for id in 1..=3 {
            let log = vec![Entry::bootstrap(cluster.membership.clone())];
            let node = cluster.start(NodeId::new(id), HardState::default(), log);
            cluster.nodes.push(node);
        }
        cluster
    }

    /// A node with what its disk holds.
    fn start(&mut self, id: NodeId, hard_state: HardState, log: Vec<Entry>) -> Node {
        let seed = self.chance.below(u64::MAX);
        let mut config = Config::new(id);
        config.seed = seed;
        config.election_timeout_ticks = 100;
        config.heartbeat_ticks = 20;
        let session = u128::from(self.chance.below(u64::MAX)) << 64 | u128::from(self.chance.below(u64::MAX));
        let mut replica = ReplicaConfig::new(session, seed);
        replica.proposal_timeout_ticks = self.faults.proposal_timeout_ticks;
        replica.read_timeout_ticks = self.faults.proposal_timeout_ticks;
        replica.forward_retry_ticks = 150;
        replica.retry_pause_ticks = 10;
        if self.faults.small {
            config.uncommitted_bytes_max = 1_000;
            config.append_bytes_max = 300;
            config.inflight_appends_max = 2;
            config.window_bytes_max = 2_000;
            replica.pending_len_max = 20;
            replica.forward_bytes_max = 100;
            replica.forwarded_len_max = 10;
            replica.reads_len_max = 10;
            replica.apply_batch_bytes_max = 300;
            replica.apply_batch_len_max = 3;
            replica.apply_inflight_max = 2;
            replica.apply_lag_len_max = 30;
        }
        let stored = Stored::of_entries(hard_state, log.clone());
        Node {
            id,
            replica: Replica::new(replica, Raft::new(config, stored)),
            applier: Applier::new(Ledger::default(), self.faults.limits.clone()),
            hard_state,
            log,
            writes: VecDeque::new(),
            applies: VecDeque::new(),
            inputs: Vec::new(),
            down_until: None,
        }
    }

    /// The place in `nodes` of the node that leads.
    pub(crate) fn leader_at(&self) -> usize {
        let leads = |node: &Node| node.down_until.is_none() && node.replica.raft().leader() == Some(node.id);
        self.nodes.iter().position(leads).expect("somebody leads by now")
    }

    /// Runs `ms` milliseconds, with a load of about `load_percent` proposals and half as many reads each millisecond.
    pub(crate) fn run(&mut self, ms: u64, load_percent: u64) {
        for _ in 0..ms {
            self.now_ms += 1;
            self.break_things();
            self.ask_things(load_percent);
            self.deliver();
            for at in 0..self.nodes.len() {
                self.turn(at);
            }
        }
    }

    /// Runs without faults and without load until all is answered and all nodes have applied the same.
    pub(crate) fn settle(&mut self) {
        self.faults =
            Faults { limits: self.faults.limits.clone(), small: self.faults.small, ..Faults::none() };
        self.cut = None;
        for node in &mut self.nodes {
            node.down_until = node.down_until.map(|_| self.now_ms);
        }
        self.run(3_500, 0);
        // One last command for each node shows that all of them still serve.
        let before = self.clients.counted("proposals answered");
        for at in 0..3 {
            self.clients.propose(&mut self.nodes[at], false);
        }
        self.run(600, 0);
        if self.faults.limits == SessionLimits::default() {
            assert_eq!(self.clients.counted("proposals answered"), before + 3, "all nodes serve");
        }
        assert!(self.clients.open.is_empty(), "each call was answered: {:?}", self.clients.open);
        let first = &self.nodes[0].applier;
        for node in &self.nodes[1..] {
            assert_eq!(first.state(), node.applier.state(), "all nodes have applied the same");
            assert_eq!(first.applied(), node.applier.applied());
            assert_eq!(first.state_hash(), node.applier.state_hash());
            assert_eq!(first.sessions(), node.applier.sessions());
        }
        let order = &first.state().order;
        for (command, place) in &self.clients.places {
            assert_eq!(order[usize::try_from(*place).unwrap() - 1], *command, "what was told is so");
        }
        assert!(order.iter().all(|command| !self.clients.never.contains(command)), "a safe refusal is one");
    }

    fn break_things(&mut self) {
        if self.cut.is_some_and(|(_, until)| until <= self.now_ms) {
            self.cut = None;
        }
        if self.cut.is_none() && self.chance.below(1_000) < self.faults.cut_permille {
            let node = NodeId::new(1 + self.chance.below(3));
            self.cut = Some((node, self.now_ms + self.chance.below(400)));
        }
        if self.chance.below(1_000) < self.faults.crash_permille {
            let at = usize::try_from(self.chance.below(3)).unwrap();
            let down_ms = self.chance.below(300);
            self.crash(at, down_ms);
        }
        for at in 0..self.nodes.len() {
            if self.nodes[at].down_until.is_some_and(|until| until <= self.now_ms) {
                let (id, hard_state) = (self.nodes[at].id, self.nodes[at].hard_state);
                let log = std::mem::take(&mut self.nodes[at].log);
                self.nodes[at] = self.start(id, hard_state, log);
            }
        }
    }

    /// A node dies: what is not durable is lost, and its callers are told nothing.
    pub(crate) fn crash(&mut self, at: usize, down_ms: u64) {
        let node = &mut self.nodes[at];
        if node.down_until.is_none() {
            node.down_until = Some(self.now_ms + down_ms);
            node.writes.clear();
            node.applies.clear();
            node.inputs.clear();
            self.clients.on_crash(node.id);
        }
    }

    fn ask_things(&mut self, load_percent: u64) {
        let at = usize::try_from(self.chance.below(3)).unwrap();
        if self.nodes[at].down_until.is_some() {
            return;
        }
        if self.chance.percent(load_percent) {
            let keyed = self.chance.percent(30);
            self.clients.propose(&mut self.nodes[at], keyed);
        }
        if self.chance.percent(load_percent / 2) {
            self.clients.read(&mut self.nodes[at]);
        }
        if self.chance.percent(load_percent) {
            self.clients.propose_again(&mut self.nodes[at]);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: &PeerMessage) {
        let (kind, body) = peer_codec::encode(message);
        let copies = if (self.faults.lose)(message) || self.chance.percent(self.faults.loss_percent) {
            0
        } else {
            1 + u64::from(self.chance.percent(self.faults.repeat_percent))
        };
        for copy in 0..copies {
            // A repeated copy may be very late: from before a restart, or a leadership ago.
            let late = if copy == 0 { 1 } else { 100 };
            let at = self.now_ms + 1 + self.chance.below(self.faults.delay_ms_max * late);
            self.sent += 1;
            self.network.insert((at, self.sent), (from, to, kind, body.clone()));
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.network.first_entry()
            && entry.key().0 <= self.now_ms
        {
            let (from, to, kind, body) = entry.remove();
            let cut = self.cut.is_some_and(|(node, _)| node == from || node == to);
            let node = &mut self.nodes[usize::try_from(to.get()).unwrap() - 1];
            if !cut && node.down_until.is_none() {
                let message = peer_codec::decode(kind, body).unwrap();
                node.inputs.push(Input::Received { from, message });
            }
        }
    }

    /// One turn of one node: what its disk and its applier have done, what came in, one drain.
    fn turn(&mut self, at: usize) {
        let now_ms = self.now_ms;
        if self.nodes[at].down_until.is_some() {
            return;
        }
        self.sync(at);
        self.work(at);
        let node = &mut self.nodes[at];
        node.replica.begin_turn(Now { monotonic_us: now_ms * 1_000, wall_ms: 1_000_000 + now_ms });
        node.replica.step(Input::Tick { elapsed: 1 });
        for input in std::mem::take(&mut node.inputs) {
            node.replica.step(input);
        }
        let effects = node.replica.drain();
        let status = node.replica.status();
        assert!(node.replica.next_deadline_ticks() >= 1);
        if self.faults.small {
            assert!(status.apply_inflight <= 2, "batches at the applier are bounded");
            assert!(
                status.pending_len <= 21,
                "local proposals are bounded, with the opening of the own session"
            );
            assert!(status.forwarded_len <= 10 && status.reads_len <= 10, "what waits is bounded");
        }
        for effect in effects {
            self.carry_out(at, effect);
        }
    }

    /// The writes that are durable by now.
    fn sync(&mut self, at: usize) {
        let now_ms = self.now_ms;
        while self.nodes[at].writes.front().is_some_and(|(done, _)| *done <= now_ms) {
            let node = &mut self.nodes[at];
            let (_, write) = node.writes.pop_front().unwrap();
            node.hard_state = write.hard_state.unwrap_or(node.hard_state);
            if let Some(first) = write.entries.first() {
                node.log.truncate(usize::try_from(first.id.index.0).unwrap() - 1);
            }
            node.log.extend(write.entries);
            node.inputs.push(Input::Persisted(write.number));
            let from = node.id;
            for envelope in write.barrier.release(Durable::attest(write.number)) {
                self.send(from, envelope.to, &PeerMessage::Raft(envelope));
            }
        }
    }

    /// What the applier has done by now.
    fn work(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[at];
        while node.applies.front().is_some_and(|(done, _)| *done <= now_ms) {
            match node.applies.pop_front().unwrap().1 {
                Work::Apply(batch) => {
                    let applied = node.applier.apply(batch);
                    for answer in applied.answers {
                        let ticket = answer.ticket;
                        self.clients.on_answer(ticket, answer.finish(now_ms * 1_000).outcome);
                    }
                    node.inputs.push(applied.report);
                }
                Work::Read(ticket) => self.clients.on_read(ticket, node.applier.state().order.len() as u64),
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[at];
        match effect {
            Effect::Send { to, message } => {
                let from = node.id;
                self.send(from, to, &message);
            }
            Effect::Persist(write) => {
                let done = now_ms + 1 + self.chance.below(self.faults.disk_ms_max);
                node.writes.push_back((done, write));
            }
            Effect::Apply(batch) => {
                let done = now_ms + self.chance.below(self.faults.apply_ms_max + 1);
                node.applies.push_back((done, Work::Apply(batch)));
            }
            Effect::Read { ticket, .. } => node.applies.push_back((now_ms, Work::Read(ticket))),
            Effect::Fetch { purpose, from, through, bytes_max } => {
                let first = usize::try_from(from.0).unwrap() - 1;
                let last = usize::try_from(through.0).unwrap().min(node.log.len());
                let mut bytes = 0;
                let fits = |entry: &&Entry| {
                    let first = bytes == 0;
                    bytes += entry.encoded_len();
                    first || bytes <= bytes_max
                };
                let entries: Vec<Entry> = node.log[first..last].iter().take_while(fits).cloned().collect();
                self.clients.count("entries read back");
                node.inputs.push(Input::Fetched { purpose, entries });
            }
            Effect::RefuseProposal { ticket, error } => self.clients.on_answer(ticket, Err(error)),
            Effect::Answer { ticket, answered } => self.clients.on_answer(ticket, answered.outcome),
            Effect::RefuseRead { ticket, .. } => self.clients.on_read_refused(ticket),
            Effect::Diverged { index, from, outvoted } => {
                panic!("all state machines do the same: {index} {from:?} {outvoted}")
            }
            Effect::TakeSnapshot { .. }
            | Effect::Compact { .. }
            | Effect::Restore { .. }
            | Effect::ReadPiece { .. }
            | Effect::StorePiece { .. }
            | Effect::DiscardSnapshot => unreachable!("so few bytes make no snapshot due"),
            Effect::AnswerCluster { .. } | Effect::Members { .. } | Effect::Fact(_) => {}
        }
    }
}

impl Clients {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counted(&self, what: &'static str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    fn ask(&mut self, node: &mut Node, what: Ask) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.open.insert(ticket, Asked { node: node.id, floor: self.told, what });
        ticket
    }

    /// Proposes a new command at a node.
    pub(crate) fn propose(&mut self, node: &mut Node, keyed: bool) {
        self.next_command += 1;
        self.propose_command(node, self.next_command, keyed);
    }

    /// Proposes again a command with a key whose outcome is unknown.
    fn propose_again(&mut self, node: &mut Node) {
        if let Some(command) = self.again.pop() {
            self.count("asked again");
            self.propose_command(node, command, true);
        }
    }

    fn propose_command(&mut self, node: &mut Node, number: u64, keyed: bool) {
        let ticket = self.ask(node, Ask::Add { command: number, keyed });
        let key = || RequestId::Key(Bytes::copy_from_slice(&number.to_le_bytes()));
        let command = CommandEnvelope {
            request_id: keyed.then(key),
            body: Bytes::copy_from_slice(&number.to_le_bytes()),
            ..CommandEnvelope::default()
        };
        node.inputs.push(Input::Propose {
            ticket,
            command,
            explain: number.is_multiple_of(7),
            patience_ticks: None,
        });
    }

    /// Reads at a node.
    pub(crate) fn read(&mut self, node: &mut Node) {
        let ticket = self.ask(node, Ask::Read);
        node.inputs.push(Input::Read { ticket });
    }

    fn on_crash(&mut self, node: NodeId) {
        let gone: Vec<Ticket> =
            self.open.iter().filter(|(_, asked)| asked.node == node).map(|(ticket, _)| *ticket).collect();
        for ticket in gone {
            if let Some(Asked { what: Ask::Add { command, keyed: true }, .. }) = self.open.remove(&ticket) {
                self.again.push(command);
            }
        }
    }

    /// A proposal was answered: once, with a place behind all that was told before it was made, and always the same.
    fn on_answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let asked = self.open.remove(&ticket).expect("each call is answered once");
        let Ask::Add { command, keyed } = asked.what else { panic!("a read is not answered as a proposal") };
        let error = match outcome {
            Ok(reply) => {
                let place = u64::from_le_bytes(reply[..].try_into().unwrap());
                let before = self.places.insert(command, place);
                match before {
                    None if !keyed => {
                        assert!(place > asked.floor, "a proposal comes after all that was told")
                    }
                    None => {}
                    Some(before) => assert_eq!(place, before, "the first answer stays"),
                }
                self.told = self.told.max(place);
                return self.count("proposals answered");
            }
            Err(error) => error,
        };
        let unknown = error.fate() == Fate::Unknown;
        match error {
            ProposeError::NoLeader { .. } => self.count("no leader"),
            ProposeError::Overloaded => self.count("overloaded"),
            ProposeError::DiskFull => self.count("disk full"),
            ProposeError::TimedOut => self.count("timed out"),
            ProposeError::Forgotten => self.count("forgotten"),
            ProposeError::SessionUnknown => self.count("session unknown"),
            ProposeError::TooLarge { .. }
            | ProposeError::KeyReused
            | ProposeError::Malformed(_)
            | ProposeError::ReplyMalformed(_)
            | ProposeError::Stopped { .. } => panic!("{error}"),
        }
        match (unknown, keyed) {
            // A refusal speaks of this attempt only: the key may have been sent before.
            (_, true) => self.again.push(command),
            (false, false) => assert!(self.never.insert(command)),
            (true, false) => {}
        }
    }

    /// A read was served: it sees all that was told before it was asked.
    fn on_read(&mut self, ticket: Ticket, place: u64) {
        let asked = self.open.remove(&ticket).expect("each call is answered once");
        assert!(matches!(asked.what, Ask::Read));
        assert!(place >= asked.floor, "a read of place {place} missed what was told before: {}", asked.floor);
        self.told = self.told.max(place);
        self.count("reads served");
    }

    fn on_read_refused(&mut self, ticket: Ticket) {
        let asked = self.open.remove(&ticket).expect("each call is answered once");
        assert!(matches!(asked.what, Ask::Read));
        self.count("reads refused");
    }
}
