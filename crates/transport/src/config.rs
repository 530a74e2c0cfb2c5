//! Every limit of the transport in one struct, each with its unit in its name, so that a bound can be found and changed in
//! one place.

use std::time::Duration;

use crate::frame::FRAME_HEADER_BYTES;
use crate::handshake::WIRE_VERSION_MAX;

/// The limits of the connections between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportConfig {
    /// The largest body of a frame in bytes. A larger one is refused before memory is taken for it, by sender and receiver.
    /// Must be the same or larger on the receiver, so change it on all nodes.
    pub frame_body_bytes_max: usize,
    /// How many frames may wait for one peer. Longer than the core's window of messages in flight, else a healthy peer
    /// overflows. When full, [`crate::Link::try_send`] says so and the caller tells the core, which probes.
    pub peer_queue_len_max: usize,
    /// How many bytes of frames may wait for one peer, headers included. Must hold at least one largest frame.
    pub peer_queue_bytes_max: usize,
    /// How many bytes of frames are joined into one write to the socket. A larger frame is written alone.
    pub write_batch_bytes_max: usize,
    /// How many bytes one read from the socket may bring.
    pub read_buffer_bytes: usize,
    /// How many frames one delivery to the inbox may hold.
    pub inbound_batch_len_max: usize,
    /// How many bytes of frames of one connection may lie in the inbox, headers included. Beyond it the connection is read no further, so that TCP
    /// slows the sender down. Must hold at least one largest frame.
    pub inbound_bytes_max: usize,
    /// How many connections may be in their handshake. Further ones wait in the operating system's backlog.
    pub handshakes_max: usize,
    /// How long it may take to look an address up, and then to connect to one of those found, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a handshake may take, in milliseconds, for either side.
    pub handshake_timeout_ms: u64,
    /// How long one write may stand still before the connection is given up, in milliseconds.
    pub write_timeout_ms: u64,
    /// How long sent bytes may stay unacknowledged by the peer's operating system, in milliseconds (Linux only). Without it a
    /// connection that was cut off in silence is retransmitted on ever more rarely and heals minutes after the network.
    pub unacknowledged_timeout_ms: u64,
    /// The upper bound of the first wait before a new attempt to connect, in milliseconds. It doubles with each failure.
    pub backoff_first_ms: u64,
    /// The upper bound that the wait never exceeds, in milliseconds.
    pub backoff_max_ms: u64,
    /// How long a connection may be silent before the operating system probes it, in milliseconds (rounded up to seconds).
    pub keepalive_idle_ms: u64,
    /// How long between two such probes, in milliseconds (rounded up to seconds).
    pub keepalive_interval_ms: u64,
    /// After how many unanswered probes the connection is dead.
    pub keepalive_probes: u32,
    /// The newest version of the wire format that is spoken, at most [`WIRE_VERSION_MAX`]. Each connection speaks the newest that both
    /// sides do.
    pub wire_version_max: u16,
}

impl Default for TransportConfig {
    fn default() -> TransportConfig {
        TransportConfig {
            frame_body_bytes_max: 16 * 1024 * 1024,
            peer_queue_len_max: 4096,
            peer_queue_bytes_max: 64 * 1024 * 1024,
            write_batch_bytes_max: 1024 * 1024,
            read_buffer_bytes: 128 * 1024,
            inbound_batch_len_max: 256,
            inbound_bytes_max: 32 * 1024 * 1024,
            handshakes_max: 64,
            connect_timeout_ms: 3_000,
            handshake_timeout_ms: 3_000,
            write_timeout_ms: 10_000,
            unacknowledged_timeout_ms: 5_000,
            backoff_first_ms: 50,
            backoff_max_ms: 1_000,
            keepalive_idle_ms: 5_000,
            keepalive_interval_ms: 2_000,
            keepalive_probes: 3,
            wire_version_max: WIRE_VERSION_MAX,
        }
    }
}

impl TransportConfig {
    /// Whether the limits fit together.
    ///
    /// # Errors
    /// What is wrong, in words for the person who wrote the configuration.
    pub fn validate(&self) -> Result<(), String> {
        let counts = [
            ("frame_body_bytes_max", self.frame_body_bytes_max),
            ("peer_queue_len_max", self.peer_queue_len_max),
            ("write_batch_bytes_max", self.write_batch_bytes_max),
            ("read_buffer_bytes", self.read_buffer_bytes),
            ("inbound_batch_len_max", self.inbound_batch_len_max),
            ("handshakes_max", self.handshakes_max),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        let times = [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("unacknowledged_timeout_ms", self.unacknowledged_timeout_ms),
            ("backoff_first_ms", self.backoff_first_ms),
            ("keepalive_idle_ms", self.keepalive_idle_ms),
            ("keepalive_interval_ms", self.keepalive_interval_ms),
        ];
        for (name, value) in times {
            if value == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        if u32::try_from(self.frame_body_bytes_max).is_err() {
            return Err("frame_body_bytes_max must fit the frame's 32-bit length".to_owned());
        }
        if self.peer_queue_bytes_max < self.frame_body_bytes_max + FRAME_HEADER_BYTES {
            return Err(
                "peer_queue_bytes_max must hold at least one frame of frame_body_bytes_max and its header"
                    .to_owned(),
            );
        }
        if self.inbound_bytes_max < self.frame_body_bytes_max + FRAME_HEADER_BYTES
            || self.inbound_bytes_max > INBOUND_BYTES_CAP
        {
            return Err(
                "inbound_bytes_max must hold at least one frame of frame_body_bytes_max and its header, and be at most 1 GiB"
                    .to_owned(),
            );
        }
        if self.backoff_max_ms < self.backoff_first_ms {
            return Err("backoff_max_ms must not be below backoff_first_ms".to_owned());
        }
        if self.wire_version_max > WIRE_VERSION_MAX {
            return Err(format!(
                "wire_version_max must be at most {WIRE_VERSION_MAX}: no newer one is known here"
            ));
        }
        if self.keepalive_probes == 0 {
            return Err("keepalive_probes must be at least 1".to_owned());
        }
        Ok(())
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(crate) fn backoff_max(&self) -> Duration {
        Duration::from_millis(self.backoff_max_ms)
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }
}

/// The largest `inbound_bytes_max` that is accepted: it is counted in 32 bits.
const INBOUND_BYTES_CAP: usize = 1 << 30;
