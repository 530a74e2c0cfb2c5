//! Faults of a process: it stands still, its syncs fail or take long, its disk seems full. What a machine does not permit is
//! told as such, in words. *Knows nothing of* what the process does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::BOUND;

/// Why this machine does not permit a fault.
#[derive(Debug)]
pub struct NotPermitted(pub String);

/// What a test goes on with; without it the test prints why it proves nothing here, and ends. With `E2E_NO_SKIP` set it fails
/// instead, for machines that are known to permit everything.
pub fn permitted<T>(tried: Result<T, NotPermitted>) -> Option<T> {
    match tried {
        Ok(given) => Some(given),
        Err(NotPermitted(why)) => {
            assert!(std::env::var_os("E2E_NO_SKIP").is_none(), "skipped although E2E_NO_SKIP is set: {why}");
            println!("skipped: {why}");
            None
        }
    }
}

/// Sends a signal, by its name as in `STOP`.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(status.success(), "no signal {name} to process {pid}");
    Ok(())
}

/// Stops a process in its tracks, and returns when all its threads stand: whatever the system was doing for one is done.
///
/// # Errors
/// When there is no such process.
pub fn pause(pid: u32) -> Result<()> {
    signal(pid, "STOP")?;
    let begin = Instant::now();
    while !stands(pid)? {
        ensure!(begin.elapsed() < BOUND, "process {pid} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether no thread of a process runs.
fn stands(pid: u32) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
        // The state stands behind the name, which is in parentheses.
        let state = stat.rsplit_once(") ").context("a line of /proc/PID/task/TID/stat")?.1;
        if !state.starts_with('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a process is to meet on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFault {
    /// Each sync fails, and nothing is written.
    SyncError,
    /// Each sync takes so much longer.
    SyncDelay(Duration),
    /// There is no space for a further file of the log.
    Full,
}

/// `strace` at work on a process. Dropped, it lets go and the fault ends.
pub struct Tracer {
    strace: Child,
}

impl Tracer {
    /// Makes a running process meet this fault from now on.
    ///
    /// # Errors
    /// When there is no `strace`, or the system does not let it.
    pub fn attach(pid: u32, fault: DiskFault) -> Result<Tracer, NotPermitted> {
        let (call, what) = match fault {
            DiskFault::SyncError => ("fdatasync", "error=EIO".to_owned()),
            DiskFault::SyncDelay(delay) => ("fdatasync", format!("delay_enter={}", delay.as_micros())),
            DiskFault::Full => ("fallocate", "error=ENOSPC".to_owned()),
        };
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{what}"));
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &pid.to_string()]);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut strace = spawned.map_err(|error| NotPermitted(format!("no strace: {error}")))?;
        let told = strace.stderr.take().map(BufReader::new);
        let mut lines = told.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        let mut said = String::new();
        while let Some(line) = lines.next() {
            if line.contains(" attached") {
                // Whatever it says later must not block it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Tracer { strace });
            }
            said.push_str(&line);
        }
        // It has closed its output: it ends.
        let _ = strace.wait();
        Err(NotPermitted(format!("strace does not attach: {said}")))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may have ended with its process. Asked to end, it first lets the process go; killed, it might not.
        let _ = signal(self.strace.id(), "TERM");
        let _ = self.strace.wait();
    }
}
