//! quorate-core: the Raft protocol as a pure state machine.
//!
//! **Knows nothing of** time, disks, sockets, threads, or what a command means. Ticks, messages and the ends of writes come
//! in as inputs; messages, writes and permissions to apply go out; nothing else happens. The same inputs give the same
//! outputs for ever, so what the simulator tests is what ships.
//!
//! # The protocol in one page
//!
//! Section numbers are those of Diego Ongaro's thesis, "Consensus: Bridging Theory and Practice" (2014).
//!
//! *Terms (3.3).* Time is cut into terms with at most one leader each. Whoever sees a newer term moves to it; whoever asks in
//! an older one is told the newer. Term and vote are written to disk before anybody may rely on them.
//!
//! *Elections (3.4, 3.6.1, 9.6, 6.2).* A follower that hears no leader for a random time first asks whether it would win
//! (pre-vote), and only then raises the term, votes for itself and asks for votes. A node votes once in a term, for a log at
//! least as new as its own, and does not even listen while it hears a leader. A leader that no quorum answers for an election
//! timeout stops leading, and so does one whose own disk stands for four of them while the others could go on. Pre-vote and
//! check-quorum together keep a node that is half cut off from deposing a leader, and a leader that is half
//! cut off from keeping others from electing one.
//!
//! *Replication (3.5).* Only the leader adds entries. It tells each peer the entry that must stand before those it sends; a
//! peer that lacks it refuses with a hint, and the leader goes back a whole term at a time until the logs meet (probe). From
//! there on it streams, with many messages unanswered (10.2.2). A peer cuts away only what contradicts the leader. Answers
//! may be late, doubled or overtaken: they teach less then, never something wrong.
//!
//! *Commitment (3.6.2).* An entry of the leader's own term is committed once it is on the disks of a quorum, and all before
//! it with it. The leader's own disk counts like any other, when its write is durable (10.2.1). The no-op that opens each
//! term commits what earlier leaders left. Commit indices travel with appends, up to what the message covers, and with
//! heartbeats, up to what the peer has acknowledged.
//!
//! *Reads (6.4).* A read takes the commit index and waits for a heartbeat round that began after the read and that a quorum
//! answered: then no newer leader had committed anything before it. It needs no entry and no disk. With
//! leases (6.4.1) it waits for nothing while a quorum has promised to vote for nobody else.
//!
//! *Time.* Entries carry the leader's wall clock, held close to what a quorum's clocks show, and never falling. Nothing in the
//! protocol hangs on it; what remembers for a while forgets by it.
//!
//! *Handing over (3.10).* A leader that is to be stopped, or that an operator wants elsewhere, takes no more proposals, brings its
//! successor up to date and tells it to stand for election at once. After an election timeout it gives up and goes on.
//!
//! *Members (chapter 4).* A membership is an entry, in force as soon as it stands in a log. Voters change through a joint membership in
//! which the old and the new set must both agree; one change at a time, and none before an entry of the own term is committed.
//! Learners receive the log and never count; one that has caught up is promoted. Ids are given once.
//!
//! *Durability (3.8).* [`ready::Ready`] separates messages that promise nothing from those that rest on a write. The latter
//! sit in the write's [`ready::Barrier`], and only the proof of its fsync lets them out. Writes are numbered, because a term
//! and an index do not name a write: the same index may be written, cut away and written again.
//!
//! *Snapshots (5).* What a snapshot of the state covers goes from the log. A peer that lacks it is offered the snapshot; it fetches the
//! state by other ways, begins its log anew behind it, and replication goes on from there. A snapshot covers only what is
//! committed, so it is true in every term, and may come from any node.
//!
//! *Damage.* What a disk has lost is never guessed away. An entry whose bytes are gone still counts by its id: the node votes by it, does not
//! stand for election, and acknowledges and applies nothing behind it until a peer has given the bytes back.
//!
//! *Memory.* The newest entries are in memory, bounded in bytes; of all others the core knows only the terms. A peer that is
//! further behind is served by reading the log back ([`ready::Fetch`]).
//!
//! # Reading order
//!
//! The vocabulary first, then the door, then what is behind it: the modules below stand in that order. Start with `raft.rs`
//! if you know Raft; `invariants.rs` says on one page what must hold.

// What is talked about: ids, entries, messages, limits.
pub mod types;

pub mod entry;

pub mod snapshot;

pub mod message;

pub mod config;

// The door: what goes in and what comes out.
pub mod ready;

pub mod stored;

pub mod raft;

// Behind it: the roles, and what each does with an input.
mod role;

mod election;

mod donation;

mod leader;

mod progress;

mod watch;

mod fitness;

mod read_index;

pub mod lease;
mod log_time;

mod transfer;

mod follower;

mod pause;

mod install;

mod damage;

mod repair;

mod log;

pub mod quorum;

pub mod membership;

mod changes;

// Beside it: binary forms, what a node tells of itself, what must hold, and chance.
pub mod codec;

pub mod state;

pub mod status;

pub mod invariants;

mod rng;

// Mistakes that are not made: planted only to prove the checks.
pub mod planted;
