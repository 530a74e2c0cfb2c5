//! The one binary form of what travels between nodes: a kind byte for the frame, and a body.

use bytes::Bytes;

use crate::peer_message::PeerMessage;
use crate::state_machine::DecodeError;

/// The frame kind and the body of a message.
pub fn encode(_message: &PeerMessage) -> (u8, Bytes) {
    unimplemented!("being written")
}

/// Reads what [`encode`] wrote. Commands and replies share the memory of `body`.
///
/// # Errors
/// When the bytes are no message that this version understands.
pub fn decode(_kind: u8, _body: &Bytes) -> Result<PeerMessage, DecodeError> {
    unimplemented!("being written")
}
