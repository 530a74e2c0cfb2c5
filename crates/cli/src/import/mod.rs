//! `import`: proposes the rows of a file. First pass: check every row and hash the file. Second pass: propose. Nothing is proposed
//! from a file with a broken row, and a second import of the same file continues the first one.

mod answer;
mod known_ids;
mod progress;
mod rejected;
mod report;
mod row;
mod runner;
mod scan;
mod source;
mod window;

use std::sync::Arc;
use std::time::Duration;

use quorate_api::definition::MachineDefinition;
use quorate_api::header::format_session;
use quorate_api::meaning::Exit;
use quorate_client::{Client, RetryPolicy};

use crate::args::{Common, ImportArgs};
use crate::context::{Context, Words, client_config};
use crate::failure::{Failure, warn, words};
use crate::import::answer::{Pulse, Session};
use crate::import::progress::Progress;
use crate::import::rejected::{RejectedFile, refuse_same_file};
use crate::import::report::{Counts, DryReport, Report};
use crate::import::runner::Runner;
use crate::import::scan::{Scan, scan};
use crate::import::source::Source;
use crate::output::number;

/// `import FILE --machine M`.
pub(crate) async fn import(
    context: &mut Context,
    common: &Common,
    arguments: ImportArgs,
) -> Result<Exit, Failure> {
    let machine = &arguments.machine;
    quorate_machine::check_name(machine).map_err(|why| Failure::usage(format!("`{machine}`: {why}")))?;
    refuse_same_file(&arguments.file, arguments.rejected.as_deref())?;
    let source = Source::open(&arguments.file)?;
    let mut progress = Progress::check(source.bytes);
    let found = scan(&source, machine, &mut progress)?;
    if found.rows == 0 {
        warn(&format!("{} has no rows", source.path.display()));
    }
    // From here on each call is repeated for as long as patience lasts, the first one too.
    let session = Arc::new(Session {
        client: patient_client(common)?,
        machine: machine.clone(),
        id: found.session,
        pulse: Pulse::new(Duration::from_secs(arguments.patience)),
    });
    let definition = match session.definition().await {
        Ok(definition) => definition,
        Err(failure) => {
            progress.finish();
            if failure.exit == Exit::NotFound {
                return Err(context.advise(failure, machine).await);
            }
            return Err(failure);
        }
    };
    warn_of_unknown_names(&definition, &found);
    let file = source.path.to_string_lossy().into_owned();
    if arguments.dry_run {
        progress.finish();
        let Scan { rows, ids, ids_exact, events, targets, .. } = found;
        let machine = arguments.machine;
        let report = DryReport { file, machine, dry_run: true, rows, ids, ids_exact, events, targets };
        report.write(&mut context.output)?;
        return Ok(Exit::Ok);
    }
    let mut report = Report {
        file,
        machine: machine.clone(),
        session: format_session(found.session),
        rows: found.rows,
        counts: Counts::default(),
        rejected_file: None,
        elapsed_ms: 0,
        rows_per_s: 0,
    };
    propose_all(&arguments, &source, session, progress, &mut report).await?;
    report.write(&mut context.output)?;
    Ok(Exit::Ok)
}

/// The second pass. Fills in the report, also when it fails.
async fn propose_all(
    arguments: &ImportArgs,
    source: &Source,
    session: Arc<Session>,
    mut progress: Progress,
    report: &mut Report,
) -> Result<(), Failure> {
    let columns = source.rows()?.columns;
    let mut rejected = RejectedFile::new(&source.path, arguments.rejected.clone(), &columns)?;
    session.open().await?;
    let begun_at = session.committed().await;
    progress.start(report.rows);
    let inflight_max = usize::try_from(arguments.inflight).unwrap_or(usize::MAX);
    let mut runner = Runner::new(session, begun_at, inflight_max, &mut report.counts, &mut rejected);
    let ran = runner.run(source, &mut progress).await;
    drop(runner);
    report.set_time(progress.finish());
    report.rejected_file = rejected.finish()?.map(|path| path.to_string_lossy().into_owned());
    if let Err(failure) = ran {
        let rows = report.counts.rows();
        words(&format!("stopped after {} of {} rows", number(rows), number(report.rows)));
        return Err(failure.hint("run the same command again to continue: what was answered is not repeated"));
    }
    if !source.is_unchanged() {
        let what = format!("{} was changed while it was imported", source.path.display());
        return Err(Failure::new(Exit::Error, what).hint("import it again from a copy that nobody writes to"));
    }
    Ok(())
}

/// A client for many rows at once: its own retries are short, because each row is repeated for as long as patience lasts.
fn patient_client(common: &Common) -> Result<Client, Failure> {
    let retry = RetryPolicy {
        attempts_max: 4,
        delay_base: Duration::from_millis(20),
        delay_max: Duration::from_millis(500),
    };
    let config = quorate_client::ClientConfig { retry, ..client_config(common)? };
    Ok(Client::new(config)?)
}

/// Names that the machine does not have are answered row by row; a misspelt column is better seen before.
fn warn_of_unknown_names(definition: &MachineDefinition, found: &Scan) {
    let words = Words::of(definition);
    let named = [("event", &words.events, &found.events), ("state", &words.states, &found.targets)];
    for (kind, known, names) in named {
        for (name, rows) in names.iter().filter(|(name, _)| !known.contains(name)) {
            let machine = &definition.machine;
            warn(&format!("{machine} has no {kind} `{name}`: {} rows will be rejected", number(*rows)));
        }
    }
}
