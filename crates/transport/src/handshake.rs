//! The first bytes of a connection: who calls, whom, of which cluster, in which versions; and the answer. Its byte diagram
//! is in docs/wire-format.md.

use std::fmt;

use quorate_core::types::{ClusterId, GroupId, NodeId};

use crate::endpoint::Identity;
use crate::error::HandshakeError;

/// The oldest version of the wire format that this build speaks.
pub const WIRE_VERSION_MIN: u16 = 0;

/// The newest version of the wire format that this build speaks.
pub const WIRE_VERSION_MAX: u16 = 0;

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
