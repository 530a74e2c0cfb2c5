//! One node from outside: its disk, its clocks, and whether it runs. What dies in a crash stands in `running.rs`.

use bytes::Bytes;
use quorate_core::status::{Role, Status};
use quorate_core::types::{Index, NodeId};
use quorate_log::LogError;
use quorate_replica::cluster::ClusterRequest;
use quorate_replica::input::{Input, Now};
use quorate_replica::peer_codec;

use crate::check::Violation;
use crate::clock::Clock;
use crate::disk::SimDisk;
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::running::{NotStarted, Running, Stopped};
use crate::scene::{Event, Life, Scene, Work};
use crate::workload::{Request, Response, ResponseKind};

/// A message as it comes off the wire.
#[derive(Debug)]
pub struct Frame {
    /// The sender.
    pub from: NodeId,
    /// The kind of the frame.
    pub kind: u8,
    /// Its body.
    pub body: Bytes,
    /// The incarnation of the sender's store.
    pub incarnation: u128,
}

/// A node, running or not.
pub struct Member {
    node: NodeId,
    disk: SimDisk,
    starts: u64,
    running: Option<Running>,
    clock: Clock,
    /// The monotonic clock of a node with leases: it runs at a rate of its own, and stands still for nobody.
    steady: Option<Clock>,
    /// What its data folder has gone through.
    store: Store,
    /// What its wall clock shows at the start of the run, in milliseconds since 1970.
    wall_offset_ms: u64,
    /// The process does nothing before this time.
    paused_until_us: u64,
    /// The disk does nothing before this time.
    stalled_until_us: u64,
    /// The disk under the present store may have lied about what it holds; also a store that was wiped before.
    disk_lied: bool,
    /// It is never started again.
    retired: bool,
}

/// What a data folder has gone through.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Store {
    /// Nothing but crashes and errors that the disk confessed.
    Sound,
    /// It has lost what other nodes still have: the node starts, gets that back, and is sound again.
    Repairing,
    /// Something on it was damaged: the node may refuse to start, which is safe.
    Damaged,
    /// It once said that it had synced and had not, or gave other bytes than those asked for: no log can survive that, it can only be
    /// noticed.
    Lied,
    /// All was deleted: the node forgot its votes, and its peers must refuse it.
    Wiped,
}

impl Member {
    /// A node that has never been started.
    pub fn new(node: NodeId, disk: SimDisk, clock_per_mille: u64) -> Member {
        Member {
            node,
            disk,
            starts: 0,
            running: None,
            clock: Clock::new(clock_per_mille),
            steady: None,
            store: Store::Sound,
            wall_offset_ms: WALL_START_MS,
            paused_until_us: 0,
            stalled_until_us: 0,
            disk_lied: false,
            retired: false,
        }
    }

    /// The same node, with leases, by a monotonic clock that runs at this rate.
    #[must_use]
    pub fn with_steady_clock(mut self, per_mille: Option<u64>) -> Member {
        self.steady = per_mille.map(Clock::new);
        self
    }

    /// The monotonic clock runs at another rate from now on.
    pub fn set_steady_clock(&mut self, now_us: u64, per_mille: u64) {
        if let Some(steady) = &mut self.steady {
            steady.set(now_us, now_us, per_mille);
        }
    }

    /// Which node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whether it is never started again.
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// The node's disk, for faults of it.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// What the data folder has gone through.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Notes that the data folder is no longer sound. What happened before and is worse stays.
    pub fn note_damage(&mut self, damage: Store) {
        self.disk_lied |= damage == Store::Lied;
        if matches!(self.store, Store::Sound | Store::Repairing | Store::Damaged) {
            self.store = damage;
        }
    }

    /// All that the node ever stored is deleted while it is down; its next start finds an empty folder.
    pub fn wipe(&mut self, scene: &mut Scene, rng: Rng) {
        self.crash(scene, true);
        self.disk = SimDisk::new(rng);
        self.store = Store::Wiped;
        self.disk_lied = false;
        scene.checks.on_wipe(self.node);
        scene.mark(self.node, || "loses all that it ever stored".into());
    }

    /// Whether this node's store has met the one of `peer`.
    pub fn knows(&self, peer: NodeId) -> bool {
        self.running.as_ref().is_some_and(|running| running.knows(peer))
    }

    /// The clock runs at another rate from `since_us` on, and stands still until then.
    pub fn set_clock(&mut self, scene: &mut Scene, since_us: u64, per_mille: u64) {
        self.clock.set(scene.now_us, since_us, per_mille);
        if let Some(running) = &mut self.running {
            running.on_clock(scene, self.clock);
        }
    }

    /// At how many thousandths of true time the clock runs.
    pub fn clock_per_mille(&self) -> u64 {
        self.clock.per_mille
    }

    /// The node is never started again.
    pub fn retire(&mut self, scene: &mut Scene) {
        self.crash(scene, true);
        self.retired = true;
    }

    /// Whether the node runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the node runs and believes that it leads.
    pub fn leads(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.raft().role() == Role::Leader)
    }

    /// Whether the node runs and stands for election.
    pub fn stands(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.raft().role() == Role::Candidate)
    }

    /// The voters by its log, if the node runs and believes that it leads with a lease.
    pub fn lease(&self) -> Option<Vec<NodeId>> {
        let raft = self.running.as_ref()?.raft();
        raft.lease_left_us()?;
        Some(raft.membership().voters.iter().copied().collect())
    }

    /// The last index of its log, if it runs.
    pub fn last_index(&self) -> Option<Index> {
        self.running.as_ref().map(|running| running.raft().last().index)
    }

    /// The node's state machine, if it runs.
    pub fn state(&self) -> Option<&Ledger> {
        self.running.as_ref().map(Running::state)
    }

    /// The node as it sees itself, if it runs.
    pub fn status(&self) -> Option<Status> {
        self.running.as_ref().map(|running| running.raft().status())
    }

    /// The node's line.
    pub fn status_line(&self) -> String {
        match &self.running {
            Some(running) => running.raft().status().to_string(),
            None => format!("{} is down", self.node),
        }
    }

    /// What is not as it should be with the node, each in a few words.
    pub fn conditions(&self, now_us: u64) -> Vec<String> {
        let until = |what: &str, until_us: u64| match until_us {
            until_us if until_us <= now_us => None,
            until_us if until_us > now_us + HOUR_US => Some(format!("{what} for good")),
            until_us => Some(format!("{what} until {}.{:06}", until_us / 1_000_000, until_us % 1_000_000)),
        };
        let store = match self.store {
            Store::Sound => None,
            Store::Repairing => Some("its disk has lost what others have"),
            Store::Damaged => Some("its disk was damaged"),
            Store::Lied => Some("its disk lied about what it holds"),
            Store::Wiped => Some("all that it ever stored was deleted"),
        };
        let rate = self.clock.per_mille;
        let conditions = [
            store.map(str::to_owned),
            until("its process stands still", self.paused_until_us),
            until("its disk stands still", self.stalled_until_us),
            until("its clock stands still", self.clock.since_us),
            (rate != 1000).then(|| format!("its clock runs at {rate} of 1000")),
            self.steady.map(|steady| format!("its monotonic clock runs at {} of 1000", steady.per_mille)),
            (self.wall_offset_ms != WALL_START_MS).then(|| {
                let by_ms = self.wall_offset_ms.abs_diff(WALL_START_MS);
                let way = if self.wall_offset_ms > WALL_START_MS { "ahead" } else { "behind" };
                format!("its wall clock is {} h {way}", by_ms / 3_600_000)
            }),
            self.disk.is_troubled().then(|| "its disk fails or is about to".into()),
            self.retired.then(|| "it is never started again".into()),
        ];
        conditions.into_iter().flatten().collect()
    }

    /// Opens the log and starts. A disk that does not let the log open is tried again later, as an operator would; a damaged
    /// one stays down, which is safe.
    ///
    /// # Errors
    /// When the log gives back less than was durable, or does not open although the disk is sound.
    pub fn start(&mut self, scene: &mut Scene) -> Result<(), Violation> {
        if self.running.is_some() || self.retired {
            return Ok(());
        }
        self.starts += 1;
        let node = self.node;
        let life = Life { node, number: self.starts };
        let troubled = self.disk.is_troubled();
        let incarnation = u128::from(node.get()) << 64 | u128::from(self.starts);
        match Running::start(life, self.disk.clone(), incarnation, self.clock, scene) {
            Ok(running) if self.store == Store::Sound && running.is_damaged() => {
                return Err(Violation::safety(
                    "a sound disk loses nothing",
                    running.raft().status().to_string(),
                ));
            }
            Ok(running) => {
                self.running = Some(running);
                return Ok(());
            }
            Err(NotStarted::Level) => scene.after(STOPPED_PAUSE_US, Event::Restart(node)),
            Err(NotStarted::Broken(violation)) if !self.disk_lied => return Err(violation),
            Err(NotStarted::Broken(violation)) => {
                scene.mark(node, || format!("stays down, its disk lied: {violation}"));
                scene.count("lie of a disk that only its peers could notice");
                self.retired = true;
            }
            Err(NotStarted::Disk(
                LogError::Io { .. } | LogError::Full { .. } | LogError::NotWritable { .. },
            )) if troubled => {
                scene.count("start refused by a failing disk");
                scene.after(STOPPED_PAUSE_US, Event::Restart(node));
            }
            Err(NotStarted::Disk(error)) if !matches!(self.store, Store::Sound | Store::Repairing) => {
                scene.mark(node, || format!("stays down: {error}"));
                scene.count("start refused on a damaged disk");
                self.retired = true;
            }
            Err(NotStarted::Disk(error)) => {
                return Err(Violation::safety(
                    "a sound disk opens after any crash",
                    format!("{node}: {error}; it holds {}", self.disk.names().join(", ")),
                ));
            }
        }
        Ok(())
    }

    /// The process dies. With `power`, what was not synced is kept, lost or torn as the disk decides; else the operating
    /// system still holds it.
    pub fn crash(&mut self, scene: &mut Scene, power: bool) {
        if self.running.take().is_none() {
            return;
        }
        if power {
            self.disk.crash();
        }
        self.paused_until_us = 0;
        self.stalled_until_us = 0;
        scene.mark(self.node, || if power { "loses its power".into() } else { "is killed".into() });
    }

    /// The process does nothing for a while, as under SIGSTOP. Its clocks go on.
    pub fn pause(&mut self, until_us: u64) {
        self.paused_until_us = until_us;
    }

    /// The disk does nothing for a while.
    pub fn stall_disk(&mut self, until_us: u64) {
        self.stalled_until_us = until_us;
    }

    /// The wall clock jumps: it would have shown this at the start of the run.
    pub fn set_wall(&mut self, offset_ms: u64) {
        self.wall_offset_ms = offset_ms;
    }

    /// Ends pauses, stalls, and what the disk might still do wrong.
    pub fn heal(&mut self) {
        self.disk.heal();
        self.paused_until_us = 0;
        self.stalled_until_us = 0;
    }

    /// An alarm of the node's clock rings.
    pub fn on_tick(&mut self, scene: &mut Scene, life: Life) {
        if let Some(running) = self.living(life) {
            running.on_alarm(scene);
        }
    }

    /// The node stands for election out of turn.
    pub fn campaign(&mut self, scene: &mut Scene) {
        if let Some(running) = &mut self.running {
            running.take(scene, Input::Campaign);
        }
    }

    /// An operator asks this node, if it runs, for something that concerns the whole cluster.
    pub fn on_cluster(&mut self, scene: &mut Scene, request: ClusterRequest) -> bool {
        match &mut self.running {
            Some(running) => running.on_cluster(scene, request),
            None => return false,
        }
        true
    }

    /// A message arrives. It was bytes on the wire and becomes a message again here. `incarnation` is the store that its sender
    /// showed in the handshake.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub fn on_message(&mut self, scene: &mut Scene, frame: Frame) -> Result<(), Violation> {
        let Frame { from, kind, body, incarnation } = frame;
        let wiped = self.store == Store::Wiped;
        let Some(running) = &mut self.running else { return Ok(()) };
        match running.welcomes(from, incarnation) {
            // A peer refuses the wiped node in the handshake, so nothing comes from there either.
            Ok(()) if wiped => return Ok(()),
            Ok(()) => {}
            Err(LogError::OtherIncarnation { .. }) => {
                scene.count("wiped node refused");
                return Ok(());
            }
            // The handshake failed on the own disk: no connection.
            Err(_) => return Ok(()),
        }
        let message = peer_codec::decode(kind, body).map_err(|error| {
            Violation::safety("what was encoded decodes", format!("kind {kind} from {from}: {error}"))
        })?;
        running.take(scene, Input::Received { from, message });
        Ok(())
    }

    /// A client's request arrives.
    pub fn on_request(&mut self, scene: &mut Scene, request: Request) {
        if let Some(running) = &mut self.running {
            running.on_request(scene, request);
        } else {
            let response = Response { request: request.name, kind: ResponseKind::Refused };
            scene.after(crate::workload::CLIENT_DELAY_US, Event::Response(response));
        }
    }

    /// A part of the node has something to do. A process that is paused does nothing, a disk that is stalled neither.
    ///
    /// # Errors
    /// When a check fails.
    pub fn on_work(&mut self, scene: &mut Scene, life: Life, work: Work) -> Result<(), Violation> {
        let (paused, stalled) = (self.paused_until_us, self.stalled_until_us);
        let clocks = (self.clock, self.steady, self.wall_offset_ms);
        let Some(running) = self.living(life) else { return Ok(()) };
        let wait = match work {
            Work::Turn | Work::Apply => paused,
            Work::LogWrite
            | Work::LogSync
            | Work::FetchPlan(_)
            | Work::FetchRead { .. }
            | Work::SnapshotWrite
            | Work::SnapshotFinish
            | Work::Compact { .. }
            | Work::ReadPiece { .. }
            | Work::StorePiece => paused.max(stalled),
        };
        if wait > scene.now_us {
            scene.at(wait, Event::Work(life, work));
            return Ok(());
        }
        let stopped = match work {
            Work::Turn => running.turn(scene, now(scene.now_us, clocks))?,
            Work::LogWrite => running.log_write(scene),
            Work::LogSync => running.log_sync(scene)?,
            Work::FetchPlan(wanted) => running.plan(scene, wanted),
            Work::FetchRead { purpose, plan } => running.read_back(scene, purpose, &plan),
            Work::Apply => running.apply_next(scene)?,
            Work::SnapshotWrite => running.snapshot_write(scene),
            Work::SnapshotFinish => running.snapshot_finish(scene),
            Work::Compact { through, keep } => running.compact(scene, through, &keep),
            Work::ReadPiece { to, last, piece } => running.read_piece(scene, to, last, piece),
            Work::StorePiece => running.store_next(scene),
        };
        if self.store == Store::Repairing
            && self.running.as_ref().is_some_and(|running| !running.is_damaged())
            // A snapshot that gives it all back may still be on its way to the disk.
            && !scene.checks.is_damaged(self.node)
        {
            scene.count("damage: all that was lost is back");
            self.store = Store::Sound;
        }
        match stopped {
            Stopped::No => {}
            Stopped::Disk => {
                scene.count("node stopped by its disk");
                self.crash(scene, false);
                scene.after(STOPPED_PAUSE_US, Event::Restart(self.node));
            }
            Stopped::Level => {
                self.crash(scene, false);
                scene.after(STOPPED_PAUSE_US, Event::Restart(self.node));
            }
            Stopped::Power => {
                self.crash(scene, true);
                scene.after(STOPPED_PAUSE_US, Event::Restart(self.node));
            }
        }
        Ok(())
    }

    fn living(&mut self, life: Life) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.life() == life)
    }
}

/// What a node reads at the beginning of a turn: of its clock, of the monotonic one that leases rest on, and of the wall clock that began at
/// this offset.
fn now(now_us: u64, (clock, steady, wall_offset_ms): (Clock, Option<Clock>, u64)) -> Now {
    let shown_us = clock.shows(now_us);
    let monotonic_us = steady.map_or(shown_us, |steady| steady.shows(now_us));
    Now { monotonic_us, wall_ms: wall_offset_ms + shown_us / 1000 }
}

/// What the wall clocks show at the start of a run: a morning in 2026.
pub const WALL_START_MS: u64 = 1_790_000_000_000;

/// What ends later than this does not end within a run.
const HOUR_US: u64 = 3_600_000_000;

/// How long a node that stopped by itself stays down.
const STOPPED_PAUSE_US: u64 = 200_000;
