//! Golden scripts: a scenario of the protocol as a text that is read like a story, with what happened below it. Raw cores
//! run over the real log and the simulated disk and network; nothing happens but what the script says.
//!
//! A script is a head comment (what is shown, and where it comes from), one command on each line, a line `---`, and the
//! output. Links are written `1>2`; kinds of messages as in [`wire::kind`].
//!
//! | command | what it does |
//! |---|---|
//! | `cluster N [leader=K] [election=T] [heartbeat=T] [append-bytes=B] [inflight=C] [window-bytes=B] [drift=P] [without=M]` | starts N nodes; K is elected; with a bound on clock drift of P percent they have leases, all but M |
//! | `campaign N` / `elect N` | N stands for election; `elect` also delivers until nothing moves |
//! | `propose N text` / `burst N COUNT text` / `read N` | a command, COUNT of them with numbers, a linearizable read, at N |
//! | `join M` | starts node M, which is no member and knows nobody |
//! | `add N M`, `learner N M`, `promote N M`, `remove N M`, `replace N OLD NEW` | N is asked for this change of the members |
//! | `transfer N [M]` | N shall hand its leadership over, to M or to whom it likes |
//! | `tick N [T]` / `tick all [T]` | time passes at N or everywhere, nothing is delivered |
//! | `clock N MS` / `clock all MS` | the monotonic clock moves on, and nothing is told to anybody; each tick moves it by 10 ms |
//! | `run T` | T times: one tick everywhere, then deliver until nothing moves |
//! | `deliver [KIND] [LINK]` | what is under way now arrives (of this kind, on this link) |
//! | `settle` | delivers until nothing moves |
//! | `cut N` / `cut N M` / `cut LINK`, `heal` | cuts a node off, a pair, one direction; joins all |
//! | `drop`, `hold`, `copy`, `duplicate` `KIND [LINK]` | such messages are lost, kept back, kept back and delivered, delivered twice; `any` is every kind |
//! | `pass` | no message is treated so any more |
//! | `lose` | what is under way now is lost |
//! | `release [reversed]` | what was kept back arrives in its order, or the last one first |
//! | `stall N`, `write N`, `fsync N`, `sync N` | N's disk does nothing by itself; writes what waits, syncs what is written, or both |
//! | `unstall N` | N's disk works again |
//! | `fill N`, `room N` | N's disk has no room for a new segment or file; has room again |
//! | `crash N`, `restart N` | N loses its power and all that was not synced; starts again |
//! | `wall N ahead\|behind SECONDS` | N's wall clock is wrong by so much from now on; 0 sets it right |
//! | `time N` | tells how far the time of the last entry that N has applied is from the true time |
//! | `damage N ID`, `damage N snapshot` | the disk of N, which is down, loses the bytes of this entry, or of its newest snapshot |
//! | `mend N` | the disk of N, which is down, holds again what was damaged last |
//! | `messages on`, `messages off` | each message that is delivered is shown |
//! | `expect N WORDS` | fails unless the words stand in the line of N |

mod cluster;
mod commands;
mod damage;
mod snapshots;
pub mod wire;

use self::cluster::Cluster;

/// Runs a script and gives it back with its output below the line `---`.
pub fn run(script: &str) -> String {
    let commands: Vec<&str> = script.lines().take_while(|line| line.trim() != "---").collect();
    let mut cluster = Cluster::default();
    let mut out = String::new();
    for line in &commands {
        out.push_str(line);
        out.push('\n');
    }
    out.push_str("---\n");
    for line in commands.iter().map(|line| line.trim()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        out.push_str(&format!("> {line}\n"));
        let result = commands::execute(&mut cluster, line);
        out.push_str(&cluster.take_output());
        if let Err(error) = result {
            out.push_str(&format!("  FAILED: {error}\n"));
        }
    }
    out
}

/// Whether an output tells of a broken rule, a failed expectation or a command that makes no sense.
pub fn has_failed(output: &str) -> bool {
    output.lines().any(|line| line.trim_start().starts_with("FAILED"))
}
