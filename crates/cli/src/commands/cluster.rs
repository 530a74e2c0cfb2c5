//! `cluster status`: every node that was reached, and those that were not, with the reason. The others change who is a
//! member and who leads.

use quorate_api::cluster::{AddMember, ClusterStatus, Member, MemberChanged};
use quorate_api::meaning::Exit;

use crate::args::OutputFormat;
use crate::context::Context;
use crate::failure::{Failure, warn};
use crate::output::number;

/// `cluster status`. A cluster of which a part answered is shown with a warning; it is a failure only when nobody answered.
pub(crate) async fn status(context: &mut Context) -> Result<Exit, Failure> {
    let status = context.client.cluster().await?;
    match context.output.format {
        OutputFormat::Json => context.output.value(&status)?,
        OutputFormat::Jsonl => {
            status.members.iter().try_for_each(|member| context.output.value(member))?;
            status.failed.iter().try_for_each(|failed| context.output.value(failed))?;
        }
        OutputFormat::Table => table(context, &status)?,
    }
    for failed in &status.failed {
        let place = failed.peer.as_ref().map(|peer| format!(" at {peer}")).unwrap_or_default();
        warn(&format!("node {}{place} did not answer: {}", failed.id, failed.reason));
    }
    if status.leader.is_none() {
        warn("there is no leader: proposals and reads wait until one is elected");
    }
    Ok(if status.members.is_empty() { Exit::Unavailable } else { Exit::Ok })
}

/// `cluster add`: what the new node must be told stands in the answer.
pub(crate) async fn add(context: &mut Context, add: &AddMember) -> Result<Exit, Failure> {
    let added = context.client.add_member(add).await?;
    // The program of the new node is not known here. A status that cannot be had is no failure of what is done.
    let levels = context.client.cluster().await.map(|status| status.members).unwrap_or_default();
    if let Some(level) = levels.iter().filter_map(|member| member.feature_level).max() {
        warn(&format!(
            "nobody has asked what the program of node {} understands: one that does not know feature level {level} will not start there; \
             `quorate server --join` without an --id asks by itself",
            added.id
        ));
    }
    match context.output.format {
        OutputFormat::Json | OutputFormat::Jsonl => context.output.value(&added)?,
        OutputFormat::Table => {
            let row = vec![format!("n{}", added.id), add.peer.clone(), added.cluster];
            context.output.table(&["NODE", "PEER", "CLUSTER"], vec![row])?;
        }
    }
    Ok(Exit::Ok)
}

/// `cluster promote`.
pub(crate) async fn promote(context: &mut Context, node: u64) -> Result<Exit, Failure> {
    let changed = context.client.promote_member(node).await?;
    tell(context, &changed, "gets its vote once it has caught up")
}

/// `cluster remove`. From here on the node may be stopped.
pub(crate) async fn remove(context: &mut Context, node: u64) -> Result<Exit, Failure> {
    let changed = context.client.remove_member(node).await?;
    tell(context, &changed, "is removed: stop it, and delete its data")
}

fn tell(context: &mut Context, changed: &MemberChanged, what: &str) -> Result<Exit, Failure> {
    match context.output.format {
        OutputFormat::Json | OutputFormat::Jsonl => context.output.value(changed)?,
        OutputFormat::Table => context.output.line(&format!("n{} {what}", changed.id))?,
    }
    Ok(Exit::Ok)
}

/// `cluster transfer`. That another node leads than the one that was named is told, and is a failure.
pub(crate) async fn transfer(context: &mut Context, node: Option<u64>) -> Result<Exit, Failure> {
    let now = context.client.transfer(node).await?;
    match context.output.format {
        OutputFormat::Json | OutputFormat::Jsonl => context.output.value(&now)?,
        OutputFormat::Table => {
            let row = vec![format!("n{}", now.leader), "leader".to_owned()];
            context.output.table(&["NODE", "ROLE"], vec![row])?;
        }
    }
    if node.is_some_and(|node| node != now.leader) {
        warn("another node won an election that began at the same time: ask again");
        return Ok(Exit::Unavailable);
    }
    Ok(Exit::Ok)
}

fn table(context: &mut Context, status: &ClusterStatus) -> Result<(), Failure> {
    let head = [
        "NODE",
        "ROLE",
        "PRIORITY",
        "TERM",
        "LAST",
        "COMMIT",
        "APPLIED",
        "LAG",
        "SNAPSHOT",
        "FSYNC P50/P99",
        "API",
        "PEER",
        "VERSION",
    ];
    let mut rows = status.members.iter().map(|member| (member.id, row(member))).collect::<Vec<_>>();
    rows.extend(status.failed.iter().map(|failed| {
        let mut row = vec![format!("n{}", failed.id), "not reached".to_owned()];
        row.resize(head.len(), String::new());
        row[11] = failed.peer.clone().unwrap_or_default();
        (failed.id, row)
    }));
    rows.sort_by_key(|(id, _)| *id);
    context.output.table(&head, rows.into_iter().map(|(_, row)| row).collect())
}

fn row(member: &Member) -> Vec<String> {
    let fsync = match (member.fsync_p50_us, member.fsync_p99_us) {
        (Some(p50), Some(p99)) => format!("{}/{} us", number(p50), number(p99)),
        (Some(one), None) | (None, Some(one)) => format!("{} us", number(one)),
        (None, None) => String::new(),
    };
    let mut role = match (member.removed, member.voter) {
        (true, _) => "removed".to_owned(),
        (false, true) => member.role.clone(),
        (false, false) => format!("{} (learner)", member.role),
    };
    if member.disk_full {
        role.push_str(" (disk full)");
    }
    match (member.damaged, member.state_lost) {
        (0, false) => {}
        (0, true) => role.push_str(" (state lost, repairing)"),
        (entries, _) => role.push_str(&format!(" (damaged: {} entries, repairing)", number(entries))),
    }
    let rests = if member.resting { " (rests)" } else { "" };
    let priority = member.priority.map(|priority| format!("{priority}{rests}")).unwrap_or_default();
    vec![
        format!("n{}", member.id),
        role,
        priority,
        member.term.to_string(),
        member.last.to_string(),
        member.commit.to_string(),
        member.applied.to_string(),
        member.lag.to_string(),
        member.snapshot.map_or("none".to_owned(), |snapshot| snapshot.to_string()),
        fsync,
        member.api.clone().unwrap_or_default(),
        member.peer.clone().unwrap_or_default(),
        member.version.clone(),
    ]
}
