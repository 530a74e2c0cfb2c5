//! Bodies of `/v1/machines/{machine}/instances/{id}/history`: what happened to an instance, rejections included.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meaning::RejectionCode;

/// One page of an instance's history, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryPage {
    /// The machine.
    pub machine: String,
    /// The instance.
    pub id: String,
    /// The records of this page. Rejections stand after the transition whose revision they met.
    pub records: Vec<HistoryRecord>,
    /// The oldest revision that is still kept; `?from=` an older one is answered `compacted`.
    pub oldest_revision: u64,
    /// How many rejections have been forgotten to make room for newer ones.
    pub rejections_forgotten: u64,
    /// Give this back as `?from=` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One thing that happened to an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// What happened.
    #[serde(flatten)]
    pub what: HistoryKind,
    /// The revision after it.
    pub revision: u64,
    /// The version of the definition that decided.
    pub version: u64,
    /// Its place in the log.
    pub index: u64,
    /// The term of that place.
    pub term: u64,
    /// When: the log's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Who asked, if the request said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The request id, if the request had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What came with the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum HistoryKind {
    /// The instance was created.
    Created {
        /// In this state.
        to: String,
    },
    /// A transition.
    Committed {
        /// The event, also when a target state was proposed.
        event: String,
        /// The state before.
        from: String,
        /// The state after.
        to: String,
    },
    /// A proposal that was rejected.
    Rejected {
        /// The event that was proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        /// The target state that was proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The state at that time.
        state: String,
        /// Which rule said no.
        code: RejectionCode,
    },
}
