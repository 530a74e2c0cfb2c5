//! The addresses of a cluster as this client sees them: which one to ask next. The known leader first (it saves a hop), else the
//! healthy ones in turn, and a dead one only when its breaker lets a probe through.

use std::fmt;
use std::time::Duration;

use crate::breaker::{Breaker, BreakerPolicy};
use crate::error::ConfigError;

/// The address of one node: `http://HOST:PORT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// `HOST:PORT`.
    authority: String,
}

impl Endpoint {
    /// Reads `http://HOST:PORT`, `HOST:PORT` or `HOST` (port 7480).
    ///
    /// # Errors
    /// When it is none of these, or asks for TLS.
    pub fn parse(text: &str) -> Result<Endpoint, ConfigError> {
        let wrong = |why: &str| ConfigError { endpoint: text.to_owned(), why: why.to_owned() };
        if text.starts_with("https://") {
            return Err(wrong("TLS is not supported by this version; use http://HOST:PORT"));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        if rest.is_empty() {
            return Err(wrong("the host is missing"));
        }
        if rest.contains("://") {
            return Err(wrong("only http:// is known"));
        }
        if let Some(at) = rest.find(['/', '?', '#', '@', ' ']) {
            return Err(wrong(&format!("`{}` is not part of an address", &rest[at..])));
        }
        let with_port = match rest.rfind(':') {
            Some(colon) if !rest.ends_with(']') => {
                let port = &rest[colon + 1..];
                port.parse::<u16>().map_err(|_| wrong(&format!("`{port}` is no port (0 to 65535)")))?;
                rest.to_owned()
            }
            Some(_) | None => format!("{rest}:7480"),
        };
        let uri = format!("http://{with_port}/").parse::<hyper::Uri>();
        uri.map_err(|error| wrong(&error.to_string()))?;
        Ok(Endpoint { authority: with_port })
    }

    /// Reads a list separated by commas.
    ///
    /// # Errors
    /// When one of them cannot be read, or there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Endpoint>, ConfigError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let endpoints = parts.map(Endpoint::parse).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            let why = "the list of endpoints is empty".to_owned();
            return Err(ConfigError { endpoint: text.to_owned(), why });
        }
        Ok(endpoints)
    }

    /// `HOST:PORT`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// The endpoints of a cluster with what is known of each.
#[derive(Debug)]
pub struct Endpoints {
    all: Vec<(Endpoint, Breaker)>,
    /// The leader's position, as far as heard.
    leader: Option<usize>,
    /// Where the next round starts.
    next: usize,
}

impl Endpoints {
    /// All healthy, no leader known.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(endpoints: Vec<Endpoint>, policy: &BreakerPolicy) -> Result<Endpoints, ConfigError> {
        if endpoints.is_empty() {
            let why = "at least one endpoint is needed".to_owned();
            return Err(ConfigError { endpoint: String::new(), why });
        }
        let all = endpoints.into_iter().map(|endpoint| (endpoint, Breaker::new(policy.clone()))).collect();
        Ok(Endpoints { all, leader: None, next: 0 })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none; never true.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The endpoint at this position.
    pub fn get(&self, position: usize) -> &Endpoint {
        &self.all[position].0
    }

    /// All addresses, for a message.
    pub fn list(&self) -> String {
        let names = self.all.iter().map(|(endpoint, _)| endpoint.authority.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whom to ask at `now`: the leader if it is known, not yet tried in this round and let through by its breaker, else the next in
    /// turn of the same kind. None when each one was tried or is left alone.
    pub fn choose(&mut self, now: Duration, tried: &[bool]) -> Option<usize> {
        let open = |position: usize, all: &[(Endpoint, Breaker)]| {
            !tried.get(position).copied().unwrap_or(false) && all[position].1.admits(now)
        };
        let in_turn = (0..self.all.len()).map(|step| (self.next + step) % self.all.len());
        let mut candidates = self.leader.into_iter().chain(in_turn);
        let chosen = candidates.find(|position| open(*position, &self.all))?;
        if self.leader != Some(chosen) {
            self.next = (chosen + 1) % self.all.len();
        }
        self.all[chosen].1.enter(now).then_some(chosen)
    }

    /// The endpoint answered, whatever it said.
    pub fn on_answer(&mut self, position: usize) {
        self.all[position].1.on_success();
    }

    /// The endpoint could not be reached or broke off. A leader that fails is no longer preferred.
    pub fn on_failure(&mut self, position: usize, now: Duration) {
        self.all[position].1.on_failure(now);
        if self.leader == Some(position) {
            self.leader = None;
        }
    }

    /// A node named the leader's client address. One that is not in the list is not followed: the list is what the user chose.
    pub fn on_leader_hint(&mut self, address: &str) {
        if let Ok(hinted) = Endpoint::parse(address) {
            self.leader = self.all.iter().position(|(endpoint, _)| *endpoint == hinted);
        }
    }

    /// An endpoint answered that it knows no leader, or that it is overloaded or stopping: it is not preferred.
    pub fn on_refusal(&mut self, position: usize) {
        if self.leader == Some(position) {
            self.leader = None;
        }
    }
}
