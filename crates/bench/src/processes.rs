//! The processes of a measurement: started, asked over their standard input and output, and ended whatever happens.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};

/// A child that answers lines with lines. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Result<Process> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let stdin = child.stdin.take().context("a piped stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("a piped stdout")?);
        Ok(Process { child, stdin, stdout })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let len = self.stdout.read_line(&mut line)?;
        anyhow::ensure!(len > 0, "a node of the measurement ended: see its message above");
        Ok(line.trim().to_string())
    }

    /// Sends a line and returns the line that answers it.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.stdin, "{line}")?;
        self.line()
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Microseconds of processor time, user and system, of this process so far.
    pub(crate) fn cpu_us(&self) -> Result<u64> {
        cpu_us(self.child.id())
    }

    /// Its highest resident memory so far in KiB, from `/proc` (proc(5), `VmHWM`).
    pub(crate) fn resident_kib_max(&self) -> Result<u64> {
        self.status_kib("VmHWM:")
    }

    /// Its resident memory now in KiB (`VmRSS`).
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("{name} in a process's status"))?;
        line.trim().trim_end_matches("kB").trim().parse().context("a number of KiB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Microseconds of processor time of a process, from `/proc` (proc(5), fields 14 and 15 of `stat`).
pub(crate) fn cpu_us(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("a process name")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks * 1_000_000 / TICKS_PER_SECOND)
}

/// The unit of processor time in `/proc`: 100 on every Linux that Rust supports (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// A new empty folder below `parent`, made absolute.
pub(crate) fn fresh_dir(parent: &Path) -> Result<PathBuf> {
    let parent = std::fs::canonicalize(parent).with_context(|| format!("the folder {}", parent.display()))?;
    let dir = parent.join(format!("quorate-bench-{}", std::process::id()));
    std::fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}

/// `count` addresses on loopback that were free a moment ago.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<String>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}
