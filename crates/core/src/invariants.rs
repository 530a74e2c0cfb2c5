//! All invariants of the protocol on one page (thesis figure 3.2 and what follows from it for one node).
//!
//! [`check`] and [`check_step`] look at everything and run after every step in tests and in the simulator;
//! `check_watermarks` is the part that costs next to nothing, and runs after every step in production.

use std::sync::Arc;

use crate::entry::{Membership, Payload};
use crate::log::Log;
use crate::progress::{Progress, Sending};
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::{Leader, RoleState};
use crate::types::{EntryId, Index};

/// What can be seen from a handful of numbers.
pub(crate) fn check_watermarks(raft: &Raft) {
    let last = raft.log.last();
    let state_lost = raft.log.damage().is_state_lost();
    assert!(
        state_lost || raft.log.base().index <= raft.snapshot.index,
        "what was compacted is in a snapshot"
    );
    assert!(raft.snapshot.index <= raft.applied, "a snapshot covers only what was applied");
    assert!(raft.applied <= raft.commit, "only what is committed is applied");
    assert!(raft.commit <= last.index, "only what is in the log is committed");
    assert!(raft.log.persisted() <= last.index, "only what is in the log is persisted");
    assert!(last.term <= raft.hard_state.term, "no entry is of a term that this node has not seen");
    match &raft.role {
        RoleState::Leader(_) | RoleState::Candidate(_) => {
            assert!(raft.log.damage().is_none(), "who is damaged neither leads nor stands");
            assert!(raft.hard_state.vote == Some(raft.config.node), "who leads or stands voted for itself");
        }
        RoleState::Follower(_) | RoleState::PreCandidate(_) => {}
    }
}

/// What must hold of one node at any time.
///
/// # Panics
/// If it does not: then the code is wrong, and what the node would do next may lose data.
pub fn check(raft: &Raft) {
    check_watermarks(raft);
    check_log(&raft.log, raft.commit);
    check_memberships(&raft.log);
    for promise in &raft.out.promises {
        assert!(promise.term == raft.hard_state.term, "promises are made in the current term only");
    }
    assert!(
        raft.promised.leader.term <= raft.hard_state.term,
        "nobody promises anything to a leader of a later term"
    );
    assert!(raft.election_due_ticks >= raft.config.election_timeout_ticks, "no election timer is too short");
    match &raft.role {
        RoleState::Leader(leader) => check_leader(raft, leader),
        RoleState::Follower(follower) => {
            assert!(follower.leader != Some(raft.config.node), "nobody follows itself");
        }
        RoleState::PreCandidate(_) | RoleState::Candidate(_) => {}
    }
}

fn check_log(log: &Log, commit: Index) {
    let starts = log.term_starts();
    assert!(
        starts.windows(2).all(|pair| pair[0].term < pair[1].term && pair[0].index < pair[1].index),
        "runs of terms rise strictly"
    );
    let mut expected = log.window_first();
    let mut timestamp_ms = 0;
    let mut bytes = 0;
    let mut uncommitted_bytes = 0;
    for entry in log.window() {
        assert!(entry.id.index == expected, "entries in the window are consecutive");
        assert!(
            log.term_at(entry.id.index) == Some(entry.id.term),
            "runs of terms tell the term of each entry"
        );
        assert!(entry.timestamp_ms >= timestamp_ms, "timestamps never fall along the log");
        // A snapshot that reaches into the log brings the membership at its end; those before it are of no use.
        if let Payload::Membership(membership) = &entry.payload
            && log.memberships().first().is_none_or(|(first, _)| entry.id.index >= *first)
        {
            let noted = log.memberships().iter().find(|(index, _)| *index == entry.id.index);
            assert!(noted.is_some_and(|(_, known)| known == membership), "every membership entry is noted");
        }
        timestamp_ms = entry.timestamp_ms;
        bytes += entry.window_bytes();
        if entry.id.index > commit {
            uncommitted_bytes += entry.window_bytes();
        }
        expected = expected.next();
    }
    assert!(expected == log.last().index.next(), "the window ends with the log");
    assert!(bytes == log.window_bytes(), "the bytes of the window are counted");
    assert!(uncommitted_bytes == log.uncommitted_bytes(), "the uncommitted bytes are counted");
    assert!(log.term_at(log.last().index) == Some(log.last().term), "the last entry is the last");
    assert!(log.unwritten() <= log.last().index.next(), "what is not written is in the log");
    assert!(log.persisted() < log.unwritten(), "only what was written is persisted");
    let writes = log.writes();
    assert!(
        writes.iter().zip(writes.iter().skip(1)).all(|(a, b)| a.number < b.number && a.through <= b.through),
        "writes under way reach further one by one"
    );
    assert!(
        writes.iter().all(|write| write.through < log.unwritten()),
        "a write carries what was handed out"
    );
}

/// Each membership is sound, and follows from the one before it (thesis 4.3).
fn check_memberships(log: &Log) {
    let memberships = log.memberships();
    assert!(memberships.iter().all(|(_, membership)| membership.is_sound()), "memberships are sound");
    // A damaged entry may be the membership between two others.
    let follow = |pair: &&[(Index, Arc<Membership>)]| !log.damage().has_hole_between(pair[0].0, pair[1].0);
    for pair in memberships.windows(2).filter(follow) {
        let (before, after) = (&pair[0].1, &pair[1].1);
        let enters = after.is_joint() && after.voters_outgoing == before.voters && !before.is_joint();
        let leaves = before.is_joint() && !after.is_joint() && after.voters == before.voters;
        let keeps = !before.is_joint() && !after.is_joint() && after.voters == before.voters;
        assert!(enters || leaves || keeps, "voters change through a joint membership only");
        assert!(after.id_last() >= before.id_last(), "ids are given once");
    }
}

fn check_leader(raft: &Raft, leader: &Leader) {
    let uncommitted = raft.log.memberships().iter().filter(|(index, _)| *index > raft.commit).count();
    let begun = raft.log.memberships().last().is_some_and(|(index, _)| *index >= leader.term_first);
    assert!(!begun || uncommitted <= 1, "a leader begins a change only when the one before it is committed");
    let last = raft.log.last();
    assert!(last.term == raft.hard_state.term, "a leader's last entry is its own: the no-op or a later one");
    if leader.term_first > raft.log.base().index {
        assert!(
            raft.log.term_at(leader.term_first) == Some(raft.hard_state.term),
            "the term began with an own entry"
        );
    }
    assert!(!leader.peers.contains_key(&raft.config.node), "a leader is no peer of itself");
    assert!(leader.reads.len() <= raft.config.reads_len_max, "the number of waiting reads is bounded");
    assert!(raft.successor() != Some(raft.config.node), "nobody hands over to itself");
    let members = raft.membership().members();
    let departing = &leader.changing.departing;
    assert!(
        members.iter().all(|node| *node == raft.config.node || leader.peers.contains_key(node)),
        "a leader knows all members"
    );
    assert!(
        leader.peers.keys().all(|node| members.contains(node) != departing.contains_key(node)),
        "a leader knows nobody but members and those who are going"
    );
    let noted = leader.lease.rounds();
    assert!(
        noted.iter().zip(noted.iter().skip(1)).all(|(a, b)| a.0 < b.0 && a.1 < b.1),
        "noted rounds rise with the clock"
    );
    assert!(noted.back().is_none_or(|(round, _)| *round <= leader.round), "only rounds that began are noted");
    let rounds = leader.reads.rounds();
    assert!(rounds.iter().all(|read| read.round <= leader.round), "reads wait for rounds that began");
    assert!(
        rounds.iter().all(|read| read.index >= leader.term_first),
        "no read is served before the own no-op"
    );
    for progress in leader.peers.values() {
        check_progress(raft, progress);
        assert!(progress.confirmed_round <= leader.round, "only rounds that began are answered");
    }
}

fn check_progress(raft: &Raft, progress: &Progress) {
    let last = raft.log.last().index;
    assert!(progress.matched() <= last, "no peer holds more of this log than the leader");
    assert!(progress.next() > progress.matched(), "what a peer holds is never sent again");
    assert!(progress.next() <= last.next(), "nothing is sent that is not there");
    match &progress.sending {
        Sending::Probe { .. } => {}
        Sending::Snapshot { .. } => {
            assert!(
                progress.next() <= raft.log.base().index,
                "a snapshot is for whom lacks what is compacted"
            );
        }
        Sending::Replicate { inflight, inflight_bytes } => {
            let mut before = progress.matched();
            for (index, _) in inflight {
                assert!(*index > before, "unanswered messages reach further one by one");
                before = *index;
            }
            assert!(before < progress.next(), "what is in flight was sent");
            assert!(inflight.len() <= raft.config.inflight_appends_max, "the window in flight is bounded");
            let bytes: usize = inflight.iter().map(|(_, bytes)| bytes).sum();
            assert!(bytes == *inflight_bytes, "the bytes in flight are counted");
        }
    }
}

/// What must hold between a node before and after one step (or one `ready`).
///
/// # Panics
/// If it does not.
pub fn check_step(before: &Raft, after: &Raft) {
    let (old, new) = (before.hard_state, after.hard_state);
    assert!(new.term >= old.term, "the term never falls");
    if new.term == old.term && old.vote.is_some() {
        assert!(new.vote == old.vote, "a vote within a term never changes");
    }
    if new != old {
        assert!(after.hard_state_is_new, "a change of term or vote waits for its write");
    }
    assert!(after.commit >= before.commit, "the commit index never falls");
    assert!(after.applied >= before.applied, "the applied index never falls");
    assert!(after.promised.clock_us >= before.promised.clock_us, "the monotonic clock never falls");
    assert!(after.promised.leader.until_us >= before.promised.leader.until_us, "no promise is taken back");
    assert!(
        after.promised.held_until_us >= before.promised.held_until_us,
        "no promise of an earlier life is taken back"
    );
    assert!(after.write_number >= before.write_number, "numbers of writes only rise");
    assert!(after.log.base().index >= before.log.base().index, "what was compacted does not come back");
    let kept = |start: &&EntryId| start.index <= before.commit && start.index > after.log.base().index;
    for start in before.log.term_starts().iter().filter(kept) {
        assert!(after.log.term_at(start.index) == Some(start.term), "what is committed never changes");
    }
    if before.commit >= after.log.base().index {
        assert!(
            after.log.term_at(before.commit) == before.log.term_at(before.commit),
            "what is committed never changes"
        );
    }
    let last = after.log.last();
    assert!(
        last.index >= before.log.last().index || before.log.term_at(last.index) != Some(last.term),
        "a log is cut only where an entry of another term takes the place"
    );
    if let (RoleState::Leader(leader), RoleState::Leader(later)) = (&before.role, &after.role) {
        assert!(new.term == old.term, "a leader leads one term");
        assert!(
            after.log.term_at(before.log.last().index) == Some(before.log.last().term),
            "a leader only appends to its log"
        );
        for (node, progress) in &leader.peers {
            let matched = later.peers.get(node).map(Progress::matched);
            let is_gone = matched.is_none() && !after.membership().members().contains(node);
            assert!(
                is_gone || matched >= Some(progress.matched()),
                "what a peer holds is never unlearned within a term"
            );
        }
    }
    check_transition(before, after);
}

/// Who may become what, and what a leader may commit.
fn check_transition(before: &Raft, after: &Raft) {
    match (&before.role, &after.role) {
        (RoleState::Leader(_), RoleState::PreCandidate(_) | RoleState::Candidate(_)) => {
            panic!("a leader steps down before it stands for election");
        }
        (RoleState::Follower(_) | RoleState::PreCandidate(_), RoleState::Leader(_)) => {
            panic!("only a candidate becomes leader");
        }
        (RoleState::Candidate(_), RoleState::Leader(_)) => {
            assert!(
                after.hard_state == before.hard_state,
                "an election is won in the term that it was held in"
            );
            assert!(!before.hard_state_is_new, "an election is won only once the own vote is durable");
        }
        (RoleState::Leader(_), RoleState::Leader(_) | RoleState::Follower(_))
        | (
            RoleState::Follower(_),
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_),
        )
        | (
            RoleState::PreCandidate(_),
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_),
        )
        | (
            RoleState::Candidate(_),
            RoleState::Follower(_) | RoleState::PreCandidate(_) | RoleState::Candidate(_),
        ) => {}
    }
    if matches!(after.role, RoleState::Leader(_)) && after.commit > before.commit {
        let is_told =
            |fact: &Fact| matches!(fact, Fact::CommittedElsewhere { last, .. } if last.index == after.commit);
        assert!(
            after.log.term_at(after.commit) == Some(after.hard_state.term)
                || after.out.facts.iter().any(is_told),
            "a leader commits by counting only what is of its own term"
        );
    }
}
