//! The one binary form of what travels between nodes: a kind byte for the frame, and a body.
//!
//! ```text
//! kind  message           body (numbers in little-endian order; leader: u64, 0 for none)
//!  1    Raft              the envelope as the core writes it
//!  2    Forward           count u32, then for each: ticket u64, explain u8, length u32, command
//!  3    ForwardReply      count u32, then for each: ticket u64, answer
//!  4    ForwardRead       ticket u64
//!  5    ForwardReadReply  ticket u64, known u8, index u64
//!  6    StatusRequest     ticket u64
//!  7    StatusReply       ticket u64, all that remains: the status
//!  8, 10                  reserved: ReadIndex
//!  9    snapshots         tag u8, then: 0 ask: term u64, index u64, piece u64
//!                         1 piece: term u64, index u64, bytes u64, check u32, piece u64, all that remains: the piece
//!                         2 gone: term u64, index u64             3 fetching: term u64, index u64
//! 11    StateMarks        count u32, then for each: index u64, hash u64
//! 12    ClusterRequest    ticket u64, request
//! 13    ClusterReply      ticket u64, answer
//! 14    Introduction      count u32, then for each: node u64, length u32, address
//!
//! answer   0 reply: length u32, reply, trace       1 refused: error, trace
//!          2 not leader: leader u64                3 overloaded          4 leadership lost
//! error    0 no leader: leader u64   1 overloaded   2 too large: u64, u64   3 timed out   4 forgotten
//!          5 session unknown         6 key reused   7 malformed: length u32, text         8 stopped: sent u8
//!          9 reply malformed: length u32, text
//! trace    count u16 plus one, 0 for none; then for each step: node u64, at_us u64, step
//! step     0 accepted   1 forwarded: u64   2 appended: term u64, index u64   3 acknowledged: u64   4 committed   5 applied
//! ```
//! Which forms a peer understands is settled by the version in the handshake; here bytes left over are an error.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_core::codec::ENVELOPE_FORMAT_MAX;
use quorate_core::message::Envelope;
use quorate_core::snapshot::SnapshotName;
use quorate_core::types::{EntryId, Index, NodeId};

use crate::cluster_codec::{put_request, put_result, take_request, take_result};
use crate::divergence::StateMark;
use crate::effect::{Answered, Step, StepKind};
use crate::error::ProposeError;
use crate::input::Ticket;
use crate::peer_message::{ForwardAnswer, PeerMessage};
use crate::state_machine::DecodeError;

/// The frame kind and the body of a message.
pub fn encode(message: &PeerMessage) -> (u8, Bytes) {
    encode_for(VERSION_MAX, message)
}

/// The same for a peer with which this version of the wire format was agreed on: what that has no place for is left out.
pub fn encode_for(version: u16, message: &PeerMessage) -> (u8, Bytes) {
    // An envelope knows its length; of all else most is short, and what is long grows a few times less.
    let capacity = if matches!(message, PeerMessage::Raft(_)) { 0 } else { BODY_BYTES_ORDINARY };
    let mut out = BytesMut::with_capacity(capacity);
    let kind = match message {
        PeerMessage::Raft(envelope) => {
            envelope.encode_for(format_of(version), &mut out);
            KIND_RAFT
        }
        PeerMessage::Forward { proposals } => {
            put_proposals(&mut out, proposals);
            KIND_FORWARD
        }
        PeerMessage::ForwardReply { answers } => {
            out.put_u32_le(len_u32(answers.len()));
            for (ticket, answer) in answers {
                out.put_u64_le(ticket.0);
                put_answer(&mut out, answer);
            }
            KIND_FORWARD_REPLY
        }
        PeerMessage::ForwardRead { ticket } => {
            out.put_u64_le(ticket.0);
            KIND_FORWARD_READ
        }
        PeerMessage::ForwardReadReply { ticket, index } => {
            out.put_u64_le(ticket.0);
            out.put_u8(u8::from(index.is_some()));
            out.put_u64_le(index.map_or(0, |index| index.0));
            KIND_FORWARD_READ_REPLY
        }
        PeerMessage::StatusRequest { ticket } => {
            out.put_u64_le(ticket.0);
            KIND_STATUS_REQUEST
        }
        PeerMessage::StatusReply { ticket, status } => {
            out.put_u64_le(ticket.0);
            out.put_slice(status);
            KIND_STATUS_REPLY
        }
        PeerMessage::SnapshotAsk { .. }
        | PeerMessage::SnapshotPiece { .. }
        | PeerMessage::SnapshotGone { .. }
        | PeerMessage::SnapshotFetching { .. } => put_snapshot(&mut out, message),
        PeerMessage::StateMarks { marks } => {
            out.put_u32_le(len_u32(marks.len()));
            for mark in marks {
                out.put_u64_le(mark.index.0);
                out.put_u64_le(mark.hash);
            }
            KIND_STATE_MARKS
        }
        PeerMessage::Introduction { members } => {
            put_members(&mut out, members);
            KIND_INTRODUCTION
        }
        PeerMessage::ClusterRequest { ticket, request } => {
            out.put_u64_le(ticket.0);
            put_request(&mut out, request);
            KIND_CLUSTER_REQUEST
        }
        PeerMessage::ClusterReply { ticket, result } => {
            out.put_u64_le(ticket.0);
            put_result(&mut out, result);
            KIND_CLUSTER_REPLY
        }
    };
    (kind, out.freeze())
}

/// Reads what [`encode`] wrote. Commands, replies and statuses share the memory of `body`.
///
/// # Errors
/// When the bytes are no message that this version understands.
pub fn decode(kind: u8, body: Bytes) -> Result<PeerMessage, DecodeError> {
    decode_up_to(VERSION_MAX, kind, body)
}

/// The same for a node that speaks no version above this one.
///
/// # Errors
/// When the bytes are no message in a version that it speaks.
pub fn decode_up_to(version_max: u16, kind: u8, mut body: Bytes) -> Result<PeerMessage, DecodeError> {
    let message = match kind {
        KIND_RAFT => {
            let envelope = Envelope::decode_up_to(format_of(version_max), &mut body)
                .map_err(|error| DecodeError { what: error.to_string() })?;
            return Ok(PeerMessage::Raft(envelope));
        }
        KIND_FORWARD => {
            let len = take_len(&mut body, FORWARD_BYTES_MIN)?;
            let mut proposals = Vec::with_capacity(len);
            for _ in 0..len {
                let ticket = take_ticket(&mut body)?;
                let explain = take_bool(&mut body)?;
                proposals.push((ticket, take_bytes(&mut body)?, explain));
            }
            PeerMessage::Forward { proposals }
        }
        KIND_FORWARD_REPLY => {
            let len = take_len(&mut body, ANSWER_BYTES_MIN)?;
            let mut answers = Vec::with_capacity(len);
            for _ in 0..len {
                let ticket = take_ticket(&mut body)?;
                answers.push((ticket, take_answer(&mut body)?));
            }
            PeerMessage::ForwardReply { answers }
        }
        KIND_FORWARD_READ => PeerMessage::ForwardRead { ticket: take_ticket(&mut body)? },
        KIND_FORWARD_READ_REPLY => {
            let ticket = take_ticket(&mut body)?;
            let known = take_bool(&mut body)?;
            let index = Index(take_u64(&mut body)?);
            PeerMessage::ForwardReadReply { ticket, index: known.then_some(index) }
        }
        KIND_STATUS_REQUEST => PeerMessage::StatusRequest { ticket: take_ticket(&mut body)? },
        KIND_STATUS_REPLY => {
            let ticket = take_ticket(&mut body)?;
            let status = body.split_off(0);
            PeerMessage::StatusReply { ticket, status }
        }
        KIND_SNAPSHOT => take_snapshot(&mut body)?,
        KIND_STATE_MARKS => {
            let len = take_len(&mut body, STATE_MARK_BYTES)?;
            let mut marks = Vec::with_capacity(len);
            for _ in 0..len {
                let index = Index(take_u64(&mut body)?);
                marks.push(StateMark { index, hash: take_u64(&mut body)? });
            }
            PeerMessage::StateMarks { marks }
        }
        KIND_INTRODUCTION => PeerMessage::Introduction { members: take_members(&mut body)? },
        KIND_CLUSTER_REQUEST => {
            PeerMessage::ClusterRequest { ticket: take_ticket(&mut body)?, request: take_request(&mut body)? }
        }
        KIND_CLUSTER_REPLY => {
            PeerMessage::ClusterReply { ticket: take_ticket(&mut body)?, result: take_result(&mut body)? }
        }
        other => return Err(DecodeError { what: format!("message kind {other} is not known") }),
    };
    if body.is_empty() { Ok(message) } else { Err(error("bytes left over")) }
}

/// The format of envelopes in a version of the wire format: the same number.
fn format_of(version: u16) -> u8 {
    u8::try_from(version).unwrap_or(ENVELOPE_FORMAT_MAX).min(ENVELOPE_FORMAT_MAX)
}

fn put_proposals(out: &mut BytesMut, proposals: &[(Ticket, Bytes, bool)]) {
    let commands: usize = proposals.iter().map(|(_, command, _)| command.len()).sum();
    out.reserve(4 + proposals.len() * FORWARD_BYTES_MIN + commands);
    out.put_u32_le(len_u32(proposals.len()));
    for (ticket, command, explain) in proposals {
        out.put_u64_le(ticket.0);
        out.put_u8(u8::from(*explain));
        put_bytes(out, command);
    }
}

fn put_members(out: &mut BytesMut, members: &[(NodeId, String)]) {
    out.put_u32_le(len_u32(members.len()));
    for (node, address) in members {
        put_node(out, Some(*node));
        put_bytes(out, address.as_bytes());
    }
}

fn take_members(body: &mut Bytes) -> Result<Vec<(NodeId, String)>, DecodeError> {
    let len = take_len(body, INTRODUCED_BYTES_MIN)?;
    let mut members = Vec::with_capacity(len);
    for _ in 0..len {
        let node = take_node(body)?.ok_or_else(|| error("a member without an id"))?;
        members.push((node, take_text(body)?));
    }
    Ok(members)
}

fn put_answer(out: &mut BytesMut, answer: &ForwardAnswer) {
    match answer {
        ForwardAnswer::Answered(Answered { outcome: Ok(reply), trace }) => {
            out.put_u8(0);
            put_bytes(out, reply);
            put_trace(out, trace.as_deref());
        }
        ForwardAnswer::Answered(Answered { outcome: Err(error), trace }) => {
            out.put_u8(1);
            put_error(out, error);
            put_trace(out, trace.as_deref());
        }
        ForwardAnswer::NotLeader { leader } => {
            out.put_u8(2);
            put_node(out, *leader);
        }
        ForwardAnswer::Overloaded => out.put_u8(3),
        ForwardAnswer::LeadershipLost => out.put_u8(4),
    }
}

fn take_answer(body: &mut Bytes) -> Result<ForwardAnswer, DecodeError> {
    Ok(match take_u8(body)? {
        0 => {
            let outcome = Ok(take_bytes(body)?);
            ForwardAnswer::Answered(Answered { outcome, trace: take_trace(body)? })
        }
        1 => {
            let outcome = Err(take_error(body)?);
            ForwardAnswer::Answered(Answered { outcome, trace: take_trace(body)? })
        }
        2 => ForwardAnswer::NotLeader { leader: take_node(body)? },
        3 => ForwardAnswer::Overloaded,
        4 => ForwardAnswer::LeadershipLost,
        _ => return Err(error("an answer of an unknown kind")),
    })
}

fn put_error(out: &mut BytesMut, error: &ProposeError) {
    out.put_u8(error.number());
    match error {
        ProposeError::NoLeader { leader } => put_node(out, *leader),
        ProposeError::TooLarge { bytes, bytes_max } => {
            out.put_u64_le(*bytes as u64);
            out.put_u64_le(*bytes_max as u64);
        }
        ProposeError::Malformed(why) | ProposeError::ReplyMalformed(why) => put_bytes(out, why.as_bytes()),
        ProposeError::Stopped { sent } => out.put_u8(u8::from(*sent)),
        ProposeError::Overloaded
        | ProposeError::DiskFull
        | ProposeError::TimedOut
        | ProposeError::Forgotten
        | ProposeError::SessionUnknown
        | ProposeError::KeyReused => {}
    }
}

fn take_error(body: &mut Bytes) -> Result<ProposeError, DecodeError> {
    Ok(match take_u8(body)? {
        0 => ProposeError::NoLeader { leader: take_node(body)? },
        1 => ProposeError::Overloaded,
        2 => {
            let mut size = || usize::try_from(take_u64(body)?).map_err(|_| error("a size above all memory"));
            ProposeError::TooLarge { bytes: size()?, bytes_max: size()? }
        }
        3 => ProposeError::TimedOut,
        4 => ProposeError::Forgotten,
        5 => ProposeError::SessionUnknown,
        6 => ProposeError::KeyReused,
        7 => ProposeError::Malformed(take_text(body)?),
        8 => ProposeError::Stopped { sent: take_bool(body)? },
        9 => ProposeError::ReplyMalformed(take_text(body)?),
        10 => ProposeError::DiskFull,
        _ => return Err(error("an error of an unknown kind")),
    })
}

/// Writes what is said about snapshots; nothing of any other message.
fn put_snapshot(out: &mut BytesMut, message: &PeerMessage) -> u8 {
    if let PeerMessage::SnapshotAsk { last, piece } = message {
        out.put_u8(0);
        put_id(out, *last);
        out.put_u64_le(*piece);
    } else if let PeerMessage::SnapshotPiece { name, piece, bytes } = message {
        out.reserve(PIECE_HEAD_BYTES + bytes.len());
        out.put_u8(1);
        put_id(out, name.last);
        put_name_rest(out, *name);
        out.put_u64_le(*piece);
        out.put_slice(bytes);
    } else if let PeerMessage::SnapshotGone { last } = message {
        out.put_u8(2);
        put_id(out, *last);
    } else if let PeerMessage::SnapshotFetching { last } = message {
        out.put_u8(3);
        put_id(out, *last);
    }
    KIND_SNAPSHOT
}

fn take_snapshot(body: &mut Bytes) -> Result<PeerMessage, DecodeError> {
    let tag = take_u8(body)?;
    let term = take_u64(body)?;
    let last = EntryId::new(term, take_u64(body)?);
    Ok(match tag {
        0 => PeerMessage::SnapshotAsk { last, piece: take_u64(body)? },
        1 => {
            let name = take_name_rest(body, last)?;
            let piece = take_u64(body)?;
            PeerMessage::SnapshotPiece { name, piece, bytes: body.split_to(body.len()) }
        }
        2 => PeerMessage::SnapshotGone { last },
        3 => PeerMessage::SnapshotFetching { last },
        _ => return Err(error("a message about snapshots of an unknown kind")),
    })
}

fn put_id(out: &mut BytesMut, id: EntryId) {
    out.put_u64_le(id.term.0);
    out.put_u64_le(id.index.0);
}

fn put_name_rest(out: &mut BytesMut, name: SnapshotName) {
    out.put_u64_le(name.bytes);
    out.put_u32_le(name.check);
}

fn take_name_rest(body: &mut Bytes, last: EntryId) -> Result<SnapshotName, DecodeError> {
    let bytes = take_u64(body)?;
    let check = body.try_get_u32_le().map_err(|_| error("a cut checksum"))?;
    Ok(SnapshotName { last, bytes, check })
}

/// Writes a trace, cut to the length that its count can tell.
fn put_trace(out: &mut BytesMut, trace: Option<&[Step]>) {
    let Some(steps) = trace else {
        return out.put_u16_le(0);
    };
    let len = u16::try_from(steps.len()).unwrap_or(u16::MAX).min(TRACE_LEN_MAX);
    out.put_u16_le(len + 1);
    for step in &steps[..usize::from(len)] {
        out.put_u64_le(step.node.get());
        out.put_u64_le(step.at_us);
        match step.what {
            StepKind::Accepted => out.put_u8(0),
            StepKind::Forwarded { leader } => {
                out.put_u8(1);
                out.put_u64_le(leader.get());
            }
            StepKind::Appended { entry } => {
                out.put_u8(2);
                out.put_u64_le(entry.term.0);
                out.put_u64_le(entry.index.0);
            }
            StepKind::Acknowledged { by } => {
                out.put_u8(3);
                out.put_u64_le(by.get());
            }
            StepKind::Committed => out.put_u8(4),
            StepKind::Applied => out.put_u8(5),
        }
    }
}

fn take_trace(body: &mut Bytes) -> Result<Option<Vec<Step>>, DecodeError> {
    let Some(len) = body.try_get_u16_le().map_err(|_| error("a cut trace"))?.checked_sub(1) else {
        return Ok(None);
    };
    if len > TRACE_LEN_MAX {
        return Err(error("a trace above its limit"));
    }
    let mut steps = Vec::with_capacity(usize::from(len));
    for _ in 0..len {
        let node = take_node(body)?.ok_or_else(|| error("a step of no node"))?;
        let at_us = take_u64(body)?;
        let named = |node: Option<NodeId>| node.ok_or_else(|| error("a step that names no node"));
        let what = match take_u8(body)? {
            0 => StepKind::Accepted,
            1 => StepKind::Forwarded { leader: named(take_node(body)?)? },
            2 => {
                let term = take_u64(body)?;
                StepKind::Appended { entry: EntryId::new(term, take_u64(body)?) }
            }
            3 => StepKind::Acknowledged { by: named(take_node(body)?)? },
            4 => StepKind::Committed,
            5 => StepKind::Applied,
            _ => return Err(error("a step of an unknown kind")),
        };
        steps.push(Step { node, at_us, what });
    }
    Ok(Some(steps))
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32_le(len_u32(bytes.len()));
    out.put_slice(bytes);
}

fn take_bytes(body: &mut Bytes) -> Result<Bytes, DecodeError> {
    let len = body.try_get_u32_le().map_err(|_| error("a cut length"))? as usize;
    if len <= body.len() { Ok(body.split_to(len)) } else { Err(error("fewer bytes than were promised")) }
}

fn take_text(body: &mut Bytes) -> Result<String, DecodeError> {
    String::from_utf8(take_bytes(body)?.into()).map_err(|_| error("a text that is not UTF-8"))
}

/// A count whose items take at least `item_bytes_min` each: the bytes must be there before memory is taken for the items.
fn take_len(body: &mut Bytes, item_bytes_min: usize) -> Result<usize, DecodeError> {
    let len = body.try_get_u32_le().map_err(|_| error("a cut count"))? as usize;
    if len <= body.len() / item_bytes_min {
        Ok(len)
    } else {
        Err(error("a count above what the bytes can hold"))
    }
}

pub(crate) fn put_node(out: &mut BytesMut, node: Option<NodeId>) {
    out.put_u64_le(node.map_or(0, NodeId::get));
}

pub(crate) fn take_node(body: &mut Bytes) -> Result<Option<NodeId>, DecodeError> {
    Ok(NodeId::checked(take_u64(body)?))
}

fn take_ticket(body: &mut Bytes) -> Result<Ticket, DecodeError> {
    Ok(Ticket(take_u64(body)?))
}

pub(crate) fn take_bool(body: &mut Bytes) -> Result<bool, DecodeError> {
    match take_u8(body)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(error("a truth value other than 0 and 1")),
    }
}

pub(crate) fn take_u8(body: &mut Bytes) -> Result<u8, DecodeError> {
    body.try_get_u8().map_err(|_| error("a cut byte"))
}

fn take_u64(body: &mut Bytes) -> Result<u64, DecodeError> {
    body.try_get_u64_le().map_err(|_| error("a cut number"))
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("batches and commands are bounded far below 4 GiB")
}

pub(crate) fn error(what: &str) -> DecodeError {
    DecodeError { what: what.to_owned() }
}

/// The newest version of the wire format of which this binary knows the messages.
pub const VERSION_MAX: u16 = 1;
const KIND_RAFT: u8 = 1;
const KIND_FORWARD: u8 = 2;
const KIND_FORWARD_REPLY: u8 = 3;
const KIND_FORWARD_READ: u8 = 4;
const KIND_FORWARD_READ_REPLY: u8 = 5;
const KIND_STATUS_REQUEST: u8 = 6;
const KIND_STATUS_REPLY: u8 = 7;
const KIND_SNAPSHOT: u8 = 9;
const KIND_STATE_MARKS: u8 = 11;
const KIND_CLUSTER_REQUEST: u8 = 12;
const KIND_CLUSTER_REPLY: u8 = 13;
const KIND_INTRODUCTION: u8 = 14;
/// Kinds that belong to what comes: a node that meets one closes the connection, as with any kind that it does not know.
pub const KINDS_RESERVED: [u8; 2] = [8, 10];
/// What a forwarded proposal takes at least.
const FORWARD_BYTES_MIN: usize = 13;
/// What stands before a piece of a snapshot.
const PIECE_HEAD_BYTES: usize = 1 + 16 + 12 + 8;
/// What a note takes.
const STATE_MARK_BYTES: usize = 16;
/// What a member that is introduced takes at least.
const INTRODUCED_BYTES_MIN: usize = 12;
/// What an answer takes at least.
const ANSWER_BYTES_MIN: usize = 9;
/// How many steps a trace holds at most.
/// For how many bytes of a body memory is taken at first.
const BODY_BYTES_ORDINARY: usize = 192;
const TRACE_LEN_MAX: u16 = 256;
