//! The way in: whatever comes to the port, only intact frames of accepted peers reach the inbox.

use quorate_core::types::NodeId;
use quorate_transport::{Answer, Hello, Identity, RefusalCode, SendError, TransportConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Node, bytes_of, call, closed, config, frame, hello, identity, soon, until};

/// A caller is refused with `code`, and the connection is closed after the answer.
async fn check_refused(hello: Hello, code: RefusalCode) {
    let two = Node::new(identity(2), config());
    let listener = two.listen().await;
    let (mut stream, answer) = call(listener.local_addr(), &hello).await;
    let Answer::Refused(refusal) = answer else {
        panic!("{hello:?} was accepted");
    };
    assert_eq!(refusal.code, code, "{}", refusal.text);
    closed(&mut stream).await;
    until(|| (listener.status().handshakes_failed == 1).then_some(())).await;
    assert!(listener.status().connected.is_empty());
    two.stopped().await;
}

#[tokio::test]
async fn each_wrong_caller_is_refused() {
    check_refused(
        Hello { version_min: 7, version_max: 9, ..hello(identity(1), 2) },
        RefusalCode::NoCommonVersion,
    )
    .await;
    check_refused(hello(identity(1), 3), RefusalCode::WrongNode).await;
    check_refused(hello(identity(44), 2), RefusalCode::UnknownNode).await;
    let lost_disk = Identity { incarnation: 1, ..identity(1) };
    check_refused(hello(lost_disk, 2), RefusalCode::OtherIncarnation).await;
}

/// What is not a peer is closed without harm, and a peer is still welcome afterwards.
#[tokio::test]
async fn garbage_on_the_peer_port_is_closed() {
    let mut two = Node::new(identity(2), config());
    let listener = two.listen().await;
    let mut half_a_hello = hello(identity(1), 2).encode();
    half_a_hello.truncate(30);
    let mut corrupt_hello = hello(identity(1), 2).encode();
    corrupt_hello[40] ^= 1;
    let garbage: [&[u8]; 6] = [
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
        &[0xFF; 5_000],
        b"Q",
        &half_a_hello,
        &corrupt_hello,
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(listener.local_addr()).await.expect("somebody listens");
        // The listener may close before all is written.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        closed(&mut stream).await;
    }
    until(|| (listener.status().handshakes_failed == 6).then_some(())).await;

    let (mut stream, answer) = call(listener.local_addr(), &hello(identity(1), 2)).await;
    assert!(matches!(answer, Answer::Welcome(_)), "{answer:?}");
    stream.write_all(&bytes_of(&[frame(1, "x")])).await.expect("accepted");
    assert_eq!(two.frames().await, (NodeId::new(1), vec![frame(1, "x")]));
    two.stopped().await;
}

/// After two intact frames come these bytes: the frames are delivered, the connection is closed.
async fn check_closed_after(bytes: &[u8], corrupt: u64) {
    let mut two = Node::new(identity(2), config());
    let listener = two.listen().await;
    let (mut stream, _) = call(listener.local_addr(), &hello(identity(1), 2)).await;
    let intact = [frame(1, "x"), frame(2, "y")];
    let mut all = bytes_of(&intact);
    all.extend_from_slice(bytes);
    stream.write_all(&all).await.expect("accepted");
    stream.shutdown().await.expect("accepted");
    assert_eq!(two.frames().await.1, intact);
    closed(&mut stream).await;
    until(|| listener.status().connected.is_empty().then_some(())).await;
    assert_eq!(listener.status().connections_corrupt, corrupt);
    assert!(two.inbox.try_recv().is_err(), "nothing of the damaged part is delivered");
    two.stopped().await;
}

#[tokio::test]
async fn a_damaged_frame_closes_the_connection_after_those_before_it() {
    let mut flipped = bytes_of(&[frame(3, "damaged")]);
    flipped[15] ^= 0x10;
    check_closed_after(&flipped, 1).await;
    let mut header = bytes_of(&[frame(3, "damaged")]);
    header[1] ^= 0x10;
    check_closed_after(&header, 1).await;
    let cut = bytes_of(&[frame(3, "damaged")]);
    check_closed_after(&cut[..15], 0).await;
}

#[tokio::test]
async fn a_body_that_does_not_decode_closes_the_connection() {
    let two = Node::new(identity(2), config());
    let listener = two.listen().await;
    let (mut stream, _) = call(listener.local_addr(), &hello(identity(1), 2)).await;
    stream.write_all(&bytes_of(&[frame(99, "?")])).await.expect("accepted");
    closed(&mut stream).await;
    until(|| (listener.status().connections_corrupt == 1).then_some(())).await;
    two.stopped().await;
}

#[tokio::test]
async fn a_newer_connection_of_a_peer_replaces_the_older() {
    let mut two = Node::new(identity(2), config());
    let listener = two.listen().await;
    let (mut older, _) = call(listener.local_addr(), &hello(identity(1), 2)).await;
    let (mut other, _) = call(listener.local_addr(), &hello(identity(3), 2)).await;
    let (mut newer, _) = call(listener.local_addr(), &hello(identity(1), 2)).await;
    closed(&mut older).await;
    newer.write_all(&bytes_of(&[frame(1, "newer")])).await.expect("accepted");
    assert_eq!(two.frames().await, (NodeId::new(1), vec![frame(1, "newer")]));
    other.write_all(&bytes_of(&[frame(1, "other")])).await.expect("accepted");
    assert_eq!(two.frames().await, (NodeId::new(3), vec![frame(1, "other")]));
    assert_eq!(listener.status().connected, [NodeId::new(1), NodeId::new(3)]);
    two.stopped().await;
}

/// A full inbox stops the reading, TCP stops the sender, the sender's queue says that it is full; nothing is lost on the way.
#[tokio::test]
async fn a_full_inbox_slows_the_sender_down() {
    let mut one = Node::new(identity(1), TransportConfig { peer_queue_len_max: 16, ..config() });
    let mut two = Node::new(identity(2), TransportConfig { inbound_batch_len_max: 2, ..config() });
    let link = one.link(2, two.listen().await.local_addr().to_string());
    one.up().await;
    let mut accepted = 0u32;
    while link.try_send(frame(1, accepted.to_le_bytes().repeat(16_000))) != Err(SendError::Full) {
        accepted += 1;
        tokio::task::yield_now().await;
    }
    let mut got = 0u32;
    while got < accepted {
        let (_, frames) = two.frames().await;
        assert!(frames.len() <= 2, "a batch has its limit");
        for frame in frames {
            assert_eq!(frame.body[..4], got.to_le_bytes(), "in order and without a gap");
            got += 1;
        }
    }
    one.stopped().await;
    two.stopped().await;
}

/// The places of the inbox say nothing about memory: a frame may have 16 MiB. What lies there of one connection is bounded in bytes too.
#[tokio::test]
async fn what_lies_in_the_inbox_of_one_connection_is_bounded_in_bytes() {
    const BODY_BYTES: usize = 64_000;
    let limits = || TransportConfig {
        frame_body_bytes_max: BODY_BYTES,
        inbound_bytes_max: frame(1, vec![0; BODY_BYTES]).wire_len_bytes(),
        inbound_batch_len_max: 1,
        peer_queue_len_max: 16,
        ..config()
    };
    assert_eq!(limits().validate(), Ok(()));
    let too_small = TransportConfig { inbound_bytes_max: BODY_BYTES, ..limits() };
    assert!(too_small.validate().is_err_and(|why| why.contains("inbound_bytes_max")));
    let (mut one, mut two) = (Node::new(identity(1), limits()), Node::new(identity(2), limits()));
    let link = one.link(2, two.listen().await.local_addr().to_string());
    one.up().await;
    let mut accepted = 0u32;
    while link.try_send(frame(1, accepted.to_le_bytes().repeat(BODY_BYTES / 4))) != Err(SendError::Full) {
        accepted += 1;
        tokio::task::yield_now().await;
    }
    for number in 0..accepted {
        let inbound = two.inbound().await;
        assert_eq!(inbound.frames[0].body[..4], number.to_le_bytes(), "in order and without a gap");
        assert_eq!((inbound.frames.len(), two.waiting_len()), (1, 0), "while one is held no other comes");
    }
    one.stopped().await;
    two.stopped().await;
}

/// A caller that says nothing is closed after the handshake's time limit; until then it takes one of the places of those that
/// have not named themselves, and a caller beyond their number waits.
#[tokio::test(start_paused = true)]
async fn a_silent_caller_is_closed_and_gives_its_place_back() {
    let two = Node::new(identity(2), TransportConfig { handshakes_max: 1, ..config() });
    let listener = two.listen().await;
    let mut silent = TcpStream::connect(listener.local_addr()).await.expect("somebody listens");
    let mut byte = [0u8];
    let started = tokio::time::Instant::now();
    assert_eq!(soon(silent.read(&mut byte)).await.expect("closed in order"), 0);
    assert!(started.elapsed().as_millis() >= 3_000, "not before its time");
    until(|| (listener.status().handshakes_failed == 1).then_some(())).await;
    tokio::time::resume();

    let mut first = TcpStream::connect(listener.local_addr()).await.expect("somebody listens");
    let (mut second, waits) =
        tokio::join!(TcpStream::connect(listener.local_addr()), async { first.write_all(b"QUOR").await });
    waits.expect("the first is in its handshake");
    let second = second.as_mut().expect("the backlog takes it");
    second.write_all(&hello(identity(1), 2).encode()).await.expect("the backlog takes it");
    drop(first);
    let mut answer = Vec::new();
    while Answer::decode(&answer).is_err() {
        assert_ne!(
            soon(second.read_buf(&mut answer)).await.expect("an answer comes"),
            0,
            "closed without an answer"
        );
    }
    assert!(matches!(Answer::decode(&answer), Ok(Answer::Welcome(_))));
    two.stopped().await;
}
