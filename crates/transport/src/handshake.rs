//! The first bytes of a connection: who calls, whom, of which cluster, in which versions; and the answer. Its byte diagram
//! is in docs/wire-format.md.
//!
//! ```text
//!  0       8      9       10       12        16
//!  ┌───────┬──────┬───────┬────────┬─────────┬─────────────────────────────────────┐
//!  │ magic │ kind │ zero  │ length │ CRC-32C │ body: fixed fields, optional fields │
//!  └───────┴──────┴───────┴────────┴─────────┴─────────────────────────────────────┘
//! ```
//! This layout and the fixed fields never change, whatever the version: two builds that share no version must still be able
//! to tell each other so. What later versions add goes into optional fields (tag u16, length u16, bytes), and a tag that is
//! not known is skipped.

use std::fmt;
use std::ops::RangeInclusive;

use quorate_core::types::{ClusterId, GroupId, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::endpoint::{Identity, PeerFault};
use crate::error::{HandshakeError, LinkError};

/// The oldest version of the wire format that this build speaks.
pub const WIRE_VERSION_MIN: u16 = 0;

/// The newest version of the wire format that this build speaks.
pub const WIRE_VERSION_MAX: u16 = 1;

/// The caller's message: I am this node and want that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version of the wire format that the caller speaks.
    pub version_min: u16,
    /// The newest one.
    pub version_max: u16,
    /// Who calls.
    pub from: Identity,
    /// Whom it wants to reach.
    pub to: NodeId,
    /// What the connection is for. An optional field: a caller that does not send it means messages.
    pub lane: Lane,
}

/// What a connection is for. A node opens one of each kind to each peer, so that a large transfer never stands in front of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What must arrive soon.
    Messages,
    /// What is large and may wait.
    Bulk,
}

/// The called node accepts: frames may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from now on: the newest common one.
    pub version: u16,
    /// The node that answers.
    pub node: NodeId,
    /// Its incarnation.
    pub incarnation: u128,
}

/// Why a connection is refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// No version is spoken by both.
    NoCommonVersion,
    /// The caller belongs to another cluster.
    WrongCluster,
    /// The caller belongs to another group.
    WrongGroup,
    /// The caller wants another node than the one that it has reached.
    WrongNode,
    /// The other side does not know the node as a member.
    UnknownNode,
    /// The other side knows the node under another incarnation.
    OtherIncarnation,
    /// The other side cannot tell now.
    Unanswered,
    /// A reason that this build does not know; the text still says it.
    Other(u8),
}

/// A refusal, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason for programs.
    pub code: RefusalCode,
    /// The reason for people, with what to do.
    pub text: String,
}

/// The called node's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Frames may follow.
    Welcome(Welcome),
    /// The connection will be closed.
    Refused(Refusal),
}

impl Hello {
    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(HELLO_BYTES);
        body.extend_from_slice(&self.version_min.to_le_bytes());
        body.extend_from_slice(&self.version_max.to_le_bytes());
        body.extend_from_slice(&self.from.cluster.0);
        body.extend_from_slice(&self.from.group.0.to_le_bytes());
        body.extend_from_slice(&self.from.node.get().to_le_bytes());
        body.extend_from_slice(&self.to.get().to_le_bytes());
        body.extend_from_slice(&self.from.incarnation.to_le_bytes());
        if self.lane == Lane::Bulk {
            body.extend_from_slice(&TAG_LANE.to_le_bytes());
            body.extend_from_slice(&1u16.to_le_bytes());
            body.push(LANE_BULK);
        }
        seal(KIND_HELLO, &body)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`HandshakeError::Incomplete`] when more bytes are needed; all others are final.
    pub fn decode(bytes: &[u8]) -> Result<Hello, HandshakeError> {
        let (kind, body) = open(bytes)?;
        if kind != KIND_HELLO {
            return Err(HandshakeError::Malformed {
                what: "an answer stands where a caller should name itself",
            });
        }
        let mut fields = Fields { rest: body };
        let hello = Hello {
            version_min: fields.u16()?,
            version_max: fields.u16()?,
            from: Identity {
                cluster: ClusterId(fields.array()?),
                group: GroupId(u32::from_le_bytes(fields.array()?)),
                node: fields.node()?,
                incarnation: 0,
            },
            to: fields.node()?,
            lane: Lane::Messages,
        };
        let incarnation = u128::from_le_bytes(fields.array()?);
        let mut lane = Lane::Messages;
        fields.optional(|tag, value| {
            if tag == TAG_LANE && value == [LANE_BULK] {
                lane = Lane::Bulk;
            }
        })?;
        if hello.version_min > hello.version_max {
            return Err(HandshakeError::Malformed { what: "the oldest version is above the newest" });
        }
        Ok(Hello { from: Identity { incarnation, ..hello.from }, lane, ..hello })
    }

    /// What the called node, which is `local` and speaks no version above `version_max`, says to this, short of knowing the peer's
    /// incarnation: the version to speak.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub fn judge(&self, local: &Identity, version_max: u16) -> Result<u16, Refusal> {
        let caller = self.from.node;
        let node = local.node;
        let theirs = self.version_min..=self.version_max;
        let Some(version) = newest_common_version(&theirs, &(WIRE_VERSION_MIN..=version_max)) else {
            let text = format!(
                "{node} speaks versions {WIRE_VERSION_MIN} to {version_max} of the wire format, {caller} speaks {} to {}: \
                 upgrade the older of the two nodes",
                self.version_min, self.version_max
            );
            return Err(Refusal { code: RefusalCode::NoCommonVersion, text });
        };
        if self.from.cluster != local.cluster {
            let text = format!(
                "{node} belongs to cluster {}, {caller} to cluster {}: give all nodes of a cluster the same cluster token and \
                 the same list of initial members, and check the address under which {caller} looks for {}",
                local.cluster, self.from.cluster, self.to
            );
            return Err(Refusal { code: RefusalCode::WrongCluster, text });
        }
        if self.from.group != local.group {
            let text =
                format!("{node} serves group {}, {caller} wants group {}", local.group.0, self.from.group.0);
            return Err(Refusal { code: RefusalCode::WrongGroup, text });
        }
        if self.to != node || caller == node {
            let text = format!(
                "this is {node}, {caller} looked for {}: correct the address of {} in the configuration of {caller}, or the \
                 ids if two nodes were given the same",
                self.to, self.to
            );
            return Err(Refusal { code: RefusalCode::WrongNode, text });
        }
        Ok(version)
    }
}

impl Refusal {
    /// The refusal of `peer`, which named this incarnation, by the node `local`.
    pub(crate) fn of_fault(fault: PeerFault, local: NodeId, peer: NodeId, incarnation: u128) -> Refusal {
        match fault {
            PeerFault::UnknownNode => Refusal {
                code: RefusalCode::UnknownNode,
                text: format!(
                    "{local} does not know {peer} as a member: list the same members on all nodes, or correct the id of {peer}"
                ),
            },
            PeerFault::OtherIncarnation { known } => Refusal {
                code: RefusalCode::OtherIncarnation,
                text: format!(
                    "{local} knows {peer} with store {known:032x}, not with store {incarnation:032x}: its disk was replaced, or \
                     two processes run as {peer}. A node that has lost its disk has forgotten its votes: bring the old data \
                     directory back, or let the machine join under a new id"
                ),
            },
            PeerFault::Unanswered(why) => Refusal {
                code: RefusalCode::Unanswered,
                text: format!("{local} cannot tell now whether {peer} is a known member: {why}"),
            },
        }
    }
}

impl Answer {
    /// The bytes of the message. A text beyond the limit of a handshake message is cut.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Answer::Welcome(welcome) => {
                let mut body = Vec::with_capacity(WELCOME_BYTES);
                body.extend_from_slice(&welcome.version.to_le_bytes());
                body.extend_from_slice(&welcome.node.get().to_le_bytes());
                body.extend_from_slice(&welcome.incarnation.to_le_bytes());
                seal(KIND_WELCOME, &body)
            }
            Answer::Refused(refusal) => {
                let mut end = refusal.text.len().min(REFUSAL_TEXT_BYTES_MAX);
                while !refusal.text.is_char_boundary(end) {
                    end -= 1;
                }
                let text = &refusal.text[..end];
                let length = u16::try_from(text.len()).expect("REFUSAL_TEXT_BYTES_MAX fits 16 bits");
                let mut body = Vec::with_capacity(3 + text.len());
                body.push(refusal.code.number());
                body.extend_from_slice(&length.to_le_bytes());
                body.extend_from_slice(text.as_bytes());
                seal(KIND_REFUSED, &body)
            }
        }
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`HandshakeError::Incomplete`] when more bytes are needed; all others are final.
    pub fn decode(bytes: &[u8]) -> Result<Answer, HandshakeError> {
        let (kind, body) = open(bytes)?;
        let mut fields = Fields { rest: body };
        let answer = match kind {
            KIND_WELCOME => Answer::Welcome(Welcome {
                version: fields.u16()?,
                node: fields.node()?,
                incarnation: u128::from_le_bytes(fields.array()?),
            }),
            KIND_REFUSED => {
                let [number] = fields.array()?;
                let length = usize::from(fields.u16()?);
                let text = String::from_utf8_lossy(fields.take(length)?).into_owned();
                Answer::Refused(Refusal { code: RefusalCode::of_number(number), text })
            }
            _ => {
                return Err(HandshakeError::Malformed {
                    what: "a caller's message stands where an answer should",
                });
            }
        };
        fields.optional(|_, _| {})?;
        Ok(answer)
    }
}

impl RefusalCode {
    fn number(self) -> u8 {
        match self {
            RefusalCode::NoCommonVersion => 1,
            RefusalCode::WrongCluster => 2,
            RefusalCode::WrongGroup => 3,
            RefusalCode::WrongNode => 4,
            RefusalCode::UnknownNode => 5,
            RefusalCode::OtherIncarnation => 6,
            RefusalCode::Unanswered => 7,
            RefusalCode::Other(number) => number,
        }
    }

    fn of_number(number: u8) -> RefusalCode {
        match number {
            1 => RefusalCode::NoCommonVersion,
            2 => RefusalCode::WrongCluster,
            3 => RefusalCode::WrongGroup,
            4 => RefusalCode::WrongNode,
            5 => RefusalCode::UnknownNode,
            6 => RefusalCode::OtherIncarnation,
            7 => RefusalCode::Unanswered,
            other => RefusalCode::Other(other),
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusalCode::NoCommonVersion => f.write_str("no common version"),
            RefusalCode::WrongCluster => f.write_str("wrong cluster"),
            RefusalCode::WrongGroup => f.write_str("wrong group"),
            RefusalCode::WrongNode => f.write_str("wrong node"),
            RefusalCode::UnknownNode => f.write_str("unknown node"),
            RefusalCode::OtherIncarnation => f.write_str("other incarnation"),
            RefusalCode::Unanswered => f.write_str("no answer"),
            RefusalCode::Other(number) => write!(f, "reason {number}"),
        }
    }
}

/// Reads one handshake message, given to `decode` each time that bytes have come. Reads into a buffer of fixed size, so that
/// nobody can make this node take memory before it has named itself.
pub(crate) async fn read_message<T>(
    stream: &mut (impl AsyncRead + Unpin),
    decode: fn(&[u8]) -> Result<T, HandshakeError>,
) -> Result<T, LinkError> {
    const DOING: &str = "reading the handshake";
    let mut buffer = [0u8; HEADER_BYTES + BODY_BYTES_MAX];
    let mut filled = 0;
    loop {
        match decode(&buffer[..filled]) {
            Ok(message) => return Ok(message),
            Err(HandshakeError::Incomplete) => {}
            Err(error) => return Err(error.into()),
        }
        let count = stream
            .read(&mut buffer[filled..])
            .await
            .map_err(|source| LinkError::Io { doing: DOING, source })?;
        if count == 0 {
            return Err(LinkError::Closed { doing: DOING });
        }
        filled += count;
    }
}

/// The newest version within both ranges.
fn newest_common_version(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> Option<u16> {
    let newest = *one.end().min(other.end());
    (one.contains(&newest) && other.contains(&newest)).then_some(newest)
}

/// Puts the envelope around a body.
fn seal(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("handshake bodies are built here and are short");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(kind);
    bytes.push(0);
    bytes.extend_from_slice(&length.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes), body);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Takes the envelope off: the kind and the body. Wrong first bytes are found as soon as they differ.
fn open(bytes: &[u8]) -> Result<(u8, &[u8]), HandshakeError> {
    let common = bytes.len().min(MAGIC.len());
    if bytes[..common] != MAGIC[..common] {
        // The first word of HTTP/1 requests and responses and of the HTTP/2 preface.
        let words: [&[u8]; 10] =
            [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"PATC", b"OPTI", b"CONN", b"PRI ", b"HTTP"];
        if bytes.len() < 4 && words.iter().any(|word| word.starts_with(bytes)) {
            return Err(HandshakeError::Incomplete);
        }
        let http = words.iter().any(|word| bytes.starts_with(word));
        return Err(if http { HandshakeError::Http } else { HandshakeError::WrongMagic });
    }
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(HandshakeError::Incomplete);
    };
    let length = usize::from(u16::from_le_bytes([head[10], head[11]]));
    if length > BODY_BYTES_MAX {
        return Err(HandshakeError::TooLarge { len_bytes: length, max_bytes: BODY_BYTES_MAX });
    }
    let body = &bytes[HEADER_BYTES..];
    if body.len() < length {
        return Err(HandshakeError::Incomplete);
    }
    if body.len() > length {
        return Err(HandshakeError::Malformed { what: "bytes follow before the handshake is answered" });
    }
    let found = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
    if found != crc32c::crc32c_append(crc32c::crc32c(&head[..12]), body) {
        return Err(HandshakeError::Corrupt);
    }
    Ok((head[8], body))
}

/// Reads fields off the front of a body.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], HandshakeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(HandshakeError::Malformed { what: "a field is cut short" })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HandshakeError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take gives as many bytes as asked for"))
    }

    fn u16(&mut self) -> Result<u16, HandshakeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn node(&mut self) -> Result<NodeId, HandshakeError> {
        NodeId::checked(u64::from_le_bytes(self.array()?))
            .ok_or(HandshakeError::Malformed { what: "a node id is zero" })
    }

    /// Walks over the optional fields: this version knows none.
    fn optional(&mut self, mut take: impl FnMut(u16, &[u8])) -> Result<(), HandshakeError> {
        while !self.rest.is_empty() {
            let tag = self.u16()?;
            let length = usize::from(self.u16()?);
            take(tag, self.take(length)?);
        }
        Ok(())
    }
}

/// The optional field that says what a connection is for, one byte.
const TAG_LANE: u16 = 1;
const LANE_BULK: u8 = 1;
const MAGIC: &[u8; 8] = b"QUORPEER";
const HEADER_BYTES: usize = 16;
const BODY_BYTES_MAX: usize = 1024;
const REFUSAL_TEXT_BYTES_MAX: usize = 900;
const HELLO_BYTES: usize = 56;
const WELCOME_BYTES: usize = 26;
const KIND_HELLO: u8 = 1;
const KIND_WELCOME: u8 = 2;
const KIND_REFUSED: u8 = 3;

#[cfg(test)]
mod tests {
    use super::newest_common_version;

    /// All pairs of ranges within 0 to 3, against the plain definition.
    #[test]
    fn the_newest_version_of_both_is_spoken() {
        let ranges = || (0..4u16).flat_map(|min| (min..4).map(move |max| min..=max));
        for (one, other) in ranges().flat_map(|one| ranges().map(move |other| (one.clone(), other))) {
            let newest = (0..4).rev().find(|version| one.contains(version) && other.contains(version));
            assert_eq!(newest_common_version(&one, &other), newest, "{one:?} and {other:?}");
        }
    }
}
