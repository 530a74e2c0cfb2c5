//! The binary form of requests for the cluster as a whole and of their answers, as they travel between nodes.
//!
//! ```text
//! request  0 transfer: node u64, 0 for any
//! answer   0 leads: node u64            1 no leader: node u64, 0 for none   2 overloaded   3 timed out   4 stopped: sent u8
//!          5 not a voter: node u64      6 transfer under way: node u64      7 nobody else  8 not taken over: node u64
//! ```

use bytes::{BufMut, Bytes, BytesMut};

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
    }
}

/// Takes a request from the front of `body`.
pub(crate) fn take_request(body: &mut Bytes) -> Result<ClusterRequest, DecodeError> {
    Ok(match take_u8(body)? {
        0 => ClusterRequest::Transfer { to: take_node(body)? },
        _ => return Err(error("a request for the cluster of an unknown kind")),
    })
}

/// Appends an answer.
pub(crate) fn put_result(out: &mut BytesMut, result: &Result<ClusterDone, ClusterError>) {
    let (kind, node) = match result {
        Ok(ClusterDone::Leads(node)) => (0, Some(*node)),
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
    };
    out.put_u8(kind);
    put_node(out, node);
}

/// Takes an answer from the front of `body`.
pub(crate) fn take_result(body: &mut Bytes) -> Result<Result<ClusterDone, ClusterError>, DecodeError> {
    let kind = take_u8(body)?;
    let mut named = || take_node(body)?.ok_or_else(|| error("an answer that names no node"));
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
        _ => return Err(error("an answer about the cluster of an unknown kind")),
    })
}
