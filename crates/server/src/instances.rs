//! Instances: create one, read one, list them, count them, and what happened to one.

use axum::extract::State;
use axum::response::Response;
use quorate::RequestId;
use quorate_api::instance::{Count, CreateInstance, ListPage};
use quorate_api::outcome::Creation;
use quorate_machine::{Command, Reply};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::call::Call;
use crate::problem::{Failure, json};
use crate::{proposals, translate};

/// `POST /v1/machines/{machine}/instances`.
pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["timeout"])?;
    let timeout = call.timeout()?;
    let asker = call.asker()?;
    let CreateInstance { id, context } = call.json()?;
    if context.is_some_and(|context| !context.is_empty()) {
        return Err(Failure::not_supported("`context`: data carried by an instance"));
    }
    let machine = call.path("machine");
    let id = match id {
        Some(id) => id,
        None => choose_id(&machine, asker.request_id.as_ref())?,
    };
    let command = Command::Create { machine, id };
    let creation = match proposals::check(&command)? {
        Err(rejection) => Creation::Rejected(rejection),
        Ok(()) => match app.propose(asker, command, false, timeout).await {
            Ok(proposed) => match proposed.reply {
                Reply::Created(created) => Creation::Created(translate::created(created)),
                Reply::Outcome(quorate_machine::Outcome::Rejected(rejected)) => {
                    Creation::Rejected(translate::rejection(rejected))
                }
                Reply::Defined(_) | Reply::Outcome(_) => return Err(translate::strange_reply()),
            },
            Err(error) => Creation::Rejected(proposals::refused(&error, &app)?),
        },
    };
    app.telemetry.count_outcome(translate::creation_word(&creation));
    Ok(json(creation.meaning().status, &creation))
}

/// `GET /v1/machines/{machine}/instances`.
pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    if call.text("label").is_some() {
        return Err(Failure::not_supported("`label`: instances by label"));
    }
    call.allow(&["state", "limit", "cursor", "consistency", "timeout"])?;
    let machine = call.path("machine");
    let limit = call.limit()?;
    let state = call.text("state").map(str::to_owned);
    let after = call.text("cursor").map(read_cursor).transpose()?;
    let name = machine.clone();
    let page = app
        .read(&call, move |registry| registry.list(&name, state.as_deref(), limit, after.as_deref()))
        .await?;
    page.answer(|page| {
        let cursor = page.next.as_deref().map(write_cursor);
        let instances = page.instances.into_iter().map(translate::row).collect();
        Ok(ListPage { machine, instances, cursor })
    })
}

/// `GET /v1/machines/{machine}/count`.
pub(crate) async fn count(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["consistency", "timeout"])?;
    let machine = call.path("machine");
    let counts = app.read(&call, move |registry| registry.count(&machine)).await?;
    counts.answer(|counts| {
        let quorate_machine::Counts { machine, version, total, states } = counts;
        Ok(Count { machine, version, total, states })
    })
}

/// `GET /v1/machines/{machine}/instances/{id}`.
pub(crate) async fn get(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["consistency", "timeout"])?;
    let (machine, id) = (call.path("machine"), call.path("id"));
    let instance = app.read(&call, move |registry| registry.instance(&machine, &id)).await?;
    instance.answer(|instance| Ok(translate::instance(instance)))
}

/// `GET /v1/machines/{machine}/instances/{id}/history`.
pub(crate) async fn history(State(app): State<App>, call: Call) -> Result<Response, Failure> {
    call.allow(&["from", "limit", "consistency", "timeout"])?;
    let (machine, id) = (call.path("machine"), call.path("id"));
    let (from, limit) = (call.number("from")?, call.limit()?);
    let names = (machine.clone(), id.clone());
    let page = app.read(&call, move |registry| registry.history(&names.0, &names.1, from, limit)).await?;
    page.answer(|page| translate::history(machine, id, page))
}

/// An id for an instance whose creator gave none. With a request id it follows from that one: a retry must propose the
/// very same command, else it would be refused as another one.
fn choose_id(machine: &str, request_id: Option<&RequestId>) -> Result<String, Failure> {
    let mut bytes = [0; 16];
    match request_id {
        None => getrandom::fill(&mut bytes).map_err(|error| {
            tracing::error!(%error, "the system gave no random bytes");
            Failure::internal(quorate_api::problem::Fate::NotAccepted)
        })?,
        Some(request_id) => {
            let mut hasher = Sha256::new();
            hasher.update(machine.as_bytes());
            match request_id {
                RequestId::Key(key) => {
                    hasher.update([0, 0]);
                    hasher.update(key);
                }
                RequestId::Session { session, sequence, acknowledged: _ } => {
                    hasher.update([0, 1]);
                    hasher.update(session.to_be_bytes());
                    hasher.update(sequence.to_be_bytes());
                }
            }
            bytes.copy_from_slice(&hasher.finalize()[..16]);
        }
    }
    Ok(hex(&bytes))
}

/// The last id of a page as a cursor: hex, so that callers treat it as what it is, a word to give back.
fn write_cursor(id: &str) -> String {
    hex(id.as_bytes())
}

fn read_cursor(cursor: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::malformed("the cursor is none of ours", "give back the `cursor` of the last page unchanged")
    };
    if cursor.is_empty()
        || !cursor.len().is_multiple_of(2)
        || !cursor.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err(wrong());
    }
    let byte = |place: usize| u8::from_str_radix(&cursor[place..place + 2], 16).map_err(|_| wrong());
    let bytes = (0..cursor.len()).step_by(2).map(byte).collect::<Result<Vec<u8>, Failure>>()?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
