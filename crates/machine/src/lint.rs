//! What is suspicious in a definition that means something: told as warnings, never a reason to refuse.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Report;
use crate::draft::{Draft, DraftReaction, DraftState};
use crate::value::{Item, Trail, Value};
use crate::wording::{assignment, join};

/// Tells what is suspicious. `root` is the tree that the draft was read from: it knows the places.
pub(crate) fn lint(draft: &Draft, root: &Item, report: &mut Report) {
    let reached = reachable(draft);
    for state in &draft.states {
        let path = join("states", &state.name);
        let Some(span) = key_span(root, &state.name) else { continue };
        if !reached.contains(state.name.as_str()) {
            let message = format!("no path leads from {:?} to state {:?}", draft.initial, state.name);
            report.warning(span, &path, message, None);
        }
        if !state.is_final && targets(state).next().is_none() {
            let message = format!("no event leads out of state {:?}, and it is not final", state.name);
            let hint = Some(format!("write {} if it is an end", assignment(report, "type", "\"final\"")));
            report.warning(span, &path, message, hint);
        }
    }
    large_integers(root, &mut Trail::default(), report);
}

fn reachable(draft: &Draft) -> BTreeSet<&str> {
    let by_name: BTreeMap<&str, &DraftState> =
        draft.states.iter().map(|state| (state.name.as_str(), state)).collect();
    let mut reached = BTreeSet::from([draft.initial.as_str()]);
    let mut waiting = vec![draft.initial.as_str()];
    while let Some(state) = waiting.pop().and_then(|name| by_name.get(name)) {
        for target in targets(state) {
            if reached.insert(target) {
                waiting.push(target);
            }
        }
    }
    reached
}

fn targets(state: &DraftState) -> impl Iterator<Item = &str> {
    state.on.iter().filter_map(|(_, reaction)| match reaction {
        DraftReaction::Go { target, .. } => Some(target.as_str()),
        DraftReaction::Ignore => None,
    })
}

/// Where the source names a state.
fn key_span(root: &Item, state: &str) -> Option<crate::diagnostic::Span> {
    let Value::Object(members) = &root.value else { return None };
    let states = members.iter().find(|member| member.key == "states")?;
    let Value::Object(states) = &states.item.value else { return None };
    Some(states.iter().find(|member| member.key == state)?.key_span)
}

/// Integers that other readers of JSON may round.
fn large_integers(item: &Item, trail: &mut Trail, report: &mut Report) {
    match &item.value {
        Value::Int(number) if number.unsigned_abs() > EXACT_MAX => {
            let message = "an integer beyond 2^53 is rounded by many readers of JSON";
            report.warning(item.span, &trail.to_string(), message, Some("write it as a string".to_owned()));
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                trail.push_place(place);
                large_integers(item, trail, report);
                trail.pop();
            }
        }
        Value::Object(members) => {
            for member in members {
                trail.push_key(&member.key);
                large_integers(&member.item, trail, report);
                trail.pop();
            }
        }
        Value::Int(_) | Value::Null | Value::Bool(_) | Value::String(_) | Value::Faulty => {}
    }
}

/// 2^53 - 1: the largest integer that every reader of JSON keeps exact (RFC 7493, 2.2).
const EXACT_MAX: u64 = (1 << 53) - 1;
