//! A snapshot on its way between two nodes, from both ends. The node that lacks it asks for one piece after the other, with a few unanswered;
//! so it decides how fast they come, nothing is sent that it cannot take, and what it has it never asks for again. Whoever is
//! asked keeps the snapshot, and the log behind it, for as long as the other keeps asking. It need not lead: a snapshot is true in
//! every term, and a change of the leader does not disturb a fetch.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_core::snapshot::SnapshotName;
use quorate_core::types::{EntryId, Index, NodeId};

use crate::config::ReplicaConfig;

/// The one snapshot that this node fetches.
#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    fetch: Option<Fetch>,
    /// Nothing is fetched before this tick: the disk was full.
    not_before: u64,
}

/// A snapshot that is being fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fetch {
    /// Who has it.
    pub(crate) source: NodeId,
    /// The last entry that it covers.
    pub(crate) last: EntryId,
    /// Its name and the number of its pieces, once the first one is stored.
    pub(crate) known: Option<(SnapshotName, u64)>,
    /// The next piece that is not stored.
    stored: u64,
    /// The next piece that has not come. Invariant: at least `stored`.
    come: u64,
    /// Pieces that overtook others. Invariant: each above `come` and below `asked`.
    parked: BTreeMap<u64, Bytes>,
    /// The next piece that was not asked for. Invariant: at least `come`, and at most `snapshot_window_len` more than `stored`.
    asked: u64,
    /// When something was stored last, or asked for again.
    heard_tick: u64,
    /// How often in a row nothing had come in time.
    retries: u64,
    /// All is there and was given to the protocol.
    pub(crate) whole: bool,
}

impl Fetcher {
    /// What is being fetched.
    pub(crate) fn fetch(&self) -> Option<&Fetch> {
        self.fetch.as_ref()
    }

    /// A snapshot is offered that this node lacks. Returns whether it is fetched from now on: one that is on its way goes on, because to start
    /// over with each newer one would never come to an end (T26).
    pub(crate) fn on_offer(&mut self, source: NodeId, last: EntryId, tick: u64) -> bool {
        if self.fetch.is_some() || tick < self.not_before {
            return false;
        }
        let fetch = Fetch {
            source,
            last,
            known: None,
            stored: 0,
            come: 0,
            parked: BTreeMap::new(),
            asked: 0,
            heard_tick: tick,
            retries: 0,
            whole: false,
        };
        self.fetch = Some(fetch);
        true
    }

    /// The pieces to ask for now.
    pub(crate) fn wanted(&mut self, config: &ReplicaConfig) -> Vec<u64> {
        let Some(fetch) = &mut self.fetch else { return Vec::new() };
        // The first piece says how many there are; it goes alone.
        let through =
            fetch.known.map_or(1, |(_, pieces)| pieces.min(fetch.stored + config.snapshot_window_len));
        let wanted = (fetch.asked..through).filter(|piece| !fetch.parked.contains_key(piece)).collect();
        fetch.asked = fetch.asked.max(through);
        wanted
    }

    /// A piece came: those to store now, in order. What was not asked for is dropped.
    pub(crate) fn on_piece(
        &mut self,
        from: NodeId,
        name: SnapshotName,
        piece: u64,
        bytes: Bytes,
    ) -> Vec<(u64, Bytes)> {
        let Some(fetch) = &mut self.fetch else { return Vec::new() };
        let is_this = match fetch.known {
            Some((known, _)) => known == name,
            None => name.last == fetch.last,
        };
        let was_asked = (fetch.come..fetch.asked).contains(&piece) && !fetch.whole;
        if from != fetch.source || !is_this || !was_asked {
            return Vec::new();
        }
        fetch.parked.insert(piece, bytes);
        let mut next = Vec::new();
        while let Some(bytes) = fetch.parked.remove(&fetch.come) {
            next.push((fetch.come, bytes));
            fetch.come += 1;
        }
        assert!(fetch.parked.keys().all(|parked| *parked < fetch.asked), "only what was asked for is kept");
        next
    }

    /// All pieces before `next` are stored. A fetch that begins anew may find some that an earlier one left.
    /// Returns whether it is the one that is fetched.
    pub(crate) fn on_stored(&mut self, name: SnapshotName, next: u64, pieces: u64, tick: u64) -> bool {
        let is_this = |fetch: &&mut Fetch| {
            !fetch.whole && fetch.last == name.last && fetch.known.is_none_or(|(known, _)| known == name)
        };
        let Some(fetch) = self.fetch.as_mut().filter(is_this) else { return false };
        fetch.known = Some((name, pieces));
        fetch.stored = fetch.stored.max(next);
        fetch.come = fetch.come.max(next);
        fetch.asked = fetch.asked.max(next);
        fetch.parked = fetch.parked.split_off(&fetch.come);
        fetch.heard_tick = tick;
        fetch.retries = 0;
        assert!(fetch.stored <= pieces, "there are no more pieces than the first one says");
        true
    }

    /// All is there: it waits for the protocol now.
    pub(crate) fn on_whole(&mut self) {
        if let Some(fetch) = &mut self.fetch {
            fetch.whole = true;
        }
    }

    /// Nothing is fetched any more. Whether there was something.
    pub(crate) fn stop(&mut self) -> bool {
        self.fetch.take().is_some()
    }

    /// The same, and no other one is fetched before this tick.
    pub(crate) fn stop_until(&mut self, tick: u64) {
        self.stop();
        self.not_before = tick;
    }

    /// Time has passed: what did not come is asked for again, and a source that says nothing for long is given up; what is stored stays.
    pub(crate) fn on_tick(&mut self, config: &ReplicaConfig, tick: u64) {
        let Some(fetch) = &mut self.fetch else { return };
        if fetch.whole || tick < fetch.heard_tick + config.snapshot_retry_ticks {
            return;
        }
        fetch.heard_tick = tick;
        fetch.retries += 1;
        // What came may wait for the disk: only what is not here is asked for again.
        fetch.asked = fetch.come;
        if fetch.retries > RETRIES_MAX {
            self.fetch = None;
        }
    }

    /// When it must be looked at again.
    pub(crate) fn next_tick(&self, config: &ReplicaConfig) -> Option<u64> {
        let fetch = self.fetch.as_ref().filter(|fetch| !fetch.whole)?;
        Some(fetch.heard_tick + config.snapshot_retry_ticks)
    }
}

/// What peers ask this node for.
#[derive(Debug, Default)]
pub(crate) struct Supplier {
    /// Who asks, and for what. Invariant: bounded by `snapshot_asks_len_max`.
    asks: VecDeque<Ask>,
    /// How many pieces are being read.
    reading: usize,
    /// How many bytes may be sent now; below zero after a piece that was larger than what was left.
    credit_bytes: i64,
    /// What each peer fetches, from here or from elsewhere, and when it last said so.
    pins: BTreeMap<NodeId, (EntryId, u64)>,
}

/// A piece that a peer asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) to: NodeId,
    pub(crate) last: EntryId,
    pub(crate) piece: u64,
}

impl Supplier {
    /// A peer asks for a piece. Beyond the bound it is forgotten: the peer asks again.
    pub(crate) fn on_ask(&mut self, ask: Ask, config: &ReplicaConfig, tick: u64) {
        self.on_fetching(ask.to, ask.last, tick);
        if self.asks.len() < config.snapshot_asks_len_max && !self.asks.contains(&ask) {
            self.asks.push_back(ask);
        }
    }

    /// A peer fetches this snapshot: it and the log behind it are kept for a while.
    pub(crate) fn on_fetching(&mut self, peer: NodeId, last: EntryId, tick: u64) {
        self.pins.insert(peer, (last, tick));
    }

    /// Time has passed: more may be sent, and peers that no longer ask are forgotten.
    pub(crate) fn on_tick(&mut self, elapsed: u64, config: &ReplicaConfig, tick: u64) {
        let more = config.snapshot_send_bytes_per_tick.saturating_mul(elapsed);
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        // What was not used within a tick is not saved up: that would be a burst.
        let most = i64::try_from(config.snapshot_send_bytes_per_tick).unwrap_or(i64::MAX);
        self.credit_bytes = self.credit_bytes.saturating_add(more).min(most);
        self.pins.retain(|_, (_, at)| *at + config.snapshot_pin_ticks > tick);
    }

    /// The next piece to read, as far as the rate allows.
    pub(crate) fn next(&mut self) -> Option<Ask> {
        if self.credit_bytes <= 0 || self.reading >= READS_MAX {
            return None;
        }
        let ask = self.asks.pop_front()?;
        self.reading += 1;
        Some(ask)
    }

    /// A piece of this length was read.
    pub(crate) fn on_read(&mut self, bytes: usize) {
        self.reading = self.reading.checked_sub(1).expect("only what was asked for is read");
        self.credit_bytes = self.credit_bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Whether something waits for nothing but time.
    pub(crate) fn waits_for_credit(&self) -> bool {
        !self.asks.is_empty() && self.credit_bytes <= 0
    }

    /// The snapshots that peers fetch.
    pub(crate) fn pinned(&self) -> Vec<EntryId> {
        self.pins.values().map(|(last, _)| *last).collect()
    }

    /// The lowest index that a peer which fetches will go on from.
    pub(crate) fn pinned_index(&self) -> Option<Index> {
        self.pins.values().map(|(last, _)| last.index).min()
    }
}

/// After so many times without an answer another source may be tried.
const RETRIES_MAX: u64 = 3;
/// How many pieces are read at the same time: they are in memory until they are sent.
const READS_MAX: usize = 4;
