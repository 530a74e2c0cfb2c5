//! Who decides, as pure functions over a membership: a majority of the voters, and while a change is under way a majority
//! of each of the two voter sets (joint consensus, thesis 4.3). Learners never count.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::entry::Membership;
use crate::planted::{self, Bug};
use crate::types::{Index, NodeId};

/// How a poll stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PollResult {
    /// A quorum said yes.
    Won,
    /// No quorum can say yes any more.
    Lost,
    /// Answers are missing.
    Pending,
}

/// Whether the nodes for which `holds` are a quorum.
pub fn has_quorum(membership: &Membership, holds: impl Fn(NodeId) -> bool) -> bool {
    let majority = |voters: &BTreeSet<NodeId>| {
        let voters = &*counted(membership, voters);
        let yes = voters.iter().filter(|voter| holds(**voter)).count();
        yes > voters.len() / 2
    };
    majority(&membership.voters)
        && (is_decided_by_one_set(membership) || majority(&membership.voters_outgoing))
}

/// How a poll stands in which `answer` gives what each node said so far.
pub fn poll_result(membership: &Membership, answer: impl Fn(NodeId) -> Option<bool>) -> PollResult {
    if has_quorum(membership, |node| answer(node) == Some(true)) {
        PollResult::Won
    } else if has_quorum(membership, |node| answer(node) != Some(false)) {
        PollResult::Pending
    } else {
        PollResult::Lost
    }
}

/// The highest index that a quorum holds, where `matched` gives the last index that each node holds; 0 without voters.
///
/// Free of allocation, and asks for each node once: it runs for every acknowledgement. Of more voters than any cluster has in practice it
/// asks again and again.
pub fn commit_index(membership: &Membership, matched: impl Fn(NodeId) -> Index) -> Index {
    let of_majority = |voters: &BTreeSet<NodeId>| {
        let voters = &*counted(membership, voters);
        let mut held = [Index(0); VOTERS_AT_ONCE];
        if let Some(held) = held.get_mut(..voters.len()) {
            for (held, voter) in held.iter_mut().zip(voters) {
                *held = matched(*voter);
            }
            held.sort_unstable();
            // A majority holds this one or more: all from here to the end.
            return held.len().checked_sub(voters.len() / 2 + 1).map_or(Index(0), |place| held[place]);
        }
        let held_by_majority = |index: &Index| {
            voters.iter().filter(|voter| matched(**voter) >= *index).count() > voters.len() / 2
        };
        voters.iter().map(|voter| matched(*voter)).filter(held_by_majority).max().unwrap_or_default()
    };
    let incoming = of_majority(&membership.voters);
    if is_decided_by_one_set(membership) {
        incoming
    } else {
        incoming.min(of_majority(&membership.voters_outgoing))
    }
}

/// Whether no second set of voters has to agree.
fn is_decided_by_one_set(membership: &Membership) -> bool {
    membership.voters_outgoing.is_empty() || planted::is(Bug::OldVotersNotAsked)
}

/// Those who count where these are the voters: nobody else.
fn counted<'a>(membership: &Membership, voters: &'a BTreeSet<NodeId>) -> Cow<'a, BTreeSet<NodeId>> {
    if planted::is(Bug::LearnerCounted) {
        Cow::Owned(voters.union(&membership.learners).copied().collect())
    } else {
        Cow::Borrowed(voters)
    }
}

/// Up to how many voters are sorted where the count stands.
const VOTERS_AT_ONCE: usize = 16;
