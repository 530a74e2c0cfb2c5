//! What it costs a snapshot that replies are kept for callers who may ask again: for how long commands wait while it takes its copy.

use std::path::Path;

use anyhow::{Context as _, Result};
use quorate::{Config, Node, Proposal, RequestId};

use crate::Load;
use crate::node::Tally;

/// Requests of one session: fewer than it keeps replies.
const REQUESTS_PER_SESSION: u64 = 250_000;
/// Sessions that are filled.
const SESSIONS: u64 = 4;

/// One node alone, a million requests of four sessions of which none is acknowledged, and snapshots meanwhile.
pub(crate) fn measure(load: &Load, dir: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let config = Config { snapshot_log_bytes_min: 16 << 20, ..Config::default() };
        let node = Node::builder(dir).config(config).start(Tally::default()).await?;
        node.ready().await?;
        for session in 1..=SESSIONS {
            node.open_session(u128::from(session)).await?;
            fill(&node, load, session).await?;
            let pauses = node.metrics().snapshot_pause.read();
            let longest = pauses.buckets.iter().rposition(|count| *count > 0);
            // The buckets double, so the longest pause is told to a factor of two.
            println!(
                "{:>9} replies kept: {} snapshots, {} us in the mean, the longest below {} us",
                session * REQUESTS_PER_SESSION,
                pauses.count(),
                pauses.sum_us / pauses.count().max(1),
                longest.map_or(0, |bucket| 1_u64 << bucket)
            );
        }
        node.stop().await;
        Ok(())
    })
}

/// Makes all requests of a session, `window` of them at a time.
async fn fill(node: &Node<Tally>, load: &Load, session: u64) -> Result<()> {
    let window = load.window as u64;
    let tasks: Vec<_> = (0..window)
        .map(|first| {
            let (node, bytes) = (node.clone(), load.bytes);
            tokio::spawn(async move {
                let mut sequence = first + 1;
                while sequence <= REQUESTS_PER_SESSION {
                    let session = u128::from(session);
                    let request_id = Some(RequestId::Session { session, sequence, acknowledged: 0 });
                    node.propose_with(Proposal { request_id, ..Proposal::new(vec![7; bytes]) }).await?;
                    sequence += window;
                }
                Ok::<_, quorate::ProposeError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.context("a client of the measurement panicked")??;
    }
    Ok(())
}
