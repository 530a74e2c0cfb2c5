//! The physical limit of durable majority replication on this machine, with no consensus at all: what every figure is a ratio
//! to. One leader and two followers over loopback; each batch is checksummed, written and fdatasynced on each node; it is
//! complete when two of three are durable.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::report::Measured;

/// What consensus-free frames carry around each proposal, in bytes.
const OVERHEAD_BYTES: usize = 32;
/// Space reserved for each file of the measurement.
const RESERVED_BYTES: u64 = 4 << 30;

/// Who acknowledged (0 and 1: the followers, 2: the leader itself), and up to which proposal.
type Ack = (usize, u64);

/// Measures `window` proposals of `bytes` bytes in flight for `seconds`.
pub(crate) fn run(window: usize, bytes: usize, seconds: f64, dir: &Path) -> Result<Measured> {
    let (acks_in, acks) = mpsc::channel::<Ack>();
    let mut children = Vec::new();
    let mut links = Vec::new();
    for number in 0..2 {
        let (child, link) = follower_process(number, dir)?;
        let (mut answers, acks_in) = (link.try_clone()?, acks_in.clone());
        std::thread::spawn(move || {
            let mut number_bytes = [0; 8];
            while answers.read_exact(&mut number_bytes).is_ok() {
                if acks_in.send((number, u64::from_le_bytes(number_bytes))).is_err() {
                    break;
                }
            }
        });
        children.push(child);
        links.push(link);
    }
    let writer = leader_writer(&dir.join("floor-leader"), acks_in)?;
    let measured = closed_loop(window, bytes, seconds, &mut links, &writer, &acks);
    for link in &mut links {
        // An empty batch ends a follower.
        link.write_all(&[0; 12])?;
    }
    for mut child in children {
        child.wait()?;
    }
    for name in ["floor-leader", "floor-0", "floor-1"] {
        std::fs::remove_file(dir.join(name)).with_context(|| format!("removing {name}"))?;
    }
    measured
}

fn closed_loop(
    window: usize,
    bytes: usize,
    seconds: f64,
    links: &mut [TcpStream],
    writer: &Sender<(u64, Arc<Vec<u8>>)>,
    acks: &Receiver<Ack>,
) -> Result<Measured> {
    let (mut sent, mut committed, mut acked) = (0_u64, 0_u64, [0_u64; 3]);
    let mut open: Vec<(u64, u64, Instant)> = Vec::new();
    let mut latencies = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds {
        let count = window as u64 - (sent - committed);
        if count > 0 {
            sent += count;
            let body = Arc::new(vec![7_u8; usize::try_from(count)? * (bytes + OVERHEAD_BYTES)]);
            let mut message = Vec::with_capacity(body.len() + 12);
            message.extend_from_slice(&sent.to_le_bytes());
            message.extend_from_slice(&u32::try_from(body.len())?.to_le_bytes());
            message.extend_from_slice(&body);
            for link in links.iter_mut() {
                link.write_all(&message)?;
            }
            writer.send((sent, body)).context("the leader's writer ended")?;
            open.push((sent, count, Instant::now()));
        }
        let mut ack = acks.recv().context("every follower ended")?;
        loop {
            acked[ack.0] = acked[ack.0].max(ack.1);
            match acks.try_recv() {
                Ok(next) => ack = next,
                Err(_) => break,
            }
        }
        let mut sorted = acked;
        sorted.sort_unstable();
        committed = committed.max(sorted[1]);
        open.retain(|(last, count, since)| {
            let waits = *last > committed;
            if !waits {
                let us = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
                latencies.extend(std::iter::repeat_n(us, usize::try_from(*count).unwrap_or(0)));
            }
            waits
        });
    }
    ensure!(committed > 0, "not one batch was durable within {seconds} s");
    Ok(Measured::new(window, bytes, committed, begin.elapsed(), latencies))
}

/// The leader's own disk, written in parallel with sending.
fn leader_writer(path: &Path, acks: Sender<Ack>) -> Result<Sender<(u64, Arc<Vec<u8>>)>> {
    let mut file = reserved_file(path)?;
    let (sender, batches) = mpsc::channel::<(u64, Arc<Vec<u8>>)>();
    std::thread::spawn(move || -> Result<()> {
        while let Ok((mut last, mut body)) = batches.recv() {
            loop {
                std::hint::black_box(crc32c::crc32c(&body));
                file.write_all(&body)?;
                match batches.try_recv() {
                    Ok(next) => (last, body) = next,
                    Err(_) => break,
                }
            }
            file.sync_data()?;
            if acks.send((2, last)).is_err() {
                break;
            }
        }
        Ok(())
    });
    Ok(sender)
}

fn follower_process(number: usize, dir: &Path) -> Result<(Child, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let child = Command::new(std::env::current_exe()?)
        .arg("floor-follower")
        .arg(listener.local_addr()?.to_string())
        .arg(dir.join(format!("floor-{number}")))
        .stdin(Stdio::null())
        .spawn()
        .context("starting a follower of the floor")?;
    let (link, _) = listener.accept()?;
    link.set_nodelay(true)?;
    // A follower whose leader is stuck in a write would never be read: bound it.
    link.set_write_timeout(Some(Duration::from_secs(30)))?;
    Ok((child, link))
}

/// The life of a follower: read a batch, check, write, sync, acknowledge.
pub(crate) fn follower(leader: &str, path: &Path) -> Result<()> {
    let mut link = TcpStream::connect(leader)?;
    link.set_nodelay(true)?;
    let mut file = reserved_file(path)?;
    let mut header = [0; 12];
    let mut body = Vec::new();
    while link.read_exact(&mut header).is_ok() {
        let (last, len) = header.split_at(8);
        let len = u32::from_le_bytes(len.try_into().context("4 bytes")?);
        if len == 0 {
            break;
        }
        body.resize(usize::try_from(len)?, 0);
        link.read_exact(&mut body)?;
        std::hint::black_box(crc32c::crc32c(&body));
        file.write_all(&body)?;
        file.sync_data()?;
        link.write_all(last)?;
    }
    Ok(())
}

fn reserved_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVED_BYTES)
        .with_context(|| format!("reserving {} GiB for {}", RESERVED_BYTES >> 30, path.display()))?;
    file.sync_all()?;
    Ok(file)
}
