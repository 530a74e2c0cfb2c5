//! The doors for operators: who leads, and who belongs to the cluster. Any node may be asked.

use quorate_core::membership::{Change, ChangeRefusal};
use quorate_core::status::Role;
use quorate_core::types::NodeId;
use quorate_replica::cluster::{ClusterDone, ClusterError, ClusterRefusal, ClusterRequest};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::mail::{ClusterMail, Mail};
use crate::node::Node;

impl<S> Node<S> {
    /// Lets another node lead: `to`, or whoever is most likely to take over quickly. Any node may be asked. Returns who leads
    /// then, which may be a third one if others stood for election at the same time. Proposals that come meanwhile wait.
    ///
    /// # Errors
    /// Refused when it cannot be, and when the other has not taken over within an election timeout: then the old leader goes on.
    pub async fn transfer_leadership(&self, to: Option<u64>) -> Result<u64, ClusterError> {
        let to = match to.map(NodeId::checked) {
            // There is no node 0, so nobody can be asked to make it lead.
            Some(None) => return Err(ClusterError::Refused(ClusterRefusal::NobodyElse)),
            Some(Some(node)) => Some(node),
            None => None,
        };
        match self.ask_cluster(ClusterRequest::Transfer { to }).await? {
            ClusterDone::Leads(leader) => Ok(leader.get()),
            // Not an answer to this question: a leader of another version.
            ClusterDone::Members { .. } => Err(ClusterError::TimedOut),
        }
    }

    /// Adds a node to the cluster: it will be reached at `address`, under the id `id` or, without one, the next that is free. It
    /// receives the log, and becomes a voter by itself once it has caught up if `voter` says so; it can take the place of the voter
    /// `replaces` then. Returns its id once the change is committed. Start it with [`NodeBuilder::joins`](crate::NodeBuilder::joins) on an empty directory.
    ///
    /// # Errors
    /// Refused with the reason when it cannot be. After [`Fate::Unknown`](crate::Fate) look at the members before asking again.
    pub async fn add_member(
        &self,
        address: impl Into<String>,
        id: Option<u64>,
        voter: bool,
        replaces: Option<u64>,
    ) -> Result<u64, ClusterError> {
        let node = id.map(known_id).transpose()?;
        let replaces = replaces.map(known_id).transpose()?;
        let add = Change::Add { node, address: address.into(), voter, replaces };
        self.add(ClusterRequest::Change(add)).await
    }

    /// Adds a node as [`Node::add_member`] does, and says what its binary understands: the leader refuses it if commands mean more than
    /// that already, for such a node could only stop.
    ///
    /// # Errors
    /// As [`Node::add_member`].
    pub async fn join_member(
        &self,
        address: impl Into<String>,
        id: Option<u64>,
        voter: bool,
        replaces: Option<u64>,
        feature_level_max: u64,
    ) -> Result<u64, ClusterError> {
        let node = id.map(known_id).transpose()?;
        let replaces = replaces.map(known_id).transpose()?;
        let change = Change::Add { node, address: address.into(), voter, replaces };
        let level_max = u16::try_from(feature_level_max).unwrap_or(u16::MAX);
        self.add(ClusterRequest::Join { change, level_max }).await
    }

    async fn add(&self, request: ClusterRequest) -> Result<u64, ClusterError> {
        match self.ask_cluster(request).await? {
            ClusterDone::Members { node: Some(node) } => Ok(node.get()),
            // Not an answer to this question: a leader of another version.
            ClusterDone::Members { node: None } | ClusterDone::Leads(_) => Err(ClusterError::TimedOut),
        }
    }

    /// Lets a learner become a voter as soon as it has caught up. Returns when that is noted by a quorum.
    ///
    /// # Errors
    /// As [`Node::add_member`].
    pub async fn promote_member(&self, id: u64) -> Result<(), ClusterError> {
        let node = known_id(id)?;
        self.ask_cluster(ClusterRequest::Change(Change::Promote { node })).await.map(|_| ())
    }

    /// Removes a node for good; its id is never given again. Returns when its removal is committed: from then on it may be stopped, and its
    /// data deleted. A leader that is removed hands over first.
    ///
    /// # Errors
    /// As [`Node::add_member`].
    pub async fn remove_member(&self, id: u64) -> Result<(), ClusterError> {
        let node = known_id(id)?;
        self.ask_cluster(ClusterRequest::Change(Change::Remove { node })).await.map(|_| ())
    }

    async fn ask_cluster(&self, request: ClusterRequest) -> Result<ClusterDone, ClusterError> {
        let (reply, answer) = oneshot::channel();
        match self.inner.inbox.try_send(Mail::Cluster(ClusterMail { request, reply })) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(ClusterError::Overloaded),
            Err(TrySendError::Closed(_)) => return Err(ClusterError::Stopped { sent: false }),
        }
        // The other end is dropped unanswered only when the node ends.
        answer.await.unwrap_or(Err(ClusterError::Stopped { sent: true }))
    }

    /// Lets another node lead if this one does, so that the cluster is served without a pause when this node stops. It
    /// takes one election timeout at most, whatever comes of it; without other nodes nothing is done.
    pub async fn hand_over(&self) {
        let status = self.status();
        if status.role != Role::Leader {
            return;
        }
        let handed = tokio::time::timeout(self.inner.config.election_timeout, self.transfer_leadership(None));
        match handed.await {
            Ok(Ok(leader)) => tracing::info!(node = status.node, leader, "handed its leadership over"),
            Ok(Err(error)) => tracing::info!(node = status.node, %error, "stops as the leader"),
            Err(_) => tracing::info!(node = status.node, "stops as the leader: nobody took over in time"),
        }
    }
}

/// There is no node 0, so it is no member either.
fn known_id(id: u64) -> Result<NodeId, ClusterError> {
    NodeId::checked(id).ok_or(ClusterError::Refused(ClusterRefusal::Change(ChangeRefusal::IdZero)))
}
