//! The way in: accepts the connections that the peers open and hands their frames to the caller's bounded inbox.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_core::types::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoint::{Endpoint, check_peer};
use crate::error::{FrameError, LinkError};
use crate::frame::{Frame, FrameReader};
use crate::handshake::{Answer, Hello, Lane, Refusal, Welcome, read_message};
use crate::socket;
use crate::task::{self, Task};

/// Frames of one peer, in the order in which they came on one connection.
#[derive(Debug)]
pub struct Inbound {
    /// The peer, as its handshake named it.
    pub from: NodeId,
    /// At least one and at most `inbound_batch_len_max` frames.
    pub frames: Vec<Frame>,
    /// The room that they take in the inbox: to be kept with them, and dropped when they are taken out.
    pub room: Room,
}

/// A share of `inbound_bytes_max`, free again when it is dropped.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "dropping it is its use")] OwnedSemaphorePermit);

/// What came in, for metrics and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundStatus {
    /// The peers that are connected to this node, in order.
    pub connected: Vec<NodeId>,
    /// Frames received since the start.
    pub frames_received: u64,
    /// Their bytes, headers included.
    pub bytes_received: u64,
    /// Connections that ended before or within their handshake, refused or not understood.
    pub handshakes_failed: u64,
    /// Connections that were closed because what came on them was corrupt or did not decode.
    pub connections_corrupt: u64,
}

/// A socket that is bound and not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// A listener that is served.
#[derive(Debug, Clone)]
pub struct ListenerHandle {
    shared: Arc<Shared>,
}

impl Listener {
    /// Binds `address` (`host:port`; port 0 takes a free one).
    ///
    /// # Errors
    /// The address cannot be resolved or bound.
    pub async fn bind(address: &str) -> io::Result<Listener> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// Takes a socket that is already bound.
    ///
    /// # Errors
    /// The socket cannot be used without blocking.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let socket = TcpListener::from_std(listener)?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// Where the socket is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts peers until `stop` is cancelled, with one task for each connection on `tasks`. `decode` runs in the
    /// connection's task and makes one inbox message of a batch of frames; what it does not understand closes the
    /// connection with its words in the log. While the inbox is full nothing is read, so that TCP slows the sender down.
    pub fn serve<M: Send + 'static>(
        self,
        endpoint: Arc<Endpoint>,
        inbox: mpsc::Sender<M>,
        decode: impl Fn(Inbound) -> Result<M, String> + Send + Sync + 'static,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> ListenerHandle {
        let node = endpoint.identity.node;
        let shared = Arc::new(Shared {
            endpoint,
            address: self.address,
            stop,
            state: Mutex::default(),
            counts: Counts::default(),
        });
        let door = Arc::new(Door { shared: shared.clone(), inbox, decode });
        task::spawn(tasks, Task::Accept { node }, accept(self.socket, door, tasks.clone()));
        ListenerHandle { shared }
    }
}

impl ListenerHandle {
    /// Where the socket is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// What came in so far.
    pub fn status(&self) -> InboundStatus {
        let counts = &self.shared.counts;
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        InboundStatus {
            connected: state
                .connections
                .keys()
                .filter(|(_, lane)| *lane == Lane::Messages)
                .map(|(peer, _)| *peer)
                .collect(),
            frames_received: counts.frames_received.load(Ordering::Relaxed),
            bytes_received: counts.bytes_received.load(Ordering::Relaxed),
            handshakes_failed: counts.handshakes_failed.load(Ordering::Relaxed),
            connections_corrupt: counts.connections_corrupt.load(Ordering::Relaxed),
        }
    }
}

/// What all connections and the handle see.
#[derive(Debug)]
struct Shared {
    endpoint: Arc<Endpoint>,
    address: SocketAddr,
    stop: CancellationToken,
    state: Mutex<State>,
    counts: Counts,
}

/// Which connections there are.
#[derive(Debug, Default)]
struct State {
    /// The one connection of each kind of each peer: its number, and what ends it when a newer one comes.
    connections: BTreeMap<(NodeId, Lane), (u64, CancellationToken)>,
    /// The number of the newest connection.
    newest: u64,
    /// The last reason why a handshake failed, so that a peer that tries for ever does not fill the log.
    last_failure: String,
}

#[derive(Debug, Default)]
struct Counts {
    frames_received: AtomicU64,
    bytes_received: AtomicU64,
    handshakes_failed: AtomicU64,
    connections_corrupt: AtomicU64,
}

/// What each connection needs, and the way to the caller.
struct Door<M, D> {
    shared: Arc<Shared>,
    inbox: mpsc::Sender<M>,
    decode: D,
}

/// The accept task. A connection in its handshake holds a permit; without a free one, callers wait in the operating system's
/// backlog, and since a handshake has a time limit, so has this wait.
async fn accept<M, D>(socket: TcpListener, door: Arc<Door<M, D>>, tasks: TaskTracker)
where
    M: Send + 'static,
    D: Fn(Inbound) -> Result<M, String> + Send + Sync + 'static,
{
    let shared = door.shared.clone();
    let permits = Arc::new(Semaphore::new(shared.endpoint.config.handshakes_max));
    let work = async {
        // The semaphore is never closed, so the loop ends only by the token.
        while let Ok(permit) = permits.clone().acquire_owned().await {
            match socket.accept().await {
                Ok((stream, address)) => {
                    let connection = door.clone().connection(stream, permit);
                    task::spawn(&tasks, Task::Inbound { address }, connection);
                }
                Err(error) => {
                    // Out of file descriptors, mostly: a pause lets some be closed instead of spinning.
                    tracing::warn!(%error, "cannot accept a connection of a peer, trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = work => {}
    }
}

impl<M, D> Door<M, D>
where
    M: Send + 'static,
    D: Fn(Inbound) -> Result<M, String> + Send + Sync + 'static,
{
    /// The task of one connection.
    async fn connection(self: Arc<Self>, mut stream: TcpStream, permit: OwnedSemaphorePermit) {
        let shared = &self.shared;
        let config = &shared.endpoint.config;
        let handshake = async {
            timeout(config.handshake_timeout(), shared.shake_hands(&mut stream)).await.unwrap_or(Err(
                LinkError::Timeout {
                    doing: "waiting for the handshake",
                    after_ms: config.handshake_timeout_ms,
                },
            ))
        };
        let greeted = tokio::select! {
            () = shared.stop.cancelled() => return,
            greeted = handshake => greeted,
        };
        drop(permit);
        let (peer, lane) = match greeted {
            Ok(greeted) => greeted,
            Err(error) => return shared.note_failed_handshake(&error),
        };
        let (number, replaced) = shared.register(peer, lane);
        tracing::info!(%peer, "a peer has connected");
        let error = tokio::select! {
            () = shared.stop.cancelled() => LinkError::Stopping,
            () = replaced.cancelled() => LinkError::Replaced,
            error = self.receive(peer, &mut stream) => error,
        };
        shared.unregister(peer, lane, number);
        // A peer that is killed while it writes leaves half a frame: that is an end like others, not damage.
        let cut = matches!(error, LinkError::Frame(FrameError::Truncated { .. }));
        if !cut && matches!(error, LinkError::Frame(_) | LinkError::Body(_)) {
            shared.counts.connections_corrupt.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%peer, reason = %error, "closing a connection: what came on it cannot be read");
        } else {
            tracing::info!(%peer, reason = %error, "the connection of a peer has ended");
        }
    }

    /// Reads frames and hands them on until the connection ends.
    async fn receive(&self, peer: NodeId, stream: &mut TcpStream) -> LinkError {
        let config = &self.shared.endpoint.config;
        let mut reader = FrameReader::new(config.frame_body_bytes_max, config.read_buffer_bytes);
        let budget = Arc::new(Semaphore::new(config.inbound_bytes_max));
        loop {
            let count = match stream.read_buf(reader.space()).await {
                Ok(count) => count,
                Err(source) => return LinkError::Io { doing: "reading", source },
            };
            if count == 0 {
                return match reader.finish() {
                    Ok(()) => LinkError::Closed { doing: "it was open" },
                    Err(error) => error.into(),
                };
            }
            self.shared.counts.bytes_received.fetch_add(count as u64, Ordering::Relaxed);
            if let Err(error) = self.deliver(peer, &mut reader, &budget).await {
                return error;
            }
        }
    }

    /// Hands all whole frames on, as soon as the inbox has room for their bytes. Those before a corrupt one are intact and still count.
    async fn deliver(
        &self,
        peer: NodeId,
        reader: &mut FrameReader,
        budget: &Arc<Semaphore>,
    ) -> Result<(), LinkError> {
        let config = &self.shared.endpoint.config;
        loop {
            let mut frames = Vec::new();
            let end = take_frames(reader, &mut frames, config.inbound_batch_len_max);
            if !frames.is_empty() {
                self.shared.counts.frames_received.fetch_add(frames.len() as u64, Ordering::Relaxed);
                // What was read at once may be a little more than the largest frame: it waits until it is alone.
                let bytes =
                    frames.iter().map(Frame::wire_len_bytes).sum::<usize>().min(config.inbound_bytes_max);
                let bytes = u32::try_from(bytes).expect("the bound on inbound_bytes_max fits 32 bits");
                let room = Arc::clone(budget).acquire_many_owned(bytes).await;
                let room = Room(room.expect("nobody closes the budget of a connection"));
                let message = (self.decode)(Inbound { from: peer, frames, room }).map_err(LinkError::Body)?;
                self.inbox.send(message).await.map_err(|_| LinkError::Stopping)?;
            }
            if end? {
                return Ok(());
            }
        }
    }
}

/// Takes whole frames until there are `len_max` or no more: whether there are no more.
fn take_frames(
    reader: &mut FrameReader,
    frames: &mut Vec<Frame>,
    len_max: usize,
) -> Result<bool, FrameError> {
    while frames.len() < len_max {
        match reader.next_frame()? {
            Some(frame) => frames.push(frame),
            None => return Ok(true),
        }
    }
    Ok(false)
}

impl Shared {
    /// The called side of the handshake: who calls, if it may.
    async fn shake_hands(&self, stream: &mut TcpStream) -> Result<(NodeId, Lane), LinkError> {
        socket::prepare(stream, &self.endpoint.config)
            .map_err(|source| LinkError::Io { doing: "setting up the socket", source })?;
        let hello = read_message(stream, Hello::decode).await?;
        let verdict = self.judge(&hello).await;
        let answer = match &verdict {
            Ok(welcome) => Answer::Welcome(*welcome),
            Err(refusal) => Answer::Refused(refusal.clone()),
        };
        stream
            .write_all(&answer.encode())
            .await
            .map_err(|source| LinkError::Io { doing: "answering the handshake", source })?;
        match verdict {
            Ok(_) => Ok((hello.from.node, hello.lane)),
            Err(refusal) => {
                // Closing while bytes of the caller are unread would reset the connection and could destroy the answer.
                stream.shutdown().await.map_err(|source| LinkError::Io { doing: "closing", source })?;
                Err(LinkError::Refused(refusal))
            }
        }
    }

    async fn judge(&self, hello: &Hello) -> Result<Welcome, Refusal> {
        let identity = &self.endpoint.identity;
        let version = hello.judge(identity, self.endpoint.config.wire_version_max)?;
        check_peer(&self.endpoint, hello.from.node, hello.from.incarnation).await?;
        Ok(Welcome { version, node: identity.node, incarnation: identity.incarnation })
    }

    /// Makes this the peer's one connection of its kind and ends the one before: the peer opens a new one only when it has given up the
    /// old one, which this side may not have noticed.
    fn register(&self, peer: NodeId, lane: Lane) -> (u64, CancellationToken) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest += 1;
        let number = state.newest;
        let replaced = CancellationToken::new();
        if let Some((_, older)) = state.connections.insert((peer, lane), (number, replaced.clone())) {
            older.cancel();
        }
        (number, replaced)
    }

    fn unregister(&self, peer: NodeId, lane: Lane, number: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.connections.get(&(peer, lane)).is_some_and(|(current, _)| *current == number) {
            state.connections.remove(&(peer, lane));
        }
    }

    /// Counts a failed handshake and logs it, once for each new reason.
    fn note_failed_handshake(&self, error: &LinkError) {
        self.counts.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        let reason = error.to_string();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last_failure == reason {
            tracing::debug!(%reason, "a connection on the peer port failed before it was accepted");
        } else {
            tracing::warn!(%reason, "a connection on the peer port failed before it was accepted");
        }
        state.last_failure = reason;
    }
}

/// How long accepting rests after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
