//! A running node: the replica, the log over the simulated disk, and the applier, all as they ship. This file is what the
//! async switchboard is in production: it carries effects out and feeds what comes of them back in. Taking inputs, writing,
//! syncing and applying are events of their own with delays of their own, so that a crash can fall between any two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::message::Message;
use quorate_core::raft::Raft;
use quorate_core::ready::Write;
use quorate_core::status::Role;
use quorate_core::types::{EntryId, NodeId, Term, WriteNumber};
use quorate_log::{Identity, Log, LogError, ReadPlan};
use quorate_replica::applier::Applier;
use quorate_replica::cluster::ClusterRequest;
use quorate_replica::effect::{ApplyBatch, Effect, FetchPurpose};
use quorate_replica::input::{Input, Now, Ticket};
use quorate_replica::peer_codec;
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::replica::Replica;

use crate::check::budgets;
use crate::check::guests::Guests;
use crate::check::{Seen, Violation};
use crate::clock::{Clock, Timer};
use crate::counts::{count_fact, describe_answer};
use crate::disk::SimDisk;
use crate::host::Host;
use crate::ledger::Ledger;
use crate::network::{Arrivals, MessageKind, Parcel};
use crate::scene::{Event, Fetch, Life, Scene, Work};
use crate::snapshots::SnapshotWork;
use crate::workload::{CLIENT_DELAY_US, Request, RequestKind, Response, ResponseKind};
use crate::{levels, settings, store, words};

/// What dies in a crash.
pub(crate) struct Running {
    pub(crate) life: Life,
    replica: Replica,
    pub(crate) log: Log<SimDisk>,
    pub(crate) disk: SimDisk,
    /// Which store this is, and which stores of its peers it has met.
    identity: Identity<SimDisk>,
    pub(crate) applier: Applier<Host>,
    inbox: VecDeque<Input>,
    turn_is_due: bool,
    timer: Timer,
    /// Writes that wait for the log worker.
    pub(crate) writes: VecDeque<Write>,
    /// Writes that are being written or synced.
    pub(crate) writing: Vec<Write>,
    pub(crate) log_is_busy: bool,
    /// A write found no room, and the core has not heard of it yet.
    pub(crate) refuses: bool,
    /// That write, until the sync of what was written before it has returned.
    pub(crate) refused: Option<WriteNumber>,
    to_apply: VecDeque<ToApply>,
    applier_is_busy: bool,
    /// How many of the state's fingerprints have been compared with the other nodes'.
    pub(crate) fingerprints_seen: usize,
    /// How many answers of the user's machine have been compared with the other nodes'.
    told_seen: usize,
    pub(crate) snapshots: SnapshotWork,
    requests: BTreeMap<Ticket, Request>,
    /// Operators that wait.
    cluster_tickets: BTreeSet<Ticket>,
    ticket_last: u64,
    /// How many reads have been counted: by the lease, and by rounds.
    reads_counted: (u64, u64),
    status_line: String,
}

/// Whether the node goes on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stopped {
    /// It does.
    No,
    /// Its disk failed: it stops by itself.
    Disk,
    /// It loses its power at this very point.
    Power,
    /// Its binary does not understand what the cluster does: it stops by itself.
    Level,
}

/// Why a node did not start.
pub(crate) enum NotStarted {
    /// The log did not open.
    Disk(LogError),
    /// The log opened, and what it gave back breaks a rule.
    Broken(Violation),
    /// The binary of this life does not understand the state that it found.
    Level,
}

enum ToApply {
    Batch(ApplyBatch),
    Read { ticket: Ticket },
    TakeSnapshot { term: Term },
    Restore { last: EntryId },
}

impl Running {
    /// Opens the log and starts from what it holds. `incarnation` names the store if it is new.
    pub(crate) fn start(
        life: Life,
        disk: SimDisk,
        incarnation: u128,
        clock: Clock,
        scene: &mut Scene,
    ) -> Result<Running, NotStarted> {
        let node = life.node;
        let limits = &scene.profile.limits;
        // A node that joins knows nobody, and its log is empty.
        let voters = if scene.voters.contains(&node) { scene.voters.as_slice() } else { &[] };
        let opened =
            store::open_folder(&disk, node, incarnation, voters, limits).map_err(NotStarted::Disk)?;
        let store::Opened { log, stored, entries, identity } = opened;
        scene.checks.on_start(node, &stored, &entries).map_err(NotStarted::Broken)?;
        scene.mark(node, || {
            let state = words::hard_state(stored.hard_state);
            format!("starts life {} with {state}, last {}", life.number, stored.last)
        });
        let mut timer = Timer::start(life, clock, scene.now_us);
        timer.set_deadline(scene, 1);
        let invitation = scene.guests.as_ref().map(Guests::invitation);
        let level_max = levels::level_max(life, &scene.profile);
        let raft = Raft::new(settings::core_config(life, &scene.profile), stored);
        let mut running = Running {
            life,
            replica: Replica::new(settings::replica_config(life, &scene.profile), raft),
            log,
            disk,
            identity,
            applier: Applier::new(Host::new(node, invitation, level_max), settings::session_limits()),
            inbox: VecDeque::new(),
            turn_is_due: false,
            timer,
            writes: VecDeque::new(),
            writing: Vec::new(),
            log_is_busy: false,
            refuses: false,
            refused: None,
            to_apply: VecDeque::new(),
            applier_is_busy: false,
            fingerprints_seen: 0,
            told_seen: 0,
            snapshots: SnapshotWork::default(),
            requests: BTreeMap::new(),
            cluster_tickets: BTreeSet::new(),
            ticket_last: 0,
            reads_counted: (0, 0),
            status_line: String::new(),
        };
        running.start_from_snapshot(scene)?;
        Ok(running)
    }

    /// Which store this node runs on.
    pub(crate) fn incarnation(&self) -> u128 {
        self.identity.incarnation()
    }

    /// Whether this node has met the store behind a peer's id before.
    pub(crate) fn knows(&self, peer: NodeId) -> bool {
        self.identity.known_incarnation(peer).is_some()
    }

    /// What the handshake decides: whether messages from this store under this id are taken.
    pub(crate) fn welcomes(&mut self, peer: NodeId, incarnation: u128) -> Result<(), LogError> {
        self.identity.remember(peer, incarnation)
    }

    pub(crate) fn life(&self) -> Life {
        self.life
    }

    pub(crate) fn raft(&self) -> &Raft {
        self.replica.raft()
    }

    /// Whether its disk has lost something that is not back.
    pub(crate) fn is_damaged(&self) -> bool {
        let status = self.raft().status();
        status.damaged_len > 0 || status.state_lost
    }

    pub(crate) fn state(&self) -> &Ledger {
        self.applier.state().ledger()
    }

    /// Puts an input into the inbox, behind the ticks that passed before it, and lets a turn come.
    pub(crate) fn take(&mut self, scene: &mut Scene, input: Input) {
        self.take_ticks(scene);
        self.inbox.push_back(input);
        self.wake(scene);
    }

    /// An alarm rings: if a deadline has come, so does a turn.
    pub(crate) fn on_alarm(&mut self, scene: &mut Scene) {
        if self.timer.rings(scene) {
            self.take_ticks(scene);
            self.wake(scene);
        }
    }

    /// The node's clock was changed.
    pub(crate) fn on_clock(&mut self, scene: &mut Scene, clock: Clock) {
        self.timer.on_clock(scene, clock);
    }

    /// Puts the ticks that have passed into the inbox. Ticks that pile up become one, as in a node that was paused.
    fn take_ticks(&mut self, scene: &Scene) {
        let elapsed = self.timer.take_ticks(scene.now_us);
        match self.inbox.back_mut() {
            _ if elapsed == 0 => {}
            Some(Input::Tick { elapsed: waiting }) => *waiting += elapsed,
            Some(_) | None => self.inbox.push_back(Input::Tick { elapsed }),
        }
    }

    fn wake(&mut self, scene: &mut Scene) {
        if !self.turn_is_due {
            self.turn_is_due = true;
            let delay = scene.delays.between(1, scene.profile.limits.turn_delay_us_max);
            scene.after(delay, Event::Work(self.life, Work::Turn));
        }
    }

    /// A client's request: gives it a ticket and puts it into the inbox.
    pub(crate) fn on_request(&mut self, scene: &mut Scene, request: Request) {
        self.ticket_last += 1;
        let ticket = Ticket(self.ticket_last);
        let input = match &request.kind {
            RequestKind::Propose(command) => {
                Input::Propose { ticket, command: command.clone(), explain: false, patience_ticks: None }
            }
            RequestKind::Read { .. } => Input::Read { ticket },
        };
        self.requests.insert(ticket, request);
        self.take(scene, input);
    }

    /// An operator's request: gives it a ticket and puts it into the inbox.
    pub(crate) fn on_cluster(&mut self, scene: &mut Scene, request: ClusterRequest) {
        self.ticket_last += 1;
        let ticket = Ticket(self.ticket_last);
        self.cluster_tickets.insert(ticket);
        self.take(scene, Input::Cluster { ticket, request });
    }

    /// Steps what waits, then carries out what comes of it.
    pub(crate) fn turn(&mut self, scene: &mut Scene, now: Now) -> Result<Stopped, Violation> {
        self.turn_is_due = false;
        self.take_ticks(scene);
        let count = self.inbox.len().min(scene.profile.limits.turn_inputs_max);
        scene.checks.on_wall(self.life.node, now.wall_ms);
        self.replica.begin_turn(now);
        let mut ticks = 0;
        for input in self.inbox.drain(..count) {
            if let Input::Tick { elapsed } = &input {
                ticks += elapsed;
            }
            self.replica.step(input);
        }
        let effects = self.replica.drain();
        let write = effects
            .iter()
            .find_map(|effect| if let Effect::Persist(write) = effect { Some(write) } else { None });
        let raft = self.replica.raft();
        let node = self.life.node;
        let seen = Seen {
            node,
            term: raft.term(),
            leads: raft.role() == Role::Leader,
            commit: raft.commit_index(),
            paused: raft.is_paused(),
        };
        scene.checks.on_turn(seen, write)?;
        scene.checks.on_ticks(seen, ticks, scene.profile.limits.election_timeout_ticks)?;
        budgets::watch(scene, &self.replica)?;
        self.count_reads(scene);
        self.trace_turn(scene);
        for effect in effects {
            self.carry_out(scene, effect)?;
        }
        if !self.inbox.is_empty() {
            self.turn_is_due = true;
            scene.after(1, Event::Work(self.life, Work::Turn));
        }
        self.timer.set_deadline(scene, self.replica.next_deadline_ticks());
        Ok(Stopped::No)
    }

    /// Counts how reads were confirmed, where there are leases.
    fn count_reads(&mut self, scene: &mut Scene) {
        let metrics = self.replica.metrics();
        let reads = (metrics.reads_by_lease, metrics.reads_by_round);
        if reads == self.reads_counted || scene.profile.limits.leases.drift_percent == 0 {
            return;
        }
        let name =
            if reads.0 > self.reads_counted.0 { "lease: read" } else { "lease: none, read by a round" };
        scene.count(name);
        self.reads_counted = reads;
    }

    /// Adds a line when the node's own line has changed.
    fn trace_turn(&mut self, scene: &mut Scene) {
        if scene.trace.is_on() {
            let line = self.replica.raft().status().to_string();
            if line != self.status_line {
                scene.line("", || line.clone());
                let (now_us, node) = (scene.now_us, self.life.node);
                // The line without its first word, which is the node's name.
                let state = line.split_once(' ').map_or(line.as_str(), |(_, state)| state);
                scene.trace.draw(|diagram| diagram.node(now_us, node, state.to_owned()));
                self.status_line = line;
            }
        }
    }

    fn carry_out(&mut self, scene: &mut Scene, effect: Effect) -> Result<(), Violation> {
        let node = self.life.node;
        match effect {
            Effect::Send { to, message } => self.send(scene, to, &message)?,
            Effect::Persist(write) => {
                scene.mark(node, || words::write(&write));
                self.refuses &= !write.after_refusal;
                if self.refuses {
                    // Handed out before the core heard of it.
                    scene.checks.on_no_room(node, write.number);
                } else {
                    self.writes.push_back(write);
                    self.wake_log(scene);
                }
            }
            Effect::Apply(batch) => {
                self.to_apply.push_back(ToApply::Batch(batch));
                self.wake_applier(scene);
            }
            Effect::Read { ticket, index } => {
                scene.line(node, || format!("may serve a read at {index}"));
                self.to_apply.push_back(ToApply::Read { ticket });
                self.wake_applier(scene);
            }
            Effect::Fetch { purpose, from, through, bytes_max } => {
                scene.count("entries read back from the log");
                let wanted = Fetch { purpose, from, through, bytes_max };
                scene.after(50, Event::Work(self.life, Work::FetchPlan(wanted)));
            }
            Effect::TakeSnapshot { term } => {
                self.to_apply.push_back(ToApply::TakeSnapshot { term });
                self.wake_applier(scene);
            }
            Effect::Restore { last } => {
                self.to_apply.push_back(ToApply::Restore { last });
                self.wake_applier(scene);
            }
            Effect::Compact { through, keep } => {
                let delay = scene.delays.between(10, 2_000);
                scene.after(delay, Event::Work(self.life, Work::Compact { through, keep }));
            }
            Effect::ReadPiece { to, last, piece } => {
                let delay = scene.delays.between(20, 500);
                scene.after(delay, Event::Work(self.life, Work::ReadPiece { to, last, piece }));
            }
            Effect::StorePiece { piece, bytes } => self.store_piece(scene, Some((piece, bytes))),
            Effect::DiscardSnapshot => self.store_piece(scene, None),
            Effect::RefuseProposal { ticket, error } => {
                self.respond(scene, ticket, ResponseKind::Proposed(Err(error)));
            }
            Effect::Answer { ticket, answered } => {
                self.respond(scene, ticket, ResponseKind::Proposed(answered.outcome));
            }
            Effect::RefuseRead { ticket, .. } => self.respond(scene, ticket, ResponseKind::Refused),
            Effect::Diverged { index, from, outvoted } => {
                let what = format!("{node} differs at {index} from {from:?}, outvoted: {outvoted}");
                return Err(Violation::safety("all state machines do the same with the same entries", what));
            }
            Effect::AnswerCluster { ticket, result } => {
                let known = self.cluster_tickets.remove(&ticket);
                assert!(known, "each ticket is answered exactly once");
                scene.line(node, || format!("{ticket:?}: {result:?}"));
                scene.count(describe_answer(&result));
            }
            // Every node can reach every other one here.
            Effect::Members { .. } => {}
            Effect::Fact(fact) => {
                count_fact(scene, &fact);
                scene.line(node, || format!("{fact:?}"));
            }
        }
        Ok(())
    }

    /// The log says where the wanted entries stand. They are read later, while the writer goes on.
    pub(crate) fn plan(&mut self, scene: &mut Scene, wanted: Fetch) -> Stopped {
        let Fetch { purpose, from, through, bytes_max } = wanted;
        match self.log.plan(from, through, bytes_max) {
            Some(plan) => {
                let delay = scene.delays.between(50, 2_000);
                scene.after(delay, Event::Work(self.life, Work::FetchRead { purpose, plan: Box::new(plan) }));
            }
            // A snapshot holds what they did.
            None if from <= self.log.base().index => {
                self.take(scene, Input::Fetched { purpose, entries: Vec::new() });
            }
            // The entries wait for the log worker themselves.
            None => scene.after(1_000, Event::Work(self.life, Work::FetchPlan(wanted))),
        }
        Stopped::No
    }

    /// Entries come back from the log.
    pub(crate) fn read_back(&mut self, scene: &mut Scene, purpose: FetchPurpose, plan: &ReadPlan) -> Stopped {
        match plan.read(&self.disk) {
            Ok(entries) => {
                self.take(scene, Input::Fetched { purpose, entries });
                Stopped::No
            }
            Err(LogError::Compacted { .. }) => {
                scene.count("entries compacted before they were read back");
                self.take(scene, Input::Fetched { purpose, entries: Vec::new() });
                Stopped::No
            }
            Err(error) => {
                scene.mark(self.life.node, || format!("stops: {error}"));
                Stopped::Disk
            }
        }
    }

    /// The applier takes its next piece of work.
    pub(crate) fn apply_next(&mut self, scene: &mut Scene) -> Result<Stopped, Violation> {
        self.applier_is_busy = false;
        let mut stopped = Stopped::No;
        match self.to_apply.pop_front() {
            Some(ToApply::Batch(batch)) => stopped = self.apply(scene, batch)?,
            Some(ToApply::Read { ticket }) => {
                let saw = self.state().last().index;
                let len = match self.requests.get(&ticket).map(|request| &request.kind) {
                    Some(RequestKind::Read { list }) => self.state().list(*list).len(),
                    Some(RequestKind::Propose(_)) | None => 0,
                };
                self.respond(scene, ticket, ResponseKind::Read { saw, list_len: len });
            }
            Some(ToApply::TakeSnapshot { term }) => self.take_snapshot(scene, term)?,
            Some(ToApply::Restore { last }) => stopped = self.restore(scene, last)?,
            None => {}
        }
        self.wake_applier(scene);
        Ok(stopped)
    }

    fn apply(&mut self, scene: &mut Scene, batch: ApplyBatch) -> Result<Stopped, Violation> {
        let node = self.life.node;
        scene.checks.on_apply(node, &batch.entries)?;
        let level = self.applier.level();
        let applied = self.applier.apply(batch);
        if levels::count(scene, node, self.applier.level() > level, applied.too_new) {
            return Ok(Stopped::Level);
        }
        let through = scene.checks.applied(node);
        scene.mark(node, || format!("apply ..{through}"));
        let state = self.applier.state().ledger();
        for (index, fingerprint) in state.fingerprints_from(self.fingerprints_seen) {
            scene.checks.on_state(node, *index, *fingerprint)?;
        }
        self.fingerprints_seen = state.fingerprints_len();
        self.compare_guest(scene)?;
        for answer in applied.answers {
            self.respond(scene, answer.ticket, ResponseKind::Proposed(answer.outcome));
        }
        self.take(scene, applied.report);
        Ok(Stopped::No)
    }

    /// Holds what the user's machine said, if there is one, against what it said elsewhere.
    fn compare_guest(&mut self, scene: &mut Scene) -> Result<(), Violation> {
        let (Some(guests), Some(guest)) = (&mut scene.guests, self.applier.state().guest()) else {
            return Ok(());
        };
        for told in guest.told_from(self.told_seen) {
            scene.trace.line(scene.now_us, self.life.node, || format!("applied {}", guests.describe(told)));
            guests.on_told(self.life.node, told)?;
        }
        self.told_seen = guest.told_len();
        Ok(())
    }

    fn respond(&mut self, scene: &mut Scene, ticket: Ticket, kind: ResponseKind) {
        let request = self.requests.remove(&ticket).expect("each ticket is answered exactly once");
        scene.after(CLIENT_DELAY_US, Event::Response(Response { request: request.name, kind }));
    }

    /// Gives a message to the network: encoded here, decoded where it arrives.
    pub(crate) fn send(&self, scene: &mut Scene, to: NodeId, message: &PeerMessage) -> Result<(), Violation> {
        let from = self.life.node;
        if let PeerMessage::Raft(envelope) = message {
            assert!(envelope.from == from && envelope.to == to, "an envelope carries its true addresses");
            scene.checks.on_sent(envelope)?;
        }
        let (kind, body) = peer_codec::encode(message);
        let parcel = Parcel { from, to, kind: kind_of(message), len: body.len() };
        let (sent_us, incarnation) = (scene.now_us, self.incarnation());
        let arrivals = scene.network.judge(sent_us, parcel);
        self.trace_message(scene, to, message, arrivals);
        let Arrivals { first: Some(first_us), copy } = arrivals else { return Ok(()) };
        let arrival = |body| Event::Arrive { from, to, kind, body, sent_us, incarnation };
        // A body that nobody shares is cheaper to come by than to copy, and nearly all arrive once.
        let repeated = copy.map(|copy_us| (copy_us, body.clone()));
        scene.at(first_us, arrival(body));
        if let Some((copy_us, body)) = repeated {
            scene.at(copy_us, arrival(body));
        }
        Ok(())
    }

    fn trace_message(&self, scene: &mut Scene, to: NodeId, message: &PeerMessage, arrivals: Arrivals) {
        if !scene.trace.is_on() {
            return;
        }
        let (from, now_us) = (self.life.node, scene.now_us);
        let (kind, what) = words::message(message);
        let arrival = match (arrivals.first, arrivals.copy) {
            (None, _) => "LOST".to_string(),
            (Some(one), None) => format!("+{} us", one - now_us),
            (Some(first), Some(copy)) => format!("+{} us and again +{} us", first - now_us, copy - now_us),
        };
        scene.line(from, || format!("-> {to} {kind} {what}  {arrival}"));
        scene.trace.draw(|diagram| diagram.message(now_us, (from, to), (kind, what), arrivals));
    }

    pub(crate) fn wake_log(&mut self, scene: &mut Scene) {
        if !self.log_is_busy && !self.writes.is_empty() {
            self.log_is_busy = true;
            let delay = scene.delays.between(1, 50);
            scene.after(delay, Event::Work(self.life, Work::LogWrite));
        }
    }

    fn wake_applier(&mut self, scene: &mut Scene) {
        if !self.applier_is_busy && !self.to_apply.is_empty() {
            self.applier_is_busy = true;
            let delay = scene.delays.between(1, 100);
            scene.after(delay, Event::Work(self.life, Work::Apply));
        }
    }
}

/// What kind of message the network sees.
fn kind_of(message: &PeerMessage) -> MessageKind {
    match message {
        PeerMessage::Raft(envelope) => match envelope.message {
            Message::VoteRequest { .. }
            | Message::VoteResponse { .. }
            | Message::PreVoteRequest { .. }
            | Message::PreVoteResponse { .. } => MessageKind::Vote,
            Message::AppendRequest { .. } | Message::Donation { .. } => MessageKind::Append,
            Message::AppendResponse { .. } | Message::AppendRejected { .. } => MessageKind::AppendAnswer,
            Message::SnapshotOffer { .. } => MessageKind::Snapshot,
            Message::RepairRequest { .. } | Message::RepairResponse { .. } => MessageKind::Snapshot,
            Message::Heartbeat { .. } | Message::HeartbeatResponse { .. } | Message::TimeoutNow { .. } => {
                MessageKind::Heartbeat
            }
        },
        PeerMessage::SnapshotAsk { .. }
        | PeerMessage::SnapshotPiece { .. }
        | PeerMessage::SnapshotGone { .. }
        | PeerMessage::SnapshotFetching { .. } => MessageKind::Snapshot,
        PeerMessage::Forward { .. }
        | PeerMessage::ForwardReply { .. }
        | PeerMessage::ForwardRead { .. }
        | PeerMessage::ForwardReadReply { .. }
        | PeerMessage::StateMarks { .. }
        | PeerMessage::StatusRequest { .. }
        | PeerMessage::StatusReply { .. }
        | PeerMessage::ClusterRequest { .. }
        | PeerMessage::ClusterReply { .. }
        | PeerMessage::Introduction { .. } => MessageKind::Forward,
    }
}
