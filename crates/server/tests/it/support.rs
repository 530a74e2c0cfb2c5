//! How tests start servers and ask them. Every answer goes through [`Cluster::check`], which also holds it against what
//! is true of all answers.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quorate_api::problem::{MEDIA_TYPE, Problem};
use quorate_server::{Listeners, MemberSettings, RunningServer, Server, ServerConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Some servers of one cluster, each on free ports and a directory of its own.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<RunningServer>,
    pub(crate) directory: TempDir,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    version: Version,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// No test waits longer than this for anything: a bound on a hang, not a measure of speed.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// Settings for tests. Elections are not quicker than by default: a machine that is busy holds nodes up for long.
pub(crate) fn settings(directory: &Path) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.node.data_dir = directory.to_owned();
    config.listen.api = "127.0.0.1:0".to_owned();
    config.listen.peer = "127.0.0.1:0".to_owned();
    config.replication.segment_bytes = 4 << 20;
    config
}

impl Cluster {
    /// A cluster of one.
    pub(crate) async fn one() -> Cluster {
        Cluster::one_with(|_| ()).await
    }

    /// A cluster of one with other settings.
    pub(crate) async fn one_with(change: impl FnOnce(&mut ServerConfig)) -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let mut config = settings(&directory.path().join("1"));
        // Nobody competes for the lead, so nothing is lost by hurry.
        config.replication.election_timeout = Duration::from_millis(50);
        config.replication.heartbeat = Duration::from_millis(10);
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        server.node().ready().await.unwrap();
        Cluster { servers: vec![server], directory }
    }

    /// A cluster of three on sockets that are bound before any of them starts.
    pub(crate) async fn three() -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets: Vec<_> = (0..3).map(|_| (bind(), bind())).collect();
        let text = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let members: Vec<_> = (1..)
            .zip(&sockets)
            .map(|(id, (api, peer))| MemberSettings { id, peer: text(peer), api: Some(text(api)) })
            .collect();
        let mut servers = Vec::new();
        for (id, (api, peer)) in (1..).zip(sockets) {
            let mut config = settings(&directory.path().join(id.to_string()));
            config.node.id = id;
            config.cluster.members = members.clone();
            let listeners = Listeners { api: Some(api), peer: Some(peer) };
            servers.push(Server::start_on(config, listeners).await.unwrap());
        }
        for server in &servers {
            server.node().ready().await.unwrap();
        }
        Cluster { servers, directory }
    }

    /// The address of the only or first server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.servers[0].api_address()
    }

    /// Asks the only or first server.
    pub(crate) async fn check(&self, ask: Ask) -> (u16, Value) {
        self.check_on(0, ask).await
    }

    /// Asks one server. Holds the answer against what is true of all: the media type fits the status, and a problem has a
    /// code of this status.
    pub(crate) async fn check_on(&self, server: usize, ask: Ask) -> (u16, Value) {
        let told = tell(self.servers[server].api_address(), ask.clone()).await;
        json_of(&ask, &told)
    }

    /// Asks with GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.check(get(path)).await
    }

    /// Asks with GET until the answer is as it must be in the end: nodes need a while to hear of each other.
    pub(crate) async fn get_until(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let (status, told) = self.get(path).await;
            if wanted(status, &told) {
                return told;
            }
            assert!(begin.elapsed() < BOUND, "{path} says {status} {told}");
        }
    }

    /// Makes a node lead. Where the machine is slow, it may not take over in time, or another one may win: then it is asked again.
    pub(crate) async fn hand_over(&self, to: u64) {
        let (begin, body) = (Instant::now(), serde_json::json!({ "to": to }).to_string());
        loop {
            let (status, told) = self.post("/v1/cluster/transfer", &body).await;
            if (status, &told["leader"]) == (200, &Value::from(to)) {
                return;
            }
            assert!(status != 400 && begin.elapsed() < BOUND, "node {to} does not lead: {status} {told}");
        }
    }

    /// Asks with POST and JSON.
    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.check(post(path, body)).await
    }

    /// Stops all servers in order.
    pub(crate) async fn stop(self) -> TempDir {
        for server in self.servers {
            server.shutdown().await;
        }
        self.directory
    }
}

/// The body as JSON, after the checks that every answer must pass.
pub(crate) fn json_of(ask: &Ask, told: &Told) -> (u16, Value) {
    let media_type =
        told.headers.get(CONTENT_TYPE).unwrap_or_else(|| panic!("no media type: {ask:?} {told:?}"));
    let value: Value =
        serde_json::from_slice(&told.body).unwrap_or_else(|error| panic!("{error}: {ask:?} {told:?}"));
    if media_type == MEDIA_TYPE {
        let problem: Problem = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(problem.meaning().status, told.status, "the status of {value}");
        assert!(!problem.hint.is_empty(), "what to do next: {value}");
        let text = value.to_string();
        assert!(!text.contains("/tmp") && !text.contains(".rs:"), "nothing of the inside: {text}");
    } else {
        assert_eq!(media_type, "application/json", "{ask:?}");
        let rejected = value.get("outcome") == Some(&Value::from("rejected"));
        assert!(told.status < 300 || rejected, "an error without a problem: {ask:?} {told:?}");
    }
    (told.status, value)
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Ask {
    Ask {
        method: "GET",
        path: path.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        version: Version::HTTP_11,
    }
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Ask {
    get(path).method("POST").header("content-type", "application/json").body(body)
}

/// A definition in TOML.
pub(crate) fn put_toml(path: &str, body: &str) -> Ask {
    get(path).method("PUT").header("content-type", "application/toml").body(body)
}

impl Ask {
    /// Another method.
    pub(crate) fn method(mut self, method: &'static str) -> Ask {
        self.method = method;
        self
    }

    /// One more header, or the same one again.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = Bytes::from(body.into());
        self
    }

    /// HTTP/2 from the first byte on.
    pub(crate) fn h2c(mut self) -> Ask {
        self.version = Version::HTTP_2;
        self
    }
}

/// Sends a request over a connection of its own.
pub(crate) async fn tell(address: SocketAddr, ask: Ask) -> Told {
    let target = match ask.version {
        Version::HTTP_2 => format!("http://{address}{}", ask.path),
        _ => ask.path.clone(),
    };
    let mut request = Request::builder().method(ask.method).uri(target).header("host", address.to_string());
    for (name, value) in &ask.headers {
        request = request.header(name.as_str(), value.as_bytes());
    }
    let request = request.version(ask.version).body(Full::new(ask.body)).unwrap();
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let response = if ask.version == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let (head, body) = response.into_parts();
    Told {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}
