//! A run: nodes, clients, network and faults over one queue of events, first with everything that can go wrong, then healed
//! and held to converge.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::types::{Index, NodeId};

use crate::check::Violation;
use crate::check::guests::Guests;
use crate::disk::SimDisk;
use crate::faults::Faults;
use crate::guest::Invitation;
use crate::ledger::Ledger;
use crate::member::{Frame, Member, Store};
use crate::network::{Network, NetworkOptions};
use crate::profile::{Profile, SECOND_US};
use crate::recipe::{DRILL_FAULT, Drill};
use crate::rng::{Rng, hash_word};
use crate::scene::{Event, Scene};
use crate::scouts::SCOUTS;
use crate::trace::{Trace, TraceMode};
use crate::workload::{Client, ClientId};
use crate::{healing, hits};

pub mod shapes;

/// A run of one seed.
pub struct World {
    scene: Scene,
    members: BTreeMap<NodeId, Member>,
    clients: Vec<Client>,
    faults: Faults,
    /// The nodes that are whole once the faults are over.
    core: Vec<NodeId>,
    healing: Rng,
    events: u64,
    /// How many operations were answered while faults struck.
    answered_faulty: u64,
    /// It fails on purpose.
    drill: Option<Drill>,
}

/// What a run that held all rules did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Virtual time that passed, in microseconds.
    pub simulated_us: u64,
    /// The virtual time of the shortest run, in microseconds.
    pub shortest_us: u64,
    /// For how much of it faults struck, in microseconds.
    pub faulty_us: u64,
    /// Writes that were acknowledged and reads that were served while faults struck.
    pub answered_faulty: u64,
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
    /// What stands for the order of all events and the state at the end: equal for equal seeds, in every build.
    pub unseed: u64,
}

impl World {
    /// The world of this seed before its first event.
    pub fn new(seed: u64, trace: TraceMode) -> World {
        World::with_profile(seed, Profile::draw(seed), trace)
    }

    /// The world of this seed with settings of the caller's choice.
    pub fn with_profile(seed: u64, profile: Profile, trace: TraceMode) -> World {
        #[cfg(feature = "planted")]
        quorate_core::planted::set_clock(crate::member::WALL_START_MS);
        let network = Network::new(network_options(&profile), Rng::stream(seed, "network"));
        let scene = Scene::new(seed, profile, network, Trace::new(trace));
        let mut clocks = Rng::stream(seed, "clocks");
        let mut steady_clocks = Rng::stream(seed, "steady clocks");
        let leases = scene.profile.limits.leases;
        let members = scene
            .voters
            .iter()
            .map(|node| {
                let disk = SimDisk::new(Rng::stream(seed, &format!("disk {node}")));
                let drift = scene.profile.faults.clock_rate_per_mille;
                let clock_per_mille = clocks.between(1000 - drift, 1000 + drift);
                let steady = (leases.drift_percent > 0).then(|| leases.draw_clock(&mut steady_clocks));
                (*node, Member::new(*node, disk, clock_per_mille).with_steady_clock(steady))
            })
            .collect();
        let clients = (1..=scene.profile.clients).map(|id| Client::new(seed, ClientId(id))).collect();
        let faults = Faults::new(seed, None);
        World {
            scene,
            members,
            clients,
            faults,
            core: Vec::new(),
            healing: Rng::stream(seed, "healing"),
            events: 0,
            answered_faulty: 0,
            drill: None,
        }
    }

    /// The same world, which fails on purpose.
    #[must_use]
    pub fn with_drill(mut self, drill: Option<Drill>) -> World {
        self.drill = drill;
        self
    }

    /// The same world, in which only the faults with these numbers strike.
    #[must_use]
    pub fn with_faults(mut self, seed: u64, only: BTreeSet<u64>) -> World {
        self.faults = Faults::new(seed, Some(only));
        self
    }

    /// The same world, with a machine of a user's on every node.
    #[must_use]
    pub(crate) fn with_guest(mut self, seed: u64, invitation: &Invitation) -> World {
        self.scene.guests = Some(Guests::new(invitation.clone(), seed));
        for client in &mut self.clients {
            client.invite(seed, invitation);
        }
        self
    }

    /// The faults that have struck so far, by number.
    pub fn faults_struck(&self) -> Vec<u64> {
        self.faults.struck()
    }

    /// How many events have happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many faults have come so far.
    pub fn faults_len(&self) -> u64 {
        self.faults.number()
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first rule that did not hold.
    pub fn run(&mut self) -> Result<Report, Violation> {
        self.begin()?;
        self.faults.schedule(&mut self.scene);
        let faulty_us = self.scene.profile.faulty_us;
        while let Some(event) = self.scene.take_before(faulty_us) {
            self.happen(event)?;
        }
        self.heal()?;
        let deadline_us = self.scene.profile.faulty_us + self.scene.profile.healing_us_max;
        while !self.has_converged() {
            if self.scene.now_us > deadline_us {
                return Err(Violation::liveness("a healed quorum converges and serves", self.describe()));
            }
            self.advance()?;
        }
        self.check_final()?;
        self.check_calm()?;
        Ok(self.report())
    }

    /// Starts all nodes and clients.
    fn begin(&mut self) -> Result<(), Violation> {
        for member in self.members.values_mut() {
            member.start(&mut self.scene)?;
        }
        for client in &mut self.clients {
            client.start(&mut self.scene);
        }
        Ok(())
    }

    /// Who leads, as far as it believes itself.
    fn leader(&self) -> Option<NodeId> {
        self.members.iter().find(|(_, member)| member.leads()).map(|(node, _)| *node)
    }

    /// A healed cluster keeps its leader: nothing is left that could give a reason to change it.
    fn check_calm(&mut self) -> Result<(), Violation> {
        self.advance_for(SETTLE_US)?;
        let before = self.scene.checks.leaders();
        self.advance_for(CALM_US)?;
        let changes = self.scene.checks.leaders() - before;
        if changes > 1 {
            let what = format!("{changes} leaders in {CALM_US} us; {}", self.describe());
            return Err(Violation::liveness("a healed quorum keeps its leader", what));
        }
        Ok(())
    }

    fn advance_for(&mut self, duration_us: u64) -> Result<(), Violation> {
        let until_us = self.scene.now_us + duration_us;
        while let Some(event) = self.scene.take_before(until_us) {
            self.happen(event)?;
        }
        Ok(())
    }

    /// The settings of the run.
    pub fn profile(&self) -> &Profile {
        &self.scene.profile
    }

    /// How many nodes there are.
    pub fn nodes_len(&self) -> usize {
        self.scene.voters.len()
    }

    /// How many operations the busiest client has begun.
    pub fn operations_len(&self) -> u64 {
        self.clients.iter().map(Client::operations_len).max().unwrap_or(0)
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
        let event = self.scene.take_before(u64::MAX).expect("the clocks of the nodes never end");
        self.happen(event)
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        self.events += 1;
        let scene = &mut self.scene;
        match event {
            Event::Tick(life) => member(&mut self.members, life.node).on_tick(scene, life),
            Event::Work(life, work) => member(&mut self.members, life.node).on_work(scene, life, work)?,
            Event::Arrive { from, to, kind, body, sent_us, incarnation } => {
                if !scene.network.lost_in_reset(sent_us, from, to) {
                    let frame = Frame { from, kind, body, incarnation };
                    member(&mut self.members, to).on_message(scene, frame)?;
                }
            }
            Event::Request { node, request } => member(&mut self.members, node).on_request(scene, *request),
            Event::Response(response) if response.request.client == SCOUTS => {
                self.faults.on_response(scene, response)?;
            }
            Event::Response(response) => {
                client(&mut self.clients, response.request.client).on_response(scene, response)?;
            }
            Event::Wake { client: id, alarm } => client(&mut self.clients, id).on_wake(scene, alarm),
            Event::Fault if scene.is_faulty() => {
                let struck = self.faults.strike(scene, &mut self.members);
                if struck && self.faults.number() == DRILL_FAULT {
                    self.fail_on_purpose()?;
                }
            }
            Event::Fault => {}
            Event::Restart(node) => member(&mut self.members, node).start(scene)?,
            Event::Flap(node) if scene.is_faulty() => {
                scene.count("crash loop: process died again");
                let member = member(&mut self.members, node);
                member.crash(scene, false);
                member.start(scene)?;
            }
            Event::Overthrow { by, unheard } if scene.is_faulty() => {
                if let Some(unheard) = unheard {
                    healing::isolate(scene, unheard, true, false);
                }
                member(&mut self.members, by).campaign(scene);
            }
            Event::Ambush if scene.is_faulty() => self.faults.on_ambush(scene, &mut self.members),
            Event::Flap(_) | Event::Overthrow { .. } | Event::Ambush => {}
            Event::MendDisk(node) => member(&mut self.members, node).disk().heal(),
            Event::Heal => {
                scene.announce("net", || "all links are joined".into());
                scene.network.heal();
            }
        }
        Ok(())
    }

    /// What a drill does.
    fn fail_on_purpose(&self) -> Result<(), Violation> {
        let what = "nothing is wrong: the alarm is being tried".to_string();
        match self.drill {
            None => Ok(()),
            Some(Drill::Panic) => panic!("a drill: {what}"),
            Some(Drill::Safety) => Err(Violation::safety("a drill breaks no rule", what)),
            Some(Drill::Liveness) => Err(Violation::liveness("a drill goes on", what)),
        }
    }

    /// Ends all faults: from now on nothing stands in the way.
    fn heal(&mut self) -> Result<(), Violation> {
        self.scene.now_us = self.scene.now_us.max(self.scene.profile.faulty_us);
        self.answered_faulty = self.scene.checks.linearizable.answered();
        self.core = healing::heal(&mut self.scene, &mut self.members, self.healing.clone())?;
        for client in &mut self.clients {
            client.finish();
        }
        Ok(())
    }

    /// Every client has had one more answer, and every node of the core has applied all that is committed.
    fn has_converged(&self) -> bool {
        let committed = self.scene.checks.committed();
        let whole = |node: &NodeId| {
            let member = &self.members[node];
            let repaired = member.store() != Store::Repairing;
            member.is_running() && repaired && self.scene.checks.applied(*node) == committed
        };
        self.clients.iter().all(Client::is_done)
            && self.core_members().iter().all(whole)
            && self.members.values().any(Member::leads)
    }

    /// The nodes of the core that are members: who was removed, or never became one, is owed nothing.
    fn core_members(&self) -> Vec<NodeId> {
        let members = self.scene.checks.members();
        self.core.iter().copied().filter(|node| members.contains(node)).collect()
    }

    fn check_final(&mut self) -> Result<(), Violation> {
        let core = self.core_members();
        for node in &core {
            let state = self.members[node].state().expect("a converged node runs");
            for client in &self.clients {
                client.check_final(*node, state)?;
            }
        }
        let state = core.iter().find_map(|node| self.members[node].state()).expect("a converged node runs");
        let repeats = state.repeats().len() as u64;
        if repeats > 0 {
            *self.scene.counters.entry("key forgotten, its command applied again").or_default() += repeats;
        }
        if let Some(guests) = &mut self.scene.guests {
            guests.check_final()?;
        }
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
            for condition in member.conditions(self.scene.now_us) {
                text.push_str(&format!("\n      {condition}"));
            }
        }
        let voters = &self.scene.voters;
        for from in voters {
            let unheard: Vec<String> = voters
                .iter()
                .filter(|to| !self.scene.network.carries(*from, **to))
                .map(NodeId::to_string)
                .collect();
            if !unheard.is_empty() {
                text.push_str(&format!("\n  {from} is not heard by {}", unheard.join(", ")));
            }
        }
        for waiting in self.clients.iter().filter_map(Client::waits_for) {
            text.push_str(&format!("\n  {waiting}"));
        }
        text
    }

    fn report(&mut self) -> Report {
        let scene = &mut self.scene;
        let drawn = scene.profile.drawn().into_iter().map(|name| (name, 1));
        let disks = self.members.values().flat_map(|member| hits::of_disk(member.disk()));
        let network = hits::of_network(scene.network.counters());
        let mut counters = scene.counters.clone();
        for (name, count) in disks.chain(drawn).chain(network) {
            *counters.entry(name).or_default() += count;
        }
        let states = self.members.values().filter_map(Member::state).map(Ledger::fingerprint);
        let unseed = states.fold(scene.order, hash_word);
        Report {
            simulated_us: self.scene.now_us,
            shortest_us: self.scene.now_us,
            faulty_us: self.scene.profile.faulty_us,
            answered_faulty: self.answered_faulty,
            events: self.events,
            committed: self.scene.checks.committed().0,
            acknowledged: self.scene.checks.linearizable.acknowledged(),
            reads: self.scene.checks.linearizable.reads(),
            leaders: self.scene.checks.leaders(),
            counters,
            fingerprint: self.scene.trace.fingerprint(),
            unseed,
        }
    }
}

impl Report {
    /// Adds another run.
    pub fn add(&mut self, other: &Report) {
        let first = self.simulated_us == 0;
        self.shortest_us = if first { other.shortest_us } else { self.shortest_us.min(other.shortest_us) };
        self.simulated_us += other.simulated_us;
        self.faulty_us += other.faulty_us;
        self.answered_faulty += other.answered_faulty;
        self.events += other.events;
        self.committed += other.committed;
        self.acknowledged += other.acknowledged;
        self.reads += other.reads;
        self.leaders += other.leaders;
        self.unseed = hash_word(self.unseed, other.unseed);
        for (name, count) in &other.counters {
            *self.counters.entry(name).or_default() += count;
        }
    }

    /// Whole simulated seconds.
    pub fn simulated_seconds(&self) -> u64 {
        self.simulated_us / SECOND_US
    }

    /// Whole simulated seconds of the shortest run.
    pub fn shortest_seconds(&self) -> u64 {
        self.shortest_us / SECOND_US
    }

    /// How many operations were answered in a second, while faults struck.
    pub fn answered_per_second(&self) -> u64 {
        self.answered_faulty * SECOND_US / self.faulty_us.max(1)
    }
}

/// How long a healed cluster may still be restless.
const SETTLE_US: u64 = SECOND_US;

/// How long it must then keep its leader.
const CALM_US: u64 = 2 * SECOND_US;

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
