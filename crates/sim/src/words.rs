//! What travels and what is asked, in the few words that a line of a trace has room for. Commands are named by their entries: the
//! bytes of their bodies tell nobody anything.

use quorate_core::entry::{Entry, HardState};
use quorate_core::ready::Write;
use quorate_replica::peer_message::{ForwardAnswer, PeerMessage};

use crate::golden::wire;

/// The kind of a message and what it says.
pub fn message(message: &PeerMessage) -> (&'static str, String) {
    match message {
        PeerMessage::Raft(envelope) => {
            let what = wire::details(&envelope.message, ids);
            (wire::kind(&envelope.message), format!("{} {what}", envelope.term))
        }
        PeerMessage::Forward { proposals } => ("forward", format!("{} proposals", proposals.len())),
        PeerMessage::ForwardReply { answers } => (
            "forward-reply",
            answers.iter().map(|(_, answer)| outcome(answer)).collect::<Vec<_>>().join(", "),
        ),
        PeerMessage::ForwardRead { ticket } => ("read", format!("question {}", ticket.0 % TICKETS_TOLD)),
        PeerMessage::ForwardReadReply { ticket, index } => {
            let answer =
                index.map_or_else(|| "does not lead".into(), |index| format!("apply ..{index} first"));
            ("read-reply", format!("question {} {answer}", ticket.0 % TICKETS_TOLD))
        }
        PeerMessage::StatusRequest { .. } => ("status", String::new()),
        PeerMessage::StatusReply { .. } => ("status-reply", String::new()),
        PeerMessage::ClusterRequest { request, .. } => ("cluster", format!("{request:?}")),
        PeerMessage::ClusterReply { result, .. } => ("cluster-reply", format!("{result:?}")),
        PeerMessage::SnapshotAsk { last, piece } => ("snapshot-ask", format!("up to {last}, piece {piece}")),
        PeerMessage::SnapshotPiece { name, piece, bytes } => {
            ("snapshot-piece", format!("up to {}, piece {piece}, {} bytes", name.last, bytes.len()))
        }
        PeerMessage::SnapshotGone { last } => ("snapshot-gone", format!("up to {last}")),
        PeerMessage::SnapshotFetching { last } => ("snapshot-fetching", format!("up to {last}")),
        PeerMessage::Introduction { members } => ("introduction", format!("{} members", members.len())),
        PeerMessage::StateMarks { marks } => ("state-marks", format!("{} marks", marks.len())),
    }
}

fn outcome(answer: &ForwardAnswer) -> String {
    match answer {
        ForwardAnswer::Answered(answered) => match &answered.outcome {
            Ok(_) => "answered".into(),
            Err(error) => format!("refused: {error}"),
        },
        ForwardAnswer::NotLeader { leader: Some(leader) } => format!("not the leader, ask {leader}"),
        ForwardAnswer::NotLeader { leader: None } => "not the leader".into(),
        ForwardAnswer::Overloaded => "overloaded".into(),
        ForwardAnswer::LeadershipLost => "leadership lost, outcome unknown".into(),
    }
}

/// A write that the core asks for.
pub fn write(write: &Write) -> String {
    let state = write.hard_state.map_or_else(String::new, |state| format!(" hard {}", hard_state(state)));
    let install = write
        .install
        .as_ref()
        .map_or_else(String::new, |meta| format!(" behind the snapshot up to {},", meta.last));
    format!("write {:?}{install} [{}]{state}", write.number, ids(&write.entries))
}

/// Term and vote.
pub fn hard_state(state: HardState) -> String {
    let vote = state.vote.map_or_else(|| "no vote".into(), |vote| format!("vote {vote}"));
    format!("{} {vote}", state.term)
}

/// The ids of entries, the first and the last.
pub fn ids(entries: &[Entry]) -> String {
    match entries {
        [] => String::new(),
        [one] => one.id.to_string(),
        [first, .., last] => format!("{}..{}", first.id, last.id),
    }
}

/// How much of a ticket is told: enough to find the answer to a question.
const TICKETS_TOLD: u64 = 10_000;
