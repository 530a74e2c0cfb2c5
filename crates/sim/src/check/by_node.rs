//! What the checks note of each node. A run has a handful of nodes, counted from 1, and something is looked up for each with every event:
//! the number of a node is its place.

use quorate_core::types::NodeId;

/// A value for each node of which something was noted.
#[derive(Debug)]
pub(super) struct ByNode<T>(Vec<Option<T>>);

impl<T> Default for ByNode<T> {
    fn default() -> ByNode<T> {
        ByNode(Vec::new())
    }
}

impl<T> ByNode<T> {
    /// What is noted of this node.
    pub(super) fn get(&self, node: &NodeId) -> Option<&T> {
        self.0.get(place(*node))?.as_ref()
    }

    /// What is noted of this node; nothing special if it was not met before.
    pub(super) fn of(&mut self, node: NodeId) -> &mut T
    where
        T: Default,
    {
        self.slot(node).get_or_insert_default()
    }

    /// Notes a value and gives the one before.
    pub(super) fn insert(&mut self, node: NodeId, value: T) -> Option<T> {
        self.slot(node).replace(value)
    }

    /// Forgets what was noted of this node, and gives it.
    pub(super) fn remove(&mut self, node: &NodeId) -> Option<T> {
        self.0.get_mut(place(*node))?.take()
    }

    /// All values.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    fn slot(&mut self, node: NodeId) -> &mut Option<T> {
        let place = place(node);
        if place >= self.0.len() {
            assert!(place < NODES_MAX, "the nodes of a run are counted from 1");
            self.0.resize_with(place + 1, || None);
        }
        &mut self.0[place]
    }
}

fn place(node: NodeId) -> usize {
    usize::try_from(node.get()).unwrap_or(usize::MAX)
}

/// No run has that many nodes.
const NODES_MAX: usize = 1 << 16;
