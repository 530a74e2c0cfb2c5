//! Handshake messages byte by byte, and what a node says to each kind of caller.

use quorate_core::types::{ClusterId, GroupId, NodeId};
use quorate_transport::{
    Answer, HandshakeError, Hello, Identity, Lane, Refusal, RefusalCode, WIRE_VERSION_MAX, Welcome,
};

fn hello() -> Hello {
    let from = Identity {
        cluster: ClusterId(*b"sixteen bytes .."),
        group: GroupId(0),
        node: NodeId::new(1),
        incarnation: 0xA1,
    };
    Hello { version_min: 0, version_max: 3, from, to: NodeId::new(2), lane: Lane::Messages }
}

fn answers() -> [Answer; 2] {
    let text = "n2 does not know n1".to_owned();
    [
        Answer::Welcome(Welcome { version: 0, node: NodeId::new(2), incarnation: u128::MAX }),
        Answer::Refused(Refusal { code: RefusalCode::UnknownNode, text }),
    ]
}

/// A caller from before there were two kinds says nothing of it, and means messages; a called node from before skips the field.
#[test]
fn a_bulk_connection_says_so_in_an_optional_field() {
    let bulk = Hello { lane: Lane::Bulk, ..hello() };
    assert_eq!(Hello::decode(&bulk.encode()), Ok(bulk));
    assert_eq!(Hello::decode(&hello().encode()), Ok(hello()));
    assert_eq!(bulk.encode(), extend(&hello().encode(), &[1, 0, 1, 0, 1]));
    assert_eq!(Hello::decode(&extend(&hello().encode(), &[1, 0, 1, 0, 9])), Ok(hello()), "an unknown kind");
}

/// Appends bytes to the body of a message and makes length and checksum fit.
fn extend(message: &[u8], more: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes.extend_from_slice(more);
    let length = u16::try_from(bytes.len() - 16).expect("short");
    bytes[10..12].copy_from_slice(&length.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// A message is read back as it was; no prefix of it is read as anything; no flipped bit passes.
fn check<T: PartialEq + std::fmt::Debug>(
    message: &T,
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, HandshakeError>,
) {
    assert_eq!(decode(bytes).as_ref(), Ok(message));
    for cut in 0..bytes.len() {
        assert_eq!(decode(&bytes[..cut]), Err(HandshakeError::Incomplete), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "flipping bit {bit} was not detected");
    }
    let optional = [0xEE, 0xEE, 3, 0, 1, 2, 3, 0xEF, 0xEE, 0, 0];
    assert_eq!(
        decode(&extend(bytes, &optional)).as_ref(),
        Ok(message),
        "unknown optional fields are skipped"
    );
    for cut in [1, 2, 3, 4, 6, 10] {
        let error = decode(&extend(bytes, &optional[..cut])).expect_err("a cut optional field");
        assert_eq!(error, HandshakeError::Malformed { what: "a field is cut short" }, "cut at {cut}");
    }
}

#[test]
fn messages_are_read_back_or_refused() {
    check(&hello(), &hello().encode(), Hello::decode);
    for answer in answers() {
        check(&answer, &answer.encode(), Answer::decode);
    }
}

#[test]
fn what_is_no_handshake_is_named() {
    let hello = hello().encode();
    let welcome = answers()[0].encode();
    let mut zero_node = hello.clone();
    zero_node[16 + 24..16 + 32].fill(0);
    let mut too_long = hello.clone();
    too_long[10..12].copy_from_slice(&1025u16.to_le_bytes());
    let mut backward = hello.clone();
    backward[16..18].copy_from_slice(&9u16.to_le_bytes());
    let mut followed = hello.clone();
    followed.push(0);
    let malformed = |what| HandshakeError::Malformed { what };
    let cases: [(&[u8], HandshakeError); 11] = [
        (b"GET / HTTP/1.1\r\n", HandshakeError::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HandshakeError::Http),
        (b"HTTP/1.1 400 Bad Request\r\n", HandshakeError::Http),
        (b"PO", HandshakeError::Incomplete),
        (b"\x16\x03\x01\x02\x00", HandshakeError::WrongMagic),
        (b"QUORUM", HandshakeError::WrongMagic),
        (&too_long, HandshakeError::TooLarge { len_bytes: 1025, max_bytes: 1024 }),
        (&extend(&zero_node, &[]), malformed("a node id is zero")),
        (&extend(&backward, &[]), malformed("the oldest version is above the newest")),
        (&followed, malformed("bytes follow before the handshake is answered")),
        (&welcome, malformed("an answer stands where a caller should name itself")),
    ];
    for (bytes, error) in cases {
        assert_eq!(Hello::decode(bytes), Err(error), "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(Answer::decode(&hello), Err(malformed("a caller's message stands where an answer should")));
}

/// A refusal is cut to the limit of a handshake message, between two characters.
#[test]
fn a_long_refusal_is_cut() {
    let refusal = Refusal { code: RefusalCode::Unanswered, text: format!("x{}", "é".repeat(2_000)) };
    let bytes = Answer::Refused(refusal.clone()).encode();
    let Ok(Answer::Refused(read)) = Answer::decode(&bytes) else {
        panic!("a refusal is read back as one");
    };
    assert!(read.text.len() <= 900 && refusal.text.starts_with(&read.text), "{} bytes", read.text.len());
}

/// What node 2 says to each kind of caller.
#[test]
fn each_wrong_caller_is_refused_by_name() {
    let local = Identity { node: NodeId::new(2), ..hello().from };
    let other_cluster = Identity { cluster: ClusterId([9; 16]), ..hello().from };
    let other_group = Identity { group: GroupId(4), ..hello().from };
    let itself = Identity { node: NodeId::new(2), ..hello().from };
    let cases = [
        (hello(), Ok(1)),
        (Hello { version_max: 0, ..hello() }, Ok(0)),
        (
            Hello { version_min: 7, version_max: 9, ..hello() },
            Err((RefusalCode::NoCommonVersion, "upgrade the older")),
        ),
        (
            Hello { from: other_cluster, ..hello() },
            Err((RefusalCode::WrongCluster, "the same cluster token")),
        ),
        (Hello { from: other_group, ..hello() }, Err((RefusalCode::WrongGroup, "serves group 0"))),
        (Hello { to: NodeId::new(3), ..hello() }, Err((RefusalCode::WrongNode, "correct the address of n3"))),
        (Hello { from: itself, ..hello() }, Err((RefusalCode::WrongNode, "two nodes were given the same"))),
    ];
    for (hello, expected) in cases {
        match (hello.judge(&local, WIRE_VERSION_MAX), expected) {
            (Ok(version), Ok(expected)) => assert_eq!(version, expected),
            (Err(refusal), Err((code, words))) => {
                assert_eq!(refusal.code, code);
                assert!(refusal.text.contains(words), "{:?} does not say {words:?}", refusal.text);
            }
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }
}
