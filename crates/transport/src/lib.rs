//! Quorate's connections between nodes: checksummed frames over long-lived TCP connections.
//!
//! **The contract is weak on purpose.** A frame that is sent may be lost, may arrive late, and after a reconnect frames may
//! arrive out of order or be followed by older ones. What arrives is what was sent, bit for bit, from the node that the
//! handshake named, of the same cluster and incarnation. Raft asks for no more, and whatever more were promised here would be
//! relied upon and tested less.
//!
//! **It knows nothing of** roles, terms, entries, what the kind of a frame means, or who is a member: the caller says whom to
//! connect to and which incarnations to accept.
//!
//! Each node opens one connection to each peer and sends on it, and another one for what is large and may wait ([`Lane`]); it
//! receives on the connections that its peers opened. So no rule is needed about which of two crossing connections survives, and a link's health says one thing.
//!
//! Reading order: `frame` (the bytes), `handshake` (the first bytes), `peer` (the way out), `listener` (the way in).

mod backoff;
mod config;
mod endpoint;
mod error;
mod frame;
mod handshake;
mod listener;
mod peer;
mod socket;
mod task;

pub use config::TransportConfig;
pub use endpoint::{Endpoint, Identity, PeerFault};
pub use error::{FrameError, HandshakeError, LinkError, SendError};
pub use frame::{FRAME_HEADER_BYTES, Frame, FrameReader};
pub use handshake::{Answer, Hello, Lane, Refusal, RefusalCode, WIRE_VERSION_MAX, WIRE_VERSION_MIN, Welcome};
pub use listener::{Inbound, InboundStatus, Listener, ListenerHandle, Room};
pub use peer::{Link, LinkEvent, LinkStatus};
