//! What a node holds in memory for others stays within its budgets in bytes, however fast they ask and however slow its disk and its peers
//! are. Looked at from outside after each turn.

use quorate_core::status::Role;
use quorate_core::types::{NodeId, Term};
use quorate_replica::replica::Replica;

use super::Violation;
use super::by_node::ByNode;
use crate::profile::Limits;
use crate::scene::Scene;

/// What was seen of each node that led.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    /// Of a node that led when it was last seen: its term, and the bytes that were not committed.
    led: ByNode<Option<(Term, usize)>>,
}

/// What a node holds after a turn.
struct Held {
    node: NodeId,
    /// Its term if it leads.
    leads: Option<Term>,
    uncommitted_bytes: usize,
    /// To the peer that has acknowledged least.
    inflight_bytes: usize,
    pending_bytes: usize,
}

/// Looks at a node after its turn.
///
/// # Errors
/// When it holds more than its budgets allow.
pub(crate) fn watch(scene: &mut Scene, replica: &Replica) -> Result<(), Violation> {
    let raft = replica.raft();
    let held = Held {
        node: raft.node(),
        leads: (raft.role() == Role::Leader).then(|| raft.term()),
        uncommitted_bytes: raft.uncommitted_bytes(),
        inflight_bytes: raft.inflight_bytes(),
        pending_bytes: replica.pending_bytes(),
    };
    let limits = &scene.profile.limits;
    scene.checks.budgets.on_turn(&held, limits)?;
    let full = [
        (
            held.leads.is_some() && held.uncommitted_bytes + COMMAND_BYTES > limits.uncommitted_bytes_max,
            "budget full: bytes uncommitted",
        ),
        (held.inflight_bytes >= limits.inflight_bytes_max, "budget full: bytes in flight to a peer"),
        (
            held.pending_bytes + COMMAND_BYTES > limits.pending_bytes_max,
            "budget full: bytes of proposals pending",
        ),
    ];
    for (_, name) in full.into_iter().filter(|(is_full, _)| *is_full) {
        scene.count(name);
    }
    Ok(())
}

impl Budgets {
    fn on_turn(&mut self, held: &Held, limits: &Limits) -> Result<(), Violation> {
        // What a leader took over from those before it is not its own choice, and shrinks with each commit.
        let led = self.led.of(held.node);
        let before = led.filter(|(term, _)| Some(*term) == held.leads);
        *led = held.leads.map(|term| (term, held.uncommitted_bytes));
        let uncommitted_bytes_max =
            before.map(|(_, bytes)| bytes.max(limits.uncommitted_bytes_max) + OWN_BYTES_MAX);
        let message_bytes_max = limits.append_bytes_max.max(OWN_BYTES_MAX);
        let budgets = [
            ("uncommitted", held.uncommitted_bytes, uncommitted_bytes_max),
            ("in flight to a peer", held.inflight_bytes, Some(limits.inflight_bytes_max + message_bytes_max)),
            ("pending", held.pending_bytes, Some(limits.pending_bytes_max)),
        ];
        let over = budgets.into_iter().find(|(_, bytes, most)| most.is_some_and(|most| *bytes > most));
        over.map_or(Ok(()), |(what, bytes, most)| {
            let what = format!("{} holds {bytes} bytes {what}, of at most {most:?}", held.node);
            Err(Violation::safety("what a node holds for others is bounded in bytes", what))
        })
    }
}

/// What a leader adds of its own in one turn, beside proposals: the first entry of its term, a membership; and one proposal more than fits, for
/// one is always taken.
const OWN_BYTES_MAX: usize = 2 << 10;
/// About what a command of a client has: a budget with less room than this is full.
const COMMAND_BYTES: usize = 32;
