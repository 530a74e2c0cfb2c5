//! What each connection asks of the operating system, in either direction.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::config::TransportConfig;

/// Sets the options of a fresh connection.
///
/// No delay: a batch is joined before it is written, so waiting for more only adds latency. Keepalive: a peer whose machine
/// has vanished is noticed by the receiver too, which never sends. Unacknowledged timeout: see
/// [`TransportConfig::unacknowledged_timeout_ms`].
pub(crate) fn prepare(stream: &TcpStream, config: &TransportConfig) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(whole_seconds(config.keepalive_idle_ms))
        .with_interval(whole_seconds(config.keepalive_interval_ms))
        .with_retries(config.keepalive_probes);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_millis(config.unacknowledged_timeout_ms)))?;
    Ok(())
}

/// The operating systems count keepalive in seconds, and zero would switch it off.
fn whole_seconds(time_ms: u64) -> Duration {
    Duration::from_secs(time_ms.div_ceil(1_000).max(1))
}
