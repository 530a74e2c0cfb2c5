//! What goes wrong, when and where: one fault after the other, drawn from the seed by the weights of the run's profile. Each fault
//! has a number and chances of its own, so that one that is left out changes nothing in how the others are drawn.

mod ambush;
pub mod class;
mod losses;

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::membership::Change;
use quorate_core::types::NodeId;
use quorate_replica::cluster::ClusterRequest;

use self::ambush::Ambush;
use self::class::{CLASSES, Class};
use crate::check::Violation;
use crate::clock::TICK_US;
use crate::disk::{Fault, SimDisk};
use crate::healing::isolate;
use crate::member::{Member, Store, WALL_START_MS};
use crate::network::MESSAGE_KINDS;
use crate::profile::SECOND_US;
use crate::rng::Rng;
use crate::scene::{Event, Scene};
use crate::scouts::Scouts;
use crate::workload::Response;

pub(crate) use self::ambush::expected as expected_of_ambushes;

/// Draws faults and lets them happen.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    /// When faults come.
    times: Rng,
    /// The chances of the fault that strikes now.
    rng: Rng,
    /// How many faults have come.
    number: u64,
    /// The faults that strike; all, if none are named.
    only: Option<BTreeSet<u64>>,
    /// The ambush that is under way.
    ambush: Option<Ambush>,
    scouts: Scouts,
}

impl Faults {
    /// The faults of this seed: all, or those whose numbers are in `only`.
    pub fn new(seed: u64, only: Option<BTreeSet<u64>>) -> Faults {
        let times = Rng::stream(seed, "faults");
        Faults { seed, rng: times.clone(), times, number: 0, only, ambush: None, scouts: Scouts::default() }
    }

    /// How many faults have come, those that were left out included.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The faults that have struck, by number.
    pub fn struck(&self) -> Vec<u64> {
        let strikes = |number: &u64| self.only.as_ref().is_none_or(|only| only.contains(number));
        (1..=self.number).filter(strikes).collect()
    }

    /// Sets the time of the next fault, if any class is on.
    pub fn schedule(&mut self, scene: &mut Scene) {
        if scene.profile.faults.weights.iter().any(|weight| *weight > 0) {
            let pause_us = 1 + self.times.exponential(scene.profile.faults.pause_us);
            scene.after(pause_us, Event::Fault);
        }
    }

    /// Lets one fault happen, and sets the time of the next. False if it was left out.
    pub fn strike(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) -> bool {
        self.schedule(scene);
        self.number += 1;
        if self.only.as_ref().is_some_and(|only| !only.contains(&self.number)) {
            return false;
        }
        self.rng = Rng::stream(self.seed, &format!("fault {}", self.number));
        let class = self.draw_class(scene);
        let leader = members.iter().find(|(_, member)| member.leads()).map(|(node, _)| *node);
        let anyone = self.pick(scene);
        let target = leader.unwrap_or(anyone);
        let number = self.number;
        scene.announce("world", || format!("fault {number}: {} ({anyone}, leader {leader:?})", class.name()));
        if self.act(scene, members, class, anyone, target) {
            scene.count(class.name());
        }
        // Cuts last as long as nothing heals them; a short life leaves room for the next one. An ambush has an end of its own.
        if class != Class::Ambush && self.rng.chance(500) {
            let lasts_us = 1 + self.rng.exponential(scene.profile.faults.pause_us);
            scene.after(lasts_us, Event::Heal);
        }
        true
    }

    /// An ambush begins, if a leader has a lease and none is under way.
    fn lie_in_wait(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) -> bool {
        let is_free = self.ambush.is_none();
        if is_free {
            self.ambush = Ambush::begin(scene, members, self.rng.clone());
        }
        is_free && self.ambush.is_some()
    }

    /// The ambush that is under way goes on.
    pub(crate) fn on_ambush(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        if let Some(ambush) = &mut self.ambush
            && !ambush.go_on(scene, members, &mut self.scouts)
        {
            self.ambush = None;
        }
    }

    /// A node answers what an ambush has asked it.
    ///
    /// # Errors
    /// When the answer is older than what was known before it was asked for.
    pub(crate) fn on_response(&mut self, scene: &mut Scene, response: Response) -> Result<(), Violation> {
        self.scouts.on_response(scene, response)
    }

    /// True if there was somebody to suffer it.
    fn act(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        class: Class,
        anyone: NodeId,
        target: NodeId,
    ) -> bool {
        match class {
            Class::PowerLoss => self.crash(scene, members, anyone, true),
            Class::Kill => self.crash(scene, members, anyone, false),
            Class::PowerLossOfLeader => self.crash(scene, members, target, true),
            Class::PowerLossOfAll | Class::KillOfAll => {
                let power = class == Class::PowerLossOfAll;
                for node in scene.nodes.clone() {
                    self.crash(scene, members, node, power);
                }
                true
            }
            Class::CrashLoop => {
                for round in 1..=self.rng.between(3, 8) {
                    let at_us = round * (1 + self.rng.below(SECOND_US / 10));
                    scene.after(at_us, Event::Flap(anyone));
                }
                true
            }
            Class::Partition
            | Class::Bridge
            | Class::Isolation
            | Class::IsolationOfLeader
            | Class::OneWayCut
            | Class::OneWayIsolationOfLeader
            | Class::LateAnswers
            | Class::QuorumLoss
            | Class::Chain
            | Class::Constrained
            | Class::SlowLink
            | Class::Reset
            | Class::KindLost
            | Class::LargeLost
            | Class::LargeLostOfLeader => self.act_on_links(scene, class, anyone, target),
            Class::Pause | Class::Suspend | Class::DiskStall | Class::SlowDisk => {
                // A leader that wakes up among the answers of before is the one that can deceive itself.
                let node = if self.rng.chance(500) { target } else { anyone };
                self.delay(scene, members, class, node)
            }
            Class::SlowDiskOfLeader => self.delay(scene, members, class, target),
            Class::WallJump | Class::ClockRate | Class::ClockFreeze | Class::Campaign => {
                self.act_on_clock(scene, members, class, anyone)
            }
            Class::WriteError
            | Class::SyncError
            | Class::DiskFull
            | Class::ReadError
            | Class::ShortWrite
            | Class::ReadOnly
            | Class::BitRot
            | Class::Misdirect
            | Class::MisdirectedRead
            | Class::LostWrite
            | Class::Wipe => self.act_on_disk(scene, members, class, anyone),
            Class::Losses => self.lose(scene, members),
            Class::Ambush => self.lie_in_wait(scene, members),
            Class::Members => self.change_members(scene, members, anyone, target),
            Class::Transfer => {
                let to = if self.rng.chance(500) { Some(self.pick(scene)) } else { None };
                let asked = if self.rng.chance(500) { target } else { anyone };
                let Some(member) = members.get_mut(&asked) else { return false };
                let struck = member.on_cluster(scene, ClusterRequest::Transfer { to });
                // A leader that cannot hear who took over would answer by its lease, if it kept it.
                if scene.profile.limits.leases.drift_percent > 0 && self.rng.chance(500) {
                    isolate(scene, asked, false, true);
                }
                struck
            }
        }
    }

    /// An operator asks some node for other members. A node that is added begins with an empty log, at about the same time.
    fn change_members(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        anyone: NodeId,
        target: NodeId,
    ) -> bool {
        if members.values().any(|member| member.store() != Store::Sound) {
            return false;
        }
        let asked = if self.rng.chance(500) { target } else { anyone };
        if !members[&asked].is_running() {
            return false;
        }
        scene.members_change = true;
        let change = match self.rng.below(10) {
            0..5 if scene.nodes.len() < NODES_MAX => {
                let node = self.new_node(scene, members);
                let voter = self.rng.chance(700);
                let replaces = if voter && self.rng.chance(300) { Some(self.pick(scene)) } else { None };
                Change::Add { node: Some(node), address: node.to_string(), voter, replaces }
            }
            0..6 => Change::Promote { node: self.pick(scene) },
            6..8 => Change::Remove { node: self.pick(scene) },
            _ => Change::Remove { node: target },
        };
        let asked = members.get_mut(&asked).expect("it was looked at just now");
        asked.on_cluster(scene, ClusterRequest::Change(change))
    }

    /// A node that is there from now on, and that nobody knows yet.
    fn new_node(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) -> NodeId {
        let last = scene.nodes.last().expect("there are nodes");
        let node = NodeId::new(last.get() + 1);
        let drift = scene.profile.faults.clock_rate_per_mille;
        let clock_per_mille = self.rng.between(1000 - drift, 1000 + drift);
        let disk = SimDisk::new(Rng::new(self.rng.next_u64()));
        let leases = scene.profile.limits.leases;
        let steady = (leases.drift_percent > 0).then(|| leases.draw_clock(&mut self.rng));
        members.insert(node, Member::new(node, disk, clock_per_mille).with_steady_clock(steady));
        scene.nodes.push(node);
        scene.after(self.rng.below(SECOND_US), Event::Restart(node));
        node
    }

    fn draw_class(&mut self, scene: &Scene) -> Class {
        let weights = &scene.profile.faults.weights;
        let mut rest = self.rng.below(weights.iter().sum());
        for (class, weight) in CLASSES.iter().zip(weights) {
            if rest < *weight {
                return *class;
            }
            rest -= weight;
        }
        unreachable!("a number below the sum of the weights falls on one of them")
    }

    fn pick(&mut self, scene: &Scene) -> NodeId {
        *self.rng.pick(&scene.nodes).expect("a cluster has members")
    }

    fn crash(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        node: NodeId,
        power: bool,
    ) -> bool {
        let Some(member) = members.get_mut(&node).filter(|member| member.is_running()) else { return false };
        member.crash(scene, power);
        let short = self.rng.chance(500);
        let down_us = if short { self.rng.below(20_000) } else { self.rng.below(2 * SECOND_US) };
        scene.after(down_us, Event::Restart(node));
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only classes of this kind come here")]
    fn act_on_links(&mut self, scene: &mut Scene, class: Class, anyone: NodeId, target: NodeId) -> bool {
        let (other, now_us) = (self.pick(scene), scene.now_us);
        match class {
            Class::Partition | Class::Bridge => self.partition(scene, class),
            Class::Isolation => isolate(scene, anyone, true, true),
            Class::IsolationOfLeader => isolate(scene, target, true, true),
            Class::OneWayIsolationOfLeader => {
                let outward = self.rng.chance(500);
                isolate(scene, target, outward, !outward);
            }
            Class::LateAnswers if anyone != target => self.make_answers_late(scene, anyone, target),
            Class::OneWayCut if other != anyone => scene.network.cut(anyone, other),
            Class::QuorumLoss if anyone != target => {
                keep_links(scene, |from, to| from == anyone || to == anyone)
            }
            Class::Constrained if anyone != target => {
                keep_links(scene, |from, to| from == anyone || to == anyone);
                isolate(scene, target, true, true);
            }
            Class::Chain => keep_links(scene, |from, to| from.get().abs_diff(to.get()) == 1),
            Class::SlowLink if other != anyone => {
                let extra_us = self.rng.between(20_000, 500_000);
                scene.network.slow(anyone, other, extra_us);
            }
            Class::Reset => {
                for other in scene.nodes.clone() {
                    scene.network.reset(now_us, anyone, other);
                    scene.network.reset(now_us, other, anyone);
                }
            }
            Class::KindLost => {
                let kind = *self.rng.pick(&MESSAGE_KINDS).expect("there are kinds of message");
                scene.network.filter(kind);
            }
            Class::LargeLost => scene.network.limit_len(LARGE_BYTES),
            Class::LargeLostOfLeader => scene.network.limit_len_of(target, LARGE_BYTES),
            _ => return false,
        }
        scene.nodes.len() > 1
    }

    /// What the others say reaches the leader late. Either it is not heard any more and another is elected, while it still gets
    /// answers to what it said before; or the leadership goes around, and comes back to it before the answers do.
    fn make_answers_late(&mut self, scene: &mut Scene, anyone: NodeId, leader: NodeId) {
        let timeout_us = scene.profile.limits.election_timeout_ticks * TICK_US;
        let comes_back = self.rng.chance(500);
        // A leader that gets no answer for an election timeout gives up.
        let extra_us = if comes_back {
            self.rng.between(timeout_us / 2, 3 * timeout_us)
        } else {
            self.rng.between(timeout_us / 4, timeout_us * 9 / 10)
        };
        for other in scene.nodes.clone() {
            scene.network.slow(other, leader, extra_us);
        }
        if !comes_back {
            let after_us = extra_us + self.rng.below(timeout_us);
            scene.after(after_us, Event::Overthrow { by: anyone, unheard: Some(leader) });
            return;
        }
        for _ in 0..self.rng.between(2, 4) {
            let (after_us, by) = (self.rng.below(extra_us), self.pick(scene));
            scene.after(after_us, Event::Overthrow { by, unheard: None });
        }
        scene.after(extra_us, Event::Overthrow { by: leader, unheard: None });
    }

    /// Two groups, chosen node by node. With a bridge, one node hears and is heard by both.
    fn partition(&mut self, scene: &mut Scene, class: Class) {
        let mut nodes = scene.nodes.clone();
        if class == Class::Bridge {
            let bridge = *self.rng.pick(&nodes).expect("a cluster has members");
            nodes.retain(|node| *node != bridge);
        }
        let (side, rest): (Vec<NodeId>, Vec<NodeId>) = nodes.iter().partition(|_| self.rng.chance(500));
        scene.network.partition(&side, &rest);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only classes of this kind come here")]
    fn delay(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        class: Class,
        node: NodeId,
    ) -> bool {
        let until_us = scene.now_us + 1 + self.rng.exponential(SECOND_US / 4);
        let Some(member) = members.get_mut(&node).filter(|member| member.is_running()) else { return false };
        match class {
            Class::Pause => member.pause(until_us),
            Class::Suspend => {
                member.pause(until_us);
                member.set_clock(scene, until_us, member.clock_per_mille());
            }
            Class::DiskStall => member.stall_disk(until_us),
            Class::SlowDiskOfLeader => {
                scene.slow_disks.insert(node, until_us + self.rng.between(2, 10) * SECOND_US);
            }
            _ => {
                scene.slow_disks.insert(node, until_us + SECOND_US);
            }
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only classes of this kind come here")]
    fn act_on_clock(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        class: Class,
        node: NodeId,
    ) -> bool {
        let Some(member) = members.get_mut(&node) else { return false };
        let now_us = scene.now_us;
        match class {
            Class::WallJump => {
                let reach_ms = *self.rng.pick(&WALL_JUMPS_MS).expect("there are jumps of several sizes");
                member.set_wall(WALL_START_MS - reach_ms + self.rng.below(2 * reach_ms));
            }
            Class::ClockRate => {
                member.set_clock(scene, now_us, self.rng.between(500, 1500));
                let leases = scene.profile.limits.leases;
                if leases.drift_percent > 0 {
                    member.set_steady_clock(now_us, leases.draw_clock(&mut self.rng));
                }
            }
            Class::ClockFreeze => {
                let until_us = now_us + 1 + self.rng.exponential(SECOND_US / 2);
                member.set_clock(scene, until_us, member.clock_per_mille());
            }
            _ if member.is_running() => member.campaign(scene),
            _ => return false,
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only classes of this kind come here")]
    fn act_on_disk(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        class: Class,
        node: NodeId,
    ) -> bool {
        let early = scene.now_us < scene.profile.faults.damage_from_us;
        // What damage may strike is counted by the first members: with others the count would be another one.
        // While a node gets back what it has lost, what is left of that elsewhere must stay.
        let repairing = members.values().any(|member| member.store() == Store::Repairing);
        if class.damages() && (early || repairing || scene.members_change || !may_damage(members, node)) {
            return false;
        }
        let known = members.values().filter(|member| member.knows(node)).count();
        let Some(member) = members.get_mut(&node) else { return false };
        let disk = member.disk().clone();
        match class {
            Class::WriteError => disk.inject(Fault::WriteError, self.rng.below(20)),
            Class::SyncError => disk.inject(Fault::SyncError, self.rng.below(20)),
            Class::ReadError => disk.inject(Fault::ReadError, self.rng.below(5)),
            Class::ShortWrite => disk.inject(Fault::ShortWrite, self.rng.below(20)),
            Class::DiskFull | Class::ReadOnly => {
                let fault = if class == Class::ReadOnly { Fault::ReadOnly } else { Fault::Full };
                disk.set_rate(fault, 1000);
                scene.after(1 + self.rng.exponential(SECOND_US), Event::MendDisk(node));
            }
            Class::BitRot => {
                member.note_damage(Store::Damaged);
                return disk.rot(&mut self.rng);
            }
            Class::Misdirect => {
                member.note_damage(Store::Damaged);
                disk.inject(Fault::Misdirect, self.rng.below(10));
            }
            Class::MisdirectedRead => {
                member.note_damage(Store::Lied);
                disk.inject(Fault::MisdirectRead, self.rng.below(5));
            }
            Class::LostWrite => {
                member.note_damage(Store::Lied);
                disk.inject(Fault::SyncLie, self.rng.below(10));
            }
            // A peer that never met the old store could not tell it from the new one: it trusts the first that it meets.
            _ if known + 1 == scene.nodes.len() => {
                member.wipe(scene, Rng::new(self.rng.next_u64()));
                scene.after(self.rng.below(SECOND_US), Event::Restart(node));
            }
            _ => return false,
        }
        true
    }
}

/// Whether damage to this node leaves more than half of the nodes whole.
fn may_damage(members: &BTreeMap<NodeId, Member>, node: NodeId) -> bool {
    let damaged =
        members.iter().filter(|(other, member)| **other != node && member.store() != Store::Sound).count();
    2 * (damaged + 1) < members.len()
}

/// Cuts every directed link that is not to be kept.
pub(crate) fn keep_links(scene: &mut Scene, keep: impl Fn(NodeId, NodeId) -> bool) {
    for from in scene.nodes.clone() {
        for to in scene.nodes.clone() {
            if from != to && !keep(from, to) {
                scene.network.cut(from, to);
            }
        }
    }
}

/// How far a wall clock may jump from the truth: by minutes, by about the day for which a key is remembered, or by a year.
const WALL_JUMPS_MS: [u64; 3] = [HOUR_MS, 26 * HOUR_MS, 365 * 24 * HOUR_MS];
const HOUR_MS: u64 = 3_600_000;

/// What passes a path that loses large messages: heartbeats and votes, but no entry with a command.
const LARGE_BYTES: usize = 100;

/// How many nodes there are at most, those that were removed included.
const NODES_MAX: usize = 9;
