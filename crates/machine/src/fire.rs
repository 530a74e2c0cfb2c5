//! The pure heart: what one proposal does to one instance.

use crate::command::{Expect, Wish};
use crate::definition::{Definition, Reaction, StateId};
use crate::suggest::did_you_mean;
use crate::why::Why;

/// What a proposal does to an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It moves to this state by this event.
    Go {
        /// The event: its place in byte order among the definition's events.
        event: u16,
        /// The state after.
        to: StateId,
    },
    /// The state ignores the event.
    Ignore {
        /// The event.
        event: u16,
    },
    /// It is not allowed.
    Reject {
        /// Why.
        why: Why,
    },
}

/// Decides what `wish` does to an instance of `definition` that stands in `state` at `revision`. Pure and total.
///
/// What the caller expected is looked at first: who acts on an old picture hears that, whatever the wish. An event that no
/// state handles is a mistake wherever the instance stands, so it comes before everything that depends on the state.
pub fn fire(
    definition: &Definition,
    state: StateId,
    revision: u64,
    wish: &Wish,
    expect: &Expect,
) -> Decision {
    if let Some(why) = conflict(definition.state_name(state), revision, expect) {
        return Decision::Reject { why };
    }
    match wish {
        Wish::Event(name) => fire_event(definition, state, name),
        Wish::State(name) => fire_to(definition, state, name),
    }
}

fn conflict(state: &str, revision: u64, expect: &Expect) -> Option<Why> {
    let expected_state = expect.state.as_deref().filter(|expected| *expected != state).map(str::to_owned);
    let expected_revision = expect.revision.filter(|expected| *expected != revision);
    let fits = expected_state.is_none() && expected_revision.is_none();
    (!fits).then(|| Why::Conflict { expected_state, expected_revision, state: state.to_owned(), revision })
}

fn fire_event(definition: &Definition, state: StateId, name: &str) -> Decision {
    let Some(event) = definition.event(name) else {
        let close = did_you_mean(name, definition.events().take(SUGGESTIONS_FROM_MAX)).map(str::to_owned);
        return Decision::Reject { why: Why::UnknownEvent { event: name.to_owned(), close } };
    };
    match definition.reaction(state, event) {
        Some(Reaction::Go(to)) => Decision::Go { event, to },
        Some(Reaction::Ignore) => Decision::Ignore { event },
        None if definition.is_final(state) => final_state(definition, state),
        None => {
            let state = definition.state_name(state).to_owned();
            Decision::Reject { why: Why::NotHandled { state, event: name.to_owned() } }
        }
    }
}

fn fire_to(definition: &Definition, state: StateId, name: &str) -> Decision {
    let Some(to) = definition.state(name) else {
        let names = definition.states().map(|state| definition.state_name(state));
        let close = did_you_mean(name, names.take(SUGGESTIONS_FROM_MAX)).map(str::to_owned);
        return Decision::Reject { why: Why::UnknownState { to: name.to_owned(), close } };
    };
    match definition.event_to(state, to) {
        Some(event) => Decision::Go { event, to },
        None if definition.is_final(state) => final_state(definition, state),
        None => {
            let state = definition.state_name(state).to_owned();
            Decision::Reject { why: Why::NoWay { state, to: name.to_owned() } }
        }
    }
}

fn final_state(definition: &Definition, state: StateId) -> Decision {
    Decision::Reject { why: Why::Final { state: definition.state_name(state).to_owned() } }
}

/// Among how many names a suggestion is looked for: this runs inside apply, where every proposal waits for the one before.
pub(crate) const SUGGESTIONS_FROM_MAX: usize = 100;
