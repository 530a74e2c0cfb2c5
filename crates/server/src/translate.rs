//! Between the words of the registry and those of the interface. Exhaustive, so that a new kind of answer cannot be
//! forgotten here.

use quorate::{Step, StepKind};
use quorate_api::definition::{Fault, MachineSummary};
use quorate_api::history::{HistoryKind, HistoryPage, HistoryRecord};
use quorate_api::instance::{Instance, InstanceSummary};
use quorate_api::meaning::{ProblemCode, RejectionCode};
use quorate_api::outcome::{self, Committed, Created, Creation, ExplainStep, Ignored, Outcome, Rejection};
use quorate_api::problem::Fate;
use serde_json::{Map, Value};

use crate::problem::Failure;

pub(crate) fn outcome(outcome: quorate_machine::Outcome) -> Outcome {
    match outcome {
        quorate_machine::Outcome::Committed(committed) => {
            let quorate_machine::Committed { event, from, to, revision, version, index, term } = committed;
            Outcome::Committed(Committed { event, from, to, revision, version, index, term })
        }
        quorate_machine::Outcome::Ignored(ignored) => {
            let quorate_machine::Ignored { event, state, revision, version, index, term } = ignored;
            Outcome::Ignored(Ignored { event, state, revision, version, index, term })
        }
        quorate_machine::Outcome::Rejected(rejected) => Outcome::Rejected(rejection(rejected)),
    }
}

pub(crate) fn rejection(rejected: quorate_machine::Rejected) -> Rejection {
    let quorate_machine::Rejected { why, standing, index, term } = rejected;
    let mut rejection = early_rejection(rejection_code(why.code()), why.detail());
    rejection.index = Some(index);
    rejection.term = Some(term);
    if let Some(quorate_machine::Standing { state, allowed, revision, version }) = standing {
        rejection.state = Some(state);
        rejection.allowed = Some(allowed);
        rejection.revision = Some(revision);
        rejection.version = Some(version);
    }
    rejection
}

/// A rejection that was decided before the log, or without the machine.
pub(crate) fn early_rejection(code: RejectionCode, detail: String) -> Rejection {
    Rejection {
        code,
        detail,
        state: None,
        allowed: None,
        revision: None,
        version: None,
        index: None,
        term: None,
    }
}

pub(crate) fn created(created: quorate_machine::Created) -> Created {
    let quorate_machine::Created { machine, id, state, revision, version, index, term } = created;
    Created { machine, id, version, state, revision, index, term }
}

pub(crate) fn instance(info: quorate_machine::InstanceInfo) -> Instance {
    let quorate_machine::InstanceInfo {
        machine,
        id,
        state,
        is_final,
        revision,
        version,
        allowed,
        created_ms,
        changed_ms,
        index,
    } = info;
    let context = Map::new();
    Instance {
        machine,
        id,
        version,
        state,
        revision,
        allowed,
        is_final,
        context,
        created_ms,
        changed_ms,
        index,
    }
}

pub(crate) fn row(row: quorate_machine::InstanceRow) -> InstanceSummary {
    let quorate_machine::InstanceRow { id, state, revision, version, changed_ms } = row;
    InstanceSummary { id, version, state, revision, changed_ms }
}

pub(crate) fn machine(info: quorate_machine::MachineInfo) -> MachineSummary {
    let quorate_machine::MachineInfo { name, version, versions, hash, description, instances, built_in } =
        info;
    MachineSummary {
        machine: name,
        version,
        versions,
        hash: hash.to_string(),
        instances,
        built_in,
        description,
    }
}

/// A fault or warning with the text around it, ready to print.
pub(crate) fn fault(diagnostic: &quorate_machine::Diagnostic, machine: &str, source: &str) -> Fault {
    Fault {
        line: diagnostic.line as u64,
        column: diagnostic.column as u64,
        path: diagnostic.path.clone(),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
        rendered: diagnostic.render(machine, source),
    }
}

pub(crate) fn history(
    machine: String,
    id: String,
    page: quorate_machine::HistoryPage,
) -> Result<HistoryPage, Failure> {
    let quorate_machine::HistoryPage { records, oldest_revision, rejections_forgotten, next } = page;
    let records = records.into_iter().map(record).collect::<Result<_, _>>()?;
    Ok(HistoryPage { machine, id, records, oldest_revision, rejections_forgotten, next })
}

fn record(record: quorate_machine::HistoryRecord) -> Result<HistoryRecord, Failure> {
    let (what, revision, entry) = match record {
        quorate_machine::HistoryRecord::Created { to, revision, entry } => {
            (HistoryKind::Created { to }, revision, entry)
        }
        quorate_machine::HistoryRecord::Moved { from, to, event, revision, entry } => {
            (HistoryKind::Committed { event, from, to }, revision, entry)
        }
        quorate_machine::HistoryRecord::Rejected { state, event, to, code, revision, entry } => {
            (HistoryKind::Rejected { event, to, state, code: rejection_code(code) }, revision, entry)
        }
    };
    let quorate_machine::RecordEntry { version, time_ms, index, term, actor, request_id, data } = entry;
    let data = data.map(|text| read_data(&text)).transpose()?;
    Ok(HistoryRecord { what, revision, version, index, term, time_ms, actor, request_id, data })
}

/// Data was checked to be a JSON object before it went into the log.
fn read_data(text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|error| {
        tracing::error!(%error, "the data of a history record is no JSON object");
        Failure::internal(Fate::NotAccepted)
    })
}

pub(crate) fn steps(steps: Vec<Step>) -> Vec<ExplainStep> {
    let step = |step: Step| ExplainStep {
        node: step.node.get(),
        at_us: step.at_us,
        step: match step.what {
            StepKind::Accepted => outcome::StepKind::Accepted,
            StepKind::Forwarded { leader } => outcome::StepKind::Forwarded { leader: leader.get() },
            StepKind::Appended { entry } => {
                outcome::StepKind::Appended { index: entry.index.0, term: entry.term.0 }
            }
            StepKind::Acknowledged { by } => outcome::StepKind::Acknowledged { by: by.get() },
            StepKind::Committed => outcome::StepKind::Committed,
            StepKind::Applied => outcome::StepKind::Applied,
        },
    };
    steps.into_iter().map(step).collect()
}

pub(crate) fn rejection_code(code: quorate_machine::RejectionCode) -> RejectionCode {
    use quorate_machine::RejectionCode as Machine;
    match code {
        Machine::UnknownMachine => RejectionCode::UnknownMachine,
        Machine::UnknownInstance => RejectionCode::UnknownInstance,
        Machine::Exists => RejectionCode::Exists,
        Machine::UnknownEvent => RejectionCode::UnknownEvent,
        Machine::NoTransition => RejectionCode::NoTransition,
        Machine::GuardFailed => RejectionCode::GuardFailed,
        Machine::PayloadInvalid => RejectionCode::PayloadInvalid,
        Machine::LimitReached => RejectionCode::LimitReached,
        Machine::InvariantViolated => RejectionCode::InvariantViolated,
        Machine::Conflict => RejectionCode::Conflict,
        Machine::Forbidden => RejectionCode::Forbidden,
        Machine::Final => RejectionCode::Final,
        Machine::CostExceeded => RejectionCode::CostExceeded,
        Machine::TooLarge => RejectionCode::TooLarge,
        Machine::KeyReused => RejectionCode::KeyReused,
    }
}

/// The word that counts an outcome in the metrics.
pub(crate) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Committed(_) => "committed",
        Outcome::Ignored(_) => "ignored",
        Outcome::Rejected(rejection) => rejection.code.as_str(),
    }
}

/// The word that counts a creation in the metrics.
pub(crate) fn creation_word(creation: &Creation) -> &'static str {
    match creation {
        Creation::Created(_) => "created",
        Creation::Rejected(rejection) => rejection.code.as_str(),
    }
}

/// The word that counts a proposal without an outcome in the metrics: a few, so that dashboards stay readable.
pub(crate) fn problem_word(code: ProblemCode) -> &'static str {
    match code.meaning().status {
        429 => "overloaded",
        503 => "unavailable",
        504 => "unknown",
        _ => "error",
    }
}

/// The registry answered something that no answer to this command is.
pub(crate) fn strange_reply() -> Failure {
    tracing::error!("the registry answered with the reply of another command");
    Failure::internal(Fate::Applied)
}
