//! The command's envelope as bytes: what stands in the log and travels to the leader.
//!
//! ```text
//!  0        1        2
//! +--------+--------+----------------------------+- - -+--------+------------------------+
//! | version| kind   | field: tag, length, value  | ... |  0     | body: all that remains |
//! |  u8    |  u8    |        u8   u16 LE         |     |  u8    |                        |
//! +--------+--------+----------------------------+- - -+--------+------------------------+
//! ```
//! Fields may be absent and stand in rising order of their tags; an unknown tag is skipped, so that a newer binary may
//! add facts that an older one need not know. What an older one must know raises the version: then it refuses the
//! command, and it does so alike on every node. The body comes last and is a slice of the buffer that was decoded.

use bytes::{BufMut, Bytes, BytesMut};

use crate::request::{CommandEnvelope, CommandKind, RequestId};
use crate::state_machine::DecodeError;

impl CommandEnvelope {
    /// Checks the limits of all fields but the body, which has the one of `ReplicaConfig::command_bytes_max`.
    ///
    /// # Errors
    /// When a field is longer than its limit, or a request key is empty. Nothing of that kind is ever sent or logged.
    pub fn check(&self) -> Result<(), DecodeError> {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let key = match &self.request_id {
            Some(RequestId::Key(key)) if key.is_empty() => return Err(error("an empty request key")),
            Some(RequestId::Key(key)) => key.len(),
            Some(RequestId::Session { .. }) | None => 0,
        };
        let fields = [
            ("request key", key, KEY_BYTES_MAX),
            ("actor", len(&self.actor), ACTOR_BYTES_MAX),
            ("trace context", len(&self.trace), TRACE_BYTES_MAX),
        ];
        match fields.iter().find(|(_, bytes, bytes_max)| bytes > bytes_max) {
            Some((what, bytes, bytes_max)) => {
                Err(DecodeError { what: format!("the {what} has {bytes} bytes, the limit is {bytes_max}") })
            }
            None => Ok(()),
        }
    }

    /// The envelope as bytes.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn encode(&self) -> Result<Bytes, DecodeError> {
        self.check()?;
        let texts =
            [&self.actor, &self.trace].iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>();
        let mut out = BytesMut::with_capacity(2 + 5 * 3 + 1 + KEY_BYTES_MAX + texts + self.body.len());
        out.put_u8(VERSION);
        out.put_u8(match self.kind {
            CommandKind::User => 0,
            CommandKind::OpenSession => 1,
            CommandKind::RaiseLevel => 2,
        });
        match &self.request_id {
            None => {}
            Some(RequestId::Session { session, sequence, acknowledged }) => {
                let mut value = [0; SESSION_BYTES];
                value[..16].copy_from_slice(&session.to_le_bytes());
                value[16..24].copy_from_slice(&sequence.to_le_bytes());
                value[24..].copy_from_slice(&acknowledged.to_le_bytes());
                put_field(&mut out, TAG_SESSION, &value);
            }
            Some(RequestId::Key(key)) => put_field(&mut out, TAG_KEY, key),
        }
        if let Some(actor) = &self.actor {
            put_field(&mut out, TAG_ACTOR, actor.as_bytes());
        }
        if let Some(trace) = &self.trace {
            put_field(&mut out, TAG_TRACE, trace.as_bytes());
        }
        if self.node_session {
            put_field(&mut out, TAG_NODE_SESSION, &[]);
        }
        out.put_u8(TAG_BODY);
        out.put_slice(&self.body);
        Ok(out.freeze())
    }

    /// Reads what [`encode`](Self::encode) wrote. The body shares the memory of `bytes`.
    ///
    /// # Errors
    /// When the bytes are no envelope that this version understands.
    pub fn decode(bytes: &Bytes) -> Result<CommandEnvelope, DecodeError> {
        let &[version, kind, ..] = &bytes[..] else {
            return Err(error("an envelope of less than two bytes"));
        };
        if version != VERSION {
            return Err(DecodeError {
                what: format!("envelope version {version}, this binary knows {VERSION}"),
            });
        }
        let kind = match kind {
            0 => CommandKind::User,
            1 => CommandKind::OpenSession,
            2 => CommandKind::RaiseLevel,
            other => return Err(DecodeError { what: format!("command kind {other} is not known") }),
        };
        let mut envelope = CommandEnvelope { kind, ..CommandEnvelope::default() };
        let mut at = 2;
        let mut tag_before = TAG_BODY;
        loop {
            let tag = *bytes.get(at).ok_or_else(|| error("an envelope without a body"))?;
            if tag == TAG_BODY {
                envelope.body = bytes.slice(at + 1..);
                return Ok(envelope);
            }
            if tag <= tag_before {
                return Err(error("envelope fields out of order"));
            }
            tag_before = tag;
            let Some(&[low, high]) = bytes.get(at + 1..at + 3) else {
                return Err(error("a cut field length"));
            };
            let end = at + 3 + usize::from(u16::from_le_bytes([low, high]));
            if bytes.len() < end {
                return Err(error("a cut field"));
            }
            take_field(&mut envelope, tag, &bytes[at + 3..end])?;
            at = end;
        }
    }
}

/// Appends one field.
fn put_field(out: &mut BytesMut, tag: u8, value: &[u8]) {
    out.put_u8(tag);
    out.put_u16_le(u16::try_from(value.len()).expect("the limits of all fields fit sixteen bits"));
    out.put_slice(value);
}

/// Puts the value of one field in its place; a tag that is not known changes nothing.
fn take_field(envelope: &mut CommandEnvelope, tag: u8, value: &[u8]) -> Result<(), DecodeError> {
    match tag {
        TAG_SESSION => {
            let value: &[u8; SESSION_BYTES] =
                value.try_into().map_err(|_| error("a session field of another length than 32"))?;
            let word = |at: usize| -> u64 {
                u64::from_le_bytes(value[at..at + 8].try_into().expect("eight of 32 bytes are eight bytes"))
            };
            envelope.request_id = Some(RequestId::Session {
                session: u128::from(word(8)) << 64 | u128::from(word(0)),
                sequence: word(16),
                acknowledged: word(24),
            });
        }
        TAG_KEY if envelope.request_id.is_some() => return Err(error("two request ids")),
        TAG_KEY if value.is_empty() || value.len() > KEY_BYTES_MAX => {
            return Err(error("a request key not of 1 to 64 bytes"));
        }
        TAG_KEY => envelope.request_id = Some(RequestId::Key(Bytes::copy_from_slice(value))),
        TAG_ACTOR => envelope.actor = Some(text(value, ACTOR_BYTES_MAX)?),
        TAG_NODE_SESSION => envelope.node_session = true,
        TAG_TRACE => envelope.trace = Some(text(value, TRACE_BYTES_MAX)?),
        _ => {}
    }
    Ok(())
}

/// Text of at most `bytes_max` bytes.
fn text(value: &[u8], bytes_max: usize) -> Result<String, DecodeError> {
    if value.len() > bytes_max {
        return Err(error("a text field above its limit"));
    }
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(error("a text field that is not UTF-8")),
    }
}

fn error(what: &str) -> DecodeError {
    DecodeError { what: what.to_owned() }
}

/// The version that this binary writes and reads.
const VERSION: u8 = 1;
const TAG_BODY: u8 = 0;
const TAG_SESSION: u8 = 1;
const TAG_KEY: u8 = 2;
const TAG_ACTOR: u8 = 3;
const TAG_TRACE: u8 = 4;
const TAG_NODE_SESSION: u8 = 5;
const SESSION_BYTES: usize = 32;
/// The longest request key, in bytes.
pub const KEY_BYTES_MAX: usize = 64;
/// The longest actor, in bytes.
pub const ACTOR_BYTES_MAX: usize = 256;
/// The longest trace context, in bytes.
pub const TRACE_BYTES_MAX: usize = 1024;
/// What an envelope adds to its body at most, in bytes.
pub const ENVELOPE_BYTES_MAX: usize =
    2 + 5 * 3 + SESSION_BYTES + KEY_BYTES_MAX + ACTOR_BYTES_MAX + TRACE_BYTES_MAX + 1;
