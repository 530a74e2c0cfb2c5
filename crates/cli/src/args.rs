//! The one table of all commands and flags, with their help. Help, usage errors and completions all come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What `--help` opens with.
const EXAMPLES: &str = "\
Examples:
  quorate dev                                   a cluster of three nodes in this terminal
  quorate create lifecycle/job-1                an instance of the built-in machine
  quorate propose lifecycle/job-1 start --explain";

const AFTER: &str = "\
Exit codes: 0 ok, 1 error, 2 usage, 3 rejected, 4 conflict, 5 not found, 6 unavailable, 7 outcome unknown";

/// Replicated state machines: declare a lifecycle, and a quorum decides every transition.
#[derive(Parser, Debug)]
#[command(name = "quorate", version, before_help = EXAMPLES, after_help = AFTER)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Nodes to ask, separated by commas; any of them can answer anything
    #[arg(long, global = true, env = "QUORATE_ENDPOINTS", default_value = "http://127.0.0.1:7480")]
    #[arg(value_name = "URL,...", help_heading = "Common options")]
    pub(crate) endpoint: String,
    /// How results are written to stdout
    #[arg(short, long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    #[arg(value_name = "FORMAT", help_heading = "Common options")]
    pub(crate) output: OutputFormat,
}

/// How results are written to stdout.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// The JSON of the HTTP interface
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Every command.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a whole cluster in one process: real TCP, real fsync, the built-in machine
    Dev(DevArgs),
    /// Run one node
    Server(ServerArgs),
    /// Apply definitions of machines
    Apply {
        /// TOML or JSON files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the machines
    Machines,
    /// Show the definition of a machine
    Machine {
        /// Its name
        machine: String,
        /// A version other than the latest
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// Check definitions without a cluster
    Check {
        /// TOML or JSON files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Take warnings as faults
        #[arg(long)]
        strict: bool,
    },
    /// Create an instance
    Create {
        /// The machine, and the id; without an id the cluster chooses one
        #[arg(value_name = "MACHINE[/ID]")]
        target: String,
        /// Makes the creation exactly-once over several calls: the same key gets the first answer
        #[arg(long)]
        key: Option<String>,
    },
    /// Propose an event, or a target state, to an instance
    Propose(ProposeArgs),
    /// Show an instance
    Get {
        /// The instance
        #[arg(value_name = "MACHINE/ID")]
        target: String,
    },
    /// List the instances of a machine
    List {
        /// The machine
        machine: String,
        /// Only those in this state
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Count the instances of a machine by state
    Count {
        /// The machine
        machine: String,
    },
    /// Show what happened to an instance, rejections included
    History {
        /// The instance
        #[arg(value_name = "MACHINE/ID")]
        target: String,
        /// From this revision on
        #[arg(long, value_name = "REVISION")]
        from: Option<u64>,
        /// At most so many records
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Propose row by row from a file; run it again to continue
    Import(ImportArgs),
    /// Ask about the cluster, and change it
    #[command(subcommand, arg_required_else_help = true)]
    Cluster(ClusterCommand),
    /// Look into a node's log on disk
    #[command(subcommand, arg_required_else_help = true)]
    Log(LogCommand),
    /// When a quorum is lost for good: look at the data of stopped nodes, and make a new cluster of the best of it
    Recover(RecoverArgs),
    /// Look at the settings of a node
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Print a completion script
    Completions {
        /// For which shell
        #[arg(value_enum)]
        shell: CompletionShell,
    },
}

/// Flags of `dev`.
#[derive(Args, Debug)]
pub(crate) struct DevArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9), value_name = "N")]
    pub(crate) nodes: u64,
    /// Where the nodes keep their data; it stays when the cluster stops
    #[arg(long, default_value = "./quorate-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// The client port of node 1; node n gets this + 10(n-1), and the next one for its peers. 0: any free ports
    #[arg(long, default_value_t = 7480, value_name = "PORT")]
    pub(crate) api_port: u16,
    /// Print the addresses only
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Flags of `server`. Each but the first overrides what stands in the file and in the environment.
#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The settings [default: ./quorate.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which member this node is
    #[arg(long, value_name = "N")]
    pub(crate) id: Option<u64>,
    /// Where the node keeps its data
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Where it listens for clients
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_api: Option<String>,
    /// Where it listens for its peers
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen_peer: Option<String>,
    /// Where clients reach it, if it listens elsewhere or everywhere; port 0: the same
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise_api: Option<String>,
    /// Where its peers reach it, if it listens elsewhere or everywhere; port 0: the same
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise_peer: Option<String>,
    /// Join the running cluster of which a member serves clients at this address; done once, the data remembers it
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: Option<String>,
    /// Allow addresses that other machines reach, although nothing is encrypted in this version
    #[arg(long)]
    pub(crate) insecure: bool,
    /// What the program's log shows: error, warn, info, debug
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Any other setting
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// Flags of `propose`.
#[derive(Args, Debug)]
pub(crate) struct ProposeArgs {
    /// The instance
    #[arg(value_name = "MACHINE/ID")]
    pub(crate) target: String,
    /// The event
    #[arg(required_unless_present = "to", conflicts_with = "to")]
    pub(crate) event: Option<String>,
    /// The state to get to, instead of an event
    #[arg(long, value_name = "STATE")]
    pub(crate) to: Option<String>,
    /// What comes with the event: a JSON object, kept in the history
    #[arg(long, value_name = "JSON")]
    pub(crate) data: Option<String>,
    /// Reject unless the instance has this revision
    #[arg(long, value_name = "N")]
    pub(crate) expect_revision: Option<u64>,
    /// Reject unless the instance is in this state
    #[arg(long, value_name = "STATE")]
    pub(crate) expect_state: Option<String>,
    /// Makes the proposal exactly-once over several calls: the same key gets the first answer
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Show each step: who accepted it, the leader, its place in the log, who acknowledged it when
    #[arg(long)]
    pub(crate) explain: bool,
}

/// Flags of `recover`.
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    /// The data directories of all nodes that are left, or copies of them, each node stopped
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Make the new cluster, in this directory that does not exist yet; without it nothing is changed
    #[arg(long, value_name = "NEW-DIR", requires = "give_up")]
    pub(crate) into: Option<PathBuf>,
    /// Say that this cluster is lost: its writes that only the missing nodes had are gone for ever
    #[arg(long, value_name = "CLUSTER", requires = "into")]
    pub(crate) give_up: Option<String>,
}

/// Flags of `import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// A CSV file with a header (`id`, `event` or `to`; other columns become data), or a .jsonl file
    pub(crate) file: PathBuf,
    /// The machine of every row
    #[arg(long)]
    pub(crate) machine: String,
    /// Check and count, propose nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many instances are moved at the same time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=4096), value_name = "N")]
    pub(crate) inflight: u64,
    /// Where rejected rows are written [default: FILE.rejected.csv]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejected: Option<PathBuf>,
    /// Give up after so many seconds without any answer
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) patience: u64,
}

/// Commands about the cluster.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
    /// Every node: role, term, log, lag, address, disk; and the nodes that were not reached, with the reason
    Status,
    /// Add a node, to be started with `quorate server --join`; it gets a vote once it has caught up
    Add {
        /// Where the other nodes will reach it
        #[arg(value_name = "HOST:PORT")]
        peer: String,
        /// Its id, higher than all that were ever given [default: the next one that is free]
        #[arg(long, value_name = "N")]
        id: Option<u64>,
        /// It only receives the log, and gets a vote when it is promoted
        #[arg(long)]
        learner: bool,
        /// The voter whose place it takes once it has caught up
        #[arg(long, value_name = "NODE", conflicts_with = "learner")]
        replaces: Option<u64>,
    },
    /// Let a learner become a voter once it has caught up
    Promote {
        /// Which node
        node: u64,
    },
    /// Remove a node for good; its id is never given again
    Remove {
        /// Which node
        node: u64,
    },
    /// Let another node lead; before the leader is taken down this saves an election
    Transfer {
        /// Which one; without it the leader chooses who can take over soonest
        node: Option<u64>,
    },
}

/// Commands about a log on disk.
#[derive(Subcommand, Debug)]
pub(crate) enum LogCommand {
    /// Show segments, hard state and entries of a stopped node
    Inspect {
        /// The node's data directory
        dir: PathBuf,
        /// Show each entry
        #[arg(long)]
        entries: bool,
    },
}

/// Commands about settings.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Print each setting with its value and where it comes from
    Dump(ServerArgs),
}

/// The shells that completions exist for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum CompletionShell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}
