//! Clusters that differ only by the names of their nodes, and how the explorer looks at one of them only.
//!
//! A renaming is a permutation of the nodes. For each part of a state (a node state, a message, a log, who led a term) there is
//! a fingerprint under each renaming, made once, by renaming the real node and taking its canonical bytes. The fingerprint of a
//! state under a renaming is the sum of those of its parts, so a step only takes away the parts that go and adds those that
//! come. The smallest of the sums stands for the state and for all that can be made of it by renaming.
//!
//! # Why nothing is missed
//!
//! Let p be a renaming. If a step leads from s to t, then p of the step leads from p(s) to p(t): the core compares names only
//! for equality and keeps them in sorted maps, whose order decides nothing but the order of messages that leave together,
//! and here they leave as a set. The bounds name none of the nodes that change their names, and each rule holds
//! in p(s) if it holds in s. So every state that can be reached from p(s) is a renaming of one that can be reached from
//! s, and exploring s is enough. A test steps renamed nodes beside the real ones; another one holds the states of a search with this
//! against those of a search without it.
//!
//! *Who is added later* has an id that is compared with others: each new one is higher than all before it. So only the voters of the
//! beginning change their names; what is asked of the ids is the highest of them, which is the same under every such p.
//!
//! *Who is chosen by name.* A leader that was removed hands over to whoever holds the most, and of two that hold as much to the one with
//! the lower name. There the core would do something else in p(s). So whatever a node does in such a step, it is tried under every p,
//! and all that comes of it may happen: then p(s) can do what s can. That is more than can happen in reality, and whom a leader chooses must
//! not matter for what is safe.

use quorate_core::types::NodeId;

use crate::explore::world::World;

/// The renamings of a cluster, the one that changes nothing first.
#[derive(Clone, Debug)]
pub struct Renamings(Vec<Vec<NodeId>>);

impl Renamings {
    /// All of them that leave the spares alone: as many as the voters of the beginning can be put in order.
    pub fn of(world: World) -> Renamings {
        let mut names = vec![Vec::new()];
        for node in world.voters() {
            // The new node goes behind all others first, so that the first renaming stays the one that changes nothing.
            let longer = |names: &Vec<NodeId>| {
                let mut names = names.clone();
                names.push(node);
                let last = names.len() - 1;
                (0..=last).rev().map(move |place| {
                    let mut names = names.clone();
                    names.swap(place, last);
                    names
                })
            };
            names = names.iter().flat_map(longer).collect();
        }
        let spares: Vec<NodeId> = world.ids().skip(usize::from(world.nodes)).collect();
        names.iter_mut().for_each(|names| names.extend(&spares));
        assert!(names[0].is_sorted(), "the first renaming changes nothing");
        Renamings(names)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: one changes nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What each renaming makes of a thing, by `print`, in order.
    pub fn prints(&self, mut print: impl FnMut(&dyn Fn(NodeId) -> NodeId) -> u64) -> Vec<u64> {
        (0..self.len()).map(|place| print(&|node| self.name(place, node))).collect()
    }

    /// What a node is called by the renaming at this place.
    pub fn name(&self, place: usize, node: NodeId) -> NodeId {
        self.0[place][usize::try_from(node.get() - 1).expect("ids are small here")]
    }

    /// Which node is called so by the renaming at this place.
    pub fn named(&self, place: usize, name: NodeId) -> NodeId {
        let node = self.0[place].iter().zip(1..).find(|(other, _)| **other == name);
        NodeId::new(node.expect("every name is given to a node").1)
    }
}

/// The fingerprints of all parts of one kind, by the number of the part.
#[derive(Clone, Default, Debug)]
pub struct Prints(Vec<u64>);

impl Prints {
    /// Those of the next part, one for each renaming.
    pub fn push(&mut self, prints: &[u64]) {
        self.0.extend_from_slice(prints);
    }

    /// How many fingerprints there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of a part to the sums.
    pub fn add(&self, part: usize, sums: &mut [u64]) {
        let prints = &self.0[part * sums.len()..][..sums.len()];
        sums.iter_mut().zip(prints).for_each(|(sum, print)| *sum = sum.wrapping_add(*print));
    }

    /// Takes those of a part off the sums.
    pub fn take(&self, part: usize, sums: &mut [u64]) {
        let prints = &self.0[part * sums.len()..][..sums.len()];
        sums.iter_mut().zip(prints).for_each(|(sum, print)| *sum = sum.wrapping_sub(*print));
    }
}
