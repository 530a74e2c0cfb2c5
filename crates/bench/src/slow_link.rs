//! A link that can be made slow: what comes to one address goes on to another, at most so many bytes in a second.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

/// A door before a node.
pub(crate) struct SlowLink {
    address: String,
    /// Bytes a second; 0: as they come.
    bytes_per_s: Arc<AtomicU64>,
}

impl SlowLink {
    /// Listens on a free port, and carries what comes there to `to`, as fast as it comes for now. Its threads end with the process.
    pub(crate) fn to(to: String) -> Result<SlowLink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let bytes_per_s = Arc::new(AtomicU64::new(0));
        let limit = Arc::clone(&bytes_per_s);
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                // A node that does not listen yet is dialled again by its peers.
                if let Ok(called) = TcpStream::connect(&to) {
                    join(&caller, &called, &limit);
                }
            }
        });
        Ok(SlowLink { address, bytes_per_s })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on it carries at most so many bytes in a second to the node; 0: as they come.
    pub(crate) fn limit(&self, bytes_per_s: u64) {
        self.bytes_per_s.store(bytes_per_s, Ordering::Relaxed);
    }
}

fn join(caller: &TcpStream, called: &TcpStream, limit: &Arc<AtomicU64>) {
    let ways = [(caller, called, Arc::clone(limit)), (called, caller, Arc::default())];
    for (from, to, limit) in ways {
        if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
            let _ = to.set_nodelay(true);
            std::thread::spawn(move || carry(from, to, &limit));
        }
    }
}

/// Carries bytes until one side ends; then both do.
fn carry(mut from: TcpStream, mut to: TcpStream, limit: &AtomicU64) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(count) = from.read(&mut chunk) {
        if count == 0 || to.write_all(&chunk[..count]).is_err() {
            break;
        }
        let bytes_per_s = limit.load(Ordering::Relaxed);
        if let Some(us) = (count as u64 * 1_000_000).checked_div(bytes_per_s) {
            std::thread::sleep(Duration::from_micros(us));
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// How much is carried at a time.
const CHUNK_BYTES: usize = 64 << 10;
