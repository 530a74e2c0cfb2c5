//! What goes wrong, when and where: one fault after the other, drawn from the seed by the weights of the run's profile.

use std::collections::BTreeMap;

use quorate_core::types::NodeId;

use crate::member::{Member, WALL_START_MS};
use crate::profile::SECOND_US;
use crate::rng::Rng;
use crate::scene::{Event, Scene};

/// A class of scheduled fault. Loss, repetition, delay and clock rates are not scheduled: they last for the whole run.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Class {
    /// One node loses its power, and what its disk had not synced.
    PowerLoss,
    /// One process dies; the operating system keeps what was written.
    Kill,
    /// The leader loses its power.
    PowerLossOfLeader,
    /// All nodes lose their power at once.
    PowerLossOfAll,
    /// The nodes fall into two groups that do not hear each other.
    Partition,
    /// One node is cut off in both directions.
    Isolation,
    /// The leader is cut off in both directions.
    IsolationOfLeader,
    /// One directed link is cut.
    OneWayCut,
    /// The leader sends and is not heard, or hears and cannot send.
    OneWayIsolationOfLeader,
    /// Two groups that are joined by one node alone.
    Bridge,
    /// One process stops for a while, and finds its inbox full when it goes on.
    Pause,
    /// One disk stops for a while.
    DiskStall,
    /// A wall clock jumps by hours, forwards or back.
    WallJump,
    /// One node stands for election out of turn.
    Campaign,
}

/// All scheduled classes.
pub const CLASSES: [Class; 14] = [
    Class::PowerLoss,
    Class::Kill,
    Class::PowerLossOfLeader,
    Class::PowerLossOfAll,
    Class::Partition,
    Class::Isolation,
    Class::IsolationOfLeader,
    Class::OneWayCut,
    Class::OneWayIsolationOfLeader,
    Class::Bridge,
    Class::Pause,
    Class::DiskStall,
    Class::WallJump,
    Class::Campaign,
];

impl Class {
    /// The name under which hits are counted.
    pub fn name(self) -> &'static str {
        match self {
            Class::PowerLoss => "power loss",
            Class::Kill => "kill",
            Class::PowerLossOfLeader => "power loss of the leader",
            Class::PowerLossOfAll => "power loss of all",
            Class::Partition => "partition",
            Class::Isolation => "isolation",
            Class::IsolationOfLeader => "isolation of the leader",
            Class::OneWayCut => "one-way cut",
            Class::OneWayIsolationOfLeader => "one-way isolation of the leader",
            Class::Bridge => "bridge",
            Class::Pause => "pause",
            Class::DiskStall => "disk stall",
            Class::WallJump => "wall clock jump",
            Class::Campaign => "campaign out of turn",
        }
    }
}

/// Draws faults and lets them happen.
#[derive(Debug)]
pub struct Faults {
    rng: Rng,
}

impl Faults {
    /// The faults of this seed.
    pub fn new(seed: u64) -> Faults {
        Faults { rng: Rng::stream(seed, "faults") }
    }

    /// Sets the time of the next fault, if any class is on.
    pub fn schedule(&mut self, scene: &mut Scene) {
        if scene.profile.faults.weights.iter().any(|weight| *weight > 0) {
            let pause_us = 1 + self.rng.exponential(scene.profile.faults.pause_us);
            scene.after(pause_us, Event::Fault);
        }
    }

    /// Lets one fault happen, and sets the time of the next.
    pub fn strike(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        let class = self.draw_class(scene);
        let leader = members.iter().find(|(_, member)| member.leads()).map(|(node, _)| *node);
        let anyone = *self.rng.pick(&scene.voters).expect("a cluster has members");
        let target = leader.unwrap_or(anyone);
        scene.line("world", || format!("{} ({anyone}, leader {leader:?})", class.name()));
        scene.count(class.name());
        match class {
            Class::PowerLoss => self.crash(scene, members, anyone, true),
            Class::Kill => self.crash(scene, members, anyone, false),
            Class::PowerLossOfLeader => self.crash(scene, members, target, true),
            Class::PowerLossOfAll => {
                for node in scene.voters.clone() {
                    self.crash(scene, members, node, true);
                }
            }
            Class::Partition | Class::Bridge => self.partition(scene, class),
            Class::Isolation => isolate(scene, anyone, true, true),
            Class::IsolationOfLeader => isolate(scene, target, true, true),
            Class::OneWayIsolationOfLeader => {
                let outward = self.rng.chance(500);
                isolate(scene, target, outward, !outward);
            }
            Class::OneWayCut => {
                let other = *self.rng.pick(&scene.voters).expect("a cluster has members");
                if other != anyone {
                    scene.network.cut(anyone, other);
                }
            }
            Class::Pause => {
                // A leader that wakes up among the answers of before is the one that can deceive itself.
                let node = if self.rng.chance(500) { target } else { anyone };
                self.with(members, node, |member, until| member.pause(until), scene);
            }
            Class::DiskStall => self.with(members, target, |member, until| member.stall_disk(until), scene),
            Class::WallJump => {
                let offset_ms = WALL_START_MS - WALL_JUMP_MS_MAX + self.rng.below(2 * WALL_JUMP_MS_MAX);
                if let Some(member) = members.get_mut(&anyone) {
                    member.set_wall(offset_ms);
                }
            }
            Class::Campaign => {
                if let Some(member) = members.get_mut(&anyone) {
                    member.campaign(scene);
                }
            }
        }
        // Cuts last as long as nothing heals them; a short life leaves room for the next one.
        if self.rng.chance(500) {
            let lasts_us = 1 + self.rng.exponential(scene.profile.faults.pause_us);
            scene.after(lasts_us, Event::Heal);
        }
        self.schedule(scene);
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

    fn crash(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        node: NodeId,
        power: bool,
    ) {
        let Some(member) = members.get_mut(&node).filter(|member| member.is_running()) else { return };
        member.crash(scene, power);
        let short = self.rng.chance(500);
        let down_us = if short { self.rng.below(20_000) } else { self.rng.below(2 * SECOND_US) };
        scene.after(down_us, Event::Restart(node));
    }

    /// Two groups, chosen node by node. With a bridge, one node hears and is heard by both.
    fn partition(&mut self, scene: &mut Scene, class: Class) {
        let mut nodes = scene.voters.clone();
        if class == Class::Bridge {
            let bridge = *self.rng.pick(&nodes).expect("a cluster has members");
            nodes.retain(|node| *node != bridge);
        }
        let (side, rest): (Vec<NodeId>, Vec<NodeId>) = nodes.iter().partition(|_| self.rng.chance(500));
        scene.network.partition(&side, &rest);
    }

    fn with(
        &mut self,
        members: &mut BTreeMap<NodeId, Member>,
        node: NodeId,
        act: impl FnOnce(&mut Member, u64),
        scene: &Scene,
    ) {
        let until_us = scene.now_us + 1 + self.rng.exponential(SECOND_US / 4);
        if let Some(member) = members.get_mut(&node).filter(|member| member.is_running()) {
            act(member, until_us);
        }
    }
}

/// Cuts what the node sends, what it hears, or both.
fn isolate(scene: &mut Scene, node: NodeId, outward: bool, inward: bool) {
    for other in scene.voters.clone() {
        if other == node {
            continue;
        }
        if outward {
            scene.network.cut(node, other);
        }
        if inward {
            scene.network.cut(other, node);
        }
    }
}

/// Jumps stay within half a day around the truth: a key is remembered for a day of log time and then, as documented, no more.
const WALL_JUMP_MS_MAX: u64 = 11 * 3600 * 1000;
