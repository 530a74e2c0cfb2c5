//! A server that does what the test says: one scripted behaviour for each connection, every request recorded.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Answers with this status and body; a body with a `fate` is sent as a problem.
    Answer(u16, String),
    /// Reads the request and hangs up.
    HangUp,
    /// Reads the request and says nothing for ever.
    Silence,
}

/// The server.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Serves one connection for each deed, in order, then hangs up on all others without reading.
    pub(crate) async fn start(deeds: Vec<Deed>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            for deed in deeds {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let request = read_request(&mut stream).await;
                record.lock().expect("no panic holds it").push(request);
                match deed {
                    Deed::Answer(status, body) => answer(&mut stream, status, &body).await,
                    Deed::HangUp => drop(stream),
                    Deed::Silence => silent.push(stream),
                }
            }
            // The silent connections stay open for as long as the test runs.
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
            drop(silent);
        });
        Fake { address, seen }
    }

    /// Every request so far: head and body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic holds it").clone()
    }
}

/// A port that nobody else gets and nobody listens on, for as long as the socket lives.
pub(crate) fn deaf_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let kind = if body.contains("\"fate\"") { "application/problem+json" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The client may have gone: what it makes of that is what the test looks at.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}
