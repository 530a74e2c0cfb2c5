//! State machines that do something else with the same entries are noticed, and who is outvoted stops.

use quorate_core::types::{Index, NodeId};
use quorate_replica::divergence::{STATE_MARK_EVERY, StateMark};
use quorate_replica::input::Input;
use quorate_replica::peer_message::PeerMessage;

use crate::solo::{Solo, propose};

fn heard(from: u64, index: u64, hash: u64) -> Input {
    let marks = vec![StateMark { index: Index(index), hash }];
    Input::Received { from: NodeId::new(from), message: PeerMessage::StateMarks { marks } }
}

/// A leader of `voters` that has applied its first two notes' worth of entries, and those notes as it told them to a peer.
fn leader_with_two_marks(voters: u64) -> (Solo, Vec<StateMark>) {
    let mut solo = Solo::leader_of(voters, |_| {});
    for n in 0..2 * STATE_MARK_EVERY {
        solo.turn(vec![propose(n, None, 1, false)]);
        solo.acknowledge_all(voters);
        solo.apply();
    }
    let marks = std::mem::take(&mut solo.sent).into_iter().filter_map(|(to, message)| match message {
        PeerMessage::StateMarks { marks } if to == NodeId::new(2) => Some(marks),
        _ => None,
    });
    let marks: Vec<StateMark> = marks.flatten().collect();
    assert_eq!(marks.iter().map(|mark| mark.index.0).collect::<Vec<_>>(), [64, 128]);
    assert_ne!(marks[0].hash, marks[1].hash);
    (solo, marks)
}

/// Feeds what peers say and compares the verdicts.
fn check(voters: u64, said: &[(u64, u64, bool)], expected: &[(u64, &[u64], bool)]) {
    let (mut solo, marks) = leader_with_two_marks(voters);
    for (from, index, same) in said {
        let own = marks.iter().find(|mark| mark.index.0 == *index).map_or(0, |mark| mark.hash);
        solo.turn(vec![heard(*from, *index, if *same { own } else { own + 1 })]);
    }
    let seen: Vec<(u64, Vec<u64>, bool)> = solo
        .diverged
        .drain(..)
        .map(|(index, from, outvoted)| (index.0, from.into_iter().map(NodeId::get).collect(), outvoted))
        .collect();
    let expected: Vec<(u64, Vec<u64>, bool)> =
        expected.iter().map(|(index, from, outvoted)| (*index, from.to_vec(), *outvoted)).collect();
    assert_eq!(seen, expected, "{voters} voters, {said:?}");
}

#[test]
fn who_agrees_with_all_is_left_alone() {
    check(3, &[(2, 64, true), (3, 64, true), (2, 128, true), (3, 128, true)], &[]);
}

#[test]
fn who_differs_from_a_quorum_that_agrees_is_outvoted() {
    check(3, &[(2, 64, false), (3, 64, false)], &[(64, &[2], false), (64, &[2, 3], true)]);
    check(
        5,
        &[(2, 64, false), (3, 64, true), (4, 64, false), (5, 64, false)],
        &[(64, &[2], false), (64, &[2, 4, 5], true)],
    );
}

/// The verdict is not hidden behind a difference without one that comes in the same message.
#[test]
fn a_verdict_is_told_before_other_differences() {
    let (mut solo, _) = leader_with_two_marks(3);
    solo.turn(vec![heard(2, 128, 1)]);
    solo.diverged.clear();
    let marks = [64, 128].map(|index| StateMark { index: Index(index), hash: 1 }).to_vec();
    solo.turn(vec![Input::Received { from: NodeId::new(3), message: PeerMessage::StateMarks { marks } }]);
    assert_eq!(solo.diverged, [(Index(128), vec![NodeId::new(2), NodeId::new(3)], true)]);
}

#[test]
fn where_no_quorum_agrees_the_difference_is_told_once_for_each_index() {
    check(3, &[(2, 64, false), (2, 64, false), (3, 64, true)], &[(64, &[2], false)]);
    check(2, &[(2, 64, false), (2, 128, false)], &[(64, &[2], false), (128, &[2], false)]);
}

#[test]
fn notes_of_other_indices_and_of_strangers_are_compared_with_nothing() {
    check(3, &[(2, 192, false), (3, 192, false), (9, 64, false), (8, 64, false), (7, 64, false)], &[]);
}

/// Notes of peers that are ahead wait until this node gets there; those far ahead cannot push them out.
#[test]
fn a_node_that_is_behind_is_compared_when_it_gets_there() {
    let (mut solo, _) = leader_with_two_marks(3);
    for peer in [2, 3] {
        solo.turn(vec![heard(peer, 192, 1), heard(peer, 64 * 2_000_000, 1)]);
        solo.turn((10..4_000).map(|n| heard(peer, 64 * n, 1)).collect());
    }
    assert_eq!(solo.diverged, []);
    for n in 0..STATE_MARK_EVERY {
        solo.turn(vec![propose(1_000 + n, None, 1, false)]);
        solo.acknowledge_all(3);
        solo.apply();
    }
    assert_eq!(solo.diverged, [(Index(192), vec![NodeId::new(2), NodeId::new(3)], true)]);
}
