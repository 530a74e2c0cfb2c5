//! What a node tells of itself, as it is counted: over many runs each of these must have come (`hits.rs`).

use quorate_core::ready::Fact;
use quorate_replica::cluster::{ClusterDone, ClusterError, ClusterRefusal};

use crate::scene::Scene;

/// Counts what must happen at least once in many runs.
pub(crate) fn count_fact(scene: &mut Scene, fact: &Fact) {
    if matches!(fact, Fact::Adopted { .. }) {
        scene.count("candidate given what it lacked");
    }
    if let Fact::SteppedDown { reason, .. } = fact
        && let Some((_, name)) = GAVE_WAY.iter().find(|(why, _)| why == reason)
    {
        scene.count(name);
    }
    if matches!(fact, Fact::Damaged { .. }) {
        scene.count("damage: entries lost");
    } else if matches!(fact, Fact::StateLost { .. }) {
        scene.count("damage: state lost");
    } else if matches!(fact, Fact::CommittedElsewhere { .. }) {
        scene.count("damage: commit told by who lost its state");
    } else if matches!(fact, Fact::Repaired { .. }) {
        scene.count("damage: entries came back from a peer");
    } else if matches!(fact, Fact::Whole) {
        scene.count("damage: node whole again");
    } else if matches!(fact, Fact::LeaseGivenUp) {
        scene.count("lease: given up for a transfer");
    } else if let Fact::VoteWithheld { after_start, .. } = fact {
        scene.count(if *after_start { "lease: vote withheld after a start" } else { "lease: vote withheld" });
    } else if matches!(fact, Fact::Members { members, .. } if members.is_joint()) {
        scene.count("members: joint");
    } else if *fact == Fact::Paused {
        scene.count("disk full: node paused");
    } else if *fact == Fact::Resumed {
        scene.count("disk full: node resumed");
    } else if matches!(fact, Fact::SteppedDown { reason, .. } if *reason == "its disk is full") {
        scene.count("disk full: leader stepped down");
    } else if matches!(fact, Fact::SteppedDown { reason, .. } if reason.starts_with("it was removed")) {
        scene.count("members: leader removed");
    } else if let Fact::Clock { is_off, .. } = fact {
        scene.count(if *is_off { "clock: found to be off" } else { "clock: fits again" });
    }
}

/// What an operator was told, as it is counted.
pub(crate) fn describe_answer(result: &Result<ClusterDone, ClusterError>) -> &'static str {
    match result {
        Ok(ClusterDone::Leads(_)) => "transfer: another leads",
        Ok(ClusterDone::Members { .. }) => "members: changed",
        Err(ClusterError::Refused(ClusterRefusal::Change(_) | ClusterRefusal::LevelTooLow { .. })) => {
            "members: refused"
        }
        Err(ClusterError::Refused(ClusterRefusal::NotTakenOver { .. })) => "transfer: given up",
        Err(ClusterError::Refused(
            ClusterRefusal::NotVoter(_)
            | ClusterRefusal::TransferUnderWay { .. }
            | ClusterRefusal::NobodyElse,
        )) => "transfer: refused",
        Err(
            ClusterError::NoLeader { .. }
            | ClusterError::Overloaded
            | ClusterError::TimedOut
            | ClusterError::Stopped { .. },
        ) => "operator: not answered by a leader",
    }
}

/// Why a leader gave way of its own accord, and the name under which that is counted.
const GAVE_WAY: [(&str, &str); 4] = [
    ("the own disk is slower than the others'", "gave way: slow disk"),
    ("the own disk has not answered for four election timeouts", "gave way: silent disk"),
    ("entries do not arrive although heartbeats do", "gave way: lost entries"),
    ("a node of higher priority is fit to lead", "gave way: lower priority"),
];
