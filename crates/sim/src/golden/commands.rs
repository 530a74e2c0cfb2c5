//! The words of a golden script, and what each does.

use bytes::Bytes;
use quorate_core::config::Config;
use quorate_core::membership::Change;
use quorate_core::ready::Input;
use quorate_core::types::{EntryId, NodeId};

use super::cluster::Cluster;
use super::wire::{Filter, Treatment};
use crate::member::WALL_START_MS;

/// Carries out one line.
///
/// # Errors
/// When the line makes no sense, an expectation fails, or a rule was broken.
pub(super) fn execute(cluster: &mut Cluster, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (verb, rest) = words.split_first().ok_or("an empty line")?;
    match (*verb, rest) {
        ("cluster", [count, options @ ..]) => start(cluster, count, options),
        ("campaign", [name]) => cluster.turn(node(name)?, vec![Input::Campaign]),
        ("elect", [name]) => {
            cluster.turn(node(name)?, vec![Input::Campaign])?;
            cluster.settle()
        }
        ("propose", [name, command @ ..]) => propose(cluster, node(name)?, vec![command.join(" ")]),
        ("burst", [name, count, command]) => {
            let commands: Vec<String> =
                (1..=number(count)?).map(|place| format!("{command}{place}")).collect();
            propose(cluster, node(name)?, commands)
        }
        ("read", [name]) => {
            let ticket = cluster.next_ticket();
            cluster.turn(node(name)?, vec![Input::ReadIndex { ticket }])
        }
        ("join" | "add" | "learner" | "promote" | "remove" | "replace" | "transfer", words) => {
            steer(cluster, verb, words)
        }
        ("tick", [who]) => tick(cluster, who, 1),
        ("tick", [who, count]) => tick(cluster, who, number(count)?),
        ("clock", [who, ms]) => pass_time(cluster, who, number(ms)?),
        ("run", [count]) => {
            for _ in 0..number(count)? {
                tick(cluster, "all", 1)?;
                cluster.settle()?;
            }
            Ok(())
        }
        ("settle", []) => cluster.settle(),
        ("deliver", words) => cluster.deliver(&filter(words)?),
        ("cut" | "heal", words) => cut(cluster, verb, words),
        ("drop", words) => treat(cluster, words, Treatment::Drop),
        ("hold", words) => treat(cluster, words, Treatment::Hold),
        ("copy", words) => treat(cluster, words, Treatment::Copy),
        ("duplicate", words) => treat(cluster, words, Treatment::Duplicate),
        ("pass", []) => {
            cluster.wire.pass();
            Ok(())
        }
        ("lose", []) => {
            cluster.wire.lose();
            Ok(())
        }
        ("release", words) => {
            cluster.wire.release(words == ["reversed"]);
            Ok(())
        }
        ("messages", words) => {
            cluster.shows_messages = words == ["on"];
            Ok(())
        }
        ("wall", [name, way, seconds]) => set_wall(cluster, node(name)?, way, number(seconds)?),
        ("time", [name]) => cluster.log_time(node(name)?),
        ("snapshot", [name]) => cluster.take_snapshot(node(name)?),
        ("fetch", [name, from]) => cluster.fetch_snapshot(node(name)?, node(from)?),
        ("damage", [name, "snapshot"]) => cluster.damage_snapshot(node(name)?),
        ("damage", [name, id]) => cluster.damage_entry(node(name)?, entry_id(id)?),
        ("mend", [name]) => cluster.mend(node(name)?),
        ("expect", [name, words @ ..]) => cluster.expect(node(name)?, &words.join(" ")),
        (
            "fill" | "room" | "stall" | "write" | "fsync" | "sync" | "unstall" | "crash" | "restart",
            [name],
        ) => disk(cluster, verb, node(name)?),
        _ => Err("this is no command of golden scripts".into()),
    }
}

/// Who is a member, and who leads.
fn steer(cluster: &mut Cluster, verb: &str, words: &[&str]) -> Result<(), String> {
    match (verb, words) {
        ("join", [name]) => cluster.join(node(name)?),
        ("add" | "learner" | "promote" | "remove", [name, which]) => {
            change(cluster, verb, node(name)?, which)
        }
        ("replace", [name, old, new]) => {
            let (new, replaces) = (node(new)?, Some(node(old)?));
            let add = Change::Add { node: Some(new), address: new.to_string(), voter: true, replaces };
            ask(cluster, node(name)?, add)
        }
        ("transfer", [name, to @ ..]) if to.len() <= 1 => {
            let to = to.first().map(|to| node(to)).transpose()?;
            let ticket = cluster.next_ticket();
            cluster.turn(node(name)?, vec![Input::Transfer { ticket, to }])
        }
        _ => {
            Err("join M, add N M, learner N M, promote N M, remove N M, replace N OLD NEW, transfer N [M]"
                .into())
        }
    }
}

fn change(cluster: &mut Cluster, verb: &str, at: NodeId, which: &str) -> Result<(), String> {
    let which = node(which)?;
    let change = match verb {
        "promote" => Change::Promote { node: which },
        "remove" => Change::Remove { node: which },
        _ => {
            let voter = verb == "add";
            Change::Add { node: Some(which), address: which.to_string(), voter, replaces: None }
        }
    };
    ask(cluster, at, change)
}

fn ask(cluster: &mut Cluster, at: NodeId, change: Change) -> Result<(), String> {
    let ticket = cluster.next_ticket();
    cluster.turn(at, vec![Input::Change { ticket, change }])
}

fn start(cluster: &mut Cluster, count: &str, options: &[&str]) -> Result<(), String> {
    // Most scripts tell of votes, and are clearer where a refusal is a refusal.
    let plain = Config { donation: false, ..Config::new(NodeId::new(1)) };
    let mut config = Config { election_timeout_ticks: 10, heartbeat_ticks: 2, ..plain };
    let (mut leader, mut drift) = (None, None);
    for option in options {
        let (name, value) = option.split_once('=').ok_or("an option is name=value")?;
        let value = number(value)?;
        let size = usize::try_from(value).map_err(|error| error.to_string())?;
        match name {
            "leader" => leader = NodeId::checked(value),
            "election" => config.election_timeout_ticks = value,
            "heartbeat" => config.heartbeat_ticks = value,
            "append-bytes" => config.append_bytes_max = size,
            "inflight" => config.inflight_appends_max = size,
            "window-bytes" => config.window_bytes_max = size,
            "uncommitted-bytes" => config.uncommitted_bytes_max = size,
            "reads" => config.reads_len_max = size,
            "drift" => drift = Some(value),
            "without" => cluster.without_lease = NodeId::checked(value),
            "donation" => config.donation = value == 1,
            "segment-bytes" => cluster.segment_bytes = value,
            // `priority2=0` is the priority of node 2.
            name if name.starts_with("priority") => {
                let priority = u8::try_from(value).map_err(|error| error.to_string())?;
                cluster.priorities.insert(node(&name["priority".len()..])?, priority);
            }
            _ => return Err(format!("no option {name}")),
        }
    }
    if let Some(drift) = drift {
        config = config.clone().with_lease(config.election_timeout_ticks * TICK_US, drift);
    }
    cluster.start(number(count)?, &config)?;
    if let Some(leader) = leader {
        for node in cluster.nodes() {
            // Nobody votes who may have promised something before it started.
            cluster.pass_time(node, config.election_timeout_ticks * TICK_US)?;
        }
        cluster.turn(leader, vec![Input::Campaign])?;
        cluster.settle()?;
        // Two heartbeats bring the commit index everywhere.
        for _ in 0..2 * config.heartbeat_ticks {
            tick(cluster, "all", 1)?;
            cluster.settle()?;
        }
        cluster.forget_notes();
    }
    Ok(())
}

/// Several commands are one turn: they share one write and one message for each peer.
fn propose(cluster: &mut Cluster, node: NodeId, commands: Vec<String>) -> Result<(), String> {
    let timestamp_ms = cluster.wall_ms(node)?;
    let inputs = commands.into_iter().map(|command| {
        let ticket = cluster.next_ticket();
        Input::Propose { ticket, command: Bytes::from(command), timestamp_ms }
    });
    let inputs = inputs.collect();
    cluster.turn(node, inputs)
}

/// A wall clock is wrong by so much from now on.
fn set_wall(cluster: &mut Cluster, node: NodeId, way: &str, seconds: u64) -> Result<(), String> {
    let by_ms = seconds.saturating_mul(1000);
    match way {
        "ahead" => cluster.set_wall(node, WALL_START_MS.saturating_add(by_ms)),
        "behind" => cluster.set_wall(node, WALL_START_MS.saturating_sub(by_ms)),
        _ => Err("wall N ahead|behind SECONDS".into()),
    }
}

fn tick(cluster: &mut Cluster, who: &str, count: u64) -> Result<(), String> {
    let nodes = if who == "all" { cluster.running() } else { vec![node(who)?] };
    for _ in 0..count {
        for node in &nodes {
            cluster.pass_time(*node, TICK_US)?;
            let wall_ms = cluster.wall_ms(*node)?;
            cluster.turn(*node, vec![Input::Tick { elapsed: 1, wall_ms }])?;
        }
    }
    Ok(())
}

/// The monotonic clock of a node moves on, and nothing is told to anybody.
fn pass_time(cluster: &mut Cluster, who: &str, ms: u64) -> Result<(), String> {
    let nodes = if who == "all" { cluster.nodes() } else { vec![node(who)?] };
    nodes.into_iter().try_for_each(|node| cluster.pass_time(node, ms * 1_000))
}

fn cut(cluster: &mut Cluster, verb: &str, words: &[&str]) -> Result<(), String> {
    match (verb, words) {
        ("heal", []) => cluster.network.heal(),
        ("heal", [link_name]) => {
            let (from, to) = link(link_name)?;
            cluster.network.join(from, to);
        }
        ("cut", [name]) if name.contains('>') => {
            let (from, to) = link(name)?;
            cluster.network.cut(from, to);
        }
        ("cut", [name]) => {
            let alone = node(name)?;
            let others: Vec<NodeId> = cluster.nodes().into_iter().filter(|other| *other != alone).collect();
            cluster.network.partition(&[alone], &others);
        }
        ("cut", [one, other]) => cluster.network.partition(&[node(one)?], &[node(other)?]),
        _ => return Err("cut N, cut N M, cut N>M, heal, heal N>M".into()),
    }
    Ok(())
}

fn disk(cluster: &mut Cluster, verb: &str, node: NodeId) -> Result<(), String> {
    match verb {
        "fill" => cluster.set_full(node, true),
        "room" => cluster.set_full(node, false),
        "stall" => cluster.stall(node),
        "write" => cluster.write(node),
        "fsync" => cluster.fsync(node),
        "sync" => {
            cluster.write(node)?;
            cluster.fsync(node)
        }
        "unstall" => cluster.unstall(node),
        "crash" => cluster.crash(node),
        _ => cluster.restart(node),
    }
}

fn treat(cluster: &mut Cluster, words: &[&str], treatment: Treatment) -> Result<(), String> {
    let filter = filter(words)?;
    cluster.wire.treat(filter, treatment);
    Ok(())
}

fn filter(words: &[&str]) -> Result<Filter, String> {
    match words {
        [] => Ok(Filter { kind: "any".into(), link: None }),
        [name] if name.contains('>') => Ok(Filter { kind: "any".into(), link: Some(link(name)?) }),
        [kind] => Ok(Filter { kind: (*kind).into(), link: None }),
        [kind, name] => Ok(Filter { kind: (*kind).into(), link: Some(link(name)?) }),
        _ => Err("messages are named by a kind and a link".into()),
    }
}

fn link(name: &str) -> Result<(NodeId, NodeId), String> {
    let (from, to) = name.split_once('>').ok_or("a link is written 1>2")?;
    Ok((node(from)?, node(to)?))
}

fn node(name: &str) -> Result<NodeId, String> {
    NodeId::checked(number(name)?).ok_or_else(|| "nodes are numbered from 1".into())
}

fn entry_id(word: &str) -> Result<EntryId, String> {
    let (term, index) = word.split_once(':').ok_or("an entry is written TERM:INDEX")?;
    Ok(EntryId::new(number(term)?, number(index)?))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

/// By how much the monotonic clock of a node moves with each of its ticks.
const TICK_US: u64 = 10_000;
