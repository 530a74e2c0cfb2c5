//! A registry that is driven by lines of text, as the other modules use it.

use bytes::Bytes;
use quorate_core::types::{EntryId, Index, Term};
use quorate_machine::{
    Command, DefineOutcome, Definition, Expect, Format, Limits, Outcome, Proposal, Registry, Reply, Wish,
    parse,
};
use quorate_replica::state_machine::{Codec, Context, StateMachine};

/// A registry and the log index it has got to. Every command and every reply passes the codec.
pub(crate) struct Driver {
    pub(crate) registry: Registry,
    pub(crate) index: u64,
    pub(crate) actor: Option<String>,
}

impl Driver {
    pub(crate) fn new(limits: Limits) -> Driver {
        Driver { registry: Registry::with_limits(limits), index: 0, actor: None }
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Reply {
        self.index += 1;
        let context = Context {
            entry: EntryId { term: Term(1), index: Index(self.index) },
            timestamp_ms: 1_000 * self.index,
            actor: self.actor.clone(),
            request_id: None,
            level: 1,
        };
        let command: Command = through_codec(command);
        through_codec(&self.registry.apply(&context, command))
    }

    /// One line, as in `create job/7`, `propose job/7 start`, `propose job/7 >Running rev=2 state=Init data={}`,
    /// `define <toml>`; the answer in one line.
    pub(crate) fn line(&mut self, line: &str) -> String {
        match line.strip_prefix("define ") {
            Some(toml) => self.define(toml),
            None => told(&self.reply(line)),
        }
    }

    /// The answer to a line that defines nothing.
    pub(crate) fn reply(&mut self, line: &str) -> Reply {
        let (verb, rest) = line.split_once(' ').unwrap();
        let command = match verb {
            "create" => {
                let (machine, id) = rest.split_once('/').unwrap();
                Command::Create { machine: machine.to_owned(), id: id.to_owned() }
            }
            "propose" => propose(rest),
            other => panic!("no verb {other}"),
        };
        self.apply(&command)
    }

    pub(crate) fn define(&mut self, toml: &str) -> String {
        let definition = definition(toml);
        let (canonical_json, hash) = (definition.canonical_json().to_owned(), definition.hash());
        told(&self.apply(&Command::Define { canonical_json, hash }))
    }
}

pub(crate) fn definition(toml: &str) -> std::sync::Arc<Definition> {
    let checked = parse(toml, Format::Toml);
    let faults: Vec<String> = checked.faults.iter().map(|fault| fault.render("test.toml", toml)).collect();
    checked.definition.unwrap_or_else(|| panic!("{}", faults.join("\n")))
}

fn propose(line: &str) -> Command {
    let mut words = line.split(' ');
    let (machine, id) = words.next().unwrap().split_once('/').unwrap();
    let wish = words.next().unwrap();
    let wish = match wish.strip_prefix('>') {
        Some(state) => Wish::State(state.to_owned()),
        None => Wish::Event(wish.to_owned()),
    };
    let (mut expect, mut data) = (Expect::default(), None);
    for word in words {
        match word.split_once('=').unwrap() {
            ("rev", revision) => expect.revision = Some(revision.parse().unwrap()),
            ("state", state) => expect.state = Some(state.to_owned()),
            ("data", text) => data = Some(text.to_owned()),
            other => panic!("no option {other:?}"),
        }
    }
    Command::Propose(Proposal { machine: machine.to_owned(), id: id.to_owned(), wish, data, expect })
}

/// A reply in one line.
pub(crate) fn told(reply: &Reply) -> String {
    match reply {
        Reply::Defined(defined) => {
            let outcome = match &defined.outcome {
                DefineOutcome::New => "new".to_owned(),
                DefineOutcome::Unchanged => "unchanged".to_owned(),
                DefineOutcome::VersionTaken { .. } => "version taken".to_owned(),
                DefineOutcome::NotNewer { latest } => format!("not newer than {latest}"),
                DefineOutcome::HashMismatch { .. } => "hash mismatch".to_owned(),
                DefineOutcome::Invalid => "invalid".to_owned(),
                DefineOutcome::LimitReached { definitions_max } => format!("limit {definitions_max} reached"),
            };
            format!("{} {}: {outcome}", defined.machine, defined.version)
        }
        Reply::Created(created) => {
            format!("created {}/{} {} r{}", created.machine, created.id, created.state, created.revision)
        }
        Reply::Outcome(Outcome::Committed(committed)) => {
            let quorate_machine::Committed { from, event, to, revision, .. } = committed;
            format!("{from} -{event}-> {to} r{revision}")
        }
        Reply::Outcome(Outcome::Ignored(ignored)) => {
            format!("{} ignores {} r{}", ignored.state, ignored.event, ignored.revision)
        }
        Reply::Outcome(Outcome::Rejected(rejected)) => {
            let standing = rejected.standing.as_ref();
            let standing = standing
                .map(|at| format!(" [{} r{} allows {}]", at.state, at.revision, at.allowed.join(",")));
            let (code, detail) = (rejected.code().as_str(), rejected.why.detail());
            format!("{code}: {detail}{}", standing.unwrap_or_default())
        }
    }
}

pub(crate) fn through_codec<T: Codec + PartialEq + std::fmt::Debug>(value: &T) -> T {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    let back = T::decode(&Bytes::from(bytes)).unwrap();
    assert_eq!(&back, value);
    back
}
