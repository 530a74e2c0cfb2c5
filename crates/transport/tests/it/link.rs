//! The way out: connecting, being refused, losing the connection, coming back, and being faster than the peer.

use quorate_core::types::ClusterId;
use quorate_transport::{Identity, LinkEvent, SendError, TransportConfig};
use tokio::net::TcpListener;

use crate::support::{Event, Node, answer, config, failed_with, frame, identity, until};

#[tokio::test]
async fn a_name_is_looked_up_until_one_of_its_addresses_answers() {
    let mut one = Node::new(identity(1), config());
    let mut two = Node::new(identity(2), config());
    // On many machines the name stands for ::1 first, where nobody listens.
    let port = two.listen().await.local_addr().port();
    let link = one.link(2, format!("localhost:{port}"));
    one.up().await;
    assert_eq!(link.try_send(frame(1, "x")), Ok(()));
    assert_eq!(two.frames().await.1, [frame(1, "x")]);
    let nobody = one.link(3, "an address without a port");
    failed_with(&nobody, "looking the address up").await;
    one.stopped().await;
    two.stopped().await;
}

#[tokio::test]
async fn frames_arrive_in_order_and_unaltered() {
    let mut one = Node::new(identity(1), config());
    let mut two = Node::new(identity(2), config());
    let link = one.link(2, two.listen().await.local_addr().to_string());
    one.up().await;
    // Small ones are joined in one write, large ones fill several reads; when the inbox of two is full, one has to wait.
    let bodies: Vec<Vec<u8>> =
        (0..600u32).map(|number| vec![number.to_le_bytes()[0]; (number * 97 % 9_000) as usize]).collect();
    let sender = async {
        for body in &bodies {
            while link.try_send(frame(3, body.clone())) == Err(SendError::Full) {
                tokio::task::yield_now().await;
            }
        }
    };
    let receiver = async {
        let mut got = Vec::new();
        while got.len() < bodies.len() {
            let (from, frames) = two.frames().await;
            assert_eq!(from, identity(1).node);
            assert!(frames.iter().all(|frame| frame.kind == 3));
            got.extend(frames.into_iter().map(|frame| frame.body));
        }
        got
    };
    let ((), got) = tokio::join!(sender, receiver);
    assert!(
        got.iter().zip(&bodies).all(|(got, sent)| got == sent),
        "what arrives is what was sent, in order"
    );
    let status = until(|| Some(link.status()).filter(|status| status.frames_sent == 600)).await;
    assert!(status.connected && status.queue_len == 0 && status.queue_bytes == 0, "{status:?}");
    assert_eq!(status.bytes_sent, bodies.iter().map(|body| body.len() as u64 + 12).sum::<u64>());
    one.stopped().await;
    two.stopped().await;
}

/// A link looks for node 2 and is told why it may not stay.
async fn check_refused(caller: Identity, called: Identity, words: &str) {
    let one = Node::new(caller, config());
    let two = Node::new(called, config());
    let link = one.link(2, two.listen().await.local_addr().to_string());
    let status = failed_with(&link, words).await;
    assert!(!status.connected && status.failures > 0, "{status:?}");
    assert_eq!(link.try_send(frame(1, "x")), Err(SendError::Down));
    one.stopped().await;
    two.stopped().await;
}

#[tokio::test]
async fn a_wrong_peer_is_refused_by_name_with_what_to_do() {
    let stranger = Identity { cluster: ClusterId([8; 16]), ..identity(1) };
    check_refused(stranger, identity(2), "refused (wrong cluster)").await;
    check_refused(identity(1), identity(3), "refused (wrong node)").await;
    check_refused(identity(12), identity(2), "n2 does not know n12 as a member").await;
    let lost_disk = Identity { incarnation: 5, ..identity(1) };
    check_refused(lost_disk, identity(2), "bring the old data directory back").await;
    let other_disk = Identity { incarnation: 5, ..identity(2) };
    check_refused(identity(1), other_disk, "n1 knows n2 with store").await;
}

#[tokio::test]
async fn a_node_that_answers_under_another_id_is_refused() {
    let one = Node::new(identity(1), config());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let link = one.link(2, listener.local_addr().expect("bound").to_string());
    let _stream = answer(&listener, identity(3)).await;
    failed_with(&link, "looked for n2, n3 answers").await;
    one.stopped().await;
}

#[tokio::test]
async fn a_link_comes_back_when_its_peer_does() {
    let mut one = Node::new(identity(1), config());
    let two = Node::new(identity(2), config());
    let address = two.listen_for_good().await.local_addr();
    let link = one.link(2, address.to_string());
    one.up().await;
    two.stopped().await;
    let reason = one.down().await;
    assert!(reason.contains("closed the connection") || reason.contains("reading"), "{reason}");
    assert_eq!(
        link.try_send(frame(1, "lost")),
        Err(SendError::Down),
        "what is sent to a peer that is away is refused"
    );
    failed_with(&link, "connecting").await;

    let mut two = Node::new(identity(2), config());
    two.listen_on(&address.to_string()).await;
    one.up().await;
    assert_eq!(link.try_send(frame(1, "kept")), Ok(()));
    assert_eq!(two.frames().await.1, [frame(1, "kept")]);
    assert_eq!(link.status().last_error, None, "a new connection forgets the failures before it");
    one.stopped().await;
    two.stopped().await;
}

/// A peer that does not read: the queue fills up to its limit and says so; when the connection goes, what it holds goes too.
async fn check_overflow(config: TransportConfig, body_len: usize) {
    let (len_max, bytes_max) = (config.peer_queue_len_max, config.peer_queue_bytes_max);
    let mut one = Node::new(identity(1), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let link = one.link(2, listener.local_addr().expect("bound").to_string());
    let deaf = answer(&listener, identity(2)).await;
    one.up().await;
    let mut accepted = 0u64;
    // The socket's own buffers take some megabytes first, so the link's task gets its turn after each frame.
    while link.try_send(frame(1, vec![0; body_len])) != Err(SendError::Full) {
        accepted += 1;
        let status = link.status();
        assert!(status.queue_len <= len_max && status.queue_bytes <= bytes_max, "{status:?}");
        tokio::task::yield_now().await;
    }
    assert_eq!(link.status().frames_dropped, 1);
    drop(deaf);
    one.down().await;
    let status = link.status();
    assert_eq!(
        (status.queue_len, status.queue_bytes),
        (0, 0),
        "what waited for the lost connection is dropped"
    );
    assert_eq!(status.frames_sent + status.frames_dropped, accepted + 1, "each frame is accounted for");
    one.stopped().await;
}

#[tokio::test]
async fn a_full_queue_says_so_by_count_and_by_bytes() {
    check_overflow(TransportConfig { peer_queue_len_max: 20, ..config() }, 100_000).await;
    let frame_body_bytes_max = 100_000;
    let by_bytes = TransportConfig { frame_body_bytes_max, peer_queue_bytes_max: 250_000, ..config() };
    check_overflow(by_bytes, 100_000).await;
}

#[tokio::test]
async fn a_frame_above_the_limit_is_refused_before_it_is_sent() {
    let mut one = Node::new(identity(1), TransportConfig { frame_body_bytes_max: 100, ..config() });
    let two = Node::new(identity(2), config());
    let link = one.link(2, two.listen().await.local_addr().to_string());
    one.up().await;
    assert_eq!(link.try_send(frame(1, vec![0; 101])), Err(SendError::TooLarge));
    assert_eq!(link.try_send(frame(1, vec![0; 100])), Ok(()));
    one.stopped().await;
    two.stopped().await;
}

#[tokio::test]
async fn a_write_that_stands_still_ends_the_connection() {
    let mut one = Node::new(identity(1), TransportConfig { write_timeout_ms: 20, ..config() });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let link = one.link(2, listener.local_addr().expect("bound").to_string());
    let _deaf = answer(&listener, identity(2)).await;
    one.up().await;
    let reason = loop {
        let _ = link.try_send(frame(1, vec![0; 100_000]));
        tokio::task::yield_now().await;
        match one.inbox.try_recv() {
            Ok(Event::Link(LinkEvent::Down { reason, .. })) => break reason,
            Ok(other) => panic!("down is expected, not {other:?}"),
            Err(_) => {}
        }
    };
    assert_eq!(reason, "writing took longer than 20 ms");
    one.stopped().await;
}

#[tokio::test]
async fn a_link_ends_with_its_handle_and_with_its_node() {
    let mut one = Node::new(identity(1), config());
    let two = Node::new(identity(2), config());
    let listener = two.listen().await;
    let link = one.link(2, listener.local_addr().to_string());
    one.up().await;
    until(|| (listener.status().connected == [identity(1).node]).then_some(())).await;
    drop(link);
    until(|| listener.status().connected.is_empty().then_some(())).await;
    one.down().await;

    let _link = one.link(2, listener.local_addr().to_string());
    one.up().await;
    one.stopped().await;
    until(|| listener.status().connected.is_empty().then_some(())).await;
    two.stopped().await;
}

/// R09, R33: sending to one peer at a time, a node once let a slow peer hold up what the others were waiting for. Here each
/// link has its own task and queue, and nobody waits for a link.
#[tokio::test]
async fn a_peer_that_hangs_holds_up_no_other() {
    let mut one = Node::new(identity(1), config());
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let to_deaf = one.link(2, deaf.local_addr().expect("bound").to_string());
    let _stream = answer(&deaf, identity(2)).await;
    one.up().await;
    while to_deaf.try_send(frame(1, vec![0; 1_000_000])) != Err(SendError::Full) {
        tokio::task::yield_now().await;
    }
    let mut three = Node::new(identity(3), config());
    let to_three = one.link(3, three.listen().await.local_addr().to_string());
    one.up().await;
    assert_eq!(to_three.try_send(frame(1, "x")), Ok(()));
    assert_eq!(three.frames().await.1, [frame(1, "x")]);
    one.stopped().await;
    three.stopped().await;
}

/// R34: events about connections once waited behind messages in a bounded queue whose reader waited for a connection. Here the
/// reader of the inbox never waits for a link, so a full inbox delays an event and loses none.
#[tokio::test]
async fn an_event_waits_for_a_full_inbox() {
    let mut one = Node::new(identity(1), config());
    let mut links = Vec::new();
    for number in 2..8 {
        let peer = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let link = one.link(number, peer.local_addr().expect("bound").to_string());
        drop(answer(&peer, identity(number)).await);
        links.push(link);
    }
    // The inbox takes four events; the links that do not find room wait without being told anything by anybody.
    until(|| links.iter().all(|link| link.status().connected || link.status().failures > 0).then_some(()))
        .await;
    assert!(one.inbox.len() == 4, "the inbox is full");
    let mut ups = 0;
    let mut downs = 0;
    while ups < 6 || downs < 6 {
        match one.event().await {
            Event::Link(LinkEvent::Up { .. }) => ups += 1,
            Event::Link(LinkEvent::Down { .. }) => downs += 1,
            Event::Inbound(other) => panic!("nobody sends, but {other:?} came"),
        }
    }
    one.stopped().await;
}

#[tokio::test]
async fn an_api_port_that_is_dialled_is_called_one() {
    let one = Node::new(identity(1), config());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let link = one.link(2, listener.local_addr().expect("bound").to_string());
    let (mut stream, _) = listener.accept().await.expect("the link comes");
    let said = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, said).await.expect("the link reads");
    failed_with(&link, "name the peer port of the node, not its API port").await;
    one.stopped().await;
}
