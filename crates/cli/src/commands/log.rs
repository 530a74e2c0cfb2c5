//! `log inspect`: what stands in a node's log on disk. Reads only; the node should be stopped, since a log that is being written to
//! looks torn at its end.

use std::path::{Path, PathBuf};

use quorate_api::meaning::Exit;
use quorate_log::RealDisk;
use quorate_log::inspect::{Finding, FindingState, Totals, inspect};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::failure::{Failure, warn, words};
use crate::output::{Output, number};

/// A finding as JSON.
#[derive(Serialize)]
struct FoundJson<'a> {
    file: &'a str,
    offset: u64,
    state: &'static str,
    what: &'a str,
}

/// All findings as one document.
#[derive(Serialize)]
struct InspectionJson<'a> {
    findings: Vec<FoundJson<'a>>,
    totals: TotalsJson,
}

/// What was found in all.
#[derive(Serialize)]
struct TotalsJson {
    segments: u64,
    snapshots: u64,
    batches: u64,
    entries: u64,
    hard_states: u64,
    lost_entries: u64,
    repairables: u64,
    damages: u64,
}

/// `log inspect DIR`. Ends with an error when there is damage.
pub(crate) fn inspect_log(output: &mut Output, dir: &Path, entries: bool) -> Result<Exit, Failure> {
    let folder = data_folder(dir)?;
    let disk = RealDisk::read_only(&folder).map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    let (mut written, mut found) = (Ok(()), Vec::new());
    let mut torn = 0_u64;
    let totals = inspect(&disk, entries, &mut |finding| {
        torn += u64::from(finding.state == FindingState::Torn);
        match output.format {
            OutputFormat::Table if written.is_ok() => written = output.line(&finding.to_string()),
            OutputFormat::Jsonl if written.is_ok() => written = output.value(&FoundJson::from(finding)),
            OutputFormat::Json => found.push(finding.clone()),
            OutputFormat::Table | OutputFormat::Jsonl => {}
        }
    });
    written?;
    let totals = totals.map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    if output.format == OutputFormat::Json {
        let findings = found.iter().map(FoundJson::from).collect();
        output.value(&InspectionJson { findings, totals: TotalsJson::from(&totals) })?;
    }
    conclude(&totals, torn)
}

/// What the findings come to, in words and as the exit code.
fn conclude(totals: &Totals, torn: u64) -> Result<Exit, Failure> {
    words(&format!(
        "segments {}, batches {}, entries {}, hard states {}",
        number(totals.segments),
        number(totals.batches),
        number(totals.entries),
        number(totals.hard_states)
    ));
    if torn > 0 {
        warn(&format!(
            "{torn} places are torn, left by a crash or still being written: the next start cuts them"
        ));
    }
    if totals.damages > 0 {
        let what = format!("{} places are damaged: the node will not start", totals.damages);
        return Err(Failure::new(Exit::Error, what).hint(REPLACE_HINT));
    }
    if totals.repairables > 0 {
        let what = format!(
            "{} places are damaged, {} entries are lost here: the node starts and asks its peers for them",
            totals.repairables, totals.lost_entries
        );
        return Err(
            Failure::new(Exit::Error, what).hint("check the disk: what was damaged once often is again")
        );
    }
    Ok(Exit::Ok)
}

impl<'a> From<&'a Finding> for FoundJson<'a> {
    fn from(finding: &'a Finding) -> FoundJson<'a> {
        let state = match finding.state {
            FindingState::Good => "good",
            FindingState::Torn => "torn",
            FindingState::Repairable => "repairable",
            FindingState::Damaged => "damaged",
        };
        FoundJson { file: &finding.file, offset: finding.offset, state, what: &finding.what }
    }
}

impl From<&Totals> for TotalsJson {
    fn from(totals: &Totals) -> TotalsJson {
        let Totals { segments, snapshots, batches, entries, hard_states, lost_entries, repairables, damages } =
            *totals;
        TotalsJson { segments, snapshots, batches, entries, hard_states, lost_entries, repairables, damages }
    }
}

/// The data directory of a node, also when the folder of its segments within is named.
fn data_folder(dir: &Path) -> Result<PathBuf, Failure> {
    // One of the files may be what is damaged.
    let is_data = |folder: &Path| [IDENTITY, "LOG", "PEERS"].iter().any(|name| folder.join(name).is_file());
    if is_data(dir) {
        return Ok(dir.to_owned());
    }
    if let Some(parent) = dir.parent().filter(|parent| is_data(parent)) {
        return Ok(parent.to_owned());
    }
    let inside = std::fs::read_dir(dir).map_err(|error| Failure::file(dir, "read", &error))?;
    let nodes = inside.flatten().map(|entry| entry.path()).filter(|path| is_data(path));
    let mut nodes = nodes.map(|path| path.display().to_string()).collect::<Vec<_>>();
    nodes.sort();
    let what = format!("{} is no data directory of a node: it holds no file {IDENTITY}", dir.display());
    let failure = Failure::new(Exit::Error, what);
    Err(match nodes.first() {
        Some(node) => failure.hint(format!("the nodes of `quorate dev` lie one deeper, as in {node}")),
        None => failure,
    })
}

/// The file by which the data directory of a node is known.
const IDENTITY: &str = "NODE";
/// What to do with a node that does not start.
const REPLACE_HINT: &str = "keep the directory as it is; then replace the node: `quorate cluster remove ID` at a sound member, and \
    `quorate server --join ADDRESS` with an empty directory and a new id";
