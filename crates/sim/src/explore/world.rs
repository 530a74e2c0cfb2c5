//! What is the same for all nodes and never changes: who there is, how they talk, and what operators may ask for.

use quorate_core::entry::Membership;
use quorate_core::membership::Change;
use quorate_core::state::Name;
use quorate_core::types::NodeId;

/// What is the same for all nodes and never changes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct World {
    /// The voters of the beginning, with the ids from 1 on.
    pub nodes: u8,
    /// Nodes with empty logs and the ids behind those of the voters. They wait to be added.
    pub spares: u8,
    /// What operators may ask for.
    pub changes: Changes,
    /// Whether what was sent stays in flight for ever: it may come never, at any time, and any number of times. Then one copy
    /// of a message says all that two would.
    pub messages_stay: bool,
    /// Whether a message carries one entry at most.
    pub one_entry: bool,
    /// Whether voters give candidates what their logs lack.
    pub donation: bool,
}

impl World {
    /// So many voters, whom nothing happens to but what may happen to any.
    pub const fn of_voters(nodes: u8) -> World {
        World {
            nodes,
            spares: 0,
            changes: Changes::NONE,
            messages_stay: false,
            one_entry: false,
            donation: false,
        }
    }

    /// All nodes, those that wait to be added last.
    pub fn ids(self) -> impl Iterator<Item = NodeId> {
        (1..=self.nodes + self.spares).map(|id| NodeId::new(u64::from(id)))
    }

    /// The voters of the beginning.
    pub fn voters(self) -> impl Iterator<Item = NodeId> {
        self.ids().take(usize::from(self.nodes))
    }

    /// Which changes may be asked for where `members` are in force.
    pub fn wishes(self, members: &Membership, wishes: &mut Vec<Wish>) {
        wishes.clear();
        let Changes { learner, voter, replace, promote, remove } = self.changes;
        let has_spare = members.id_last() < u64::from(self.nodes + self.spares);
        wishes.extend((learner && has_spare).then_some(Wish::Learner));
        wishes.extend((voter && has_spare).then_some(Wish::Voter));
        if replace && has_spare {
            wishes.extend(members.voters.iter().map(|node| Wish::Replace(*node)));
        }
        if promote {
            let waits = |node: &&NodeId| !members.promotions.contains_key(node);
            wishes.extend(members.learners.iter().filter(waits).map(|node| Wish::Promote(*node)));
        }
        if remove {
            wishes.extend(members.members().into_iter().map(Wish::Remove));
        }
    }
}

/// Which changes of the members operators may ask for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// A new node that only learns.
    pub learner: bool,
    /// A new node that becomes a voter once it has caught up.
    pub voter: bool,
    /// The same, in the place of another.
    pub replace: bool,
    /// A learner that becomes a voter.
    pub promote: bool,
    /// A member that goes.
    pub remove: bool,
}

impl Changes {
    /// Nobody asks for anything.
    pub const NONE: Changes =
        Changes { learner: false, voter: false, replace: false, promote: false, remove: false };
    /// Any of them.
    pub const ALL: Changes =
        Changes { learner: true, voter: true, replace: true, promote: true, remove: true };

    /// Whether the members may change at all.
    pub fn any(self) -> bool {
        self != Changes::NONE
    }
}

/// A change that is asked for. New nodes get the next id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// A new node learns.
    Learner,
    /// A new node learns, and becomes a voter.
    Voter,
    /// A new node takes the place of this one.
    Replace(NodeId),
    /// This learner becomes a voter.
    Promote(NodeId),
    /// This member goes.
    Remove(NodeId),
}

impl Wish {
    /// The same under other names.
    #[must_use]
    pub fn renamed(self, name: Name<'_>) -> Wish {
        match self {
            Wish::Learner | Wish::Voter => self,
            Wish::Replace(node) => Wish::Replace(name(node)),
            Wish::Promote(node) => Wish::Promote(name(node)),
            Wish::Remove(node) => Wish::Remove(name(node)),
        }
    }

    /// What is asked of a leader for whom `members` are in force.
    pub fn change(self, members: &Membership) -> Change {
        let add = |voter, replaces| Change::Add {
            node: None,
            address: (members.id_last() + 1).to_string(),
            voter,
            replaces,
        };
        match self {
            Wish::Learner => add(false, None),
            Wish::Voter => add(true, None),
            Wish::Replace(node) => add(true, Some(node)),
            Wish::Promote(node) => Change::Promote { node },
            Wish::Remove(node) => Change::Remove { node },
        }
    }

    /// A number below 2^16.
    pub fn code(self) -> u32 {
        let (kind, node) = match self {
            Wish::Learner => (0, 0),
            Wish::Voter => (1, 0),
            Wish::Replace(node) => (2, node.get()),
            Wish::Promote(node) => (3, node.get()),
            Wish::Remove(node) => (4, node.get()),
        };
        kind << 8 | u32::from(u8::try_from(node).expect("ids are small here"))
    }

    /// The wish with this number.
    pub fn of_code(code: u32) -> Wish {
        let [node, kind, ..] = code.to_le_bytes();
        let node = || NodeId::new(u64::from(node));
        match kind {
            0 => Wish::Learner,
            1 => Wish::Voter,
            2 => Wish::Replace(node()),
            3 => Wish::Promote(node()),
            4 => Wish::Remove(node()),
            _ => unreachable!("no other codes are made"),
        }
    }
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wish::Learner => write!(f, "a new learner"),
            Wish::Voter => write!(f, "a new voter"),
            Wish::Replace(node) => write!(f, "a new voter in the place of {node}"),
            Wish::Promote(node) => write!(f, "that {node} become a voter"),
            Wish::Remove(node) => write!(f, "that {node} go"),
        }
    }
}
