//! `recover`: looks at the data of the nodes that are left of a cluster without a quorum, and makes a new cluster of the best of it. Without
//! `--into` it only looks.

use std::path::{Path, PathBuf};

use quorate::ClusterId;
use quorate::recovery::{Found, Loss, Recovered, Survey, Survivor};
use quorate_api::meaning::Exit;
use serde::Serialize;

use crate::args::RecoverArgs;
use crate::failure::{Failure, words};
use crate::output::Output;

/// What was found, as JSON.
#[derive(Serialize)]
struct SurveyJson {
    cluster: Option<String>,
    survivors: Vec<SurvivorJson>,
    best: Option<u64>,
    /// What may be lost, in words.
    loss: String,
    /// Whether it is nothing for sure.
    nothing_lost: bool,
    /// Why no new cluster may be made.
    refused: Option<String>,
}

/// A folder as JSON.
#[derive(Serialize)]
struct SurvivorJson {
    directory: String,
    node: Option<u64>,
    cluster: Option<String>,
    term: Option<u64>,
    last: Option<EntryJson>,
    snapshot: Option<EntryJson>,
    voters: Vec<u64>,
    voters_outgoing: Vec<u64>,
    damage: Option<String>,
}

#[derive(Serialize)]
struct EntryJson {
    term: u64,
    index: u64,
}

/// The new cluster as JSON.
#[derive(Serialize)]
struct RecoveredJson {
    cluster: String,
    token: String,
    node: u64,
    directory: String,
    settings: String,
}

/// `recover DIR...`.
pub(crate) fn recover(output: &mut Output, arguments: &RecoverArgs) -> Result<Exit, Failure> {
    let survey = Survey::of(&arguments.dirs);
    let Some(into) = &arguments.into else { return tell(output, &survey, &arguments.dirs) };
    let named = arguments.give_up.as_deref().unwrap_or_default();
    let give_up = ClusterId::parse(named).ok_or_else(|| {
        Failure::usage(format!("--give-up {named}: the name of a cluster is 32 hex digits"))
            .hint("`quorate recover DIR...` shows it, with what may be lost")
    })?;
    let recovered = survey.recover(into, give_up);
    let recovered = recovered.map_err(|error| {
        Failure::new(Exit::Error, error.to_string())
            .hint("`quorate recover DIR...` shows what each folder holds")
    })?;
    let settings = write_settings(&recovered)?;
    if !output.is_table() {
        output.value(&RecoveredJson {
            cluster: recovered.cluster.to_string(),
            token: recovered.token.clone(),
            node: recovered.node.get(),
            directory: recovered.directory.display().to_string(),
            settings: settings.display().to_string(),
        })?;
        return Ok(Exit::Ok);
    }
    let Recovered { cluster, node, directory, .. } = &recovered;
    output.line(&format!("cluster {cluster}, of {node} alone, is in {}", directory.display()))?;
    words(&format!(
        "start it, then give it other members, each with an empty data directory:\n  \
         quorate server --config {}\n  quorate server --join HOST:PORT --data-dir EMPTY-DIRECTORY\n\
         The old directories were not changed, but no node starts on them any more.",
        settings.display()
    ));
    Ok(Exit::Ok)
}

/// Shows what was found, and what could be done.
fn tell(output: &mut Output, survey: &Survey, dirs: &[PathBuf]) -> Result<Exit, Failure> {
    let refused = survey.check(None).err().map(|refusal| refusal.to_string());
    let best = survey.best();
    let loss = survey.loss();
    if output.is_table() {
        let rows = survey.survivors().iter().map(|survivor| row(survivor, best)).collect();
        output.table(&["NODE", "TERM", "LAST", "SNAPSHOT", "VOTERS", "DATA", "DIRECTORY"], rows)?;
    } else {
        output.value(&SurveyJson {
            cluster: best.map(|best| best.cluster.to_string()),
            survivors: survey.survivors().iter().map(survivor_json).collect(),
            best: best.map(|best| best.node.get()),
            loss: loss.to_string(),
            nothing_lost: loss == Loss::Nothing,
            refused: refused.clone(),
        })?;
    }
    if let Some(refused) = refused {
        return Err(Failure::new(Exit::Error, refused));
    }
    if let Some(mark) = survey.mark() {
        words(&format!(
            "these were given up already: cluster {} was made of {}. The same call as then goes on where it was interrupted, and changes \
             nothing if it was not",
            mark.cluster, mark.founder
        ));
        return Ok(Exit::Ok);
    }
    let Some(best) = best else { return Ok(Exit::Ok) };
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    words(&format!(
        "a cluster of {} alone would lack {loss}.\nWhat it holds and nobody had acknowledged may be applied after all.\n\
         Nothing was changed. If no other node can ever come back:\n  \
         quorate recover {} --into NEW-DIRECTORY --give-up {}",
        best.node,
        dirs.join(" "),
        best.cluster
    ));
    Ok(Exit::Ok)
}

fn row(survivor: &Survivor, best: Option<&Found>) -> Vec<String> {
    let directory = survivor.directory.display().to_string();
    let Ok(found) = &survivor.found else {
        let unknown = || String::from("-");
        return vec![unknown(), unknown(), unknown(), unknown(), unknown(), "unusable".to_owned(), directory];
    };
    let data = match found.damage() {
        Some(_) => "damaged",
        None if found.given_up.is_some() => "given up",
        None if best.is_some_and(|best| best.node == found.node) => "best",
        None => "whole",
    };
    vec![
        found.node.to_string(),
        found.term().0.to_string(),
        found.last().to_string(),
        found.snapshot().map_or("none".to_owned(), |last| last.to_string()),
        voters(found),
        data.to_owned(),
        directory,
    ]
}

/// The voters, and within a change of them both sets.
fn voters(found: &Found) -> String {
    let list =
        |ids: &mut dyn Iterator<Item = u64>| ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let membership = &found.membership;
    let now = list(&mut membership.voters.iter().map(|node| node.get()));
    if membership.voters_outgoing.is_empty() {
        return now;
    }
    format!("{} to {now}", list(&mut membership.voters_outgoing.iter().map(|node| node.get())))
}

fn survivor_json(survivor: &Survivor) -> SurvivorJson {
    let directory = survivor.directory.display().to_string();
    match &survivor.found {
        Ok(found) => {
            let last = found.last();
            SurvivorJson {
                directory,
                node: Some(found.node.get()),
                cluster: Some(found.cluster.to_string()),
                term: Some(found.term().0),
                last: Some(EntryJson { term: last.term.0, index: last.index.0 }),
                snapshot: found.snapshot().map(|id| EntryJson { term: id.term.0, index: id.index.0 }),
                voters: found.membership.voters.iter().map(|node| node.get()).collect(),
                voters_outgoing: found.membership.voters_outgoing.iter().map(|node| node.get()).collect(),
                damage: found.damage(),
            }
        }
        Err(error) => SurvivorJson {
            directory,
            node: None,
            cluster: None,
            term: None,
            last: None,
            snapshot: None,
            voters: Vec::new(),
            voters_outgoing: Vec::new(),
            damage: Some(error.to_string()),
        },
    }
}

/// Settings with which `quorate server` starts the new cluster's first node, beside its data.
fn write_settings(recovered: &Recovered) -> Result<PathBuf, Failure> {
    let Recovered { token, node, directory, .. } = recovered;
    let path = directory.join(SETTINGS_FILE);
    let whole = directory.canonicalize().unwrap_or_else(|_| directory.clone());
    let text = format!(
        "# The first node of the cluster that was made of what was left. Add [listen] and what else your nodes need;\n\
         # list no members here: the others are added by `quorate server --join`.\n\
         [node]\nid = {}\ndata_dir = {}\n\n[cluster]\ntoken = \"{token}\"\n",
        node.get(),
        toml_text(&whole)
    );
    // What was adapted since the first call stays.
    if !path.exists() {
        std::fs::write(&path, text).map_err(|error| Failure::file(&path, "write", &error))?;
    }
    Ok(path)
}

/// A path as a text of TOML.
fn toml_text(path: &Path) -> String {
    serde_json::Value::from(path.display().to_string()).to_string()
}

/// The settings of the new cluster's first node.
const SETTINGS_FILE: &str = "recovered.toml";
