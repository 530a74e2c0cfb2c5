//! quorate-cli: the program `quorate`. It reads the command line, runs one command and ends with the code that tells what became of it.
//!
//! *Knows nothing of* how a cluster agrees or what a definition means: it asks the client, the server and the machine crate.
//!
//! Reading order: `args` (every command and flag), this file (which command runs where), `commands`, `import`.

mod args;
mod commands;
mod context;
mod failure;
mod import;
mod output;
mod target;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use quorate_api::meaning::Exit;

use crate::args::{Arguments, ClusterCommand, Command, Common, CompletionShell};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    let exit = run(&common, command).unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Runs what needs no network at once, and all else in an async runtime.
fn run(common: &Common, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Check { files, strict } => {
            commands::machines::check(&mut Output::new(common.output), &files, strict)
        }
        Command::Completions { shell } => completions(shell),
        other => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime
                .map_err(|error| Failure::new(Exit::Error, format!("cannot start threads: {error}")))?;
            runtime.block_on(ask(common, other))
        }
    }
}

/// The commands that ask a cluster.
async fn ask(common: &Common, command: Command) -> Result<Exit, Failure> {
    let mut context = Context::new(common)?;
    let context = &mut context;
    match command {
        Command::Apply { files } => commands::machines::apply(context, &files).await,
        Command::Machines => commands::machines::machines(context).await,
        Command::Machine { machine, version } => {
            commands::machines::machine(context, &machine, version).await
        }
        Command::Create { target, key } => commands::instances::create(context, &target, key).await,
        Command::Propose(arguments) => commands::propose::propose(context, arguments).await,
        Command::Get { target } => commands::instances::get(context, &target).await,
        Command::List { machine, state, limit } => {
            commands::instances::list(context, &machine, state, limit).await
        }
        Command::Count { machine } => commands::instances::count(context, &machine).await,
        Command::History { target, from, limit } => {
            commands::instances::history(context, &target, from, limit).await
        }
        Command::Import(arguments) => import::import(context, common, arguments).await,
        Command::Cluster(ClusterCommand::Status) => commands::cluster::status(context).await,
        Command::Dev(_)
        | Command::Server(_)
        | Command::Log(_)
        | Command::Config(_)
        | Command::Check { .. }
        | Command::Completions { .. } => Err(Failure::new(Exit::Error, "this command asks no cluster")),
    }
}

/// Prints a completion script.
fn completions(shell: CompletionShell) -> Result<Exit, Failure> {
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "quorate", &mut script);
    match std::io::stdout().write_all(&script) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::Error, format!("cannot write to stdout: {error}"))),
    }
}
