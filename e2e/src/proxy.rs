//! A network between processes that the tests can make worse: one proxy for each ordered pair of nodes, and one [`Wire`] for
//! each direction of bytes, which may be slow, hold its bytes back, or lose them. *Knows nothing of* what the bytes mean.
//!
//! Bytes that a wire loses leave a hole in a stream. No TCP shows a reader the bytes behind a hole, so a connection with a hole is
//! closed as soon as its wire carries bytes again.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How many such pieces one direction of one connection holds. When full, the sender is no longer read from: its own
/// buffers fill, as with a real slow link.
const CHUNKS_LEN_MAX: usize = 32;
/// How long the way to the receiver may take; both are on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a wire does with the bytes that are sent over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Passes them on at once.
    Open,
    /// Passes them on later.
    Slow {
        /// How much later.
        delay: Duration,
        /// How many of them in a second, at least 1.
        bytes_per_second: u32,
    },
    /// Holds them back, and passes them on when the rule changes.
    Frozen,
    /// Loses them. Nobody is told.
    Cut,
}

impl Rule {
    /// Passes on everything, later.
    pub fn delay(delay: Duration) -> Rule {
        Rule::Slow { delay, bytes_per_second: u32::MAX }
    }

    /// Passes on so many bytes in a second.
    pub fn rate(bytes_per_second: u32) -> Rule {
        Rule::Slow { delay: Duration::ZERO, bytes_per_second }
    }
}

/// One direction between two nodes, whichever of them opened the connections.
pub struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    rule: Rule,
    /// When the last byte that was counted against the rate is through.
    free_at: Instant,
    lost_bytes: usize,
    connections: Vec<Weak<Connection>>,
}

/// One connection through a proxy.
struct Connection {
    dialer: TcpStream,
    listener: TcpStream,
    /// Whether bytes of it were lost.
    holed: AtomicBool,
}

impl Connection {
    fn close(&self) {
        // One that is closed already is what is wanted.
        let _ = self.dialer.shutdown(Shutdown::Both);
        let _ = self.listener.shutdown(Shutdown::Both);
    }
}

impl Wire {
    fn new() -> Arc<Wire> {
        let connections = Vec::new();
        let state = State { rule: Rule::Open, free_at: Instant::now(), lost_bytes: 0, connections };
        Arc::new(Wire { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Changes what happens to all bytes that are not through yet.
    pub fn set(&self, rule: Rule) {
        let mut state = self.lock();
        state.rule = rule;
        if rule != Rule::Cut {
            let holed = |connection: &Arc<Connection>| connection.holed.load(Ordering::Relaxed);
            let open = state.connections.iter().filter_map(Weak::upgrade);
            open.filter(holed).for_each(|connection| connection.close());
        }
        self.changed.notify_all();
    }

    /// How many bytes it has lost so far.
    pub fn lost_bytes(&self) -> usize {
        self.lock().lost_bytes
    }

    /// Breaks off all connections that use this wire, in both directions.
    pub fn reset(&self) {
        self.lock().connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.close());
    }

    fn register(&self, connection: &Arc<Connection>) {
        let mut state = self.lock();
        state.connections.retain(|known| known.strong_count() > 0);
        state.connections.push(Arc::downgrade(connection));
    }

    /// Waits until `len` bytes that were sent at `sent` are through. False: they are lost.
    fn pass(&self, sent: Instant, len: usize, connection: &Connection) -> bool {
        let mut state = self.lock();
        loop {
            match state.rule {
                Rule::Open => return true,
                Rule::Cut => {
                    connection.holed.store(true, Ordering::Relaxed);
                    state.lost_bytes += len;
                    return false;
                }
                Rule::Frozen => state = self.changed.wait(state).expect("nobody panics while holding it"),
                Rule::Slow { delay, bytes_per_second } => {
                    let takes = Duration::from_secs_f64(len as f64 / f64::from(bytes_per_second.max(1)));
                    let through = state.free_at.max(sent + delay) + takes;
                    let wait = through.saturating_duration_since(Instant::now());
                    if wait.is_zero() {
                        state.free_at = through;
                        return true;
                    }
                    let woken = self.changed.wait_timeout(state, wait);
                    state = woken.expect("nobody panics while holding it").0;
                }
            }
        }
    }
}

/// Listens for one node in the place of another.
struct Proxy {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// Connections are passed on to `target`; bytes to it take the wire `there`, bytes from it the wire `back`.
    fn start(target: SocketAddr, there: Arc<Wire>, back: Arc<Wire>) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, ended) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&ended);
        std::thread::spawn(move || {
            for dialer in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                // Without a receiver the connection is closed again: the dialer tries later.
                let _ = dialer.and_then(|dialer| join(dialer, target, &there, &back));
            }
        });
        Ok(Proxy { address, ended })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that it sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

fn join(dialer: TcpStream, target: SocketAddr, there: &Arc<Wire>, back: &Arc<Wire>) -> io::Result<()> {
    let listener = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT)?;
    dialer.set_nodelay(true)?;
    listener.set_nodelay(true)?;
    let connection = Arc::new(Connection { dialer, listener, holed: AtomicBool::new(false) });
    there.register(&connection);
    back.register(&connection);
    let (dialer, listener) = (&connection.dialer, &connection.listener);
    pump(dialer.try_clone()?, listener.try_clone()?, Arc::clone(there), Arc::clone(&connection));
    pump(listener.try_clone()?, dialer.try_clone()?, Arc::clone(back), Arc::clone(&connection));
    Ok(())
}

/// Carries one direction of one connection, with two threads: what is delayed must not hold up what is sent.
fn pump(from: TcpStream, to: TcpStream, wire: Arc<Wire>, connection: Arc<Connection>) {
    let (chunks, queued) = sync_channel(CHUNKS_LEN_MAX);
    std::thread::spawn(move || read(from, &chunks));
    std::thread::spawn(move || write(to, &queued, &wire, &connection));
}

fn read(mut from: TcpStream, chunks: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(len) = from.read(&mut buffer) {
        if len == 0 || chunks.send((Instant::now(), buffer[..len].to_vec())).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, queued: &Receiver<(Instant, Vec<u8>)>, wire: &Wire, connection: &Connection) {
    for (sent, bytes) in queued {
        if wire.pass(sent, bytes.len(), connection) && to.write_all(&bytes).is_err() {
            connection.close();
            return;
        }
    }
    // The sender has said its last word.
    let _ = to.shutdown(Shutdown::Write);
}

/// All wires between the nodes of a cluster; nodes are counted from 0.
pub struct Mesh {
    /// By sender, then by receiver.
    wires: Vec<Vec<Arc<Wire>>>,
    /// By dialer, then by the node that is dialed; none for a node to itself.
    proxies: Vec<Vec<Option<Proxy>>>,
}

impl Mesh {
    /// Proxies before these addresses, one for each node that dials them.
    ///
    /// # Errors
    /// When the system gives no port, or an address is none.
    pub fn start(addresses: &[String]) -> anyhow::Result<Mesh> {
        let size = addresses.len();
        let wires: Vec<Vec<_>> = (0..size).map(|_| (0..size).map(|_| Wire::new()).collect()).collect();
        let mut proxies = Vec::new();
        for (from, sent) in wires.iter().enumerate() {
            let mut row = Vec::new();
            for (to, address) in addresses.iter().enumerate() {
                let address: SocketAddr = address.parse()?;
                let (there, back) = (Arc::clone(&sent[to]), Arc::clone(&wires[to][from]));
                let proxy = (from != to).then(|| Proxy::start(address, there, back));
                row.push(proxy.transpose()?);
            }
            proxies.push(row);
        }
        Ok(Mesh { wires, proxies })
    }

    /// Where node `from` must dial to reach node `to`; none for itself.
    pub fn address(&self, from: usize, to: usize) -> Option<String> {
        self.proxies[from][to].as_ref().map(|proxy| proxy.address.to_string())
    }

    /// The wire for the bytes from one node to another.
    pub fn wire(&self, from: usize, to: usize) -> Arc<Wire> {
        Arc::clone(&self.wires[from][to])
    }

    /// What `node` sends to all others.
    pub fn from(&self, node: usize, rule: Rule) {
        self.wires[node].iter().for_each(|wire| wire.set(rule));
    }

    /// What all others send to `node`.
    pub fn to(&self, node: usize, rule: Rule) {
        self.wires.iter().for_each(|row| row[node].set(rule));
    }

    /// What `node` sends to all others and they to it.
    pub fn around(&self, node: usize, rule: Rule) {
        self.from(node, rule);
        self.to(node, rule);
    }

    /// Breaks off all connections of `node`.
    pub fn reset(&self, node: usize) {
        self.wires[node].iter().for_each(|wire| wire.reset());
    }

    /// Makes every wire a good one.
    pub fn heal(&self) {
        self.wires.iter().flatten().for_each(|wire| wire.set(Rule::Open));
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.heal();
        self.wires.iter().flatten().for_each(|wire| wire.reset());
    }
}
