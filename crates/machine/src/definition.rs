//! A machine as data: states, events and what each state does with each event, normalised and with its hash.
//!
//! Names are interned: in a definition a state and an event are their places in byte order of the names. The places are the
//! same on every node, because a (name, version) never changes its content.

use std::sync::Arc;

use crate::canonical::{canonical, hash_of};
use crate::diagnostic::Report;
use crate::draft::{Draft, DraftReaction};
use crate::format::Format;
use crate::hash::Hash;
use crate::json;
use crate::validate;

/// The name of the built-in machine.
pub(crate) const BUILT_IN: &str = "lifecycle";

/// A state of one definition: its place in byte order of the names.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StateId(pub(crate) u16);

/// What a state does with an event.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// It goes to this state.
    Go(StateId),
    /// It ignores the event by declaration.
    Ignore,
}

/// The text is no canonical definition.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct InvalidDefinition {
    /// Why.
    pub detail: String,
}

/// A checked, normalised machine. Immutable; shared by `Arc`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    name: Arc<str>,
    version: u64,
    hash: Hash,
    canonical_json: Arc<str>,
    description: Option<String>,
    initial: StateId,
    /// In byte order of the names.
    states: Vec<State>,
    /// In byte order.
    events: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    name: String,
    is_final: bool,
    /// In order of the events.
    reactions: Vec<(u16, Reaction)>,
}

impl Definition {
    /// Reads a definition back from its canonical JSON, without looking for mere suspicions.
    ///
    /// # Errors
    /// When the text is not exactly the canonical JSON of a definition.
    pub fn from_canonical_json(text: &str) -> Result<Definition, InvalidDefinition> {
        let mut report = Report::new(Format::Json);
        let draft = json::read(text, &mut report).and_then(|root| validate::draft(&root, &mut report));
        let definition = match (report.first_fault(), draft) {
            (None, Some(draft)) => Definition::build(&draft),
            (fault, _) => {
                let detail = fault.unwrap_or_else(|| "no definition".to_owned());
                return Err(InvalidDefinition { detail });
            }
        };
        if definition.canonical_json() != text {
            return Err(InvalidDefinition { detail: "the text is not in canonical form".to_owned() });
        }
        Ok(definition)
    }

    /// The built-in machine `lifecycle`, version 1: Init -start-> Running -stop-> Stopped -reset-> Init.
    pub fn lifecycle() -> Definition {
        let go = |event: &str, target: &str| (event.to_owned(), DraftReaction::go(target));
        let state = |name: &str, on| crate::draft::DraftState { on, ..crate::draft::DraftState::named(name) };
        Definition::build(&Draft {
            machine: BUILT_IN.to_owned(),
            version: 1,
            initial: "Init".to_owned(),
            description: Some(
                "The built-in sample machine: something is started, stopped and reset.".to_owned(),
            ),
            tags: Vec::new(),
            meta: None,
            states: vec![
                state("Init", vec![go("start", "Running")]),
                state("Running", vec![go("stop", "Stopped")]),
                state("Stopped", vec![go("reset", "Init")]),
            ],
        })
    }

    /// The definition of a draft without faults.
    pub(crate) fn build(draft: &Draft) -> Definition {
        let canonical_json = canonical(&draft.to_value());
        let mut events: Vec<String> =
            draft.states.iter().flat_map(|state| state.on.iter().map(|(event, _)| event.clone())).collect();
        events.sort_unstable();
        events.dedup();
        let mut drafts: Vec<_> = draft.states.iter().collect();
        drafts.sort_by(|a, b| a.name.cmp(&b.name));
        let place_of_state = |name: &str| {
            let place = drafts.binary_search_by(|state| state.name.as_str().cmp(name));
            StateId(place_u16(place.expect("a draft without faults names only its own states")))
        };
        let place_of_event = |name: &String| {
            place_u16(events.binary_search(name).expect("every event of the draft was collected above"))
        };
        let states = drafts
            .iter()
            .map(|state| {
                let reaction = |reaction: &DraftReaction| match reaction {
                    DraftReaction::Ignore => Reaction::Ignore,
                    DraftReaction::Go { target, .. } => Reaction::Go(place_of_state(target)),
                };
                let mut reactions: Vec<_> =
                    state.on.iter().map(|(event, what)| (place_of_event(event), reaction(what))).collect();
                reactions.sort_by_key(|(event, _)| *event);
                State { name: state.name.clone(), is_final: state.is_final, reactions }
            })
            .collect();
        Definition {
            name: draft.machine.as_str().into(),
            version: draft.version,
            hash: hash_of(&canonical_json),
            canonical_json: canonical_json.into(),
            description: draft.description.clone(),
            initial: place_of_state(&draft.initial),
            states,
            events,
        }
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The SHA-256 of the canonical JSON.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The canonical form (RFC 8785): what is replicated and hashed.
    pub fn canonical_json(&self) -> &str {
        &self.canonical_json
    }

    /// The description, if there is one.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The state of new instances.
    pub fn initial(&self) -> StateId {
        self.initial
    }

    /// How many states there are.
    pub fn state_count(&self) -> usize {
        self.states.len()
    }

    /// How many transitions there are, ignored events not counted.
    pub fn transition_count(&self) -> usize {
        let is_go = |(_, reaction): &&(u16, Reaction)| matches!(reaction, Reaction::Go(_));
        self.states.iter().map(|state| state.reactions.iter().filter(is_go).count()).sum()
    }

    /// Every state in byte order of the names.
    pub fn states(&self) -> impl Iterator<Item = StateId> + use<> {
        (0..place_u16(self.states.len())).map(StateId)
    }

    /// The state with this name.
    pub fn state(&self, name: &str) -> Option<StateId> {
        let place = self.states.binary_search_by(|state| state.name.as_str().cmp(name)).ok()?;
        Some(StateId(place_u16(place)))
    }

    /// A state's name.
    ///
    /// # Panics
    /// If the state is not of this definition.
    pub fn state_name(&self, state: StateId) -> &str {
        &self.get(state).name
    }

    /// Whether the state is declared to be an end.
    ///
    /// # Panics
    /// If the state is not of this definition.
    pub fn is_final(&self, state: StateId) -> bool {
        self.get(state).is_final
    }

    /// Every event that some state handles or ignores, in byte order.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(String::as_str)
    }

    /// What a state does with each event that it names, in byte order of the events.
    ///
    /// # Panics
    /// If the state is not of this definition.
    pub fn reactions(&self, state: StateId) -> impl Iterator<Item = (&str, Reaction)> {
        self.get(state).reactions.iter().map(|(event, reaction)| (self.event_name(*event), *reaction))
    }

    /// The events that lead somewhere from a state, in byte order.
    ///
    /// # Panics
    /// If the state is not of this definition.
    pub fn allowed(&self, state: StateId) -> impl Iterator<Item = &str> {
        let goes = |(event, reaction)| matches!(reaction, Reaction::Go(_)).then_some(event);
        self.reactions(state).filter_map(goes)
    }

    /// The place of an event among all events.
    pub(crate) fn event(&self, name: &str) -> Option<u16> {
        self.events.binary_search_by(|event| event.as_str().cmp(name)).ok().map(place_u16)
    }

    /// The name of the event at a place.
    pub(crate) fn event_name(&self, event: u16) -> &str {
        &self.events[usize::from(event)]
    }

    /// How many events there are.
    pub(crate) fn event_count(&self) -> usize {
        self.events.len()
    }

    /// What a state does with an event.
    pub(crate) fn reaction(&self, state: StateId, event: u16) -> Option<Reaction> {
        let reactions = &self.get(state).reactions;
        let place = reactions.binary_search_by_key(&event, |(event, _)| *event).ok()?;
        Some(reactions[place].1)
    }

    /// The first event, in byte order, that leads from one state to another.
    pub(crate) fn event_to(&self, from: StateId, to: StateId) -> Option<u16> {
        let leads = |(_, reaction): &&(u16, Reaction)| *reaction == Reaction::Go(to);
        self.get(from).reactions.iter().find(leads).map(|(event, _)| *event)
    }

    fn get(&self, state: StateId) -> &State {
        &self.states[usize::from(state.0)]
    }
}

/// A place as it is kept. A definition has at most 1,024 states and as many events.
fn place_u16(place: usize) -> u16 {
    u16::try_from(place).expect("validation bounds states and events far below 2^16")
}
