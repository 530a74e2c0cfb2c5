//! The way of one proposal, told step by step, for callers who asked (`--explain`). Nothing here runs for the others.

use quorate_core::types::NodeId;

use crate::effect::{Step, StepKind};

/// The steps of one proposal as one node saw them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The node that writes these steps.
    pub node: NodeId,
    /// When this node got the proposal, on its monotonic clock in microseconds.
    pub started_us: u64,
    /// What happened so far.
    pub steps: Vec<Step>,
}

impl Trace {
    /// An empty trace of `node`, which got the proposal at `now_us`.
    pub fn new(node: NodeId, now_us: u64) -> Trace {
        Trace { node, started_us: now_us, steps: Vec::new() }
    }

    /// Adds a step of this node.
    pub fn add(&mut self, now_us: u64, what: StepKind) {
        self.steps.push(Step { node: self.node, at_us: now_us.saturating_sub(self.started_us), what });
    }

    /// Adds that `by` has the entry on its disk, unless that was told before.
    pub fn acknowledged(&mut self, now_us: u64, by: NodeId) {
        self.add_once(now_us, StepKind::Acknowledged { by });
    }

    /// Adds that the entry is committed, unless that was told before.
    pub fn committed(&mut self, now_us: u64) {
        self.add_once(now_us, StepKind::Committed);
    }

    fn add_once(&mut self, now_us: u64, what: StepKind) {
        if !self.steps.iter().any(|step| step.what == what) {
            self.add(now_us, what);
        }
    }

    /// The whole way: the last step is that the state machine has answered.
    pub fn finish(mut self, now_us: u64) -> Vec<Step> {
        self.add(now_us, StepKind::Applied);
        self.steps
    }
}
