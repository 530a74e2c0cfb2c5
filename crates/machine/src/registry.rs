//! The replicated state machine: definitions and instances.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};

use crate::command::Command;
use crate::definition::Definition;
use crate::query::{Counts, HistoryPage, InstanceInfo, InstancePage, MachineInfo, QueryError};
use crate::reply::Reply;

/// How much the registry keeps. Part of the replicated meaning: the same on every node of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Definitions in all, versions counted each.
    pub definitions_max: usize,
    /// Instances in all.
    pub instances_max: u64,
    /// The newest transitions kept for each instance.
    pub transitions_per_instance_max: usize,
    /// The newest rejections kept for each instance.
    pub rejections_per_instance_max: usize,
    /// The bytes of data, actors and request ids kept for each instance's history.
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
#[derive(Debug, Default)]
pub struct Registry {}

impl Registry {
    /// A registry that holds only the built-in machine.
    pub fn new() -> Registry {
        Registry::with_limits(Limits::default())
    }

    /// A registry with other limits.
    pub fn with_limits(_limits: Limits) -> Registry {
        unimplemented!()
    }

    /// Every machine in byte order of the names.
    pub fn machines(&self) -> Vec<MachineInfo> {
        unimplemented!()
    }

    /// One definition: this version, or the newest.
    ///
    /// # Errors
    /// When there is no such machine or version.
    pub fn definition(&self, _machine: &str, _version: Option<u64>) -> Result<Arc<Definition>, QueryError> {
        unimplemented!()
    }

    /// One instance.
    ///
    /// # Errors
    /// When there is no such machine or instance.
    pub fn instance(&self, _machine: &str, _id: &str) -> Result<InstanceInfo, QueryError> {
        unimplemented!()
    }

    /// At most `limit` instances whose ids come after `after`, all or those in `state`.
    ///
    /// # Errors
    /// When there is no such machine or state.
    pub fn list(
        &self,
        _machine: &str,
        _state: Option<&str>,
        _limit: usize,
        _after: Option<&str>,
    ) -> Result<InstancePage, QueryError> {
        unimplemented!()
    }

    /// How many instances are in each state.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn count(&self, _machine: &str) -> Result<Counts, QueryError> {
        unimplemented!()
    }

    /// What happened to an instance from a revision on (from the oldest that is kept, if none is given).
    ///
    /// # Errors
    /// When there is no such machine or instance, or that revision is compacted.
    pub fn history(
        &self,
        _machine: &str,
        _id: &str,
        _from_revision: Option<u64>,
        _limit: usize,
    ) -> Result<HistoryPage, QueryError> {
        unimplemented!()
    }
}

impl StateMachine for Registry {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, _context: &Context, _command: Command) -> Reply {
        unimplemented!()
    }

    fn snapshot(&self) -> Snapshot {
        unimplemented!()
    }

    fn restore(&mut self, _source: &mut dyn io::Read) -> io::Result<()> {
        unimplemented!()
    }
}

impl Codec for Command {
    fn encode(&self, _out: &mut Vec<u8>) {
        unimplemented!()
    }
    fn decode(_bytes: &Bytes) -> Result<Self, DecodeError> {
        unimplemented!()
    }
}

impl Codec for Reply {
    fn encode(&self, _out: &mut Vec<u8>) {
        unimplemented!()
    }
    fn decode(_bytes: &Bytes) -> Result<Self, DecodeError> {
        unimplemented!()
    }
}
