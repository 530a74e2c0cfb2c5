//! Which memberships there are and which change leads from one to the next, as pure functions (thesis chapter 4).
//!
//! Voters change by joint consensus only (4.3), one at a time or many: first a membership of two voter sets that must both agree,
//! then the new set alone. Learners never count, so they come and go in one step. An id is given once: every new one is higher than
//! all before it, so that one number remembers all that were ever given.

use std::collections::BTreeMap;

use crate::entry::Membership;
use crate::types::NodeId;

/// A change that an operator may ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A new node receives the log.
    Add {
        /// Its id, higher than all that were ever given; without one the leader gives the next.
        node: Option<NodeId>,
        /// Where its peers reach it.
        address: String,
        /// Whether it becomes a voter by itself once it has caught up.
        voter: bool,
        /// The voter whose place it takes then.
        replaces: Option<NodeId>,
    },
    /// A learner becomes a voter once it has caught up.
    Promote {
        /// Which one.
        node: NodeId,
    },
    /// A node goes for good.
    Remove {
        /// Which one.
        node: NodeId,
    },
}

/// Why a change is not made. Nothing happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangeRefusal {
    /// Another node leads, or nobody does that is known.
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// The leader has not committed an entry of its own term yet, or is handing its leadership over: in a moment it is possible.
    NotYet,
    /// The change before this one is not complete.
    UnderWay,
    /// There is no node 0.
    IdZero,
    /// The id was given before, or is below one that was.
    IdUsed {
        /// The id.
        node: NodeId,
        /// The lowest that is free.
        next: NodeId,
    },
    /// The node is a member already, at another address.
    AlreadyMember(NodeId),
    /// Another member has this address.
    AddressUsed {
        /// Which one.
        by: NodeId,
    },
    /// The address is empty or longer than [`ADDRESS_BYTES_MAX`].
    AddressInvalid,
    /// The node is no member, or no voter where one is meant.
    NotMember(NodeId),
    /// It is the last voter: nobody would be left.
    LastVoter,
    /// There would be more than [`MEMBERS_COUNT_MAX`] members.
    TooMany,
    /// The voters after the change could not decide anything: these of them are not heard.
    NoQuorum {
        /// The voters that are not heard.
        silent: Vec<NodeId>,
    },
}

impl std::fmt::Display for ChangeRefusal {
    /// One sentence that says why not, and what is possible.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChangeRefusal::NotLeader { .. } => f.write_str("this node does not lead"),
            ChangeRefusal::NotYet => {
                f.write_str("the leader is new, or is handing over: in a moment it is possible")
            }
            ChangeRefusal::UnderWay => {
                f.write_str("the change before this one is not complete yet: one change at a time")
            }
            ChangeRefusal::IdZero => f.write_str("ids are numbers from 1"),
            ChangeRefusal::IdUsed { node, next } => write!(
                f,
                "the id {} was given before or is below one that was, and ids are never reused: the next free one is {}",
                node.get(),
                next.get()
            ),
            ChangeRefusal::AlreadyMember(node) => {
                write!(
                    f,
                    "node {} is a member already, at another address: remove it first, then add a new id",
                    node.get()
                )
            }
            ChangeRefusal::AddressUsed { by } => {
                write!(f, "node {} has this address: remove it first", by.get())
            }
            ChangeRefusal::AddressInvalid => {
                write!(f, "an address is host:port of 1 to {ADDRESS_BYTES_MAX} bytes")
            }
            ChangeRefusal::NotMember(node) => {
                write!(f, "node {} is no member, or no voter where one is meant", node.get())
            }
            ChangeRefusal::LastVoter => {
                f.write_str("it is the last voter: nobody would be left to decide anything")
            }
            ChangeRefusal::TooMany => write!(f, "a cluster has {MEMBERS_COUNT_MAX} members at most"),
            ChangeRefusal::NoQuorum { silent } => {
                f.write_str(
                    "the voters after this change could decide nothing, because these do not answer:",
                )?;
                silent.iter().try_for_each(|node| write!(f, " {}", node.get()))?;
                f.write_str("; bring them back or remove them first")
            }
        }
    }
}

impl Membership {
    /// Whether a change of voters is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// The highest id that was ever given.
    pub fn id_last(&self) -> u64 {
        self.members().last().map_or(0, |node| node.get()).max(self.id_given)
    }

    /// The membership that a change leads to first. `None` if all is as it is wanted already.
    ///
    /// # Errors
    /// If the change is not one that this membership allows.
    pub fn after(&self, change: &Change) -> Result<Option<Membership>, ChangeRefusal> {
        if self.is_joint() {
            return Err(ChangeRefusal::UnderWay);
        }
        match change {
            Change::Add { node, address, voter, replaces } => {
                self.after_add(*node, address, *voter || replaces.is_some(), *replaces)
            }
            Change::Promote { node } if self.voters.contains(node) => Ok(None),
            Change::Promote { node } if !self.learners.contains(node) => Err(ChangeRefusal::NotMember(*node)),
            Change::Promote { node } if self.promotions.contains_key(node) => Ok(None),
            Change::Promote { node } => {
                let mut next = self.clone();
                next.promotions.insert(*node, None);
                Ok(Some(next))
            }
            Change::Remove { node } => self.after_remove(*node).map(Some),
        }
    }

    fn after_add(
        &self,
        node: Option<NodeId>,
        address: &str,
        promote: bool,
        replaces: Option<NodeId>,
    ) -> Result<Option<Membership>, ChangeRefusal> {
        let lowest = NodeId::new(self.id_last() + 1);
        let node = node.unwrap_or(lowest);
        if address.is_empty() || address.len() > ADDRESS_BYTES_MAX {
            return Err(ChangeRefusal::AddressInvalid);
        }
        if self.members().contains(&node) {
            let same = self.addresses.get(&node).is_some_and(|known| known == address);
            return if same { Ok(None) } else { Err(ChangeRefusal::AlreadyMember(node)) };
        }
        if node < lowest {
            return Err(ChangeRefusal::IdUsed { node, next: lowest });
        }
        if let Some((by, _)) = self.addresses.iter().find(|(_, known)| *known == address) {
            return Err(ChangeRefusal::AddressUsed { by: *by });
        }
        if let Some(replaced) = replaces.filter(|replaced| !self.voters.contains(replaced)) {
            return Err(ChangeRefusal::NotMember(replaced));
        }
        if self.members().len() >= MEMBERS_COUNT_MAX {
            return Err(ChangeRefusal::TooMany);
        }
        let mut next = self.clone();
        next.learners.insert(node);
        if promote {
            next.promotions.insert(node, replaces);
        }
        next.addresses.insert(node, address.to_owned());
        next.id_given = node.get();
        Ok(Some(next))
    }

    fn after_remove(&self, node: NodeId) -> Result<Membership, ChangeRefusal> {
        let mut next = self.clone();
        next.id_given = self.id_last();
        if next.learners.remove(&node) {
            next.drop_strangers();
            return Ok(next);
        }
        if !next.voters.remove(&node) {
            return Err(ChangeRefusal::NotMember(node));
        }
        if next.voters.is_empty() {
            return Err(ChangeRefusal::LastVoter);
        }
        next.voters_outgoing.clone_from(&self.voters);
        Ok(next)
    }

    /// The joint membership in which a learner becomes a voter, and the one that it replaces goes.
    ///
    /// # Panics
    /// If the node is no learner that waits for this, or a change is under way.
    #[must_use]
    pub fn promoted(&self, node: NodeId) -> Membership {
        assert!(!self.is_joint(), "one change at a time");
        let mut next = self.clone();
        let replaced = next.promotions.remove(&node).expect("only who waits for it is promoted");
        assert!(next.learners.remove(&node), "only a learner is promoted");
        next.voters_outgoing.clone_from(&self.voters);
        next.voters.insert(node);
        if let Some(replaced) = replaced {
            next.voters.remove(&replaced);
        }
        next.id_given = self.id_last();
        next
    }

    /// The membership that a joint one leads to.
    #[must_use]
    pub fn left(&self) -> Membership {
        let mut next = self.clone();
        next.id_given = self.id_last();
        next.voters_outgoing.clear();
        next.drop_strangers();
        next
    }

    /// Forgets all that is said of nodes that are no members any more.
    fn drop_strangers(&mut self) {
        let members = self.members();
        self.addresses.retain(|node, _| members.contains(node));
        let (learners, voters) = (&self.learners, &self.voters);
        self.promotions.retain(|node, _| learners.contains(node));
        for replaced in self.promotions.values_mut() {
            *replaced = replaced.filter(|node| voters.contains(node));
        }
    }

    /// Adds addresses of members for which none is known.
    #[must_use]
    pub fn with_addresses(mut self, known: &BTreeMap<NodeId, String>) -> Membership {
        for node in self.members() {
            if let Some(address) = known.get(&node).filter(|address| address.len() <= ADDRESS_BYTES_MAX) {
                self.addresses.entry(node).or_insert_with(|| address.clone());
            }
        }
        self
    }

    /// Whether all parts fit together.
    pub(crate) fn is_sound(&self) -> bool {
        let is_learner = |node: &NodeId| self.learners.contains(node);
        let members = self.members();
        !self.voters.is_empty()
            && self.learners.is_disjoint(&self.voters)
            && self.learners.is_disjoint(&self.voters_outgoing)
            && self.promotions.keys().all(is_learner)
            && self.promotions.values().flatten().all(|node| self.is_voter(*node))
            && self.addresses.keys().all(|node| members.contains(node))
    }

    /// The same in which who was removed by the newest change still counts: a mistake, made only to prove the checks.
    pub(crate) fn counting_removed(&self, before: &Membership) -> Membership {
        let mut counted = self.clone();
        counted.voters.extend(before.voters_outgoing.iter().chain(&before.voters));
        counted
    }
}

/// The longest address of a node, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 255;
/// The most members that changes lead to: each heartbeat and each entry goes to all of them.
pub const MEMBERS_COUNT_MAX: usize = 31;
