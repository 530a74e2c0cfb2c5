//! Who decides, counted anew from the entries of a log and not asked of the node, and what a leader may change when (thesis
//! chapter 4). What a quorum is, the simulator's checks say.

use std::sync::Arc;

use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{Index, Term};

/// The newest membership of a log with its index: it is in force, committed or not.
pub(super) fn newest(log: &[Entry]) -> Option<(Index, &Arc<Membership>)> {
    log.iter().rev().find_map(|entry| match &entry.payload {
        Payload::Membership(membership) => Some((entry.id.index, membership)),
        Payload::Noop | Payload::Command(_) => None,
    })
}

/// A leader of `term` that has committed up to `commit` has made what stands behind the first `len` entries of its log.
///
/// # Panics
/// If it changed members too early.
pub(super) fn check_made(log: &[Entry], len: usize, commit: Index, term: Term) {
    for (place, entry) in log.iter().enumerate().skip(len) {
        let Payload::Membership(membership) = &entry.payload else { continue };
        let (known, before) = newest(&log[..place]).expect("a leader is a member");
        assert!(known <= commit, "one change of members at a time");
        let newest_committed = log[..place].iter().rfind(|entry| entry.id.index <= commit);
        assert!(
            newest_committed.is_some_and(|newest| newest.id.term == term),
            "no change of members before an entry of the own term is committed"
        );
        let reused =
            membership.members().difference(&before.members()).any(|node| node.get() <= before.id_last());
        assert!(!reused, "an id is given once");
    }
}
