//! The clients: each has one operation open at a time and repeats it under the same request id, on any node, until it is
//! answered. What they were told is what the cluster must keep.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use quorate_core::types::{Index, NodeId};
use quorate_machine::{Command, Expect, Outcome, Proposal, Reply, Wish};
use quorate_replica::effect;
use quorate_replica::error::ProposeError;
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::state_machine::Codec;

use crate::check::Violation;
use crate::guest::{Invitation, Wishes};
use crate::host::Carried;
use crate::ledger::{Append, Appended, Ledger};
use crate::rng::Rng;
use crate::scene::{Event, Scene};
use crate::scouts::SCOUTS;

/// A client of the run.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == SCOUTS { f.pad("scouts") } else { f.pad(&format!("c{}", self.0)) }
    }
}

/// Which attempt of which operation of which client.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RequestName {
    /// Whose.
    pub client: ClientId,
    /// The operation, counted from 1.
    pub operation: u64,
}

/// What a client sends to a node.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose it is.
    pub name: RequestName,
    /// What is asked.
    pub kind: RequestKind,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum RequestKind {
    /// A command.
    Propose(CommandEnvelope),
    /// The length of a list, linearizable.
    Read {
        /// Whose list, or [`SHARED`].
        list: u32,
    },
}

/// What a client gets.
#[derive(Debug)]
pub struct Response {
    /// What is answered.
    pub request: RequestName,
    /// The answer.
    pub kind: ResponseKind,
}

/// The answer.
#[derive(Debug)]
pub enum ResponseKind {
    /// The node is down, or refused a read: nothing happened.
    Refused,
    /// What became of a command.
    Proposed(effect::Outcome),
    /// A read was served.
    Read {
        /// The last command of the state that was read.
        saw: Index,
        /// How long the list was.
        list_len: usize,
    },
}

/// A client.
#[derive(Debug)]
pub struct Client {
    id: ClientId,
    rng: Rng,
    doing: Doing,
    /// Whether it uses a session, or a key for each command.
    uses_session: bool,
    /// Whether each of its values moves an instance of the built-in machine.
    moves_machine: bool,
    operation: u64,
    /// How often the open operation was sent.
    attempts: u32,
    sequence: u64,
    /// Raised with each change, so that an old alarm is recognised.
    alarm: u64,
    /// The first answer of each operation: every later one must be the same.
    answers: BTreeMap<u64, Bytes>,
    acknowledged: Vec<u64>,
    /// The last value that it has sent to its own list.
    value_last: u64,
    /// How many values it has sent to the shared list.
    shared_len: u64,
    /// The newest revision of the shared instance that it was told.
    shared_revision: u64,
    /// What it asks of the machine of a user, if there is one.
    wishes: Option<Wishes>,
    /// It rests for good once this operation is answered.
    operation_final: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Doing {
    Resting,
    Proposing(CommandEnvelope),
    /// `list_len` is how long the list is at least: what was acknowledged to this client before.
    Reading {
        floor: Index,
        list: u32,
        list_len: usize,
    },
}

impl Client {
    /// A client that has not begun.
    pub fn new(seed: u64, id: ClientId) -> Client {
        let mut rng = Rng::stream(seed, &format!("client {}", id.0));
        let (uses_session, moves_machine) = (rng.chance(700), rng.chance(400));
        Client {
            id,
            rng,
            doing: Doing::Resting,
            uses_session,
            moves_machine,
            operation: 0,
            attempts: 0,
            sequence: 0,
            alarm: 0,
            answers: BTreeMap::new(),
            acknowledged: Vec::new(),
            value_last: 0,
            shared_len: 0,
            shared_revision: 0,
            wishes: None,
            operation_final: None,
        }
    }

    /// From now on, each of its writes carries a command for the machine of a user.
    pub(crate) fn invite(&mut self, seed: u64, invitation: &Invitation) {
        let rng = Rng::stream(seed, &format!("wishes of client {}", self.id.0));
        self.wishes = Some(Wishes { invitation: invitation.clone(), rng });
    }

    /// Sets the alarm for its first operation.
    pub fn start(&mut self, scene: &mut Scene) {
        self.operation_final = Some(scene.profile.operations_max);
        self.rest(scene);
    }

    /// Lets the client end: after one more operation it rests for good, unless it has begun as many as it may.
    pub fn finish(&mut self) {
        let last = self.operation + 1;
        self.operation_final = Some(self.operation_final.map_or(last, |limit| limit.min(last)));
    }

    /// How many operations it has begun.
    pub fn operations_len(&self) -> u64 {
        self.operation
    }

    /// What it waits for, if it waits.
    pub fn waits_for(&self) -> Option<String> {
        let waits = self.doing != Doing::Resting;
        waits.then(|| {
            let times = self.attempts;
            format!(
                "{} waits for operation {}, asked {times} times: {}",
                self.label(),
                self.operation,
                self.doing.in_words()
            )
        })
    }

    /// Whether it rests for good.
    pub fn is_done(&self) -> bool {
        self.doing == Doing::Resting && self.operation_final.is_some_and(|last| self.operation >= last)
    }

    /// The alarm rings: begins the next operation, or repeats the one that is open.
    pub fn on_wake(&mut self, scene: &mut Scene, alarm: u64) {
        if alarm != self.alarm || self.is_done() {
            return;
        }
        if self.doing == Doing::Resting {
            self.begin(scene);
        } else if self.gives_up() {
            scene.count("client gave up a request");
            scene.recorder.on_given_up(self.id);
            self.begin(scene);
        } else {
            scene.count("client repeated a request");
        }
        self.attempt(scene);
    }

    /// What goes to its own list is repeated until it is answered: each value stands on the one before it. What is shared
    /// may be given up. Then it takes effect at some later time, or never.
    fn gives_up(&mut self) -> bool {
        let is_shared = match &self.doing {
            Doing::Resting | Doing::Reading { .. } => false,
            Doing::Proposing(envelope) => sent(envelope).is_some_and(|append| append.client == SHARED),
        };
        is_shared && self.rng.chance(100)
    }

    fn begin(&mut self, scene: &mut Scene) {
        self.operation += 1;
        self.attempts = 0;
        if self.operation > 1 && self.rng.chance(300) {
            let floor = scene.checks.linearizable.floor();
            let list = if self.rng.chance(500) {
                self.id.0
            } else {
                u32::try_from(self.rng.below(u64::from(scene.profile.clients) + 1)).expect("few clients")
            };
            let list_len = if list == self.id.0 { self.acknowledged.len() } else { 0 };
            self.doing = Doing::Reading { floor, list, list_len };
            scene.recorder.on_read(self.id, list);
            return;
        }
        let command = self.next_command(scene);
        self.doing = Doing::Proposing(command);
    }

    fn next_command(&mut self, scene: &mut Scene) -> CommandEnvelope {
        let session = u128::from(self.id.0) + 1;
        if self.uses_session && self.sequence == 0 {
            self.sequence = 1;
            let request_id = Some(RequestId::Session { session, sequence: 0, acknowledged: 0 });
            return CommandEnvelope {
                kind: CommandKind::OpenSession,
                request_id,
                ..CommandEnvelope::default()
            };
        }
        let own = if self.rng.chance(200) { self.next_shared() } else { self.next_own() };
        scene.recorder.on_append(self.id, &own);
        let guest = self.wishes.as_mut().map(Wishes::next_command);
        let mut body = Vec::new();
        Carried { own, guest }.encode(&mut body);
        let request_id = if self.uses_session {
            let sequence = self.sequence;
            self.sequence += 1;
            // What was answered may be forgotten; now and then the client is slow to say so.
            let acknowledged = if self.rng.chance(500) { sequence - 1 } else { 0 };
            RequestId::Session { session, sequence, acknowledged }
        } else {
            RequestId::Key(Bytes::from(format!("client {} operation {}", self.id.0, self.operation)))
        };
        CommandEnvelope { request_id: Some(request_id), body: body.into(), ..CommandEnvelope::default() }
    }

    fn next_own(&mut self) -> Append {
        self.value_last += 1;
        let command = self.moves_machine.then(|| self.machine_command());
        Append { client: self.id.0, value: self.value_last, command }
    }

    /// All clients append to the shared list and move the shared instance as they like: many moves are refused.
    fn next_shared(&mut self) -> Append {
        self.shared_len += 1;
        let value = u64::from(self.id.0) << 32 | self.shared_len;
        let (machine, id) = ("lifecycle".to_string(), "shared".to_string());
        let command = if self.shared_revision == 0 {
            Command::Create { machine, id }
        } else {
            let event = *self.rng.pick(&["start", "stop", "reset"]).expect("three events");
            let revision = self.rng.chance(300).then_some(self.shared_revision);
            let expect = Expect { revision, state: None };
            Command::Propose(Proposal { machine, id, wish: Wish::Event(event.into()), data: None, expect })
        };
        Append { client: SHARED, value, command: Some(command) }
    }

    /// The value decides the move: the first creates the instance, each further one takes the next event of the circle. The
    /// machine refuses a move that comes twice, too early or out of order.
    fn machine_command(&self) -> Command {
        let (machine, id) = ("lifecycle".to_string(), self.label());
        if self.value_last == 1 {
            return Command::Create { machine, id };
        }
        let event = match self.value_last % 3 {
            2 => "start",
            0 => "stop",
            _ => "reset",
        };
        let expect = Expect { revision: Some(self.value_last - 1), state: None };
        Command::Propose(Proposal { machine, id, wish: Wish::Event(event.into()), data: None, expect })
    }

    /// Sends the open operation to some node, now and then to two at once.
    fn attempt(&mut self, scene: &mut Scene) {
        let kind = match &self.doing {
            Doing::Resting => return,
            Doing::Proposing(command) => RequestKind::Propose(command.clone()),
            Doing::Reading { list, .. } => RequestKind::Read { list: *list },
        };
        let name = RequestName { client: self.id, operation: self.operation };
        let copies = if self.rng.chance(50) { 2 } else { 1 };
        let asked = scene.asked();
        for _ in 0..copies {
            let node: NodeId = *self.rng.pick(&asked).expect("a cluster has members");
            scene.tell(self.id, || {
                format!("-> {node} operation {} {}", name.operation, self.doing.in_words())
            });
            let request = Box::new(Request { name, kind: kind.clone() });
            scene.after(CLIENT_DELAY_US, Event::Request { node, request });
        }
        // Each repetition waits twice as long: clients that never back off would bury a slow cluster in copies.
        let timeout_us = scene.profile.limits.client_timeout_us << self.attempts.min(TIMEOUT_DOUBLINGS_MAX);
        self.attempts += 1;
        self.set_alarm(scene, timeout_us.min(TIMEOUT_US_MAX));
    }

    /// An answer arrives, perhaps to an operation of long ago.
    ///
    /// # Errors
    /// When the answer breaks a promise.
    pub fn on_response(&mut self, scene: &mut Scene, response: Response) -> Result<(), Violation> {
        scene.tell(self.id, || {
            format!("<- operation {} {}", response.request.operation, response.kind.in_words())
        });
        let operation = response.request.operation;
        let is_open = operation == self.operation && self.doing != Doing::Resting;
        match response.kind {
            ResponseKind::Proposed(Ok(reply)) => self.on_reply(scene, operation, reply, is_open),
            ResponseKind::Proposed(Err(error)) if is_open => self.on_error(scene, &error),
            ResponseKind::Refused if is_open => {
                self.pause(scene);
                Ok(())
            }
            ResponseKind::Read { saw, list_len } if is_open => self.on_read(scene, saw, list_len),
            ResponseKind::Proposed(Err(_)) | ResponseKind::Refused | ResponseKind::Read { .. } => Ok(()),
        }
    }

    fn on_reply(
        &mut self,
        scene: &mut Scene,
        operation: u64,
        reply: Bytes,
        is_open: bool,
    ) -> Result<(), Violation> {
        if let Some(first) = self.answers.get(&operation).filter(|first| **first != reply)
            && !self.is_excused(first, &reply)
        {
            let (first, later) = (in_words(first), in_words(&reply));
            let what = format!("operation {operation} of {}: first {first}; later {later}", self.label());
            return Err(Violation::safety("the same request gets the same answer", what));
        }
        if !is_open {
            return Ok(());
        }
        if let Doing::Proposing(CommandEnvelope { kind: CommandKind::User, body, .. }) = &self.doing {
            let asked = Carried::<Append>::decode(body);
            let decoded = asked.and_then(|asked| Ok((asked.own, Carried::<Appended>::decode(&reply)?)));
            let Ok((append, Carried { own: appended, guest })) = decoded else {
                return self.broken("an answer decodes", operation);
            };
            if let (Some(guests), Some(reply)) = (&scene.guests, guest) {
                guests.on_acknowledged(&self.label(), appended.entry.index, &reply)?;
            }
            if append.client == SHARED {
                self.shared_revision = shared_revision(&appended).unwrap_or(self.shared_revision);
            } else if appended.position + 1 == append.value && moved_as_wished(&append, &appended) {
                self.acknowledged.push(append.value);
            } else {
                return self.broken("the writes of one client are applied in their order", operation);
            }
            scene.recorder.on_appended(self.id, &appended);
            scene.checks.linearizable.on_acknowledged(appended.entry.index);
        }
        self.answers.insert(operation, reply);
        self.rest(scene);
        Ok(())
    }

    /// A key is remembered for a day of log time. After that its command is applied as a new one, and answered anew.
    fn is_excused(&self, first: &Bytes, later: &Bytes) -> bool {
        let repeated = |reply| Carried::<Appended>::decode(reply).is_ok_and(|answer| answer.own.repeated);
        !self.uses_session && (repeated(first) || repeated(later))
    }

    fn on_error(&mut self, scene: &mut Scene, error: &ProposeError) -> Result<(), Violation> {
        match error {
            ProposeError::NoLeader { .. }
            | ProposeError::Overloaded
            | ProposeError::DiskFull
            | ProposeError::TimedOut
            | ProposeError::Stopped { .. } => {
                self.pause(scene);
                Ok(())
            }
            ProposeError::TooLarge { .. }
            | ProposeError::Forgotten
            | ProposeError::SessionUnknown
            | ProposeError::KeyReused
            | ProposeError::Malformed(_)
            | ProposeError::ReplyMalformed(_) => self.broken(
                "a sound request that was not answered yet is never refused for good",
                self.operation,
            ),
        }
    }

    fn on_read(&mut self, scene: &mut Scene, saw: Index, list_len: usize) -> Result<(), Violation> {
        let Doing::Reading { floor, list_len: known, .. } = self.doing else {
            return self.broken("a read is answered as a read", self.operation);
        };
        scene.checks.linearizable.on_read(self.id, floor, saw)?;
        if list_len < known {
            return self.broken("a read shows all that was acknowledged to its client", self.operation);
        }
        scene.recorder.on_read_answered(self.id, list_len);
        self.rest(scene);
        Ok(())
    }

    /// At the end: every acknowledged value stands in the list exactly once, and nothing that was never sent.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_final(&self, node: NodeId, state: &Ledger) -> Result<(), Violation> {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for value in state.list(self.id.0) {
            *counts.entry(*value).or_default() += 1;
        }
        let len = u64::try_from(counts.len()).expect("a list in memory has fewer than 2^64 values");
        let wrong = |rule, value| {
            Err(Violation::safety(rule, format!("value {value} of {} on {node}", self.label())))
        };
        if let Some((value, _)) = counts.iter().find(|(_, count)| **count > 1) {
            return wrong("no write is applied twice", *value);
        }
        // A repetition after more than a day of log time is documented for keys, and for nothing else.
        let repeat = state.repeats().iter().find(|repeat| repeat.client == self.id.0);
        if let Some(repeat) = repeat.filter(|_| self.uses_session) {
            return wrong("no write of a session is applied twice", repeat.value);
        }
        if let Some(value) = self.acknowledged.iter().find(|value| !counts.contains_key(value)) {
            return wrong("no acknowledged write is lost", *value);
        }
        if self.moves_machine && len > 0 {
            let instance = state.registry().instance("lifecycle", &self.label());
            if !instance.is_ok_and(|instance| instance.revision == len) {
                return wrong("a declared machine has moved once for each value", len);
            }
        }
        match counts.last_key_value() {
            Some((value, _)) if *value > self.value_last => {
                wrong("nothing is applied that nobody wrote", *value)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn broken(&self, rule: &'static str, operation: u64) -> Result<(), Violation> {
        let what = format!("operation {operation} of {}: {}", self.label(), self.doing.in_words());
        Err(Violation::safety(rule, what))
    }

    fn rest(&mut self, scene: &mut Scene) {
        self.doing = Doing::Resting;
        let limits = &scene.profile.limits;
        let in_burst = !(self.operation + 1).is_multiple_of(limits.client_burst_len);
        let mean_us = if in_burst { BURST_PAUSE_US } else { limits.client_pause_us };
        let pause_us = self.rng.exponential(mean_us);
        self.set_alarm(scene, pause_us);
    }

    fn pause(&mut self, scene: &mut Scene) {
        let pause_us = self.rng.between(1_000, 50_000);
        self.set_alarm(scene, pause_us);
    }

    fn set_alarm(&mut self, scene: &mut Scene, delay_us: u64) {
        self.alarm += 1;
        scene.after(delay_us, Event::Wake { client: self.id, alarm: self.alarm });
    }

    fn label(&self) -> String {
        self.id.to_string()
    }
}

impl Doing {
    fn in_words(&self) -> String {
        match self {
            Doing::Resting => "rests".into(),
            Doing::Proposing(envelope) => {
                let id = envelope.request_id.as_ref().map_or_else(String::new, RequestId::to_string);
                match sent(envelope) {
                    Some(append) => format!("{} as {id}", append.in_words()),
                    None => format!("open session {id}"),
                }
            }
            Doing::Reading { list: SHARED, floor, .. } => {
                format!("read the shared list, at {floor} or later")
            }
            Doing::Reading { list, floor, .. } => format!("read the list of c{list}, at {floor} or later"),
        }
    }
}

impl ResponseKind {
    fn in_words(&self) -> String {
        match self {
            ResponseKind::Refused => "refused".into(),
            ResponseKind::Proposed(Err(error)) => format!("refused: {error}"),
            ResponseKind::Proposed(Ok(reply)) => in_words(reply),
            ResponseKind::Read { saw, list_len } => format!("{list_len} values, as of {saw}"),
        }
    }
}

/// The answer to a command.
fn in_words(reply: &Bytes) -> String {
    Carried::<Appended>::decode(reply).map_or_else(|_| "done".into(), |carried| carried.own.in_words())
}

/// What a client sends with this command, if it appends.
fn sent(command: &CommandEnvelope) -> Option<Append> {
    (command.kind == CommandKind::User)
        .then(|| Carried::decode(&command.body).expect("clients send what they encoded").own)
}

/// The revision of the shared instance that an answer tells.
fn shared_revision(appended: &Appended) -> Option<u64> {
    match appended.reply.as_ref()? {
        Reply::Created(created) => Some(created.revision),
        Reply::Outcome(Outcome::Committed(committed)) => Some(committed.revision),
        Reply::Outcome(Outcome::Ignored(ignored)) => Some(ignored.revision),
        Reply::Outcome(Outcome::Rejected(rejected)) => rejected.standing.as_ref().map(|at| at.revision),
        Reply::Defined(_) => None,
    }
}

/// Whether the client's machine did what the command asked of it: nothing stood in its way but a lost or repeated write.
fn moved_as_wished(append: &Append, appended: &Appended) -> bool {
    match (&append.command, &appended.reply) {
        (_, None) if appended.repeated => true,
        (None, None) => true,
        (Some(Command::Create { .. }), Some(Reply::Created(created))) => created.revision == append.value,
        (Some(Command::Propose(_)), Some(Reply::Outcome(Outcome::Committed(committed)))) => {
            committed.revision == append.value
        }
        (_, _) => false,
    }
}

/// The list that belongs to all clients; each client's own has the client's number, from 1.
pub const SHARED: u32 = 0;

const TIMEOUT_DOUBLINGS_MAX: u32 = 10;

const TIMEOUT_US_MAX: u64 = 2_000_000;

/// The mean pause within a burst of operations, in microseconds.
const BURST_PAUSE_US: u64 = 200;

/// How long a request takes to a node, and an answer to a client.
pub const CLIENT_DELAY_US: u64 = 100;
