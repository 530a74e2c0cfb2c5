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
use quorate_api::cluster::AddMember;
use quorate_api::meaning::Exit;

use crate::args::{Arguments, ClusterCommand, Command, Common, CompletionShell, ConfigCommand, LogCommand};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(run(&common, command)),
        Err(error) => Err(Failure::new(Exit::Error, format!("cannot start threads: {error}"))),
    };
    let exit = ran.unwrap_or_else(|failure| {
        failure.tell();
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Which command runs where. Those that ask no cluster make no client: a wrong QUORATE_ENDPOINTS is none of their business.
async fn run(common: &Common, command: Command) -> Result<Exit, Failure> {
    let output = &mut Output::new(common.output);
    let context = || Context::new(common);
    match command {
        Command::Dev(arguments) => commands::dev::dev(output, &arguments).await,
        Command::Server(arguments) => commands::server::server(&arguments).await,
        Command::Apply { files } => commands::machines::apply(&mut context()?, &files).await,
        Command::Machines => commands::machines::machines(&mut context()?).await,
        Command::Machine { machine, version } => {
            commands::machines::machine(&mut context()?, &machine, version).await
        }
        Command::Check { files, strict } => commands::machines::check(output, &files, strict),
        Command::Create { target, key } => commands::instances::create(&mut context()?, &target, key).await,
        Command::Propose(arguments) => commands::propose::propose(&mut context()?, arguments).await,
        Command::Get { target } => commands::instances::get(&mut context()?, &target).await,
        Command::List { machine, state, limit } => {
            commands::instances::list(&mut context()?, &machine, state, limit).await
        }
        Command::Count { machine } => commands::instances::count(&mut context()?, &machine).await,
        Command::History { target, from, limit } => {
            commands::instances::history(&mut context()?, &target, from, limit).await
        }
        Command::Import(arguments) => import::import(&mut context()?, common, arguments).await,
        Command::Cluster(ClusterCommand::Status) => commands::cluster::status(&mut context()?).await,
        Command::Cluster(ClusterCommand::Add { peer, id, learner, replaces }) => {
            let add = AddMember { id, peer, voter: !learner, replaces, feature_level_max: None };
            commands::cluster::add(&mut context()?, &add).await
        }
        Command::Cluster(ClusterCommand::Promote { node }) => {
            commands::cluster::promote(&mut context()?, node).await
        }
        Command::Cluster(ClusterCommand::Remove { node }) => {
            commands::cluster::remove(&mut context()?, node).await
        }
        Command::Cluster(ClusterCommand::Transfer { node }) => {
            commands::cluster::transfer(&mut context()?, node).await
        }
        Command::Log(LogCommand::Inspect { dir, entries }) => {
            commands::log::inspect_log(output, &dir, entries)
        }
        Command::Recover(arguments) => commands::recover::recover(output, &arguments),
        Command::Config(ConfigCommand::Dump(arguments)) => commands::server::dump(output, &arguments),
        Command::Completions { shell } => completions(shell),
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
