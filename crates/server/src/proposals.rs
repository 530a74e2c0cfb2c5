//! `POST /v1/machines/{machine}/instances/{id}/proposals`: from a request to a command, and from its reply to an outcome.

use axum::extract::State;
use axum::response::Response;
use quorate::ProposeError;
use quorate_api::meaning::RejectionCode;
use quorate_api::outcome::{Answer, Outcome, Rejection};
use quorate_api::proposal::Propose;
use quorate_machine::{CheckError, Command, Expect, Proposal, Reply, Wish};

use crate::app::App;
use crate::call::Call;
use crate::problem::{Failure, json};
use crate::translate;

/// Proposes to move one instance.
pub(crate) async fn submit(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["explain", "timeout"])?;
    let explain = call.flag("explain")?;
    let timeout = call.timeout()?;
    let asker = call.asker()?;
    let command = Command::Propose(read(&call)?);
    let answer = match check(&command)? {
        Err(rejection) => Answer { outcome: Outcome::Rejected(rejection), explain: None },
        Ok(()) => match app.propose(asker, command, explain, timeout).await {
            Ok(proposed) => match proposed.reply {
                Reply::Outcome(outcome) => Answer {
                    outcome: translate::outcome(outcome),
                    explain: proposed.steps.map(translate::steps),
                },
                Reply::Defined(_) | Reply::Created(_) => return Err(translate::strange_reply()),
            },
            Err(error) => {
                let outcome = Outcome::Rejected(refused(&error, &app)?);
                Answer { outcome, explain: None }
            }
        },
    };
    app.telemetry.count_outcome(translate::outcome_word(&answer.outcome));
    Ok(json(answer.outcome.meaning().status, &answer))
}

fn read(call: &Call) -> Result<Proposal, Failure> {
    let Propose { event, to, data, expect } = call.json()?;
    let wish = match (event, to) {
        (Some(event), None) => Wish::Event(event),
        (None, Some(state)) => Wish::State(state),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Failure::malformed(
                "a proposal names an event or a target state, exactly one of both",
                r#"send {"event": "start"} or {"to": "Running"}"#,
            ));
        }
    };
    let expect = expect.unwrap_or_default();
    Ok(Proposal {
        machine: call.path("machine"),
        id: call.path("id"),
        wish,
        data: data.map(|data| serde_json::Value::Object(data).to_string()),
        expect: Expect { revision: expect.revision, state: expect.state },
    })
}

/// What is refused before the log: what makes no sense is a problem, what is too large a rejection.
pub(crate) fn check(command: &Command) -> Result<Result<(), Rejection>, Failure> {
    match command.check() {
        Ok(()) => Ok(Ok(())),
        Err(CheckError::Malformed { detail }) => Err(Failure::malformed(
            detail,
            "names: ASCII letters, digits, `_`, `-`; ids: any text without control characters",
        )),
        Err(error @ CheckError::TooLarge { .. }) => {
            Ok(Err(translate::early_rejection(RejectionCode::TooLarge, error.to_string())))
        }
    }
}

/// What the node answered instead of the machine: some of it is a rejection by the closed list, the rest a problem.
pub(crate) fn refused(error: &ProposeError, app: &App) -> Result<Rejection, Failure> {
    match error {
        ProposeError::KeyReused => {
            Ok(translate::early_rejection(RejectionCode::KeyReused, error.to_string()))
        }
        ProposeError::TooLarge { .. } => {
            Ok(translate::early_rejection(RejectionCode::TooLarge, error.to_string()))
        }
        ProposeError::NoLeader { .. }
        | ProposeError::Overloaded
        | ProposeError::DiskFull
        | ProposeError::TimedOut
        | ProposeError::Forgotten
        | ProposeError::SessionUnknown
        | ProposeError::Malformed(_)
        | ProposeError::ReplyMalformed(_)
        | ProposeError::Stopped { .. } => {
            let failure = Failure::propose(error, &app.members);
            app.telemetry.count_outcome(translate::problem_word(failure.code()));
            Err(failure)
        }
    }
}
