//! Who owns a data folder (file NODE), and which stores of its peers a node has met (file PEERS). A node whose disk is gone has
//! forgotten its votes: under its old id it could vote twice. So every store has a random incarnation, and peers remember it.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use quorate_core::types::{ClusterId, NodeId};

use crate::data_dir::DataDir;
use crate::disk::Disk;
use crate::error::LogError;
use crate::given_up::GivenUp;
use crate::open::MANIFEST_FILE;
use crate::segment::SEGMENT_DIR;
use crate::small_file;

/// Whose folder the caller believes it to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
}

/// The durable identity of one node: cluster, node id, and the random incarnation of this very store.
#[derive(Debug)]
pub struct Identity<D: Disk> {
    disk: D,
    wanted: Wanted,
    incarnation: u128,
    /// Invariant: equal to what the file PEERS holds.
    peers: BTreeMap<NodeId, u128>,
}

impl<D: Disk + Clone> Identity<D> {
    /// Reads the identity in the folder, or gives it one with `fresh_incarnation` (128 random bits). Also says whether it was
    /// created now.
    ///
    /// # Errors
    /// [`LogError::OtherCluster`] and [`LogError::OtherNode`] if the folder is not the wanted one's; [`LogError::GivenUp`]; [`LogError::Corrupt`] if one of the
    /// two files is damaged.
    pub fn open_or_create(
        dir: &DataDir<D>,
        wanted: Wanted,
        fresh_incarnation: u128,
    ) -> Result<(Identity<D>, bool), LogError> {
        let disk = dir.disk().clone();
        let (incarnation, created) = match small_file::read(&disk, NODE_FILE, NODE_MAGIC)? {
            Some(body) => {
                let incarnation = read_node(&body, wanted)?;
                if let Some(GivenUp { cluster, .. }) = GivenUp::read(&disk)? {
                    return Err(LogError::GivenUp { by: cluster });
                }
                (incarnation, false)
            }
            None => {
                refuse_without_node(&disk)?;
                name_store(&disk, wanted, fresh_incarnation)?;
                (fresh_incarnation, true)
            }
        };
        let peers = match small_file::read(&disk, PEERS_FILE, PEERS_MAGIC)? {
            Some(body) => read_peers(&body, wanted)?,
            None => {
                let what = "PEERS is missing: which stores of its peers this node has met is lost";
                return Err(LogError::corrupt(PEERS_FILE, 0, what));
            }
        };
        if created {
            assert!(incarnation == fresh_incarnation, "a new store has the incarnation that it was given");
        }
        Ok((Identity { disk, wanted, incarnation, peers }, created))
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.wanted.cluster
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.wanted.node
    }

    /// The random name of this store, shown to peers in the handshake.
    pub fn incarnation(&self) -> u128 {
        self.incarnation
    }

    /// The incarnation under which this node knows a peer, if it ever met it.
    pub fn known_incarnation(&self, node: NodeId) -> Option<u128> {
        self.peers.get(&node).copied()
    }

    /// Remembers durably which store stands behind a peer's id. Writes only when the peer is new.
    ///
    /// # Errors
    /// [`LogError::OtherIncarnation`] if another store is known under this id: then nothing changes. [`LogError::TooManyPeers`] when
    /// [`PEERS_LEN_MAX`] are known. [`LogError::Io`].
    pub fn remember(&mut self, node: NodeId, incarnation: u128) -> Result<(), LogError> {
        match self.known_incarnation(node) {
            Some(known) if known == incarnation => return Ok(()),
            Some(known) => return Err(LogError::OtherIncarnation { node, known, shown: incarnation }),
            None => {}
        }
        if self.peers.len() >= PEERS_LEN_MAX {
            return Err(LogError::TooManyPeers { max: PEERS_LEN_MAX });
        }
        let mut peers = self.peers.clone();
        peers.insert(node, incarnation);
        let mut body = owner(self.wanted);
        for (node, incarnation) in &peers {
            body.put_u64_le(node.get());
            body.put_u128_le(*incarnation);
        }
        small_file::replace(&self.disk, PEERS_FILE, PEERS_MAGIC, &body)?;
        self.peers = peers;
        assert!(self.known_incarnation(node) == Some(incarnation), "what was remembered is known");
        Ok(())
    }
}

/// Writes durably whose store this is: that it has met nobody yet, and then its name. So a named store always has both files.
pub(crate) fn name_store<D: Disk>(disk: &D, wanted: Wanted, incarnation: u128) -> Result<(), LogError> {
    let mut body = owner(wanted);
    small_file::replace(disk, PEERS_FILE, PEERS_MAGIC, &body)?;
    body.put_u128_le(incarnation);
    small_file::replace(disk, NODE_FILE, NODE_MAGIC, &body)
}

/// Whose folder this is, as its file NODE says; nobody's if there is none. Takes no lock: it is the first question about a folder.
///
/// # Errors
/// If the file is damaged or cannot be read.
pub fn owner_of<D: Disk + Clone>(disk: &D) -> Result<Option<Wanted>, LogError> {
    let Some(body) = small_file::read(disk, NODE_FILE, NODE_MAGIC)? else { return Ok(None) };
    let mut body = body.as_slice();
    if body.len() < OWNER_LEN {
        return Err(LogError::corrupt(NODE_FILE, 0, "the file is too short"));
    }
    let mut cluster = ClusterId([0; 16]);
    body.copy_to_slice(&mut cluster.0);
    let node = NodeId::checked(body.get_u64_le());
    let node = node.ok_or_else(|| LogError::corrupt(NODE_FILE, 0, "node id zero"))?;
    Ok(Some(Wanted { cluster, node }))
}

/// NODE is durable before a log is made or a peer is met: a log or peers without it are those of a store whose name is lost. Under a new
/// name its peers would shut it out, or take it for another store.
fn refuse_without_node<D: Disk>(disk: &D) -> Result<(), LogError> {
    let names = disk.list("").map_err(|error| LogError::io("cannot list", "the data directory", error))?;
    let segments = disk.list(SEGMENT_DIR).map_err(|error| LogError::io("cannot list", SEGMENT_DIR, error))?;
    let met = has_met_peers(disk)?;
    let left = names.into_iter().find(|name| name == MANIFEST_FILE || (met && name == PEERS_FILE));
    let left = left.or_else(|| segments.into_iter().next().map(|name| format!("{SEGMENT_DIR}/{name}")));
    let Some(left) = left else { return Ok(()) };
    let what = format!(
        "NODE is missing but a log is here ({left}): put the file back; a node whose data is lost comes back under a new id only"
    );
    Err(LogError::corrupt(NODE_FILE, 0, what))
}

/// Whether this node has met a peer. It meets them only after its log was opened: a folder whose node has, and without a log, is that of a
/// node which has lost its votes and entries, and not of a new one.
pub(crate) fn has_met_peers<D: Disk>(disk: &D) -> Result<bool, LogError> {
    Ok(peers_body(disk)?.is_some_and(|peers| !peers.is_empty()))
}

/// The peers in the file PEERS as they stand there, whoever owns it; none if there is no such file.
pub(crate) fn peers_body<D: Disk>(disk: &D) -> Result<Option<Vec<u8>>, LogError> {
    let Some(mut body) = small_file::read(disk, PEERS_FILE, PEERS_MAGIC)? else { return Ok(None) };
    if body.len() < OWNER_LEN {
        return Err(LogError::corrupt(PEERS_FILE, 0, "the file is too short"));
    }
    Ok(Some(body.split_off(OWNER_LEN)))
}

/// Refuses a file PEERS that lacks one of these peers, or names another store for it: then it is an older copy of what was here.
pub(crate) fn refuse_fewer_peers<D: Disk>(disk: &D, known: &[u8]) -> Result<(), LogError> {
    let found = peers_body(disk)?.unwrap_or_default();
    let missing = known.chunks(PEER_LEN).find(|peer| found.chunks(PEER_LEN).all(|other| other != *peer));
    if missing.is_some() {
        let what = "the file does not name all peers that this node had met when it was stopped: it is an older copy";
        return Err(LogError::corrupt(PEERS_FILE, 0, what));
    }
    Ok(())
}

/// What both files begin with.
fn owner(wanted: Wanted) -> Vec<u8> {
    let mut body = wanted.cluster.0.to_vec();
    body.put_u64_le(wanted.node.get());
    body
}

/// Reads the owner of a file off the front of its body and compares it with the wanted one.
fn check_owner(file: &str, body: &mut &[u8], wanted: Wanted) -> Result<(), LogError> {
    if body.len() < OWNER_LEN {
        return Err(LogError::corrupt(file, 0, "the file is too short"));
    }
    let mut found = ClusterId([0; 16]);
    body.copy_to_slice(&mut found.0);
    let node =
        NodeId::checked(body.get_u64_le()).ok_or_else(|| LogError::corrupt(file, 0, "node id zero"))?;
    if found != wanted.cluster {
        return Err(LogError::OtherCluster { file: file.to_owned(), found, wanted: wanted.cluster });
    }
    if node != wanted.node {
        return Err(LogError::OtherNode { found: node, wanted: wanted.node });
    }
    Ok(())
}

fn read_node(mut body: &[u8], wanted: Wanted) -> Result<u128, LogError> {
    check_owner(NODE_FILE, &mut body, wanted)?;
    match <[u8; 16]>::try_from(body) {
        Ok(bytes) => Ok(u128::from_le_bytes(bytes)),
        Err(_) => Err(LogError::corrupt(NODE_FILE, 0, "the file has another length than an identity")),
    }
}

fn read_peers(mut body: &[u8], wanted: Wanted) -> Result<BTreeMap<NodeId, u128>, LogError> {
    check_owner(PEERS_FILE, &mut body, wanted)?;
    let mut peers = BTreeMap::new();
    for mut peer in body.chunks(PEER_LEN) {
        if peer.len() < PEER_LEN || peers.len() >= PEERS_LEN_MAX {
            return Err(LogError::corrupt(PEERS_FILE, 0, "the file has another length than a list of peers"));
        }
        let node = NodeId::checked(peer.get_u64_le())
            .ok_or_else(|| LogError::corrupt(PEERS_FILE, 0, "node id zero"))?;
        peers.insert(node, peer.get_u128_le());
    }
    Ok(peers)
}

/// How many peers a node remembers at most, over its whole life.
pub const PEERS_LEN_MAX: usize = 4096;
pub(crate) const NODE_FILE: &str = "NODE";
const NODE_MAGIC: [u8; 8] = *b"QRTENOD\n";
pub(crate) const PEERS_FILE: &str = "PEERS";
const PEERS_MAGIC: [u8; 8] = *b"QRTEPEE\n";
const OWNER_LEN: usize = 24;
pub(crate) const PEER_LEN: usize = 24;
