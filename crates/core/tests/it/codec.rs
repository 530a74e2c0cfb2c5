//! The binary form: what was written is read back, and nothing that comes from outside can do more than be refused.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quorate_core::codec::DecodeError;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::message::{Envelope, Ground, Message, Standing};
use quorate_core::types::{EntryId, Index, Term};

use crate::chance::Chance;
use crate::cluster::id;

fn membership() -> Membership {
    Membership {
        voters: [id(1), id(2), id(3)].into(),
        voters_outgoing: [id(2), id(9)].into(),
        learners: [id(4)].into(),
        promotions: [(id(4), Some(id(9)))].into(),
        addresses: [(id(1), "one:1".to_owned()), (id(4), "four:1".to_owned())].into(),
        id_given: 12,
    }
}

fn envelopes() -> Vec<Envelope> {
    let entry = |index, payload| Entry { id: EntryId::new(3, index), timestamp_ms: 77, payload };
    let entries = vec![
        entry(6, Payload::Noop),
        entry(7, Payload::Command(Bytes::from_static(b"command"))),
        entry(8, Payload::Command(Bytes::new())),
        entry(9, Payload::Membership(Arc::new(membership()))),
    ];
    let last = EntryId::new(3, 5);
    let messages = vec![
        Message::PreVoteRequest { last },
        Message::PreVoteResponse { granted: true },
        Message::VoteRequest { last, ground: Ground::Leader { round: 6 } },
        Message::VoteResponse { granted: false, wall_ms: 1_790_000_000_000 },
        Message::AppendRequest { prev: last, entries: entries.clone(), commit: Index(4) },
        Message::AppendRequest { prev: EntryId::ZERO, entries: vec![], commit: Index(0) },
        Message::AppendResponse { matched: Index(1 << 62) },
        Message::AppendRejected { prev: Index(9), hint: last },
        Message::Heartbeat { commit: Index(4), round: 8, asks_promise: true },
        Message::HeartbeatResponse {
            round: 8,
            standing: Standing::default(),
            wall_ms: u64::MAX,
            features: 3,
            promise_us: 0,
        },
        Message::TimeoutNow { round: 1 },
        Message::Donation { prev: EntryId::new(3, 5), entries: vec![entry(6, Payload::Noop)] },
        Message::RepairRequest { wanted: vec![last, EntryId::new(4, 6)], state_behind: None },
        Message::RepairRequest { wanted: vec![], state_behind: Some(last) },
        Message::RepairResponse { entries, snapshot: EntryId::ZERO },
        Message::RepairResponse { entries: vec![], snapshot: last },
    ];
    messages
        .into_iter()
        .map(|message| Envelope { from: id(1), to: id(u64::MAX), term: Term(4), message })
        .collect()
}

fn encoded(envelope: &Envelope) -> Bytes {
    let mut bytes = BytesMut::new();
    envelope.encode(&mut bytes);
    assert_eq!(bytes.len(), envelope.encoded_len());
    bytes.freeze()
}

#[test]
fn what_was_encoded_decodes_to_the_same() {
    for envelope in envelopes() {
        assert_eq!(Envelope::decode(&mut encoded(&envelope)), Ok(envelope));
    }
    for hard_state in [HardState::default(), HardState { term: Term(7), vote: Some(id(3)) }] {
        let mut bytes = BytesMut::new();
        hard_state.encode(&mut bytes);
        assert_eq!(bytes.len(), hard_state.encoded_len());
        assert_eq!(HardState::decode(&mut bytes.freeze()), Ok(hard_state));
    }
    let mut bytes = BytesMut::new();
    membership().encode(&mut bytes);
    assert_eq!(bytes.len(), membership().encoded_len());
    assert_eq!(Membership::decode(&mut bytes.freeze()), Ok(membership()));
}

/// A command is never copied on its way from the socket to the log and the peers.
#[test]
fn a_command_is_a_slice_of_the_bytes_it_came_in() {
    let bytes = encoded(&envelopes()[4]);
    let range = bytes.as_ptr_range();
    let Message::AppendRequest { entries, .. } =
        Envelope::decode(&mut bytes.clone()).expect("it decodes").message
    else {
        panic!("it is an append request")
    };
    let Payload::Command(command) = &entries[1].payload else { panic!("it is a command") };
    assert_eq!(command.as_ref(), b"command");
    assert!(range.contains(&command.as_ptr()));
}

/// The form is recorded: logs and peers of other versions depend on every byte of it.
#[test]
fn the_form_never_changes_unnoticed() {
    let entry = Entry {
        id: EntryId::new(1, 2),
        timestamp_ms: 3,
        payload: Payload::Command(Bytes::from_static(b"ab")),
    };
    let message = Message::AppendRequest { prev: EntryId::new(0, 1), entries: vec![entry], commit: Index(1) };
    let bytes = encoded(&Envelope { from: id(1), to: id(2), term: Term(5), message });
    let expected = [
        &[1, 4][..],
        &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        &[0; 8],
        &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a', b'b'],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn bytes_that_end_too_early_or_too_late_are_refused() {
    for envelope in envelopes() {
        let bytes = encoded(&envelope);
        for len in 0..bytes.len() {
            let error = Envelope::decode(&mut bytes.slice(..len)).expect_err("a part is not the whole");
            assert_eq!(error, DecodeError::Truncated, "{len} bytes of {envelope:?}");
        }
        let mut longer = BytesMut::from(bytes);
        longer.extend_from_slice(&[0]);
        assert_eq!(Envelope::decode(&mut longer.freeze()), Err(DecodeError::Trailing));
    }
}

#[test]
fn values_that_cannot_be_are_refused_by_name() {
    let check = |place: usize, value: &[u8], what: &'static str| {
        let mut bytes = BytesMut::from(encoded(&envelopes()[2]));
        bytes[place..place + value.len()].copy_from_slice(value);
        assert_eq!(Envelope::decode(&mut bytes.freeze()), Err(DecodeError::Invalid(what)));
    };
    check(0, &[9], "the format of an envelope");
    check(1, &[99], "the kind of a message");
    check(2, &[0; 8], "a node id");
    check(18, &[255; 8], "a term");
    check(34, &[255; 8], "an index");
    check(42, &[2], "a yes or no");
    check(43, &[0], "the ground of a candidacy");
    let voters: [&[u8]; 4] = [
        &[0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[255, 255, 1, 0, 0, 0, 0, 0, 0, 0],
    ];
    for bytes in voters {
        let decoded = Membership::decode(&mut Bytes::copy_from_slice(bytes));
        assert!(matches!(decoded, Err(DecodeError::Invalid(_))), "{decoded:?}");
    }
    let mut learner_votes = BytesMut::new();
    Membership { learners: [id(2)].into(), ..membership() }.encode(&mut learner_votes);
    assert_eq!(
        Membership::decode(&mut learner_votes.freeze()),
        Err(DecodeError::Invalid("the set of learners"))
    );
    let strangers = [
        Membership { promotions: [(id(3), None)].into(), ..membership() },
        Membership { promotions: [(id(4), Some(id(7)))].into(), ..membership() },
        Membership { addresses: [(id(8), "x:1".to_owned())].into(), ..membership() },
    ];
    for said_of_strangers in strangers {
        let mut bytes = BytesMut::new();
        said_of_strangers.encode(&mut bytes);
        let decoded = Membership::decode(&mut bytes.freeze());
        assert_eq!(decoded, Err(DecodeError::Invalid("what is said of members")), "{said_of_strangers:?}");
    }
}

/// A count or a length that claims more than there is is refused before memory is taken: this test would not survive it
/// otherwise.
#[test]
fn a_length_takes_no_memory_before_it_is_checked() {
    let mut bytes = BytesMut::from(encoded(&envelopes()[5]));
    let count = bytes.len() - 4;
    bytes[count..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Envelope::decode(&mut bytes.freeze()), Err(DecodeError::Truncated));
    let mut bytes = BytesMut::from(encoded(&envelopes()[4]));
    let len = 26 + 28 + 25;
    bytes[len..len + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Envelope::decode(&mut bytes.freeze()).is_err());
}

/// Nodes of two versions talk to each other in the older one's format: what that has no place for is not said, and is read as not said.
#[test]
fn an_older_format_leaves_out_what_it_has_no_place_for() {
    for envelope in envelopes() {
        let (mut old, mut new) = (BytesMut::new(), BytesMut::new());
        envelope.encode_for(0, &mut old);
        envelope.encode_for(1, &mut new);
        let mut message = envelope.message.clone();
        if let Message::HeartbeatResponse { wall_ms, features, promise_us, .. } = &mut message {
            (*wall_ms, *features, *promise_us) = (0, 0, 0);
        } else if let Message::VoteResponse { wall_ms, .. } = &mut message {
            *wall_ms = 0;
        } else if let Message::VoteRequest { ground: ground @ Ground::Leader { .. }, .. } = &mut message {
            *ground = Ground::Operator;
        } else if let Message::Heartbeat { asks_promise, .. } = &mut message {
            *asks_promise = false;
        } else if let Message::TimeoutNow { round } = &mut message {
            *round = 0;
        }
        let (mut old, mut new) = (old.freeze(), new.freeze());
        assert_eq!(
            Envelope::decode_up_to(0, &mut new.clone()).ok(),
            None,
            "an old binary refuses the new one"
        );
        assert_eq!(Envelope::decode(&mut new), Ok(envelope.clone()));
        assert_eq!(Envelope::decode_up_to(0, &mut old.clone()), Envelope::decode(&mut old.clone()));
        assert_eq!(Envelope::decode(&mut old), Ok(Envelope { message, ..envelope }));
    }
}

/// Bytes changed, cut, doubled and made up at random: an answer always, and what decodes encodes to the same bytes.
#[test]
fn no_bytes_at_all_make_the_decoder_panic() {
    let mut chance = Chance::new(1);
    let originals: Vec<Bytes> = envelopes().iter().map(encoded).collect();
    let mut decoded = 0;
    for _ in 0..200_000 {
        let mut bytes = originals[chance.below(originals.len())].to_vec();
        for _ in 0..=chance.below(4) {
            let place = chance.below(bytes.len());
            match chance.below(5) {
                0 => bytes[place] = chance.bits().to_le_bytes()[0],
                1 => bytes[place] ^= 1 << chance.below(8),
                2 => bytes.truncate(place.max(1)),
                3 => bytes.insert(place, chance.bits().to_le_bytes()[0]),
                _ => bytes.extend_from_within(place..),
            }
        }
        let bytes = Bytes::from(bytes);
        if let Ok(envelope) = Envelope::decode(&mut bytes.clone()) {
            let mut again = BytesMut::new();
            envelope.encode_for(bytes[0], &mut again);
            assert_eq!(again, bytes, "there is one form of each message in each format");
            decoded += 1;
        }
        let _ = Entry::decode(&mut bytes.clone());
        let _ = Membership::decode(&mut bytes.clone());
        let _ = HardState::decode(&mut bytes.clone());
    }
    assert!(decoded > 1_000, "the changes are small enough that some still decode: {decoded}");
}
