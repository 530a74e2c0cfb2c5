//! The pure heart: what one proposal does to one instance.

use crate::command::{Expect, Wish};
use crate::definition::{Definition, StateId};
use crate::outcome::RejectionCode;

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
pub fn fire(
    _definition: &Definition,
    _state: StateId,
    _revision: u64,
    _wish: &Wish,
    _expect: &Expect,
) -> Decision {
    unimplemented!()
}
