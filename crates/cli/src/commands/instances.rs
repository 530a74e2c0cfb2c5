//! `create`, `get`, `list`, `count`, `history`: instances.

use quorate_api::history::{HistoryKind, HistoryRecord};
use quorate_api::instance::{CreateInstance, InstanceSummary};
use quorate_api::meaning::Exit;
use quorate_api::outcome::{Creation, Rejection};
use quorate_client::{ListQuery, RequestId, WriteOptions, random_id};

use crate::args::OutputFormat;
use crate::context::Context;
use crate::failure::{Failure, words};
use crate::output::{Columns, entry, moment, number};
use crate::target::{self, Target};

/// How many rows one request asks for: large enough to be quick, small enough to show the first page at once.
const PAGE_LEN: u32 = 1000;

/// `create MACHINE[/ID]`. Without a key of the user's a random one makes the retries of this call safe.
pub(crate) async fn create(
    context: &mut Context,
    target: &str,
    key: Option<String>,
) -> Result<Exit, Failure> {
    let (machine, id) = target::split(target)?;
    let key = key.unwrap_or_else(|| format!("{:032x}", random_id()));
    let request_id = Some(RequestId::Key(key.clone()));
    let options = WriteOptions { request_id, ..WriteOptions::default() };
    let body = CreateInstance { id, ..CreateInstance::default() };
    let creation = match context.client.create(&machine, &body, &options).await {
        Ok(creation) => creation,
        Err(error) => {
            let failure = context.explain(error, &machine).await;
            if failure.exit != Exit::Unknown {
                return Err(failure);
            }
            let hint =
                format!("look with `quorate list {machine}`, or repeat the same command with --key {key}");
            return Err(failure.hint(hint));
        }
    };
    if !context.output.is_table() {
        context.output.value(&creation).map_err(Failure::after_the_answer)?;
    }
    match &creation {
        Creation::Created(created) if context.output.is_table() => {
            let row = vec![
                format!("{}/{}", created.machine, created.id),
                created.state.clone(),
                created.revision.to_string(),
                entry(created.term, created.index),
            ];
            let shown = context.output.table(&["INSTANCE", "STATE", "REVISION", "ENTRY"], vec![row]);
            shown.map_err(Failure::after_the_answer)?;
        }
        Creation::Created(_) => {}
        Creation::Rejected(rejection) => {
            if context.output.is_table() {
                tell_rejection(context, rejection)?;
            }
            let hint = match creation.meaning().exit {
                Exit::NotFound => context.similar_machine(&machine, &rejection.detail).await,
                Exit::Conflict => Some(format!("`quorate get {target}` shows it")),
                Exit::Ok
                | Exit::Error
                | Exit::Usage
                | Exit::Rejected
                | Exit::Unavailable
                | Exit::Unknown
                | Exit::Applied => None,
            };
            say_rejected(rejection, hint);
        }
    }
    Ok(creation.meaning().exit)
}

/// A rejection as a table: it is a result, decided on every node alike.
pub(crate) fn tell_rejection(context: &mut Context, rejection: &Rejection) -> Result<(), Failure> {
    let row = vec![
        "rejected".to_owned(),
        rejection.code.as_str().to_owned(),
        rejection.state.clone().unwrap_or_default(),
        rejection.allowed.as_ref().map(|allowed| allowed.join(",")).unwrap_or_default(),
        rejection.revision.map(|revision| revision.to_string()).unwrap_or_default(),
        rejection.term.zip(rejection.index).map(|(term, index)| entry(term, index)).unwrap_or_default(),
    ];
    context.output.table(&["OUTCOME", "CODE", "STATE", "ALLOWED", "REVISION", "ENTRY"], vec![row])
}

/// The words of a rejection on stderr.
pub(crate) fn say_rejected(rejection: &Rejection, hint: Option<String>) {
    let failure = Failure::new(Exit::Rejected, format!("{}: {}", rejection.code.as_str(), rejection.detail));
    Failure { hint, ..failure }.tell();
}

/// `get MACHINE/ID`.
pub(crate) async fn get(context: &mut Context, target: &str) -> Result<Exit, Failure> {
    let Target { machine, id } = Target::parse(target)?;
    let instance = match context.client.instance(&machine, &id).await {
        Ok(instance) => instance,
        Err(error) => return Err(context.explain(error, &machine).await),
    };
    if !context.output.is_table() {
        context.output.value(&instance)?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![
        ("instance", format!("{}/{}", instance.machine, instance.id)),
        ("state", instance.state),
        ("revision", instance.revision.to_string()),
        ("allowed", instance.allowed.join(", ")),
        ("version", instance.version.to_string()),
        ("created", moment(instance.created_ms)),
        ("changed", moment(instance.changed_ms)),
    ];
    if instance.is_final {
        rows.push(("final", "yes".to_owned()));
    }
    if !instance.context.is_empty() {
        rows.push(("context", serde_json::Value::Object(instance.context).to_string()));
    }
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    context.output.table(&["FIELD", "VALUE"], rows)?;
    Ok(Exit::Ok)
}

/// `list MACHINE`: page by page, so that a large machine is shown from the first second on. As `json` it is one page of the
/// interface with all rows in it.
pub(crate) async fn list(
    context: &mut Context,
    machine: &str,
    state: Option<String>,
    limit: Option<u64>,
) -> Result<Exit, Failure> {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut query = ListQuery { state, ..ListQuery::default() };
    let mut columns = Columns::default();
    let mut whole: Option<quorate_api::instance::ListPage> = None;
    loop {
        query.limit = Some(u32::try_from(left.min(u64::from(PAGE_LEN))).unwrap_or(PAGE_LEN));
        let page = match context.client.list(machine, &query).await {
            Ok(page) => page,
            Err(error) => return Err(explain_list(context, error, machine, query.state.as_deref()).await),
        };
        left = left.saturating_sub(page.instances.len() as u64);
        query.cursor.clone_from(&page.cursor);
        match context.output.format {
            OutputFormat::Jsonl => page.instances.iter().try_for_each(|row| context.output.value(row))?,
            OutputFormat::Table => {
                let rows = page.instances.iter().map(list_row).collect();
                context.output.page(
                    &mut columns,
                    &["ID", "STATE", "REVISION", "VERSION", "CHANGED"],
                    rows,
                )?;
            }
            OutputFormat::Json => match &mut whole {
                None => whole = Some(page),
                Some(whole) => {
                    whole.instances.extend(page.instances);
                    whole.cursor = page.cursor;
                }
            },
        }
        if query.cursor.is_none() || left == 0 || context.output.is_closed() {
            break;
        }
    }
    if let Some(whole) = whole {
        context.output.value(&whole)?;
    }
    if query.cursor.is_some() && context.output.is_table() && !context.output.is_closed() {
        words("there are more; a larger --limit shows them");
    }
    Ok(Exit::Ok)
}

async fn explain_list(
    context: &Context,
    error: quorate_client::ClientError,
    machine: &str,
    state: Option<&str>,
) -> Failure {
    let failure = context.explain(error, machine).await;
    if failure.exit == Exit::NotFound {
        return failure;
    }
    match context.similar_word(machine, None, state, &failure.what).await {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn list_row(row: &InstanceSummary) -> Vec<String> {
    vec![
        row.id.clone(),
        row.state.clone(),
        row.revision.to_string(),
        row.version.to_string(),
        moment(row.changed_ms),
    ]
}

/// `count MACHINE`: every state, zeros included, and the total.
pub(crate) async fn count(context: &mut Context, machine: &str) -> Result<Exit, Failure> {
    let count = match context.client.count(machine).await {
        Ok(count) => count,
        Err(error) => return Err(context.explain(error, machine).await),
    };
    if !context.output.is_table() {
        context.output.value(&count)?;
        return Ok(Exit::Ok);
    }
    let mut rows = count
        .states
        .iter()
        .map(|(state, instances)| vec![state.clone(), number(*instances)])
        .collect::<Vec<_>>();
    rows.push(vec!["(all)".to_owned(), number(count.total)]);
    context.output.table(&["STATE", "INSTANCES"], rows)?;
    Ok(Exit::Ok)
}

/// `history MACHINE/ID`.
pub(crate) async fn history(
    context: &mut Context,
    target: &str,
    from: Option<u64>,
    limit: Option<u64>,
) -> Result<Exit, Failure> {
    let Target { machine, id } = Target::parse(target)?;
    let mut left = limit.unwrap_or(u64::MAX);
    let mut from = from;
    let mut columns = Columns::default();
    let mut whole: Option<quorate_api::history::HistoryPage> = None;
    loop {
        let page_len = u32::try_from(left.min(u64::from(PAGE_LEN))).unwrap_or(PAGE_LEN);
        let page = match context.client.history(&machine, &id, from, Some(page_len)).await {
            Ok(page) => page,
            Err(error) => return Err(context.explain(error, &machine).await),
        };
        // A page ends between two revisions, so it may hold a few records more than were asked for. They are all shown: `next`
        // goes on behind them, and who pages by it must not lose any.
        left = left.saturating_sub(page.records.len() as u64);
        from = page.next;
        match context.output.format {
            OutputFormat::Jsonl => page.records.iter().try_for_each(|record| context.output.value(record))?,
            OutputFormat::Table => {
                let head = ["REVISION", "OUTCOME", "EVENT", "FROM", "TO", "TIME", "ENTRY", "DATA"];
                let rows = page.records.iter().map(history_row).collect();
                context.output.page(&mut columns, &head, rows)?;
            }
            OutputFormat::Json => match &mut whole {
                None => whole = Some(page),
                Some(whole) => {
                    whole.records.extend(page.records);
                    whole.next = page.next;
                }
            },
        }
        if from.is_none() || left == 0 || context.output.is_closed() {
            break;
        }
    }
    if let Some(whole) = whole {
        context.output.value(&whole)?;
    }
    if let Some(next) = from
        && context.output.is_table()
        && !context.output.is_closed()
    {
        words(&format!("there are more; --from {next} goes on behind these"));
    }
    Ok(Exit::Ok)
}

fn history_row(record: &HistoryRecord) -> Vec<String> {
    let [outcome, event, from, to] = match &record.what {
        HistoryKind::Created { to } => ["created".to_owned(), String::new(), String::new(), to.clone()],
        HistoryKind::Committed { event, from, to } => {
            ["committed".to_owned(), event.clone(), from.clone(), to.clone()]
        }
        HistoryKind::Rejected { event, to, state, code } => [
            format!("rejected: {}", code.as_str()),
            event.clone().unwrap_or_default(),
            state.clone(),
            to.clone().unwrap_or_default(),
        ],
    };
    let data = record.data.clone().map(|data| serde_json::Value::Object(data).to_string());
    vec![
        record.revision.to_string(),
        outcome,
        event,
        from,
        to,
        moment(record.time_ms),
        entry(record.term, record.index),
        data.unwrap_or_default(),
    ]
}
