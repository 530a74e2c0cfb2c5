//! What can be asked of the registry, and the answers.

use std::sync::Arc;

use serde::Serialize;

use crate::command::Wish;
use crate::definition::{BUILT_IN, Definition, StateId};
use crate::hash::Hash;
use crate::instance::{Instance, Move, Refusal, Stamp};
use crate::outcome::RejectionCode;
use crate::registry::{Machine, Registry};
use crate::suggest::did_you_mean;

/// A machine as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineInfo {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: u64,
    /// Every version, rising.
    pub versions: Vec<u64>,
    /// The hash of the newest version.
    pub hash: Hash,
    /// The description of the newest version.
    pub description: Option<String>,
    /// How many instances it has, of all versions.
    pub instances: u64,
    /// Whether its newest version is the built-in one.
    pub built_in: bool,
}

/// One instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InstanceInfo {
    /// The machine.
    pub machine: String,
    /// The instance's id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// Whether the state is final.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Its revision.
    pub revision: u64,
    /// The version of its definition.
    pub version: u64,
    /// The events that its state handles, in byte order (those that it ignores are not listed).
    pub allowed: Vec<String>,
    /// When it was created: milliseconds since 1970, by the entry.
    pub created_ms: u64,
    /// When it last moved: milliseconds since 1970, by the entry.
    pub changed_ms: u64,
    /// The log index of its last move or creation.
    pub index: u64,
}

/// One instance as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InstanceRow {
    /// The instance's id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// Its revision.
    pub revision: u64,
    /// The version of its definition.
    pub version: u64,
    /// When it last moved: milliseconds since 1970, by the entry.
    pub changed_ms: u64,
}

/// A page of instances in byte order of the ids.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InstancePage {
    /// The instances. May be fewer than the limit, even none, with `next` set: a search for a rare state stops after
    /// [`LIST_SCAN_MAX`] instances and is continued from there.
    pub instances: Vec<InstanceRow>,
    /// Ask again with this as `after` to continue; `None` at the end.
    pub next: Option<String>,
}

/// Instances by state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counts {
    /// The machine.
    pub machine: String,
    /// Its newest version.
    pub version: u64,
    /// All instances.
    pub total: u64,
    /// Every state of the newest version, and every state that an instance of an older version is in.
    pub states: std::collections::BTreeMap<String, u64>,
}

/// One thing that happened to an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryRecord {
    /// It was created.
    Created {
        /// The initial state.
        to: String,
        /// The revision: 1.
        revision: u64,
        /// What is known of the entry.
        #[serde(flatten)]
        entry: RecordEntry,
    },
    /// It moved.
    Moved {
        /// The state before.
        from: String,
        /// The state after.
        to: String,
        /// The event.
        event: String,
        /// The revision after.
        revision: u64,
        /// What is known of the entry.
        #[serde(flatten)]
        entry: RecordEntry,
    },
    /// A proposal was rejected.
    Rejected {
        /// The state, unchanged.
        state: String,
        /// The event that was wished, if an event was.
        event: Option<String>,
        /// The state that was wished, if a state was.
        to: Option<String>,
        /// Why.
        code: RejectionCode,
        /// The revision, unchanged.
        revision: u64,
        /// What is known of the entry.
        #[serde(flatten)]
        entry: RecordEntry,
    },
}

/// What is known of the entry behind a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RecordEntry {
    /// The version of the definition that decided.
    pub version: u64,
    /// The entry's timestamp: milliseconds since 1970.
    pub time_ms: u64,
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// Who asked, if the proposal said so.
    pub actor: Option<String>,
    /// The request id, if the caller gave one.
    pub request_id: Option<String>,
    /// The data of the proposal: JSON text of an object.
    pub data: Option<String>,
}

/// A page of an instance's history, in order of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HistoryPage {
    /// The records.
    pub records: Vec<HistoryRecord>,
    /// The oldest revision that is still kept.
    pub oldest_revision: u64,
    /// How many rejections have been forgotten to make room for newer ones.
    pub rejections_forgotten: u64,
    /// Ask again from this revision to continue; `None` at the end. A page always ends between two revisions, so it may hold
    /// more records than the limit: at most the rejections that are kept.
    pub next: Option<u64>,
}

/// Why a query has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// No machine has this name.
    #[error("no machine is called {machine:?}{}", hint(.suggestion.as_ref()))]
    UnknownMachine {
        /// The name.
        machine: String,
        /// A name that exists and is close to it.
        suggestion: Option<String>,
    },
    /// The machine has no such version.
    #[error("machine {machine:?} has no version {version}; the newest is {latest}")]
    UnknownVersion {
        /// The machine.
        machine: String,
        /// The version.
        version: u64,
        /// The newest version.
        latest: u64,
    },
    /// The machine has no instance with this id.
    #[error("machine {machine:?} has no instance {id:?}")]
    UnknownInstance {
        /// The machine.
        machine: String,
        /// The id.
        id: String,
    },
    /// No version of the machine that is in use has a state with this name.
    #[error("machine {machine:?} has no state {state:?}{}", hint(.suggestion.as_ref()))]
    UnknownState {
        /// The machine.
        machine: String,
        /// The name.
        state: String,
        /// A name that exists and is close to it.
        suggestion: Option<String>,
    },
    /// What was asked for is older than what is kept.
    #[error("revision {from} is compacted: the oldest that is kept is {oldest_revision}")]
    Compacted {
        /// The revision that was asked for.
        from: u64,
        /// The oldest that is kept.
        oldest_revision: u64,
    },
}

fn hint(suggestion: Option<&String>) -> String {
    suggestion.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

impl Registry {
    /// Every machine in byte order of the names.
    pub fn machines(&self) -> Vec<MachineInfo> {
        let info = |machine: &Machine| {
            let latest = machine.latest();
            MachineInfo {
                name: latest.name().to_owned(),
                version: latest.version(),
                versions: machine.versions.keys().copied().collect(),
                hash: latest.hash(),
                description: latest.description().map(str::to_owned),
                instances: machine.total(),
                built_in: latest.name() == BUILT_IN && latest.version() == 1,
            }
        };
        self.machines.values().map(info).collect()
    }

    /// One definition: this version, or the newest.
    ///
    /// # Errors
    /// When there is no such machine or version.
    pub fn definition(&self, machine: &str, version: Option<u64>) -> Result<Arc<Definition>, QueryError> {
        let found = self.machine(machine)?;
        let latest = found.latest();
        let Some(version) = version else { return Ok(Arc::clone(latest)) };
        found.versions.get(&version).cloned().ok_or_else(|| QueryError::UnknownVersion {
            machine: machine.to_owned(),
            version,
            latest: latest.version(),
        })
    }

    /// One instance.
    ///
    /// # Errors
    /// When there is no such machine or instance.
    pub fn instance(&self, machine: &str, id: &str) -> Result<InstanceInfo, QueryError> {
        let (found, instance) = self.find(machine, id)?;
        let definition = found.definition_of(instance);
        let last = &instance.last_move().stamp;
        Ok(InstanceInfo {
            machine: machine.to_owned(),
            id: id.to_owned(),
            state: definition.state_name(instance.state).to_owned(),
            is_final: definition.is_final(instance.state),
            revision: instance.revision,
            version: instance.version,
            allowed: definition.allowed(instance.state).map(str::to_owned).collect(),
            created_ms: instance.created_ms,
            changed_ms: last.time_ms,
            index: last.index,
        })
    }

    /// At most `limit` instances whose ids come after `after`, all or those in `state`. Looks at no more than
    /// [`LIST_SCAN_MAX`] instances: see [`InstancePage::instances`].
    ///
    /// # Errors
    /// When there is no such machine or state.
    pub fn list(
        &self,
        machine: &str,
        state: Option<&str>,
        limit: usize,
        after: Option<&str>,
    ) -> Result<InstancePage, QueryError> {
        let found = self.machine(machine)?;
        if let Some(state) = state {
            found.check_state(state)?;
        }
        let mut page = InstancePage { instances: Vec::new(), next: None };
        let mut last_looked_at: Option<&Arc<str>> = None;
        let range = found.instances.after(after);
        for (looked_at, (id, instance)) in range.enumerate() {
            if page.instances.len() >= limit || looked_at >= LIST_SCAN_MAX {
                // With a limit of zero nothing was looked at: the answer is the place that was asked for.
                page.next = last_looked_at.map(|id| id.to_string()).or(after.map(str::to_owned));
                break;
            }
            last_looked_at = Some(id);
            let name = found.definition_of(instance).state_name(instance.state);
            if state.is_none_or(|state| state == name) {
                page.instances.push(InstanceRow {
                    id: id.to_string(),
                    state: name.to_owned(),
                    revision: instance.revision,
                    version: instance.version,
                    changed_ms: instance.last_move().stamp.time_ms,
                });
            }
        }
        Ok(page)
    }

    /// How many instances are in each state. Does not look at the instances.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn count(&self, machine: &str) -> Result<Counts, QueryError> {
        let found = self.machine(machine)?;
        let latest = found.latest().version();
        let mut states = std::collections::BTreeMap::new();
        for (version, definition) in &found.versions {
            let counts = found.counts.get(version).into_iter().flatten();
            for (state, count) in definition.states().zip(counts) {
                if *version == latest || *count > 0 {
                    *states.entry(definition.state_name(state).to_owned()).or_insert(0) += count;
                }
            }
        }
        Ok(Counts { machine: machine.to_owned(), version: latest, total: found.total(), states })
    }

    /// What happened to an instance from a revision on (from the oldest that is kept, if none is given): at most `limit` records,
    /// at least all of one revision.
    ///
    /// # Errors
    /// When there is no such machine or instance, or that revision is compacted.
    pub fn history(
        &self,
        machine: &str,
        id: &str,
        from_revision: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, QueryError> {
        let (found, instance) = self.find(machine, id)?;
        let oldest_revision = instance.oldest_revision();
        let from = from_revision.unwrap_or(oldest_revision).max(1);
        if from < oldest_revision {
            return Err(QueryError::Compacted { from, oldest_revision });
        }
        let mut page = HistoryPage {
            records: Vec::new(),
            oldest_revision,
            rejections_forgotten: instance.refusals_forgotten,
            next: None,
        };
        let moves = (oldest_revision..).zip(&instance.moves).filter(|(revision, _)| *revision >= from);
        // Rejections at revisions whose move is compacted are still shown when nobody asked for a certain revision.
        let wanted = |refusal: &&Refusal| from_revision.is_none() || refusal.revision >= from;
        let mut refusals = instance.refusals.iter().filter(wanted).peekable();
        for (revision, moved) in moves {
            while let Some(refusal) = refusals.next_if(|refusal| refusal.revision < revision) {
                page.records.push(refused(found, refusal));
            }
            if page.records.len() >= limit.max(1) {
                page.next = Some(revision);
                return Ok(page);
            }
            page.records.push(went(found, moved, revision));
        }
        page.records.extend(refusals.map(|refusal| refused(found, refusal)));
        Ok(page)
    }

    fn machine(&self, name: &str) -> Result<&Machine, QueryError> {
        self.machines.get(name).ok_or_else(|| QueryError::UnknownMachine {
            machine: name.to_owned(),
            suggestion: self.suggest_machine(name).map(str::to_owned),
        })
    }

    fn find(&self, machine: &str, id: &str) -> Result<(&Machine, &Instance), QueryError> {
        let found = self.machine(machine)?;
        match found.instances.get(id) {
            Some(instance) => Ok((found, instance)),
            None => Err(QueryError::UnknownInstance { machine: machine.to_owned(), id: id.to_owned() }),
        }
    }
}

impl Machine {
    /// Whether the newest version has the state, or an older one that has it has instances.
    fn check_state(&self, state: &str) -> Result<(), QueryError> {
        let latest = self.latest();
        let in_use = |definition: &&Arc<Definition>| {
            definition.state(state).is_some()
                && (definition.version() == latest.version()
                    || self
                        .counts
                        .get(&definition.version())
                        .is_some_and(|counts| counts.iter().any(|n| *n > 0)))
        };
        if self.versions.values().any(|definition| in_use(&definition)) {
            return Ok(());
        }
        let names = latest.states().map(|state| latest.state_name(state));
        Err(QueryError::UnknownState {
            machine: latest.name().to_owned(),
            state: state.to_owned(),
            suggestion: did_you_mean(state, names).map(str::to_owned),
        })
    }

    fn name_of(&self, version: u64, state: StateId) -> String {
        let definition = self.versions.get(&version).expect("a record's version stays for ever");
        definition.state_name(state).to_owned()
    }

    fn event_of(&self, version: u64, event: u16) -> String {
        let definition = self.versions.get(&version).expect("a record's version stays for ever");
        definition.event_name(event).to_owned()
    }
}

fn went(machine: &Machine, moved: &Move, revision: u64) -> HistoryRecord {
    let to = machine.name_of(moved.version, moved.to);
    let entry = entry(&moved.stamp, moved.version);
    match moved.event {
        None => HistoryRecord::Created { to, revision, entry },
        Some(event) => HistoryRecord::Moved {
            from: machine.name_of(moved.version, moved.from),
            to,
            event: machine.event_of(moved.version, event),
            revision,
            entry,
        },
    }
}

fn refused(machine: &Machine, refusal: &Refusal) -> HistoryRecord {
    let (event, to) = match &refusal.wish {
        Wish::Event(name) => (Some(name.clone()), None),
        Wish::State(name) => (None, Some(name.clone())),
    };
    HistoryRecord::Rejected {
        state: machine.name_of(refusal.version, refusal.state),
        event,
        to,
        code: refusal.code,
        revision: refusal.revision,
        entry: entry(&refusal.stamp, refusal.version),
    }
}

fn entry(stamp: &Stamp, version: u64) -> RecordEntry {
    let extra = stamp.extra.as_deref();
    RecordEntry {
        version,
        time_ms: stamp.time_ms,
        index: stamp.index,
        term: stamp.term,
        actor: extra.and_then(|extra| extra.actor.clone()),
        request_id: extra.and_then(|extra| extra.request_id.clone()),
        data: extra.and_then(|extra| extra.data.clone()),
    }
}

/// How many instances one call of [`Registry::list`] looks at: a read runs between two batches of `apply`, which waits for it.
pub const LIST_SCAN_MAX: usize = 100_000;
