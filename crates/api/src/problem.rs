//! The body of every answer that is neither a result nor an outcome (`application/problem+json`, RFC 9457): what
//! happened, why, what to do next, and what may have become of the call.

use serde::{Deserialize, Serialize};

use crate::cluster::HealthCheck;
use crate::definition::Fault;
use crate::meaning::ProblemCode;

/// The media type of a [`Problem`] (RFC 9457, section 3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request has no result. Never holds a path of the server, a secret or a panic message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem, for programs.
    pub code: ProblemCode,
    /// What happened and why, for people.
    pub detail: String,
    /// What to do next.
    pub hint: String,
    /// What may have become of the request.
    pub fate: Fate,
    /// The leader, if the node knows one: asking it directly may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeaderHint>,
    /// Where in the request body the problem is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Every fault of a definition that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Every check of a probe that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
}

/// What a failed request may have done.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing, now or later: a retry is safe.
    NotAccepted,
    /// It may have happened, or may still: retry only with the same `Idempotency-Key` or `Quorate-Request`.
    Unknown,
    /// It happened; only its answer is missing.
    Applied,
}

/// Where the leader is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaderHint {
    /// The leader's node id.
    pub id: u64,
    /// Its API address, if the node that answers knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

/// A place in the request body; both numbers count from 1.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Problem {
    /// A problem that left nothing behind.
    pub fn new(code: ProblemCode, detail: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem {
            code,
            detail: detail.into(),
            hint: hint.into(),
            fate: Fate::NotAccepted,
            leader: None,
            place: None,
            faults: Vec::new(),
            checks: Vec::new(),
        }
    }
}
