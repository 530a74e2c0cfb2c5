//! The log worker of a running node: a batch is written, and its sync is an event of its own, so that a crash can fall
//! between the two. What waited for durability leaves when the sync has returned.

use quorate_log::{Content, LogError};
use quorate_replica::input::Input;
use quorate_replica::peer_message::PeerMessage;

use crate::check::Violation;
use crate::running::{Running, Stopped};
use crate::scene::{Event, Scene, Work};

impl Running {
    /// The log worker writes; the sync is an event of its own.
    pub(crate) fn log_write(&mut self, scene: &mut Scene) -> Stopped {
        assert!(self.writing.is_empty(), "the log worker does one batch at a time");
        let count = self.writes.len().min(scene.profile.limits.sync_writes_max);
        self.writing = self.writes.drain(..count).collect();
        let batch: Vec<Content<'_>> = self.writing.iter().map(Content::from).collect();
        match self.log.write(&batch) {
            Ok(()) => {}
            Err(LogError::Full { .. }) => self.on_full(scene),
            Err(error) => {
                scene.mark(self.life.node, || format!("stops: {error}"));
                return Stopped::Disk;
            }
        }
        if scene.is_faulty() && scene.delays.chance(scene.profile.faults.crash_before_sync_per_mille) {
            scene.count("power lost between write and sync");
            return Stopped::Power;
        }
        let mean_us = scene.sync_mean_us(self.life.node);
        let sync_us = 50 + scene.delays.exponential(mean_us);
        scene.after(sync_us, Event::Work(self.life, Work::LogSync));
        Stopped::No
    }

    /// The disk had no room for all of the batch: what was not written goes, with all that waits behind it. The core hears of it
    /// behind the end of the sync.
    fn on_full(&mut self, scene: &mut Scene) {
        let written = self.log.written();
        let first = self.writing.iter().find(|write| write.number > written).map(|write| write.number);
        self.refused = Some(first.expect("a batch that found no room has a write that did not"));
        self.refuses = true;
        self.writing.retain(|write| write.number <= written);
        self.writes.clear();
        scene.mark(self.life.node, || format!("finds no room on its disk from {:?} on", self.refused));
    }

    /// The log worker's sync returns: the messages that waited for it leave.
    pub(crate) fn log_sync(&mut self, scene: &mut Scene) -> Result<Stopped, Violation> {
        let node = self.life.node;
        let durable = match self.log.sync() {
            Ok(durable) => durable,
            Err(error) => {
                scene.mark(node, || format!("stops: {error}"));
                return Ok(Stopped::Disk);
            }
        };
        scene.mark(node, || format!("sync {:?}", durable.number()));
        scene.checks.on_durable(node, durable.number())?;
        for write in std::mem::take(&mut self.writing) {
            for envelope in write.barrier.release(durable) {
                self.send(scene, envelope.to, &PeerMessage::Raft(envelope))?;
            }
        }
        self.log_is_busy = false;
        self.take(scene, Input::Persisted(durable.number()));
        if let Some(from) = self.refused.take() {
            scene.checks.on_no_room(node, from);
            self.take(scene, Input::NoRoom { from });
        }
        self.wake_log(scene);
        Ok(Stopped::No)
    }
}
