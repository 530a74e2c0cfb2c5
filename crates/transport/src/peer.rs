//! The way out: one link to each peer, one task for each link.
//!
//! A link that is down takes nothing, and a link that goes down drops what it holds: messages from before a pause would be
//! stale when they arrive, and the core sends fresh ones as soon as it hears that the link is up.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use quorate_core::types::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::endpoint::{Endpoint, check_peer};
use crate::error::{HandshakeError, LinkError, SendError};
use crate::frame::Frame;
use crate::handshake::{Answer, Hello, Lane, Refusal, RefusalCode, WIRE_VERSION_MIN, Welcome, read_message};
use crate::socket;
use crate::task::{self, Task};

/// A change of a link that the core wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The link is connected: what is sent from now on may arrive.
    Up {
        /// The peer.
        peer: NodeId,
        /// The incarnation that it named, accepted by `check_peer`.
        incarnation: u128,
    },
    /// The link was connected and is not any more: whatever was queued or on its way may be lost.
    Down {
        /// The peer.
        peer: NodeId,
        /// Why, in words.
        reason: String,
    },
}

/// How a link is doing, for metrics and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The peer.
    pub peer: NodeId,
    /// Where it is looked for.
    pub address: String,
    /// Whether frames can be sent now.
    pub connected: bool,
    /// Why the last connection ended or could not be made, in words; none when there was no failure since the last connect.
    pub last_error: Option<String>,
    /// Frames written to the socket since the start.
    pub frames_sent: u64,
    /// Their bytes, headers included.
    pub bytes_sent: u64,
    /// Frames that were refused or dropped before they were written.
    pub frames_dropped: u64,
    /// Connections that were lost or could not be made, since the start.
    pub failures: u64,
    /// Frames that wait now.
    pub queue_len: usize,
    /// Their bytes.
    pub queue_bytes: usize,
}

/// The way to one peer.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Frame>,
}

impl Link {
    /// Starts the link's task on `tasks`. It connects to `address` (`host:port`, looked up again at each attempt), and again
    /// whenever the connection is lost, until `stop` is cancelled or the handle is dropped. What `wrap` makes of an event goes to `inbox`; the task
    /// waits while the inbox is full.
    #[expect(clippy::too_many_arguments, reason = "what a link needs of its node, each once")]
    pub fn start<M: Send + 'static>(
        endpoint: Arc<Endpoint>,
        peer: NodeId,
        lane: Lane,
        address: String,
        inbox: mpsc::Sender<M>,
        wrap: impl Fn(LinkEvent) -> M + Send + Sync + 'static,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Link {
        let config = &endpoint.config;
        let (queue, waiting) = mpsc::channel(config.peer_queue_len_max);
        let shared = Arc::new(Shared {
            peer,
            lane,
            address,
            body_bytes_max: config.frame_body_bytes_max,
            queue_bytes_max: config.peer_queue_bytes_max,
            connected: AtomicBool::new(false),
            version: AtomicU16::new(WIRE_VERSION_MIN),
            queue_bytes: AtomicUsize::new(0),
            frames_sent: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            frames_dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_error: Mutex::new(None),
        });
        // The store's incarnation is random, so nodes that lost the same peer spread their attempts.
        let seed = endpoint.identity.incarnation ^ u128::from(peer.get());
        let backoff = Backoff::new(config.backoff_first_ms, config.backoff_max_ms, seed);
        let node = endpoint.identity.node;
        let worker =
            Worker { endpoint, shared: shared.clone(), waiting, stop, backoff, out: BytesMut::new() };
        task::spawn(tasks, Task::Link { node, peer }, worker.run(inbox, wrap));
        Link { shared, queue }
    }

    /// Queues a frame. It is gone if this fails; if the link goes down before it is written it is gone too, which
    /// [`LinkEvent::Down`] says.
    ///
    /// # Errors
    /// The link is down, its queue is full, or the frame is too large.
    pub fn try_send(&self, frame: Frame) -> Result<(), SendError> {
        let result = self.enqueue(frame);
        if result.is_err() {
            self.shared.frames_dropped.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// The version of the wire format to speak on this link: what was agreed on with the peer when the connection was made. A frame in another
    /// one that slips in while the connection is made anew is refused by the peer, which ends the connection.
    pub fn version(&self) -> u16 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// How the link is doing.
    pub fn status(&self) -> LinkStatus {
        let shared = &self.shared;
        LinkStatus {
            peer: shared.peer,
            address: shared.address.clone(),
            connected: shared.connected.load(Ordering::Relaxed),
            last_error: shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            frames_sent: shared.frames_sent.load(Ordering::Relaxed),
            bytes_sent: shared.bytes_sent.load(Ordering::Relaxed),
            frames_dropped: shared.frames_dropped.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            queue_len: self.queue.max_capacity() - self.queue.capacity(),
            queue_bytes: shared.queue_bytes.load(Ordering::Relaxed),
        }
    }

    fn enqueue(&self, frame: Frame) -> Result<(), SendError> {
        let shared = &self.shared;
        if frame.body.len() > shared.body_bytes_max {
            return Err(SendError::TooLarge);
        }
        if !shared.connected.load(Ordering::Acquire) {
            return Err(SendError::Down);
        }
        let bytes = frame.wire_len_bytes();
        let before = shared.queue_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > shared.queue_bytes_max {
            shared.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SendError::Full);
        }
        self.queue.try_send(frame).map_err(|error| {
            shared.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Down,
            }
        })
    }
}

/// What the link's two ends see: the caller's handle and the task.
#[derive(Debug)]
struct Shared {
    peer: NodeId,
    lane: Lane,
    address: String,
    body_bytes_max: usize,
    queue_bytes_max: usize,
    connected: AtomicBool,
    /// The version that was agreed on for the connection, or for the last one.
    version: AtomicU16,
    /// Bytes of the frames in the queue and of those being written.
    queue_bytes: AtomicUsize,
    frames_sent: AtomicU64,
    bytes_sent: AtomicU64,
    frames_dropped: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// The link's task.
struct Worker {
    endpoint: Arc<Endpoint>,
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Frame>,
    stop: CancellationToken,
    backoff: Backoff,
    /// Encoded frames on their way into one write.
    out: BytesMut,
}

impl Worker {
    async fn run<M>(mut self, inbox: mpsc::Sender<M>, wrap: impl Fn(LinkEvent) -> M) {
        let stop = self.stop.clone();
        let work = async {
            while !self.waiting.is_closed() {
                match self.connect().await {
                    Ok((stream, incarnation)) => {
                        let since = Instant::now();
                        self.serve(stream, incarnation, &inbox, &wrap).await;
                        // Two nodes that cannot get on with each other would else connect many times a second for ever.
                        if since.elapsed() >= self.endpoint.config.backoff_max() {
                            self.backoff.reset();
                        }
                    }
                    Err(error) => self.note_failure(&error),
                }
                tokio::time::sleep(self.backoff.next_wait()).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        self.shared.connected.store(false, Ordering::Release);
        self.discard_queue();
    }

    /// From the first successful handshake's end to the loss of the connection.
    async fn serve<M>(
        &mut self,
        stream: TcpStream,
        incarnation: u128,
        inbox: &mpsc::Sender<M>,
        wrap: &impl Fn(LinkEvent) -> M,
    ) {
        let peer = self.shared.peer;
        *self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Before the event, so that whoever hears it can send at once.
        self.shared.connected.store(true, Ordering::Release);
        tracing::info!("connected");
        // A closed inbox means that the node is going away: its token will end this task.
        let _ = inbox.send(wrap(LinkEvent::Up { peer, incarnation })).await;
        let error = self.pump(stream).await;
        self.shared.connected.store(false, Ordering::Release);
        self.discard_queue();
        if !matches!(error, LinkError::Stopping) {
            self.note_failure(&error);
        }
        let _ = inbox.send(wrap(LinkEvent::Down { peer, reason: error.to_string() })).await;
    }

    /// One attempt: look up, connect, shake hands.
    async fn connect(&self) -> Result<(TcpStream, u128), LinkError> {
        let config = &self.endpoint.config;
        let mut stream = self.open().await?;
        socket::prepare(&stream, config)
            .map_err(|source| LinkError::Io { doing: "setting up the socket", source })?;
        let welcome =
            timeout(config.handshake_timeout(), self.shake_hands(&mut stream)).await.map_err(|_| {
                LinkError::Timeout {
                    doing: "waiting for the handshake",
                    after_ms: config.handshake_timeout_ms,
                }
            })??;
        self.shared.version.store(welcome.version, Ordering::Release);
        Ok((stream, welcome.incarnation))
    }

    /// Looks the address up and tries what is found, one after the other: a name may stand for an address that is out of
    /// reach and for one that answers.
    async fn open(&self) -> Result<TcpStream, LinkError> {
        const DOING: &str = "connecting";
        const LOOKING: &str = "looking the address up";
        let config = &self.endpoint.config;
        let after_ms = config.connect_timeout_ms;
        let addresses = timeout(config.connect_timeout(), lookup_host(self.shared.address.as_str()))
            .await
            .map_err(|_| LinkError::Timeout { doing: LOOKING, after_ms })?
            .map_err(|source| LinkError::Io { doing: LOOKING, source })?;
        let mut last = LinkError::Io { doing: LOOKING, source: io::ErrorKind::NotFound.into() };
        for address in addresses.take(ADDRESSES_MAX) {
            match timeout(config.connect_timeout(), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => last = LinkError::Io { doing: DOING, source },
                Err(_) => last = LinkError::Timeout { doing: DOING, after_ms },
            }
        }
        Err(last)
    }

    async fn shake_hands(&self, stream: &mut TcpStream) -> Result<Welcome, LinkError> {
        let peer = self.shared.peer;
        let hello = Hello {
            version_min: WIRE_VERSION_MIN,
            version_max: self.endpoint.config.wire_version_max,
            from: self.endpoint.identity,
            to: peer,
            lane: self.shared.lane,
        };
        stream
            .write_all(&hello.encode())
            .await
            .map_err(|source| LinkError::Io { doing: "sending the handshake", source })?;
        let answer = read_message(stream, Answer::decode).await.map_err(|error| {
            let http = matches!(error, LinkError::Handshake(HandshakeError::Http));
            if http { LinkError::ApiPort } else { error }
        })?;
        let welcome = match answer {
            Answer::Welcome(welcome) => welcome,
            Answer::Refused(refusal) => return Err(LinkError::Refused(refusal)),
        };
        if !(hello.version_min..=hello.version_max).contains(&welcome.version) {
            return Err(HandshakeError::Malformed {
                what: "the answer names a version that was not offered",
            }
            .into());
        }
        if welcome.node != peer {
            let text = format!("looked for {peer}, {} answers: correct the address of {peer}", welcome.node);
            return Err(LinkError::Refused(Refusal { code: RefusalCode::WrongNode, text }));
        }
        check_peer(&self.endpoint, peer, welcome.incarnation).await.map_err(LinkError::Refused)?;
        Ok(welcome)
    }

    /// Writes what is queued until the connection fails.
    async fn pump(&mut self, mut stream: TcpStream) -> LinkError {
        let (mut read, mut write) = stream.split();
        let mut frames = Vec::new();
        loop {
            tokio::select! {
                _count = self.waiting.recv_many(&mut frames, FRAMES_PER_WAKE_UP_MAX) => {
                    if frames.is_empty() {
                        // The handle is gone: nobody can send any more.
                        return LinkError::Stopping;
                    }
                    let taken_bytes: usize = frames.iter().map(Frame::wire_len_bytes).sum();
                    let result = self.write_frames(&frames, &mut write).await;
                    self.shared.queue_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
                    let counter = if result.is_ok() { &self.shared.frames_sent } else { &self.shared.frames_dropped };
                    counter.fetch_add(frames.len() as u64, Ordering::Relaxed);
                    frames.clear();
                    if let Err(error) = result {
                        return error;
                    }
                }
                error = watch(&mut read) => return error,
            }
        }
    }

    /// Writes the frames, joined up to the limit of one write.
    async fn write_frames(&mut self, frames: &[Frame], write: &mut WriteHalf<'_>) -> Result<(), LinkError> {
        self.out.clear();
        for frame in frames {
            frame.encode(&mut self.out);
            if self.out.len() >= self.endpoint.config.write_batch_bytes_max {
                self.write_out(write).await?;
            }
        }
        self.write_out(write).await
    }

    /// Writes what is encoded. The buffer is kept for the next write, unless one large frame has blown it up.
    async fn write_out(&mut self, write: &mut WriteHalf<'_>) -> Result<(), LinkError> {
        const DOING: &str = "writing";
        let config = &self.endpoint.config;
        timeout(config.write_timeout(), write.write_all(&self.out))
            .await
            .map_err(|_| LinkError::Timeout { doing: DOING, after_ms: config.write_timeout_ms })?
            .map_err(|source| LinkError::Io { doing: DOING, source })?;
        self.shared.bytes_sent.fetch_add(self.out.len() as u64, Ordering::Relaxed);
        if self.out.capacity() > 2 * config.write_batch_bytes_max {
            self.out = BytesMut::new();
        } else {
            self.out.clear();
        }
        Ok(())
    }

    /// Drops what waits: it belongs to a connection that is gone.
    fn discard_queue(&mut self) {
        while let Ok(frame) = self.waiting.try_recv() {
            self.shared.queue_bytes.fetch_sub(frame.wire_len_bytes(), Ordering::Relaxed);
            self.shared.frames_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a failure and logs it, once for each new reason: a peer that is down for a day is one line, not a hundred
    /// thousand.
    fn note_failure(&self, error: &LinkError) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        let reason = error.to_string();
        let mut last = self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // Both connections of a peer fail alike, and one line is enough.
        if last.as_deref() == Some(reason.as_str()) || self.shared.lane == Lane::Bulk {
            tracing::debug!(address = %self.shared.address, %reason, "not connected");
        } else {
            tracing::warn!(address = %self.shared.address, %reason, "not connected, trying again");
        }
        *last = Some(reason);
    }
}

/// Waits for the end of the connection: the peer sends nothing on it, so whatever is read ends it.
async fn watch(read: &mut ReadHalf<'_>) -> LinkError {
    const DOING: &str = "it was open";
    let mut byte = [0u8; 1];
    match read.read(&mut byte).await {
        Ok(0) => LinkError::Closed { doing: DOING },
        Ok(_) => HandshakeError::Malformed {
            what: "bytes follow the answer on a connection that only carries frames the other way",
        }
        .into(),
        Err(source) => LinkError::Io { doing: "reading", source },
    }
}

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// How many frames one wake-up takes from the queue. What they hold in bytes is bounded by the queue's own limit.
const FRAMES_PER_WAKE_UP_MAX: usize = 1_024;
