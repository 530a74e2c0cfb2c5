//! The table of "Protocol-Aware Recovery" (FAST 2018): three nodes hold the same four entries, and of the twelve copies each is damaged or not.
//! In all 4,096 patterns the real core, log, replica and applier run on simulated disks. Where each entry has a copy left, all comes
//! back and the cluster serves; where an entry has none, nobody leads and nothing is guessed, until a copy is put back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_core::types::{EntryId, NodeId};
use quorate_replica::request::{CommandEnvelope, RequestId};
use quorate_replica::state_machine::Codec;

use crate::check::Violation;
use crate::disk::SimDisk;
use crate::host::Carried;
use crate::ledger::Append;
use crate::member::{Frame, Member, Store};
use crate::network::{Network, NetworkOptions};
use crate::profile::{Faults, Limits, Profile, SECOND_US};
use crate::rng::Rng;
use crate::rot::Rot;
use crate::scene::{Event, Scene};
use crate::trace::{Trace, TraceMode};
use crate::workload::{ClientId, Request, RequestKind, RequestName, Response, ResponseKind};

/// How many patterns there are.
pub const PATTERNS: u16 = 1 << (NODES * ENTRIES);

/// What became of the patterns with one number of damaged copies.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// All four entries were applied on all nodes with the right bytes, and a new proposal was committed.
    pub recovered: u32,
    /// Nobody led and nothing was cut, until one node got its copies back: then all recovered.
    pub unavailable: u32,
}

/// Runs these patterns. A row for each number of damaged copies, from none to all twelve.
///
/// # Errors
/// The first rule that was broken: a pattern that could recover and did not, or one that could not and led, or any rule of the simulator.
pub fn run(patterns: impl IntoIterator<Item = u16>) -> Result<[Row; 13], Violation> {
    let origin = Origin::make()?;
    let mut rows = [Row::default(); 13];
    for pattern in patterns {
        let row = &mut rows[pattern.count_ones() as usize];
        if origin.try_pattern(pattern)? {
            row.recovered += 1;
        } else {
            row.unavailable += 1;
        }
    }
    Ok(rows)
}

/// Three disks with the same log, and the entries in it that are damaged.
struct Origin {
    disks: Vec<SimDisk>,
    entries: Vec<EntryId>,
}

impl Origin {
    fn make() -> Result<Origin, Violation> {
        let disks: Vec<SimDisk> = (1..=NODES).map(|node| SimDisk::new(Rng::new(node))).collect();
        let mut trial = Trial::start(0, &disks)?;
        for value in 1..=ENTRIES {
            if !trial.serves(value, 60 * SECOND_US)? {
                return Err(Violation::liveness("a sound cluster serves", trial.describe()));
            }
        }
        let last = trial.member(1).status().expect("it runs").last;
        let entries: Vec<EntryId> = (last.index.0 + 1 - ENTRIES..=last.index.0)
            .map(|index| EntryId::new(last.term.0, index))
            .collect();
        for member in trial.members.values_mut() {
            member.crash(&mut trial.scene, false);
        }
        for disk in &disks {
            disk.crash_keeping_all();
        }
        Ok(Origin { disks, entries })
    }

    /// True if the cluster recovered by itself; false if it was safely unavailable until a copy was put back.
    fn try_pattern(&self, pattern: u16) -> Result<bool, Violation> {
        let seed = u64::from(pattern) + 1;
        let mut rng = Rng::new(seed);
        let disks: Vec<SimDisk> = self.disks.iter().map(|disk| disk.fork(Rng::new(rng.next_u64()))).collect();
        let is_lost = |node: u64, entry: u64| pattern >> (node * ENTRIES + entry) & 1 == 1;
        for (node, disk) in (0..).zip(&disks) {
            for (entry, id) in (0..).zip(&self.entries).filter(|(entry, _)| is_lost(node, *entry)) {
                let struck = Rot::Bit.strike(disk, *id, &mut rng);
                assert!(struck.is_some(), "each disk holds entry {entry} of the four");
            }
        }
        let mut trial = Trial::start(seed, &disks)?;
        let has_copies = (0..ENTRIES).all(|entry| (0..NODES).any(|node| !is_lost(node, entry)));
        if has_copies {
            return match trial.serves(ENTRIES + 1, 60 * SECOND_US)? {
                true => Ok(true),
                false => Err(trial.broken("what a peer still has comes back", pattern)),
            };
        }
        let last = *self.entries.last().expect("there are four");
        trial.advance(10 * SECOND_US, |_| false)?;
        let keeps = |member: &Member| member.status().is_some_and(|status| status.last == last);
        if trial.scene.checks.leaders() > 0 || !trial.members.values().all(keeps) {
            return Err(trial.broken("what nobody has any more is never guessed", pattern));
        }
        self.put_back(&mut trial, NodeId::new(1 + rng.below(NODES)))?;
        match trial.serves(ENTRIES + 1, 60 * SECOND_US)? {
            true => Ok(false),
            false => Err(trial.broken("a copy that is put back ends the unavailability", pattern)),
        }
    }

    /// A node gets the files back that it had before the damage.
    fn put_back(&self, trial: &mut Trial, node: NodeId) -> Result<(), Violation> {
        let place = usize::try_from(node.get() - 1).expect("nodes are few");
        let member = trial.members.get_mut(&node).expect("there are three nodes");
        member.crash(&mut trial.scene, false);
        for name in self.disks[place].names() {
            member.disk().plant(&name, &self.disks[place].contents(&name).unwrap_or_default());
        }
        member.start(&mut trial.scene)
    }
}

/// Three nodes without clients and without faults.
struct Trial {
    scene: Scene,
    members: BTreeMap<NodeId, Member>,
    /// The values whose proposals were answered.
    answered: BTreeSet<u64>,
}

impl Trial {
    fn start(seed: u64, disks: &[SimDisk]) -> Result<Trial, Violation> {
        let profile = Profile {
            nodes: NODES,
            clients: 0,
            limits: Limits::ordinary(),
            faults: Faults::default(),
            ..Profile::draw(seed)
        };
        let network = Network::new(NetworkOptions::healthy(), Rng::stream(seed, "network"));
        let mut scene = Scene::new(seed, profile, network, Trace::new(TraceMode::Off));
        scene.end_faults();
        let mut members: BTreeMap<NodeId, Member> = (1..)
            .map(NodeId::new)
            .zip(disks)
            .map(|(node, disk)| (node, Member::new(node, disk.clone(), 1000)))
            .collect();
        for member in members.values_mut() {
            member.note_damage(Store::Repairing);
            member.start(&mut scene)?;
        }
        Ok(Trial { scene, members, answered: BTreeSet::new() })
    }

    fn member(&self, node: u64) -> &Member {
        &self.members[&NodeId::new(node)]
    }

    /// Proposes a value again and again, whoever may lead. True when it was answered in time and all nodes have applied all values up to it.
    fn serves(&mut self, value: u64, within_us: u64) -> Result<bool, Violation> {
        let until_us = self.scene.now_us + within_us;
        let wanted: Vec<u64> = (1..=value).collect();
        let holds = |member: &Member| member.state().is_some_and(|state| state.list(CLIENT) == wanted);
        while self.scene.now_us < until_us {
            if !self.answered.contains(&value) {
                self.propose(value);
            }
            let done = |trial: &Trial| trial.answered.contains(&value) && trial.members.values().all(holds);
            if self.advance(PROPOSE_AGAIN_US, done)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn propose(&mut self, value: u64) {
        let own = Append { client: CLIENT, value, command: None };
        let mut body = Vec::new();
        Carried { own, guest: None }.encode(&mut body);
        let request_id = Some(RequestId::Key(Bytes::from(format!("value {value}"))));
        let command = CommandEnvelope { request_id, body: body.into(), ..CommandEnvelope::default() };
        let name = RequestName { client: ClientId(CLIENT), operation: value };
        let request = Request { name, kind: RequestKind::Propose(command) };
        let leader = self.members.values_mut().find(|member| member.leads());
        if let Some(leader) = leader {
            leader.on_request(&mut self.scene, request);
        }
    }

    /// Lets events happen for so long, or until it is done. Whether it is done.
    fn advance(&mut self, for_us: u64, done: impl Fn(&Trial) -> bool) -> Result<bool, Violation> {
        let until_us = self.scene.now_us + for_us;
        while let Some(event) = self.scene.take_before(until_us) {
            let answered = matches!(event, Event::Response(_));
            self.happen(event)?;
            if answered && done(self) {
                return Ok(true);
            }
        }
        self.scene.now_us = until_us;
        Ok(done(self))
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        let scene = &mut self.scene;
        let members = &mut self.members;
        match event {
            Event::Tick(life) => of(members, life.node).on_tick(scene, life),
            Event::Work(life, work) => of(members, life.node).on_work(scene, life, work)?,
            Event::Arrive { from, to, kind, body, incarnation, .. } => {
                of(members, to).on_message(scene, Frame { from, kind, body, incarnation })?;
            }
            Event::Response(Response { request, kind: ResponseKind::Proposed(Ok(_)) }) => {
                self.answered.insert(request.operation);
            }
            Event::Restart(node) => of(members, node).start(scene)?,
            Event::Response(_)
            | Event::Request { .. }
            | Event::Wake { .. }
            | Event::Fault
            | Event::Flap(_)
            | Event::Overthrow { .. }
            | Event::MendDisk(_)
            | Event::Ambush
            | Event::Heal => {}
        }
        Ok(())
    }

    fn describe(&self) -> String {
        self.members.values().map(Member::status_line).collect::<Vec<_>>().join("; ")
    }

    fn broken(&self, rule: &'static str, pattern: u16) -> Violation {
        Violation::liveness(rule, format!("pattern {pattern:012b}: {}", self.describe()))
    }
}

fn of(members: &mut BTreeMap<NodeId, Member>, node: NodeId) -> &mut Member {
    members.get_mut(&node).expect("events name the three nodes")
}

const NODES: u64 = 3;
const ENTRIES: u64 = 4;
/// Whose values the entries carry.
const CLIENT: u32 = 1;
const PROPOSE_AGAIN_US: u64 = SECOND_US / 4;
