//! The pure heart: what one proposal does to one instance.

use crate::command::{Expect, Wish};
use crate::definition::{Definition, Reaction, StateId};
use crate::outcome::RejectionCode;
use crate::suggest::did_you_mean;
use crate::wording::shown;

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
        code: RejectionCode,
        /// Why, in words.
        detail: String,
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
    if let Some(detail) = conflict(definition.state_name(state), revision, expect) {
        return Decision::Reject { code: RejectionCode::Conflict, detail };
    }
    match wish {
        Wish::Event(name) => fire_event(definition, state, name),
        Wish::State(name) => fire_to(definition, state, name),
    }
}

fn conflict(state: &str, revision: u64, expect: &Expect) -> Option<String> {
    let other_state = expect.state.as_deref().filter(|expected| *expected != state);
    let other_revision = expect.revision.filter(|expected| *expected != revision);
    match (other_state, other_revision) {
        (None, None) => None,
        (Some(expected), None) => Some(format!("expected state {}, found {state:?}", shown(expected))),
        (None, Some(expected)) => Some(format!("expected revision {expected}, found {revision}")),
        (Some(expected_state), Some(expected)) => {
            let expected_state = shown(expected_state);
            Some(format!(
                "expected state {expected_state} at revision {expected}, found {state:?} at revision {revision}"
            ))
        }
    }
}

fn fire_event(definition: &Definition, state: StateId, name: &str) -> Decision {
    let Some(event) = definition.event(name) else {
        let close = did_you_mean(name, definition.events().take(SUGGESTIONS_FROM_MAX));
        let hint = close.map(|close| format!("; did you mean {close:?}?")).unwrap_or_default();
        let detail = format!("no state handles event {}{hint}", shown(name));
        return Decision::Reject { code: RejectionCode::UnknownEvent, detail };
    };
    match definition.reaction(state, event) {
        Some(Reaction::Go(to)) => Decision::Go { event, to },
        Some(Reaction::Ignore) => Decision::Ignore { event },
        None if definition.is_final(state) => final_state(definition, state),
        None => {
            let detail = format!("state {:?} does not handle event {name:?}", definition.state_name(state));
            Decision::Reject { code: RejectionCode::NoTransition, detail }
        }
    }
}

fn fire_to(definition: &Definition, state: StateId, name: &str) -> Decision {
    let Some(to) = definition.state(name) else {
        let names = definition.states().map(|state| definition.state_name(state));
        let close = did_you_mean(name, names.take(SUGGESTIONS_FROM_MAX));
        let hint = close.map(|close| format!("; did you mean {close:?}?")).unwrap_or_default();
        let detail = format!("the machine has no state {}{hint}", shown(name));
        return Decision::Reject { code: RejectionCode::NoTransition, detail };
    };
    match definition.event_to(state, to) {
        Some(event) => Decision::Go { event, to },
        None if definition.is_final(state) => final_state(definition, state),
        None => {
            let detail = format!("no event leads from state {:?} to {name:?}", definition.state_name(state));
            Decision::Reject { code: RejectionCode::NoTransition, detail }
        }
    }
}

fn final_state(definition: &Definition, state: StateId) -> Decision {
    let detail = format!("state {:?} is final: no event leads out of it", definition.state_name(state));
    Decision::Reject { code: RejectionCode::Final, detail }
}

/// Among how many names a suggestion is looked for: this runs inside apply, where every proposal waits for the one before.
pub(crate) const SUGGESTIONS_FROM_MAX: usize = 100;
