//! Writes down what the clients of a run did and saw, as a history that can be judged without trust in any log index. A
//! value that moves a declared machine is two operations at once: one on a list, one on an instance.

use std::collections::BTreeMap;

use quorate_machine::{Command, Outcome, Reply, Wish};

use crate::check::Violation;
use crate::check::linearizable::history::{Answer, Call, Event, History, Kind, Object, Phase, Standing};
use crate::check::linearizable::search;
use crate::ledger::{Append, Appended, Ledger};
use crate::workload::ClientId;

/// The history of a run.
#[derive(Debug, Default)]
pub struct Recorder {
    history: History,
    /// The number of each instance that was named.
    instances: BTreeMap<String, u64>,
}

impl Recorder {
    /// A client begins to append.
    pub fn on_append(&mut self, client: ClientId, append: &Append) {
        self.history.call(process(client), list(append.client), Call::Append(append.value));
        let asked = match &append.command {
            Some(Command::Create { id, .. }) => Some((id, Call::Create)),
            Some(Command::Propose(proposal)) => event(&proposal.wish).map(|event| {
                let call = Call::Propose { event, revision: proposal.expect.revision };
                (&proposal.id, call)
            }),
            Some(Command::Define { .. }) | None => None,
        };
        if let Some((id, call)) = asked {
            let next = self.instances.len() as u64;
            let number = *self.instances.entry(id.clone()).or_insert(next);
            self.history.call(machine_process(client), Object { kind: Kind::Instance, number }, call);
        }
    }

    /// It is answered.
    pub fn on_appended(&mut self, client: ClientId, appended: &Appended) {
        self.history.answer(process(client), Answer::Number(appended.position));
        if appended.repeated && self.history.is_open(machine_process(client)) {
            // The machine moved when the command first came; how, was told to nobody.
            self.history.give_up(machine_process(client));
        } else if self.history.is_open(machine_process(client)) {
            let answer = appended.reply.as_ref().map_or(Answer::Refused, moved);
            self.history.answer(machine_process(client), answer);
        }
    }

    /// A client begins to read how long a list is.
    pub fn on_read(&mut self, client: ClientId, number: u32) {
        self.history.call(process(client), list(number), Call::Read);
    }

    /// It is told.
    pub fn on_read_answered(&mut self, client: ClientId, len: usize) {
        self.history.answer(process(client), Answer::Number(len as u64));
    }

    /// A client gives up: nobody knows what became of its operation.
    pub fn on_given_up(&mut self, client: ClientId) {
        for process in [process(client), machine_process(client)] {
            if self.history.is_open(process) {
                self.history.give_up(process);
            }
        }
    }

    /// Judges the history, with every list as it stands at the end: `false` when the judge came to no verdict.
    ///
    /// # Errors
    /// When no order explains what the clients saw.
    pub fn check_final(&mut self, clients: u32, state: &Ledger) -> Result<bool, Violation> {
        for number in 0..=clients {
            self.history.call(LAST_READER, list(number), Call::Read);
            self.history.answer(LAST_READER, Answer::Values(state.list(number).to_vec()));
        }
        search::check(&self.history, STEPS_MAX)
    }
}

fn process(client: ClientId) -> u64 {
    u64::from(client.0) * 2
}

/// The machine of a value is moved in the same breath, but is an operation of its own.
fn machine_process(client: ClientId) -> u64 {
    u64::from(client.0) * 2 + 1
}

fn list(number: u32) -> Object {
    Object { kind: Kind::List, number: u64::from(number) }
}

fn event(wish: &Wish) -> Option<Event> {
    match wish {
        Wish::Event(event) => match event.as_str() {
            "start" => Some(Event::Start),
            "stop" => Some(Event::Stop),
            "reset" => Some(Event::Reset),
            _ => None,
        },
        Wish::State(_) => None,
    }
}

/// The answer of a declared machine. One that the model has no word for is called a refusal, which must not show.
fn moved(reply: &Reply) -> Answer {
    let standing = |state: &str, revision| phase(state).map(|phase| Standing { phase, revision });
    match reply {
        Reply::Created(created) => {
            standing(&created.state, created.revision).map_or(Answer::Refused, Answer::Moved)
        }
        Reply::Outcome(Outcome::Committed(moved)) => {
            standing(&moved.to, moved.revision).map_or(Answer::Refused, Answer::Moved)
        }
        Reply::Outcome(Outcome::Rejected(rejected)) => Answer::Rejected(
            rejected
                .standing
                .as_ref()
                .and_then(|standing_of| standing(&standing_of.state, standing_of.revision)),
        ),
        Reply::Outcome(Outcome::Ignored(_)) | Reply::Defined(_) => Answer::Refused,
    }
}

fn phase(state: &str) -> Option<Phase> {
    match state {
        "Init" => Some(Phase::Init),
        "Running" => Some(Phase::Running),
        "Stopped" => Some(Phase::Stopped),
        _ => None,
    }
}

/// Reads every list when all is over. No client has this number.
const LAST_READER: u64 = 0;

/// The deadline of each object: far above what the histories of runs need.
const STEPS_MAX: u64 = 2_000_000;
