//! A path through the states, told step by step.

use quorate_core::message::{Envelope, Message};
use quorate_core::types::EntryId;

use crate::check::Violation;
use crate::explore::action::{Action, Step};
use crate::explore::model::Model;
use crate::explore::state::State;

/// Tells a path from the start on, with the node of each step as it is after it, and which rule the last step breaks.
pub fn tell(model: &mut Model, path: &[Step], violation: &Violation) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut state, mut next) = (model.start(), State::default());
    for (number, step) in path.iter().enumerate() {
        let (what, node) = describe(model, step.action);
        lines.push(format!("{:>3}  {what}", number + 1));
        if model.follow(&state, *step, &mut next).is_err() {
            break;
        }
        std::mem::swap(&mut state, &mut next);
        lines.push(format!("       {}", model.parts().local(state.nodes[node]).line()));
    }
    lines.push(format!("{violation}"));
    lines
}

/// The action in words, and the place of the node that it moves.
fn describe(model: &Model, action: Action) -> (String, usize) {
    match action {
        Action::Deliver(message) => {
            let envelope = model.parts().message(message);
            (format!("arrives: {}", message_line(envelope)), place(envelope))
        }
        Action::Persist(node) => (format!("n{}: its oldest write is durable", node + 1), node),
        Action::Campaign(node) => (format!("n{} stands for election", node + 1), node),
        Action::Propose(node) => (format!("n{}: a client proposes", node + 1), node),
        Action::Heartbeat(node) => (format!("n{} begins a heartbeat round", node + 1), node),
        Action::Silence(node) => (format!("n{} finds itself without a quorum", node + 1), node),
        Action::Crash(node) => (format!("n{} crashes and starts again", node + 1), node),
        Action::CrashInInstall(node) => {
            (format!("n{} crashes in the middle of its install and starts again", node + 1), node)
        }
        Action::Snapshot(node) => (format!("n{} takes a snapshot", node + 1), node),
        Action::Compact(node) => (format!("n{} cuts its log behind its snapshot", node + 1), node),
        Action::Install(node, snapshot) => {
            let meta = &model.parts().snapshot(snapshot).meta;
            (format!("n{} gets a snapshot up to {}, of term {}", node + 1, meta.last, meta.term.0), node)
        }
        Action::Transfer(node, to) => (format!("n{} is asked to hand over to n{}", node + 1, to + 1), node),
        Action::GiveUp(node) => (format!("n{} has waited for its successor long enough", node + 1), node),
        Action::Change(node, wish) => (format!("n{} is asked for {wish}", node + 1), node),
    }
}

fn place(envelope: &Envelope) -> usize {
    usize::try_from(envelope.to.get() - 1).expect("ids are small here")
}

fn message_line(envelope: &Envelope) -> String {
    let Envelope { from, to, term, message } = envelope;
    let what = match message {
        Message::AppendRequest { prev, entries, commit } => {
            let ids: Vec<String> = entries.iter().map(|entry| EntryId::to_string(&entry.id)).collect();
            format!("append [{}] after {prev}, commit {commit}", ids.join(" "))
        }
        Message::VoteRequest { last, .. } => format!("vote for me, last {last}"),
        Message::VoteResponse { granted: true, .. } => "vote granted".into(),
        Message::VoteResponse { granted: false, .. } => "vote refused".into(),
        Message::AppendResponse { matched } => format!("holds all up to {matched}"),
        Message::AppendRejected { prev, hint } => format!("lacks {prev}, perhaps from {hint}"),
        Message::Heartbeat { commit, round, asks_promise: _ } => {
            format!("heartbeat {round}, commit {commit}")
        }
        Message::HeartbeatResponse { round, .. } => format!("heartbeat {round} answered"),
        Message::SnapshotOffer { last } => format!("has a snapshot up to {last}"),
        Message::TimeoutNow { .. } => "lead in my place".into(),
        Message::RepairRequest { wanted, .. } => format!("has lost {} entries", wanted.len()),
        Message::Donation { entries, .. } => format!("refuses, and gives {} entries", entries.len()),
        Message::RepairResponse { entries, .. } => format!("gives {} lost entries back", entries.len()),
        Message::PreVoteRequest { last } => format!("would you vote for me, last {last}"),
        Message::PreVoteResponse { granted } => format!("pre-vote granted: {granted}"),
    };
    format!("{from} -> {to} t{} {what}", term.0)
}
