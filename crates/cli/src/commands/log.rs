//! `log inspect`: what stands in a node's log on disk. Reads only; the node should be stopped, since a log that is being written to
//! looks torn at its end.

use std::path::{Path, PathBuf};

use quorate_api::meaning::Exit;
use quorate_log::RealDisk;
use quorate_log::inspect::{Finding, FindingState, inspect};
use serde::Serialize;

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

/// `log inspect DIR`. Ends with an error when there is damage.
pub(crate) fn inspect_log(output: &mut Output, dir: &Path, entries: bool) -> Result<Exit, Failure> {
    let folder = data_folder(dir)?;
    let disk = RealDisk::read_only(&folder).map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    let mut written = Ok(());
    let mut torn = 0_u64;
    let totals = inspect(&disk, entries, &mut |finding| {
        torn += u64::from(finding.state == FindingState::Torn);
        if written.is_ok() {
            written = write(output, finding);
        }
    });
    written?;
    let totals = totals.map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
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
        return Err(Failure::new(Exit::Error, what)
            .hint("keep the directory as it is, and start a node with a new id in its place"));
    }
    Ok(Exit::Ok)
}

fn write(output: &mut Output, finding: &Finding) -> Result<(), Failure> {
    if output.is_table() {
        return output.line(&finding.to_string());
    }
    let state = match finding.state {
        FindingState::Good => "good",
        FindingState::Torn => "torn",
        FindingState::Damaged => "damaged",
    };
    let Finding { file, offset, what, .. } = finding;
    output.value(&FoundJson { file, offset: *offset, state, what })
}

/// The data directory of a node, also when the folder of its segments within is named.
fn data_folder(dir: &Path) -> Result<PathBuf, Failure> {
    let is_data = |folder: &Path| folder.join(IDENTITY).is_file();
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
