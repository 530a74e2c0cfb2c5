//! What the nodes did at the end of a run, as a drawing: a column for each node, a row for each message, and between them what became
//! of the nodes. It keeps the newest steps only; the trace has all of them.

use std::collections::VecDeque;

use quorate_core::types::NodeId;

use crate::network::Arrivals;

/// Something to be drawn.
#[derive(Clone, Debug)]
enum Step {
    /// A message leaves.
    Message {
        from: NodeId,
        to: NodeId,
        kind: &'static str,
        what: String,
        /// When it arrives; more than once if it is repeated, never if it is lost.
        arrivals_us: Vec<u64>,
    },
    /// Something happens to a node.
    Node { node: NodeId, what: String },
    /// A client asks or is answered.
    Client { what: String },
    /// Something happens to the world.
    World { what: String },
}

/// The newest steps.
#[derive(Clone, Debug, Default)]
pub struct Diagram {
    steps: VecDeque<(u64, Step)>,
}

impl Diagram {
    /// A message leaves.
    pub fn message(
        &mut self,
        at_us: u64,
        link: (NodeId, NodeId),
        message: (&'static str, String),
        arrivals: Arrivals,
    ) {
        let (from, to) = link;
        let (kind, what) = message;
        self.push(at_us, Step::Message { from, to, kind, what, arrivals_us: arrivals.all().collect() });
    }

    /// Something happens to a node.
    pub fn node(&mut self, at_us: u64, node: NodeId, what: String) {
        self.push(at_us, Step::Node { node, what });
    }

    /// A client asks or is answered.
    pub fn client(&mut self, at_us: u64, what: String) {
        self.push(at_us, Step::Client { what });
    }

    /// Something happens to the world.
    pub fn world(&mut self, at_us: u64, what: String) {
        self.push(at_us, Step::World { what });
    }

    fn push(&mut self, at_us: u64, step: Step) {
        if self.steps.len() == STEPS_LEN_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back((at_us, step));
    }

    /// The newest steps in a cluster of so many nodes, as many rows as are wanted. Rounds of heartbeats that nothing interrupts
    /// become one row.
    pub fn draw(&self, nodes: usize, rows_max: usize) -> Vec<String> {
        let mut rows: Vec<String> = Vec::new();
        let mut quiet: Vec<String> = Vec::new();
        for (at_us, step) in &self.steps {
            let row = row(*at_us, step, nodes);
            if is_heartbeat(step) {
                quiet.push(row);
                continue;
            }
            fold(&mut quiet, &mut rows, nodes);
            rows.push(row);
        }
        fold(&mut quiet, &mut rows, nodes);
        let mut drawn = vec![head(nodes)];
        drawn.extend(rows.split_off(rows.len().saturating_sub(rows_max)));
        drawn
    }
}

/// Puts rows of heartbeats behind the others; of many only the newest few.
fn fold(quiet: &mut Vec<String>, rows: &mut Vec<String>, nodes: usize) {
    if quiet.len() > QUIET_ROWS_MAX {
        let folded = quiet.len() - QUIET_ROWS_MAX / 2;
        rows.push(format!("{:TIME_WIDTH$}{}  {folded} heartbeats and answers", "", lines(nodes)));
        quiet.drain(..folded);
    }
    rows.append(quiet);
}

fn is_heartbeat(step: &Step) -> bool {
    match step {
        Step::Message { kind, arrivals_us, .. } => kind.starts_with("heartbeat") && arrivals_us.len() == 1,
        Step::Node { .. } | Step::Client { .. } | Step::World { .. } => false,
    }
}

fn head(nodes: usize) -> String {
    let names: String = (1..=nodes).map(|node| format!("{:<COLUMN_WIDTH$}", format!("n{node}"))).collect();
    format!("{:TIME_WIDTH$}{names}", "")
}

/// A row on which nothing happens.
fn lines(nodes: usize) -> String {
    (1..=nodes).map(|_| format!("{:<COLUMN_WIDTH$}", "|")).collect()
}

fn row(at_us: u64, step: &Step, nodes: usize) -> String {
    let time = format!("{:>5}.{:06}  ", at_us / 1_000_000, at_us % 1_000_000);
    match step {
        Step::World { what } => format!("{time}{:=<width$}  {what}", "", width = COLUMN_WIDTH * nodes),
        Step::Client { what } => format!("{time}{}  {what}", lines(nodes)),
        Step::Node { node, what } => {
            let mut row = lines(nodes);
            row.replace_range(column(*node)..=column(*node), "#");
            format!("{time}{row}  {node} {what}")
        }
        Step::Message { from, to, kind, what, arrivals_us } => {
            let arrow = arrow(column(*from), column(*to), kind, arrivals_us.is_empty(), nodes);
            let arrival = match arrivals_us.as_slice() {
                [] => "LOST".to_string(),
                [one] => format!("+{} us", one.saturating_sub(at_us)),
                [first, rest @ ..] => {
                    format!("+{} us, and {} times more", first.saturating_sub(at_us), rest.len())
                }
            };
            format!("{time}{arrow}  {what}  {arrival}")
        }
    }
}

/// An arrow with its label between two columns; one that is lost ends in a cross half-way.
fn arrow(from: usize, to: usize, kind: &str, lost: bool, nodes: usize) -> String {
    let mut row: Vec<char> = lines(nodes).chars().collect();
    let (left, right) = (from.min(to), from.max(to));
    for place in row.iter_mut().take(right).skip(left + 1) {
        *place = if *place == '|' { '+' } else { '-' };
    }
    row[from] = 'o';
    let head = match (lost, from < to) {
        (true, _) => 'x',
        (false, true) => '>',
        (false, false) => '<',
    };
    let at = if from < to { right - 1 } else { left + 1 };
    row[at] = head;
    // The label stands beside the sender.
    let label: Vec<char> = kind.chars().take(COLUMN_WIDTH - 4).collect();
    let begin = if from < to { from + 2 } else { from - 1 - label.len() };
    for (place, letter) in row[begin..begin + label.len()].iter_mut().zip(label) {
        *place = letter;
    }
    row.into_iter().collect()
}

fn column(node: NodeId) -> usize {
    usize::try_from(node.get().saturating_sub(1)).unwrap_or(0) * COLUMN_WIDTH
}

const COLUMN_WIDTH: usize = 22;
const TIME_WIDTH: usize = 14;
/// How many steps are remembered.
const STEPS_LEN_MAX: usize = 4_000;
/// More heartbeats in a row than this are folded.
const QUIET_ROWS_MAX: usize = 6;
