//! The cluster as its members tell it, and sessions.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use quorate::{MemberStatus, ProposeError};
use quorate_api::cluster::{ClusterStatus, Member, MemberFailed, OpenSession, SessionOpened};
use quorate_api::header::{format_session, parse_session};

use crate::app::{App, within};
use crate::call::Call;
use crate::problem::{Failure, json};

/// `GET /v1/cluster`: whoever is reached in time, and why the others were not.
pub(crate) async fn status(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["timeout"])?;
    let timeout = call.timeout()?.unwrap_or(TIMEOUT_DEFAULT).min(TIMEOUT_MAX);
    let answers = app.node.cluster_status(timeout).await;
    let commit = answers.iter().filter_map(|answer| Some(answer.status.as_ref().ok()?.commit_index)).max();
    let leader = answers
        .iter()
        .filter_map(|answer| answer.status.as_ref().ok())
        .filter(|status| status.leader != 0)
        .max_by_key(|status| status.term)
        .map(|status| status.leader);
    let mut cluster = ClusterStatus { leader, members: Vec::new(), failed: Vec::new() };
    for answer in answers {
        match member(&app, answer, commit.unwrap_or(0)) {
            Ok(member) => cluster.members.push(member),
            Err(failed) => cluster.failed.push(failed),
        }
    }
    cluster.members.sort_by_key(|member| member.id);
    cluster.failed.sort_by_key(|member| member.id);
    Ok(json(200, &cluster))
}

fn member(app: &App, answer: MemberStatus, commit: u64) -> Result<Member, MemberFailed> {
    let MemberStatus { node: id, address, status } = answer;
    let peer = Some(address).filter(|address| !address.is_empty());
    let status = match status {
        Ok(status) => status,
        Err(error) => return Err(MemberFailed { id, peer, reason: error.to_string() }),
    };
    let configured = app.members.iter().find(|member| member.id == id).and_then(|member| member.api.clone());
    Ok(Member {
        id,
        peer,
        api: Some(status.api_address).filter(|address| !address.is_empty()).or(configured),
        role: status.role.to_string(),
        voter: status.voter,
        priority: Some(status.priority),
        resting: status.rests,
        removed: status.removed,
        disk_full: status.disk_full,
        damaged: status.damaged_entries,
        state_lost: status.state_lost,
        term: status.term,
        last: status.last_index,
        commit: status.commit_index,
        applied: status.applied_index,
        snapshot: Some(status.snapshot_index).filter(|index| *index > 0),
        base: Some(status.base_index).filter(|index| *index > 0),
        lag: commit.saturating_sub(status.applied_index),
        fsync_p50_us: Some(status.fsync_p50_us).filter(|us| *us > 0),
        fsync_p99_us: Some(status.fsync_p99_us).filter(|us| *us > 0),
        version: status.version,
        feature_level: Some(status.feature_level).filter(|level| *level > 0),
    })
}

/// `POST /v1/sessions`.
pub(crate) async fn open_session(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["timeout"])?;
    let OpenSession { id } = call.json()?;
    let session = parse_session(&id).map_err(|error| {
        Failure::malformed(
            format!("`id`: {error}"),
            "choose one at random: 128 bits, written as 32 hex digits",
        )
    })?;
    let opened = within(call.timeout()?, app.node.open_session(session)).await;
    opened.unwrap_or(Err(ProposeError::TimedOut)).map_err(|error| Failure::propose(&error, &app.members))?;
    Ok(json(200, &SessionOpened { id: format_session(session) }))
}

/// How long `GET /v1/cluster` waits for members unless told otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// How long it waits at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
