//! What the checks note of each node. A run has a handful of nodes, and something is looked up for each with every event: a list is
//! searched faster than a tree.

use quorate_core::types::NodeId;

/// A value for each node of which something was noted.
#[derive(Debug)]
pub(super) struct ByNode<T>(Vec<(NodeId, T)>);

impl<T> Default for ByNode<T> {
    fn default() -> ByNode<T> {
        ByNode(Vec::new())
    }
}

impl<T> ByNode<T> {
    /// What is noted of this node.
    pub(super) fn get(&self, node: &NodeId) -> Option<&T> {
        self.0.iter().find(|(noted, _)| noted == node).map(|(_, value)| value)
    }

    /// What is noted of this node; nothing special if it was not met before.
    pub(super) fn of(&mut self, node: NodeId) -> &mut T
    where
        T: Default,
    {
        let place = self.0.iter().position(|(noted, _)| *noted == node).unwrap_or_else(|| {
            self.0.push((node, T::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// Notes a value and gives the one before.
    pub(super) fn insert(&mut self, node: NodeId, value: T) -> Option<T> {
        match self.0.iter_mut().find(|(noted, _)| *noted == node) {
            Some((_, noted)) => Some(std::mem::replace(noted, value)),
            None => {
                self.0.push((node, value));
                None
            }
        }
    }

    /// Forgets what was noted of this node, and gives it.
    pub(super) fn remove(&mut self, node: &NodeId) -> Option<T> {
        let place = self.0.iter().position(|(noted, _)| noted == node)?;
        Some(self.0.swap_remove(place).1)
    }

    /// All values, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }
}
