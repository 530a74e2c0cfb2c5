//! Why a proposal is rejected, as data: what apply decides, what the session tables keep, and what nodes compare with each other.
//! The words of it are made by whoever reads it, so that two binaries of a rolling upgrade may word it differently and hold the
//! same state all the same.

use quorate_replica::state_machine::DecodeError;

use crate::outcome::RejectionCode;
use crate::wire::{Fields, Writer, fail};
use crate::wording::shown;

/// Why a proposal is rejected: what was decided, and what it was decided about.
///
/// A `close` is the name that is most like the one that was given. It is chosen at apply, among names of the state, so the way
/// in which it is chosen is a part of what apply means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// No machine has this name.
    UnknownMachine {
        /// The name.
        machine: String,
        /// A machine's name that is close to it.
        close: Option<String>,
    },
    /// The machine has no such instance.
    UnknownInstance {
        /// The machine.
        machine: String,
        /// The id.
        id: String,
    },
    /// An instance with this id exists already.
    Exists {
        /// The id.
        id: String,
    },
    /// There are as many instances as the registry keeps.
    Full {
        /// How many there are.
        instances: u64,
        /// The limit.
        instances_max: u64,
    },
    /// No state of the machine handles the event.
    UnknownEvent {
        /// The event.
        event: String,
        /// An event's name that is close to it.
        close: Option<String>,
    },
    /// The current state does not handle the event.
    NotHandled {
        /// The current state.
        state: String,
        /// The event.
        event: String,
    },
    /// No event leads from the current state to the wished one.
    NoWay {
        /// The current state.
        state: String,
        /// The wished state.
        to: String,
    },
    /// The machine has no such state.
    UnknownState {
        /// The wished state.
        to: String,
        /// A state's name that is close to it.
        close: Option<String>,
    },
    /// The current state is final.
    Final {
        /// The current state.
        state: String,
    },
    /// The instance is not where the caller expected it.
    Conflict {
        /// The state that the caller expected, if it is another one.
        expected_state: Option<String>,
        /// The revision that the caller expected, if it is another one.
        expected_revision: Option<u64>,
        /// The current state.
        state: String,
        /// The current revision.
        revision: u64,
    },
    /// The command makes no sense, and nobody checked it before it came into the log.
    Malformed,
    /// Something in the command is too large, and nobody checked it before it came into the log.
    TooLarge,
    /// A reason that this version does not give.
    Other(RejectionCode),
}

impl Why {
    /// The reason's place in the closed list.
    pub fn code(&self) -> RejectionCode {
        match self {
            Why::UnknownMachine { .. } => RejectionCode::UnknownMachine,
            Why::UnknownInstance { .. } => RejectionCode::UnknownInstance,
            Why::Exists { .. } => RejectionCode::Exists,
            Why::Full { .. } => RejectionCode::LimitReached,
            Why::UnknownEvent { .. } => RejectionCode::UnknownEvent,
            Why::NotHandled { .. } | Why::NoWay { .. } | Why::UnknownState { .. } => {
                RejectionCode::NoTransition
            }
            Why::Final { .. } => RejectionCode::Final,
            Why::Conflict { .. } => RejectionCode::Conflict,
            Why::Malformed => RejectionCode::PayloadInvalid,
            Why::TooLarge => RejectionCode::TooLarge,
            Why::Other(code) => *code,
        }
    }

    /// The reason in words, as this binary words it.
    pub fn detail(&self) -> String {
        match self {
            Why::UnknownMachine { machine, close } => {
                format!("no machine is called {}{}", shown(machine), hint(close.as_deref()))
            }
            Why::UnknownInstance { machine, id } => {
                format!("machine {machine:?} has no instance {}", shown(id))
            }
            Why::Exists { id } => format!("instance {} exists already", shown(id)),
            Why::Full { instances, instances_max } => {
                format!("there are {instances} instances, the limit is {instances_max}")
            }
            Why::UnknownEvent { event, close } => {
                format!("no state handles event {}{}", shown(event), hint(close.as_deref()))
            }
            Why::NotHandled { state, event } => format!("state {state:?} does not handle event {event:?}"),
            Why::NoWay { state, to } => format!("no event leads from state {state:?} to {to:?}"),
            Why::UnknownState { to, close } => {
                format!("the machine has no state {}{}", shown(to), hint(close.as_deref()))
            }
            Why::Final { state } => format!("state {state:?} is final: no event leads out of it"),
            Why::Conflict { expected_state, expected_revision, state, revision } => {
                conflict(expected_state.as_deref(), *expected_revision, state, *revision)
            }
            Why::Malformed => "the command makes no sense: it was not checked before it was proposed".into(),
            Why::TooLarge => "the command is too large: it was not checked before it was proposed".into(),
            Why::Other(code) => format!("this version has no words for {}", code.as_str()),
        }
    }

    /// Adds the reason to a reply: field 3 is the code, 4 the kind of the reason, 9 to 12 what it is about.
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(3, &[self.code().to_byte()]);
        match self {
            Why::UnknownMachine { machine, close } => put(writer, 0, [Some(machine), close.as_ref()]),
            Why::UnknownInstance { machine, id } => put(writer, 1, [Some(machine), Some(id)]),
            Why::Exists { id } => put(writer, 2, [Some(id), None]),
            Why::Full { instances, instances_max } => {
                put(writer, 3, [None, None]).number(11, *instances).number(12, *instances_max)
            }
            Why::UnknownEvent { event, close } => put(writer, 4, [Some(event), close.as_ref()]),
            Why::NotHandled { state, event } => put(writer, 5, [Some(state), Some(event)]),
            Why::NoWay { state, to } => put(writer, 6, [Some(state), Some(to)]),
            Why::UnknownState { to, close } => put(writer, 7, [Some(to), close.as_ref()]),
            Why::Final { state } => put(writer, 8, [Some(state), None]),
            Why::Conflict { expected_state, expected_revision, state, revision } => {
                let writer = put(writer, 9, [Some(state), expected_state.as_ref()]).number(11, *revision);
                match expected_revision {
                    Some(expected) => writer.number(12, *expected),
                    None => writer,
                }
            }
            Why::Malformed => put(writer, 10, [None, None]),
            Why::TooLarge => put(writer, 11, [None, None]),
            Why::Other(_) => put(writer, 12, [None, None]),
        };
    }

    /// Takes the reason out of a reply.
    pub(crate) fn decode(fields: &mut Fields<'_>) -> Result<Why, DecodeError> {
        let code = match fields.bytes(3)? {
            [byte] => RejectionCode::from_byte(*byte),
            _ => None,
        };
        let code = code.ok_or_else(|| fail("a rejection that is not known to this version"))?;
        let why = match fields.number(4)? {
            0 => Why::UnknownMachine { machine: fields.string(9)?, close: fields.optional_string(10)? },
            1 => Why::UnknownInstance { machine: fields.string(9)?, id: fields.string(10)? },
            2 => Why::Exists { id: fields.string(9)? },
            3 => Why::Full { instances: fields.number(11)?, instances_max: fields.number(12)? },
            4 => Why::UnknownEvent { event: fields.string(9)?, close: fields.optional_string(10)? },
            5 => Why::NotHandled { state: fields.string(9)?, event: fields.string(10)? },
            6 => Why::NoWay { state: fields.string(9)?, to: fields.string(10)? },
            7 => Why::UnknownState { to: fields.string(9)?, close: fields.optional_string(10)? },
            8 => Why::Final { state: fields.string(9)? },
            9 => Why::Conflict {
                state: fields.string(9)?,
                expected_state: fields.optional_string(10)?,
                revision: fields.number(11)?,
                expected_revision: fields.optional_number(12)?,
            },
            10 => Why::Malformed,
            11 => Why::TooLarge,
            12 => Why::Other(code),
            other => return Err(fail(format!("reason {other} of a rejection is not known to this version"))),
        };
        if why.code() == code { Ok(why) } else { Err(fail("a rejection whose reason is another one")) }
    }
}

/// Adds the kind of a reason and the names that it is about.
fn put<'a, 'b>(writer: &'a mut Writer<'b>, kind: u64, names: [Option<&String>; 2]) -> &'a mut Writer<'b> {
    writer.number(4, kind);
    for (field, name) in [9, 10].into_iter().zip(names) {
        if let Some(name) = name {
            writer.text(field, name);
        }
    }
    writer
}

fn hint(close: Option<&str>) -> String {
    close.map(|close| format!("; did you mean {close:?}?")).unwrap_or_default()
}

fn conflict(
    expected_state: Option<&str>,
    expected_revision: Option<u64>,
    state: &str,
    revision: u64,
) -> String {
    match (expected_state, expected_revision) {
        (None, None) => "the instance is not where it was expected".into(),
        (Some(expected), None) => format!("expected state {}, found {state:?}", shown(expected)),
        (None, Some(expected)) => format!("expected revision {expected}, found {revision}"),
        (Some(expected_state), Some(expected)) => {
            let expected_state = shown(expected_state);
            format!(
                "expected state {expected_state} at revision {expected}, found {state:?} at revision {revision}"
            )
        }
    }
}
