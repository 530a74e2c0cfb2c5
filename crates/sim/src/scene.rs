//! What every part of a run shares: virtual time, the queue of what is to happen, the network, the checks and the trace.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::types::{EntryId, Index, NodeId};
use quorate_log::ReadPlan;
use quorate_replica::effect::FetchPurpose;

use crate::check::Checks;
use crate::check::guests::Guests;
use crate::network::{Network, NetworkOptions};
use crate::profile::Profile;
use crate::queue::{Queue, Scheduled};
use crate::recorder::Recorder;
use crate::rng::{HASH_START, Rng, hash_word};
use crate::trace::Trace;
use crate::workload::{ClientId, Request, Response};

/// One thing that will happen. What belongs to one life of a node names that life, so that nothing of it outlives a crash.
#[derive(Debug)]
pub enum Event {
    /// An alarm of a node's clock rings.
    Tick(Life),
    /// A part of a node has something to do.
    Work(Life, Work),
    /// A message arrives, as it came over the wire.
    Arrive {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The kind of the frame.
        kind: u8,
        /// Its body.
        body: Bytes,
        /// When it was sent, in microseconds of virtual time.
        sent_us: u64,
        /// The incarnation of the sender's store, which its handshake showed.
        incarnation: u128,
    },
    /// A client's request arrives at a node.
    Request {
        /// Where.
        node: NodeId,
        /// What. In memory of its own: it is rare, and the largest of all events.
        request: Box<Request>,
    },
    /// An answer arrives at a client.
    Response(Response),
    /// A client has waited or paused for long enough.
    Wake {
        /// Which client.
        client: ClientId,
        /// What it had been doing when it set the alarm; an alarm of something else is ignored.
        alarm: u64,
    },
    /// The next fault of the schedule.
    Fault,
    /// A node is switched on again.
    Restart(NodeId),
    /// The process of a node dies, and is started again at once.
    Flap(NodeId),
    /// A node stands for election at once, however lately it heard a leader.
    Overthrow {
        /// Who stands.
        by: NodeId,
        /// Who is not heard from then on.
        unheard: Option<NodeId>,
    },
    /// The ambush that is under way goes on.
    Ambush,
    /// The disk of a node has space again, and nothing more is due to go wrong with it.
    MendDisk(NodeId),
    /// All links are joined again.
    Heal,
}

/// What a part of a running node does. Between any two of these a crash may fall.
#[derive(Debug)]
pub enum Work {
    /// The replica takes its inputs and acts.
    Turn,
    /// The log worker writes what waits.
    LogWrite,
    /// The log worker has synced.
    LogSync,
    /// The log says where entries stand that are wanted back.
    FetchPlan(Fetch),
    /// The entries have been read back from the log.
    FetchRead {
        /// Why.
        purpose: FetchPurpose,
        /// Where they stand. In memory of its own, as it is rare.
        plan: Box<ReadPlan>,
    },
    /// The applier takes its next piece of work.
    Apply,
    /// A snapshot that was taken is written.
    SnapshotWrite,
    /// A snapshot that was written becomes durable.
    SnapshotFinish,
    /// The log lets go of what snapshots hold.
    Compact {
        /// Up to where.
        through: Index,
        /// The snapshots that peers fetch.
        keep: Vec<EntryId>,
    },
    /// A piece of a snapshot is read for a peer.
    ReadPiece {
        /// The peer.
        to: NodeId,
        /// The snapshot.
        last: EntryId,
        /// Which piece.
        piece: u64,
    },
    /// A piece of a snapshot that came is stored.
    StorePiece,
}

/// Which entries are wanted back, and why.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Why.
    pub purpose: FetchPurpose,
    /// The first index.
    pub from: Index,
    /// The last index at most.
    pub through: Index,
    /// How many bytes at most.
    pub bytes_max: usize,
}

/// One life of a node, from its start to its crash.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Life {
    /// Which node.
    pub node: NodeId,
    /// How often it has been started.
    pub number: u64,
}

/// What every part of a run shares.
#[derive(Debug)]
pub struct Scene {
    /// Virtual time in microseconds.
    pub now_us: u64,
    /// The settings of the run.
    pub profile: Profile,
    /// The initial voters, in order.
    pub voters: Vec<NodeId>,
    /// All nodes that there are, in order: members, those who were, and those who may become such.
    pub nodes: Vec<NodeId>,
    /// Whether the members have been asked to change: from then on nothing is damaged for good, since nobody can say beforehand
    /// how many of those who decide in the end that would strike.
    pub members_change: bool,
    /// The network.
    pub network: Network,
    /// The checks.
    pub checks: Checks,
    /// What the machines of a user said, if there are any.
    pub(crate) guests: Option<Guests>,
    /// What the clients did and saw.
    pub recorder: Recorder,
    /// The lines.
    pub trace: Trace,
    /// Delays of turns, disks and appliers.
    pub delays: Rng,
    /// How often each named thing happened.
    pub counters: BTreeMap<&'static str, u64>,
    /// Until when a node's disk is slow.
    pub slow_disks: BTreeMap<NodeId, u64>,
    /// What stands for the order of all events so far.
    pub order: u64,
    faulty: bool,
    queue: Queue,
    /// What will happen, at the places that the queue names: small things are moved about in the queue, large ones stay.
    events: Vec<Option<Waiting>>,
    /// The places that are free.
    free: Vec<u32>,
    tie: Rng,
    scheduled_len: u64,
}

/// What waits for its time, with its number among all that were ever scheduled.
#[derive(Debug)]
struct Waiting {
    number: u64,
    event: Event,
}

impl Scene {
    /// Nothing has happened yet.
    pub fn new(seed: u64, profile: Profile, network: Network, trace: Trace) -> Scene {
        let voters: Vec<NodeId> = (1..=profile.nodes).map(NodeId::new).collect();
        Scene {
            now_us: 0,
            checks: Checks::default(),
            guests: None,
            recorder: Recorder::default(),
            nodes: voters.clone(),
            members_change: false,
            voters,
            profile,
            network,
            trace,
            delays: Rng::stream(seed, "delays"),
            counters: BTreeMap::new(),
            slow_disks: BTreeMap::new(),
            order: HASH_START,
            faulty: true,
            queue: Queue::new(),
            events: Vec::new(),
            free: Vec::new(),
            tie: Rng::stream(seed, "schedule"),
            scheduled_len: 0,
        }
    }

    /// The nodes that clients ask: all; and of members that change, once the faults are over, those that are members now. Who was removed
    /// cannot know that the others go on without it: an operator takes it from the list.
    pub fn asked(&self) -> Vec<NodeId> {
        let members: Vec<NodeId> = if self.members_change && self.now_us >= self.profile.faulty_us {
            self.checks.members().into_iter().collect()
        } else {
            Vec::new()
        };
        if members.is_empty() { self.nodes.clone() } else { members }
    }

    /// Lets `event` happen after `delay_us`.
    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    /// Lets `event` happen at `at_us`, which is not in the past.
    pub fn at(&mut self, at_us: u64, event: Event) {
        assert!(at_us >= self.now_us, "nothing is scheduled in the past");
        self.scheduled_len += 1;
        let waiting = Some(Waiting { number: self.scheduled_len, event });
        let place = if let Some(place) = self.free.pop() {
            self.events[place as usize] = waiting;
            place
        } else {
            self.events.push(waiting);
            u32::try_from(self.events.len() - 1).expect("fewer than 2^32 events wait at a time")
        };
        self.queue.push(Scheduled::new(at_us, self.tie.next_u64(), place));
    }

    /// Moves time to the next event and takes it, if it happens before `until_us`.
    pub fn take_before(&mut self, until_us: u64) -> Option<Event> {
        let scheduled = self.queue.pop_before(until_us)?;
        assert!(scheduled.at_us() >= self.now_us, "virtual time never goes back");
        self.now_us = scheduled.at_us();
        let place = scheduled.place();
        self.free.push(u32::try_from(place).expect("places have 32 bits"));
        let Waiting { number, event } = self.events[place].take().expect("what the queue names waits");
        self.order = hash_word(hash_word(self.order, self.now_us), number);
        Some(event)
    }

    /// Whether faults may still happen.
    pub fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// Ends all faults for good: the network loses nothing more, and no link is cut.
    pub fn end_faults(&mut self) {
        self.faulty = false;
        self.network.heal();
        self.network.set_options(NetworkOptions::healthy());
    }

    /// The mean duration of a sync of this node's disk.
    pub fn sync_mean_us(&mut self, node: NodeId) -> u64 {
        if !self.faulty {
            return 200;
        }
        if self.slow_disks.get(&node).is_some_and(|until_us| self.now_us < *until_us) {
            self.count("slow disk");
            return SLOW_SYNC_MEAN_US;
        }
        self.profile.faults.sync_mean_us
    }

    /// Counts one more of a named thing.
    pub fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    /// Adds a line to the trace, and draws it beside the node.
    pub fn mark(&mut self, node: NodeId, text: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let (text, now_us) = (text(), self.now_us);
            self.trace.line(now_us, node, || text.clone());
            self.trace.draw(|diagram| diagram.node(now_us, node, text));
        }
    }

    /// Adds a line about a client to the trace, and draws it.
    pub fn tell(&mut self, client: ClientId, text: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let (text, now_us) = (text(), self.now_us);
            self.trace.line(now_us, client, || text.clone());
            self.trace.draw(|diagram| diagram.client(now_us, format!("{client} {text}")));
        }
    }

    /// Adds a line to the trace, and draws it across all nodes.
    pub fn announce(&mut self, who: &str, text: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let (text, now_us) = (text(), self.now_us);
            self.trace.line(now_us, who, || text.clone());
            self.trace.draw(|diagram| diagram.world(now_us, text));
        }
    }

    /// Adds a line to the trace.
    pub fn line(&mut self, who: impl std::fmt::Display, text: impl FnOnce() -> String) {
        self.trace.line(self.now_us, who, text);
    }
}

/// The mean duration of a sync of a disk that is slow for a while.
const SLOW_SYNC_MEAN_US: u64 = 60_000;
