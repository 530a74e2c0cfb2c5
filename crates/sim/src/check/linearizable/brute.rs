//! A judge that tries every order of a whole history, with the plain objects: right because there is nothing to it, and of
//! use for a handful of operations only. What the search says is held against this.

use crate::check::linearizable::history::{Answer, History, Operation};
use crate::check::linearizable::plain::{Objects, tells};

/// Whether some order of all operations explains every answer.
pub fn is_linearizable(history: &History) -> bool {
    let operations: Vec<&Operation> = history.operations().iter().collect();
    some_order(&Objects::default(), &operations)
}

/// Whether the operations that wait can follow this state. Those of unknown outcome may stay out.
fn some_order(objects: &Objects, waiting: &[&Operation]) -> bool {
    if waiting.iter().all(|operation| operation.answered.is_none()) {
        return true;
    }
    waiting.iter().enumerate().any(|(place, next)| {
        let comes_too_late = waiting
            .iter()
            .any(|other| other.answered.as_ref().is_some_and(|answered| answered.at < next.called_at));
        if comes_too_late {
            return false;
        }
        let mut after = objects.clone();
        let explained = match next.answered.as_ref().map(|answered| &answered.answer) {
            Some(Answer::Refused) => true,
            Some(seen) => tells(&after.perform(next.object, next.call), next.call, seen),
            None => {
                after.perform(next.object, next.call);
                true
            }
        };
        let mut rest = waiting.to_vec();
        rest.remove(place);
        explained && some_order(&after, &rest)
    })
}
