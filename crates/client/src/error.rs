//! What can go wrong with a call, told by what the caller may do next; each failure says what happened, why, and what to do.

use quorate_api::problem::{Fate, Problem};

/// An address that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{endpoint}` is no endpoint: {why}")]
pub struct ConfigError {
    /// What was given.
    pub endpoint: String,
    /// Why it cannot be used.
    pub why: String,
}

/// Why a call brought no answer of the kind that was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The call cannot be made as it was given; nothing was sent, and nothing will help but another call.
    #[error("{0}")]
    Invalid(String),
    /// No endpoint took the call: it did not happen and will not. Trying again is safe.
    #[error("{failure}")]
    NotAccepted {
        /// How many times an endpoint was asked.
        attempts: u32,
        /// The last failure.
        failure: Failure,
    },
    /// The call left and no answer came back: it may have happened. Try again with the same request id only.
    #[error("the outcome is unknown: the call may have been applied (last failure: {failure})")]
    Unknown {
        /// How many times an endpoint was asked.
        attempts: u32,
        /// The last failure.
        failure: Failure,
    },
    /// A node said no, and will say so again.
    #[error("{}", problem.detail)]
    Refused {
        /// Which node.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// Its reason.
        problem: Box<Problem>,
    },
    /// The answer is not one of this interface. Whether the call happened is unknown, unless it only reads.
    #[error("{endpoint} gave an answer that is none of Quorate's: {detail}")]
    Malformed {
        /// Who answered.
        endpoint: String,
        /// What is wrong with it.
        detail: String,
        /// What the call may have done.
        fate: Fate,
    },
}

impl ClientError {
    /// What the call may have done.
    pub fn fate(&self) -> Fate {
        match self {
            ClientError::Invalid(_) | ClientError::NotAccepted { .. } => Fate::NotAccepted,
            ClientError::Unknown { .. } => Fate::Unknown,
            ClientError::Malformed { fate, .. } => *fate,
            ClientError::Refused { problem, .. } => problem.fate,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            ClientError::NotAccepted { failure, .. } => failure.hint(),
            // Never the last failure's own advice: it speaks of the last attempt, and an earlier one may have been applied.
            ClientError::Unknown { .. } => Some(
                "it may have been applied: look at the state, or try again with the same request id only"
                    .to_owned(),
            ),
            ClientError::Refused { problem, .. } => Some(problem.hint.clone()),
            ClientError::Invalid(_) => None,
            ClientError::Malformed { .. } => Some(
                "is another program listening there? the client port of Quorate is 7480 by default"
                    .to_owned(),
            ),
        }
    }
}

/// What happened to one attempt at one endpoint.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct Failure {
    /// Whom it was tried with, `HOST:PORT`.
    pub endpoint: String,
    /// What happened.
    pub kind: FailureKind,
}

/// The kinds of failure of one attempt.
#[derive(Clone, Debug)]
pub enum FailureKind {
    /// Nobody listens there.
    NoListener,
    /// The connection could not be made in time, or at all.
    Unreachable(String),
    /// No answer in time, in milliseconds.
    TimedOut(u128),
    /// The connection broke after the request left.
    Broken(String),
    /// The answer is larger than this client accepts, in bytes.
    AnswerTooLarge(usize),
    /// The node answered that it cannot serve now.
    Problem(u16, Box<Problem>),
    /// An answer of a proxy or of a stranger, which tells nothing of the call.
    Status(u16),
    /// Every endpoint has failed lately and is left alone for a moment.
    LeftAlone(String),
}

impl Failure {
    /// What the attempt may have done.
    pub fn fate(&self) -> Fate {
        match &self.kind {
            FailureKind::NoListener | FailureKind::Unreachable(_) | FailureKind::LeftAlone(_) => {
                Fate::NotAccepted
            }
            FailureKind::TimedOut(_)
            | FailureKind::Broken(_)
            | FailureKind::AnswerTooLarge(_)
            | FailureKind::Status(_) => Fate::Unknown,
            FailureKind::Problem(_, problem) => problem.fate,
        }
    }

    /// Whether the endpoint itself is at fault, as opposed to a node that answers that it cannot serve now.
    pub(crate) fn is_the_endpoints(&self) -> bool {
        match self.kind {
            FailureKind::NoListener
            | FailureKind::Unreachable(_)
            | FailureKind::TimedOut(_)
            | FailureKind::Broken(_) => true,
            FailureKind::AnswerTooLarge(_)
            | FailureKind::Problem(..)
            | FailureKind::Status(_)
            | FailureKind::LeftAlone(_) => false,
        }
    }

    fn text(&self) -> String {
        let endpoint = &self.endpoint;
        match &self.kind {
            FailureKind::NoListener => format!("no listener at {endpoint} (connection refused)"),
            FailureKind::Unreachable(why) => format!("{endpoint} cannot be reached: {why}"),
            FailureKind::TimedOut(ms) => format!("{endpoint} did not answer within {ms} ms"),
            FailureKind::Broken(why) => format!("the connection to {endpoint} broke: {why}"),
            FailureKind::AnswerTooLarge(bytes_max) => {
                format!("the answer of {endpoint} is larger than {bytes_max} bytes")
            }
            FailureKind::Problem(_, problem) => format!("{endpoint}: {}", problem.detail),
            FailureKind::Status(status) => format!("{endpoint} answered with HTTP status {status}"),
            FailureKind::LeftAlone(last) => last.clone(),
        }
    }

    fn hint(&self) -> Option<String> {
        match &self.kind {
            FailureKind::NoListener | FailureKind::Unreachable(_) | FailureKind::LeftAlone(_) => Some(
                "is `quorate dev` or `quorate server` running? name other nodes with --endpoint or QUORATE_ENDPOINTS"
                    .to_owned(),
            ),
            FailureKind::Problem(_, problem) => Some(problem.hint.clone()),
            FailureKind::TimedOut(_)
            | FailureKind::Broken(_)
            | FailureKind::AnswerTooLarge(_)
            | FailureKind::Status(_) => None,
        }
    }
}
