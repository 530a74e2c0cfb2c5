//! One node of the embedded measurement: a state machine that counts, a closed loop when the parent asks for one, and the
//! node's own counters. Lines in on standard input, lines out on standard output.

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use quorate::{Config, Context, Node, ProposeError, Reads, Snapshot, StateMachine};

use crate::pressure::Overloaded;
use crate::report::Measured;

#[derive(clap::Args)]
pub(crate) struct NodeArgs {
    #[arg(long)]
    id: u64,
    #[arg(long)]
    dir: PathBuf,
    /// The peer addresses of nodes 1, 2, 3.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Where this node listens, if that is not where its peers dial it.
    #[arg(long)]
    listen: Option<String>,
    /// How much this node is meant to lead.
    #[arg(long, default_value_t = 100)]
    priority: u8,
    /// How reads are confirmed: `round` or `lease`.
    #[arg(long, default_value = "round")]
    reads: String,
}

/// The state machine of the measurement: counts commands and the bytes in them.
#[derive(Default)]
pub(crate) struct Tally {
    commands: u64,
    bytes: u64,
}

impl StateMachine for Tally {
    type Command = Vec<u8>;
    type Reply = u64;

    fn apply(&mut self, _: &Context, command: Vec<u8>) -> u64 {
        self.commands += 1;
        self.bytes += command.len() as u64;
        self.commands
    }

    fn snapshot(&self) -> Snapshot {
        let state = [self.commands.to_le_bytes(), self.bytes.to_le_bytes()].concat();
        Box::new(move |out| out.write_all(&state))
    }

    fn restore(&mut self, source: &mut dyn Read) -> std::io::Result<()> {
        let mut state = [[0; 8]; 2];
        source.read_exact(state.as_flattened_mut())?;
        (self.commands, self.bytes) = (u64::from_le_bytes(state[0]), u64::from_le_bytes(state[1]));
        Ok(())
    }
}

/// The life of the process.
pub(crate) fn run(args: NodeArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let members: Vec<(u64, String)> = (1..).zip(args.peers).collect();
        let builder = Node::builder(args.dir).id(args.id).cluster("bench").peers(members);
        let builder = match args.listen {
            Some(address) => builder.listen(address),
            None => builder,
        };
        let node = builder
            .config(Config {
                priority: args.priority,
                reads: if args.reads == "lease" { Reads::Lease } else { Reads::Round },
                ..Config::default()
            })
            .start(Tally::default())
            .await?;
        node.ready().await?;
        println!("{}", if node.status().leader == args.id { "leader" } else { "follower" });
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["run", window, bytes, seconds] => {
                    let measured =
                        closed_loop(&node, window.parse()?, bytes.parse()?, seconds.parse()?).await?;
                    println!("{}", serde_json::to_string(&measured)?);
                }
                [verb @ ("read" | "read-stale"), window, seconds] => {
                    let stale = verb == "read-stale";
                    let measured =
                        closed_loop_of_reads(&node, stale, window.parse()?, seconds.parse()?).await?;
                    println!("{}", serde_json::to_string(&measured)?);
                }
                ["overload", callers, bytes, seconds] => {
                    let met = overload(&node, callers.parse()?, bytes.parse()?, seconds.parse()?).await?;
                    println!("{}", serde_json::to_string(&met)?);
                }
                ["settle"] => {
                    node.wait(|status| {
                        status.peers.iter().all(|peer| peer.connected && peer.lag_entries == 0)
                    })
                    .await?;
                    println!("settled");
                }
                ["counters"] => {
                    let metrics = node.metrics();
                    let written = metrics.log_written_bytes.load(Ordering::Relaxed);
                    println!("{} {written}", metrics.fsync.read().count());
                }
                ["stop"] => {
                    node.stop().await;
                    println!("stopped");
                    return Ok(());
                }
                _ => bail!("unknown request {line:?}"),
            }
        }
        Ok(())
    })
}

/// Lets `callers` propose without end for `seconds`; whoever is refused tries again a moment later.
async fn overload(node: &Node<Tally>, callers: usize, bytes: usize, seconds: f64) -> Result<Overloaded> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move {
                let (mut answered, mut refusals) = (0, Vec::new());
                while Instant::now() < end {
                    let since = Instant::now();
                    match node.propose(vec![7_u8; bytes]).await {
                        Ok(_) => answered += 1,
                        Err(ProposeError::Overloaded) => {
                            refusals.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
                            tokio::time::sleep(REFUSED_PAUSE).await;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok((answered, refusals))
            })
        })
        .collect();
    let (mut answered, mut refusals) = (0_u64, Vec::new());
    for task in tasks {
        let (of_one, refused) = task.await.context("a client of the measurement panicked")??;
        answered += of_one;
        refusals.extend(refused);
    }
    Ok(Overloaded::new(answered, refusals))
}

/// How long a caller that was refused waits.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Keeps `window` proposals in flight for `seconds`.
async fn closed_loop(node: &Node<Tally>, window: usize, bytes: usize, seconds: f64) -> Result<Measured> {
    let command = Arc::new(vec![7_u8; bytes]);
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..window)
        .map(|_| {
            let (node, command) = (node.clone(), Arc::clone(&command));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut since = Instant::now();
                while since < end {
                    node.propose(command.to_vec()).await?;
                    let now = Instant::now();
                    latencies.push(u32::try_from((now - since).as_micros()).unwrap_or(u32::MAX));
                    since = now;
                }
                Ok::<_, quorate::ProposeError>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.context("a client of the measurement panicked")??);
    }
    Ok(Measured::new(window, bytes, latencies.len() as u64, begin.elapsed(), latencies))
}

/// Keeps `window` reads, linearizable or stale, in flight for `seconds`.
async fn closed_loop_of_reads(
    node: &Node<Tally>,
    stale: bool,
    window: usize,
    seconds: f64,
) -> Result<Measured> {
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..window)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut since = Instant::now();
                while since < end {
                    if stale {
                        node.read_stale(|tally: &Tally| tally.commands).await?;
                    } else {
                        node.read(|tally: &Tally| tally.commands).await?;
                    }
                    let now = Instant::now();
                    latencies.push(u32::try_from((now - since).as_micros()).unwrap_or(u32::MAX));
                    since = now;
                }
                Ok::<_, quorate::ReadError>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.context("a client of the measurement panicked")??);
    }
    Ok(Measured::new(window, 0, latencies.len() as u64, begin.elapsed(), latencies))
}
