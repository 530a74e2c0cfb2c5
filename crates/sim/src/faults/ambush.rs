//! A fault that aims at the window of a lease (thesis 6.4.1): a leader that answers reads by its lease is cut off, the others elect one
//! of them as soon as they may, something is written there, and the first one is asked for reads all the while. A lease that outlasts the
//! promises it rests on, by a millisecond, shows an old state.
//!
//! What makes a lease too long, or a promise too short, are the traps: clocks that differ as much as the bound allows, wall clocks
//! that are set, answers that come late, a leader that stands still, a voter that starts anew, and the leadership handed over in the middle.
//! Each ambush lays some of them.

use std::collections::BTreeMap;

use quorate_core::types::NodeId;
use quorate_replica::cluster::ClusterRequest;

use crate::clock::TICK_US;
use crate::member::{Member, WALL_START_MS};
use crate::rng::Rng;
use crate::scene::{Event, Scene};
use crate::scouts::Scouts;

/// What makes an ambush dangerous.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Trap {
    /// Only a bare quorum hears the leader before it is cut off, until what all others promised is over. So each single promise decides;
    /// also that of a node which promises nothing.
    BareQuorum,
    /// The leader's monotonic clock is as slow, and those of the others as fast, as the bound on drift allows.
    ClocksApart,
    /// The leader's ticks come slowly from the cut on, so that it leads on for long without a quorum.
    SlowTicks,
    /// Answers reach the leader late, also after the cut.
    LateAnswers,
    /// Wall clocks are set: the leader's back, or those of the others ahead.
    WallClocks,
    /// The leader's process stands still from the cut on, and its ticks do, until another leads.
    Pause,
    /// One of those whose promises count dies at the cut, and starts at once.
    Restart,
    /// The leader has asked another to lead and has given that up; the word reaches it only now.
    LateWord,
    /// The leader hands over, and hears nothing from then on.
    Handover,
    /// One node stays with the leader and asks it for reads.
    Companion,
}

/// Each trap, how many of 1,000 ambushes have it, and the name under which it is counted.
const TRAPS: [(Trap, u64, &str); 10] = [
    (Trap::BareQuorum, 500, "ambush: only a bare quorum promised"),
    (Trap::ClocksApart, 500, "ambush: clocks apart"),
    (Trap::SlowTicks, 500, "ambush: the leader's ticks slow"),
    (Trap::LateAnswers, 250, "ambush: late answers"),
    (Trap::WallClocks, 200, "ambush: wall clocks set"),
    (Trap::Pause, 150, "ambush: leader paused"),
    (Trap::Restart, 200, "ambush: voter restarted"),
    (Trap::LateWord, 250, "ambush: late word to a successor"),
    (Trap::Handover, 100, "ambush: leadership handed over"),
    (Trap::Companion, 200, "ambush: a node stays with the leader"),
];

/// What ambushes must have come to, over many runs.
pub(crate) fn expected() -> impl Iterator<Item = &'static str> {
    TRAPS.iter().map(|(_, _, name)| *name).chain([ELECTED, WRITTEN])
}

/// An ambush that is under way.
#[derive(Debug)]
pub(super) struct Ambush {
    rng: Rng,
    leader: NodeId,
    /// The other nodes, members or not, but for the companion.
    rest: Vec<NodeId>,
    /// Who stays with the leader.
    companion: Option<NodeId>,
    /// The others whose promises count if it is a bare quorum.
    bare: Vec<NodeId>,
    /// Who is asked to lead, by a late word or in the middle.
    successor: NodeId,
    traps: Vec<Trap>,
    /// For how long a promise is kept, in microseconds of its own clock.
    promise_us: u64,
    /// When the leader is cut off.
    cut_us: u64,
    is_cut: bool,
    /// Nobody stands for election before this time.
    campaign_us: u64,
    /// How many looks are left.
    looks_left: u64,
    /// The rates of the clocks that ticks are made by, as they were.
    clocks: Vec<(NodeId, u64)>,
    was_elected: bool,
    was_written: bool,
}

impl Ambush {
    /// Chooses a leader with a lease, and prepares what leads to the cut. None if there is no such leader, or too few others.
    pub(super) fn begin(
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        rng: Rng,
    ) -> Option<Ambush> {
        let (leader, mut voters) =
            members.values().find_map(|member| Some((member.node(), member.lease()?)))?;
        // With fewer voters nobody is elected without the leader; and one that was removed is no part of a quorum.
        if voters.len() < 3 || !voters.contains(&leader) {
            return None;
        }
        let quorum = voters.len() / 2 + 1;
        voters.retain(|node| *node != leader && members.get(node).is_some_and(Member::is_running));
        if voters.len() < quorum {
            return None;
        }
        let mut ambush = Ambush {
            rng,
            leader,
            rest: Vec::new(),
            companion: None,
            bare: Vec::new(),
            successor: leader,
            traps: Vec::new(),
            promise_us: scene.profile.limits.election_timeout_ticks * TICK_US,
            cut_us: 0,
            is_cut: false,
            campaign_us: 0,
            looks_left: LOOKS_MAX,
            clocks: members.iter().map(|(node, member)| (*node, member.clock_per_mille())).collect(),
            was_elected: false,
            was_written: false,
        };
        ambush.cast(scene, voters, quorum);
        ambush.prepare(scene, members);
        scene.at(ambush.cut_us, Event::Ambush);
        Some(ambush)
    }

    /// Who plays which part.
    fn cast(&mut self, scene: &mut Scene, mut voters: Vec<NodeId>, quorum: usize) {
        let leaves_quorum = voters.len() > quorum;
        for (trap, per_mille, name) in TRAPS {
            if self.rng.chance(per_mille) && (trap != Trap::Companion || leaves_quorum) {
                self.traps.push(trap);
                scene.count(name);
            }
        }
        let promises_nothing = scene.profile.limits.leases.without;
        voters.sort_by_key(|node| (node.get() != promises_nothing, self.rng.next_u64()));
        if self.rng.chance(250) {
            voters.rotate_left(1);
        }
        self.bare = voters[..quorum - 1].to_vec();
        self.successor = *voters.last().expect("a quorum of others is left");
        if self.has(Trap::Companion) {
            self.companion = self.bare.last().copied();
        }
        let with_leader = [Some(self.leader), self.companion];
        self.rest = scene.nodes.iter().copied().filter(|node| !with_leader.contains(&Some(*node))).collect();
    }

    fn has(&self, trap: Trap) -> bool {
        self.traps.contains(&trap)
    }

    /// What happens before the leader is cut off, and for how long.
    fn prepare(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        let (now_us, promise_us, leader) = (scene.now_us, self.promise_us, self.leader);
        let mut lasts_us = self.rng.below(promise_us / 2);
        if self.has(Trap::ClocksApart) {
            let (slowest, fastest) = scene.profile.limits.leases.clock_bounds();
            for (node, member) in members.iter_mut() {
                member.set_steady_clock(now_us, if *node == leader { slowest } else { fastest });
            }
        }
        if self.has(Trap::LateAnswers) {
            // A leader that gets no answer for an election timeout gives up.
            let extra_us = self.rng.between(promise_us / 8, promise_us * 3 / 4);
            self.rest.iter().for_each(|node| scene.network.slow(*node, leader, extra_us));
            lasts_us += extra_us;
        }
        if self.has(Trap::BareQuorum) {
            for node in scene.nodes.clone() {
                if node != leader && !self.bare.contains(&node) {
                    scene.network.cut(node, leader);
                    scene.network.cut(leader, node);
                }
            }
            lasts_us += promise_us * 5 / 4;
        }
        if self.has(Trap::LateWord) {
            // A leader gives up after an election timeout; then it takes up its lease with the next round.
            let heartbeat_us = scene.profile.limits.heartbeat_ticks * TICK_US;
            let given_up_us = promise_us * 1000 / FAST_PER_MILLE + 2 * TICK_US;
            lasts_us = given_up_us + heartbeat_us / 2 + self.rng.below(heartbeat_us);
            self.set_ticks(scene, members, self.successor, SLOW_PER_MILLE);
            self.set_ticks(scene, members, leader, FAST_PER_MILLE);
            scene.network.join(leader, self.successor);
            scene.network.slow(leader, self.successor, lasts_us);
            scene.network.cut(self.successor, leader);
            self.hand_over(scene, members);
        }
        self.cut_us = now_us + 1 + lasts_us;
    }

    /// The cut comes, or a look at what came of it. False when it is over.
    pub(super) fn go_on(
        &mut self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        scouts: &mut Scouts,
    ) -> bool {
        let leads = members[&self.leader].leads();
        if !self.is_cut {
            if members[&self.leader].lease().is_none() {
                self.end(scene, members);
                return false;
            }
            self.cut(scene, members);
            scouts.begin();
        } else if self.looks_left == 0 || !leads {
            self.end(scene, members);
            return false;
        }
        self.looks_left -= 1;
        let elected = self.rest.iter().copied().find(|node| members[node].leads());
        match elected {
            Some(node) if !scouts.is_acknowledged() => {
                self.was_elected = true;
                scouts.write(scene, members.get_mut(&node).expect("it was found among them"));
            }
            None if scene.now_us >= self.campaign_us => self.let_stand(scene, members),
            Some(_) | None => {}
        }
        let mut pause_us = self.promise_us / LOOKS_IN_PROMISE;
        if scouts.is_acknowledged() {
            self.was_written = true;
            pause_us /= 2;
        }
        let asked = self.companion.filter(|_| self.rng.chance(500)).unwrap_or(self.leader);
        scouts.read(scene, members.get_mut(&asked).expect("it plays a part"));
        scene.after(1 + pause_us, Event::Ambush);
        true
    }

    /// The leader hears the others no more, nor they the leader.
    fn cut(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        self.is_cut = true;
        let (now_us, leader) = (scene.now_us, self.leader);
        self.campaign_us = now_us;
        let heard = self.has(Trap::Handover);
        for side in [Some(leader), self.companion].into_iter().flatten() {
            for node in &self.rest {
                scene.network.cut(*node, side);
                if !heard {
                    scene.network.cut(side, *node);
                }
            }
        }
        if heard {
            self.hand_over(scene, members);
        }
        if self.has(Trap::LateWord) || heard {
            // Who stands for election of its own accord does not follow any more, and takes no word.
            self.campaign_us = now_us + self.promise_us / 2;
        }
        if self.has(Trap::SlowTicks) {
            self.set_ticks(scene, members, leader, SLOW_PER_MILLE);
        }
        if self.has(Trap::WallClocks) {
            let (is_back, by_ms) = (self.rng.chance(500), self.rng.below(WALL_MS_MAX));
            let offset_ms = if is_back { WALL_START_MS - by_ms } else { WALL_START_MS + by_ms };
            for (_, member) in members.iter_mut().filter(|(node, _)| (**node == leader) == is_back) {
                member.set_wall(offset_ms);
            }
        }
        if self.has(Trap::Pause) {
            let until_us = now_us + self.promise_us + self.rng.below(self.promise_us / 2);
            let member = members.get_mut(&leader).expect("it leads");
            member.pause(until_us);
            member.set_clock(scene, until_us, member.clock_per_mille());
        }
        if self.has(Trap::Restart) {
            let node = self.bare[0];
            members.get_mut(&node).expect("it plays a part").crash(scene, false);
            scene.after(1 + self.rng.below(self.promise_us / 8), Event::Restart(node));
        }
    }

    /// One of the others stands for election, most often the one with the longest log. A candidate is left some time to win.
    fn let_stand(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        let longest = self.rest.iter().copied().max_by_key(|node| members[node].last_index());
        let any = self.rng.pick(&self.rest).copied();
        let Some(node) = (if self.rng.chance(700) { longest } else { any }) else { return };
        let member = members.get_mut(&node).expect("it plays a part");
        member.campaign(scene);
        let faults = &scene.profile.faults;
        let stands = members.values().any(Member::stands);
        if stands {
            let win_us = 3 * (faults.delay_mean_us + faults.sync_mean_us) + self.promise_us / 16;
            self.campaign_us = scene.now_us + win_us;
        }
    }

    fn hand_over(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        let leader = members.get_mut(&self.leader).expect("it leads");
        leader.on_cluster(scene, ClusterRequest::Transfer { to: Some(self.successor) });
    }

    fn set_ticks(
        &self,
        scene: &mut Scene,
        members: &mut BTreeMap<NodeId, Member>,
        node: NodeId,
        per_mille: u64,
    ) {
        let now_us = scene.now_us;
        members.get_mut(&node).expect("it plays a part").set_clock(scene, now_us, per_mille);
    }

    /// All hear each other again, and ticks come as before.
    fn end(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) {
        if self.was_elected {
            scene.count(ELECTED);
        }
        if self.was_written {
            scene.count(WRITTEN);
        }
        for (node, per_mille) in std::mem::take(&mut self.clocks) {
            self.set_ticks(scene, members, node, per_mille);
        }
        scene.announce("net", || "the ambush is over, all links are joined".into());
        scene.network.heal();
    }
}

const ELECTED: &str = "ambush: another was elected while the first one led";
const WRITTEN: &str = "ambush: the first one was asked after a write of another";

/// Into how many parts the time of a promise is divided by looks.
const LOOKS_IN_PROMISE: u64 = 40;
/// After how many looks an ambush is over, at the latest.
const LOOKS_MAX: u64 = 120;

/// Ticks at the slowest and the fastest, in thousandths of true time.
const SLOW_PER_MILLE: u64 = 500;
const FAST_PER_MILLE: u64 = 1500;

/// How far wall clocks are set: no further than a key is remembered.
const WALL_MS_MAX: u64 = 60_000;
