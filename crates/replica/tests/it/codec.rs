//! The bytes between nodes and in the log: what goes in comes out, and nothing that comes from outside panics or takes
//! more memory than it brought.

use bytes::Bytes;
use quorate_core::membership::{Change, ChangeRefusal};
use quorate_core::message::{Envelope, Message};
use quorate_core::snapshot::SnapshotName;
use quorate_core::types::{EntryId, Index, NodeId, Term};
use quorate_replica::cluster::{ClusterDone, ClusterError, ClusterRefusal, ClusterRequest};
use quorate_replica::command_codec::ENVELOPE_BYTES_MAX;
use quorate_replica::divergence::StateMark;
use quorate_replica::effect::{Answered, Step, StepKind};
use quorate_replica::error::ProposeError;
use quorate_replica::input::Ticket;
use quorate_replica::peer_codec::{self, KINDS_RESERVED};
use quorate_replica::peer_message::{ForwardAnswer, PeerMessage};
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::state_machine::Codec;

fn envelopes() -> Vec<CommandEnvelope> {
    let session = RequestId::Session { session: u128::MAX - 5, sequence: 7, acknowledged: 6 };
    vec![
        CommandEnvelope::default(),
        CommandEnvelope {
            kind: CommandKind::OpenSession,
            request_id: Some(RequestId::Session { session: 1, sequence: 0, acknowledged: 0 }),
            node_session: true,
            ..CommandEnvelope::default()
        },
        CommandEnvelope {
            kind: CommandKind::User,
            request_id: Some(session),
            actor: Some("ann".into()),
            trace: Some("00-aa-bb-01".into()),
            node_session: false,
            body: Bytes::from_static(b"\x00body"),
        },
        CommandEnvelope {
            request_id: Some(RequestId::Key(Bytes::from(vec![b'k'; 64]))),
            actor: Some("a".repeat(256)),
            trace: Some("t".repeat(1024)),
            body: Bytes::from_static(b"x"),
            ..CommandEnvelope::default()
        },
    ]
}

fn messages() -> Vec<PeerMessage> {
    let node = NodeId::new(3);
    let kinds = [
        StepKind::Accepted,
        StepKind::Forwarded { leader: node },
        StepKind::Appended { entry: EntryId::new(4, 9) },
        StepKind::Acknowledged { by: node },
        StepKind::Committed,
        StepKind::Applied,
    ];
    let steps: Vec<Step> =
        kinds.into_iter().zip(0..).map(|(what, at_us)| Step { node, at_us, what }).collect();
    let errors = [
        ProposeError::NoLeader { leader: None },
        ProposeError::NoLeader { leader: Some(node) },
        ProposeError::Overloaded,
        ProposeError::TooLarge { bytes: 9, bytes_max: 8 },
        ProposeError::TimedOut,
        ProposeError::Forgotten,
        ProposeError::SessionUnknown,
        ProposeError::KeyReused,
        ProposeError::Malformed("why".into()),
        ProposeError::ReplyMalformed("why".into()),
        ProposeError::Stopped { sent: true },
        ProposeError::Stopped { sent: false },
    ];
    let mut answers = vec![
        ForwardAnswer::NotLeader { leader: Some(node) },
        ForwardAnswer::NotLeader { leader: None },
        ForwardAnswer::Overloaded,
        ForwardAnswer::LeadershipLost,
        ForwardAnswer::Answered(Answered { outcome: Ok(Bytes::from_static(b"yes")), trace: Some(steps) }),
        ForwardAnswer::Answered(Answered { outcome: Ok(Bytes::new()), trace: Some(vec![]) }),
    ];
    answers
        .extend(errors.map(|error| ForwardAnswer::Answered(Answered { outcome: Err(error), trace: None })));
    let proposals =
        vec![(Ticket(1), Bytes::from_static(b"first"), false), (Ticket(u64::MAX), Bytes::new(), true)];
    let mut messages = vec![
        PeerMessage::Raft(Envelope {
            from: NodeId::new(1),
            to: NodeId::new(2),
            term: Term(3),
            message: Message::Heartbeat { commit: Index(4), round: 5, asks_promise: false },
        }),
        PeerMessage::Forward { proposals },
        PeerMessage::ForwardReply {
            answers: answers.into_iter().zip(1..).map(|(a, n)| (Ticket(n), a)).collect(),
        },
        PeerMessage::ForwardRead { ticket: Ticket(8) },
        PeerMessage::ForwardReadReply { ticket: Ticket(8), index: Some(Index(0)) },
        PeerMessage::ForwardReadReply { ticket: Ticket(8), index: None },
        PeerMessage::StatusRequest { ticket: Ticket(9) },
        PeerMessage::StatusReply { ticket: Ticket(9), status: Bytes::from_static(b"fine") },
        PeerMessage::SnapshotAsk { last: EntryId::new(3, 9), piece: 7 },
        PeerMessage::SnapshotPiece {
            name: SnapshotName { last: EntryId::new(3, 9), bytes: 1 << 40, check: 77 },
            piece: 8,
            bytes: Bytes::from_static(b"a piece"),
        },
        PeerMessage::SnapshotGone { last: EntryId::new(3, 9) },
        PeerMessage::SnapshotFetching { last: EntryId::new(3, 9) },
        PeerMessage::StateMarks {
            marks: vec![
                StateMark { index: Index(64), hash: 7 },
                StateMark { index: Index(128), hash: u64::MAX },
            ],
        },
    ];
    messages.extend(cluster_messages());
    messages
}

fn cluster_messages() -> Vec<PeerMessage> {
    let node = NodeId::new(3);
    let ticket = Ticket(5);
    let refusals = [
        ClusterRefusal::NotVoter(node),
        ClusterRefusal::TransferUnderWay { to: node },
        ClusterRefusal::NobodyElse,
        ClusterRefusal::NotTakenOver { to: node },
    ];
    let mut results = vec![
        Ok(ClusterDone::Leads(node)),
        Err(ClusterError::NoLeader { leader: None }),
        Err(ClusterError::NoLeader { leader: Some(node) }),
        Err(ClusterError::Overloaded),
        Err(ClusterError::TimedOut),
        Err(ClusterError::Stopped { sent: true }),
        Err(ClusterError::Stopped { sent: false }),
    ];
    results.extend(refusals.map(|refusal| Err(ClusterError::Refused(refusal))));
    results.extend([None, Some(node)].map(|node| Ok(ClusterDone::Members { node })));
    let reasons = [
        ChangeRefusal::NotLeader { leader: None },
        ChangeRefusal::NotYet,
        ChangeRefusal::UnderWay,
        ChangeRefusal::IdUsed { node, next: NodeId::new(9) },
        ChangeRefusal::AlreadyMember(node),
        ChangeRefusal::AddressUsed { by: node },
        ChangeRefusal::AddressInvalid,
        ChangeRefusal::NotMember(node),
        ChangeRefusal::LastVoter,
        ChangeRefusal::TooMany,
        ChangeRefusal::IdZero,
        ChangeRefusal::NoQuorum { silent: vec![node, NodeId::new(9)] },
    ];
    results.extend(reasons.map(|reason| Err(ClusterError::Refused(ClusterRefusal::Change(reason)))));
    let too_low = ClusterRefusal::LevelTooLow { level: 3, level_max: 2 };
    results.push(Err(ClusterError::Refused(too_low)));
    let replies = results.into_iter().map(|result| PeerMessage::ClusterReply { ticket, result });
    let changes = [
        Change::Add { node: Some(node), address: "żółw:1".into(), voter: true, replaces: Some(node) },
        Change::Add { node: None, address: String::new(), voter: false, replaces: None },
        Change::Promote { node },
        Change::Remove { node },
    ];
    let requests = [None, Some(node)].map(|to| ClusterRequest::Transfer { to }).into_iter();
    let joins = changes.clone().map(|change| ClusterRequest::Join { change, level_max: 7 });
    let requests = requests.chain(changes.map(ClusterRequest::Change)).chain(joins);
    let requests = requests.map(|request| PeerMessage::ClusterRequest { ticket, request });
    let introduced = vec![(node, "żółw:1".to_owned()), (NodeId::new(4), String::new())];
    let introductions = [PeerMessage::Introduction { members: introduced }];
    replies.chain(requests).chain(introductions).collect()
}

#[test]
fn every_envelope_comes_back_and_its_body_is_not_copied() {
    for envelope in envelopes() {
        let bytes = envelope.encode().unwrap();
        assert!(bytes.len() <= envelope.body.len() + ENVELOPE_BYTES_MAX);
        let decoded = CommandEnvelope::decode(&bytes).unwrap();
        assert_eq!(decoded, envelope);
        if !decoded.body.is_empty() {
            let within = bytes.as_ptr_range();
            assert!(within.contains(&decoded.body.as_ptr()), "the body is a slice of the buffer");
        }
    }
}

#[test]
fn every_message_comes_back() {
    for message in messages() {
        let (kind, body) = peer_codec::encode(&message);
        assert_eq!(peer_codec::decode(kind, body), Ok(message));
        assert!(!KINDS_RESERVED.contains(&kind));
    }
}

#[test]
fn a_field_that_is_not_known_is_skipped_and_one_out_of_order_is_refused() {
    let known = &envelopes()[2];
    let bytes = known.encode().unwrap();
    let body_at = bytes.len() - known.body.len() - 1;
    let with = |field: &[u8]| Bytes::from([&bytes[..body_at], field, &bytes[body_at..]].concat());
    assert_eq!(CommandEnvelope::decode(&with(&[200, 2, 0, 1, 2])).as_ref(), Ok(known));
    assert!(CommandEnvelope::decode(&with(&[3, 1, 0, b'x'])).is_err(), "a field that stands again");
    assert!(CommandEnvelope::decode(&with(&[200, 255, 255, 1])).is_err(), "a field beyond the end");
}

#[test]
fn an_envelope_of_another_version_or_kind_is_refused_in_words() {
    for (bytes, words) in [
        (&b"\x02\x00\x00"[..], "envelope version 2"),
        (b"\x01\x09\x00", "command kind 9"),
        (b"\x01", "less than two bytes"),
        (b"\x01\x00", "without a body"),
    ] {
        let error = CommandEnvelope::decode(&Bytes::from_static(bytes)).unwrap_err();
        assert!(error.what.contains(words), "{error}");
    }
}

#[test]
fn a_field_above_its_limit_is_not_written() {
    for (what, envelope) in [
        ("actor", CommandEnvelope { actor: Some("a".repeat(257)), ..CommandEnvelope::default() }),
        ("trace context", CommandEnvelope { trace: Some("t".repeat(1025)), ..CommandEnvelope::default() }),
        (
            "request key",
            CommandEnvelope {
                request_id: Some(RequestId::Key(Bytes::from(vec![1; 65]))),
                ..CommandEnvelope::default()
            },
        ),
        (
            "empty request key",
            CommandEnvelope { request_id: Some(RequestId::Key(Bytes::new())), ..CommandEnvelope::default() },
        ),
    ] {
        let error = envelope.encode().unwrap_err();
        assert!(error.what.contains(what), "{error}");
    }
}

/// A count from the wire takes no memory before the bytes for it are there: 2^32 answers in eight bytes are refused.
#[test]
fn a_count_above_the_bytes_is_refused_before_memory_is_taken() {
    for kind in [2, 3] {
        for count in [1, 1 << 20, u32::MAX] {
            let mut body = count.to_le_bytes().to_vec();
            body.extend_from_slice(&[0; 4]);
            assert!(peer_codec::decode(kind, Bytes::from(body)).is_err(), "kind {kind}, count {count}");
        }
    }
}

/// Every cut, and a hundred thousand mutations of bytes and lengths: an error or a value, never a panic. What is read
/// as a value is written again to the same bytes, so that no two forms mean the same.
#[test]
fn damaged_bytes_never_panic() {
    let mut state = 7u64;
    let mut chance = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % below as u64).unwrap()
    };
    let mut samples: Vec<(Option<u8>, Bytes)> =
        envelopes().iter().map(|envelope| (None, envelope.encode().unwrap())).collect();
    samples.extend(messages().iter().map(|message| {
        let (kind, body) = peer_codec::encode(message);
        (Some(kind), body)
    }));
    let read = |kind: Option<u8>, bytes: Bytes| match kind {
        None => drop(CommandEnvelope::decode(&bytes)),
        Some(kind) => {
            if let Ok(message) = peer_codec::decode(kind, bytes.clone())
                && !matches!(message, PeerMessage::Raft(_))
            {
                let again = peer_codec::encode(&message).1;
                assert_eq!(peer_codec::decode(kind, again), Ok(message), "what was read can be written");
            }
        }
    };
    for (kind, bytes) in &samples {
        for end in 0..bytes.len() {
            let cut = bytes.slice(..end);
            match kind {
                None => drop(CommandEnvelope::decode(&cut)),
                // Only a status may end anywhere behind its ticket: all that remains is the status.
                Some(7) if end >= 8 => {}
                // So does a piece of a snapshot behind what stands before it.
                Some(9) if bytes[0] == 1 && end >= 37 => {}
                Some(kind) => {
                    assert!(peer_codec::decode(*kind, cut.clone()).is_err(), "kind {kind} cut at {end}")
                }
            }
        }
    }
    for _ in 0..100_000 {
        let (kind, bytes) = &samples[chance(samples.len())];
        let mut bytes = bytes.to_vec();
        for _ in 0..=chance(3) {
            let at = chance(bytes.len().max(1));
            match chance(3) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(chance(256)).unwrap(),
                1 if at < bytes.len() => bytes[at] ^= 1 << chance(8),
                2 => bytes.truncate(at),
                _ => bytes.push(u8::try_from(chance(256)).unwrap()),
            }
        }
        let kind = kind.map(|kind| if chance(50) == 0 { u8::try_from(chance(256)).unwrap() } else { kind });
        read(kind, Bytes::from(bytes));
    }
}

#[test]
fn small_values_have_a_form() {
    fn check<T: Codec + PartialEq + std::fmt::Debug + Clone>(value: T, bytes: &[u8]) {
        let mut out = Vec::new();
        value.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(T::decode(&Bytes::from(out)), Ok(value));
    }
    check((), b"");
    check(258u64, &[2, 1, 0, 0, 0, 0, 0, 0]);
    check(-2i64, &[254, 255, 255, 255, 255, 255, 255, 255]);
    check("żółw".to_owned(), "żółw".as_bytes());
    check(vec![1u8, 2], &[1, 2]);
    check(Bytes::from_static(b"ab"), b"ab");
    assert!(u64::decode(&Bytes::from_static(b"1234567")).is_err());
    assert!(i64::decode(&Bytes::from_static(b"123456789")).is_err());
    assert!(<()>::decode(&Bytes::from_static(b"1")).is_err());
    assert!(String::decode(&Bytes::from_static(b"\xff")).is_err());
}
