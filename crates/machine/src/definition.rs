//! A machine as data: states, events and what each state does with each event, normalised and with its hash.

use std::fmt;
use std::sync::Arc;

/// A state of one definition: its place in byte order of the names.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StateId(pub(crate) u16);

/// The SHA-256 of a definition's canonical JSON. Shown as 64 hexadecimal digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

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
}

impl Definition {
    /// Reads a definition back from its canonical JSON, without looking for mere suspicions.
    ///
    /// # Errors
    /// When the text is not exactly the canonical JSON of a definition.
    pub fn from_canonical_json(_text: &str) -> Result<Definition, InvalidDefinition> {
        unimplemented!()
    }

    /// The built-in machine `lifecycle`, version 1: Init -start-> Running -stop-> Stopped -reset-> Init.
    pub fn lifecycle() -> Definition {
        unimplemented!()
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
        unimplemented!()
    }

    /// The state of new instances.
    pub fn initial(&self) -> StateId {
        unimplemented!()
    }

    /// How many states there are.
    pub fn state_count(&self) -> usize {
        unimplemented!()
    }

    /// How many transitions there are, ignored events not counted.
    pub fn transition_count(&self) -> usize {
        unimplemented!()
    }

    /// Every state in byte order of the names.
    pub fn states(&self) -> impl Iterator<Item = StateId> + '_ {
        (0..0).map(StateId)
    }

    /// The state with this name.
    pub fn state(&self, _name: &str) -> Option<StateId> {
        unimplemented!()
    }

    /// A state's name.
    pub fn state_name(&self, _state: StateId) -> &str {
        unimplemented!()
    }

    /// Whether no event leads out of this state by declaration.
    pub fn is_final(&self, _state: StateId) -> bool {
        unimplemented!()
    }

    /// Every event that some state handles or ignores, in byte order.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// What a state does with each event that it names, in byte order of the events.
    pub fn reactions(&self, _state: StateId) -> impl Iterator<Item = (&str, Reaction)> {
        std::iter::empty()
    }
}
