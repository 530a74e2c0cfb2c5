//! What became of a proposal: committed, ignored or rejected, in the words and the JSON that every interface shows.

use serde::{Deserialize, Serialize};

use crate::why::Why;

/// What became of a proposal. Decided at apply, the same on every node, so each kind carries the entry's index and term.
///
/// Serializes to the JSON of the format page:
/// `{"outcome":"committed","event":"stop","from":"Running","to":"Stopped","revision":8,"version":1,"index":10452,"term":4}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The instance has moved.
    Committed(Committed),
    /// The state ignores the event by declaration: nothing has changed.
    Ignored(Ignored),
    /// The machine does not allow it: nothing has changed.
    Rejected(Rejected),
}

/// The instance has moved (a self transition counts as a move).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Committed {
    /// The event that was taken; for a wish that named a state, the event that was chosen.
    pub event: String,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// The instance's revision after: one more than before.
    pub revision: u64,
    /// The version of the definition that decided.
    pub version: u64,
    /// The log index of the entry that decided.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
}

/// The state ignores the event by declaration.
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
    /// The log index of the entry that decided.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
}

/// The machine does not allow it.
///
/// Serializes with the reason's code and its words. There is no way back from words to a reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(into = "RejectedInWords")]
pub struct Rejected {
    /// Why.
    pub why: Why,
    /// Where the instance stands, when there is one.
    pub standing: Option<Standing>,
    /// The log index of the entry that decided.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
}

impl Rejected {
    /// Why, from a closed list.
    pub fn code(&self) -> RejectionCode {
        self.why.code()
    }
}

/// A rejection as interfaces show it.
#[derive(Serialize)]
struct RejectedInWords {
    code: RejectionCode,
    detail: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
    index: u64,
    term: u64,
}

impl From<Rejected> for RejectedInWords {
    fn from(rejected: Rejected) -> RejectedInWords {
        let Rejected { why, standing, index, term } = rejected;
        RejectedInWords { code: why.code(), detail: why.detail(), standing, index, term }
    }
}

/// Where an instance stands after a rejection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Its state, unchanged.
    pub state: String,
    /// The events that this state handles, in byte order (those that it ignores are not listed).
    pub allowed: Vec<String>,
    /// Its revision, unchanged.
    pub revision: u64,
    /// The version of its definition.
    pub version: u64,
}

/// Why a proposal is rejected: a closed list. This version produces `unknown_machine`, `unknown_instance`, `exists`,
/// `unknown_event`, `no_transition`, `payload_invalid`, `limit_reached`, `conflict`, `final` and `too_large`; the others are
/// reserved so that clients can match on all of them from the first day.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// No machine has this name.
    UnknownMachine,
    /// The machine has no instance with this id.
    UnknownInstance,
    /// An instance with this id exists already.
    Exists,
    /// No state of the machine handles this event.
    UnknownEvent,
    /// The current state does not handle this event, or no event leads from it to the wished state.
    NoTransition,
    /// A guard is false.
    GuardFailed,
    /// The data does not fit.
    PayloadInvalid,
    /// A limit is reached.
    LimitReached,
    /// An invariant would not hold.
    InvariantViolated,
    /// The instance is not where the caller expected it.
    Conflict,
    /// The caller may not do this.
    Forbidden,
    /// The instance is in a final state.
    Final,
    /// The evaluation would cost too much.
    CostExceeded,
    /// Something is too large.
    TooLarge,
    /// The request id was used for another command.
    KeyReused,
}

impl RejectionCode {
    /// Every code, in the order of the list.
    pub const ALL: [RejectionCode; 15] = [
        RejectionCode::UnknownMachine,
        RejectionCode::UnknownInstance,
        RejectionCode::Exists,
        RejectionCode::UnknownEvent,
        RejectionCode::NoTransition,
        RejectionCode::GuardFailed,
        RejectionCode::PayloadInvalid,
        RejectionCode::LimitReached,
        RejectionCode::InvariantViolated,
        RejectionCode::Conflict,
        RejectionCode::Forbidden,
        RejectionCode::Final,
        RejectionCode::CostExceeded,
        RejectionCode::TooLarge,
        RejectionCode::KeyReused,
    ];

    /// The code as interfaces spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectionCode::UnknownMachine => "unknown_machine",
            RejectionCode::UnknownInstance => "unknown_instance",
            RejectionCode::Exists => "exists",
            RejectionCode::UnknownEvent => "unknown_event",
            RejectionCode::NoTransition => "no_transition",
            RejectionCode::GuardFailed => "guard_failed",
            RejectionCode::PayloadInvalid => "payload_invalid",
            RejectionCode::LimitReached => "limit_reached",
            RejectionCode::InvariantViolated => "invariant_violated",
            RejectionCode::Conflict => "conflict",
            RejectionCode::Forbidden => "forbidden",
            RejectionCode::Final => "final",
            RejectionCode::CostExceeded => "cost_exceeded",
            RejectionCode::TooLarge => "too_large",
            RejectionCode::KeyReused => "key_reused",
        }
    }

    /// The code that interfaces spell so.
    pub fn from_name(name: &str) -> Option<RejectionCode> {
        RejectionCode::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The code's place in the list: its byte in the binary form. Places are never reused.
    pub(crate) fn to_byte(self) -> u8 {
        let place = RejectionCode::ALL.iter().position(|code| *code == self);
        u8::try_from(place.expect("ALL holds every code, as a test shows"))
            .expect("the list has fewer than 256 codes")
    }

    /// The code at a place in the list.
    pub(crate) fn from_byte(byte: u8) -> Option<RejectionCode> {
        RejectionCode::ALL.get(usize::from(byte)).copied()
    }
}
