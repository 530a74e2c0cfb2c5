//! What callers are told while the disk of their node is full: at once that nothing happened, and from when on the node takes proposals again.

use quorate_core::config::Config;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::message::Message;
use quorate_core::raft::Raft;
use quorate_core::ready::{Fact, Write};
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, WriteNumber};
use quorate_replica::config::ReplicaConfig;
use quorate_replica::effect::Effect;
use quorate_replica::error::{Fate, ProposeError, ReadError};
use quorate_replica::input::{Input, Now, Ticket};
use quorate_replica::peer_message::PeerMessage;
use quorate_replica::replica::Replica;

use crate::snapshots::{piece, stored};
use crate::solo::{ME, PEER, key, propose, raft};

/// One of three voters whose writes are carried out by nobody but the test.
struct Node {
    replica: Replica,
    now_us: u64,
}

impl Node {
    fn new() -> Node {
        let stored = Stored::bootstrap(Membership::of_voters((1..=3).map(NodeId::new)));
        let raft = Raft::new(Config::new(ME), stored);
        Node { replica: Replica::new(ReplicaConfig::new(77, 1), raft), now_us: 0 }
    }

    fn turn(&mut self, inputs: Vec<Input>) -> Vec<Effect> {
        self.now_us += 1_000;
        self.replica.begin_turn(Now { monotonic_us: self.now_us, wall_ms: 1 });
        inputs.into_iter().for_each(|input| self.replica.step(input));
        self.replica.drain()
    }

    /// It follows node 2 and is given an entry; the number of the write that carries it.
    fn take_entry(&mut self) -> WriteNumber {
        let entry = Entry { id: EntryId::new(1, 2), timestamp_ms: 1, payload: Payload::Noop };
        let append =
            Message::AppendRequest { prev: EntryId::new(0, 1), entries: vec![entry], commit: Index(0) };
        writes(&self.turn(vec![raft(PEER, 1, append)])).next().expect("it is to be written").number
    }
}

fn writes(effects: &[Effect]) -> impl Iterator<Item = &Write> {
    effects.iter().filter_map(|effect| if let Effect::Persist(write) = effect { Some(write) } else { None })
}

fn refusals(effects: &[Effect]) -> Vec<(Ticket, ProposeError)> {
    let refusal = |effect: &Effect| match effect {
        Effect::RefuseProposal { ticket, error } => Some((*ticket, error.clone())),
        _ => None,
    };
    effects.iter().filter_map(refusal).collect()
}

fn says(effects: &[Effect], fact: &Fact) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Fact(said) if said == fact))
}

#[test]
fn a_node_whose_disk_is_full_refuses_at_once_and_goes_on_when_there_is_room() {
    let mut node = Node::new();
    let from = node.take_entry();
    let effects = node.turn(vec![Input::NoRoom { from }]);
    assert!(says(&effects, &Fact::Paused));
    let again = writes(&effects).next().expect("term and vote are written alone");
    assert!(again.after_refusal && again.hard_state.is_some() && again.entries.is_empty(), "{again:?}");

    let effects = node.turn(vec![propose(1, key(), 1, false)]);
    assert_eq!(refusals(&effects), [(Ticket(1), ProposeError::DiskFull)]);
    assert_eq!(ProposeError::DiskFull.fate(), Fate::NotAccepted);
    assert_eq!(node.replica.status().metrics.refused_disk_full, 1);

    let effects = node.turn(vec![Input::Tick { elapsed: 100 }]);
    let trial = writes(&effects).next().expect("after a heartbeat interval the disk is tried again");
    assert_eq!((trial.entries.len(), trial.after_refusal), (1, false));
    let effects = node.turn(vec![Input::Persisted(trial.number)]);
    assert!(says(&effects, &Fact::Resumed));
    let effects = node.turn(vec![propose(2, key(), 2, false)]);
    assert_eq!(refusals(&effects), []);
    let forwards =
        |effect: &Effect| matches!(effect, Effect::Send { to: PEER, message: PeerMessage::Forward { .. } });
    assert!(effects.iter().any(forwards), "it goes to the leader");
}

/// A snapshot from a peer takes the place of the log with a write of its own. If an earlier one finds no room, that is refused with it: to cut the
/// log behind that snapshot would leave neither. Found by a seed of the simulator's corpus (1795420000000238), whose disk had two hundred writes to do.
#[test]
fn a_full_disk_cuts_nothing_behind_a_snapshot_that_is_not_installed() {
    let mut node = Node::new();
    let from = node.take_entry();
    let last = EntryId::new(1, 50);
    node.turn(vec![raft(PEER, 1, Message::SnapshotOffer { last })]);
    let effects = node.turn(vec![piece(PEER, last, 0), stored(last, 1, 1)]);
    let installs = |write: &Write| write.install.as_ref().is_some_and(|meta| meta.last == last);
    assert!(writes(&effects).any(installs), "the write that installs it is handed out");
    let effects = node.turn(vec![Input::NoRoom { from }]);
    assert!(says(&effects, &Fact::Paused));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Compact { .. })), "{effects:?}");
}

/// Without a leader proposals wait. A node whose disk is full will not become one: whoever waits and was never sent anywhere is told.
#[test]
fn proposals_that_wait_for_a_leader_are_refused_when_the_disk_becomes_full() {
    let mut node = Node::new();
    let from = node.take_entry();
    // A newer term is seen, and nobody leads it yet.
    node.turn(vec![raft(PEER, 2, Message::VoteResponse { granted: false, wall_ms: 0 })]);
    let effects = node.turn(vec![propose(1, key(), 1, false)]);
    assert_eq!(refusals(&effects), []);
    let effects = node.turn(vec![Input::NoRoom { from }]);
    assert_eq!(refusals(&effects), [(Ticket(1), ProposeError::DiskFull)]);
}

/// Such a node hears where the leader's log stands and never gets there: readers would wait for all of their time. What its disk holds it
/// still shows.
#[test]
fn a_read_that_must_see_what_a_full_disk_did_not_take_is_refused_at_once() {
    let mut node = Node::new();
    let from = node.take_entry();
    node.turn(vec![Input::NoRoom { from }]);
    let read = |node: &mut Node, ticket, index| {
        let asked = node.turn(vec![Input::Read { ticket: Ticket(ticket) }]);
        let question = asked.iter().find_map(|effect| match effect {
            Effect::Send { to: PEER, message: PeerMessage::ForwardRead { ticket } } => Some(*ticket),
            _ => None,
        });
        let reply = PeerMessage::ForwardReadReply {
            ticket: question.expect("the leader is asked"),
            index: Some(Index(index)),
        };
        node.turn(vec![Input::Received { from: PEER, message: reply }])
    };
    let effects = read(&mut node, 1, 2);
    assert_eq!(refused_reads(&effects), [(Ticket(1), ReadError::DiskFull)]);
    let effects = read(&mut node, 2, 0);
    assert_eq!(refused_reads(&effects), []);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Read { ticket: Ticket(2), .. })));

    // Who waits for a leader waits in vain too: this node will not be one, and gets no entries from another.
    let effects = node.turn(vec![
        raft(PEER, 2, Message::VoteResponse { granted: false, wall_ms: 0 }),
        Input::Read { ticket: Ticket(3) },
    ]);
    assert_eq!(refused_reads(&effects), [(Ticket(3), ReadError::DiskFull)]);
}

fn refused_reads(effects: &[Effect]) -> Vec<(Ticket, ReadError)> {
    let refusal = |effect: &Effect| match effect {
        Effect::RefuseRead { ticket, error } => Some((*ticket, error.clone())),
        _ => None,
    };
    effects.iter().filter_map(refusal).collect()
}
