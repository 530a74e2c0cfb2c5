//! The tables of sessions and keys, through the applier that asks them: exactly once, bounded, and by the log alone.

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{EntryId, Index, NodeId, Term};
use quorate_replica::applier::Applier;
use quorate_replica::effect::{ApplyBatch, Outcome, Waiting};
use quorate_replica::error::{Fate, ProposeError};
use quorate_replica::input::Ticket;
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::session::SessionLimits;

use crate::applier::{Tally, envelope};

/// One command after the other, each with the time of its entry and what it must be answered.
pub(crate) struct Script {
    pub(crate) applier: Applier<Tally>,
}

/// What is proposed.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Open(u128),
    /// Session, sequence, acknowledged, amount.
    Add(u128, u64, u64, u64),
    /// Key, amount.
    Key(&'static str, u64),
    /// Session, sequence, body that does not decode.
    Bad(u128, u64),
}

use Ask::{Add, Bad, Key, Open};

impl Script {
    pub(crate) fn new(limits: SessionLimits) -> Script {
        Script { applier: Applier::new(Tally::default(), limits) }
    }

    /// Applies one command at log time `at_ms`.
    pub(crate) fn ask(&mut self, at_ms: u64, ask: &Ask) -> Outcome {
        let command = match ask {
            Open(session) => CommandEnvelope {
                kind: CommandKind::OpenSession,
                request_id: Some(RequestId::Session { session: *session, sequence: 0, acknowledged: 0 }),
                ..CommandEnvelope::default()
            },
            Add(session, sequence, acknowledged, amount) => {
                let id = RequestId::Session {
                    session: *session,
                    sequence: *sequence,
                    acknowledged: *acknowledged,
                };
                envelope(Some(id), *amount)
            }
            Key(key, amount) => envelope(Some(RequestId::Key(Bytes::from_static(key.as_bytes()))), *amount),
            Bad(session, sequence) => CommandEnvelope {
                request_id: Some(RequestId::Session {
                    session: *session,
                    sequence: *sequence,
                    acknowledged: 0,
                }),
                body: Bytes::from_static(b"bad"),
                ..CommandEnvelope::default()
            },
        };
        let index = self.applier.applied().index.next();
        let entry = Entry {
            id: EntryId { term: quorate_core::types::Term(1), index },
            timestamp_ms: at_ms,
            payload: Payload::Command(command.encode().unwrap()),
        };
        let waiting = vec![Waiting { index, ticket: Ticket(7), forwarded: false, trace: None }];
        let mut applied = self.applier.apply(ApplyBatch { entries: vec![entry], waiting });
        assert_eq!(applied.answers.len(), 1, "each that waits is answered once");
        applied.answers.remove(0).outcome
    }

    /// Each command is answered as it says, and the sum in the end is `sum`.
    fn check(limits: SessionLimits, sum: u64, script: &[(u64, Ask, Outcome)]) -> Script {
        let mut run = Script::new(limits);
        for (step, (at_ms, ask, expected)) in script.iter().enumerate() {
            assert_eq!(run.ask(*at_ms, ask), *expected, "step {step}: {ask:?}");
        }
        assert_eq!(run.applier.state().sum, sum, "what was applied");
        run
    }
}

fn ok(reply: u64) -> Outcome {
    Ok(Bytes::copy_from_slice(&reply.to_le_bytes()))
}

fn opened() -> Outcome {
    Ok(Bytes::new())
}

/// R67, R69: the same request in the log twice is applied once, and both copies get the first answer.
#[test]
fn a_repeated_request_gets_the_first_answer_and_changes_nothing() {
    Script::check(
        SessionLimits::default(),
        17,
        &[
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 5), ok(5)),
            (0, Add(1, 2, 0, 7), ok(12)),
            (0, Add(1, 1, 0, 5), ok(5)),
            (0, Key("k", 5), ok(17)),
            (0, Key("k", 5), ok(17)),
            (0, Add(1, 2, 1, 7), ok(12)),
        ],
    );
}

#[test]
fn requests_of_a_session_may_come_in_any_order() {
    Script::check(
        SessionLimits::default(),
        6,
        &[
            (0, Open(1), opened()),
            (0, Add(1, 9, 0, 1), ok(1)),
            (0, Add(1, 2, 0, 2), ok(3)),
            (0, Add(1, 5, 0, 3), ok(6)),
            (0, Add(1, 9, 0, 1), ok(1)),
        ],
    );
}

#[test]
fn what_is_acknowledged_is_forgotten_and_never_applied_again() {
    assert_eq!(ProposeError::Forgotten.fate(), Fate::Unknown);
    Script::check(
        SessionLimits::default(),
        3,
        &[
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Add(1, 2, 1, 1), ok(2)),
            (0, Add(1, 1, 0, 1), Err(ProposeError::Forgotten)),
            // An acknowledgement never falls, and a request does not acknowledge itself or what comes after it.
            (0, Add(1, 2, 99, 1), ok(2)),
            (0, Add(1, 3, 99, 1), ok(3)),
            (0, Add(1, 3, 0, 1), ok(3)),
        ],
    );
}

#[test]
fn a_request_id_with_another_command_is_refused() {
    Script::check(
        SessionLimits::default(),
        12,
        &[
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 5), ok(5)),
            (0, Add(1, 1, 0, 6), Err(ProposeError::KeyReused)),
            (0, Key("k", 7), ok(12)),
            (0, Key("k", 8), Err(ProposeError::KeyReused)),
            (0, Key("k", 7), ok(12)),
        ],
    );
}

#[test]
fn a_session_that_is_not_open_is_refused() {
    Script::check(
        SessionLimits::default(),
        1,
        &[
            (0, Add(1, 1, 0, 5), Err(ProposeError::SessionUnknown)),
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Add(2, 1, 0, 5), Err(ProposeError::SessionUnknown)),
        ],
    );
}

#[test]
fn a_command_that_does_not_decode_is_refused_alike_each_time() {
    let malformed = Err(ProposeError::Malformed("expected eight bytes, found 3 bytes".into()));
    Script::check(
        SessionLimits::default(),
        0,
        &[
            (0, Open(1), opened()),
            (0, Bad(1, 1), malformed.clone()),
            (0, Bad(1, 1), malformed),
            (0, Add(1, 1, 0, 5), Err(ProposeError::KeyReused)),
            (0, Add(1, 0, 0, 5), Err(ProposeError::Malformed("sequences of a session start at 1".into()))),
        ],
    );
}

#[test]
fn the_least_recently_used_session_goes_when_there_are_too_many() {
    let limits = SessionLimits { sessions_len_max: 2, ..SessionLimits::default() };
    Script::check(
        limits,
        4,
        &[
            (0, Open(1), opened()),
            (0, Open(2), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Open(3), opened()),
            (0, Add(2, 1, 0, 1), Err(ProposeError::SessionUnknown)),
            (0, Add(1, 2, 0, 1), ok(2)),
            (0, Open(4), opened()),
            (0, Add(3, 1, 0, 1), Err(ProposeError::SessionUnknown)),
            (0, Add(1, 3, 0, 1), ok(3)),
            (0, Add(4, 1, 0, 1), ok(4)),
        ],
    );
}

/// A client that opens its session again after it was forgotten, and then sends what it had sent, must not do it all once more.
#[test]
fn a_session_that_was_forgotten_is_not_opened_again() {
    let limits = SessionLimits { sessions_len_max: 1, forgotten_len_max: 2, ..SessionLimits::default() };
    let forgotten = || Err(ProposeError::Forgotten);
    Script::check(
        limits,
        2,
        &[
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Open(2), opened()),
            (0, Open(1), forgotten()),
            (0, Add(1, 1, 0, 1), Err(ProposeError::SessionUnknown)),
            (0, Open(2), opened()),
            (0, Open(3), opened()),
            (0, Open(1), forgotten()),
            (0, Open(2), forgotten()),
            // Ids are remembered in a number that is bounded: the oldest goes.
            (0, Open(4), opened()),
            (0, Open(2), forgotten()),
            (0, Open(3), forgotten()),
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 1), ok(2)),
        ],
    );
}

#[test]
fn the_lowest_reply_goes_when_a_session_keeps_too_many() {
    let limits = SessionLimits { session_replies_len_max: 2, ..SessionLimits::default() };
    Script::check(
        limits,
        3,
        &[
            (0, Open(1), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Add(1, 2, 0, 1), ok(2)),
            (0, Add(1, 3, 0, 1), ok(3)),
            (0, Add(1, 1, 0, 1), Err(ProposeError::Forgotten)),
            (0, Add(1, 2, 0, 1), ok(2)),
            (0, Add(1, 3, 0, 1), ok(3)),
        ],
    );
}

#[test]
fn replies_are_bounded_in_bytes_in_each_session_and_in_all() {
    let one = 104;
    let limits =
        SessionLimits { session_bytes_max: 2 * one, sessions_bytes_max: 3 * one, ..SessionLimits::default() };
    Script::check(
        limits,
        6,
        &[
            (0, Open(1), opened()),
            (0, Open(2), opened()),
            (0, Add(1, 1, 0, 1), ok(1)),
            (0, Add(1, 2, 0, 1), ok(2)),
            (0, Add(1, 3, 0, 1), ok(3)),
            (0, Add(1, 1, 0, 1), Err(ProposeError::Forgotten)),
            (0, Add(2, 1, 0, 1), ok(4)),
            (0, Add(1, 3, 0, 1), ok(3)),
            (0, Add(2, 2, 0, 1), ok(5)),
            // The fourth reply was one too many for all together: the session used least recently went.
            (0, Add(1, 3, 0, 1), Err(ProposeError::SessionUnknown)),
            (0, Add(2, 1, 0, 1), ok(4)),
            (0, Add(2, 3, 2, 1), ok(6)),
        ],
    );
}

#[test]
fn the_oldest_key_goes_when_there_are_too_many_keys_or_bytes() {
    let one = 106;
    for limits in [
        SessionLimits { keys_len_max: 2, key_age_ms_min: 0, ..SessionLimits::default() },
        SessionLimits { keys_bytes_max: 2 * one, key_age_ms_min: 0, ..SessionLimits::default() },
    ] {
        Script::check(
            limits,
            4,
            &[
                (0, Key("a", 1), ok(1)),
                (0, Key("b", 1), ok(2)),
                (0, Key("a", 1), ok(1)),
                (0, Key("c", 1), ok(3)),
                (0, Key("b", 1), ok(2)),
                (0, Key("c", 1), ok(3)),
                (0, Key("a", 1), ok(4)),
            ],
        );
    }
}

/// A key that was pushed out while its client still tries again would let the request be applied twice.
#[test]
fn a_young_key_is_never_pushed_out_a_new_one_is_refused_instead() {
    let one = 106;
    let overloaded = || Err(ProposeError::Overloaded);
    for limits in [
        SessionLimits { keys_len_max: 2, key_age_ms_min: 50, ..SessionLimits::default() },
        SessionLimits { keys_bytes_max: 2 * one, key_age_ms_min: 50, ..SessionLimits::default() },
    ] {
        Script::check(
            limits,
            3,
            &[
                (0, Key("a", 1), ok(1)),
                (20, Key("b", 1), ok(2)),
                (49, Key("c", 1), overloaded()),
                (49, Key("a", 1), ok(1)),
                (50, Key("c", 1), ok(3)),
                (60, Key("b", 1), ok(2)),
                (60, Key("a", 1), overloaded()),
            ],
        );
    }
}

/// R69, `KeysExpireByLocalClock`: age is the time in the log, which is the same on all nodes.
#[test]
fn a_key_expires_by_the_time_of_the_log() {
    let limits = SessionLimits { key_age_ms_max: 100, ..SessionLimits::default() };
    Script::check(
        limits,
        4,
        &[
            (1_000, Key("a", 1), ok(1)),
            (1_050, Key("b", 1), ok(2)),
            (1_100, Key("a", 1), ok(1)),
            (1_101, Key("a", 1), ok(3)),
            (1_150, Key("b", 1), ok(2)),
            (1_151, Key("b", 1), ok(4)),
            (1_151, Key("a", 1), ok(3)),
        ],
    );
}

/// `SnapshotWithoutSessions`, `RepeatedRequestApplied`: the tables travel with the state; after a restore every request is answered as before.
#[test]
fn the_tables_are_part_of_the_snapshot() {
    let limits = SessionLimits { sessions_len_max: 3, key_age_ms_max: 100, ..SessionLimits::default() };
    let mut run = Script::new(limits.clone());
    let members = Membership::of_voters([1, 2, 3].map(NodeId::new));
    run.applier.apply(ApplyBatch { entries: vec![Entry::bootstrap(members)], waiting: vec![] });
    let asks = [
        Open(1),
        Open(2),
        Add(1, 1, 0, 1),
        Add(1, 2, 0, 2),
        Add(2, 5, 3, 3),
        Bad(2, 6),
        Key("a", 4),
        Key("b", 5),
        Open(3),
        Open(4),
    ];
    for (step, ask) in asks.iter().enumerate() {
        let _ = run.ask(step as u64, ask);
    }
    let mut written = Vec::new();
    let (meta, write) = run.applier.snapshot(Term(3));
    assert!((meta.last, meta.term, meta.membership_index) == (run.applier.applied(), Term(3), Index(1)));
    write(&mut written).unwrap();
    let restore = |bytes: &[u8]| {
        let mut applier = Applier::new(Tally::default(), limits.clone());
        applier.restore(&meta, &mut &*bytes).map(|()| applier)
    };
    let applier = restore(&written).unwrap();
    assert_eq!(applier.snapshot(Term(3)).0, meta);
    assert_eq!(applier.state().sum, run.applier.state().sum);
    assert_eq!(applier.sessions(), run.applier.sessions());
    assert_eq!(applier.applied(), run.applier.applied());
    assert_eq!(applier.state_hash(), run.applier.state_hash());
    let mut restored = Script { applier };
    let after =
        [Add(1, 1, 0, 1), Bad(2, 6), Add(2, 3, 0, 9), Key("a", 4), Open(4), Add(1, 1, 0, 1), Add(3, 1, 0, 1)];
    for ask in &after {
        assert_eq!(restored.ask(106, ask), run.ask(106, ask), "{ask:?}");
    }
    assert_eq!(restored.applier.state_hash(), run.applier.state_hash());
    for end in 0..written.len() {
        assert!(restore(&written[..end]).is_err(), "a state cut at byte {end} is refused");
    }
    written.push(0);
    assert!(restore(&written).is_err(), "a state that is not read to its end is refused");
}
