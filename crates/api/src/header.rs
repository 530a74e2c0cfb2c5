//! The names of the headers of our own, and the form of the one that has structure.

use std::fmt;
use std::str::FromStr;

/// A key that makes a write exactly-once: at most [`KEY_BYTES_MAX`] bytes.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A place in a session that makes a write exactly-once; see [`SessionRequest`].
pub const QUORATE_REQUEST: &str = "quorate-request";

/// Who asks, for the history; at most [`ACTOR_BYTES_MAX`] bytes.
pub const QUORATE_ACTOR: &str = "quorate-actor";

/// On the answer to a stale read: the last entry that the state held, as `term:index`.
pub const QUORATE_APPLIED: &str = "quorate-applied";

/// On the answer to a stale read: the time of that entry in milliseconds since 1970.
pub const QUORATE_APPLIED_MS: &str = "quorate-applied-ms";

/// On the answer to a stale read: how many milliseconds ago the node heard from its leader, or from a quorum if it leads. Missing
/// when it knows no leader.
pub const QUORATE_CONTACT_MS: &str = "quorate-contact-ms";

/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// The longest `Idempotency-Key`, in bytes.
pub const KEY_BYTES_MAX: usize = 64;

/// The longest `Quorate-Actor`, in bytes.
pub const ACTOR_BYTES_MAX: usize = 256;

/// The value of `Quorate-Request`: `<32 hex digits of the session>:<sequence>[:<acknowledged>]`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SessionRequest {
    /// The session.
    pub session: u128,
    /// The number of the request in the session, from 1.
    pub sequence: u64,
    /// All replies up to this sequence have arrived: the cluster may forget them. 0: none.
    pub acknowledged: u64,
}

/// The value is no `Quorate-Request` or no session id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HeaderError(&'static str);

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for HeaderError {}

impl fmt::Display for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", format_session(self.session), self.sequence)?;
        if self.acknowledged > 0 {
            write!(f, ":{}", self.acknowledged)?;
        }
        Ok(())
    }
}

impl FromStr for SessionRequest {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<SessionRequest, HeaderError> {
        let mut parts = text.splitn(3, ':');
        let session = parse_session(parts.next().unwrap_or_default())?;
        let sequence = parts
            .next()
            .and_then(parse_number)
            .filter(|sequence| *sequence > 0)
            .ok_or(HeaderError("the sequence after the session is not a number from 1"))?;
        let acknowledged = match parts.next() {
            None => 0,
            Some(part) => {
                parse_number(part).ok_or(HeaderError("the acknowledged sequence is not a number"))?
            }
        };
        if acknowledged >= sequence {
            return Err(HeaderError("the acknowledged sequence must be below the request's own"));
        }
        Ok(SessionRequest { session, sequence, acknowledged })
    }
}

/// A session id as it is written: 32 lower-case hex digits.
pub fn format_session(session: u128) -> String {
    format!("{session:032x}")
}

/// Reads a session id.
///
/// # Errors
/// When `text` is not 32 hex digits.
pub fn parse_session(text: &str) -> Result<u128, HeaderError> {
    const WANTED: HeaderError = HeaderError("a session is written as 32 hex digits");
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(WANTED);
    }
    u128::from_str_radix(text, 16).map_err(|_| WANTED)
}

/// A number in digits alone: no sign, which `parse` would take.
fn parse_number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
