//! The binary form of commands and replies: what is written is read back, and whatever else comes is refused, not believed.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_machine::{
    CheckError, Command, Committed, Created, DATA_BYTES_MAX, DEFINITION_BYTES_MAX, DefineOutcome, Defined,
    Definition, Expect, Ignored, Outcome, Proposal, Rejected, RejectionCode, Reply, Standing, Why, Wish,
};
use quorate_replica::state_machine::Codec;

use crate::support::through_codec;

fn proposal(wish: Wish) -> Proposal {
    Proposal {
        machine: "job".to_owned(),
        id: "a/7".to_owned(),
        wish,
        data: Some("{\"a\":1}".to_owned()),
        expect: Expect { revision: Some(u64::MAX), state: Some("Init".to_owned()) },
    }
}

fn commands() -> Vec<Command> {
    let definition = Definition::lifecycle();
    let bare = Proposal { data: None, expect: Expect::default(), ..proposal(Wish::State("Done".to_owned())) };
    vec![
        Command::Define { canonical_json: definition.canonical_json().to_owned(), hash: definition.hash() },
        Command::Create { machine: "job".to_owned(), id: "ä".to_owned() },
        Command::Propose(proposal(Wish::Event("start".to_owned()))),
        Command::Propose(bare),
    ]
}

fn replies() -> Vec<Reply> {
    let hash = Definition::lifecycle().hash();
    let (index, term, version, revision) = (1 << 40, 3, 2, 300);
    let text = |text: &str| text.to_owned();
    let standing =
        Standing { state: text("Init"), allowed: vec![text("start"), text("stop")], revision, version };
    let defined =
        |outcome| Reply::Defined(Defined { outcome, machine: text("job"), version, hash, index, term });
    let rejected = |why, standing| Reply::Outcome(Outcome::Rejected(Rejected { why, standing, index, term }));
    let mut replies = vec![
        defined(DefineOutcome::New),
        defined(DefineOutcome::Unchanged),
        defined(DefineOutcome::VersionTaken { hash }),
        defined(DefineOutcome::NotNewer { latest: 9 }),
        defined(DefineOutcome::HashMismatch { actual: hash }),
        defined(DefineOutcome::Invalid),
        defined(DefineOutcome::LimitReached { definitions_max: 4 }),
        Reply::Created(Created {
            machine: text("job"),
            id: text("7"),
            state: text("Init"),
            revision,
            version,
            index,
            term,
        }),
        Reply::Outcome(Outcome::Committed(Committed {
            event: text("start"),
            from: text("Init"),
            to: text("Running"),
            revision,
            version,
            index,
            term,
        })),
        Reply::Outcome(Outcome::Ignored(Ignored {
            event: text("noise"),
            state: text("Init"),
            revision,
            version,
            index,
            term,
        })),
    ];
    let (event, to, close) = (text("start"), text("Init"), Some(text("job")));
    let (expected_state, expected_revision) = (Some(text("Done")), Some(7));
    let state = text("Running");
    let whys = [
        Why::UnknownMachine { machine: text("jop"), close: close.clone() },
        Why::UnknownMachine { machine: text("?"), close: None },
        Why::UnknownInstance { machine: text("job"), id: text("7") },
        Why::Exists { id: text("7") },
        Why::Full { instances: 9, instances_max: 9 },
        Why::UnknownEvent { event: event.clone(), close: close.clone() },
        Why::NotHandled { state: state.clone(), event },
        Why::NoWay { state: state.clone(), to: to.clone() },
        Why::UnknownState { to, close },
        Why::Final { state: state.clone() },
        Why::Conflict { expected_state: None, expected_revision, state: state.clone(), revision },
        Why::Conflict { expected_state, expected_revision: None, state, revision },
        Why::Malformed,
        Why::TooLarge,
    ];
    replies.extend(whys.map(|why| rejected(why, Some(standing.clone()))));
    replies.extend(RejectionCode::ALL.map(|code| rejected(Why::Other(code), None)));
    replies.push(rejected(Why::Exists { id: text("7") }, None));
    replies
}

#[test]
fn every_command_and_reply_is_read_back_as_it_was_written() {
    commands().iter().for_each(|command| drop(through_codec(command)));
    replies().iter().for_each(|reply| drop(through_codec(reply)));
}

#[test]
fn the_bytes_of_a_proposal_are_these() {
    let mut bytes = Vec::new();
    Command::Propose(proposal(Wish::Event("start".to_owned()))).encode(&mut bytes);
    let expected = b"\x01\x03\x01\x03job\x02\x03a/7\x03\x05start\x05\x07{\"a\":1}\
        \x06\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x07\x04Init";
    assert_eq!(bytes, expected);
}

#[test]
fn a_later_versions_field_is_skipped_or_refused_by_its_number() {
    let mut bytes = Vec::new();
    Command::Create { machine: "job".to_owned(), id: "7".to_owned() }.encode(&mut bytes);
    let with = |field: &[u8]| Command::decode(&Bytes::from([&bytes[..], field].concat()));
    assert_eq!(with(b"\x40\x01x"), Command::decode(&Bytes::from(bytes.clone())), "from 64 on: skipped");
    assert!(with(b"\x3f\x01x").is_err(), "below 64: refused");
    assert!(with(b"\x03\x01x").is_err(), "known, but not here");
    assert!(with(b"\x01\x01x").is_err(), "twice");
    assert!(Command::decode(&Bytes::from([b"\x02", &bytes[1..]].concat())).is_err(), "another form");
}

#[test]
fn what_could_never_be_accepted_is_refused_before_the_log() {
    let event = |name: &str| Command::Propose(proposal(Wish::Event(name.to_owned())));
    let with_data = |data: String| {
        Command::Propose(Proposal { data: Some(data), ..proposal(Wish::Event("go".to_owned())) })
    };
    let create = |machine: &str, id: &str| Command::Create { machine: machine.to_owned(), id: id.to_owned() };
    let define = |bytes: usize| Command::Define {
        canonical_json: "x".repeat(bytes),
        hash: Definition::lifecycle().hash(),
    };
    let object = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    for (command, expected) in [
        (event("start"), "ok"),
        (event(""), "event: a name is empty"),
        (event("a b"), "event: a name holds ' ': only ASCII letters, digits, `_` and `-` are allowed"),
        (create("job", "a/b ä"), "ok"),
        (create("job", ".."), "id: \"..\" is no id: it would vanish from a path"),
        (create("job", "a\u{7}"), "id: an id holds the control character '\\u{7}'"),
        (create("job", &"x".repeat(257)), "id: an id has 257 bytes, the limit is 256"),
        (create("", "7"), "machine: a name is empty"),
        (with_data("{}".to_owned()), "ok"),
        (
            with_data("[1]".to_owned()),
            "data: invalid type: sequence, expected a JSON object at line 1 column 0",
        ),
        (with_data("{\"a\":}".to_owned()), "data: expected value at line 1 column 6"),
        (with_data("{} {}".to_owned()), "data: trailing characters at line 1 column 4"),
        (with_data(r#"{"a": [1, -2.5e3, "x", true, null, {"b": {}}]}"#.to_owned()), "ok"),
        (with_data("{\"a\": 1e999}".to_owned()), "data: number out of range at line 1 column 11"),
        (
            with_data("{\"a\":".repeat(200) + "1" + &"}".repeat(200)),
            "data: recursion limit exceeded at line 1 column 636",
        ),
        (with_data(object(DATA_BYTES_MAX)), "ok"),
        (with_data(object(DATA_BYTES_MAX + 1)), "too large: data has 65537 bytes, the limit is 65536"),
        (define(DEFINITION_BYTES_MAX), "ok"),
        (
            define(DEFINITION_BYTES_MAX + 1),
            "too large: the definition has 1048577 bytes, the limit is 1048576",
        ),
    ] {
        let told = match command.check() {
            Ok(()) => "ok".to_owned(),
            Err(CheckError::Malformed { detail }) => detail,
            Err(error @ CheckError::TooLarge { .. }) => format!("too large: {error}"),
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn outcomes_have_the_json_that_every_interface_shows() {
    let json = |place: usize| match &replies()[place] {
        Reply::Outcome(outcome) => serde_json::to_string(outcome).unwrap(),
        other => panic!("{other:?}"),
    };
    let at = replies().len();
    for (place, expected) in [
        (
            8,
            r#"{"outcome":"committed","event":"start","from":"Init","to":"Running","revision":300,"version":2,"index":1099511627776,"term":3}"#,
        ),
        (
            9,
            r#"{"outcome":"ignored","event":"noise","state":"Init","revision":300,"version":2,"index":1099511627776,"term":3}"#,
        ),
        (
            10,
            r#"{"outcome":"rejected","code":"unknown_machine","detail":"no machine is called \"jop\"; did you mean \"job\"?","state":"Init","allowed":["start","stop"],"revision":300,"version":2,"index":1099511627776,"term":3}"#,
        ),
        (
            at - 1,
            r#"{"outcome":"rejected","code":"exists","detail":"instance \"7\" exists already","index":1099511627776,"term":3}"#,
        ),
    ] {
        assert_eq!(json(place), expected);
    }
    for code in RejectionCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert_eq!(RejectionCode::from_name(code.as_str()), Some(code));
    }
}

proptest! {
    /// Cut, flipped or lengthened bytes are refused or mean something else; they never panic and never mean the same twice.
    #[test]
    fn damaged_bytes_are_refused_or_mean_something_else(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
        cut in any::<bool>(),
    ) {
        let (commands, replies) = (commands(), replies());
        let mut bytes = Vec::new();
        let place = which.index(commands.len() + replies.len());
        match commands.get(place) {
            Some(command) => command.encode(&mut bytes),
            None => replies[place - commands.len()].encode(&mut bytes),
        }
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        let bytes = Bytes::from(bytes);
        if let Some(command) = commands.get(place) {
            prop_assert_ne!(&Command::decode(&bytes), &Ok(command.clone()));
        } else {
            prop_assert_ne!(&Reply::decode(&bytes), &Ok(replies[place - commands.len()].clone()));
        }
    }

    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from([&[1][..], &bytes].concat());
        let _ = Command::decode(&bytes);
        let _ = Reply::decode(&bytes);
    }
}
