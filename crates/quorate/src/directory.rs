//! Where the other nodes are: what the settings say, what the membership says, and what peers have said of nodes that this one has
//! not heard of yet. A node that joins begins with nothing: whoever dials it first tells it where all members are.

use std::collections::BTreeMap;

use quorate_core::entry::Membership;
use quorate_core::membership::{ADDRESS_BYTES_MAX, MEMBERS_COUNT_MAX};
use quorate_core::types::NodeId;

/// The addresses that a node knows.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// This node.
    node: Option<NodeId>,
    /// What the settings of this node say.
    settings: BTreeMap<NodeId, String>,
    /// What peers have said of nodes with newer ids than this node's log knows of.
    introduced: BTreeMap<NodeId, String>,
}

impl Directory {
    /// With the addresses of the settings.
    pub(crate) fn new(node: NodeId, settings: BTreeMap<NodeId, String>) -> Directory {
        Directory { node: Some(node), settings, introduced: BTreeMap::new() }
    }

    /// Who is to be talked to, and where: the other members, and nodes that are newer than all that the membership knows of.
    pub(crate) fn others(&self, membership: &Membership) -> BTreeMap<NodeId, String> {
        let newer = self.introduced.keys().copied().filter(|node| node.get() > membership.id_last());
        let all = membership.members().into_iter().chain(newer).filter(|node| Some(*node) != self.node);
        all.filter_map(|node| Some((node, self.address(membership, node)?.to_owned()))).collect()
    }

    /// What a peer should know: where all members are.
    pub(crate) fn introduction(&self, membership: &Membership) -> Vec<(NodeId, String)> {
        let members = membership.members().into_iter();
        members.filter_map(|node| Some((node, self.address(membership, node)?.to_owned()))).collect()
    }

    /// A peer says where nodes are. Only those are of interest that this node's log does not know of. Returns whether that is news.
    pub(crate) fn on_introduction(
        &mut self,
        membership: &Membership,
        members: Vec<(NodeId, String)>,
    ) -> bool {
        self.introduced.retain(|node, _| node.get() > membership.id_last());
        let mut news = false;
        for (node, address) in members {
            let is_newer = node.get() > membership.id_last() && Some(node) != self.node;
            let fits = self.introduced.len() < MEMBERS_COUNT_MAX
                && !address.is_empty()
                && address.len() <= ADDRESS_BYTES_MAX;
            if is_newer && fits && !self.introduced.contains_key(&node) {
                self.introduced.insert(node, address);
                news = true;
            }
        }
        assert!(self.introduced.len() <= MEMBERS_COUNT_MAX, "no more are kept than a cluster has");
        news
    }

    /// The settings come first: they can be corrected by hand.
    fn address<'a>(&'a self, membership: &'a Membership, node: NodeId) -> Option<&'a str> {
        let known = self.settings.get(&node).or_else(|| membership.addresses.get(&node));
        known.or_else(|| self.introduced.get(&node)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::entry::Membership;
    use quorate_core::types::NodeId;

    use super::Directory;

    fn id(number: u64) -> NodeId {
        NodeId::new(number)
    }

    #[test]
    fn a_node_that_joins_learns_from_whoever_dials_it_and_settings_come_first() {
        let mut membership = Membership::of_voters([id(1), id(2)]);
        let settings = [(id(1), "one:1".to_owned()), (id(2), "two:1".to_owned())];
        let old = Directory::new(id(1), settings.into());
        membership.learners.insert(id(3));
        membership.addresses =
            [(id(2), "elsewhere:1".to_owned()), (id(3), "three:1".to_owned())].into_iter().collect();
        let others = old.others(&membership);
        assert_eq!(others.into_values().collect::<Vec<_>>(), ["two:1", "three:1"]);

        let mut joiner = Directory::new(id(3), [].into());
        let nothing = Membership::default();
        assert!(joiner.others(&nothing).is_empty());
        assert!(joiner.on_introduction(&nothing, old.introduction(&membership)));
        assert!(!joiner.on_introduction(&nothing, old.introduction(&membership)), "told twice, news once");
        assert_eq!(joiner.others(&nothing).len(), 2);
        assert_eq!(joiner.others(&membership).len(), 2, "also once the log knows them");
        let many = (4..100).map(|number| (id(number), format!("n{number}:1"))).collect();
        joiner.on_introduction(&membership, many);
        assert!(joiner.others(&membership).len() <= 33, "bounded, whoever says what");
    }
}
