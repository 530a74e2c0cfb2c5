//! What can go wrong on a connection, by what the reader of the log can do about it.

use std::io;

use crate::handshake::Refusal;

/// Why a frame was not queued. The frame is dropped; the caller tells the core, which probes the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link is not connected: a frame queued now would be stale when it leaves.
    #[error("the link is down")]
    Down,
    /// The queue holds as many frames or bytes as it may: the peer or the network is slower than the sender.
    #[error("the queue to the peer is full")]
    Full,
    /// The body exceeds `frame_body_bytes_max`: the peer would refuse it and close the connection.
    #[error("the frame is larger than the limit")]
    TooLarge,
}

/// Why bytes are not a frame. The connection cannot be used any more: where the next frame starts is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header does not match its own check.
    #[error("the frame's header is corrupt (its check is {found:#06x}, computed {computed:#06x})")]
    HeaderCorrupt {
        /// The check in the header.
        found: u16,
        /// The check of the header's bytes.
        computed: u16,
    },
    /// Flags that no version up to the agreed one defines.
    #[error("the frame carries unknown flags {flags:#04x}")]
    UnknownFlags {
        /// The flags.
        flags: u8,
    },
    /// The length is above the limit. Nothing was allocated for it.
    #[error("the frame's body has {len_bytes} bytes, the limit is {max_bytes}")]
    TooLarge {
        /// The length that the header names.
        len_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// Header and body do not match the checksum.
    #[error("the frame is corrupt (CRC-32C is {found:#010x}, computed {computed:#010x})")]
    Corrupt {
        /// The checksum in the header.
        found: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The connection ended within a frame.
    #[error("the connection ended within a frame: {have_bytes} bytes of it have come")]
    Truncated {
        /// How many bytes of the frame have come.
        have_bytes: usize,
    },
}

/// Why a handshake message could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// More bytes are needed.
    #[error("the handshake is not complete")]
    Incomplete,
    /// The first bytes are those of an HTTP request or response.
    #[error("the other side speaks HTTP: this is the peer port of a node, clients use the HTTP port")]
    Http,
    /// The first bytes are not those of this protocol.
    #[error("the other side does not speak the peer protocol of Quorate")]
    WrongMagic,
    /// The message is longer than a handshake may be. Nothing was allocated for it.
    #[error("the handshake message has {len_bytes} bytes, the limit is {max_bytes}")]
    TooLarge {
        /// The length that the header names.
        len_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The checksum does not match.
    #[error("the handshake message is corrupt (its CRC-32C does not match)")]
    Corrupt,
    /// The message is intact but does not make sense.
    #[error("the handshake message does not make sense: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Why a connection could not be made or has ended. All are answered the same way: wait, connect again; the words are for
/// people.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The operating system says no.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// It took too long.
    #[error("{doing} took longer than {after_ms} ms")]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// The limit in milliseconds.
        after_ms: u64,
    },
    /// The other side ended the connection in order.
    #[error("the other side closed the connection while {doing}")]
    Closed {
        /// What was being done.
        doing: &'static str,
    },
    /// The handshake was refused, by either side.
    #[error("refused ({}): {}", .0.code, .0.text)]
    Refused(Refusal),
    /// The other side's handshake could not be read.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Whoever was dialled answers in HTTP.
    #[error("an HTTP port answers at this address: name the peer port of the node, not its API port")]
    ApiPort,
    /// A frame could not be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frames were intact but the caller could not make sense of them.
    #[error("a frame's body does not decode: {0}")]
    Body(String),
    /// A newer connection of the same peer has taken over.
    #[error("replaced by a newer connection of the same peer")]
    Replaced,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
}
