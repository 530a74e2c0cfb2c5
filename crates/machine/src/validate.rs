//! The rules that a definition must keep to mean anything, from the spanned tree to a draft. Every fault is told, not only the
//! first. What is merely suspicious stands in `lint.rs`.
//!
//! These rules also decide, when a definition is applied, whether it can be built: they are part of the replicated meaning.
//! What a later version wants to refuse in addition must become a warning, or needs all nodes to be of that version.

use std::collections::BTreeSet;

use crate::diagnostic::{Report, Span};
use crate::draft::{Draft, DraftReaction, DraftState};
use crate::format::Format;
use crate::keys::{MACHINE_KEYS, STATE_KEYS, TRANSITION_KEYS, check_keys};
use crate::names::{NAME_BYTES_MAX, check_name};
use crate::suggest::did_you_mean;
use crate::value::{Item, Member, Value, object_word};
use crate::wording::{assignment, join, shown};

/// The most states of a machine.
pub const STATES_MAX: usize = 1_024;
/// The most different events of a machine.
pub const EVENTS_MAX: usize = 1_024;
/// The most entries under `on`, of all states together.
pub const TRANSITIONS_MAX: usize = 16_384;
/// The most bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 4_096;
/// The most tags of a machine or state.
pub const TAGS_MAX: usize = 64;

/// Reads a definition from its tree. Complete only when the report has no faults after it.
pub(crate) fn draft(root: &Item, report: &mut Report) -> Option<Draft> {
    let Value::Object(members) = &root.value else {
        wrong_kind(root, "", object_word(report.format), report);
        return None;
    };
    check_keys(members, "", &MACHINE_KEYS, report);
    format_number(root, members, report);
    let machine = machine_name(root, members, report);
    let version = version(root, members, report);
    let description = description(members, "", report);
    let tags = tags(members, "", report);
    let meta = meta(members, "", report);
    let states = states(root, members, report);
    let initial = initial(root, members, states.as_deref(), report);
    Some(Draft {
        machine: machine?,
        version: version?,
        initial: initial?,
        description,
        tags,
        meta,
        states: states?,
    })
}

fn format_number(root: &Item, members: &[Member], report: &mut Report) {
    let Some(found) = find(members, "format") else {
        let hint = format!("write {} at the top", assignment(report, "format", "1"));
        report.fault(root_span(root), "format", "`format` is missing", Some(hint));
        return;
    };
    match found.item.value {
        Value::Int(1) | Value::Faulty => {}
        Value::Int(other) => {
            let message = format!("format {other} is not supported by this version");
            let hint = format!("this version reads {}", assignment(report, "format", "1"));
            report.fault(found.item.span, "format", message, Some(hint));
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            wrong_kind(&found.item, "format", "the integer 1", report);
        }
    }
}

fn machine_name(root: &Item, members: &[Member], report: &mut Report) -> Option<String> {
    let Some(found) = find(members, "machine") else {
        let hint = format!("write {}: the machine's name", assignment(report, "machine", "\"job\""));
        report.fault(root_span(root), "machine", "`machine` is missing", Some(hint));
        return None;
    };
    let name = string(&found.item, "machine", report)?;
    named(name, found.item.span, "machine", report).then(|| name.to_owned())
}

fn version(root: &Item, members: &[Member], report: &mut Report) -> Option<u64> {
    let Some(found) = find(members, "version") else {
        let hint = format!("write {}, and raise it with every change", assignment(report, "version", "1"));
        report.fault(root_span(root), "version", "`version` is missing", Some(hint));
        return None;
    };
    match found.item.value {
        Value::Int(number) if number >= 1 => u64::try_from(number).ok(),
        Value::Int(number) => {
            let hint = Some("versions start at 1 and rise".to_owned());
            report.fault(found.item.span, "version", format!("{number} is no version"), hint);
            None
        }
        Value::Faulty => None,
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            wrong_kind(&found.item, "version", "an integer from 1", report);
            None
        }
    }
}

fn initial(
    root: &Item,
    members: &[Member],
    states: Option<&[DraftState]>,
    report: &mut Report,
) -> Option<String> {
    let mut names = states.unwrap_or_default().iter().map(|state| state.name.as_str());
    let Some(found) = find(members, "initial") else {
        let first = names.next().unwrap_or("Init");
        let assignment = assignment(report, "initial", &format!("\"{first}\""));
        let hint = format!("write {assignment}: the state of new instances");
        report.fault(root_span(root), "initial", "`initial` is missing", Some(hint));
        return None;
    };
    let name = string(&found.item, "initial", report)?;
    // Without states there is nothing to compare with, and that fault is told already.
    if states.is_some() && !names.clone().any(|state| state == name) {
        let message = format!("`initial` names the unknown state {}", shown(name));
        let hint = report.suggestion(name, names);
        report.fault(found.item.span, "initial", message, hint);
        return None;
    }
    Some(name.to_owned())
}

fn states(root: &Item, members: &[Member], report: &mut Report) -> Option<Vec<DraftState>> {
    let hint = match report.format {
        Format::Toml => "write at least one, as in [states.Init]",
        Format::Json => "write at least one, as in \"states\": {\"Init\": {}}",
    };
    let Some(found) = find(members, "states") else {
        report.fault(root_span(root), "states", "the machine has no states", Some(hint.to_owned()));
        return None;
    };
    let declared = object(&found.item, "states", report)?;
    if declared.is_empty() {
        report.fault(found.key_span, "states", "the machine has no states", Some(hint.to_owned()));
        return None;
    }
    if declared.len() > STATES_MAX {
        let message = format!("the machine has {} states, the limit is {STATES_MAX}", declared.len());
        report.fault(found.key_span, "states", message, None);
        return None;
    }
    let mut reader = States { names: declared.iter().map(|state| state.key.as_str()).collect(), report };
    let drafts: Vec<_> = declared.iter().map(|member| reader.state(member)).collect();

    let transitions: usize = drafts.iter().map(|state| state.on.len()).sum();
    if transitions > TRANSITIONS_MAX {
        let message = format!("the machine has {transitions} transitions, the limit is {TRANSITIONS_MAX}");
        report.fault(found.key_span, "states", message, None);
    }
    let events: BTreeSet<&String> =
        drafts.iter().flat_map(|state| state.on.iter().map(|(event, _)| event)).collect();
    if events.len() > EVENTS_MAX {
        let message = format!("the machine has {} events, the limit is {EVENTS_MAX}", events.len());
        report.fault(found.key_span, "states", message, None);
    }
    Some(drafts)
}

/// Reads states; knows which names a transition may go to.
struct States<'a, 'r> {
    names: BTreeSet<&'a str>,
    report: &'r mut Report,
}

impl States<'_, '_> {
    fn state(&mut self, member: &Member) -> DraftState {
        let path = join("states", &member.key);
        if named(&member.key, member.key_span, &path, self.report) && member.key == "ignore" {
            let hint = Some("`ignore` stands for an ignored event".to_owned());
            self.report.fault(member.key_span, &path, "`ignore` is no name for a state", hint);
        }
        let mut draft = DraftState::named(&member.key);
        let Some(members) = object(&member.item, &path, self.report) else { return draft };
        check_keys(members, &path, &STATE_KEYS, self.report);
        draft.description = description(members, &path, self.report);
        draft.tags = tags(members, &path, self.report);
        draft.meta = meta(members, &path, self.report);
        draft.is_final = self.is_final(members, &path);
        if let Some(on) = find(members, "on") {
            let on_path = join(&path, "on");
            draft.on = self.reactions(on, &on_path);
            if draft.is_final && !draft.on.is_empty() {
                let hint = Some("remove `on`, or `type` if it is not an end".to_owned());
                self.report.fault(on.key_span, &on_path, "a final state handles no events", hint);
            }
        }
        draft
    }

    fn is_final(&mut self, members: &[Member], path: &str) -> bool {
        let Some(found) = find(members, "type") else { return false };
        let path = join(path, "type");
        let Some(kind) = string(&found.item, &path, self.report) else { return false };
        match kind {
            "final" => return true,
            "atomic" => {}
            "compound" | "parallel" | "history" | "choice" => {
                let message = format!("states of type {kind:?} are not supported by this version");
                self.report.fault(found.item.span, &path, message, None);
            }
            _ => {
                let message = format!("unknown type {}", shown(kind));
                let hint = did_you_mean(kind, ["final", "atomic"]).map_or_else(
                    || "write \"final\" for an end, or leave `type` out".to_owned(),
                    |name| format!("did you mean {name:?}?"),
                );
                self.report.fault(found.item.span, &path, message, Some(hint));
            }
        }
        false
    }

    fn reactions(&mut self, on: &Member, path: &str) -> Vec<(String, DraftReaction)> {
        let Some(members) = object(&on.item, path, self.report) else { return Vec::new() };
        let mut reactions = Vec::with_capacity(members.len());
        for member in members {
            let path = join(path, &member.key);
            if member.key == "*" {
                let message = "the wildcard `*` is not supported by this version";
                self.report.fault(
                    member.key_span,
                    &path,
                    message,
                    Some("name the events one by one".to_owned()),
                );
                continue;
            }
            named(&member.key, member.key_span, &path, self.report);
            let item = self.only_element(&member.item, &path);
            if let Some(reaction) = item.and_then(|item| self.reaction(item, member.key_span, &path)) {
                reactions.push((member.key.clone(), reaction));
            }
        }
        reactions
    }

    /// A transition may be written as an array of alternatives. Without guards the first always wins, so only one makes sense.
    fn only_element<'i>(&mut self, item: &'i Item, path: &str) -> Option<&'i Item> {
        let Value::Array(items) = &item.value else { return Some(item) };
        match items.as_slice() {
            [only] => Some(only),
            [] => {
                let hint = Some("write the target, or \"ignore\"".to_owned());
                self.report.fault(item.span, path, "an array without a transition", hint);
                None
            }
            [_, rest @ ..] => {
                let message =
                    "alternatives are not supported by this version: without guards the first always wins";
                let hint = Some("keep one transition for each event".to_owned());
                self.report.fault(rest[0].span, path, message, hint);
                None
            }
        }
    }

    fn reaction(&mut self, item: &Item, key_span: Span, path: &str) -> Option<DraftReaction> {
        match &item.value {
            Value::String(word) if word == "ignore" => Some(DraftReaction::Ignore),
            Value::String(target) => {
                self.is_target(target, item.span, path).then(|| DraftReaction::go(target))
            }
            Value::Object(members) => {
                check_keys(members, path, &TRANSITION_KEYS, self.report);
                let description = description(members, path, self.report);
                let meta = meta(members, path, self.report);
                let Some(found) = find(members, "target") else {
                    let hint = Some("write the state that it goes to".to_owned());
                    self.report.fault(key_span, path, "a transition without `target`", hint);
                    return None;
                };
                let path = join(path, "target");
                let target = string(&found.item, &path, self.report)?;
                self.is_target(target, found.item.span, &path).then(|| DraftReaction::Go {
                    target: target.to_owned(),
                    description,
                    meta,
                })
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Array(_) | Value::Faulty => {
                wrong_kind(
                    item,
                    path,
                    "a state's name, \"ignore\" or a transition with `target`",
                    self.report,
                );
                None
            }
        }
    }

    fn is_target(&mut self, target: &str, span: Span, path: &str) -> bool {
        if self.names.contains(target) {
            return true;
        }
        let (message, hint) = if target == "ignore" {
            let hint = "write the event itself as \"ignore\", without `target`".to_owned();
            ("`ignore` is no state".to_owned(), Some(hint))
        } else if target.starts_with(['#', '.']) {
            let message = format!(
                "relative and `#id` targets such as {} are not supported by this version",
                shown(target)
            );
            (message, Some("write the state's name".to_owned()))
        } else {
            (
                format!("unknown target {}", shown(target)),
                self.report.suggestion(target, self.names.iter().copied()),
            )
        };
        self.report.fault(span, path, message, hint);
        false
    }
}

fn description(members: &[Member], path: &str, report: &mut Report) -> Option<String> {
    let found = find(members, "description")?;
    let path = join(path, "description");
    let text = string(&found.item, &path, report)?;
    if text.len() > DESCRIPTION_BYTES_MAX {
        let message = format!("a description has {} bytes, the limit is {DESCRIPTION_BYTES_MAX}", text.len());
        report.fault(found.item.span, &path, message, None);
    }
    (!text.is_empty()).then(|| text.to_owned())
}

fn tags(members: &[Member], path: &str, report: &mut Report) -> Vec<String> {
    let Some(found) = find(members, "tags") else { return Vec::new() };
    let path = join(path, "tags");
    let Value::Array(items) = &found.item.value else {
        wrong_kind(&found.item, &path, "an array of strings", report);
        return Vec::new();
    };
    if items.len() > TAGS_MAX {
        let message = format!("there are {} tags, the limit is {TAGS_MAX}", items.len());
        report.fault(found.key_span, &path, message, None);
    }
    let mut seen = BTreeSet::new();
    for (place, item) in items.iter().enumerate() {
        let path = format!("{path}[{place}]");
        let Some(tag) = string(item, &path, report) else { continue };
        if tag.is_empty() || tag.len() > NAME_BYTES_MAX {
            let message = format!("a tag has {} bytes, allowed are 1 to {NAME_BYTES_MAX}", tag.len());
            report.fault(item.span, &path, message, None);
        } else if !seen.insert(tag) {
            report.fault(item.span, &path, format!("duplicate tag {}", shown(tag)), None);
        }
    }
    items
        .iter()
        .filter_map(|item| if let Value::String(tag) = &item.value { Some(tag.clone()) } else { None })
        .collect()
}

fn meta(members: &[Member], path: &str, report: &mut Report) -> Option<Value> {
    let found = find(members, "meta")?;
    let content = object(&found.item, &join(path, "meta"), report)?;
    (!content.is_empty()).then(|| found.item.value.clone())
}

fn find<'a>(members: &'a [Member], key: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.key == key)
}

fn object<'a>(item: &'a Item, path: &str, report: &mut Report) -> Option<&'a [Member]> {
    if let Value::Object(members) = &item.value {
        return Some(members);
    }
    wrong_kind(item, path, object_word(report.format), report);
    None
}

fn string<'a>(item: &'a Item, path: &str, report: &mut Report) -> Option<&'a str> {
    if let Value::String(text) = &item.value {
        return Some(text);
    }
    wrong_kind(item, path, "a string", report);
    None
}

fn wrong_kind(item: &Item, path: &str, wanted: &str, report: &mut Report) {
    if item.value != Value::Faulty {
        report.fault(
            item.span,
            path,
            format!("expected {wanted}, found {}", item.value.kind(report.format)),
            None,
        );
    }
}

fn named(name: &str, span: Span, path: &str, report: &mut Report) -> bool {
    match check_name(name) {
        Ok(()) => true,
        Err(detail) => {
            report.fault(span, path, detail, None);
            false
        }
    }
}

/// What is missing from the document is told at its first line.
fn root_span(root: &Item) -> Span {
    Span { start: root.span.start, end: root.span.start }
}
