//! What operators ask of the cluster as a whole. Any node takes the request; its leader carries it out.

use axum::extract::State;
use axum::response::Response;
use quorate::ClusterError;
use quorate_api::cluster::{AddMember, LeaderIs, MemberAdded, MemberChanged, Transfer};

use crate::app::{App, within};
use crate::call::Call;
use crate::problem::{Failure, json};

/// `POST /v1/cluster/transfer`: another node shall lead, one by name or any.
pub(crate) async fn transfer(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["timeout"])?;
    let wanted: Transfer = if call.body.is_empty() { Transfer::default() } else { call.json()? };
    if wanted.to == Some(0) {
        return Err(Failure::malformed("`to`: there is no node 0", "node ids are numbers from 1"));
    }
    let moved = within(call.timeout()?, app.node.transfer_leadership(wanted.to)).await;
    let moved = moved.unwrap_or(Err(ClusterError::TimedOut));
    let leader = moved.map_err(|error| Failure::cluster(&error, &app.members))?;
    Ok(json(200, &LeaderIs { leader }))
}

/// `POST /v1/cluster/members`: a new node receives the log, and a vote once it has caught up.
pub(crate) async fn add(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["timeout"])?;
    let AddMember { id, peer, voter, replaces, feature_level_max } = call.json()?;
    let adding = async {
        match feature_level_max {
            Some(understood) => app.node.join_member(peer, id, voter, replaces, understood).await,
            None => app.node.add_member(peer, id, voter, replaces).await,
        }
    };
    let adding = within(call.timeout()?, adding).await;
    let id = adding.unwrap_or(Err(ClusterError::TimedOut));
    let id = id.map_err(|error| Failure::cluster(&error, &app.members))?;
    Ok(json(200, &MemberAdded { id, cluster: app.node.cluster_id().to_string() }))
}

/// `POST /v1/cluster/members/{node}/promote`: a learner becomes a voter once it has caught up.
pub(crate) async fn promote(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    let id = member(&call)?;
    let done = within(call.timeout()?, app.node.promote_member(id)).await;
    done.unwrap_or(Err(ClusterError::TimedOut)).map_err(|error| Failure::cluster(&error, &app.members))?;
    Ok(json(200, &MemberChanged { id }))
}

/// `DELETE /v1/cluster/members/{node}`: a node goes for good.
pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    let id = member(&call)?;
    let done = within(call.timeout()?, app.node.remove_member(id)).await;
    done.unwrap_or(Err(ClusterError::TimedOut)).map_err(|error| Failure::cluster(&error, &app.members))?;
    Ok(json(200, &MemberChanged { id }))
}

/// The member that the path names.
fn member(call: &Call) -> Result<u64, Failure> {
    call.allow(&["timeout"])?;
    let text = call.path("node");
    let number = text.parse().ok().filter(|id| *id > 0);
    number.ok_or_else(|| {
        Failure::malformed(
            format!("`{text}` is no node id"),
            "node ids are numbers from 1: `GET /v1/cluster` lists them",
        )
    })
}
