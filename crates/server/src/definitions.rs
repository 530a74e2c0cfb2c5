//! Machines: apply a definition, list them, show one.

use axum::extract::State;
use axum::response::Response;
use quorate_api::definition::{DefinitionApplied, MachineDefinition, MachineList};
use quorate_api::meaning::ProblemCode;
use quorate_api::problem::Fate;
use quorate_machine::{Checked, Command, DefineOutcome, Defined, Definition, Format, Reply};

use crate::app::App;
use crate::call::Call;
use crate::problem::{Failure, json};
use crate::translate;

/// `PUT /v1/machines/{machine}`.
pub(crate) async fn apply(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["timeout"])?;
    let timeout = call.timeout()?;
    let asker = call.asker()?;
    let machine = call.path("machine");
    let format = format(&call)?;
    let source = String::from_utf8_lossy(&call.body);
    let Checked { definition, faults, warnings } = quorate_machine::parse_bytes(&call.body, format);
    let Some(definition) = definition else {
        let mut failure = Failure::new(
            ProblemCode::InvalidDefinition,
            match faults.len() {
                1 => "the definition has a fault".to_owned(),
                count => format!("the definition has {count} faults"),
            },
            "correct what `faults` lists; `quorate check FILE` shows the same without a server",
        );
        failure.problem_mut().faults =
            faults.iter().map(|fault| translate::fault(fault, &machine, &source)).collect();
        return Err(failure);
    };
    check_name(&machine, &definition)?;
    let command =
        Command::Define { canonical_json: definition.canonical_json().to_owned(), hash: definition.hash() };
    let proposed = app
        .propose(asker, command, false, timeout)
        .await
        .map_err(|error| Failure::propose(&error, &app.members))?;
    let Reply::Defined(defined) = proposed.reply else { return Err(translate::strange_reply()) };
    let created = became_new(&defined)?;
    let warnings = warnings.iter().map(|warning| translate::fault(warning, &machine, &source)).collect();
    let Defined { outcome: _, machine, version, hash, index, term } = defined;
    let applied =
        DefinitionApplied { machine, version, hash: hash.to_string(), created, index, term, warnings };
    Ok(json(if created { 201 } else { 200 }, &applied))
}

/// `GET /v1/machines`.
pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["consistency", "timeout"])?;
    let machines = app.read(&call, |registry| Ok(registry.machines())).await?;
    machines.answer(|all| Ok(MachineList { machines: all.into_iter().map(translate::machine).collect() }))
}

/// `GET /v1/machines/{machine}`.
pub(crate) async fn get(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["version", "consistency", "timeout"])?;
    let machine = call.path("machine");
    let version = call.number("version")?;
    let definition = app.read(&call, move |registry| registry.definition(&machine, version)).await?;
    definition.answer(|definition| {
        let canonical = serde_json::from_str(definition.canonical_json()).map_err(|error| {
            tracing::error!(%error, "a canonical definition is no JSON");
            Failure::internal(Fate::NotAccepted)
        })?;
        Ok(MachineDefinition {
            machine: definition.name().to_owned(),
            version: definition.version(),
            hash: definition.hash().to_string(),
            definition: canonical,
        })
    })
}

fn format(call: &Call) -> Result<Format, Failure> {
    match call.media_type().as_deref() {
        Some("application/toml" | "text/x-toml") => Ok(Format::Toml),
        Some("application/json") => Ok(Format::Json),
        other => Err(Failure::new(
            ProblemCode::UnsupportedMediaType,
            format!("a definition is TOML or JSON, the body is {}", other.unwrap_or("of no named type")),
            "send the header `Content-Type: application/toml` or `Content-Type: application/json`",
        )),
    }
}

/// The path and the text name the same machine, or somebody is about to overwrite the wrong one.
fn check_name(machine: &str, definition: &Definition) -> Result<(), Failure> {
    if definition.name() == machine {
        return Ok(());
    }
    Err(Failure::malformed(
        format!("the path names machine {machine:?}, the definition {:?}", definition.name()),
        format!("PUT it to /v1/machines/{}", definition.name()),
    ))
}

/// Whether the definition is new, or why it was not taken.
fn became_new(defined: &Defined) -> Result<bool, Failure> {
    let Defined { outcome, machine, version, .. } = defined;
    let (code, detail, hint) = match outcome {
        DefineOutcome::New => return Ok(true),
        DefineOutcome::Unchanged => return Ok(false),
        DefineOutcome::VersionTaken { hash } => (
            ProblemCode::VersionConflict,
            format!("machine {machine:?} has another definition as version {version}, with the hash {hash}"),
            format!(
                "raise `version` to {} or more: a version that was applied stands for ever",
                version.saturating_add(1)
            ),
        ),
        DefineOutcome::NotNewer { latest } => (
            ProblemCode::VersionConflict,
            format!("machine {machine:?} is at version {latest} already, the definition says {version}"),
            format!("raise `version` to {} or more", latest.saturating_add(1)),
        ),
        DefineOutcome::LimitReached { definitions_max } => (
            ProblemCode::LimitReached,
            format!("the cluster keeps {definitions_max} definitions and no more"),
            "apply fewer versions".to_owned(),
        ),
        DefineOutcome::HashMismatch { .. } | DefineOutcome::Invalid => (
            ProblemCode::InvalidDefinition,
            "the leader does not read the definition as this node does".to_owned(),
            "the nodes run different versions of Quorate: finish the upgrade first".to_owned(),
        ),
    };
    Err(Failure::new(code, detail, hint))
}
