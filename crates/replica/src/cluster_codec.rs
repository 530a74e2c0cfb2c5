//! The binary form of requests for the cluster as a whole and of their answers, as they travel between nodes.
//!
//! ```text
//! request  0 transfer: node u64, 0 for any     1 add: node u64, 0 for any; voter u8; replaces u64, 0 for none; length u16, address
//!          2 promote: node u64                 3 remove: node u64             4 join: level u16, then as an add from its kind on
//! answer   0 leads: node u64            1 no leader: node u64, 0 for none   2 overloaded   3 timed out   4 stopped: sent u8
//!          5 not a voter: node u64      6 transfer under way: node u64      7 nobody else  8 not taken over: node u64
//!          9 members: node u64, 0 for none                                 10 members refused: reason
//!         11 level too low: level u16, of the node u16
//! reason   0 not the leader: node u64, 0 for none    1 not yet     2 under way     3 id used: node u64, next u64
//!          4 already a member: node u64    5 address used: by u64  6 address invalid       7 not a member: node u64
//!          8 last voter    9 too many      10 no quorum: count u16, nodes u64              11 id zero
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_core::membership::{Change, ChangeRefusal, MEMBERS_COUNT_MAX};
use quorate_core::types::NodeId;

use crate::cluster::{ClusterDone, ClusterError, ClusterRefusal, ClusterRequest};
use crate::peer_codec::{error, put_node, take_bool, take_node, take_u8};
use crate::state_machine::DecodeError;

/// Appends a request.
pub(crate) fn put_request(out: &mut BytesMut, request: &ClusterRequest) {
    match request {
        ClusterRequest::Transfer { to } => {
            out.put_u8(0);
            put_node(out, *to);
        }
        ClusterRequest::Change(change) => put_change(out, change),
        ClusterRequest::Join { change, level_max } => {
            out.put_u8(4);
            out.put_u16_le(*level_max);
            put_change(out, change);
        }
    }
}

fn put_change(out: &mut BytesMut, change: &Change) {
    match change {
        Change::Add { node, address, voter, replaces } => {
            out.put_u8(1);
            put_node(out, *node);
            out.put_u8(u8::from(*voter));
            put_node(out, *replaces);
            // One that is longer is refused by whoever leads, and what is left of it is too long still.
            let bytes = &address.as_bytes()[..address.len().min(usize::from(u16::MAX))];
            out.put_u16_le(u16::try_from(bytes.len()).expect("it was cut to what fits"));
            out.put_slice(bytes);
        }
        Change::Promote { node } => {
            out.put_u8(2);
            put_node(out, Some(*node));
        }
        Change::Remove { node } => {
            out.put_u8(3);
            put_node(out, Some(*node));
        }
    }
}

/// Takes a request from the front of `body`.
pub(crate) fn take_request(body: &mut Bytes) -> Result<ClusterRequest, DecodeError> {
    Ok(match take_u8(body)? {
        0 => ClusterRequest::Transfer { to: take_node(body)? },
        4 => {
            let level_max = take_level(body)?;
            let kind = take_u8(body)?;
            ClusterRequest::Join { change: take_change(kind, body)?, level_max }
        }
        kind => ClusterRequest::Change(take_change(kind, body)?),
    })
}

fn take_change(kind: u8, body: &mut Bytes) -> Result<Change, DecodeError> {
    Ok(match kind {
        1 => {
            let node = take_node(body)?;
            let voter = take_bool(body)?;
            let replaces = take_node(body)?;
            let address = take_address(body)?;
            Change::Add { node, address, voter, replaces }
        }
        2 => Change::Promote { node: take_named(body)? },
        3 => Change::Remove { node: take_named(body)? },
        _ => return Err(error("a request for the cluster of an unknown kind")),
    })
}

fn take_level(body: &mut Bytes) -> Result<u16, DecodeError> {
    body.try_get_u16_le().map_err(|_| error("a cut feature level"))
}

/// Appends an answer.
pub(crate) fn put_result(out: &mut BytesMut, result: &Result<ClusterDone, ClusterError>) {
    let (kind, node) = match result {
        Ok(ClusterDone::Leads(node)) => (0, Some(*node)),
        Ok(ClusterDone::Members { node }) => (9, *node),
        Err(ClusterError::Refused(ClusterRefusal::Change(refusal))) => {
            out.put_u8(10);
            return put_refusal(out, refusal);
        }
        Err(ClusterError::NoLeader { leader }) => (1, *leader),
        Err(ClusterError::Overloaded) => return out.put_u8(2),
        Err(ClusterError::TimedOut) => return out.put_u8(3),
        Err(ClusterError::Stopped { sent }) => {
            out.put_u8(4);
            return out.put_u8(u8::from(*sent));
        }
        Err(ClusterError::Refused(ClusterRefusal::NotVoter(node))) => (5, Some(*node)),
        Err(ClusterError::Refused(ClusterRefusal::TransferUnderWay { to })) => (6, Some(*to)),
        Err(ClusterError::Refused(ClusterRefusal::NobodyElse)) => return out.put_u8(7),
        Err(ClusterError::Refused(ClusterRefusal::NotTakenOver { to })) => (8, Some(*to)),
        Err(ClusterError::Refused(ClusterRefusal::LevelTooLow { level, level_max })) => {
            out.put_u8(11);
            out.put_u16_le(*level);
            return out.put_u16_le(*level_max);
        }
    };
    out.put_u8(kind);
    put_node(out, node);
}

/// Takes an answer from the front of `body`.
pub(crate) fn take_result(body: &mut Bytes) -> Result<Result<ClusterDone, ClusterError>, DecodeError> {
    let kind = take_u8(body)?;
    if kind == 11 {
        let (level, level_max) = (take_level(body)?, take_level(body)?);
        return Ok(Err(ClusterError::Refused(ClusterRefusal::LevelTooLow { level, level_max })));
    }
    let mut named = || take_named(body);
    Ok(match kind {
        0 => Ok(ClusterDone::Leads(named()?)),
        1 => Err(ClusterError::NoLeader { leader: take_node(body)? }),
        2 => Err(ClusterError::Overloaded),
        3 => Err(ClusterError::TimedOut),
        4 => Err(ClusterError::Stopped { sent: take_bool(body)? }),
        5 => Err(ClusterError::Refused(ClusterRefusal::NotVoter(named()?))),
        6 => Err(ClusterError::Refused(ClusterRefusal::TransferUnderWay { to: named()? })),
        7 => Err(ClusterError::Refused(ClusterRefusal::NobodyElse)),
        8 => Err(ClusterError::Refused(ClusterRefusal::NotTakenOver { to: named()? })),
        9 => Ok(ClusterDone::Members { node: take_node(body)? }),
        10 => Err(ClusterError::Refused(ClusterRefusal::Change(take_refusal(body)?))),
        _ => return Err(error("an answer about the cluster of an unknown kind")),
    })
}

fn put_refusal(out: &mut BytesMut, refusal: &ChangeRefusal) {
    let (kind, nodes): (u8, &[Option<NodeId>]) = match refusal {
        ChangeRefusal::NotLeader { leader } => (0, &[*leader]),
        ChangeRefusal::NotYet => (1, &[]),
        ChangeRefusal::UnderWay => (2, &[]),
        ChangeRefusal::IdUsed { node, next } => (3, &[Some(*node), Some(*next)]),
        ChangeRefusal::AlreadyMember(node) => (4, &[Some(*node)]),
        ChangeRefusal::AddressUsed { by } => (5, &[Some(*by)]),
        ChangeRefusal::AddressInvalid => (6, &[]),
        ChangeRefusal::NotMember(node) => (7, &[Some(*node)]),
        ChangeRefusal::LastVoter => (8, &[]),
        ChangeRefusal::TooMany => (9, &[]),
        ChangeRefusal::IdZero => (11, &[]),
        ChangeRefusal::NoQuorum { silent } => {
            out.put_u8(10);
            let silent = &silent[..silent.len().min(MEMBERS_COUNT_MAX)];
            out.put_u16_le(u16::try_from(silent.len()).expect("the bound fits 16 bits"));
            return silent.iter().for_each(|node| put_node(out, Some(*node)));
        }
    };
    out.put_u8(kind);
    nodes.iter().for_each(|node| put_node(out, *node));
}

fn take_refusal(body: &mut Bytes) -> Result<ChangeRefusal, DecodeError> {
    Ok(match take_u8(body)? {
        0 => ChangeRefusal::NotLeader { leader: take_node(body)? },
        1 => ChangeRefusal::NotYet,
        2 => ChangeRefusal::UnderWay,
        3 => {
            let node = take_named(body)?;
            ChangeRefusal::IdUsed { node, next: take_named(body)? }
        }
        4 => ChangeRefusal::AlreadyMember(take_named(body)?),
        5 => ChangeRefusal::AddressUsed { by: take_named(body)? },
        6 => ChangeRefusal::AddressInvalid,
        7 => ChangeRefusal::NotMember(take_named(body)?),
        8 => ChangeRefusal::LastVoter,
        9 => ChangeRefusal::TooMany,
        10 => {
            let count = usize::from(body.try_get_u16_le().map_err(|_| error("a cut count"))?);
            if count > MEMBERS_COUNT_MAX {
                return Err(error("more nodes than a cluster has"));
            }
            let silent = (0..count).map(|_| take_named(body)).collect::<Result<_, _>>()?;
            ChangeRefusal::NoQuorum { silent }
        }
        11 => ChangeRefusal::IdZero,
        _ => return Err(error("a reason of an unknown kind")),
    })
}

fn take_named(body: &mut Bytes) -> Result<NodeId, DecodeError> {
    take_node(body)?.ok_or_else(|| error("no node where one is named"))
}

fn take_address(body: &mut Bytes) -> Result<String, DecodeError> {
    let len = usize::from(body.try_get_u16_le().map_err(|_| error("a cut address"))?);
    if len > body.len() {
        return Err(error("fewer bytes than were promised"));
    }
    String::from_utf8(body.split_to(len).into()).map_err(|_| error("an address that is not UTF-8"))
}
