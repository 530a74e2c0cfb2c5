//! `server`: one node in this process; `config dump`: its settings with where each comes from.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use quorate_api::meaning::Exit;
use quorate_server::{Override, RunningServer, Server, ServerConfig, StartError};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::{OutputFormat, ServerArgs};
use crate::commands::join::join;
use crate::failure::{Failure, words};
use crate::output::Output;

/// The file of settings that is read when no other is named.
const DEFAULT_FILE: &str = "quorate.toml";

/// A setting as JSON.
#[derive(Serialize)]
struct SettingJson {
    key: &'static str,
    value: String,
    origin: String,
    about: &'static str,
}

/// `server`: runs until a signal or until its node fails.
pub(crate) async fn server(arguments: &ServerArgs) -> Result<Exit, Failure> {
    let mut config = load(arguments)?;
    start_log(&config.log_level);
    let mut signals = Signals::new()?;
    let listeners = join(&mut config).await?;
    let running = Server::start_on(config, listeners).await.map_err(|error| start_failure(&error))?;
    words(&format!(
        "quorate server: clients http://{}, peers {}",
        running.api_address(),
        running.peer_address()
    ));
    let failed = loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Stop => break None,
                Told::HangUp => words(
                    "SIGHUP: settings are read at the start only; the node goes on with those that it has",
                ),
                Told::Status => words(&status_line(&running)),
            },
            cause = running.failed() => break Some(cause),
        }
    };
    tokio::select! {
        () = running.shutdown() => {}
        () = signals.stop() => stop_at_once(),
    }
    match failed {
        None => Ok(Exit::Ok),
        Some(cause) => Err(Failure::new(Exit::Error, cause.to_string())),
    }
}

/// `config dump`.
pub(crate) fn dump(output: &mut Output, arguments: &ServerArgs) -> Result<Exit, Failure> {
    let settings = load(arguments)?.dump();
    let settings = settings.into_iter().map(|setting| SettingJson {
        key: setting.key,
        value: setting.value,
        origin: setting.origin.to_string(),
        about: setting.about,
    });
    match output.format {
        OutputFormat::Json => output.value(&settings.collect::<Vec<_>>())?,
        OutputFormat::Jsonl => settings.into_iter().try_for_each(|setting| output.value(&setting))?,
        OutputFormat::Table => {
            let rows = settings.map(|setting| vec![setting.key.to_owned(), setting.value, setting.origin]);
            output.table(&["SETTING", "VALUE", "FROM"], rows.collect())?;
        }
    }
    Ok(Exit::Ok)
}

fn load(arguments: &ServerArgs) -> Result<ServerConfig, Failure> {
    let default = Path::new(DEFAULT_FILE);
    let file: Option<PathBuf> =
        arguments.config.clone().or_else(|| default.is_file().then(|| default.to_owned()));
    // A variable that is not UTF-8 is none of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let overrides = overrides(arguments)?;
    ServerConfig::load(file.as_deref(), environment, &overrides).map_err(|error| {
        Failure::usage(error.faults.join("\n"))
            .hint("`quorate config dump` lists the settings and where each comes from")
    })
}

fn overrides(arguments: &ServerArgs) -> Result<Vec<Override>, Failure> {
    let named = [
        ("node.id", "--id", arguments.id.map(|id| id.to_string())),
        ("node.data_dir", "--data-dir", arguments.data_dir.clone()),
        ("listen.api", "--listen-api", arguments.listen_api.clone()),
        ("listen.peer", "--listen-peer", arguments.listen_peer.clone()),
        ("advertise.api", "--advertise-api", arguments.advertise_api.clone()),
        ("advertise.peer", "--advertise-peer", arguments.advertise_peer.clone()),
        ("cluster.join", "--join", arguments.join.clone()),
        ("listen.insecure", "--insecure", arguments.insecure.then(|| "true".to_owned())),
        ("log.level", "--log-level", arguments.log_level.clone()),
    ];
    let named = named.into_iter().filter_map(|(key, flag, value)| {
        Some(Ok(Override { key: key.to_owned(), value: value?, flag: flag.to_owned() }))
    });
    let free = arguments.overrides.iter().map(|text| match text.split_once('=') {
        Some((key, value)) => {
            Ok(Override { key: key.to_owned(), value: value.to_owned(), flag: format!("--set {key}") })
        }
        None => Err(Failure::usage(format!("--set {text}: the `=` is missing"))
            .hint("write it as in --set listen.api=127.0.0.1:7480")),
    });
    free.chain(named).collect()
}

/// Writes the program's log to stderr.
pub(crate) fn start_log(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().compact().with_ansi(colours);
    let subscriber = log.with_env_filter(filter).with_writer(io::stderr);
    // Only the first one in a process counts, and there is only one.
    let _ = subscriber.try_init();
}

/// What a node is about, in one line.
fn status_line(running: &RunningServer) -> String {
    let status = running.node().status();
    format!(
        "SIGUSR1: node {} is {}, term {}, leader {}, last {}, commit {}, applied {}, snapshot {}, log from {}",
        status.node,
        status.role,
        status.term,
        match status.leader {
            0 => "none".to_owned(),
            leader => leader.to_string(),
        },
        status.last_index,
        status.commit_index,
        status.applied_index,
        status.snapshot_index,
        status.base_index + 1
    )
}

/// Why a node does not start, with what to do where the cause does not say it.
pub(crate) fn start_failure(error: &StartError) -> Failure {
    let exit = match error {
        StartError::Config(_) => Exit::Usage,
        StartError::Listen { .. } | StartError::Node(_) => Exit::Error,
    };
    Failure::new(exit, error.to_string())
}

/// The second signal: nothing is waited for. What was answered is on the disks already.
pub(crate) fn stop_at_once() -> ! {
    words("stopped at once by the second signal");
    std::process::exit(i32::from(Exit::Error.code()))
}

/// What a signal asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// INT, TERM.
    Stop,
    /// HUP: of a program without a terminal it asks to read its settings again.
    HangUp,
    /// USR1.
    Status,
}

/// The signals that would end the process if they were not listened for.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

impl Signals {
    /// From here on all are ours.
    pub(crate) fn new() -> Result<Signals, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::Error, format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::HangUp,
            _ = self.user.recv() => Told::Status,
        }
    }

    /// The next one that asks for the end.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }

    /// The next one that asks a program in a terminal for the end: its terminal may close.
    pub(crate) async fn stop_or_hang_up(&mut self) {
        while self.next().await == Told::Status {}
    }
}
