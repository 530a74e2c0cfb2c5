//! Bodies of `/v1/cluster` and what is below it, `/v1/sessions`, `/livez` and `/readyz`.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/cluster`: every member that was reached, and those that were not, with the reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The leader, as far as the reached members know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// The members that answered, by id.
    pub members: Vec<Member>,
    /// The members that did not.
    pub failed: Vec<MemberFailed>,
}

/// One member that answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Where its peers reach it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Where clients reach it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// `leader`, `follower`, `candidate` or `pre-candidate`.
    pub role: String,
    /// Whether it has a vote; a member without one is a learner.
    pub voter: bool,
    /// How much it is meant to lead, from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u64>,
    /// Whether it gave way as an unfit leader a short time ago, and lets others lead for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resting: bool,
    /// Whether it was removed from the cluster, as it knows itself; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Whether its disk is full, so that it takes no proposals; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disk_full: bool,
    /// Entries that its disk has lost and that it is getting back from its peers; 0 for nearly all nodes at nearly all times.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub damaged: u64,
    /// Whether its disk has lost the state from which its log goes on, which a peer must give back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub state_lost: bool,
    /// Its term.
    pub term: u64,
    /// The last index of its log.
    pub last: u64,
    /// Its commit index.
    pub commit: u64,
    /// The last index that its state machine has applied.
    pub applied: u64,
    /// The last index that its newest snapshot covers; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// The last index that its log no longer holds, because a snapshot covers it; absent while it holds all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// How many committed entries of the cluster it has not applied yet.
    pub lag: u64,
    /// The time that half of its disk syncs stay below, in microseconds; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsync_p50_us: Option<u64>,
    /// The time that 99 of 100 of its disk syncs stay below, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsync_p99_us: Option<u64>,
    /// The version of the program that it runs.
    pub version: String,
    /// The feature level of what it has applied; absent before it has applied anything since its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_level: Option<u64>,
}

/// One member that did not answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberFailed {
    /// Its id.
    pub id: u64,
    /// Where it was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Why it was not reached.
    pub reason: String,
}

/// The body of `POST /v1/cluster/transfer`; none at all is the same as an empty one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Who shall lead; without it the leader chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// The answer to `POST /v1/cluster/transfer`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaderIs {
    /// Who leads now.
    pub leader: u64,
}

/// The body of `POST /v1/cluster/members`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// Its id, higher than all that were ever given; without it the next one that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Where the other nodes will reach it.
    pub peer: String,
    /// Whether it becomes a voter by itself once it has caught up.
    #[serde(default = "yes")]
    pub voter: bool,
    /// The voter whose place it takes then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// The highest feature level that its program understands, if that is known: a node that is behind the cluster's is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_level_max: Option<u64>,
}

fn yes() -> bool {
    true
}

/// The answer to `POST /v1/cluster/members`: what the new node must know to start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberAdded {
    /// Its id.
    pub id: u64,
    /// The cluster's name: 32 hex digits.
    pub cluster: String,
}

/// The answer to a promotion or a removal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberChanged {
    /// Which member.
    pub id: u64,
}

/// The body of `POST /v1/sessions`. Opening a session that is open changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The session: 32 hex digits, chosen at random or derived from the work.
    pub id: String,
}

/// The answer to `POST /v1/sessions`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionOpened {
    /// The session.
    pub id: String,
}

/// The answer of `/livez` and `/readyz`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether all checks passed that were not excluded.
    pub ok: bool,
    /// Each check; with `?verbose`, and whenever one failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
}

/// One check of a probe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Its name, as `?exclude=` takes it.
    pub name: String,
    /// Whether it passed.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The shape that serde wants.
fn is_zero(number: &u64) -> bool {
    *number == 0
}
