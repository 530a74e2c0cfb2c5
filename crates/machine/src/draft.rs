//! A definition on its way from source to canonical form: everything that was written, normalised, with names still as text.

use crate::value::{Item, Value, member};

/// A whole definition.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) machine: String,
    pub(crate) version: u64,
    pub(crate) initial: String,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: Option<Value>,
    pub(crate) states: Vec<DraftState>,
}

/// One state.
#[derive(Clone, Debug)]
pub(crate) struct DraftState {
    pub(crate) name: String,
    pub(crate) is_final: bool,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: Option<Value>,
    pub(crate) on: Vec<(String, DraftReaction)>,
}

/// What a state does with an event.
#[derive(Clone, Debug)]
pub(crate) enum DraftReaction {
    Ignore,
    Go { target: String, description: Option<String>, meta: Option<Value> },
}

impl DraftState {
    /// A state of which nothing but the name is known.
    pub(crate) fn named(name: &str) -> DraftState {
        DraftState {
            name: name.to_owned(),
            is_final: false,
            description: None,
            tags: Vec::new(),
            meta: None,
            on: Vec::new(),
        }
    }
}

impl DraftReaction {
    /// A plain transition.
    pub(crate) fn go(target: &str) -> DraftReaction {
        DraftReaction::Go { target: target.to_owned(), description: None, meta: None }
    }
}

impl Draft {
    /// The normal form: a transition is always `{"target": ...}`; what is absent or empty (description, tags, meta, on) and
    /// the plain `type` are left out, so that a key that a later version adds changes no hash of today.
    pub(crate) fn to_value(&self) -> Value {
        let version = i64::try_from(self.version).expect("versions come from 64-bit signed integers");
        let mut members = vec![
            member("format", Value::Int(1)),
            member("machine", Value::string(&self.machine)),
            member("version", Value::Int(version)),
            member("initial", Value::string(&self.initial)),
            member("states", {
                let state = |state: &DraftState| member(&state.name, state.to_value());
                Value::Object(self.states.iter().map(state).collect())
            }),
        ];
        members.extend(annotations(self.description.as_ref(), &self.tags, self.meta.as_ref()));
        Value::Object(members)
    }
}

impl DraftState {
    fn to_value(&self) -> Value {
        let mut members: Vec<_> =
            annotations(self.description.as_ref(), &self.tags, self.meta.as_ref()).collect();
        if self.is_final {
            members.push(member("type", Value::string("final")));
        }
        if !self.on.is_empty() {
            let reaction = |(event, what): &(String, DraftReaction)| member(event, what.to_value());
            members.push(member("on", Value::Object(self.on.iter().map(reaction).collect())));
        }
        Value::Object(members)
    }
}

impl DraftReaction {
    fn to_value(&self) -> Value {
        match self {
            DraftReaction::Ignore => Value::string("ignore"),
            DraftReaction::Go { target, description, meta } => {
                let mut members = vec![member("target", Value::string(target))];
                members.extend(annotations(description.as_ref(), &[], meta.as_ref()));
                Value::Object(members)
            }
        }
    }
}

fn annotations<'a>(
    description: Option<&'a String>,
    tags: &'a [String],
    meta: Option<&'a Value>,
) -> impl Iterator<Item = crate::value::Member> + use<'a> {
    let tag_items = tags.iter().map(|tag| Item::from(Value::string(tag))).collect();
    let tags = (!tags.is_empty()).then_some(Value::Array(tag_items));
    let description = description.map(|text| Value::string(text));
    [("description", description), ("tags", tags), ("meta", meta.cloned())]
        .into_iter()
        .filter_map(|(key, value)| Some(member(key, value?)))
}
