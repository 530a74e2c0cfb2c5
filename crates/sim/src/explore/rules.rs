//! What must hold of the cluster in every state (thesis figure 3.2). What must hold of one node is checked where the node
//! takes its step.

use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::check::members::is_quorum;
use crate::explore::model::Model;
use crate::explore::state::State;

/// Who has just moved, and what came of it.
#[derive(Copy, Clone)]
pub(super) struct Moved {
    /// The place of the node.
    pub node: usize,
    /// Its state before.
    pub from: u32,
    /// Whether it became leader.
    pub elected: bool,
    /// The members by whom it decided, if it leads and committed something.
    pub decided: Option<u16>,
}

/// Checks a state in which a node has just moved, and notes what it has newly committed or won.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(model: &Model, state: &mut State, moved: Moved) -> Result<(), Violation> {
    if moved.elected {
        check_elected(model, state, moved.node)?;
    }
    check_logs(model, state, moved.node)?;
    check_kept(model, state, moved)?;
    note_committed(model, state, moved.node)?;
    check_durable(model, state, moved)
}

/// A snapshot holds what was committed, in its order: by log matching equal states at equal indices.
pub(super) fn check_snapshot(
    model: &Model,
    state: &State,
    node: usize,
    covered: u16,
) -> Result<(), Violation> {
    let (own, all) = (model.parts().list(covered), model.parts().list(state.committed));
    if all.starts_with(own) {
        return Ok(());
    }
    let what = format!("n{} covers {}, {} is committed", node + 1, ids(model, own), ids(model, all));
    Err(Violation::safety("a snapshot covers only what is committed", what))
}

/// One leader in a term (election safety), and it holds all that was committed before (leader completeness).
fn check_elected(model: &Model, state: &mut State, node: usize) -> Result<(), Violation> {
    let facts = model.parts().facts(state.nodes[node]);
    let id = u8::try_from(node + 1).expect("there are few nodes");
    let leader = &mut state.leaders[usize::from(facts.term) - 1];
    if *leader != 0 && *leader != id {
        let what = format!("n{leader} and n{id} lead term {}", facts.term);
        return Err(Violation::safety("one leader in a term", what));
    }
    *leader = id;
    if model.members_change() {
        check_voters(model, state, node)?;
    }
    let committed = model.parts().list(state.committed);
    // Whoever commits, does it with an entry of its own term: a leader of an earlier term than that needs nothing of it.
    let newest = committed.last().map_or(0, |entry| model.parts().entry(*entry).id.term.0);
    if newest <= u64::from(facts.term) && !model.parts().list(facts.log).starts_with(committed) {
        let what = format!("n{id} leads term {} without {}", facts.term, ids(model, committed));
        return Err(Violation::safety("a leader holds all that was committed before", what));
    }
    Ok(())
}

/// A leader is elected by a quorum of the members that are in force in its log, and by nobody else. Whoever is in a later term by now may
/// have voted as well.
fn check_voters(model: &Model, state: &State, node: usize) -> Result<(), Violation> {
    let facts = model.parts().facts(state.nodes[node]);
    let own = u8::try_from(node + 1).expect("there are few nodes");
    let voted = |voter: NodeId| {
        let (term, vote) = model.parts().facts(state.nodes[place(voter)]).disk_vote;
        term > facts.term || (term == facts.term && vote == Some(own))
    };
    let members = model.parts().members(facts.members);
    if is_quorum(members, voted) {
        return Ok(());
    }
    let what = format!("n{own} leads term {} without the votes of a quorum of {members:?}", facts.term);
    Err(Violation::safety("a leader is elected by a quorum of the members in force", what))
}

/// Two logs with an entry of the same id are equal up to it (log matching), on disk and in memory.
fn check_logs(model: &Model, state: &State, changed: usize) -> Result<(), Violation> {
    let facts = model.parts().facts(state.nodes[changed]);
    for (place, local) in state.nodes.iter().enumerate() {
        let other = model.parts().facts(*local);
        for (a, b) in [(facts.log, other.log), (facts.disk, other.disk), (facts.log, other.disk)] {
            if a == b || matching(model, model.parts().list(a), model.parts().list(b)) {
                continue;
            }
            let (a, b) = (ids(model, model.parts().list(a)), ids(model, model.parts().list(b)));
            let what = format!("n{} holds {a}, n{} holds {b}", changed + 1, place + 1);
            return Err(Violation::safety("logs with one entry in common are equal up to it", what));
        }
    }
    Ok(())
}

fn matching(model: &Model, a: &[u16], b: &[u16]) -> bool {
    let common = a.iter().zip(b).rposition(|(a, b)| model.parts().entry(*a).id == model.parts().entry(*b).id);
    common.is_none_or(|last| a[..=last] == b[..=last])
}

/// What is committed and on a disk stays there.
fn check_kept(model: &Model, state: &State, moved: Moved) -> Result<(), Violation> {
    let (before, after) =
        (model.parts().facts(moved.from).disk, model.parts().facts(state.nodes[moved.node]).disk);
    if before == after {
        return Ok(());
    }
    let committed = model.parts().list(state.committed);
    let held = |disk: u16| model.parts().list(disk).iter().zip(committed).take_while(|(a, b)| a == b).count();
    if held(after) >= held(before) {
        return Ok(());
    }
    let what = format!("n{} held {} of {}", moved.node + 1, held(before), ids(model, committed));
    Err(Violation::safety("what is committed is never lost from a disk", what))
}

/// At each index one entry is committed, ever (state machine safety).
fn note_committed(model: &Model, state: &mut State, changed: usize) -> Result<(), Violation> {
    let number = model.parts().facts(state.nodes[changed]).committed;
    if number == state.committed {
        return Ok(());
    }
    let (own, all) = (model.parts().list(number), model.parts().list(state.committed));
    if own.starts_with(all) {
        state.committed = number;
    } else if !all.starts_with(own) {
        let what = format!("n{} committed {}, others {}", changed + 1, ids(model, own), ids(model, all));
        return Err(Violation::safety("one committed entry at an index", what));
    }
    Ok(())
}

/// What was committed is on the disks of a quorum, from then on and for ever. Where the members change, of those who were in force at the
/// leader when it decided: from then on it is leader completeness that keeps it.
fn check_durable(model: &Model, state: &State, moved: Moved) -> Result<(), Violation> {
    let committed = model.parts().list(state.committed);
    let holds =
        |local: u32, list: &[u16]| model.parts().list(model.parts().facts(local).disk).starts_with(list);
    if !model.members_change() {
        let copies = state.nodes.iter().filter(|local| holds(**local, committed)).count();
        if copies * 2 > state.nodes.len() {
            return Ok(());
        }
        let what = format!("{} is committed and on {copies} disks", ids(model, committed));
        return Err(Violation::safety("what is committed is durable on a quorum", what));
    }
    let Some(decided) = moved.decided else { return Ok(()) };
    let own = model.parts().list(model.parts().facts(state.nodes[moved.node]).committed);
    let members = model.parts().members(decided);
    if is_quorum(members, |voter| holds(state.nodes[place(voter)], own)) {
        return Ok(());
    }
    let what = format!("n{} committed {} without a quorum of {members:?}", moved.node + 1, ids(model, own));
    Err(Violation::safety("what is committed is durable on a quorum of the members in force", what))
}

fn place(node: NodeId) -> usize {
    usize::try_from(node.get() - 1).expect("ids are small here")
}

fn ids(model: &Model, list: &[u16]) -> String {
    let ids: Vec<String> = list.iter().map(|entry| model.parts().entry(*entry).id.to_string()).collect();
    format!("[{}]", ids.join(" "))
}
