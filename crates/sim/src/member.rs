//! One node from outside: its disk, its clocks, and whether it runs. What dies in a crash stands in `running.rs`.

use bytes::Bytes;
use quorate_core::status::Role;
use quorate_core::types::NodeId;
use quorate_replica::input::{Input, Now};
use quorate_replica::peer_codec;

use crate::check::Violation;
use crate::disk::SimDisk;
use crate::ledger::Ledger;
use crate::running::{Running, Stopped};
use crate::scene::{Event, Life, Scene, Work};
use crate::workload::{Request, Response, ResponseKind};

/// A node, running or not.
pub struct Member {
    node: NodeId,
    disk: SimDisk,
    starts: u64,
    running: Option<Running>,
    /// Its clock runs at this many thousandths of true time.
    clock_per_mille: u64,
    /// What its wall clock shows at the start of the run, in milliseconds since 1970.
    wall_offset_ms: u64,
    /// The process does nothing before this time.
    paused_until_us: u64,
    /// The disk does nothing before this time.
    stalled_until_us: u64,
}

impl Member {
    /// A node that has never been started.
    pub fn new(node: NodeId, disk: SimDisk, clock_per_mille: u64) -> Member {
        assert!(clock_per_mille > 0, "a clock that stands still never starts an election");
        Member {
            node,
            disk,
            starts: 0,
            running: None,
            clock_per_mille,
            wall_offset_ms: WALL_START_MS,
            paused_until_us: 0,
            stalled_until_us: 0,
        }
    }

    /// Whether the node runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the node runs and believes that it leads.
    pub fn leads(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.raft().role() == Role::Leader)
    }

    /// The node's state machine, if it runs.
    pub fn state(&self) -> Option<&Ledger> {
        self.running.as_ref().map(Running::state)
    }

    /// The node's line.
    pub fn status_line(&self) -> String {
        match &self.running {
            Some(running) => running.raft().status().to_string(),
            None => format!("{} is down", self.node),
        }
    }

    /// Opens the log and starts. A disk that does not let the log open is tried again later, as an operator would.
    ///
    /// # Errors
    /// When the log gives back less than was durable, or does not open although the disk is sound.
    pub fn start(&mut self, scene: &mut Scene) -> Result<(), Violation> {
        if self.running.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let life = Life { node: self.node, number: self.starts };
        let running = Running::start(life, self.disk.clone(), scene)?;
        self.running = Some(running);
        scene.after(self.tick_us(), Event::Tick(life));
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
        scene.line(self.node, || if power { "loses its power".into() } else { "is killed".into() });
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

    /// Ends pauses and stalls.
    pub fn heal(&mut self) {
        self.paused_until_us = 0;
        self.stalled_until_us = 0;
    }

    /// The node's clock ticks.
    pub fn on_tick(&mut self, scene: &mut Scene, life: Life) {
        let tick_us = self.tick_us();
        let Some(running) = self.living(life) else { return };
        scene.after(tick_us, Event::Tick(life));
        running.take(scene, Input::Tick { elapsed: 1 });
    }

    /// The node stands for election out of turn.
    pub fn campaign(&mut self, scene: &mut Scene) {
        if let Some(running) = &mut self.running {
            running.take(scene, Input::Campaign);
        }
    }

    /// A message arrives. It was bytes on the wire and becomes a message again here.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub fn on_message(
        &mut self,
        scene: &mut Scene,
        from: NodeId,
        kind: u8,
        body: &Bytes,
    ) -> Result<(), Violation> {
        let Some(running) = &mut self.running else { return Ok(()) };
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
        let now = self.now(scene);
        let (paused, stalled) = (self.paused_until_us, self.stalled_until_us);
        let Some(running) = self.living(life) else { return Ok(()) };
        let wait = match work {
            Work::Turn | Work::Apply => paused,
            Work::LogWrite | Work::LogSync | Work::FetchPlan(_) | Work::FetchRead { .. } => {
                paused.max(stalled)
            }
        };
        if wait > scene.now_us {
            scene.at(wait, Event::Work(life, work));
            return Ok(());
        }
        let stopped = match work {
            Work::Turn => running.turn(scene, now)?,
            Work::LogWrite => running.log_write(scene),
            Work::LogSync => running.log_sync(scene)?,
            Work::FetchPlan(wanted) => running.plan(scene, wanted),
            Work::FetchRead { purpose, plan } => running.read_back(scene, purpose, &plan),
            Work::Apply => running.apply_next(scene)?,
        };
        match stopped {
            Stopped::No => {}
            Stopped::Disk => {
                scene.count("node stopped by its disk");
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

    fn tick_us(&self) -> u64 {
        TICK_US * 1000 / self.clock_per_mille
    }

    fn now(&self, scene: &Scene) -> Now {
        let monotonic_us = scene.now_us * self.clock_per_mille / 1000;
        Now { monotonic_us, wall_ms: self.wall_offset_ms + monotonic_us / 1000 }
    }
}

/// What the wall clocks show at the start of a run: a morning in 2026.
pub const WALL_START_MS: u64 = 1_790_000_000_000;

/// A tick of a clock that runs true.
const TICK_US: u64 = 10_000;

/// How long a node that stopped by itself stays down.
const STOPPED_PAUSE_US: u64 = 200_000;
