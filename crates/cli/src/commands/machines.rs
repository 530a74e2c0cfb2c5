//! `apply`, `machines`, `machine`, `check`: definitions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_api::meaning::Exit;
use quorate_client::DefinitionFormat;
use quorate_machine::{Definition, Diagnostic, Format, SOURCE_BYTES_MAX};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::context::Context;
use crate::failure::{Failure, warn, words};
use crate::output::{Output, number};

/// A definition's file, read and checked.
struct Source {
    path: PathBuf,
    text: String,
    format: Format,
    checked: quorate_machine::Checked,
}

/// What `check -o json` says of one file.
#[derive(Serialize)]
struct CheckReport {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// Why the file was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    faults: Vec<quorate_api::definition::Fault>,
    warnings: Vec<quorate_api::definition::Fault>,
}

/// `check FILE...`: faults and warnings on stderr, a line for each file on stdout.
pub(crate) fn check(output: &mut Output, files: &[PathBuf], strict: bool) -> Result<Exit, Failure> {
    let mut reports = Vec::new();
    let mut unread = None;
    for path in files {
        let mut source = match Source::read(path) {
            Ok(source) => source,
            // The others are worth a look all the same.
            Err(failure) => {
                failure.tell();
                reports.push(CheckReport::unread(path, &failure));
                // A call that can never succeed is told before one that may.
                if unread != Some(Exit::Usage) {
                    unread = Some(failure.exit);
                }
                continue;
            }
        };
        if strict {
            source.checked = source.checked.strict();
        }
        if output.is_table() {
            source.tell();
        }
        reports.push(source.report());
    }
    let all_ok = reports.iter().all(|report| report.ok);
    match output.format {
        OutputFormat::Json => output.value(&reports)?,
        OutputFormat::Jsonl => reports.iter().try_for_each(|report| output.value(report))?,
        OutputFormat::Table => {
            let rows = reports.iter().map(CheckReport::row).collect();
            output.table(&["FILE", "RESULT", "MACHINE", "VERSION", "FAULTS", "WARNINGS"], rows)?;
        }
    }
    if reports.len() > 1 && !all_ok {
        let wrong = reports.iter().filter(|report| !report.ok).count();
        words(&format!("{wrong} of {} files are not ok", reports.len()));
    }
    Ok(if all_ok { Exit::Ok } else { unread.unwrap_or(Exit::Error) })
}

/// `apply FILE...`: all files are checked before the first one is sent.
pub(crate) async fn apply(context: &mut Context, files: &[PathBuf]) -> Result<Exit, Failure> {
    let sources = files.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>, _>>()?;
    sources.iter().for_each(Source::tell);
    let definitions = sources.iter().map(|source| source.checked.definition.clone());
    let Some(definitions) = definitions.collect::<Option<Vec<Arc<Definition>>>>() else {
        return Err(Failure::new(Exit::Error, "nothing was applied: a definition has faults")
            .hint("`quorate check FILE` checks without a cluster"));
    };
    let mut all = Vec::new();
    for (source, definition) in sources.into_iter().zip(definitions) {
        let format = match source.format {
            Format::Toml => DefinitionFormat::Toml,
            Format::Json => DefinitionFormat::Json,
        };
        let applied =
            context.client.apply(definition.name(), format, source.text).await.map_err(|error| {
                let failure = Failure::from(error);
                Failure { what: format!("{}: {}", source.path.display(), failure.what), ..failure }
            })?;
        // Told at once where a line is a document: a later file that is refused does not undo this one.
        if context.output.format == OutputFormat::Jsonl {
            context.output.value(&applied)?;
        }
        all.push(applied);
    }
    match context.output.format {
        OutputFormat::Json => context.output.value(&all)?,
        OutputFormat::Jsonl => {}
        OutputFormat::Table => {
            let rows = all.into_iter().map(|applied| {
                let result = if applied.created { "new" } else { "unchanged" };
                let version = applied.version.to_string();
                vec![applied.machine, version, result.to_owned(), short(&applied.hash)]
            });
            context.output.table(&["MACHINE", "VERSION", "RESULT", "HASH"], rows.collect())?;
        }
    }
    Ok(Exit::Ok)
}

/// `machines`.
pub(crate) async fn machines(context: &mut Context) -> Result<Exit, Failure> {
    let list = context.client.machines().await?;
    match context.output.format {
        OutputFormat::Json => context.output.value(&list)?,
        OutputFormat::Jsonl => {
            list.machines.iter().try_for_each(|machine| context.output.value(machine))?;
        }
        OutputFormat::Table => {
            let rows = list.machines.into_iter().map(|machine| {
                vec![
                    machine.machine,
                    machine.version.to_string(),
                    number(machine.instances),
                    short(&machine.hash),
                    machine.description.unwrap_or_default(),
                ]
            });
            context
                .output
                .table(&["MACHINE", "VERSION", "INSTANCES", "HASH", "DESCRIPTION"], rows.collect())?;
        }
    }
    Ok(Exit::Ok)
}

/// `machine NAME`: a row for each transition.
pub(crate) async fn machine(
    context: &mut Context,
    name: &str,
    version: Option<u64>,
) -> Result<Exit, Failure> {
    quorate_machine::check_name(name).map_err(|why| Failure::usage(format!("`{name}`: {why}")))?;
    let definition = match context.client.machine(name, version).await {
        Ok(definition) => definition,
        Err(error) => return Err(context.explain(error, name).await),
    };
    if !context.output.is_table() {
        context.output.value(&definition)?;
        return Ok(Exit::Ok);
    }
    words(&format!("{} version {}, hash {}", definition.machine, definition.version, definition.hash));
    let initial = definition.definition.get("initial").and_then(|initial| initial.as_str());
    let states = definition.definition.get("states").and_then(|states| states.as_object());
    let mut rows = Vec::new();
    for (state, body) in states.into_iter().flatten() {
        let mark = if initial == Some(state) { "initial" } else { "" };
        let on = body.get("on").and_then(|on| on.as_object()).filter(|on| !on.is_empty());
        let Some(on) = on else {
            let mark = if mark.is_empty() { "no way out" } else { mark };
            rows.push(vec![state.clone(), String::new(), String::new(), mark.to_owned()]);
            continue;
        };
        for (event, reaction) in on {
            // The canonical form is `"ignore"` or `{"target": ...}`.
            let target =
                reaction.as_str().or_else(|| reaction.get("target").and_then(|target| target.as_str()));
            let target = target.unwrap_or_default().to_owned();
            rows.push(vec![state.clone(), event.clone(), target, mark.to_owned()]);
        }
    }
    context.output.table(&["STATE", "EVENT", "TARGET", ""], rows)?;
    Ok(Exit::Ok)
}

/// The start of a hash: enough for people to compare.
fn short(hash: &str) -> String {
    hash.get(..12).unwrap_or(hash).to_owned()
}

impl Source {
    fn read(path: &Path) -> Result<Source, Failure> {
        let name = path.to_string_lossy();
        let Some(format) = Format::of_file_name(&name) else {
            return Err(Failure::usage(format!("{name}: the format of a definition is told by its name"))
                .hint("name it .toml or .json"));
        };
        let length = fs::metadata(path).map_err(|error| Failure::file(path, "read", &error))?.len();
        if length > SOURCE_BYTES_MAX as u64 {
            let what = format!("{name} has {length} bytes; a definition has at most {SOURCE_BYTES_MAX}");
            return Err(Failure::usage(what));
        }
        let bytes = fs::read(path).map_err(|error| Failure::file(path, "read", &error))?;
        let checked = quorate_machine::parse_bytes(&bytes, format);
        // What is not UTF-8 is a fault of the check already; the text is for showing and sending only.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Source { path: path.to_owned(), text, format, checked })
    }

    fn render(&self, diagnostic: &Diagnostic) -> String {
        diagnostic.render(&self.path.to_string_lossy(), &self.text)
    }

    /// Faults and warnings on stderr.
    fn tell(&self) {
        for fault in &self.checked.faults {
            words(self.render(fault).trim_end());
            words("");
        }
        for warning in &self.checked.warnings {
            words(self.render(warning).trim_end());
            words("");
        }
        if self.checked.definition.is_none() && self.checked.faults.is_empty() {
            warn(&format!("{}: refused without a reason", self.path.display()));
        }
    }

    fn report(&self) -> CheckReport {
        let fault = |diagnostic: &Diagnostic| quorate_api::definition::Fault {
            line: diagnostic.line as u64,
            column: diagnostic.column as u64,
            path: diagnostic.path.clone(),
            message: diagnostic.message.clone(),
            hint: diagnostic.hint.clone(),
            rendered: self.render(diagnostic),
        };
        let definition = self.checked.definition.as_deref();
        CheckReport {
            file: self.path.to_string_lossy().into_owned(),
            ok: definition.is_some(),
            machine: definition.map(|definition| definition.name().to_owned()),
            version: definition.map(Definition::version),
            hash: definition.map(|definition| definition.hash().to_string()),
            error: None,
            faults: self.checked.faults.iter().map(fault).collect(),
            warnings: self.checked.warnings.iter().map(fault).collect(),
        }
    }
}

impl CheckReport {
    fn unread(path: &Path, failure: &Failure) -> CheckReport {
        CheckReport {
            file: path.to_string_lossy().into_owned(),
            ok: false,
            machine: None,
            version: None,
            hash: None,
            error: Some(failure.what.clone()),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.file.clone(),
            match (self.ok, &self.error) {
                (true, _) => "ok",
                (false, None) => "refused",
                (false, Some(_)) => "unread",
            }
            .to_owned(),
            self.machine.clone().unwrap_or_default(),
            self.version.map(|version| version.to_string()).unwrap_or_default(),
            self.faults.len().to_string(),
            self.warnings.len().to_string(),
        ]
    }
}
