//! Every state that a small cluster can reach, and not one sample of them: breadth-first search over the real core.
//!
//! A state is all nodes with their disks, the messages in flight, and how much may still go wrong. From each state
//! everything that may happen next is tried. The nodes are [`quorate_core::raft::Raft`] as shipped; only the disk and the
//! network are played. States are made of few distinct parts: each node state and each message has a number, what an event
//! does to a node state is computed once, and a state is a handful of numbers ([`state`]).
//!
//! # What is not told apart
//!
//! - *Time.* Timers fire when the explorer says so: a campaign, a heartbeat and the loss of a quorum may come at any moment,
//!   whatever the timers say. That is more than can happen in reality, so nothing unsafe is missed. Campaigns go without a
//!   pre-vote, as if an operator had asked for them.
//! - *Chance.* The generator only spreads timers, so it is put back after every event.
//! - *Numbers of writes*, which are only compared with each other. *Empty writes*, which only hold messages back until the write before
//!   them is durable, are a part of that write. In reality such messages may leave a little later, or be lost in a crash in
//!   between; here they may come later, or never.
//! - *Loss.* A message that stays in flight for ever is a lost one. An event that changes nothing at its node and sends
//!   nothing is not followed: what can happen without a message can also happen while it is in flight.
//! - *Repetition*, if it is wanted: then what was sent stays in flight and may come any number of times. The messages in
//!   flight are a set that only grows, so that a state does not remember what was delivered how often.
//! - *Messages that can do nothing any more*, whatever happens (`dead.rs`). They are forgotten.
//! - *Names.* States that are equal when the nodes are renamed are one ([`symmetry`]).
//!
//! - *Snapshots.* The state in one is the list of all entries that it covers. One that was ever taken may come to any node at any
//!   time, whether it was offered there or not: that is more than can happen. It covers all that its node could apply.
//!
//! Names and dead messages can be told apart after all: tests hold the states, the rules that are broken and the lengths of the paths against each other.
//! They made 37 times fewer states of three nodes with one term, one entry and one crash, and 580 times fewer where messages stay.
//!
//! # What is left out
//!
//! Turns of several inputs, a write of several entries of which a crash keeps a part, reads, entries that are outside of the window in
//! memory and not compacted, snapshots of less than could be applied, and pre-votes. The simulator has all of them.

pub mod action;
mod dead;
mod disk;
pub mod event;
pub mod fingerprint;
mod frontier;
pub mod interner;
pub mod local;
mod members;
pub mod model;
mod outcomes;
pub mod parts;
mod rules;
pub mod search;
pub mod snapshot;
pub mod start;
pub mod state;
pub mod story;
pub mod symmetry;
pub mod world;
