//! The table of all settings: name, meaning, how it is read and how it is shown. File, environment, flags and
//! `config dump` all go through it, so none of them can know a setting that the others do not.

use std::time::Duration;

use quorate::Reads;

use crate::config::{MemberSettings, ServerConfig};

/// One setting.
pub(crate) struct Setting {
    /// Its name: `section.key`.
    pub(crate) key: &'static str,
    /// What it is for, in one line.
    pub(crate) about: &'static str,
    /// Reads it from text.
    pub(crate) set: fn(&mut ServerConfig, &str) -> Result<(), String>,
    /// Shows it as text that `set` reads again (a secret is masked).
    pub(crate) get: fn(&ServerConfig) -> String,
}

/// Every setting, by section.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        key: "node.id",
        about: "this node's id among cluster.members",
        set: |config, text| put(&mut config.node.id, number(text)),
        get: |config| config.node.id.to_string(),
    },
    Setting {
        key: "node.data_dir",
        about: "where this node keeps its data",
        set: |config, text| put(&mut config.node.data_dir, not_empty(text).map(Into::into)),
        get: |config| config.node.data_dir.display().to_string(),
    },
    Setting {
        key: "cluster.token",
        about: "shared by all members; names the cluster together with their ids",
        set: |config, text| put(&mut config.cluster.token, not_empty(text)),
        get: |_| "********".to_owned(),
    },
    Setting {
        key: "node.priority",
        about: "how much this node is meant to lead, 0 to 100; 0: only if nobody else can",
        set: |config, text| put(&mut config.replication.priority, number(text)),
        get: |config| config.replication.priority.to_string(),
    },
    Setting {
        key: "cluster.members",
        about: "all initial members, as ID=PEER_ADDRESS[/API_ADDRESS],...; empty: this node alone",
        set: |config, text| put(&mut config.cluster.members, members(text)),
        get: |config| config.cluster.members.iter().map(show_member).collect::<Vec<_>>().join(","),
    },
    Setting {
        key: "cluster.join",
        about: "the client address of any member of a running cluster that this node joins; empty: none",
        set: |config, text| put(&mut config.cluster.join, Ok(none_if_empty(text))),
        get: |config| config.cluster.join.clone().unwrap_or_default(),
    },
    Setting {
        key: "listen.api",
        about: "address for clients",
        set: |config, text| put(&mut config.listen.api, not_empty(text)),
        get: |config| config.listen.api.clone(),
    },
    Setting {
        key: "listen.peer",
        about: "address for the other nodes",
        set: |config, text| put(&mut config.listen.peer, not_empty(text)),
        get: |config| config.listen.peer.clone(),
    },
    Setting {
        key: "listen.insecure",
        about: "allow addresses that other machines reach, without encryption",
        set: |config, text| put(&mut config.listen.insecure, truth(text)),
        get: |config| config.listen.insecure.to_string(),
    },
    Setting {
        key: "advertise.api",
        about: "where clients reach this node, if it listens elsewhere or everywhere; port 0: the same",
        set: |config, text| put(&mut config.advertise.api, Ok(none_if_empty(text))),
        get: |config| config.advertise.api.clone().unwrap_or_default(),
    },
    Setting {
        key: "advertise.peer",
        about: "where the other nodes reach this one, if it listens elsewhere or everywhere; port 0: the same",
        set: |config, text| put(&mut config.advertise.peer, Ok(none_if_empty(text))),
        get: |config| config.advertise.peer.clone().unwrap_or_default(),
    },
    Setting {
        key: "limits.connections_len_max",
        about: "connections of clients at a time",
        set: |config, text| put(&mut config.limits.connections_len_max, at_least_one(text)),
        get: |config| config.limits.connections_len_max.to_string(),
    },
    Setting {
        key: "limits.streams_len_max",
        about: "requests at a time on one HTTP/2 connection",
        set: |config, text| put(&mut config.limits.streams_len_max, at_least_one(text)),
        get: |config| config.limits.streams_len_max.to_string(),
    },
    Setting {
        key: "limits.body_bytes_max",
        about: "the largest request body",
        set: |config, text| put(&mut config.limits.body_bytes_max, size(text)),
        get: |config| show_size(config.limits.body_bytes_max as u64),
    },
    Setting {
        key: "limits.bodies_bytes_max",
        about: "the bodies of all requests at a time",
        set: |config, text| put(&mut config.limits.bodies_bytes_max, size(text)),
        get: |config| show_size(config.limits.bodies_bytes_max as u64),
    },
    Setting {
        key: "limits.command_bytes_max",
        about: "the largest command in the log; the same on every node",
        set: |config, text| put(&mut config.replication.command_bytes_max, size(text)),
        get: |config| show_size(config.replication.command_bytes_max as u64),
    },
    Setting {
        key: "limits.inbox_len_max",
        about: "inputs that may wait for the node's loop",
        set: |config, text| put(&mut config.replication.inbox_len_max, at_least_one(text)),
        get: |config| config.replication.inbox_len_max.to_string(),
    },
    Setting {
        key: "limits.inbox_bytes_max",
        about: "commands that may wait for the node's loop",
        set: |config, text| put(&mut config.replication.inbox_bytes_max, size(text)),
        get: |config| show_size(config.replication.inbox_bytes_max as u64),
    },
    Setting {
        key: "limits.pending_bytes_max",
        about: "commands that wait for their answer on this node",
        set: |config, text| put(&mut config.replication.pending_bytes_max, size(text)),
        get: |config| show_size(config.replication.pending_bytes_max as u64),
    },
    Setting {
        key: "limits.uncommitted_bytes_max",
        about: "entries that a leader may hold uncommitted",
        set: |config, text| put(&mut config.replication.uncommitted_bytes_max, size(text)),
        get: |config| show_size(config.replication.uncommitted_bytes_max as u64),
    },
    Setting {
        key: "limits.window_bytes_max",
        about: "recent entries kept in memory",
        set: |config, text| put(&mut config.replication.window_bytes_max, size(text)),
        get: |config| show_size(config.replication.window_bytes_max as u64),
    },
    Setting {
        key: "limits.segment_bytes",
        about: "size of one file of the log",
        set: |config, text| put(&mut config.replication.segment_bytes, size(text)),
        get: |config| show_size(config.replication.segment_bytes),
    },
    Setting {
        key: "limits.snapshot_log_bytes_min",
        about: "a snapshot is taken after so much log, or as much as the last one is long",
        set: |config, text| put(&mut config.replication.snapshot_log_bytes_min, size(text)),
        get: |config| show_size(config.replication.snapshot_log_bytes_min),
    },
    Setting {
        key: "limits.snapshot_send_bytes_per_second",
        about: "snapshots sent to peers in a second, all together",
        set: |config, text| put(&mut config.replication.snapshot_send_bytes_per_second, size(text)),
        get: |config| show_size(config.replication.snapshot_send_bytes_per_second),
    },
    Setting {
        key: "timeouts.election",
        about: "without a leader for this long (up to twice), a node stands for election",
        set: |config, text| put(&mut config.replication.election_timeout, duration(text)),
        get: |config| show_duration(config.replication.election_timeout),
    },
    Setting {
        key: "timeouts.heartbeat",
        about: "how often a leader says that it leads",
        set: |config, text| put(&mut config.replication.heartbeat, duration(text)),
        get: |config| show_duration(config.replication.heartbeat),
    },
    Setting {
        key: "timeouts.proposal",
        about: "a proposal without an answer ends after this time as unknown",
        set: |config, text| put(&mut config.replication.proposal_timeout, duration(text)),
        get: |config| show_duration(config.replication.proposal_timeout),
    },
    Setting {
        key: "timeouts.read",
        about: "a read that no quorum confirms ends after this time",
        set: |config, text| put(&mut config.replication.read_timeout, duration(text)),
        get: |config| show_duration(config.replication.read_timeout),
    },
    Setting {
        key: "limits.clock_skew_max",
        about: "how far the time of entries may be from a quorum's clocks",
        set: |config, text| put(&mut config.replication.clock_skew_max, duration(text)),
        get: |config| show_duration(config.replication.clock_skew_max),
    },
    Setting {
        key: "reads.by",
        about: "how a leader makes sure that a read misses nothing: round asks a quorum, lease trusts clocks",
        set: |config, text| put(&mut config.replication.reads, reads(text)),
        get: |config| show_reads(config.replication.reads).to_owned(),
    },
    Setting {
        key: "reads.clock_drift_max_percent",
        about: "with reads.by = lease: how much faster one node's clock may run than another's",
        set: |config, text| put(&mut config.replication.clock_drift_max_percent, number(text)),
        get: |config| config.replication.clock_drift_max_percent.to_string(),
    },
    Setting {
        key: "timeouts.header",
        about: "for the head of a request, and between two requests on one connection",
        set: |config, text| put(&mut config.timeouts.header, duration(text)),
        get: |config| show_duration(config.timeouts.header),
    },
    Setting {
        key: "timeouts.body",
        about: "for the body of a request",
        set: |config, text| put(&mut config.timeouts.body, duration(text)),
        get: |config| show_duration(config.timeouts.body),
    },
    Setting {
        key: "timeouts.shutdown",
        about: "for the requests in flight when the server stops",
        set: |config, text| put(&mut config.timeouts.shutdown, duration(text)),
        get: |config| show_duration(config.timeouts.shutdown),
    },
    Setting {
        key: "log.level",
        about: "what the program logs: error, warn, info, debug, trace, or a filter such as quorate=debug,info",
        set: |config, text| put(&mut config.log_level, log_filter(text)),
        get: |config| config.log_level.clone(),
    },
];

/// The setting of this name, or what is wrong with the name.
pub(crate) fn find(key: &str) -> Result<&'static Setting, String> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
        return Ok(setting);
    }
    let keys = SETTINGS.iter().map(|setting| setting.key);
    match quorate_machine::did_you_mean(key, keys) {
        Some(near) => Err(format!("unknown key `{key}`; did you mean `{near}`?")),
        None => Err(format!("unknown key `{key}`; `quorate config dump` lists all")),
    }
}

/// The setting that an environment variable means: `QUORATE_LISTEN__API` is `listen.api`. Other variables that begin with
/// `QUORATE_` belong to the client.
pub(crate) fn key_of_variable(name: &str) -> Option<String> {
    let (section, key) = name.strip_prefix("QUORATE_")?.split_once("__")?;
    Some(format!("{}.{}", section.to_ascii_lowercase(), key.to_ascii_lowercase()))
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits here"))
}

fn at_least_one<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match number::<T>(text)? {
        zero if zero == T::default() => Err("it must be at least 1".to_owned()),
        number => Ok(number),
    }
}

fn reads(text: &str) -> Result<Reads, String> {
    [Reads::Round, Reads::Lease]
        .into_iter()
        .find(|reads| show_reads(*reads) == text.trim())
        .ok_or_else(|| format!("`{text}` is no way to confirm reads; write round or lease"))
}

fn show_reads(reads: Reads) -> &'static str {
    match reads {
        Reads::Round => "round",
        Reads::Lease => "lease",
    }
}

fn none_if_empty(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// A level, or `target=level` separated by commas. A word alone is never taken for a target: it is a level that was misspelt.
fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim().to_ascii_lowercase();
        if !LEVELS.contains(&level.as_str()) {
            let near = quorate_machine::did_you_mean(&level, LEVELS);
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(format!(
                "`{level}` is no level: write {}, or TARGET=LEVEL such as quorate=debug,info{near}",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(text.to_owned())
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is no duration such as 500ms or 2s: {error}"))
}

fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Sizes are bytes, or end in KiB, MiB or GiB.
fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let wrong = || format!("`{text}` is no size such as 65536, 64KiB or 2MiB");
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift)));
    let (digits, shift) = unit.unwrap_or((text, 0));
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let bytes = count.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wrong)?;
    T::try_from(bytes).map_err(|_| wrong())
}

fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Members as text: `1=10.0.0.1:7481/10.0.0.1:7480,2=10.0.0.2:7481`.
fn members(text: &str) -> Result<Vec<MemberSettings>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(member).collect()
}

fn member(text: &str) -> Result<MemberSettings, String> {
    let (id, addresses) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not of the form ID=PEER_ADDRESS[/API_ADDRESS]"))?;
    let (peer, api) = match addresses.split_once('/') {
        Some((peer, api)) => (peer, Some(not_empty(api)?)),
        None => (addresses, None),
    };
    Ok(MemberSettings { id: number(id)?, peer: not_empty(peer)?, api })
}

fn show_member(member: &MemberSettings) -> String {
    match &member.api {
        Some(api) => format!("{}={}/{api}", member.id, member.peer),
        None => format!("{}={}", member.id, member.peer),
    }
}
