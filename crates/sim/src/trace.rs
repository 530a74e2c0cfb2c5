//! The run as text, one line for each event, in the one-line form that `quorate status` and the golden scripts use; and the
//! fingerprint of that text, by which two runs of one seed are compared.

use crate::diagram::Diagram;
use crate::rng::{HASH_START, hash_bytes};

/// What becomes of the lines.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TraceMode {
    /// No line is made: the fastest.
    Off,
    /// Each line goes into the fingerprint only.
    Fingerprint,
    /// Each line goes into the fingerprint and is kept.
    Keep,
}

/// The lines of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    mode: TraceMode,
    fingerprint: u64,
    lines_len: u64,
    lines: Vec<String>,
    diagram: Diagram,
}

impl Trace {
    /// No lines yet.
    pub fn new(mode: TraceMode) -> Trace {
        Trace { mode, fingerprint: HASH_START, lines_len: 0, lines: Vec::new(), diagram: Diagram::default() }
    }

    /// Whether lines are made at all.
    pub fn is_on(&self) -> bool {
        self.mode != TraceMode::Off
    }

    /// Adds a line about `who`. The text is only made when somebody wants it.
    pub fn line(&mut self, time_us: u64, who: impl std::fmt::Display, text: impl FnOnce() -> String) {
        if self.mode == TraceMode::Off {
            return;
        }
        let line = format!("{:>6}.{:06} {who:<4} {}", time_us / 1_000_000, time_us % 1_000_000, text());
        self.fingerprint = hash_bytes(self.fingerprint, line.as_bytes());
        self.lines_len += 1;
        if self.mode == TraceMode::Keep {
            // A run is bounded in events, but its text can be large: the beginning gives way, in halves.
            if self.lines.len() >= LINES_KEPT_MAX {
                self.lines.drain(..LINES_KEPT_MAX / 2);
            }
            self.lines.push(line);
        }
    }

    /// Lets something be drawn, if the run is kept.
    pub fn draw(&mut self, step: impl FnOnce(&mut Diagram)) {
        if self.mode == TraceMode::Keep {
            step(&mut self.diagram);
        }
    }

    /// The drawing of the newest steps.
    pub fn diagram(&self) -> &Diagram {
        &self.diagram
    }

    /// What stands for all lines so far.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How many lines there were.
    pub fn lines_len(&self) -> u64 {
        self.lines_len
    }

    /// The lines that were kept: at most the newest two million.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// How to read the lines.
pub const LEGEND: &str = "\
# seconds.micros who  what
#   who   n1, n2 ...: a node; c1, c2 ...: a client; net, world: the surroundings
#   -> n2 append t1 prev 1:3 [1:4..1:6] commit 3   a message leaves for n2: kind, the sender's term, entries term:index;
#                     at the end when it arrives, after how many microseconds, or LOST
#   write w5 [1:4..1:6] hard t2 vote n1    the log gets write 5: entries, and term and vote if they changed
#   sync w5           all up to write 5 is durable; messages behind it leave now
#   apply ..7         the state machine has applied all up to index 7
#   n1 t2 leader last 2:9 commit 8 of n3   the state after a turn that changed it, and whom it follows
#   c1 -> n2 / <- operation 4              a client asks n2 / is answered; c1:4 is value 4 of client 1 in its own list";

const LINES_KEPT_MAX: usize = 2_000_000;
