//! Gives committed commands to the state machine: in order, each exactly once, alike on every node (thesis 6.3).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::planted::{self, Bug};
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::{EntryId, Index, Term};

use crate::divergence::{STATE_MARK_EVERY, StateMark};
use crate::effect::{Answered, ApplyBatch, Outcome};
use crate::error::ProposeError;
use crate::explain::Trace;
use crate::hash::{mix, mix_bytes};
use crate::input::{Input, Ticket};
use crate::request::{CommandEnvelope, CommandKind, RequestId};
use crate::session::{Kept, Seen, SessionLimits, Sessions};
use crate::session_codec;
use crate::state_machine::{Codec, Context, FEATURE_LEVEL_MIN, Snapshot, StateMachine};

/// The state machine with the tables that make it exactly-once. Lives on a thread of its own.
///
/// Invariant: all that it holds is a function of the entries applied so far, so that it is equal on all nodes.
pub struct Applier<S: StateMachine> {
    machine: S,
    sessions: Sessions,
    applied: EntryId,
    /// The time of the last entry. Invariant: never falls.
    timestamp_ms: u64,
    state_hash: u64,
    /// The members by the last entry that named them, with its index.
    membership: Option<(Index, Arc<Membership>)>,
    /// The feature level. Invariant: never falls.
    level: u16,
    /// What was noted since the last report.
    marks: Vec<StateMark>,
    /// Where replies are encoded, before each becomes bytes of its own length.
    scratch: Vec<u8>,
}

/// What came of a batch.
#[derive(Debug)]
pub struct Applied {
    /// Answers for local callers.
    pub answers: Vec<LocalAnswer>,
    /// The replica's next input, to be handed on as it is.
    pub report: Input,
    /// The feature level was raised above what this binary understands: nothing behind that entry was applied or answered, and the node must
    /// stop.
    pub too_new: Option<LevelTooNew>,
}

/// The cluster is at a feature level that this binary does not understand.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the cluster is at feature level {level}, this binary understands {level_max} at most: start the node with a newer one"
)]
pub struct LevelTooNew {
    /// The level of the cluster.
    pub level: u16,
    /// The highest one that this binary understands.
    pub level_max: u16,
}

/// An answer for a local caller.
#[derive(Debug)]
pub struct LocalAnswer {
    /// Who.
    pub ticket: Ticket,
    /// What was said.
    pub outcome: Outcome,
    /// The steps so far, if they were asked for.
    pub trace: Option<Box<Trace>>,
}

impl LocalAnswer {
    /// The answer with its last step; `now_us` is the node's monotonic clock in microseconds.
    pub fn finish(self, now_us: u64) -> Answered {
        Answered { outcome: self.outcome, trace: self.trace.map(|trace| trace.finish(now_us)) }
    }
}

impl<S: StateMachine> Applier<S> {
    /// An applier before the first entry.
    pub fn new(machine: S, limits: SessionLimits) -> Applier<S> {
        Applier {
            machine,
            sessions: Sessions::new(limits),
            applied: EntryId::ZERO,
            timestamp_ms: 0,
            state_hash: 0,
            membership: None,
            level: FEATURE_LEVEL_MIN,
            marks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Applies a batch and answers each of its `waiting` once.
    ///
    /// # Panics
    /// If the batch does not continue where the last one ended, and whenever the state machine panics: both leave a state
    /// that no other node has, so the node must stop.
    pub fn apply(&mut self, batch: ApplyBatch) -> Applied {
        let mut waiting = batch.waiting.into_iter().peekable();
        let mut answers = Vec::with_capacity(waiting.len());
        let mut forwarded = Vec::new();
        let mut unknown_sessions = Vec::new();
        for entry in &batch.entries {
            if self.too_new().is_some() {
                break;
            }
            let outcome = self.apply_entry(entry);
            let Some(who) = waiting.next_if(|who| who.index == entry.id.index) else {
                continue;
            };
            let outcome = outcome.expect("a place in the log that somebody waits for holds his command");
            if who.forwarded {
                forwarded.push((who.ticket, outcome));
                continue;
            }
            if outcome == Err(ProposeError::SessionUnknown) {
                unknown_sessions.extend(session_of(entry));
            }
            answers.push(LocalAnswer { ticket: who.ticket, outcome, trace: who.trace });
        }
        let too_new = self.too_new();
        assert!(
            waiting.next().is_none() || too_new.is_some(),
            "everyone in a batch waits for one of its entries, in order"
        );
        let (through, marks) = (self.applied.index, std::mem::take(&mut self.marks));
        let report = Input::Applied { through, forwarded, unknown_sessions, marks, level: self.level };
        Applied { answers, report, too_new }
    }

    /// The feature level.
    pub fn level(&self) -> u16 {
        self.level
    }

    /// Whether the level is above what this binary understands.
    fn too_new(&self) -> Option<LevelTooNew> {
        let (level, level_max) = (self.level, self.machine.feature_level_max());
        (level > level_max).then_some(LevelTooNew { level, level_max })
    }

    /// The state, for reads.
    pub fn state(&self) -> &S {
        &self.machine
    }

    /// The last entry that was applied.
    pub fn applied(&self) -> EntryId {
        self.applied
    }

    /// The time of that entry in milliseconds since 1970, by the leader's clock that made it; 0 before the first.
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// A running hash over the index and the outcome of each command: equal at equal applied entries on all nodes, or
    /// one of them has diverged.
    pub fn state_hash(&self) -> u64 {
        self.state_hash
    }

    /// The tables of sessions and keys, to look at.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Applies one entry; the outcome if it holds a command.
    fn apply_entry(&mut self, entry: &Entry) -> Option<Outcome> {
        assert!(
            entry.id.index == self.applied.index.next(),
            "entries are applied one after the other, none twice"
        );
        assert!(entry.id.term >= self.applied.term, "terms never fall along the log");
        assert!(entry.timestamp_ms >= self.timestamp_ms, "time never falls along the log");
        self.applied = entry.id;
        self.timestamp_ms = entry.timestamp_ms;
        let outcome = match &entry.payload {
            Payload::Noop => None,
            Payload::Membership(membership) => {
                self.membership = Some((entry.id.index, Arc::clone(membership)));
                None
            }
            Payload::Command(bytes) => {
                let outcome = self.apply_command(bytes);
                self.state_hash = mix_outcome(mix(self.state_hash, entry.id.index.0), &outcome);
                Some(outcome)
            }
        };
        if entry.id.index.0.is_multiple_of(STATE_MARK_EVERY) {
            self.marks.push(StateMark { index: entry.id.index, hash: self.state_hash });
        }
        outcome
    }

    fn apply_command(&mut self, bytes: &Bytes) -> Outcome {
        let envelope = match CommandEnvelope::decode(bytes) {
            Ok(envelope) => envelope,
            Err(error) => return Err(ProposeError::Malformed(error.what)),
        };
        match (envelope.kind, &envelope.request_id) {
            (CommandKind::OpenSession, Some(RequestId::Session { session, sequence: 0, .. })) => {
                if self.sessions.open(*session) { Ok(Bytes::new()) } else { Err(ProposeError::Forgotten) }
            }
            (CommandKind::OpenSession, _) => {
                Err(ProposeError::Malformed("to open a session takes its id and the sequence 0".into()))
            }
            (CommandKind::User, Some(RequestId::Session { sequence: 0, .. })) => {
                Err(ProposeError::Malformed("sequences of a session start at 1".into()))
            }
            (CommandKind::User, _) => self.apply_user_command(envelope),
            (CommandKind::RaiseLevel, _) => self.raise_level(&envelope.body),
        }
    }

    /// From the next entry on `apply` means what it means at this level. A level that was reached already changes nothing.
    fn raise_level(&mut self, body: &Bytes) -> Outcome {
        let Ok(level) = <[u8; 2]>::try_from(&body[..]) else {
            return Err(ProposeError::Malformed("a feature level has two bytes".into()));
        };
        let before = self.level;
        self.level = before.max(u16::from_le_bytes(level));
        assert!(self.level >= before, "the feature level never falls");
        Ok(Bytes::new())
    }

    /// Asks the tables first: what was answered before gets the same answer, whatever the state is by now.
    fn apply_user_command(&mut self, envelope: CommandEnvelope) -> Outcome {
        let Some(request) = &envelope.request_id else {
            let kept = self.apply_once(&envelope.body, envelope.actor, None);
            return answer::<S>(kept, &envelope.body);
        };
        let command_hash = mix_bytes(COMMAND_HASH_SEED, &envelope.body);
        match self.sessions.look_up(request, command_hash, self.timestamp_ms) {
            Seen::No => {
                let callers_own = (!envelope.node_session).then(|| request.clone());
                let kept = self.apply_once(&envelope.body, envelope.actor, callers_own);
                let mut remembered = kept.clone();
                if planted::is(Bug::FailureKeptAsAnswer) {
                    remembered = Kept::Malformed;
                }
                self.sessions.record(request, command_hash, self.timestamp_ms, remembered);
                answer::<S>(kept, &envelope.body)
            }
            Seen::Answered(_) if planted::is(Bug::RepeatedRequestApplied) => {
                let kept = self.apply_once(&envelope.body, envelope.actor, None);
                answer::<S>(kept, &envelope.body)
            }
            Seen::Answered(kept) => answer::<S>(kept, &envelope.body),
            Seen::Forgotten => Err(ProposeError::Forgotten),
            Seen::Reused => Err(ProposeError::KeyReused),
            Seen::SessionUnknown => Err(ProposeError::SessionUnknown),
            Seen::NoRoom => Err(ProposeError::Overloaded),
        }
    }

    /// The one place where the state machine is called.
    fn apply_once(&mut self, body: &Bytes, actor: Option<String>, request_id: Option<RequestId>) -> Kept {
        match S::Command::decode(body) {
            Ok(command) => {
                let mut timestamp_ms = self.timestamp_ms;
                if planted::is(Bug::LocalClockInApply) {
                    timestamp_ms = planted::local_ms();
                }
                let level = if planted::is(Bug::LevelOfTheBinary) {
                    self.machine.feature_level_max()
                } else {
                    self.level
                };
                let context = Context { entry: self.applied, timestamp_ms, actor, request_id, level };
                self.scratch.clear();
                self.machine.apply(&context, command).encode(&mut self.scratch);
                let reply = Bytes::copy_from_slice(&self.scratch);
                self.scratch.shrink_to(SCRATCH_KEPT_BYTES);
                Kept::Reply(reply)
            }
            Err(_) => Kept::Malformed,
        }
    }

    /// A snapshot of the state with its tables, detached from both: it is written elsewhere while more is applied. They belong together: a
    /// state without its tables would apply again what it has applied. `term` is that of the node.
    ///
    /// # Panics
    /// If nothing was applied: the first entry of each log names the members.
    pub fn snapshot(&self, term: Term) -> (SnapshotMeta, Snapshot) {
        assert!(term >= self.applied.term, "what is applied was committed in the node's term or before");
        let (membership_index, membership) =
            self.membership.clone().expect("the first entry names the members");
        let meta = SnapshotMeta {
            last: self.applied,
            term,
            timestamp_ms: self.timestamp_ms,
            membership_index,
            membership,
        };
        let (state_hash, level, machine) = (self.state_hash, self.level, self.machine.snapshot());
        let sessions = if planted::is(Bug::SnapshotWithoutSessions) {
            Sessions::new(self.sessions.limits.clone())
        } else {
            self.sessions.clone()
        };
        let write = move |out: &mut dyn io::Write| {
            session_codec::write_number(out, FORMAT_VERSION)?;
            session_codec::write_number(out, u64::from(level))?;
            session_codec::write_number(out, state_hash)?;
            session_codec::write(&sessions, out)?;
            machine(out)
        };
        (meta, Box::new(write))
    }

    /// Replaces state and tables by those of a snapshot that covers `meta`, as [`snapshot`](Self::snapshot) wrote it.
    ///
    /// # Errors
    /// When the source cannot be read, or does not hold a state within the limits, or more than that; of the kind `Unsupported`, with a
    /// [`LevelTooNew`], when this binary does not understand the level of the state. Then this applier is worth nothing.
    pub fn restore(&mut self, meta: &SnapshotMeta, source: &mut dyn io::Read) -> io::Result<()> {
        assert!(meta.last.index > self.applied.index, "a state is never replaced by an older one");
        let version = session_codec::read_number(source)?;
        if version != FORMAT_VERSION {
            let what = format!("a state of format {version}, this binary knows {FORMAT_VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let level = session_codec::read_number(source)?;
        self.level = u16::try_from(level).map_err(|_| invalid(format!("a feature level of {level}")))?;
        if let Some(too_new) = self.too_new() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, too_new));
        }
        self.state_hash = session_codec::read_number(source)?;
        self.sessions = session_codec::read(self.sessions.limits.clone(), source)?;
        self.machine.restore(source)?;
        if source.read(&mut [0])? > 0 {
            let what = "the state machine left a part of its snapshot unread";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.applied = meta.last;
        self.timestamp_ms = meta.timestamp_ms;
        self.membership = Some((meta.membership_index, Arc::clone(&meta.membership)));
        self.marks.clear();
        Ok(())
    }

    /// What the replica is told when [`restore`](Self::restore) has replaced the state.
    pub fn restored(&self) -> Input {
        let through = self.applied.index;
        let (forwarded, unknown_sessions, marks) = (Vec::new(), Vec::new(), Vec::new());
        Input::Applied { through, forwarded, unknown_sessions, marks, level: self.level }
    }
}

/// The session that the command in `entry` belongs to.
fn session_of(entry: &Entry) -> Option<u128> {
    let Payload::Command(bytes) = &entry.payload else {
        return None;
    };
    match CommandEnvelope::decode(bytes).ok()?.request_id? {
        RequestId::Session { session, .. } => Some(session),
        RequestId::Key(_) => None,
    }
}

/// The answer that leaves this node. The words of a refusal are made here, by this binary and of the command itself, so that what
/// is kept and compared among nodes holds none.
fn answer<S: StateMachine>(kept: Kept, body: &Bytes) -> Outcome {
    match kept {
        Kept::Reply(reply) => Ok(reply),
        Kept::Malformed => Err(ProposeError::Malformed(match S::Command::decode(body) {
            Err(error) => error.what,
            Ok(_) => "it did not when it came first, to a node of an older version".into(),
        })),
    }
}

/// Mixes in what a command was answered: replies by their bytes, refusals by the number of their kind. Not by their words: in a
/// rolling upgrade two binaries that word a refusal differently would look like two states that differ, and stop.
fn mix_outcome(state: u64, outcome: &Outcome) -> u64 {
    match outcome {
        Ok(reply) => mix_bytes(mix(state, 1), reply),
        Err(error) => mix(mix(state, 2), u64::from(error.number())),
    }
}

/// How much of a long reply's place is kept for the next one, in bytes.
const SCRATCH_KEPT_BYTES: usize = 64 << 10;
/// Where the hash of a command starts.
const COMMAND_HASH_SEED: u64 = 0x7175_6f72_6174_6501;
/// The format that `write` writes.
const FORMAT_VERSION: u64 = 1;
