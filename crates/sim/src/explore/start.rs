//! Where a search begins. Some rules need five nodes and several terms before they matter: from an empty cluster that is too far
//! away, so a search may begin at the end of a story. The story is played by the real nodes, under all rules.

use quorate_core::status::Role;

use crate::explore::action::{Action, Step};
use crate::explore::model::Model;
use crate::explore::state::{Budgets, State};

/// Where a search begins.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// Nobody was ever elected.
    Empty,
    /// n1 leads term 1. Its first entry is on the disks of all voters, and all know that it is committed.
    Led,
    /// Five nodes as in figure 8 of the paper on Raft (3.7 of the thesis), at its part c: n1 led term 1, and its entry came to n2. n5
    /// led term 2 with the votes of n3 and n4, and its entry came to nobody. n1 crashed and now leads term 3. If it
    /// brings its entry of term 1 to n3, that entry is on a majority, and n5 may still win and replace it.
    ///
    /// Nothing is in flight: all that was not delivered is lost.
    Figure8,
}

/// A scene of a story. Nodes are given by their ids.
#[derive(Copy, Clone)]
enum Scene {
    Campaign(usize),
    /// All its writes become durable.
    Persist(usize),
    Crash(usize),
    /// All that is on the way from the first to the second arrives.
    Arrive(usize, usize),
}

const FIGURE_8: &[Scene] = &{
    use Scene::{Arrive, Campaign, Crash, Persist};
    [
        // n1 wins term 1, and its first entry comes to n2.
        Campaign(1),
        Persist(1),
        Arrive(1, 2),
        Arrive(1, 3),
        Persist(2),
        Persist(3),
        Arrive(2, 1),
        Arrive(3, 1),
        Persist(1),
        Arrive(1, 2),
        Persist(2),
        // n5 has heard of nothing. It stands twice, and wins term 2 with those who lack that entry.
        Campaign(5),
        Persist(5),
        Campaign(5),
        Persist(5),
        Arrive(5, 3),
        Arrive(5, 4),
        Persist(3),
        Persist(4),
        Arrive(3, 5),
        Arrive(4, 5),
        Persist(5),
        // n1 crashes, stands twice as well, and wins term 3.
        Crash(1),
        Campaign(1),
        Persist(1),
        Campaign(1),
        Persist(1),
        Arrive(1, 2),
        Arrive(1, 3),
        Persist(2),
        Persist(3),
        Arrive(2, 1),
        Arrive(3, 1),
    ]
};

/// Leads an empty cluster to the start. What happens on the way is not counted against the budgets.
///
/// # Panics
/// If a rule is broken on the way, or a scene does nothing: then the story has to be told anew.
pub(super) fn lead(model: &mut Model, state: &mut State, start: Start) {
    let left = state.left;
    match start {
        Start::Empty => return,
        Start::Led => {
            play(model, state, Action::Campaign(0));
            settle(model, state);
            play(model, state, Action::Heartbeat(0));
            settle(model, state);
            let leads = model.parts().facts(state.nodes[0]).role == Role::Leader;
            assert!(leads, "n1 leads term 1 at the end of the story");
        }
        Start::Figure8 => {
            assert!(
                state.nodes.len() == 5 && state.leaders.len() >= 3,
                "five nodes and three terms are told of"
            );
            FIGURE_8.iter().for_each(|scene| stage(model, state, *scene));
            assert!(state.leaders[2] == 1, "n1 leads term 3 at the end of the story");
        }
    }
    state.messages.clear();
    state.left = left;
    model.sum(state);
}

fn stage(model: &mut Model, state: &mut State, scene: Scene) {
    let actions = match scene {
        Scene::Campaign(id) => vec![Action::Campaign(id - 1)],
        Scene::Persist(id) => {
            vec![Action::Persist(id - 1); model.parts().local(state.nodes[id - 1]).writes_under_way()]
        }
        Scene::Crash(id) => vec![Action::Crash(id - 1)],
        Scene::Arrive(from, to) => {
            model.parts().on_the_way(state, from - 1, to - 1).into_iter().map(Action::Deliver).collect()
        }
    };
    assert!(!actions.is_empty(), "every scene of the story does something");
    actions.into_iter().for_each(|action| play(model, state, action));
}

/// All writes become durable and all messages arrive, until nothing is under way.
fn settle(model: &mut Model, state: &mut State) {
    loop {
        let writes = |local: &u32| model.parts().local(*local).writes_under_way() > 0;
        if let Some(node) = state.nodes.iter().position(writes) {
            play(model, state, Action::Persist(node));
        } else if let Some(message) = state.messages.first().copied() {
            play(model, state, Action::Deliver(message));
            // Where messages stay, this one has done what it could.
            if state.messages.contains(&message) {
                state.remove(message);
                model.sum(state);
            }
        } else {
            return;
        }
    }
}

fn play(model: &mut Model, state: &mut State, action: Action) {
    state.left = Budgets { crashes: 1, heartbeats: 1, campaigns: None, ..state.left };
    model.sum(state);
    let mut next = State::default();
    let followed = model.follow(state, Step { action, choice: 0 }, &mut next);
    if followed.expect("all rules hold on the way").is_some() {
        *state = next;
    }
}
