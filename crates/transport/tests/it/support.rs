//! Nodes for the tests: a listener and links with one inbox, and a peer played by hand over a plain socket.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quorate_core::types::{ClusterId, GroupId, NodeId};
use quorate_transport::{
    Answer, Endpoint, Frame, Hello, Identity, Inbound, Lane, Link, LinkEvent, LinkStatus, Listener,
    ListenerHandle, PeerFault, TransportConfig, WIRE_VERSION_MAX, WIRE_VERSION_MIN, Welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What arrives at a node.
#[derive(Debug)]
pub(crate) enum Event {
    Link(LinkEvent),
    Inbound(Inbound),
}

/// The cluster of the tests.
pub(crate) const CLUSTER: ClusterId = ClusterId([7; 16]);

/// Who node `number` is.
pub(crate) fn identity(number: u64) -> Identity {
    Identity {
        cluster: CLUSTER,
        group: GroupId(0),
        node: NodeId::new(number),
        incarnation: 1_000 + u128::from(number),
    }
}

/// Limits that make the tests quick.
pub(crate) fn config() -> TransportConfig {
    TransportConfig { backoff_first_ms: 1, backoff_max_ms: 5, ..TransportConfig::default() }
}

/// One node of a test, without a replica.
pub(crate) struct Node {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) inbox: mpsc::Receiver<Event>,
    to_inbox: mpsc::Sender<Event>,
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    /// A node that accepts nodes 1 to 9 under their right incarnations.
    pub(crate) fn new(identity: Identity, config: TransportConfig) -> Node {
        config.validate().expect("the limits of a test fit together");
        let known: BTreeMap<NodeId, u128> =
            (1..=9).map(NodeId::new).map(|node| (node, 1_000 + u128::from(node.get()))).collect();
        let check_peer = move |node, incarnation| match known.get(&node) {
            None => Err(PeerFault::UnknownNode),
            Some(known) if *known != incarnation => Err(PeerFault::OtherIncarnation { known: *known }),
            Some(_) => Ok(()),
        };
        let endpoint = Arc::new(Endpoint { identity, config, check_peer: Arc::new(check_peer) });
        let (to_inbox, inbox) = mpsc::channel(4);
        Node { endpoint, inbox, to_inbox, stop: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Serves on a free port of this machine. A frame of kind 99 does not decode.
    pub(crate) async fn listen(&self) -> ListenerHandle {
        self.listen_on("127.0.0.1:0").await
    }

    /// The same, on a port that nobody else takes before the node comes back: of a host from which nobody dials and on which no other test
    /// listens. On systems where 127.0.0.0/8 is not this machine as a whole, 127.0.0.1 must do.
    pub(crate) async fn listen_for_good(&self) -> ListenerHandle {
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let own = Ipv4Addr::new(127, 192 | high & 31, middle, low);
        let has = std::net::TcpListener::bind((own, 0)).is_ok();
        self.listen_on(&format!("{}:0", if has { own } else { Ipv4Addr::LOCALHOST })).await
    }

    pub(crate) async fn listen_on(&self, address: &str) -> ListenerHandle {
        let listener = Listener::bind(address).await.expect("the address is free");
        let decode = |inbound: Inbound| {
            if inbound.frames.iter().any(|frame| frame.kind == 99) {
                Err("kind 99".to_owned())
            } else {
                Ok(Event::Inbound(inbound))
            }
        };
        listener.serve(self.endpoint.clone(), self.to_inbox.clone(), decode, &self.tasks, self.stop.clone())
    }

    pub(crate) fn link(&self, peer: u64, address: impl Into<String>) -> Link {
        let endpoint = self.endpoint.clone();
        let (peer, address) = (NodeId::new(peer), address.into());
        Link::start(
            endpoint,
            peer,
            Lane::Messages,
            address,
            self.to_inbox.clone(),
            Event::Link,
            &self.tasks,
            self.stop.clone(),
        )
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Event {
        soon(self.inbox.recv()).await.expect("the node holds a sender")
    }

    /// The next event, which must be that the link is up.
    pub(crate) async fn up(&mut self) {
        let event = self.event().await;
        assert!(matches!(event, Event::Link(LinkEvent::Up { .. })), "up is expected, not {event:?}");
    }

    /// The next event, which must be that the link is down: why.
    pub(crate) async fn down(&mut self) -> String {
        match self.event().await {
            Event::Link(LinkEvent::Down { reason, .. }) => reason,
            other @ (Event::Link(LinkEvent::Up { .. }) | Event::Inbound(_)) => {
                panic!("down is expected, not {other:?}")
            }
        }
    }

    /// The next frames, with the room that they take.
    pub(crate) async fn inbound(&mut self) -> Inbound {
        match self.event().await {
            Event::Inbound(inbound) => inbound,
            Event::Link(other) => panic!("frames are expected, not {other:?}"),
        }
    }

    /// The next frames.
    pub(crate) async fn frames(&mut self) -> (NodeId, Vec<Frame>) {
        let inbound = self.inbound().await;
        (inbound.from, inbound.frames)
    }

    /// How many events wait.
    pub(crate) fn waiting_len(&self) -> usize {
        self.inbox.len()
    }

    /// Stops the node: every task ends.
    pub(crate) async fn stopped(&self) {
        self.stop.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

/// The time that no test needs: a bound against hanging, nothing waits for it.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(180), future).await.expect("it happens soon")
}

/// Looks again and again until `look` finds something.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

/// Waits until the link has failed with `words`.
pub(crate) async fn failed_with(link: &Link, words: &str) -> LinkStatus {
    until(|| {
        Some(link.status())
            .filter(|status| status.last_error.as_ref().is_some_and(|error| error.contains(words)))
    })
    .await
}

pub(crate) fn frame(kind: u8, body: impl Into<Bytes>) -> Frame {
    Frame { kind, body: body.into() }
}

pub(crate) fn bytes_of(frames: &[Frame]) -> BytesMut {
    let mut bytes = BytesMut::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    bytes
}

/// What `from` says to `to`.
pub(crate) fn hello(from: Identity, to: u64) -> Hello {
    Hello {
        version_min: WIRE_VERSION_MIN,
        version_max: WIRE_VERSION_MAX,
        from,
        to: NodeId::new(to),
        lane: Lane::Messages,
    }
}

/// Calls a listener by hand: the connection and its answer.
pub(crate) async fn call(address: SocketAddr, hello: &Hello) -> (TcpStream, Answer) {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.write_all(&hello.encode()).await.expect("the listener reads");
    let mut bytes = Vec::new();
    let answer = soon(async {
        loop {
            assert_ne!(
                stream.read_buf(&mut bytes).await.expect("the listener answers"),
                0,
                "closed without an answer"
            );
            if let Ok(answer) = Answer::decode(&bytes) {
                return answer;
            }
        }
    })
    .await;
    (stream, answer)
}

/// Accepts one call by hand and answers as `who`.
pub(crate) async fn answer(listener: &TcpListener, who: Identity) -> TcpStream {
    let (mut stream, _) = soon(listener.accept()).await.expect("a caller comes");
    let mut bytes = Vec::new();
    while Hello::decode(&bytes).is_err() {
        assert_ne!(
            soon(stream.read_buf(&mut bytes)).await.expect("the caller speaks"),
            0,
            "closed without a hello"
        );
    }
    let welcome = Welcome { version: WIRE_VERSION_MAX, node: who.node, incarnation: who.incarnation };
    stream.write_all(&Answer::Welcome(welcome).encode()).await.expect("the caller reads");
    stream
}

/// Whether the other side has closed the connection, in order or not.
pub(crate) async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}
