//! A run: nodes, clients, network and faults over one queue of events, first with everything that can go wrong, then healed
//! and held to converge.

use std::collections::BTreeMap;

use quorate_core::types::{Index, NodeId};

use crate::check::Violation;
use crate::disk::SimDisk;
use crate::faults::Faults;
use crate::member::Member;
use crate::network::{Network, NetworkOptions};
use crate::profile::{Profile, SECOND_US};
use crate::rng::Rng;
use crate::scene::{Event, Scene};
use crate::trace::{Trace, TraceMode};
use crate::workload::{Client, ClientId};

/// A run of one seed.
pub struct World {
    scene: Scene,
    members: BTreeMap<NodeId, Member>,
    clients: Vec<Client>,
    faults: Faults,
}

/// What a run that held all rules did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Virtual time that passed, in microseconds.
    pub simulated_us: u64,
    /// How many events happened.
    pub events: u64,
    /// Committed entries.
    pub committed: u64,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Served reads.
    pub reads: u64,
    /// Leaders.
    pub leaders: u64,
    /// How often each named thing happened.
    pub counters: BTreeMap<&'static str, u64>,
    /// What stands for the whole trace; only with a trace.
    pub fingerprint: u64,
}

impl World {
    /// The world of this seed before its first event.
    pub fn new(seed: u64, trace: TraceMode) -> World {
        World::with_profile(seed, Profile::draw(seed), trace)
    }

    /// The world of this seed with settings of the caller's choice.
    pub fn with_profile(seed: u64, profile: Profile, trace: TraceMode) -> World {
        let network = Network::new(network_options(&profile), Rng::stream(seed, "network"));
        let scene = Scene::new(seed, profile, network, Trace::new(trace));
        let mut clocks = Rng::stream(seed, "clocks");
        let members = scene
            .voters
            .iter()
            .map(|node| {
                let disk = SimDisk::new(Rng::stream(seed, &format!("disk {node}")));
                let drift = scene.profile.faults.clock_rate_per_mille;
                let clock_per_mille = clocks.between(1000 - drift, 1000 + drift);
                (*node, Member::new(*node, disk, clock_per_mille))
            })
            .collect();
        let clients = (1..=scene.profile.clients).map(|id| Client::new(seed, ClientId(id))).collect();
        World { scene, members, clients, faults: Faults::new(seed) }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first rule that did not hold.
    pub fn run(&mut self) -> Result<Report, Violation> {
        for member in self.members.values_mut() {
            member.start(&mut self.scene)?;
        }
        for client in &mut self.clients {
            client.start(&mut self.scene);
        }
        self.faults.schedule(&mut self.scene);
        let mut events = 0;
        while self.scene.next_at().is_some_and(|at_us| at_us < self.scene.profile.faulty_us) {
            self.advance()?;
            events += 1;
        }
        self.heal()?;
        let deadline_us = self.scene.profile.faulty_us + self.scene.profile.healing_us_max;
        while !self.has_converged() {
            if self.scene.now_us > deadline_us {
                return Err(Violation::liveness("a healed cluster converges and serves", self.describe()));
            }
            self.advance()?;
            events += 1;
        }
        self.check_final()?;
        Ok(self.report(events))
    }

    /// The virtual time so far, in microseconds.
    pub fn now_us(&self) -> u64 {
        self.scene.now_us
    }

    /// The lines of the run so far.
    pub fn trace(&self) -> &Trace {
        &self.scene.trace
    }

    /// Lets the next event happen.
    fn advance(&mut self) -> Result<(), Violation> {
        let event = self.scene.take_next().expect("the clocks of the nodes never end");
        let scene = &mut self.scene;
        match event {
            Event::Tick(life) => member(&mut self.members, life.node).on_tick(scene, life),
            Event::Work(life, work) => member(&mut self.members, life.node).on_work(scene, life, work)?,
            Event::Arrive { from, to, kind, body } => {
                member(&mut self.members, to).on_message(scene, from, kind, &body)?;
            }
            Event::Request { node, request } => member(&mut self.members, node).on_request(scene, request),
            Event::Response(response) => {
                client(&mut self.clients, response.request.client).on_response(scene, response)?;
            }
            Event::Wake { client: id, alarm } => client(&mut self.clients, id).on_wake(scene, alarm),
            Event::Fault if scene.is_faulty() => self.faults.strike(scene, &mut self.members),
            Event::Fault => {}
            Event::Restart(node) => member(&mut self.members, node).start(scene)?,
            Event::Heal => {
                scene.line("net", || "all links are joined".into());
                scene.network.heal();
            }
        }
        Ok(())
    }

    /// Ends all faults: from now on nothing stands in the way.
    fn heal(&mut self) -> Result<(), Violation> {
        self.scene.now_us = self.scene.now_us.max(self.scene.profile.faulty_us);
        self.scene.line("world", || "is healed".into());
        self.scene.end_faults();
        for member in self.members.values_mut() {
            member.heal();
            member.start(&mut self.scene)?;
        }
        for client in &mut self.clients {
            client.finish();
        }
        Ok(())
    }

    /// Every client has had one more answer, and every node has applied all that is committed.
    fn has_converged(&self) -> bool {
        let committed = self.scene.checks.committed();
        let leads = self.members.values().filter(|member| member.leads()).count() == 1;
        leads
            && self.clients.iter().all(Client::is_done)
            && self.scene.voters.iter().all(|node| self.scene.checks.applied(*node) == committed)
            && self.members.values().all(Member::is_running)
    }

    fn check_final(&mut self) -> Result<(), Violation> {
        for (node, member) in &self.members {
            let state = member.state().expect("a converged node runs");
            for client in &self.clients {
                client.check_final(*node, state)?;
            }
        }
        let state = self.members.values().find_map(Member::state).expect("a converged node runs");
        if !self.scene.recorder.check_final(self.scene.profile.clients, state)? {
            self.scene.count("history without a verdict");
        }
        Ok(())
    }

    /// Where everybody stands, for the report of a failure.
    pub fn describe(&self) -> String {
        let committed: Index = self.scene.checks.committed();
        let waiting = self.clients.iter().filter(|client| !client.is_done()).count();
        let mut text = format!("committed {committed}, {waiting} clients wait");
        for (node, member) in &self.members {
            text.push_str(&format!(
                "\n  {}  applied {}",
                member.status_line(),
                self.scene.checks.applied(*node)
            ));
        }
        text
    }

    fn report(&mut self, events: u64) -> Report {
        let network = self.scene.network.counters();
        let mut counters = self.scene.counters.clone();
        for (name, count) in [
            ("message lost", network.lost),
            ("message repeated", network.repeated),
            ("message straggled", network.straggled),
            ("message met a cut", network.cut),
            ("message sent", network.sent),
        ] {
            counters.insert(name, count);
        }
        Report {
            simulated_us: self.scene.now_us,
            events,
            committed: self.scene.checks.committed().0,
            acknowledged: self.scene.checks.linearizable.acknowledged(),
            reads: self.scene.checks.linearizable.reads(),
            leaders: self.scene.checks.leaders(),
            counters,
            fingerprint: self.scene.trace.fingerprint(),
        }
    }
}

impl Report {
    /// Adds another run.
    pub fn add(&mut self, other: &Report) {
        self.simulated_us += other.simulated_us;
        self.events += other.events;
        self.committed += other.committed;
        self.acknowledged += other.acknowledged;
        self.reads += other.reads;
        self.leaders += other.leaders;
        for (name, count) in &other.counters {
            *self.counters.entry(name).or_default() += count;
        }
    }

    /// Whole simulated seconds.
    pub fn simulated_seconds(&self) -> u64 {
        self.simulated_us / SECOND_US
    }
}

fn network_options(profile: &Profile) -> NetworkOptions {
    NetworkOptions {
        delay_min_us: 50,
        delay_mean_us: profile.faults.delay_mean_us,
        loss_per_mille: profile.faults.loss_per_mille,
        repeat_per_mille: profile.faults.repeat_per_mille,
        straggle_per_mille: profile.faults.straggle_per_mille,
        ordered: !profile.faults.reorder,
    }
}

fn member(members: &mut BTreeMap<NodeId, Member>, node: NodeId) -> &mut Member {
    members.get_mut(&node).expect("events name members only")
}

fn client(clients: &mut [Client], id: ClientId) -> &mut Client {
    let place = usize::try_from(id.0 - 1).expect("clients are few");
    clients.get_mut(place).expect("events name clients that exist")
}
