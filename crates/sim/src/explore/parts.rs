//! All distinct parts of the states that were seen, each with its number and its fingerprints: nodes, messages, entries, logs,
//! members, snapshots.

use std::sync::Arc;

use bytes::BytesMut;
use quorate_core::entry::{Entry, Membership};
use quorate_core::message::Envelope;
use quorate_core::status::Role;
use quorate_core::types::NodeId;

use crate::explore::dead::Address;
use crate::explore::fingerprint::fingerprint;
use crate::explore::interner::Interner;
use crate::explore::local::Local;
use crate::explore::members;
use crate::explore::snapshot::Snapshot;
use crate::explore::state::State;
use crate::explore::symmetry::{Prints, Renamings};

/// All distinct parts of the states that were seen.
pub struct Parts {
    pub(super) renamings: Renamings,
    messages: Interner<Envelope>,
    pub(super) message_prints: Prints,
    addresses: Vec<Address>,
    entries: Interner<Entry>,
    /// Lists of numbers of entries.
    lists: Interner<Vec<u16>>,
    pub(super) list_prints: Prints,
    /// Who decided somewhere, or may have.
    memberships: Interner<Arc<Membership>>,
    snapshots: Interner<Snapshot>,
    pub(super) snapshot_prints: Prints,
    locals: Interner<Local>,
    pub(super) local_prints: Prints,
    /// What the rules of the cluster need to know of each node state.
    facts: Vec<Facts>,
}

/// What the rules of the cluster need to know of a node state.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The log as the node knows it: the number of a list.
    pub log: u16,
    /// The log on its disk.
    pub disk: u16,
    /// What it knows to be committed.
    pub committed: u16,
    /// Its term.
    pub term: u8,
    /// Whom it voted for in its term.
    vote: Option<u8>,
    /// Its term and its vote after a crash.
    pub(super) disk_vote: (u8, Option<u8>),
    /// What it is.
    pub role: Role,
    /// The newest membership of its log: its number.
    pub members: u16,
    /// What it may do next.
    pub(super) may: May,
}

/// What a node may do next by itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct May {
    /// A write is under way.
    pub(super) persist: bool,
    /// One of them installs a snapshot.
    pub(super) name_install: bool,
    /// It may apply more than its snapshot covers.
    pub(super) snapshot: bool,
    /// Its snapshot covers entries of its log.
    pub(super) compact: bool,
    /// It hands its leadership over.
    pub(super) give_up: bool,
}

impl Facts {
    /// The lowest term that the node can ever be in again, with the vote in it; `crashes` tells whether a crash may still come.
    pub fn lowest(&self, crashes: bool) -> (u8, Option<u8>) {
        if crashes { self.disk_vote } else { (self.term, self.vote) }
    }
}

impl Parts {
    /// Nothing is known yet.
    pub(super) fn new(renamings: Renamings) -> Parts {
        Parts {
            renamings,
            messages: Interner::new(),
            message_prints: Prints::default(),
            addresses: Vec::new(),
            entries: Interner::new(),
            lists: Interner::new(),
            list_prints: Prints::default(),
            memberships: Interner::new(),
            snapshots: Interner::new(),
            snapshot_prints: Prints::default(),
            locals: Interner::new(),
            local_prints: Prints::default(),
            facts: Vec::new(),
        }
    }

    pub(super) fn local_number(&mut self, local: &Local) -> u32 {
        let number = self.locals.number(&local_key(local), || local.clone());
        if number as usize == self.facts.len() {
            let log = local.log();
            let committed = usize::try_from(local.commit().0).expect("logs are short here");
            let small = |number| u8::try_from(number).expect("terms and ids are small here");
            let vote = |vote: Option<NodeId>| vote.map(|node| small(node.get()));
            let lowest = local.lowest();
            let members = members::newest(&log).map(|(_, members)| Arc::clone(members)).unwrap_or_default();
            let facts = Facts {
                log: self.list_number(&log),
                disk: self.list_number(&local.disk()),
                committed: self.list_number(&log[..committed]),
                term: small(local.term().0),
                vote: vote(local.vote()),
                disk_vote: (small(lowest.term.0), vote(lowest.vote)),
                role: local.role(),
                members: self.membership_number(&members),
                may: May {
                    persist: local.writes_under_way() > 0,
                    name_install: local.installs(),
                    snapshot: local.may_apply() > local.snapshot_last().index,
                    compact: local.base().index < local.snapshot_last().index,
                    give_up: local.hands_over(),
                },
            };
            self.facts.push(facts);
            self.local_prints
                .push(&self.renamings.prints(|name| fingerprint(&local_key(&local.renamed(name)))));
        }
        assert!(self.facts.len() == self.locals.len(), "the facts of each node state are known");
        number
    }

    pub(super) fn message_number(&mut self, envelope: &Envelope) -> u16 {
        let number = narrow(self.messages.number(&message_key(envelope), || envelope.clone()));
        if usize::from(number) == self.addresses.len() {
            self.addresses.push(Address::of(envelope));
            self.message_prints
                .push(&self.renamings.prints(|name| fingerprint(&message_key(&envelope.renamed(name)))));
        }
        assert!(self.addresses.len() == self.messages.len(), "sender and receiver of each message are known");
        number
    }

    pub(super) fn list_number(&mut self, entries: &[Entry]) -> u16 {
        let numbers: Vec<u16> = entries.iter().map(|entry| self.entry_number(entry)).collect();
        let key: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let known = self.lists.len();
        let number = self.lists.number(&key, || numbers);
        if number as usize == known {
            self.list_prints.push(&self.renamings.prints(|name| {
                let mut key = BytesMut::from(&b"committed"[..]);
                entries.iter().for_each(|entry| entry.renamed(name).encode(&mut key));
                fingerprint(&key)
            }));
        }
        narrow(number)
    }

    pub(super) fn snapshot_number(&mut self, snapshot: &Snapshot) -> u16 {
        let known = self.snapshots.len();
        let number = self.snapshots.number(&snapshot_key(snapshot), || snapshot.clone());
        if number as usize == known {
            self.snapshot_prints
                .push(&self.renamings.prints(|name| fingerprint(&snapshot_key(&snapshot.renamed(name)))));
        }
        narrow(number)
    }

    pub(super) fn membership_number(&mut self, membership: &Arc<Membership>) -> u16 {
        let mut key = BytesMut::new();
        membership.encode(&mut key);
        narrow(self.memberships.number(&key, || Arc::clone(membership)))
    }

    fn entry_number(&mut self, entry: &Entry) -> u16 {
        let mut key = BytesMut::new();
        entry.encode(&mut key);
        narrow(self.entries.number(&key, || entry.clone()))
    }

    /// The messages in flight from one node to another, given by their places, in order of their numbers.
    pub fn on_the_way(&self, state: &State, from: usize, to: usize) -> Vec<u16> {
        let goes = |message: &&u16| {
            let address = &self.addresses[usize::from(**message)];
            (address.from, address.to) == (from, to)
        };
        state.messages.iter().filter(goes).copied().collect()
    }

    /// What the rules need to know of a node state.
    pub fn facts(&self, local: u32) -> Facts {
        self.facts[local as usize]
    }

    /// A node state.
    pub fn local(&self, number: u32) -> &Local {
        self.locals.get(number)
    }

    /// A message.
    pub fn message(&self, number: u16) -> &Envelope {
        self.messages.get(u32::from(number))
    }

    /// A snapshot.
    pub fn snapshot(&self, number: u16) -> &Snapshot {
        self.snapshots.get(u32::from(number))
    }

    /// A membership.
    pub fn members(&self, number: u16) -> &Membership {
        self.memberships.get(u32::from(number))
    }

    /// A list of numbers of entries.
    pub fn list(&self, number: u16) -> &[u16] {
        self.lists.get(u32::from(number))
    }

    /// An entry.
    pub fn entry(&self, number: u16) -> &Entry {
        self.entries.get(u32::from(number))
    }

    /// Who sends a message to whom, and what it is to its receiver.
    pub(super) fn address(&self, message: u16) -> Address {
        self.addresses[usize::from(message)]
    }

    /// How many node states and messages there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.locals.len(), self.messages.len())
    }

    /// Whether the numbers of messages, entries, lists or members may not suffice for one more state.
    pub fn is_full(&self) -> bool {
        let lens = [self.messages.len(), self.entries.len(), self.lists.len(), self.memberships.len()];
        lens.iter().chain([&self.snapshots.len()]).any(|len| *len > PARTS_MAX)
    }

    /// An estimate of the memory of all of them, in bytes.
    pub fn bytes(&self) -> usize {
        let prints = [&self.local_prints, &self.message_prints, &self.list_prints, &self.snapshot_prints];
        self.locals.bytes()
            + self.locals.len() * LOCAL_HEAP_BYTES
            + self.messages.bytes()
            + prints.iter().map(|prints| prints.len()).sum::<usize>() * size_of::<u64>()
    }
}

fn local_key(local: &Local) -> BytesMut {
    let mut key = BytesMut::new();
    local.encode(&mut key);
    key
}

fn message_key(envelope: &Envelope) -> BytesMut {
    let mut key = BytesMut::new();
    envelope.encode(&mut key);
    key
}

fn snapshot_key(snapshot: &Snapshot) -> BytesMut {
    let mut key = BytesMut::from(&b"snapshot"[..]);
    snapshot.encode(&mut key);
    key
}

/// The search looks at [`Model::is_full`] after every state.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).expect("the search ends before the numbers do")
}

/// What a node state points to: its window, its disk, its writes, its peers.
const LOCAL_HEAP_BYTES: usize = 2_000;
/// Far more than any search that fits in memory needs, and 16 bits less what one state may add.
const PARTS_MAX: usize = 60_000;
