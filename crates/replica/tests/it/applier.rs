//! The applier: order, skipping what is no command, answers to those who wait, and the hash of what was done.

use std::io;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{EntryId, Index, NodeId, Term};
use quorate_replica::applier::Applier;
use quorate_replica::effect::{ApplyBatch, Outcome, Waiting};
use quorate_replica::error::ProposeError;
use quorate_replica::input::{Input, Ticket};
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::session::SessionLimits;
use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};

/// A state machine whose replies betray a second application: it adds up, and answers the sum.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sum: u64,
    pub(crate) seen: Vec<Context>,
}

impl StateMachine for Tally {
    type Command = u64;
    type Reply = u64;

    fn apply(&mut self, context: &Context, amount: u64) -> u64 {
        assert_ne!(amount, PANIC, "the state machine was told to panic");
        self.sum += amount;
        self.seen.push(context.clone());
        self.sum
    }

    fn snapshot(&self) -> Snapshot {
        let sum = self.sum;
        Box::new(move |out| out.write_all(&sum.to_le_bytes()))
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        let mut sum = [0; 8];
        source.read_exact(&mut sum)?;
        *self = Tally { sum: u64::from_le_bytes(sum), seen: Vec::new() };
        Ok(())
    }
}

/// The amount that makes [`Tally`] panic.
pub(crate) const PANIC: u64 = 666;

pub(crate) fn envelope(request_id: Option<RequestId>, amount: u64) -> CommandEnvelope {
    CommandEnvelope {
        request_id,
        body: Bytes::copy_from_slice(&amount.to_le_bytes()),
        ..CommandEnvelope::default()
    }
}

fn entry(term: u64, index: u64, timestamp_ms: u64, payload: Payload) -> Entry {
    Entry { id: EntryId::new(term, index), timestamp_ms, payload }
}

fn add(term: u64, index: u64, timestamp_ms: u64, amount: u64) -> Entry {
    entry(term, index, timestamp_ms, Payload::Command(envelope(None, amount).encode().unwrap()))
}

fn waiting(index: u64, ticket: u64, forwarded: bool) -> Waiting {
    Waiting { index: Index(index), ticket: Ticket(ticket), forwarded, trace: None }
}

fn fresh() -> Applier<Tally> {
    Applier::new(Tally::default(), SessionLimits::default())
}

#[test]
fn commands_are_applied_in_order_and_everything_else_is_skipped() {
    let mut applier = fresh();
    let bootstrap = entry(0, 1, 0, Payload::Membership(Membership::default().into()));
    let batch = ApplyBatch {
        entries: vec![bootstrap, entry(1, 2, 10, Payload::Noop), add(1, 3, 11, 5), add(2, 4, 11, 7)],
        waiting: vec![waiting(3, 30, false), waiting(4, 40, true)],
    };
    let applied = applier.apply(batch);
    assert_eq!(applied.answers.len(), 1);
    assert_eq!(applied.answers[0].ticket, Ticket(30));
    assert_eq!(applied.answers[0].outcome, Ok(Bytes::copy_from_slice(&5u64.to_le_bytes())));
    let Input::Applied { through, forwarded, unknown_sessions, marks: _, level: _ } = applied.report else {
        panic!("the report is what was applied");
    };
    assert_eq!(through, Index(4));
    assert_eq!(forwarded, [(Ticket(40), Ok(Bytes::copy_from_slice(&12u64.to_le_bytes())))]);
    assert_eq!(unknown_sessions, []);
    let context = &applier.state().seen[1];
    assert_eq!((context.entry, context.timestamp_ms), (EntryId::new(2, 4), 11));
    assert_eq!(applier.applied(), EntryId::new(2, 4));
}

#[test]
fn a_request_id_is_told_to_the_state_machine_only_if_a_caller_gave_it() {
    let mut applier = fresh();
    let key = CommandEnvelope {
        actor: Some("ann".into()),
        ..envelope(Some(RequestId::Key(Bytes::from_static(b"k1"))), 1)
    };
    let open = CommandEnvelope {
        kind: quorate_replica::request::CommandKind::OpenSession,
        request_id: Some(RequestId::Session { session: 0xab, sequence: 0, acknowledged: 0 }),
        ..CommandEnvelope::default()
    };
    let own = RequestId::Session { session: 0xab, sequence: 1, acknowledged: 0 };
    let given = RequestId::Session { session: 0xab, sequence: 2, acknowledged: 0 };
    let commands = [
        key,
        open,
        CommandEnvelope { node_session: true, ..envelope(Some(own), 1) },
        envelope(Some(given), 1),
        envelope(None, 1),
    ];
    let entries = commands
        .iter()
        .zip(1..)
        .map(|(command, index)| entry(1, index, 0, Payload::Command(command.encode().unwrap())));
    applier.apply(ApplyBatch { entries: entries.collect(), waiting: vec![] });
    let words = |context: &Context| context.request_id.as_ref().map(RequestId::to_string);
    let told: Vec<_> = applier.state().seen.iter().map(words).collect();
    let expected = [Some("k1"), None, Some("000000000000000000000000000000ab:2"), None];
    assert_eq!(told, expected.map(|words| words.map(str::to_owned)));
    assert_eq!(applier.state().seen[0].actor.as_deref(), Some("ann"));
}

#[test]
fn a_session_that_a_local_proposal_misses_is_reported() {
    let mut applier = fresh();
    let id = RequestId::Session { session: 5, sequence: 1, acknowledged: 0 };
    let missing =
        |index| entry(1, index, 0, Payload::Command(envelope(Some(id.clone()), 1).encode().unwrap()));
    let batch = ApplyBatch {
        entries: vec![missing(1), missing(2)],
        waiting: vec![waiting(1, 1, true), waiting(2, 2, false)],
    };
    let applied = applier.apply(batch);
    let Input::Applied { unknown_sessions, forwarded, .. } = applied.report else {
        panic!("the report is what was applied");
    };
    assert_eq!(unknown_sessions, [5], "of the local one only: the peer sees its own answer");
    assert_eq!(forwarded, [(Ticket(1), Err(ProposeError::SessionUnknown))]);
    assert_eq!(applied.answers[0].outcome, Err(ProposeError::SessionUnknown));
}

/// Each fault in a batch that would let replicas differ stops the node instead.
#[test]
fn a_batch_out_of_order_stops_the_node() {
    let cases: Vec<(&str, ApplyBatch)> = vec![
        ("a gap", ApplyBatch { entries: vec![add(1, 3, 0, 1)], waiting: vec![] }),
        ("a repetition", ApplyBatch { entries: vec![add(1, 1, 0, 1)], waiting: vec![] }),
        ("time that falls", ApplyBatch { entries: vec![add(1, 2, 99, 1)], waiting: vec![] }),
        ("a term that falls", ApplyBatch { entries: vec![add(0, 2, 100, 1)], waiting: vec![] }),
        ("a stranger", ApplyBatch { entries: vec![add(1, 2, 100, 1)], waiting: vec![waiting(9, 9, false)] }),
        (
            "somebody who waits for a no-op",
            ApplyBatch {
                entries: vec![entry(1, 2, 100, Payload::Noop)],
                waiting: vec![waiting(2, 2, false)],
            },
        ),
        (
            "a panic of the state machine",
            ApplyBatch { entries: vec![add(1, 2, 100, PANIC)], waiting: vec![] },
        ),
    ];
    for (what, batch) in cases {
        let stopped = std::panic::catch_unwind(move || {
            let mut applier = fresh();
            applier.apply(ApplyBatch { entries: vec![add(1, 1, 100, 1)], waiting: vec![] });
            applier.apply(batch);
        });
        assert!(stopped.is_err(), "{what} passes");
    }
}

#[test]
fn the_state_hash_tells_other_replies_and_other_places() {
    let hash = |entries: Vec<Entry>| {
        let mut applier = fresh();
        applier.apply(ApplyBatch { entries, waiting: vec![] });
        applier.state_hash()
    };
    let noop = || entry(1, 1, 0, Payload::Noop);
    let base = hash(vec![noop(), add(1, 2, 0, 5), add(1, 3, 0, 6)]);
    assert_eq!(base, hash(vec![noop(), add(1, 2, 0, 5), add(1, 3, 0, 6)]));
    assert_ne!(base, hash(vec![noop(), add(1, 2, 0, 6), add(1, 3, 0, 5)]), "the order of the replies");
    assert_ne!(base, hash(vec![add(1, 1, 0, 5), add(1, 2, 0, 6)]), "the places");
    let malformed = entry(1, 3, 0, Payload::Command(Bytes::from_static(b"\x09")));
    assert_ne!(base, hash(vec![noop(), add(1, 2, 0, 5), malformed]), "a refusal");
}

/// A command that two binaries refuse in different words.
#[derive(Clone, Debug)]
struct Worded<const BINARY: usize>;

impl<const BINARY: usize> Codec for Worded<BINARY> {
    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(_bytes: &Bytes) -> Result<Self, DecodeError> {
        Err(DecodeError { what: format!("the words of binary {BINARY}") })
    }
}

impl<const BINARY: usize> StateMachine for Worded<BINARY> {
    type Command = Worded<BINARY>;
    type Reply = ();

    fn apply(&mut self, _context: &Context, _command: Self) {
        unreachable!("no command decodes")
    }

    fn snapshot(&self) -> Snapshot {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _source: &mut dyn io::Read) -> io::Result<()> {
        Ok(())
    }
}

/// What a binary holds after a refusal with a session, its repetition, one with a key and one without either: the hash, the snapshot
/// and the answers.
fn refusals_of<const BINARY: usize>() -> (u64, Vec<u8>, Vec<Outcome>) {
    let mut applier = Applier::new(Worded::<BINARY>, SessionLimits::default());
    let open = CommandEnvelope {
        kind: CommandKind::OpenSession,
        request_id: Some(RequestId::Session { session: 1, sequence: 0, acknowledged: 0 }),
        ..CommandEnvelope::default()
    };
    let numbered = RequestId::Session { session: 1, sequence: 1, acknowledged: 0 };
    let key = RequestId::Key(Bytes::from_static(b"k"));
    let commands = [
        open,
        envelope(Some(numbered.clone()), 1),
        envelope(Some(numbered), 1),
        envelope(Some(key), 1),
        envelope(None, 1),
    ];
    let commands = commands.map(|command| Payload::Command(command.encode().unwrap()));
    let bootstrap = Payload::Membership(Membership::of_voters([NodeId::new(1)]).into());
    let entries = [bootstrap].into_iter().chain(commands).zip(1..);
    let entries = entries.map(|(payload, index)| entry(1, index, 0, payload)).collect();
    let waiting = (3..7).map(|index| waiting(index, index, false)).collect();
    let applied = applier.apply(ApplyBatch { entries, waiting });
    let mut bytes = Vec::new();
    applier.snapshot(Term(1)).1(&mut bytes).unwrap();
    (applier.state_hash(), bytes, applied.answers.into_iter().map(|answer| answer.outcome).collect())
}

/// In a rolling upgrade two binaries run at once. One that words a refusal differently has not diverged, and must not be stopped.
#[test]
fn two_binaries_that_word_a_refusal_differently_hold_the_same_state() {
    let (hash, bytes, answers) = refusals_of::<1>();
    let (other_hash, other_bytes, other_answers) = refusals_of::<2>();
    assert_eq!(hash, other_hash, "the running hash mixes the kind of a refusal, not its words");
    assert_eq!(bytes, other_bytes, "a snapshot holds no words of a binary");
    let told = |binary| vec![Err(ProposeError::Malformed(format!("the words of binary {binary}"))); 4];
    assert_eq!((answers, other_answers), (told(1), told(2)), "each answers in its own words, also again");
}

#[test]
fn batches_of_any_size_come_to_the_same() {
    let entries: Vec<Entry> = (1..=20).map(|index| add(1, index, index, index)).collect();
    let mut whole = fresh();
    whole.apply(ApplyBatch { entries: entries.clone(), waiting: vec![] });
    let mut single = fresh();
    for entry in entries {
        single.apply(ApplyBatch { entries: vec![entry], waiting: vec![] });
    }
    assert_eq!(whole.state(), single.state());
    assert_eq!(whole.state_hash(), single.state_hash());
}
