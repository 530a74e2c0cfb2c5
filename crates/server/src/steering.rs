//! What operators ask of the cluster as a whole. Any node takes the request; its leader carries it out.

use axum::extract::State;
use axum::response::Response;
use quorate::ClusterError;
use quorate_api::cluster::{LeaderIs, Transfer};

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
