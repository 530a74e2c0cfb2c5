//! The settings of a server: one struct, filled from the defaults, `quorate.toml`, the environment and flags, each
//! over the one before; every value remembers where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate::ClusterId;

use crate::config_file;
use crate::settings::{self, SETTINGS, Setting};

/// The settings of a server. [`ServerConfig::load`] fills one; `ServerConfig::default()` is a cluster of one on
/// loopback.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Which node this is.
    pub node: NodeSettings,
    /// Which cluster it belongs to.
    pub cluster: ClusterSettings,
    /// Where it listens.
    pub listen: ListenSettings,
    /// Where others reach it, if that is not where it listens.
    pub advertise: AdvertiseSettings,
    /// The bounds of the HTTP interface.
    pub limits: LimitSettings,
    /// The patience of the HTTP interface.
    pub timeouts: TimeoutSettings,
    /// What the log of the program shows, as `tracing` filters are written: `info`, `debug`, `quorate=debug,info`.
    pub log_level: String,
    /// The settings of the node below: its timers and limits.
    pub replication: quorate::Config,
    /// Who this node is in the cluster that it has joined.
    joined: Option<(u64, ClusterId)>,
    origins: BTreeMap<&'static str, Origin>,
}

/// Which node this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSettings {
    /// Its id: one of the members'.
    pub id: u64,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
}

/// Which cluster it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterSettings {
    /// The token that its members share.
    pub token: String,
    /// All initial members, this node among them; the same on every node. Empty: a cluster of this node alone.
    pub members: Vec<MemberSettings>,
    /// The client address of any member of a running cluster, for a node that joins it.
    pub join: Option<String>,
}

/// One initial member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSettings {
    /// Its id, not 0.
    pub id: u64,
    /// Where its peers reach it: `host:port`.
    pub peer: String,
    /// Where clients reach it, for the hints in answers: `host:port`.
    pub api: Option<String>,
}

/// Where the server listens. Port 0 takes any free one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenSettings {
    /// For clients.
    pub api: String,
    /// For peers.
    pub peer: String,
    /// Whether addresses that other machines reach are allowed, although nothing is encrypted or authenticated yet.
    pub insecure: bool,
}

/// Where others reach the server, if that is not where it listens: it listens on all addresses of its machine, or is in a container. For a node
/// in `cluster.members` the list says it. Port 0 stands for the one that it listens on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AdvertiseSettings {
    /// For clients, in the hints of answers: `host:port`.
    pub api: Option<String>,
    /// For the other nodes: `host:port`.
    pub peer: Option<String>,
}

/// The bounds of the HTTP interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitSettings {
    /// Connections of clients at a time. One more is told so (503) and closed.
    pub connections_len_max: usize,
    /// Requests at a time on one HTTP/2 connection. One more waits in the client.
    pub streams_len_max: u32,
    /// The largest request body, in bytes. A larger one is answered 413.
    pub body_bytes_max: usize,
    /// The bodies of all requests at a time, in bytes. A request beyond it is answered 429.
    pub bodies_bytes_max: usize,
}

/// The patience of the HTTP interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeoutSettings {
    /// For a request's head, and for the next request on a kept connection.
    pub header: Duration,
    /// For a request's body.
    pub body: Duration,
    /// For the requests in flight when the server stops.
    pub shutdown: Duration,
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file, with the line.
    File(PathBuf, u64),
    /// This environment variable.
    Environment(String),
    /// This flag of the command line.
    Flag(String),
    /// This node's own entry in `cluster.members`.
    OwnMember,
}

/// A value that a flag sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The setting, as in `listen.api`.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// The flag, for messages and `config dump`: `--listen-api`.
    pub flag: String,
}

/// One line of `config dump`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpedSetting {
    /// The setting.
    pub key: &'static str,
    /// Its value; a secret is masked.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What it is for.
    pub about: &'static str,
}

/// Everything that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Each fault, with its origin in words.
    pub faults: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            node: NodeSettings { id: 1, data_dir: PathBuf::from("./quorate-data") },
            cluster: ClusterSettings { token: "quorate".to_owned(), members: Vec::new(), join: None },
            listen: ListenSettings {
                api: "127.0.0.1:7480".to_owned(),
                peer: "127.0.0.1:7481".to_owned(),
                insecure: false,
            },
            advertise: AdvertiseSettings::default(),
            limits: LimitSettings {
                connections_len_max: 4_096,
                streams_len_max: 256,
                body_bytes_max: 2 << 20,
                bodies_bytes_max: 256 << 20,
            },
            timeouts: TimeoutSettings {
                header: Duration::from_secs(30),
                body: Duration::from_secs(30),
                shutdown: Duration::from_secs(10),
            },
            log_level: "info".to_owned(),
            replication: quorate::Config::default(),
            joined: None,
            origins: BTreeMap::new(),
        }
    }
}

impl ServerConfig {
    /// Reads the settings: `file` over the defaults, `environment` over it, `overrides` over all. Of the environment only
    /// names of the form `QUORATE_SECTION__KEY` count.
    ///
    /// # Errors
    /// Every unknown key (with the nearest known one), every value that cannot be read, every contradiction; those of
    /// the file with line and column.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[Override],
    ) -> Result<ServerConfig, ConfigError> {
        let mut config = ServerConfig::default();
        let mut faults = Vec::new();
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => config_file::read(&mut config, path, &text, &mut faults),
                Err(error) => faults.push(format!("cannot read the settings in {}: {error}", path.display())),
            }
        }
        let mut variables: Vec<_> = environment.into_iter().collect();
        variables.sort();
        for (name, value) in variables {
            if let Some(key) = settings::key_of_variable(&name) {
                config.set(&key, &value, &name, Origin::Environment(name.clone()), &mut faults);
            }
        }
        for Override { key, value, flag } in overrides {
            config.set(key, value, flag, Origin::Flag(flag.clone()), &mut faults);
        }
        config.fill_from_own_member();
        if faults.is_empty() {
            config.check(&mut faults);
        }
        if faults.is_empty() { Ok(config) } else { Err(ConfigError { faults }) }
    }

    /// Every setting with its value and where the value came from.
    pub fn dump(&self) -> Vec<DumpedSetting> {
        let line = |setting: &Setting| DumpedSetting {
            key: setting.key,
            value: (setting.get)(self),
            origin: self.origins.get(setting.key).cloned().unwrap_or(Origin::Default),
            about: setting.about,
        };
        SETTINGS.iter().map(line).collect()
    }

    /// Sets `key` to `value`; `source` names the place in a fault.
    fn set(&mut self, key: &str, value: &str, source: &str, origin: Origin, faults: &mut Vec<String>) {
        match settings::find(key) {
            Err(unknown) => faults.push(format!("{source}: {unknown}")),
            Ok(setting) => match (setting.set)(self, value) {
                Ok(()) => self.remember(setting.key, origin),
                Err(what) => faults.push(format!("{source}: {}: {what}", setting.key)),
            },
        }
    }

    /// Notes where a value came from.
    pub(crate) fn remember(&mut self, key: &'static str, origin: Origin) {
        self.origins.insert(key, origin);
    }

    /// A node that says nothing of where it listens does so where the members' list says that it is reached.
    fn fill_from_own_member(&mut self) {
        let Some(own) = self.cluster.members.iter().find(|member| member.id == self.node.id).cloned() else {
            return;
        };
        if !self.origins.contains_key("listen.peer") {
            self.listen.peer = own.peer;
            self.remember("listen.peer", Origin::OwnMember);
        }
        if let Some(api) = own.api.filter(|_| !self.origins.contains_key("listen.api")) {
            self.listen.api = api;
            self.remember("listen.api", Origin::OwnMember);
        }
    }

    /// Says everything that does not fit together.
    pub(crate) fn check(&self, faults: &mut Vec<String>) {
        if self.node.id == 0 {
            faults.push("node.id: 0 is no node id: ids start at 1".to_owned());
        }
        if self.cluster.token.is_empty() {
            faults.push("cluster.token: it is empty; choose one and give it to every member".to_owned());
        }
        self.check_members(faults);
        self.check_advertised(faults);
        for (key, address) in [("listen.api", &self.listen.api), ("listen.peer", &self.listen.peer)] {
            if let Err(what) = self.check_address(address) {
                faults.push(format!("{key}: {what}"));
            }
        }
        if self.limits.bodies_bytes_max < self.limits.body_bytes_max {
            faults.push(
                "limits.bodies_bytes_max: it must hold at least one body (limits.body_bytes_max)".to_owned(),
            );
        }
        if let Err(what) = self.replication.validate() {
            faults.push(what);
        }
    }

    fn check_advertised(&self, faults: &mut Vec<String>) {
        let AdvertiseSettings { api, peer } = &self.advertise;
        let own = self.cluster.members.iter().find(|member| member.id == self.node.id);
        let lists_api = own.is_some_and(|own| own.api.is_some());
        for (key, told, listed) in
            [("advertise.api", api, lists_api), ("advertise.peer", peer, own.is_some())]
        {
            let Some(told) = told else { continue };
            if listed {
                faults.push(format!(
                    "{key}: cluster.members says where this node is reached; leave one of them out"
                ));
            }
            if let Err(what) = host_and_port(told) {
                faults.push(format!("{key}: {what}"));
            }
        }
    }

    /// Where the other nodes reach this one, which listens at `bound`. None: it listens on all addresses of its machine, and nobody has
    /// said which of them others reach.
    pub fn advertised_peer(&self, bound: SocketAddr) -> Option<String> {
        told(self.advertise.peer.as_ref(), bound)
    }

    /// Where clients reach this node, which listens for them at `bound`; none as above.
    pub(crate) fn advertised_api(&self, bound: SocketAddr) -> Option<String> {
        let own = self.cluster.members.iter().find(|member| member.id == self.node.id);
        own.and_then(|own| own.api.clone()).or_else(|| told(self.advertise.api.as_ref(), bound))
    }

    fn check_members(&self, faults: &mut Vec<String>) {
        let members = &self.cluster.members;
        if self.cluster.join.is_some() && !members.is_empty() {
            faults.push(
                "cluster.join: a node that joins finds the members by itself; leave cluster.members out"
                    .to_owned(),
            );
        }
        for (place, member) in members.iter().enumerate() {
            if member.id == 0 {
                faults.push("cluster.members: 0 is no node id: ids start at 1".to_owned());
            }
            if members[..place].iter().any(|other| other.id == member.id) {
                faults.push(format!("cluster.members: node {} is listed twice", member.id));
            }
            if members[..place].iter().any(|other| other.peer == member.peer) {
                faults.push(format!("cluster.members: {} is the peer address of two members", member.peer));
            }
        }
        if !members.is_empty() && members.iter().all(|member| member.id != self.node.id) {
            let ids: Vec<String> = members.iter().map(|member| member.id.to_string()).collect();
            faults.push(format!(
                "node.id: this node ({}) is not among cluster.members ({}); correct node.id or add the member",
                self.node.id,
                ids.join(", ")
            ));
        }
    }

    /// Who this node is, if it joins a cluster and has been added to it: known since then, or from its data. Then also its id is that one.
    ///
    /// # Errors
    /// When its data directory cannot be read.
    pub fn joined(&mut self) -> Result<Option<u64>, quorate::StartError> {
        if self.cluster.join.is_some() && self.joined.is_none() {
            self.joined = quorate::identity_in(&self.node.data_dir)?;
        }
        if let Some((id, _)) = self.joined {
            self.node.id = id;
        }
        Ok(self.joined.map(|(id, _)| id))
    }

    /// This node was added to a cluster under this id; `cluster` is its name in hex.
    ///
    /// # Errors
    /// When the name is none.
    pub fn join_as(&mut self, id: u64, cluster: &str) -> Result<(), ConfigError> {
        let Some(name) = ClusterId::parse(cluster) else {
            return Err(ConfigError { faults: vec![format!("`{cluster}` is no name of a cluster")] });
        };
        self.joined = Some((id, name));
        self.node.id = id;
        Ok(())
    }

    /// Which cluster this node has joined.
    pub(crate) fn joined_cluster(&self) -> Option<ClusterId> {
        self.joined.map(|(_, cluster)| cluster)
    }

    /// Nothing is encrypted or authenticated in this version, so an address that other machines reach is taken only
    /// from somebody who says that they know.
    fn check_address(&self, address: &str) -> Result<(), String> {
        let resolved: Vec<SocketAddr> = address
            .to_socket_addrs()
            .map_err(|error| format!("{address:?} is no address to listen on ({error}); write host:port"))?
            .collect();
        if self.listen.insecure || resolved.iter().all(|address| address.ip().is_loopback()) {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from other machines, and this version neither encrypts nor asks who calls. Use a \
             loopback address, or set listen.insecure = true (--insecure) where the network itself is trusted"
        ))
    }
}

/// The parts of an address that others dial. A name is not looked up: it may be one that only they know.
fn host_and_port(address: &str) -> Result<(&str, u16), String> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let is_unspecified = |host: &str| {
        host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_unspecified())
    };
    match parts {
        Some((host, _)) if is_unspecified(host) => {
            Err(format!("{address} is no address that others can dial; name one of this machine's"))
        }
        Some((host, port)) if !host.is_empty() => Ok((host, port)),
        Some(_) | None => Err(format!("{address:?} is no address; write host:port")),
    }
}

/// What others are told: the address that was named, with the port that is listened on in the place of 0; else where is listened, if that is one
/// address.
fn told(named: Option<&String>, bound: SocketAddr) -> Option<String> {
    match named.and_then(|named| host_and_port(named).ok()) {
        Some((host, 0)) => Some(format!("{host}:{}", bound.port())),
        Some((host, port)) => Some(format!("{host}:{port}")),
        None => Some(bound).filter(|bound| !bound.ip().is_unspecified()).map(|bound| bound.to_string()),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
            Origin::OwnMember => f.write_str("this node in cluster.members"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for ConfigError {}
