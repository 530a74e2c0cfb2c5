//! Who decides: all memberships of up to five voters beside up to five outgoing ones, with every overlap and every answer,
//! against definitions that were written in another way. A learner that always agrees is part of each and must not count.

use quorate_core::entry::Membership;
use quorate_core::quorum::{PollResult, commit_index, has_quorum, poll_result};
use quorate_core::types::{Index, NodeId};

/// Runs `check` for every membership, with the places of its voters and of its outgoing voters. By symmetry only the sizes
/// and the overlap matter: voters stand at 0..incoming, outgoing ones from `incoming - overlap` on.
fn for_each_membership(check: impl Fn(&Membership, &[usize], &[usize], usize)) {
    for incoming in 1..=5 {
        for outgoing in 0..=5 {
            for overlap in 0..=incoming.min(outgoing) {
                let voters: Vec<usize> = (0..incoming).collect();
                let leaving: Vec<usize> = (incoming - overlap..incoming - overlap + outgoing).collect();
                let count = incoming + outgoing - overlap;
                let membership = Membership {
                    voters: voters.iter().map(|place| node(*place)).collect(),
                    voters_outgoing: leaving.iter().map(|place| node(*place)).collect(),
                    learners: [node(count)].into(),
                    ..Membership::default()
                };
                check(&membership, &voters, &leaving, count);
            }
        }
    }
}

/// Runs `check` for all ways to give each of `count` places one of three values.
fn for_each_answer(count: usize, mut check: impl FnMut(&[usize])) {
    let mut answer = vec![0; count];
    loop {
        check(&answer);
        let Some(place) = answer.iter().position(|value| *value < 2) else { return };
        answer[..place].fill(0);
        answer[place] += 1;
    }
}

#[test]
fn a_quorum_is_a_majority_of_each_set_and_two_quorums_share_a_voter() {
    for_each_membership(|membership, voters, leaving, count| {
        for agreeing in 0..1_usize << count {
            let agrees = |place: usize| agreeing >> place & 1 == 1;
            let quorum = has_quorum(membership, |node| place(node) >= count || agrees(place(node)));
            let more_yes_than_no = |set: &[usize]| {
                let balance: i32 = set.iter().map(|place| if agrees(*place) { 1 } else { -1 }).sum();
                set.is_empty() || balance > 0
            };
            assert_eq!(
                quorum,
                more_yes_than_no(voters) && more_yes_than_no(leaving),
                "{membership:?} {agreeing:b}"
            );
            let rest = has_quorum(membership, |node| place(node) < count && !agrees(place(node)));
            assert!(!(quorum && rest), "a set and what is left of it are never both a quorum");
        }
    });
}

/// A poll is won when it cannot be lost any more whatever the rest says, and lost when it cannot be won.
#[test]
fn a_poll_is_decided_when_no_further_answer_can_change_it() {
    for_each_membership(|membership, _, _, count| {
        for_each_answer(count, |answers| {
            let said = |node| {
                answers.get(place(node)).map_or(Some(true), |value| [None, Some(true), Some(false)][*value])
            };
            let wins =
                |rest: bool| has_quorum(membership, |node| place(node) < count && said(node).unwrap_or(rest));
            let expected = match (wins(false), wins(true)) {
                (true, _) => PollResult::Won,
                (false, true) => PollResult::Pending,
                (false, false) => PollResult::Lost,
            };
            assert_eq!(poll_result(membership, said), expected, "{membership:?} {answers:?}");
        });
    });
}

#[test]
fn the_commit_index_is_the_highest_that_a_majority_of_each_set_holds() {
    for_each_membership(|membership, voters, leaving, count| {
        for_each_answer(count, |answers| {
            let middle = |set: &[usize]| {
                let mut held: Vec<usize> = set.iter().map(|place| answers[*place]).collect();
                held.sort_unstable();
                held.get((set.len().max(1) - 1) / 2).copied()
            };
            let expected = middle(voters).expect("there are voters").min(middle(leaving).unwrap_or(9));
            let held = |node| Index(answers.get(place(node)).map_or(9, |index| *index as u64));
            assert_eq!(commit_index(membership, held), Index(expected as u64), "{membership:?} {answers:?}");
        });
    });
}

/// No voters, no decision: a membership that is empty by mistake must not let anybody win.
#[test]
fn nobody_decides_without_voters() {
    let empty = Membership { learners: [node(0)].into(), ..Membership::default() };
    assert!(!has_quorum(&empty, |_| true));
    assert_eq!(poll_result(&empty, |_| Some(true)), PollResult::Lost);
    assert_eq!(commit_index(&empty, |_| Index(9)), Index(0));
}

fn node(place: usize) -> NodeId {
    NodeId::new(place as u64 + 1)
}

fn place(node: NodeId) -> usize {
    usize::try_from(node.get() - 1).expect("small")
}
