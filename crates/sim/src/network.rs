//! What happens to a message between two nodes: it takes its time, is lost, arrives twice, or overtakes another. The
//! promise of the real transport is as weak as this on purpose ("may lose, repeat, delay; never alters"), so nothing in
//! the protocol may lean on more.
//!
//! The network only decides; the event queue of the world carries. Each directed link is judged by itself, so that a cut in
//! one direction (the leader hears, but is not heard) is a state like any other.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::types::NodeId;

use crate::rng::Rng;

/// How a network treats messages.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// No message is faster than this.
    pub delay_min_us: u64,
    /// The mean of what comes on top, drawn anew for each message. Above zero, messages overtake each other.
    pub delay_mean_us: u64,
    /// How many of 1,000 messages are lost.
    pub loss_per_mille: u64,
    /// How many of 1,000 messages arrive twice.
    pub repeat_per_mille: u64,
    /// How many of 1,000 messages take a hundred times as long: those are the stale ones that meet another term.
    pub straggle_per_mille: u64,
    /// Whether a link keeps the order of its messages, as one TCP connection does. Else they may overtake each other.
    pub ordered: bool,
}

impl NetworkOptions {
    /// A network in good health.
    pub fn healthy() -> NetworkOptions {
        NetworkOptions {
            delay_min_us: 50,
            delay_mean_us: 200,
            loss_per_mille: 0,
            repeat_per_mille: 0,
            straggle_per_mille: 0,
            ordered: true,
        }
    }
}

/// What the network did so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct NetworkCounters {
    /// Messages handed in.
    pub sent: u64,
    /// Messages lost by chance.
    pub lost: u64,
    /// Messages that arrived twice.
    pub repeated: u64,
    /// Messages that took very long.
    pub straggled: u64,
    /// Messages that met a cut link.
    pub cut: u64,
    /// Messages on a slow link.
    pub slowed: u64,
    /// Messages under way that a reset of their connection lost.
    pub reset: u64,
    /// Messages of a kind that does not pass.
    pub filtered: u64,
    /// Messages that were too large to pass.
    pub too_large: u64,
}

/// The kinds of message that a fault can pick out.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// Requests for votes and pre-votes, and their answers.
    Vote,
    /// Entries for a follower.
    Append,
    /// What a follower says to entries.
    AppendAnswer,
    /// Heartbeats and their answers.
    Heartbeat,
    /// Snapshots: offers, questions and pieces; and the same of single entries that a disk has lost.
    Snapshot,
    /// Clients' requests that one node hands to another, and their answers.
    Forward,
}

/// All kinds of message.
pub const MESSAGE_KINDS: [MessageKind; 6] = [
    MessageKind::Vote,
    MessageKind::Append,
    MessageKind::AppendAnswer,
    MessageKind::Heartbeat,
    MessageKind::Snapshot,
    MessageKind::Forward,
];

/// A message as the network sees it.
#[derive(Copy, Clone, Debug)]
pub struct Parcel {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// What it is about.
    pub kind: MessageKind,
    /// The length of its body in bytes.
    pub len: usize,
}

/// When a message arrives, in microseconds of virtual time.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Arrivals {
    /// Not at all if it is lost.
    pub first: Option<u64>,
    /// A second time if it is repeated.
    pub copy: Option<u64>,
}

impl Arrivals {
    /// All of them, the copy last.
    pub fn all(self) -> impl Iterator<Item = u64> {
        self.first.into_iter().chain(self.copy)
    }
}

/// All links between the nodes.
#[derive(Clone, Debug)]
pub struct Network {
    options: NetworkOptions,
    rng: Rng,
    /// The directed links that carry nothing.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// When the last message of an ordered link arrives.
    arrived_last: BTreeMap<(NodeId, NodeId), u64>,
    /// Links that take this much longer, in microseconds.
    slow: BTreeMap<(NodeId, NodeId), u64>,
    /// When the connection of a link was last reset: what was under way then never arrives.
    reset_at: BTreeMap<(NodeId, NodeId), u64>,
    /// The kind of message that does not pass.
    filter: Option<MessageKind>,
    /// Larger messages do not pass.
    len_max: Option<usize>,
    /// Larger messages of this node do not pass.
    len_max_of: Option<(NodeId, usize)>,
    counters: NetworkCounters,
}

impl Network {
    /// A network without cuts.
    pub fn new(options: NetworkOptions, rng: Rng) -> Network {
        Network {
            options,
            rng,
            cut: BTreeSet::new(),
            arrived_last: BTreeMap::new(),
            slow: BTreeMap::new(),
            reset_at: BTreeMap::new(),
            filter: None,
            len_max: None,
            len_max_of: None,
            counters: NetworkCounters::default(),
        }
    }

    /// When a message that is sent now arrives: not at all, once, or twice.
    pub fn judge(&mut self, now_us: u64, parcel: Parcel) -> Arrivals {
        let Parcel { from, to, kind, len } = parcel;
        assert!(from != to, "a node does not send to itself over the network");
        self.counters.sent += 1;
        if self.cut.contains(&(from, to)) {
            self.counters.cut += 1;
            return Arrivals::default();
        }
        if self.filter == Some(kind) {
            self.counters.filtered += 1;
            return Arrivals::default();
        }
        let of_sender = self.len_max_of.filter(|(node, _)| *node == from).map(|(_, len_max)| len_max);
        if self.len_max.into_iter().chain(of_sender).any(|len_max| len > len_max) {
            self.counters.too_large += 1;
            return Arrivals::default();
        }
        if self.rng.chance(self.options.loss_per_mille) {
            self.counters.lost += 1;
            return Arrivals::default();
        }
        let mut arrivals = Arrivals { first: Some(self.arrival(now_us, from, to)), copy: None };
        if self.rng.chance(self.options.repeat_per_mille) {
            self.counters.repeated += 1;
            let mut copy_us = self.arrival(now_us, from, to);
            // A copy is most dangerous when what it answers is long forgotten.
            if self.options.straggle_per_mille > 0 && self.rng.chance(300) {
                copy_us += 100 * self.rng.exponential(self.options.delay_mean_us);
            }
            arrivals.copy = Some(copy_us);
        }
        arrivals
    }

    fn arrival(&mut self, now_us: u64, from: NodeId, to: NodeId) -> u64 {
        let mut delay = self.options.delay_min_us + self.rng.exponential(self.options.delay_mean_us);
        if let Some(slow_us) = self.slow.get(&(from, to)) {
            self.counters.slowed += 1;
            delay += slow_us;
        }
        if self.rng.chance(self.options.straggle_per_mille) {
            self.counters.straggled += 1;
            return now_us + delay * 100;
        }
        if self.options.ordered {
            let last = self.arrived_last.entry((from, to)).or_default();
            delay = delay.max((*last + 1).saturating_sub(now_us));
            *last = now_us + delay;
        }
        now_us + delay
    }

    /// Whether a message from `from` to `to` can arrive at all.
    pub fn carries(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Cuts the link in this one direction.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    /// Cuts both directions between every node of `side` and every node of `rest`.
    pub fn partition(&mut self, side: &[NodeId], rest: &[NodeId]) {
        for &one in side {
            for &other in rest {
                assert!(one != other, "a node stands on one side of a partition only");
                self.cut(one, other);
                self.cut(other, one);
            }
        }
    }

    /// Joins the link in this one direction.
    pub fn join(&mut self, from: NodeId, to: NodeId) {
        self.cut.remove(&(from, to));
    }

    /// Joins all links, makes them fast, and lets every kind of message pass. Loss, repetition and delay stay.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.slow.clear();
        self.filter = None;
        self.len_max = None;
        self.len_max_of = None;
    }

    /// Every message on the link takes `extra_us` longer in this one direction.
    pub fn slow(&mut self, from: NodeId, to: NodeId, extra_us: u64) {
        self.slow.insert((from, to), extra_us);
    }

    /// The connection of this one direction breaks and is made anew: of what is under way, nothing arrives.
    pub fn reset(&mut self, now_us: u64, from: NodeId, to: NodeId) {
        self.reset_at.insert((from, to), now_us);
    }

    /// Whether a message that was sent at `sent_us` was still under way when its connection broke. Asked where it arrives.
    pub fn lost_in_reset(&mut self, sent_us: u64, from: NodeId, to: NodeId) -> bool {
        let lost = self.reset_at.get(&(from, to)).is_some_and(|reset_us| sent_us <= *reset_us);
        self.counters.reset += u64::from(lost);
        lost
    }

    /// No message of this kind passes any more.
    pub fn filter(&mut self, kind: MessageKind) {
        self.filter = Some(kind);
    }

    /// No message with a body above `len_max` bytes passes any more, as when the path loses large packets.
    pub fn limit_len(&mut self, len_max: usize) {
        self.len_max = Some(len_max);
    }

    /// No message of this node with a body above `len_max` bytes passes any more.
    pub fn limit_len_of(&mut self, from: NodeId, len_max: usize) {
        self.len_max_of = Some((from, len_max));
    }

    /// How messages are treated from now on.
    pub fn set_options(&mut self, options: NetworkOptions) {
        self.options = options;
    }

    /// What happened so far.
    pub fn counters(&self) -> NetworkCounters {
        self.counters
    }
}
