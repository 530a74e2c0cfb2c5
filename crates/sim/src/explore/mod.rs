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
//! - *Numbers of writes*, which are only compared with each other.
//! - *Loss.* A message that stays in flight for ever is a lost one. An event that changes nothing at its node and sends
//!   nothing is not followed: what can happen without a message can also happen while it is in flight.
//!
//! # What is left out
//!
//! Turns of several inputs, a write of several entries of which a crash keeps a part, reads, entries outside the window in
//! memory, and pre-votes. The simulator has all of them.

pub mod fingerprint;
pub mod interner;
pub mod local;
pub mod model;
mod rules;
pub mod search;
pub mod state;
pub mod story;
