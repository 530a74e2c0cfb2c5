//! `/livez` and `/readyz`: whether to restart this node, and whether to send it requests.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use quorate_api::cluster::{Health, HealthCheck};
use quorate_api::meaning::ProblemCode;

use crate::app::App;
use crate::call::Call;
use crate::problem::{Failure, json};

/// `GET /livez`: fails only when nothing but a restart helps.
pub(crate) async fn livez(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["verbose", "exclude"])?;
    let verbose = call.flag("verbose")?;
    report(verbose, &select(&call, &["loop"])?, vec![check_loop(&app).await])
}

/// `GET /readyz`: fails while requests to this node would only wait or fail.
pub(crate) async fn readyz(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["verbose", "exclude"])?;
    let verbose = call.flag("verbose")?;
    let excluded = select(&call, &["loop", "member", "leader", "applied", "disk", "damage"])?;
    let (running, applied) = tokio::join!(check_loop(&app), check_applied(&app));
    report(
        verbose,
        &excluded,
        vec![running, check_member(&app), check_leader(&app), applied, check_disk(&app), check_damage(&app)],
    )
}

/// The checks that the caller leaves out: `?exclude=disk,applied`.
fn select(call: &Call, known: &[&str]) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = call
        .text("exclude")
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(names),
        Some(name) => Err(Failure::malformed(
            format!("exclude={name}: no such check"),
            format!("the checks are: {}", known.join(", ")),
        )),
    }
}

fn report(verbose: bool, excluded: &[String], mut checks: Vec<HealthCheck>) -> Result<Response, Failure> {
    checks.retain(|check| !excluded.contains(&check.name));
    if checks.iter().all(|check| check.ok) {
        let checks = if verbose { checks } else { Vec::new() };
        return Ok(json(200, &Health { ok: true, checks }));
    }
    checks.retain(|check| !check.ok);
    let words: Vec<String> = checks.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
    let mut failure = Failure::new(
        ProblemCode::NotReady,
        words.join("; "),
        "`GET /v1/cluster` on any node shows the whole cluster",
    );
    failure.problem_mut().checks = checks;
    Err(failure)
}

/// The node's loop turns: it makes its status known anew several times a second, whatever the other nodes do.
async fn check_loop(app: &App) -> HealthCheck {
    let mut looks = 0;
    let next = app.node.wait(move |_| {
        looks += 1;
        looks > 1
    });
    match tokio::time::timeout(PATIENCE, next).await {
        Ok(Ok(_)) => check("loop", true, "the node's loop turns"),
        Ok(Err(_)) => check("loop", false, "the node has stopped"),
        Err(_) => check("loop", false, "the node's loop did not turn for 1 s"),
    }
}

/// A node that was removed serves nobody, and will not again.
fn check_member(app: &App) -> HealthCheck {
    match app.node.status().removed {
        true => check("member", false, "this node was removed from the cluster: stop it"),
        false => check("member", true, "this node was not removed"),
    }
}

fn check_leader(app: &App) -> HealthCheck {
    match app.node.status().leader {
        0 => check("leader", false, "no leader is known"),
        leader => check("leader", true, format!("node {leader} leads")),
    }
}

/// A linearizable read is served in time: a quorum confirms the leader, and this node has applied all that it must.
async fn check_applied(app: &App) -> HealthCheck {
    let served = tokio::time::timeout(PATIENCE, app.node.read(|_| ())).await;
    let status = app.node.status();
    let seen = format!("applied {} of {} committed", status.applied_index, status.commit_index);
    match served {
        Ok(Ok(())) => check("applied", true, seen),
        Ok(Err(error)) => check("applied", false, format!("{error} ({seen})")),
        Err(_) => check("applied", false, format!("a linearizable read took more than 1 s ({seen})")),
    }
}

/// What the log holds reaches the disk in time. A disk that failed has stopped the node, which `loop` shows.
fn check_disk(app: &App) -> HealthCheck {
    let status = app.node.status();
    if status.disk_full {
        return check("disk", false, "the disk is full: this node takes no proposals until there is room");
    }
    let waiting = status.last_index.saturating_sub(status.persisted_index);
    let detail =
        format!("{waiting} entries wait for the disk, 99 of 100 syncs take up to {} µs", status.fsync_p99_us);
    check("disk", waiting <= UNPERSISTED_LEN_MAX, detail)
}

/// What the disk has lost is back. Until then this node shows an old state, or none.
fn check_damage(app: &App) -> HealthCheck {
    let status = app.node.status();
    match (status.damaged_entries, status.state_lost) {
        (0, false) => check("damage", true, "nothing is missing on the disk"),
        (0, true) => check("damage", false, "the disk has lost the snapshot, which a peer must give back"),
        (entries, _) => {
            let detail = format!("damaged: {entries} entries that the disk has lost, repairing from peers");
            check("damage", false, detail)
        }
    }
}

fn check(name: &str, ok: bool, detail: impl Into<String>) -> HealthCheck {
    HealthCheck { name: name.to_owned(), ok, detail: detail.into() }
}

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many entries may wait for the disk of a node that is ready.
const UNPERSISTED_LEN_MAX: u64 = 100_000;
