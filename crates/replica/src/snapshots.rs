//! The snapshots of one member: its own, those that it gives to peers, and the one that it gets.

use bytes::Bytes;
use quorate_core::ready;
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};
use quorate_core::types::{EntryId, Index, NodeId};

use crate::effect::Effect;
use crate::input::Piece;
use crate::peer_message::PeerMessage;
use crate::replica::Replica;
use crate::snapshot_fetch::{Ask, Fetcher, Supplier};
use crate::snapshot_policy::SnapshotPolicy;

/// All that a replica keeps for snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    pub(crate) policy: SnapshotPolicy,
    pub(crate) fetcher: Fetcher,
    pub(crate) supplier: Supplier,
    /// When the leader was last told what this node fetches.
    told_tick: u64,
}

impl Replica {
    /// Time has passed.
    pub(crate) fn on_snapshot_tick(&mut self, elapsed: u64) {
        self.snapshots.supplier.on_tick(elapsed, &self.config, self.tick);
        self.snapshots.fetcher.on_tick(&self.config, self.tick);
    }

    /// A snapshot of this node is durable, or was found at its start.
    pub(crate) fn on_snapshot_taken(&mut self, name: SnapshotName) {
        self.raft.step(ready::Input::SnapshotTaken { last: name.last });
        self.snapshots.policy.on_taken(name);
        self.metrics.snapshots_taken += 1;
        self.metrics.snapshot_bytes = name.bytes;
        self.cut_log();
    }

    /// The disk is full: what the last snapshot covers goes from the log at once, and another one is taken, for it may make room for more.
    pub(crate) fn on_paused(&mut self) {
        self.snapshots.policy.on_full();
        self.cut_log();
    }

    /// There is no room for what comes of a peer's snapshot: it goes on after a while.
    pub(crate) fn on_piece_no_room(&mut self) {
        self.snapshots.fetcher.stop_until(self.tick + self.config.snapshot_retry_ticks);
    }

    /// A snapshot of this node could not be written.
    pub(crate) fn on_snapshot_failed(&mut self) {
        self.metrics.snapshots_failed += 1;
        self.snapshots.policy.on_failed(self.tick + self.config.snapshot_retry_ticks);
    }

    /// Lets go of what no peer is thought to need any more.
    fn cut_log(&mut self) {
        if self.apply.installing().is_some() {
            // The newest snapshot is not in its place yet, and never will be if the disk has no room for the write that says so: behind an older
            // one there would be nothing to go on with.
            return;
        }
        let supplier = &self.snapshots.supplier;
        // A node whose disk is full needs the room more than any peer the entries: there is the snapshot.
        let full = self.raft.is_paused();
        let slowest = if full { Some(Index(u64::MAX)) } else { self.raft.slowest_peer() };
        let cut = self.snapshots.policy.cut(&self.config, slowest, supplier.pinned_index());
        let Some(through) = cut else { return };
        assert!(through <= self.raft.snapshot().index, "the log is cut behind a snapshot only");
        self.effects.push(Effect::Compact { through, keep: supplier.pinned() });
    }

    /// Takes a snapshot if one is due: behind all batches that were handed over.
    pub(crate) fn take_snapshot(&mut self) {
        let installs = self.apply.installing().is_some();
        if !installs && self.snapshots.policy.is_due(&self.config, self.tick) {
            self.snapshots.policy.on_taking();
            self.effects.push(Effect::TakeSnapshot { term: self.raft.term() });
        }
    }

    /// The leader offers a snapshot of what this node lacks.
    pub(crate) fn on_snapshot_offered(&mut self, from: NodeId, last: EntryId) {
        if !self.apply.is_behind_snapshot() && self.snapshots.fetcher.on_offer(from, last, self.tick) {
            self.metrics.snapshot_fetches += 1;
        }
    }

    /// Asks for what is wanted, tells the leader what is fetched from elsewhere, and reads what peers asked for.
    pub(crate) fn move_pieces(&mut self) {
        if let Some(fetch) = self.snapshots.fetcher.fetch() {
            let (source, last) = (fetch.source, fetch.last);
            if !fetch.whole && !self.raft.lacks(last) {
                // Entries came after all.
                self.snapshots.fetcher.stop();
                self.effects.push(Effect::DiscardSnapshot);
                return;
            }
            for piece in self.snapshots.fetcher.wanted(&self.config) {
                self.send(source, PeerMessage::SnapshotAsk { last, piece });
            }
            let due = self.snapshots.told_tick + self.config.snapshot_retry_ticks <= self.tick;
            // A node that was damaged may lead before what it fetches is known to be needless.
            let is_elsewhere = |leader: &NodeId| *leader != source && *leader != self.raft.node();
            if let Some(leader) = self.raft.leader().filter(is_elsewhere)
                && due
            {
                self.snapshots.told_tick = self.tick;
                self.send(leader, PeerMessage::SnapshotFetching { last });
            }
        }
        while let Some(Ask { to, last, piece }) = self.snapshots.supplier.next() {
            self.effects.push(Effect::ReadPiece { to, last, piece });
        }
    }

    /// A peer asks for a piece.
    pub(crate) fn on_snapshot_ask(&mut self, from: NodeId, last: EntryId, piece: u64) {
        let ask = Ask { to: from, last, piece };
        self.snapshots.supplier.on_ask(ask, &self.config, self.tick);
    }

    /// A piece that a peer asked for was read, or is not to be had.
    pub(crate) fn on_piece_read(&mut self, to: NodeId, last: EntryId, found: Piece) {
        match found {
            Piece::Here { name, piece, bytes } => {
                self.snapshots.supplier.on_read(bytes.len());
                self.metrics.snapshot_bytes_sent += bytes.len() as u64;
                self.send(to, PeerMessage::SnapshotPiece { name, piece, bytes });
            }
            Piece::Gone => {
                self.snapshots.supplier.on_read(0);
                self.send(to, PeerMessage::SnapshotGone { last });
            }
            Piece::Damaged => {
                self.snapshots.supplier.on_read(0);
                self.snapshots.policy.on_wanted();
                self.send(to, PeerMessage::SnapshotGone { last });
            }
        }
    }

    /// A piece came from a peer.
    pub(crate) fn on_snapshot_piece(&mut self, from: NodeId, name: SnapshotName, piece: u64, bytes: Bytes) {
        for (piece, bytes) in self.snapshots.fetcher.on_piece(from, name, piece, bytes) {
            self.metrics.snapshot_bytes_received += bytes.len() as u64;
            self.effects.push(Effect::StorePiece { piece, bytes });
        }
    }

    /// The peer does not have the snapshot any more.
    pub(crate) fn on_snapshot_gone(&mut self, from: NodeId, last: EntryId) {
        let fetch = self.snapshots.fetcher.fetch();
        if fetch.is_some_and(|fetch| fetch.source == from && fetch.last == last && !fetch.whole) {
            self.snapshots.fetcher.stop();
        }
    }

    /// All pieces before `next` are stored; with the last one the snapshot is whole.
    pub(crate) fn on_piece_stored(
        &mut self,
        name: SnapshotName,
        next: u64,
        pieces: u64,
        whole: Option<SnapshotMeta>,
    ) {
        // A fetch that was given up meanwhile is not taken up again by its last pieces: another one may write over them.
        let stored = self.snapshots.fetcher.on_stored(name, next, pieces, self.tick);
        let Some(meta) = whole.filter(|_| stored) else { return };
        self.snapshots.fetcher.on_whole();
        self.raft.step(ready::Input::SnapshotReceived(meta));
    }

    /// What came was not what its first piece had promised.
    pub(crate) fn on_piece_refused(&mut self) {
        self.snapshots.fetcher.stop();
    }

    /// The received snapshot is not wanted: the log got further meanwhile.
    pub(crate) fn on_snapshot_refused(&mut self) {
        self.snapshots.fetcher.stop();
        self.effects.push(Effect::DiscardSnapshot);
    }

    /// The log begins anew behind the received snapshot, as soon as the write that says so is durable. Whoever waited for a place in the log
    /// before that cannot know what became of it here: it is asked for again, under the same request id.
    pub(crate) fn on_installing(&mut self, last: EntryId) {
        if self.apply.installing() == Some(last.index) {
            // The disk had no room for it at first.
            return;
        }
        self.metrics.snapshots_installed += 1;
        self.apply.on_installing(last.index);
        self.snapshots.policy.on_installed(last);
        for number in self.waiters.cut(Index(0)) {
            self.on_replaced(number);
        }
    }

    /// The write is durable: the applier gets the state in its place.
    pub(crate) fn restore(&mut self) {
        let Some(last) = self.apply.take_restore(self.now.monotonic_us) else { return };
        assert!(self.raft.snapshot().index == last, "the newest snapshot is the one that was installed");
        self.snapshots.fetcher.stop();
        self.effects.push(Effect::Restore { last: self.raft.snapshot() });
    }

    /// When something here must be looked at again.
    pub(crate) fn next_snapshot_tick(&self) -> Option<u64> {
        if self.snapshots.supplier.waits_for_credit() {
            return Some(self.tick + 1);
        }
        self.snapshots.fetcher.next_tick(&self.config)
    }
}
