//! How long a cluster of five stands still when its links fail in part: the three shapes in which some protocols elect nobody, or again
//! and again another one (Omni-Paxos, EuroSys 2023). Each run lets the cluster serve under load, cuts links, and waits for the first commit
//! of something new.

use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::clock::TICK_US;
use crate::faults::keep_links;
use crate::healing::isolate;
use crate::profile::{Faults, Limits, Profile, SECOND_US};
use crate::rng::Rng;
use crate::trace::TraceMode;
use crate::world::World;

/// A shape of partial connectivity, of five nodes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// All hear one node that does not lead, and nobody else: the leader has lost its quorum, and only that node can win.
    QuorumLoss,
    /// Each node hears its two neighbours in a chain, and the leader stands at one end of it.
    Chained,
    /// The leader is cut off from all, and of the others only one hears all the rest.
    Constrained,
    /// The same, and that one lacks what was committed last: nobody who hears a majority has a log with which to win.
    ConstrainedBehind,
}

/// All shapes.
pub const SHAPES: [Shape; 4] =
    [Shape::QuorumLoss, Shape::Chained, Shape::Constrained, Shape::ConstrainedBehind];

impl Shape {
    /// The name that is printed.
    pub fn name(self) -> &'static str {
        match self {
            Shape::QuorumLoss => "quorum loss",
            Shape::Chained => "chained",
            Shape::Constrained => "constrained",
            Shape::ConstrainedBehind => "constrained, behind",
        }
    }

    /// From the cut to the first commit of an entry that is newer than it, in thousandths of the longest election timeout. `None` if
    /// there is none within [`TIMEOUTS_MAX`] of them.
    ///
    /// # Errors
    /// A rule that was broken.
    pub fn measure(self, seed: u64) -> Result<Option<u64>, Violation> {
        let mut world = World::with_profile(seed, profile(seed), TraceMode::Off);
        let mut rng = Rng::stream(seed, self.name());
        world.begin()?;
        world.advance_for(WARM_US + rng.below(SECOND_US))?;
        let mut leader = world.leader();
        while leader.is_none() {
            world.advance_for(TICK_US)?;
            leader = world.leader();
        }
        let leader = leader.expect("it was awaited");
        let mut others: Vec<NodeId> =
            world.scene.nodes.iter().copied().filter(|node| *node != leader).collect();
        for place in 1..others.len() {
            let other = rng.below(place as u64 + 1);
            others.swap(place, usize::try_from(other).expect("there are few nodes"));
        }
        self.cut(&mut world, leader, &others)?;
        let cut_us = world.scene.now_us;
        // Whatever stood in a log by then is not new, and the first entry of a new leader is nobody's.
        let known = world.members.values().filter_map(|member| member.last_index()).max().unwrap_or_default();
        let timeout_us = 2 * world.scene.profile.limits.election_timeout_ticks * TICK_US;
        while world.scene.checks.committed() <= known.next() {
            if world.scene.now_us > cut_us + TIMEOUTS_MAX * timeout_us {
                return Ok(None);
            }
            world.advance()?;
        }
        Ok(Some((world.scene.now_us - cut_us) * 1000 / timeout_us))
    }

    fn cut(self, world: &mut World, leader: NodeId, others: &[NodeId]) -> Result<(), Violation> {
        let one = others[0];
        if self == Shape::ConstrainedBehind {
            world.scene.network.cut(leader, one);
            world.advance_for(BEHIND_US)?;
        }
        let scene = &mut world.scene;
        match self {
            Shape::QuorumLoss => keep_links(scene, |from, to| from == one || to == one),
            Shape::Chained => {
                let chain = [&[leader], others].concat();
                let place = |node: NodeId| chain.iter().position(|other| *other == node).unwrap_or_default();
                keep_links(scene, |from, to| place(from).abs_diff(place(to)) == 1);
            }
            Shape::Constrained | Shape::ConstrainedBehind => {
                keep_links(scene, |from, to| from == one || to == one);
                isolate(scene, leader, true, true);
            }
        }
        Ok(())
    }
}

/// Five nodes under load, with clocks and delays as they are, in which nothing else goes wrong.
fn profile(seed: u64) -> Profile {
    let standard = Profile::standard(seed);
    let faults = Faults {
        weights: Vec::new(),
        loss_per_mille: 0,
        repeat_per_mille: 0,
        straggle_per_mille: 0,
        crash_before_sync_per_mille: 0,
        ..standard.faults
    };
    // Clients that ask another node soon, so that what is measured is the cluster.
    let limits = Limits { client_pause_us: 5_000, client_timeout_us: 20_000, ..Limits::ordinary() };
    Profile { limits, faults, priorities: Vec::new(), donation: true, faulty_us: u64::MAX / 2, ..standard }
}

/// For how long the cluster serves before the cut, at least.
const WARM_US: u64 = 2 * SECOND_US;
/// For how long the one that is behind hears nothing of the leader before the cut: less than an election timeout.
const BEHIND_US: u64 = 100_000;
/// After so many of the longest election timeouts nobody waits any more.
pub const TIMEOUTS_MAX: u64 = 25;
