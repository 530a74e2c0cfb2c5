//! The replicated state machine: definitions and instances, changed by commands in the order of the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use quorate_replica::state_machine::{Context, Snapshot, StateMachine};

use crate::canonical::hash_of;
use crate::command::{CheckError, Command, Proposal};
use crate::definition::{Definition, StateId};
use crate::fire::{Decision, SUGGESTIONS_FROM_MAX, fire};
use crate::hash::Hash;
use crate::instance::{Instance, Stamp};
use crate::outcome::{Committed, Ignored, Outcome, Rejected, Standing};
use crate::reply::{Created, DefineOutcome, Defined, Reply};
use crate::shared_map::SharedMap;
use crate::snapshot;
use crate::suggest::did_you_mean;
use crate::why::Why;

/// How much the registry keeps. Part of the replicated meaning: the same on every node of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Definitions in all, versions counted each. One more is refused.
    pub definitions_max: usize,
    /// Instances in all. One more is rejected with `limit_reached`.
    pub instances_max: u64,
    /// The newest transitions kept for each instance, at least one. Older ones are compacted.
    pub transitions_per_instance_max: usize,
    /// The newest rejections kept for each instance. Older ones are counted and forgotten.
    pub rejections_per_instance_max: usize,
    /// The bytes of data, actors and request ids kept for each instance's history. Older records make room.
    pub history_bytes_per_instance_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            definitions_max: 10_000,
            instances_max: 10_000_000,
            transitions_per_instance_max: 1_000,
            rejections_per_instance_max: 100,
            history_bytes_per_instance_max: 1024 * 1024,
        }
    }
}

/// Every definition and every instance. The built-in machine `lifecycle` is always there.
///
/// ```
/// let registry = quorate_machine::Registry::new();
/// assert_eq!(registry.count("lifecycle").unwrap().states["Init"], 0);
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    pub(crate) limits: Limits,
    pub(crate) machines: BTreeMap<Arc<str>, Machine>,
    /// How many instances there are. Invariant: the sum over the machines.
    pub(crate) instances: u64,
}

/// One machine: its versions and its instances.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Machine {
    /// Invariant: never empty.
    pub(crate) versions: BTreeMap<u64, Arc<Definition>>,
    /// Shared with snapshots: what is changed after one is copied first.
    pub(crate) instances: SharedMap<Arc<Instance>>,
    /// How many instances stand in each state, by version. Invariant: what counting `instances` would give.
    pub(crate) counts: BTreeMap<u64, Vec<u64>>,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// A registry that holds only the built-in machine.
    pub fn new() -> Registry {
        Registry::with_limits(Limits::default())
    }

    /// A registry with other limits.
    pub fn with_limits(limits: Limits) -> Registry {
        let mut registry = Registry { limits, machines: BTreeMap::new(), instances: 0 };
        registry.put(Arc::new(Definition::lifecycle()));
        registry
    }

    /// Adds a version to its machine.
    pub(crate) fn put(&mut self, definition: Arc<Definition>) {
        let machine = self.machines.entry(definition.name().into()).or_default();
        machine.counts.insert(definition.version(), vec![0; definition.state_count()]);
        machine.versions.insert(definition.version(), definition);
    }

    fn define(&mut self, context: &Context, canonical_json: &str, hash: Hash) -> Reply {
        let (outcome, machine, version) = match examine(canonical_json, hash) {
            Ok(definition) => {
                let (name, version) = (definition.name().to_owned(), definition.version());
                let outcome = self.place_of(&definition);
                if outcome == DefineOutcome::New {
                    self.put(Arc::new(definition));
                }
                (outcome, name, version)
            }
            Err(outcome) => (outcome, String::new(), 0),
        };
        let (index, term) = (context.entry.index.0, context.entry.term.0);
        Reply::Defined(Defined { outcome, machine, version, hash, index, term })
    }

    /// What becomes of a good definition beside those that stand.
    fn place_of(&self, definition: &Definition) -> DefineOutcome {
        if let Some(machine) = self.machines.get(definition.name()) {
            if let Some(standing) = machine.versions.get(&definition.version()) {
                return if standing.hash() == definition.hash() {
                    DefineOutcome::Unchanged
                } else {
                    DefineOutcome::VersionTaken { hash: standing.hash() }
                };
            }
            let latest = machine.latest().version();
            if definition.version() < latest {
                return DefineOutcome::NotNewer { latest };
            }
        }
        let definitions: usize = self.machines.values().map(|machine| machine.versions.len()).sum();
        if definitions >= self.limits.definitions_max {
            return DefineOutcome::LimitReached { definitions_max: self.limits.definitions_max };
        }
        DefineOutcome::New
    }

    fn create(&mut self, context: &Context, name: String, id: String) -> Reply {
        let (instances, instances_max) = (self.instances, self.limits.instances_max);
        let Some(machine) = self.machines.get_mut(name.as_str()) else {
            return self.unknown_machine(context, &name);
        };
        if let Some(instance) = machine.instances.get(id.as_str()) {
            let standing = machine.standing(instance);
            return reject(context, Why::Exists { id }, Some(standing));
        }
        if instances >= instances_max {
            return reject(context, Why::Full { instances, instances_max }, None);
        }
        let definition = Arc::clone(machine.latest());
        let (version, state) = (definition.version(), definition.initial());
        machine.count(version, state, 1);
        let instance = Instance::create(version, state, Stamp::new(context, None));
        machine.instances.insert(id.as_str().into(), Arc::new(instance));
        self.instances += 1;
        Reply::Created(Created {
            machine: name,
            id,
            state: definition.state_name(state).to_owned(),
            revision: 1,
            version,
            index: context.entry.index.0,
            term: context.entry.term.0,
        })
    }

    fn propose(&mut self, context: &Context, proposal: Proposal) -> Reply {
        let Some(machine) = self.machines.get_mut(proposal.machine.as_str()) else {
            return self.unknown_machine(context, &proposal.machine);
        };
        let Some(shared) = machine.instances.get_mut(proposal.id.as_str()) else {
            let Proposal { machine, id, .. } = proposal;
            return reject(context, Why::UnknownInstance { machine, id }, None);
        };
        let definition = machine.versions.get(&shared.version);
        let definition = Arc::clone(definition.expect("an instance's version stays for ever"));
        let name = |state| definition.state_name(state).to_owned();
        let (index, term) = (context.entry.index.0, context.entry.term.0);
        let version = shared.version;
        match fire(&definition, shared.state, shared.revision, &proposal.wish, &proposal.expect) {
            Decision::Go { event, to } => {
                let instance = Arc::make_mut(shared);
                let from = instance.state;
                instance.go(event, to, Stamp::new(context, proposal.data), &self.limits);
                let revision = instance.revision;
                machine.count(version, from, -1);
                machine.count(version, to, 1);
                let event = definition.event_name(event).to_owned();
                let (from, to) = (name(from), name(to));
                Reply::Outcome(Outcome::Committed(Committed {
                    event,
                    from,
                    to,
                    revision,
                    version,
                    index,
                    term,
                }))
            }
            Decision::Ignore { event } => {
                let event = definition.event_name(event).to_owned();
                let (state, revision) = (name(shared.state), shared.revision);
                Reply::Outcome(Outcome::Ignored(Ignored { event, state, revision, version, index, term }))
            }
            Decision::Reject { why } => {
                let stamp = Stamp::new(context, proposal.data);
                Arc::make_mut(shared).refuse(proposal.wish, why.code(), stamp, &self.limits);
                reject(context, why, Some(standing(&definition, shared)))
            }
        }
    }

    fn unknown_machine(&self, context: &Context, name: &str) -> Reply {
        let close = self.suggest_machine(name).map(str::to_owned);
        reject(context, Why::UnknownMachine { machine: name.to_owned(), close }, None)
    }

    /// A machine whose name is close to this one. Looks at a bounded number of machines.
    pub(crate) fn suggest_machine(&self, name: &str) -> Option<&str> {
        did_you_mean(name, self.machines.keys().take(SUGGESTIONS_FROM_MAX).map(AsRef::as_ref))
    }
}

impl Machine {
    /// The newest version.
    pub(crate) fn latest(&self) -> &Arc<Definition> {
        let (_, definition) = self.versions.last_key_value().expect("a machine has at least one version");
        definition
    }

    /// The definition of an instance.
    pub(crate) fn definition_of(&self, instance: &Instance) -> &Arc<Definition> {
        self.versions.get(&instance.version).expect("an instance's version stays for ever")
    }

    /// How many instances there are.
    pub(crate) fn total(&self) -> u64 {
        self.instances.len() as u64
    }

    /// Counts an instance in or out of a state.
    pub(crate) fn count(&mut self, version: u64, state: StateId, change: i64) {
        let states = self
            .counts
            .get_mut(&version)
            .expect("each version has its counts from the day it is put in force");
        let count = &mut states[usize::from(state.0)];
        *count =
            count.checked_add_signed(change).expect("an instance leaves a state only after it entered it");
    }

    fn standing(&self, instance: &Instance) -> Standing {
        standing(self.definition_of(instance), instance)
    }
}

/// The definition in a command, if it is one and has the hash that came with it.
fn examine(canonical_json: &str, hash: Hash) -> Result<Definition, DefineOutcome> {
    let actual = hash_of(canonical_json);
    if actual != hash {
        return Err(DefineOutcome::HashMismatch { actual });
    }
    Definition::from_canonical_json(canonical_json).map_err(|_| DefineOutcome::Invalid)
}

fn standing(definition: &Definition, instance: &Instance) -> Standing {
    Standing {
        state: definition.state_name(instance.state).to_owned(),
        allowed: definition.allowed(instance.state).map(str::to_owned).collect(),
        revision: instance.revision,
        version: instance.version,
    }
}

fn reject(context: &Context, why: Why, standing: Option<Standing>) -> Reply {
    let (index, term) = (context.entry.index.0, context.entry.term.0);
    Reply::Outcome(Outcome::Rejected(Rejected { why, standing, index, term }))
}

/// The highest feature level that the declared machines of this release understand. Whoever changes what they do with a command raises it, and
/// keeps doing the old thing as long as the level of the cluster is lower.
pub const FEATURE_LEVEL_MAX: u16 = 1;

impl StateMachine for Registry {
    type Command = Command;
    type Reply = Reply;

    fn feature_level_max(&self) -> u16 {
        FEATURE_LEVEL_MAX
    }

    /// About a microsecond for a proposal: one look-up by machine and one by id, no parsing of definitions.
    fn apply(&mut self, context: &Context, command: Command) -> Reply {
        // Whoever brought this command into the log should have checked it. What nobody checked is refused here in the same
        // way on every node.
        let refusal = command.check().err().map(|refusal| match refusal {
            CheckError::Malformed { .. } => Why::Malformed,
            CheckError::TooLarge { .. } => Why::TooLarge,
        });
        match (command, refusal) {
            (Command::Define { canonical_json, hash }, None) => self.define(context, &canonical_json, hash),
            (Command::Define { hash, .. }, Some(_)) => Reply::Defined(Defined {
                outcome: DefineOutcome::Invalid,
                machine: String::new(),
                version: 0,
                hash,
                index: context.entry.index.0,
                term: context.entry.term.0,
            }),
            (Command::Create { machine, id }, None) => self.create(context, machine, id),
            (Command::Propose(proposal), None) => self.propose(context, proposal),
            (Command::Create { .. } | Command::Propose(_), Some(why)) => reject(context, why, None),
        }
    }

    /// Copies references to chunks of instances, a few thousand for a million. A chunk in which an instance moves while the copy lives is
    /// copied once, and the instance with its history.
    fn snapshot(&self) -> Snapshot {
        let copy = self.clone();
        Box::new(move |out| snapshot::write(&copy, out))
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        *self = snapshot::read(source, self.limits.clone())?;
        Ok(())
    }
}
