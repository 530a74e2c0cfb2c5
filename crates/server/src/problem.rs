//! The one map from errors to problems: what a caller is told, and nothing of the server's inside with it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quorate::{ClusterError, ClusterRefusal, Fate, ProposeError, ReadError};
use quorate_api::meaning::ProblemCode;
use quorate_api::problem::{self, LeaderHint, MEDIA_TYPE, Place, Problem};
use quorate_machine::QueryError;
use serde::Serialize;

use crate::config::MemberSettings;

/// A request that ends in a problem.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    allow: Option<HeaderValue>,
}

impl Failure {
    /// A problem that left nothing behind.
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { problem: Box::new(Problem::new(code, detail, hint)), allow: None }
    }

    /// A request that cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure::new(ProblemCode::Malformed, detail, hint)
    }

    /// A body that is no such JSON. The line and the column are those that serde_json names.
    pub(crate) fn json(error: &serde_json::Error) -> Failure {
        let mut failure = Failure::malformed(
            format!("the body cannot be read: {error}"),
            "docs/http.md lists the fields of each request",
        );
        failure.problem.place =
            Some(Place { line: error.line() as u64, column: error.column().max(1) as u64 });
        failure
    }

    /// Something that a later version does.
    pub(crate) fn not_supported(feature: &str) -> Failure {
        Failure::new(
            ProblemCode::NotSupported,
            format!("{feature}: not in this version ({})", env!("CARGO_PKG_VERSION")),
            "`GET /` lists what this version has",
        )
    }

    /// A proposal that the state machine did not answer.
    pub(crate) fn propose(error: &ProposeError, members: &[MemberSettings]) -> Failure {
        let (code, hint) = match error {
            ProposeError::NoLeader { .. } => {
                (ProblemCode::NoLeader, "try again; `GET /v1/cluster` shows which nodes are reached")
            }
            ProposeError::Overloaded => {
                (ProblemCode::Overloaded, "try again later, with fewer requests at a time")
            }
            ProposeError::DiskFull => {
                (ProblemCode::DiskFull, "ask another node, or free some space on the disk of this one")
            }
            ProposeError::TooLarge { .. } => (ProblemCode::TooLarge, "send less data with one proposal"),
            ProposeError::TimedOut => (ProblemCode::TimedOut, RETRY_SAME_ID),
            ProposeError::Forgotten => (
                ProblemCode::Forgotten,
                "it will never be applied from now on: read what is there to see whether it was; new requests need a new session",
            ),
            ProposeError::SessionUnknown => (
                ProblemCode::SessionUnknown,
                "open the session with POST /v1/sessions; if it was open, read before you send again",
            ),
            ProposeError::KeyReused => (ProblemCode::KeyReused, "use a new key for each different request"),
            ProposeError::Malformed(_) | ProposeError::ReplyMalformed(_) => (
                ProblemCode::Internal,
                "the nodes of the cluster may run different versions, or a reply is too large",
            ),
            ProposeError::Stopped { sent: false } => (ProblemCode::Stopping, "ask another node"),
            ProposeError::Stopped { sent: true } => (ProblemCode::TimedOut, RETRY_SAME_ID),
        };
        let mut failure = Failure::new(code, error.to_string(), hint);
        failure.problem.fate = fate(error.fate());
        if let ProposeError::NoLeader { leader } = error {
            failure.problem.leader = leader.map(|leader| leader_hint(leader.get(), members));
        }
        failure
    }

    /// A read that was not served. It changes nothing, so its fate is never in doubt.
    pub(crate) fn read(error: &ReadError, members: &[MemberSettings]) -> Failure {
        let (code, hint) = match error {
            ReadError::NoLeader { .. } | ReadError::TimedOut => {
                (ProblemCode::NoLeader, "try again; `GET /v1/cluster` shows which nodes are reached")
            }
            ReadError::Overloaded => {
                (ProblemCode::Overloaded, "try again later, with fewer requests at a time")
            }
            ReadError::DiskFull => {
                (ProblemCode::DiskFull, "ask another node, or free some space on the disk of this one")
            }
            ReadError::Stopped => (ProblemCode::Stopping, "ask another node"),
        };
        let mut failure = Failure::new(code, error.to_string(), hint);
        if let ReadError::NoLeader { leader } = error {
            failure.problem.leader = leader.map(|leader| leader_hint(leader.get(), members));
        }
        failure
    }

    /// What the cluster does not do, or may not have done.
    pub(crate) fn cluster(error: &ClusterError, members: &[MemberSettings]) -> Failure {
        let (code, hint) = match error {
            ClusterError::NoLeader { .. } => {
                (ProblemCode::NoLeader, "try again; `GET /v1/cluster` shows which nodes are reached")
            }
            ClusterError::Overloaded => {
                (ProblemCode::Overloaded, "wait until the changes under way are done: `GET /v1/cluster`")
            }
            ClusterError::Refused(refusal) => (ProblemCode::Refused, refusal_hint(refusal)),
            ClusterError::TimedOut | ClusterError::Stopped { sent: true } => {
                (ProblemCode::TimedOut, "look at `GET /v1/cluster` before you ask again")
            }
            ClusterError::Stopped { sent: false } => (ProblemCode::Stopping, "ask another node"),
        };
        let mut failure = Failure::new(code, error.to_string(), hint);
        failure.problem.fate = fate(error.fate());
        if let ClusterError::NoLeader { leader } = error {
            failure.problem.leader = leader.map(|leader| leader_hint(leader.get(), members));
        }
        failure
    }

    /// A question that the registry has no answer to.
    pub(crate) fn query(error: &QueryError) -> Failure {
        let (code, hint) = match error {
            QueryError::UnknownMachine { .. } => {
                (ProblemCode::UnknownMachine, "`GET /v1/machines` lists all".to_owned())
            }
            QueryError::UnknownVersion { .. } => {
                (ProblemCode::UnknownMachine, "leave `version` out for the newest".to_owned())
            }
            QueryError::UnknownInstance { machine, .. } => {
                (ProblemCode::UnknownInstance, format!("`GET /v1/machines/{machine}/instances` lists all"))
            }
            QueryError::UnknownState { machine, .. } => {
                (ProblemCode::Malformed, format!("`GET /v1/machines/{machine}/count` names all states"))
            }
            QueryError::Compacted { oldest_revision, .. } => {
                (ProblemCode::Compacted, format!("begin at from={oldest_revision}"))
            }
        };
        Failure::new(code, error.to_string(), hint)
    }

    /// A bug of the server. What it was stands in the log, never in the answer.
    pub(crate) fn internal(fate: problem::Fate) -> Failure {
        let mut failure = Failure::new(
            ProblemCode::Internal,
            "the server met an error of its own; its log says which",
            "report it with the lines of the log around this time",
        );
        failure.problem.fate = fate;
        failure
    }

    /// The same failure with the methods that the route has.
    pub(crate) fn allowing(mut self, methods: HeaderValue) -> Failure {
        self.allow = Some(methods);
        self
    }

    /// The problem, to be completed.
    pub(crate) fn problem_mut(&mut self) -> &mut Problem {
        &mut self.problem
    }

    /// The problem's code, for the metrics.
    pub(crate) fn code(&self) -> ProblemCode {
        self.problem.code
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.problem.meaning().status;
        let mut response = answer(status, MEDIA_TYPE, &self.problem);
        if matches!(status, 429 | 503) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(methods) = self.allow {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json<T: Serialize>(status: u16, body: &T) -> Response {
    answer(status, "application/json", body)
}

fn answer<T: Serialize>(status: u16, media_type: &'static str, body: &T) -> Response {
    // The types of the interface hold nothing that JSON cannot: text keys, integers, no maps with other keys.
    let (status, bytes) = match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            // A terminal that shows an answer goes on in a line of its own.
            bytes.push(b'\n');
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), bytes)
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    (status, [(header::CONTENT_TYPE, media_type)], bytes).into_response()
}

fn fate(fate: Fate) -> problem::Fate {
    match fate {
        Fate::NotAccepted => problem::Fate::NotAccepted,
        Fate::Unknown => problem::Fate::Unknown,
        Fate::Applied => problem::Fate::Applied,
    }
}

/// Where the leader is, as far as the settings say.
fn leader_hint(id: u64, members: &[MemberSettings]) -> LeaderHint {
    let api = members.iter().find(|member| member.id == id).and_then(|member| member.api.clone());
    LeaderHint { id, api }
}

/// What to do when the leader has refused.
fn refusal_hint(refusal: &ClusterRefusal) -> &'static str {
    match refusal {
        ClusterRefusal::Change(_) => "`GET /v1/cluster` lists the members",
        ClusterRefusal::NotVoter(_) => "`GET /v1/cluster` lists the voters",
        ClusterRefusal::TransferUnderWay { .. } => "it ends within an election timeout: try again then",
        ClusterRefusal::NobodyElse => {
            "bring another node back first: `GET /v1/cluster` shows which are reached"
        }
        ClusterRefusal::LevelTooLow { .. } => "start it with the version that the members run",
        ClusterRefusal::NotTakenOver { .. } => {
            "see with `GET /v1/cluster` whether it runs and how far it is behind, or choose another one"
        }
    }
}

const RETRY_SAME_ID: &str = "it may have been applied: send it again with the same Idempotency-Key or Quorate-Request, or read before you do";

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use quorate::{ClusterError, ClusterRefusal, ProposeError, ReadError};

    use super::Failure;

    /// What a call's error is told as: a row of the table in `docs/http.md`. Fails if the words do not say what may have happened.
    fn row(error: &impl Debug, failure: &Failure) -> String {
        let problem = &failure.problem;
        let word = |value: serde_json::Value| value.as_str().expect("it is a word").to_owned();
        let fate = word(serde_json::to_value(problem.fate).expect("a fate is a word"));
        let code = word(serde_json::to_value(problem.code).expect("a code is a word"));
        let meaning = problem.meaning();
        assert!(!problem.detail.is_empty() && !problem.hint.is_empty(), "{error:?} says what to do");
        let mut name = format!("{error:?}");
        name.truncate(name.find(['(', '{']).unwrap_or(name.len()));
        let sent = if format!("{error:?}").contains("sent: true") { ", sent" } else { "" };
        let exit = meaning.exit.code();
        format!("| `{}`{sent} | `{fate}` | {} `{code}` | {exit} |", name.trim(), meaning.status)
    }

    /// One of each. Whoever adds one must put it here, and say in the table what may have happened then.
    fn propose_errors() -> Vec<ProposeError> {
        let error = ProposeError::Overloaded;
        match error {
            ProposeError::NoLeader { .. }
            | ProposeError::Overloaded
            | ProposeError::DiskFull
            | ProposeError::TooLarge { .. }
            | ProposeError::TimedOut
            | ProposeError::Forgotten
            | ProposeError::SessionUnknown
            | ProposeError::KeyReused
            | ProposeError::Malformed(_)
            | ProposeError::ReplyMalformed(_)
            | ProposeError::Stopped { .. } => vec![
                ProposeError::NoLeader { leader: None },
                ProposeError::Overloaded,
                ProposeError::DiskFull,
                ProposeError::TooLarge { bytes: 2, bytes_max: 1 },
                ProposeError::KeyReused,
                ProposeError::Malformed("no".into()),
                ProposeError::Stopped { sent: false },
                ProposeError::TimedOut,
                ProposeError::Forgotten,
                ProposeError::SessionUnknown,
                ProposeError::Stopped { sent: true },
                ProposeError::ReplyMalformed("no".into()),
            ],
        }
    }

    fn read_errors() -> Vec<ReadError> {
        let error = ReadError::Overloaded;
        match error {
            ReadError::NoLeader { .. }
            | ReadError::Overloaded
            | ReadError::DiskFull
            | ReadError::TimedOut
            | ReadError::Stopped => vec![
                ReadError::NoLeader { leader: None },
                ReadError::Overloaded,
                ReadError::DiskFull,
                ReadError::TimedOut,
                ReadError::Stopped,
            ],
        }
    }

    fn cluster_errors() -> Vec<ClusterError> {
        let error = ClusterError::Overloaded;
        match error {
            ClusterError::NoLeader { .. }
            | ClusterError::Overloaded
            | ClusterError::Refused(_)
            | ClusterError::TimedOut
            | ClusterError::Stopped { .. } => vec![
                ClusterError::NoLeader { leader: None },
                ClusterError::Overloaded,
                ClusterError::Refused(ClusterRefusal::NobodyElse),
                ClusterError::Stopped { sent: false },
                ClusterError::TimedOut,
                ClusterError::Stopped { sent: true },
            ],
        }
    }

    /// The table is generated from the errors, so the two cannot differ, and no error is left out.
    #[test]
    fn every_error_of_a_node_has_a_fate_a_status_and_an_exit_code_in_the_documentation() {
        let mut table =
            vec!["| error | fate | HTTP | exit code |".to_owned(), "|---|---|---|---|".to_owned()];
        table.extend(propose_errors().iter().map(|error| {
            let failure = Failure::propose(error, &[]);
            assert_eq!(failure.problem.fate, super::fate(error.fate()), "{error:?}");
            row(error, &failure)
        }));
        let of_propose = table.join("\n");
        let read =
            read_errors().iter().map(|error| row(error, &Failure::read(error, &[]))).collect::<Vec<_>>();
        let of_read = read.join("\n");
        let cluster = cluster_errors();
        let cluster = cluster.iter().map(|error| {
            let failure = Failure::cluster(error, &[]);
            assert_eq!(failure.problem.fate, super::fate(error.fate()), "{error:?}");
            row(error, &failure)
        });
        let of_cluster = cluster.collect::<Vec<_>>().join("\n");
        let page = include_str!("../../../docs/http.md");
        for rows in [of_propose, of_read, of_cluster] {
            assert!(page.contains(&rows), "docs/http.md lacks these rows:\n{rows}");
        }
    }

    /// A node that is asked for less, or a moment later, serves again: it says when to come back.
    #[test]
    fn who_may_try_again_is_told_when() {
        use axum::http::header::RETRY_AFTER;
        use axum::response::IntoResponse;
        for error in propose_errors() {
            let response = Failure::propose(&error, &[]).into_response();
            let tells = response.headers().contains_key(RETRY_AFTER);
            assert_eq!(tells, matches!(response.status().as_u16(), 429 | 503), "{error:?}");
        }
    }
}
