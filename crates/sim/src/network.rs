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
            counters: NetworkCounters::default(),
        }
    }

    /// When a message that is sent now arrives: not at all, once, or twice.
    pub fn judge(&mut self, now_us: u64, from: NodeId, to: NodeId) -> Vec<u64> {
        assert!(from != to, "a node does not send to itself over the network");
        self.counters.sent += 1;
        if self.cut.contains(&(from, to)) {
            self.counters.cut += 1;
            return Vec::new();
        }
        if self.rng.chance(self.options.loss_per_mille) {
            self.counters.lost += 1;
            return Vec::new();
        }
        let mut arrivals = vec![self.arrival(now_us, from, to)];
        if self.rng.chance(self.options.repeat_per_mille) {
            self.counters.repeated += 1;
            let mut copy_us = self.arrival(now_us, from, to);
            // A copy is most dangerous when what it answers is long forgotten.
            if self.options.straggle_per_mille > 0 && self.rng.chance(300) {
                copy_us += 100 * self.rng.exponential(self.options.delay_mean_us);
            }
            arrivals.push(copy_us);
        }
        arrivals
    }

    fn arrival(&mut self, now_us: u64, from: NodeId, to: NodeId) -> u64 {
        let mut delay = self.options.delay_min_us + self.rng.exponential(self.options.delay_mean_us);
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

    /// Joins all links. Loss, repetition and delay stay.
    pub fn heal(&mut self) {
        self.cut.clear();
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
