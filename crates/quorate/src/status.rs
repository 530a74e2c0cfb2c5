//! How a node is: plain data for `/v1/cluster`, the metrics and the command line, and the form in which nodes tell it each other.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_core::status::Role;
use quorate_core::types::NodeId;
use quorate_replica::status::{Histogram, ReplicaMetrics, ReplicaStatus};

/// The bound of the bucket in which `percent` of the durations end, in microseconds; 0 without durations.
pub(crate) fn percentile_us(histogram: &Histogram, percent: u64) -> u64 {
    let wanted = (histogram.count() * percent).div_ceil(100);
    let mut seen = 0;
    let found = histogram.buckets.iter().position(|count| {
        seen += count;
        seen > 0 && seen >= wanted
    });
    found.map_or(0, |n| Histogram::bound_us(n).unwrap_or(u64::MAX))
}

/// The number of a role in metrics and on the wire.
pub(crate) fn role_number(role: Role) -> u64 {
    match role {
        Role::Follower => 0,
        Role::PreCandidate => 1,
        Role::Candidate => 2,
        Role::Leader => 3,
    }
}

fn role_from_number(number: u64) -> Option<Role> {
    [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader]
        .into_iter()
        .find(|role| role_number(*role) == number)
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeStatus {
    /// Its id.
    pub node: u64,
    /// Its version.
    pub version: String,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Where clients reach it, if the application said so.
    pub api_address: String,
    /// The part it plays.
    pub role: Role,
    /// Whether it is a voter of the membership in force.
    pub voter: bool,
    /// How much it is meant to lead, from 0 to 100.
    pub priority: u64,
    /// Whether it gave way as an unfit leader a short time ago, and lets others lead for a while.
    pub rests: bool,
    /// It was removed from the cluster, as it knows by now, and may be stopped.
    pub removed: bool,
    /// Its disk is full: it takes no proposals and does not lead until there is room.
    pub disk_full: bool,
    /// The current term.
    pub term: u64,
    /// The leader it knows; 0 for none.
    pub leader: u64,
    /// The last entry of its log.
    pub last_index: u64,
    /// The last entry on its disk.
    pub persisted_index: u64,
    /// The last entry that it knows to be on a quorum.
    pub commit_index: u64,
    /// The last entry given to its state machine.
    pub applied_index: u64,
    /// All up to here is compacted: its log begins after it.
    pub base_index: u64,
    /// The last entry that its newest snapshot covers; 0 for none.
    pub snapshot_index: u64,
    /// For how many milliseconds more it answers reads by its lease; 0 without one.
    pub lease_ms: u64,
    /// Entries that its disk has lost and that it is getting back from its peers. Until then it neither leads nor acknowledges what is behind.
    pub damaged_entries: u64,
    /// Whether its disk has lost the state from which its log goes on, which a peer must give back.
    pub state_lost: bool,
    /// Proposals that wait for an answer here.
    pub pending: u64,
    /// Median of its fsyncs since the start, in microseconds (upper bound of the bucket).
    pub fsync_p50_us: u64,
    /// The 99th percentile of its fsyncs.
    pub fsync_p99_us: u64,
    /// The feature level of its applied state; 0 before it has applied anything since its start, and of a node that does not say it.
    pub feature_level: u64,
    /// The highest feature level that it says it understands; 0 of a node that does not say it.
    pub feature_level_max: u64,
    /// The other nodes, as this one sees them.
    pub peers: Vec<PeerStatus>,
}

/// What the loop makes known of itself after a turn.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) status: NodeStatus,
    pub(crate) replica: ReplicaMetrics,
}

/// How a peer looks from here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerStatus {
    /// Its id.
    pub node: u64,
    /// Where it is dialled.
    pub address: String,
    /// Whether the link to it is up.
    pub connected: bool,
    /// Why not, in words; empty when it is.
    pub last_error: String,
    /// The last entry that it is known to have. Only a leader knows; else 0.
    pub matched_index: u64,
    /// How many entries it lacks. Only a leader knows; else 0.
    pub lag_entries: u64,
    /// Messages to it that were dropped.
    pub send_failures: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// By how many milliseconds its wall clock is ahead of this node's. Only a leader knows.
    pub clock_skew_ms: Option<i64>,
}

/// What one member of the cluster answered.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// Its id.
    pub node: u64,
    /// Where its peers reach it.
    pub address: String,
    /// Its status, or why there is none.
    pub status: Result<NodeStatus, crate::error::StatusError>,
}

/// The form in which nodes tell each other: a version, then tagged fields; unknown tags are skipped.
const VERSION: u8 = 1;
/// The longest text in a status, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// What is shown of a lease at most: that of a single voter never ends.
const LEASE_MS_SHOWN_MAX: u64 = 3_600_000;
/// The most peers in a status.
const PEERS_LEN_MAX: u64 = 64;

impl NodeStatus {
    /// This status, brought up to what the node is now.
    pub(crate) fn now(
        self,
        replica: &ReplicaStatus,
        fsync: &Histogram,
        peers: Vec<PeerStatus>,
    ) -> NodeStatus {
        NodeStatus {
            role: replica.raft.role,
            priority: u64::from(replica.raft.standing.priority),
            rests: replica.raft.standing.rests,
            disk_full: replica.raft.paused,
            term: replica.raft.term.0,
            leader: replica.raft.leader.map_or(0, NodeId::get),
            last_index: replica.raft.last.index.0,
            persisted_index: replica.raft.persisted.0,
            commit_index: replica.raft.commit.0,
            applied_index: replica.applied_through.0,
            base_index: replica.raft.base.index.0,
            snapshot_index: replica.raft.snapshot.index.0,
            lease_ms: replica.raft.lease_left_us.map_or(0, |us| (us / 1_000).min(LEASE_MS_SHOWN_MAX)),
            damaged_entries: replica.raft.damaged_len,
            state_lost: replica.raft.state_lost,
            pending: replica.pending_len as u64,
            fsync_p50_us: percentile_us(fsync, 50),
            fsync_p99_us: percentile_us(fsync, 99),
            feature_level: u64::from(replica.level),
            peers,
            ..self
        }
    }

    /// The bytes for a peer.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(512);
        out.put_u8(VERSION);
        for text in [&self.version, &self.peer_address, &self.api_address] {
            put_text(&mut out, text);
        }
        for number in self.numbers() {
            out.put_u64_le(number);
        }
        out.put_u64_le(self.peers.len() as u64);
        for peer in &self.peers {
            put_text(&mut out, &peer.address);
            put_text(&mut out, &peer.last_error);
            for number in [
                peer.node,
                u64::from(peer.connected),
                peer.matched_index,
                peer.lag_entries,
                peer.send_failures,
                peer.sent_bytes,
            ] {
                out.put_u64_le(number);
            }
        }
        // What came later stands behind all that came before: an older node skips it.
        for peer in &self.peers {
            out.put_u8(u8::from(peer.clock_skew_ms.is_some()));
            out.put_i64_le(peer.clock_skew_ms.unwrap_or(0));
        }
        out.put_u8(u8::from(self.removed) | u8::from(self.disk_full) << 1);
        out.put_u64_le(self.feature_level);
        out.put_u64_le(self.feature_level_max);
        out.freeze()
    }

    fn numbers(&self) -> [u64; 19] {
        [
            self.node,
            role_number(self.role),
            u64::from(self.voter),
            self.term,
            self.leader,
            self.last_index,
            self.persisted_index,
            self.commit_index,
            self.applied_index,
            self.base_index,
            self.snapshot_index,
            self.lease_ms,
            self.pending,
            self.fsync_p50_us,
            self.fsync_p99_us,
            self.priority,
            u64::from(self.rests),
            self.damaged_entries,
            u64::from(self.state_lost),
        ]
    }

    /// The status in a peer's answer. Bytes after what this version knows are skipped: a newer node may say more.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<NodeStatus, String> {
        let version = bytes.try_get_u8().map_err(short)?;
        if version != VERSION {
            return Err(format!("status version {version}, this node speaks {VERSION}"));
        }
        let [version, peer_address, api_address] =
            [take_text(&mut bytes)?, take_text(&mut bytes)?, take_text(&mut bytes)?];
        let mut n = [0; 19];
        for number in &mut n {
            *number = take(&mut bytes)?;
        }
        let [node, role, voter, term, leader, last_index, persisted_index, commit_index, applied_index, ..] =
            n;
        let [.., base_index, snapshot_index, lease_ms, pending, fsync_p50_us, fsync_p99_us, _, _, _, _] = n;
        let [.., priority, rests, damaged_entries, state_lost] = n;
        let role = role_from_number(role).ok_or("an unknown role")?;
        let count = take(&mut bytes)?;
        if count > PEERS_LEN_MAX {
            return Err(format!("{count} peers, the limit is {PEERS_LEN_MAX}"));
        }
        let mut peers = (0..count).map(|_| take_peer(&mut bytes)).collect::<Result<Vec<_>, _>>()?;
        if !bytes.is_empty() {
            for peer in &mut peers {
                let known = bytes.try_get_u8().map_err(short)? != 0;
                let skew_ms = bytes.try_get_i64_le().map_err(short)?;
                peer.clock_skew_ms = known.then_some(skew_ms);
            }
        }
        let flags = bytes.try_get_u8().unwrap_or(0);
        let (mut feature_level, mut feature_level_max) = (0, 0);
        if !bytes.is_empty() {
            (feature_level, feature_level_max) = (take(&mut bytes)?, take(&mut bytes)?);
        }
        Ok(NodeStatus {
            node,
            version,
            peer_address,
            api_address,
            role,
            voter: voter != 0,
            removed: flags & 1 != 0,
            disk_full: flags & 2 != 0,
            term,
            leader,
            last_index,
            persisted_index,
            commit_index,
            applied_index,
            base_index,
            snapshot_index,
            lease_ms,
            pending,
            fsync_p50_us,
            fsync_p99_us,
            priority,
            rests: rests != 0,
            damaged_entries,
            state_lost: state_lost != 0,
            feature_level,
            feature_level_max,
            peers,
        })
    }
}

fn take_peer(bytes: &mut Bytes) -> Result<PeerStatus, String> {
    let [address, last_error] = [take_text(bytes)?, take_text(bytes)?];
    let mut n = [0; 6];
    for number in &mut n {
        *number = take(bytes)?;
    }
    let [node, connected, matched_index, lag_entries, send_failures, sent_bytes] = n;
    Ok(PeerStatus {
        node,
        address,
        connected: connected != 0,
        last_error,
        matched_index,
        lag_entries,
        send_failures,
        sent_bytes,
        clock_skew_ms: None,
    })
}

fn put_text(out: &mut BytesMut, text: &str) {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_u16_le(u16::try_from(end).expect("TEXT_BYTES_MAX fits 16 bits"));
    out.put_slice(&text.as_bytes()[..end]);
}

fn take_text(bytes: &mut Bytes) -> Result<String, String> {
    let len = usize::from(bytes.try_get_u16_le().map_err(short)?);
    if len > TEXT_BYTES_MAX || len > bytes.len() {
        return Err(format!("a text of {len} bytes in a status"));
    }
    String::from_utf8(bytes.split_to(len).to_vec()).map_err(|_| "a text that is not UTF-8".to_string())
}

fn take(bytes: &mut Bytes) -> Result<u64, String> {
    bytes.try_get_u64_le().map_err(short)
}

#[allow(clippy::needless_pass_by_value)] // The shape that map_err wants.
fn short(error: bytes::TryGetError) -> String {
    format!("a status that ends early: {error}")
}

#[cfg(test)]
mod tests {
    use super::{NodeStatus, PeerStatus};
    use quorate_core::status::Role;

    fn sample() -> NodeStatus {
        NodeStatus {
            node: 2,
            version: "0.1.0".into(),
            peer_address: "127.0.0.1:7491".into(),
            api_address: "http://127.0.0.1:7490".into(),
            role: Role::Leader,
            voter: true,
            removed: true,
            disk_full: true,
            term: 7,
            leader: 2,
            last_index: 100,
            persisted_index: 99,
            commit_index: 98,
            applied_index: 97,
            base_index: 3,
            snapshot_index: 5,
            lease_ms: 800,
            pending: 3,
            fsync_p50_us: 64,
            fsync_p99_us: 512,
            feature_level: 1,
            feature_level_max: 2,
            priority: 70,
            rests: true,
            damaged_entries: 4,
            state_lost: true,
            peers: vec![PeerStatus {
                node: 1,
                last_error: "connection refused".into(),
                clock_skew_ms: Some(-7),
                ..PeerStatus::default()
            }],
        }
    }

    #[test]
    fn a_status_survives_the_wire_and_a_newer_nodes_longer_one_is_understood() {
        let bytes = sample().encode();
        assert_eq!(NodeStatus::decode(bytes.clone()), Ok(sample()));
        let longer = [bytes.as_ref(), b"a field of the future"].concat();
        assert_eq!(NodeStatus::decode(longer.into()), Ok(sample()));
    }

    #[test]
    fn every_cut_of_a_status_is_an_error_and_no_panic() {
        let bytes = sample().encode();
        let with_flags = bytes.len() - 16;
        let without_flags = with_flags - 1;
        let without_clocks = without_flags - 9 * sample().peers.len();
        let older = [without_clocks, without_flags, with_flags];
        for len in (0..bytes.len()).filter(|len| !older.contains(len)) {
            assert!(NodeStatus::decode(bytes.slice(..len)).is_err(), "cut at {len}");
        }
        let older = NodeStatus::decode(bytes.slice(..without_clocks)).expect("an older node's status");
        assert_eq!(older.peers[0].clock_skew_ms, None);
    }
}
