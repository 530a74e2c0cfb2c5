//! Bodies of `/v1/machines/{machine}/instances` and `/count`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The body of `POST /v1/machines/{machine}/instances`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateInstance {
    /// The id; the server chooses one at random when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The values of the context that differ from the definition's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
}

/// One instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Its machine.
    pub machine: String,
    /// Its id.
    pub id: String,
    /// The version of the definition that it follows.
    pub version: u64,
    /// Its state.
    pub state: String,
    /// 1 at its creation, one more with each committed transition.
    pub revision: u64,
    /// The events that its state takes.
    pub allowed: Vec<String>,
    /// Whether its state is final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Its data.
    pub context: Map<String, Value>,
    /// When it was created: the log's clock, milliseconds since 1970.
    pub created_ms: u64,
    /// When its revision last changed.
    pub changed_ms: u64,
    /// The place in the log of its last change.
    pub index: u64,
}

/// One instance in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstanceSummary {
    /// Its id.
    pub id: String,
    /// The version of the definition that it follows.
    pub version: u64,
    /// Its state.
    pub state: String,
    /// Its revision.
    pub revision: u64,
    /// When its revision last changed: the log's clock, milliseconds since 1970.
    pub changed_ms: u64,
}

/// The answer to `GET /v1/machines/{machine}/instances`: one page, by id in byte order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListPage {
    /// The machine.
    pub machine: String,
    /// The instances of this page. May be fewer than the limit, even none, while there is a `cursor`: a search for a rare
    /// state looks at a bounded number of instances for each page.
    pub instances: Vec<InstanceSummary>,
    /// Give this back as `?cursor=` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The answer to `GET /v1/machines/{machine}/count`. Lists every declared state, zeros included.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Count {
    /// The machine.
    pub machine: String,
    /// Its latest version, whose states are listed.
    pub version: u64,
    /// All instances.
    pub total: u64,
    /// The instances in each state.
    pub states: BTreeMap<String, u64>,
}
