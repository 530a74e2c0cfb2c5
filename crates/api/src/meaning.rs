//! The one table of what each answer means to HTTP and to a shell: the status codes that the server sends and the
//! exit codes that the command line ends with both come from here.

use serde::{Deserialize, Serialize};

use crate::outcome::{Creation, Outcome};
use crate::problem::{Fate, Problem};

/// An answer in the words of HTTP and of a shell.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Meaning {
    /// The HTTP status.
    pub status: u16,
    /// The exit code of the command line.
    pub exit: Exit,
}

/// How the command line ends. The numbers are part of the interface.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed that has no code of its own.
    Error = 1,
    /// The call itself was wrong; the same call never succeeds.
    Usage = 2,
    /// The machine rejected the proposal.
    Rejected = 3,
    /// What exists differs from what was expected.
    Conflict = 4,
    /// No such machine or instance.
    NotFound = 5,
    /// Nothing happened for now: try again.
    Unavailable = 6,
    /// It may have happened: retry with the same request id.
    Unknown = 7,
    /// It happened, and only its answer is missing: do not send it again.
    Applied = 8,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Why a proposal was rejected: the closed list.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// No machine of this name.
    UnknownMachine,
    /// No instance of this id.
    UnknownInstance,
    /// An instance of this id exists already.
    Exists,
    /// No state of the machine handles this event.
    UnknownEvent,
    /// The current state does not handle this event, or does not lead to this target.
    NoTransition,
    /// No guard let it through.
    GuardFailed,
    /// The data does not fit the event's payload.
    PayloadInvalid,
    /// Too many instances are in the target state.
    LimitReached,
    /// The result would break an invariant.
    InvariantViolated,
    /// State or revision is not the expected one.
    Conflict,
    /// The caller may not do this.
    Forbidden,
    /// The instance is in a final state.
    Final,
    /// Evaluation took more units than allowed.
    CostExceeded,
    /// The proposal is too large.
    TooLarge,
    /// The request id was used before for another request.
    KeyReused,
}

/// What kind of problem a request met. A client older than its server reads a code that it does not know as `Other`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request could not be read: syntax, a field, a header, a parameter.
    Malformed,
    /// No such route.
    UnknownRoute,
    /// The route exists, with other methods.
    MethodNotAllowed,
    /// No machine (or no such version of it) of this name.
    UnknownMachine,
    /// No instance of this id.
    UnknownInstance,
    /// This version of the machine exists with another definition.
    VersionConflict,
    /// The request id was used before for another request.
    KeyReused,
    /// The cluster keeps as many as it may.
    LimitReached,
    /// The cluster does not do this; the detail says why.
    Refused,
    /// What was asked for is no longer kept.
    Compacted,
    /// The request's body did not arrive in time.
    TooSlow,
    /// The body is larger than the server takes.
    TooLarge,
    /// The body's media type is not one that this route reads.
    UnsupportedMediaType,
    /// The definition has faults; the problem lists them all.
    InvalidDefinition,
    /// A queue is full: try again later.
    Overloaded,
    /// The disk of the node is full: another node may take it, and this one will once there is room.
    DiskFull,
    /// Not in this version; named, never answered as if it were.
    NotSupported,
    /// No leader is known or reachable at the moment.
    NoLeader,
    /// The node is stopping or has stopped.
    Stopping,
    /// The node is not ready; the answer lists the checks.
    NotReady,
    /// No answer in time: the outcome is unknown.
    TimedOut,
    /// The answer is no longer kept: the request may have been applied before, and is not applied from now on.
    Forgotten,
    /// The session is not open (never opened, or expired).
    SessionUnknown,
    /// The server met a bug of its own.
    Internal,
    /// A code that this client does not know.
    #[serde(other)]
    Other,
}

impl RejectionCode {
    /// Every code, in the order of the documentation.
    pub const ALL: [RejectionCode; 15] = [
        RejectionCode::UnknownMachine,
        RejectionCode::UnknownInstance,
        RejectionCode::Exists,
        RejectionCode::UnknownEvent,
        RejectionCode::NoTransition,
        RejectionCode::GuardFailed,
        RejectionCode::PayloadInvalid,
        RejectionCode::LimitReached,
        RejectionCode::InvariantViolated,
        RejectionCode::Conflict,
        RejectionCode::Forbidden,
        RejectionCode::Final,
        RejectionCode::CostExceeded,
        RejectionCode::TooLarge,
        RejectionCode::KeyReused,
    ];

    /// The code as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectionCode::UnknownMachine => "unknown_machine",
            RejectionCode::UnknownInstance => "unknown_instance",
            RejectionCode::Exists => "exists",
            RejectionCode::UnknownEvent => "unknown_event",
            RejectionCode::NoTransition => "no_transition",
            RejectionCode::GuardFailed => "guard_failed",
            RejectionCode::PayloadInvalid => "payload_invalid",
            RejectionCode::LimitReached => "limit_reached",
            RejectionCode::InvariantViolated => "invariant_violated",
            RejectionCode::Conflict => "conflict",
            RejectionCode::Forbidden => "forbidden",
            RejectionCode::Final => "final",
            RejectionCode::CostExceeded => "cost_exceeded",
            RejectionCode::TooLarge => "too_large",
            RejectionCode::KeyReused => "key_reused",
        }
    }

    /// Status and exit code of a rejection.
    pub const fn meaning(self) -> Meaning {
        match self {
            RejectionCode::UnknownMachine | RejectionCode::UnknownInstance => of(404, Exit::NotFound),
            RejectionCode::Conflict | RejectionCode::Exists | RejectionCode::KeyReused => {
                of(409, Exit::Conflict)
            }
            RejectionCode::Forbidden => of(403, Exit::Error),
            RejectionCode::TooLarge => of(413, Exit::Usage),
            RejectionCode::UnknownEvent
            | RejectionCode::NoTransition
            | RejectionCode::GuardFailed
            | RejectionCode::PayloadInvalid
            | RejectionCode::LimitReached
            | RejectionCode::InvariantViolated
            | RejectionCode::Final
            | RejectionCode::CostExceeded => of(409, Exit::Rejected),
        }
    }
}

impl ProblemCode {
    /// Status and exit code of a problem.
    pub const fn meaning(self) -> Meaning {
        match self {
            ProblemCode::Malformed => of(400, Exit::Usage),
            ProblemCode::UnknownRoute => of(404, Exit::Error),
            ProblemCode::MethodNotAllowed => of(405, Exit::Error),
            ProblemCode::UnknownMachine | ProblemCode::UnknownInstance => of(404, Exit::NotFound),
            ProblemCode::VersionConflict | ProblemCode::KeyReused => of(409, Exit::Conflict),
            ProblemCode::LimitReached | ProblemCode::Refused => of(409, Exit::Rejected),
            ProblemCode::TooSlow => of(408, Exit::Unavailable),
            ProblemCode::Compacted => of(410, Exit::Error),
            ProblemCode::TooLarge => of(413, Exit::Usage),
            ProblemCode::UnsupportedMediaType => of(415, Exit::Usage),
            ProblemCode::InvalidDefinition => of(422, Exit::Error),
            ProblemCode::Overloaded => of(429, Exit::Unavailable),
            ProblemCode::NotSupported => of(501, Exit::Error),
            ProblemCode::NoLeader | ProblemCode::DiskFull | ProblemCode::Stopping | ProblemCode::NotReady => {
                of(503, Exit::Unavailable)
            }
            ProblemCode::TimedOut | ProblemCode::Forgotten | ProblemCode::SessionUnknown => {
                of(504, Exit::Unknown)
            }
            ProblemCode::Internal | ProblemCode::Other => of(500, Exit::Error),
        }
    }
}

impl Outcome {
    /// Status and exit code of a proposal's answer.
    pub const fn meaning(&self) -> Meaning {
        match self {
            Outcome::Committed(_) | Outcome::Ignored(_) => of(200, Exit::Ok),
            Outcome::Rejected(rejection) => rejection.code.meaning(),
        }
    }
}

impl Creation {
    /// Status and exit code of a creation's answer.
    pub const fn meaning(&self) -> Meaning {
        match self {
            Creation::Created(_) => of(201, Exit::Ok),
            Creation::Rejected(rejection) => rejection.code.meaning(),
        }
    }
}

impl Problem {
    /// Status and exit code of a problem. What may have happened, or has, is told before the kind of the problem: a script that reads "an
    /// error" or "try again" would do it twice.
    pub const fn meaning(&self) -> Meaning {
        let Meaning { status, exit } = self.code.meaning();
        match self.fate {
            Fate::NotAccepted => of(status, exit),
            Fate::Unknown => of(status, Exit::Unknown),
            Fate::Applied => of(status, Exit::Applied),
        }
    }
}

const fn of(status: u16, exit: Exit) -> Meaning {
    Meaning { status, exit }
}
