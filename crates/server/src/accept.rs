//! The accept loop and what one connection may take: how many at a time, how long for a request's head, both versions
//! of HTTP on one port, and how they end when the server stops.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::app::App;

/// Accepts connections until `stopping` is cancelled. Every connection's task is in `connections`.
pub(crate) async fn accept(
    listener: TcpListener,
    app: App,
    router: Router,
    stopping: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(app.limits.connections_len_max));
    let farewells = Arc::new(Semaphore::new(FAREWELLS_LEN_MAX));
    let settings = Arc::new(protocol(&app));
    loop {
        let stream = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of file descriptors: another try at once would only spin.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let serving =
                    serve(stream, app.clone(), router.clone(), Arc::clone(&settings), stopping.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(_) => {
                app.telemetry.connections_refused.inc();
                if let Ok(place) = Arc::clone(&farewells).try_acquire_owned() {
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(FAREWELL_PATIENCE, turn_away(stream)).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

fn protocol(app: &App) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(app.timeouts.header)
        .max_buf_size(HEAD_BYTES_MAX as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(app.limits.streams_len_max)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

/// Serves one connection to its end.
async fn serve(
    stream: TcpStream,
    app: App,
    router: Router,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    stopping: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    app.telemetry.connections.inc();
    let header_timeout = app.timeouts.header;
    let begun = Arc::new(AtomicBool::new(false));
    let service = {
        let begun = Arc::clone(&begun);
        router.map_request(move |request: hyper::Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request.map(axum::body::Body::new)
        })
    };
    let mut connection =
        pin!(protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // Before the first request nobody but this watch ends a connection that sends nothing: which version of HTTP it
    // speaks is not known yet, and so none of their timers runs.
    let mut first = pin!(tokio::time::sleep(header_timeout));
    let mut watching = true;
    let mut told = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            () = stopping.cancelled(), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first.as_mut(), if watching => {
                watching = false;
                if !begun.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }
    app.telemetry.connections.dec();
}

/// Tells a client that there are too many connections. Its request is read first, as far as it has come: closing a socket
/// with unread bytes would throw the answer away.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    let mut unread = [0; 4096];
    let _ = stream.read(&mut unread).await?;
    stream.write_all(TOO_MANY.as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// The answer to a connection too many, written by hand because no request of it is read.
const TOO_MANY: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\n",
    "content-type: application/problem+json\r\n",
    "content-length: 155\r\n",
    "retry-after: 1\r\n",
    "connection: close\r\n\r\n",
    r#"{"code":"overloaded","detail":"the server has as many connections as it may have","#,
    r#""hint":"try again later, or use fewer connections","fate":"not_accepted"}"#,
);
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// Connections that are being told that they are too many; the next one is closed without a word.
const FAREWELLS_LEN_MAX: usize = 64;
/// How long that may take.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a quiet HTTP/2 connection is asked whether it lives, and how long it may take to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
