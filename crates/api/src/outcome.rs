//! What the cluster decided about a proposal or a creation. A rejection is an answer, not an error: it was decided at
//! apply, alike on every node.

use serde::{Deserialize, Serialize};

use crate::meaning::RejectionCode;

/// The answer to a proposal: what was decided, and the steps on the way if the caller asked for them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What was decided.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Each step from the node that took the proposal to the reply; only with `?explain=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Vec<ExplainStep>>,
}

/// What was decided about a proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The transition happened and is durable on a quorum.
    Committed(Committed),
    /// The state says that it ignores this event: nothing changed, the revision stays.
    Ignored(Ignored),
    /// The transition did not happen, and why.
    Rejected(Rejection),
}

/// A transition that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// The event that was taken; for a proposal that named a state, the event that was chosen.
    pub event: String,
    /// The state before.
    pub from: String,
    /// The state after; the same for a self transition.
    pub to: String,
    /// The instance's revision after the transition.
    pub revision: u64,
    /// The version of the definition that decided.
    pub version: u64,
    /// The place of the proposal in the log.
    pub index: u64,
    /// The term of the leader that gave it that place.
    pub term: u64,
}

/// An event that the current state ignores by its definition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ignored {
    /// The event.
    pub event: String,
    /// The state, unchanged.
    pub state: String,
    /// The revision, unchanged.
    pub revision: u64,
    /// The version of the definition that decided.
    pub version: u64,
    /// The place of the proposal in the log.
    pub index: u64,
    /// The term of that place.
    pub term: u64,
}

/// A deterministic no. What was refused before the log has no index and no term, and knows no state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rejection {
    /// Which rule said no.
    pub code: RejectionCode,
    /// The rule and the values that decided, in words.
    pub detail: String,
    /// The instance's state, if there is an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The events that the state would take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// The instance's revision, unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The version of the definition that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The place of the proposal in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The term of that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

/// The answer to a creation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Creation {
    /// The instance exists now.
    Created(Created),
    /// It does not, or existed before (`exists`), and why.
    Rejected(Rejection),
}

/// An instance that was just created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Created {
    /// Its machine.
    pub machine: String,
    /// Its id: the one that was asked for, else the one that the server chose.
    pub id: String,
    /// The version of the definition that it follows.
    pub version: u64,
    /// Its state: the definition's initial one.
    pub state: String,
    /// Its revision: 1.
    pub revision: u64,
    /// The place of the creation in the log.
    pub index: u64,
    /// The term of that place.
    pub term: u64,
}

/// One step of a proposal, for `explain`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExplainStep {
    /// The node where it happened.
    pub node: u64,
    /// Microseconds since that node got the proposal. Clocks of different nodes are never compared.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub step: StepKind,
}

/// What happened to a proposal in one step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum StepKind {
    /// A node took it from a client.
    Accepted,
    /// It was carried to the leader.
    Forwarded {
        /// The leader.
        leader: u64,
    },
    /// The leader gave it a place in the log.
    Appended {
        /// The place.
        index: u64,
        /// The leader's term.
        term: u64,
    },
    /// A node has it on its disk.
    Acknowledged {
        /// Which node.
        by: u64,
    },
    /// A quorum has it.
    Committed,
    /// The machine has decided.
    Applied,
}
