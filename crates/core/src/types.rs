//! The small vocabulary of the protocol: ids, terms and indices as types that cannot be mixed up or wrapped.

use std::fmt;

use crate::planted::{self, Bug};

/// A node of the cluster. Given once by the cluster and never reused; zero is no node.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// The id with this number.
    ///
    /// # Panics
    /// If `number` is zero. What comes from the wire or from a user goes through [`NodeId::checked`].
    pub const fn new(number: u64) -> NodeId {
        assert!(number != 0, "a node id is never zero");
        NodeId(number)
    }

    /// The id with this number, or `None` for zero.
    pub const fn checked(number: u64) -> Option<NodeId> {
        if number == 0 { None } else { Some(NodeId(number)) }
    }

    /// The number of this id.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Raft's logical clock (thesis 3.3). Term 0 belongs to nobody: only the bootstrap entry carries it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

impl Term {
    /// The term after this one.
    ///
    /// # Panics
    /// If the term is `u64::MAX`: terms never wrap (a wrapped term would let an old leader win).
    #[must_use]
    pub fn next(self) -> Term {
        if planted::is(Bug::TermWraps) {
            return Term((self.0 + 1) & 7);
        }
        Term(self.0.checked_add(1).expect("terms never wrap: 2^64 elections cannot have happened"))
    }
}

/// A place in the log. Index 0 stands before the first entry.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Index(pub u64);

impl Index {
    /// The index after this one.
    ///
    /// # Panics
    /// If the index is `u64::MAX`.
    #[must_use]
    pub fn next(self) -> Index {
        self.plus(1)
    }

    /// The index before this one.
    ///
    /// # Panics
    /// If the index is 0.
    #[must_use]
    pub fn prev(self) -> Index {
        Index(self.0.checked_sub(1).expect("nothing stands before index 0"))
    }

    /// The index `count` places further on.
    ///
    /// # Panics
    /// If the result does not fit.
    #[must_use]
    pub fn plus(self, count: u64) -> Index {
        Index(self.0.checked_add(count).expect("indices never wrap"))
    }
}

/// An entry's name: term and index together name one entry for ever (Log Matching, thesis 3.5).
///
/// Ordered as logs are compared in votes: by term first, then by index (thesis 3.6.1).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: Index,
}

impl EntryId {
    /// The place before the first entry.
    pub const ZERO: EntryId = EntryId { term: Term(0), index: Index(0) };

    /// The id of `term` and `index`.
    pub const fn new(term: u64, index: u64) -> EntryId {
        EntryId { term: Term(term), index: Index(index) }
    }
}

/// The random name of a cluster: a message or a file of another cluster is refused by it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

/// A Raft group within a cluster. Always 0 for now: every format carries it so that many groups can share one log later.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct GroupId(pub u32);

/// The number of a write of one node. It only ever rises, so that an acknowledgement can never be mistaken for that of
/// another write of the same index (etcd/raft's "append ABA race").
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WriteNumber(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.term.0, self.index.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClusterId {
    /// The name that these 32 hex digits are, as they are shown.
    pub fn parse(text: &str) -> Option<ClusterId> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(ClusterId(number.to_be_bytes()))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for WriteNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}
