//! What must hold of the cluster in every state (thesis figure 3.2). What must hold of one node is checked where the node
//! takes its step.

use crate::check::Violation;
use crate::explore::model::Model;
use crate::explore::state::State;

/// Checks a state in which the node at place `changed` has just moved, and notes what it has newly committed or won.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(
    model: &Model,
    state: &mut State,
    changed: usize,
    elected: bool,
) -> Result<(), Violation> {
    if elected {
        check_elected(model, state, changed)?;
    }
    check_logs(model, state, changed)?;
    note_committed(model, state, changed)?;
    check_durable(model, state)
}

/// One leader in a term (election safety), and it holds all that was committed before (leader completeness).
fn check_elected(model: &Model, state: &mut State, node: usize) -> Result<(), Violation> {
    let facts = model.facts(state.nodes[node]);
    let id = u8::try_from(node + 1).expect("there are few nodes");
    let leader = &mut state.leaders[usize::from(facts.term) - 1];
    if *leader != 0 && *leader != id {
        let what = format!("n{leader} and n{id} lead term {}", facts.term);
        return Err(Violation::safety("one leader in a term", what));
    }
    *leader = id;
    let committed = model.list(state.committed);
    // Whoever commits, does it with an entry of its own term: a leader of an earlier term than that needs nothing of it.
    let newest = committed.last().map_or(0, |entry| model.entry(*entry).id.term.0);
    if newest <= u64::from(facts.term) && !model.list(facts.log).starts_with(committed) {
        let what = format!("n{id} leads term {} without {}", facts.term, ids(model, committed));
        return Err(Violation::safety("a leader holds all that was committed before", what));
    }
    Ok(())
}

/// Two logs with an entry of the same id are equal up to it (log matching), on disk and in memory.
fn check_logs(model: &Model, state: &State, changed: usize) -> Result<(), Violation> {
    let facts = model.facts(state.nodes[changed]);
    for (place, local) in state.nodes.iter().enumerate() {
        let other = model.facts(*local);
        for (a, b) in [(facts.log, other.log), (facts.disk, other.disk), (facts.log, other.disk)] {
            if a == b || matching(model, model.list(a), model.list(b)) {
                continue;
            }
            let (a, b) = (ids(model, model.list(a)), ids(model, model.list(b)));
            let what = format!("n{} holds {a}, n{} holds {b}", changed + 1, place + 1);
            return Err(Violation::safety("logs with one entry in common are equal up to it", what));
        }
    }
    Ok(())
}

fn matching(model: &Model, a: &[u16], b: &[u16]) -> bool {
    let common = a.iter().zip(b).rposition(|(a, b)| model.entry(*a).id == model.entry(*b).id);
    common.is_none_or(|last| a[..=last] == b[..=last])
}

/// At each index one entry is committed, ever (state machine safety).
fn note_committed(model: &Model, state: &mut State, changed: usize) -> Result<(), Violation> {
    let number = model.facts(state.nodes[changed]).committed;
    if number == state.committed {
        return Ok(());
    }
    let (own, all) = (model.list(number), model.list(state.committed));
    if own.starts_with(all) {
        state.committed = number;
    } else if !all.starts_with(own) {
        let what = format!("n{} committed {}, others {}", changed + 1, ids(model, own), ids(model, all));
        return Err(Violation::safety("one committed entry at an index", what));
    }
    Ok(())
}

/// What was committed is on the disks of a quorum, from then on and for ever.
fn check_durable(model: &Model, state: &State) -> Result<(), Violation> {
    let committed = model.list(state.committed);
    let holds = |local: &&u32| model.list(model.facts(**local).disk).starts_with(committed);
    let copies = state.nodes.iter().filter(holds).count();
    if copies * 2 > state.nodes.len() {
        return Ok(());
    }
    let what = format!("{} is committed and on {copies} disks", ids(model, committed));
    Err(Violation::safety("what is committed is durable on a quorum", what))
}

fn ids(model: &Model, list: &[u16]) -> String {
    let ids: Vec<String> = list.iter().map(|entry| model.entry(*entry).id.to_string()).collect();
    format!("[{}]", ids.join(" "))
}
