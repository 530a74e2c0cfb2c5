//! `propose`: one proposal, its outcome, and on request the steps on its way.

use quorate_api::meaning::{Exit, RejectionCode};
use quorate_api::outcome::{Answer, ExplainStep, Outcome, Rejection, StepKind};
use quorate_api::proposal::{Expect, Propose};
use quorate_api::strict::check_json;
use quorate_client::{RequestId, WriteOptions, random_id};
use serde_json::{Map, Value};

use crate::args::ProposeArgs;
use crate::commands::instances::{say_rejected, tell_rejection};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::entry;
use crate::target::Target;

/// `propose MACHINE/ID EVENT`. Without a key of the user's a random one makes the retries of this call safe.
pub(crate) async fn propose(context: &mut Context, arguments: ProposeArgs) -> Result<Exit, Failure> {
    let target = Target::parse(&arguments.target)?;
    let propose = body(&arguments)?;
    let key = arguments.key.clone().unwrap_or_else(|| format!("{:032x}", random_id()));
    let request_id = Some(RequestId::Key(key.clone()));
    let options = WriteOptions { request_id, explain: arguments.explain, ..WriteOptions::default() };
    let answer = match context.client.propose(&target.machine, &target.id, &propose, &options).await {
        Ok(answer) => answer,
        Err(error) => {
            let failure = context.explain(error, &target.machine).await;
            return Err(if failure.exit == Exit::Unknown {
                failure.hint(repeat(&target, &key))
            } else {
                failure
            });
        }
    };
    let shown =
        if context.output.is_table() { tell(context, &answer) } else { context.output.value(&answer) };
    shown.map_err(Failure::after_the_answer)?;
    if let Outcome::Rejected(rejection) = &answer.outcome {
        let hint = advice(context, &target, &propose, rejection).await;
        say_rejected(rejection, hint);
    }
    Ok(answer.outcome.meaning().exit)
}

/// What to do when nobody knows whether the proposal was applied: only the same key makes a repetition safe.
fn repeat(target: &Target, key: &str) -> String {
    let Target { machine, id } = target;
    format!("look with `quorate get {machine}/{id}`, or repeat the same command with --key {key}")
}

fn body(arguments: &ProposeArgs) -> Result<Propose, Failure> {
    let expect = Expect { revision: arguments.expect_revision, state: arguments.expect_state.clone() };
    let expects = expect.revision.is_some() || expect.state.is_some();
    Ok(Propose {
        event: arguments.event.clone(),
        to: arguments.to.clone(),
        data: arguments.data.as_deref().map(data).transpose()?,
        expect: expects.then_some(expect),
    })
}

fn data(text: &str) -> Result<Map<String, Value>, Failure> {
    let data = serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("--data is no JSON object: {error}"))
            .hint(r#"write it as in --data '{"owner":"ann"}'"#)
    })?;
    check_json(text).map_err(|fault| Failure::usage(format!("--data: {fault}")))?;
    Ok(data)
}

fn tell(context: &mut Context, answer: &Answer) -> Result<(), Failure> {
    if let Some(steps) = &answer.explain {
        let rows = steps.iter().map(step_row).collect();
        context.output.table(&["NODE", "AFTER", "STEP"], rows)?;
        context.output.line("")?;
    }
    match &answer.outcome {
        Outcome::Committed(committed) => {
            let row = vec![
                "committed".to_owned(),
                committed.event.clone(),
                committed.from.clone(),
                committed.to.clone(),
                committed.revision.to_string(),
                entry(committed.term, committed.index),
            ];
            context.output.table(&["OUTCOME", "EVENT", "FROM", "TO", "REVISION", "ENTRY"], vec![row])
        }
        Outcome::Ignored(ignored) => {
            let row = vec![
                "ignored".to_owned(),
                ignored.event.clone(),
                ignored.state.clone(),
                ignored.revision.to_string(),
                entry(ignored.term, ignored.index),
            ];
            context.output.table(&["OUTCOME", "EVENT", "STATE", "REVISION", "ENTRY"], vec![row])
        }
        Outcome::Rejected(rejection) => tell_rejection(context, rejection),
    }
}

/// One step in words. The time is on the clock of the node that names itself: those of two nodes are never compared.
fn step_row(step: &ExplainStep) -> Vec<String> {
    let what = match &step.step {
        StepKind::Accepted => "accepted from the client".to_owned(),
        StepKind::Forwarded { leader } => format!("forwarded to the leader, n{leader}"),
        StepKind::Appended { index, term } => format!("appended as entry {}", entry(*term, *index)),
        StepKind::Acknowledged { by } if *by == step.node => {
            format!("acknowledged by n{by}: on its own disk")
        }
        StepKind::Acknowledged { by } => format!("acknowledged by n{by}: on its disk"),
        StepKind::Committed => "committed: a quorum has it".to_owned(),
        StepKind::Applied => "applied: the machine has decided".to_owned(),
    };
    vec![format!("n{}", step.node), milliseconds(step.at_us), what]
}

/// Microseconds as milliseconds, right-aligned.
fn milliseconds(us: u64) -> String {
    format!("{:>5}.{:03} ms", us / 1000, us % 1000)
}

/// What to do about a rejection.
async fn advice(
    context: &Context,
    target: &Target,
    propose: &Propose,
    rejection: &Rejection,
) -> Option<String> {
    let Target { machine, id } = target;
    match rejection.code {
        RejectionCode::UnknownMachine => context.similar_machine(machine, &rejection.detail).await,
        RejectionCode::UnknownInstance => Some(format!("`quorate create {machine}/{id}` creates it")),
        RejectionCode::UnknownEvent | RejectionCode::NoTransition => {
            let (event, state) = (propose.event.as_deref(), propose.to.as_deref());
            let similar = context.similar_word(machine, event, state, &rejection.detail).await;
            similar.or_else(|| allowed(rejection))
        }
        RejectionCode::Conflict => Some(format!("`quorate get {machine}/{id}` shows what is there now")),
        RejectionCode::KeyReused => {
            Some("another proposal was sent under this key: choose a new one".to_owned())
        }
        RejectionCode::Exists
        | RejectionCode::GuardFailed
        | RejectionCode::PayloadInvalid
        | RejectionCode::LimitReached
        | RejectionCode::InvariantViolated
        | RejectionCode::Forbidden
        | RejectionCode::Final
        | RejectionCode::CostExceeded
        | RejectionCode::TooLarge => None,
    }
}

fn allowed(rejection: &Rejection) -> Option<String> {
    let state = rejection.state.as_ref()?;
    match rejection.allowed.as_deref()? {
        [] => Some(format!("no event leads out of {state}")),
        allowed => Some(format!("{state} takes: {}", allowed.join(", "))),
    }
}
