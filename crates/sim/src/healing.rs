//! How the faults of a run end: either all is healed, or only a quorum, and the rest stays broken for good, each node in its own way.

use std::collections::BTreeMap;

use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::disk::Fault;
use crate::member::{Member, Store};
use crate::rng::Rng;
use crate::scene::Scene;

/// In which way a node stays broken for good.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Broken {
    /// It does not run.
    Dead,
    /// It runs and is cut off in both directions.
    CutOff,
    /// It is heard and hears nothing: it stands for election again and again.
    Deaf,
    /// It hears and is not heard.
    Mute,
    /// Its process does nothing more.
    Frozen,
    /// Its disk does nothing more, while its process goes on.
    Stuck,
    /// Its disk has no room for anything new.
    Full,
}

const ALL: [Broken; 7] =
    [Broken::Dead, Broken::CutOff, Broken::Deaf, Broken::Mute, Broken::Frozen, Broken::Stuck, Broken::Full];

impl Broken {
    fn name(self) -> &'static str {
        match self {
            Broken::Dead => "left broken: dead",
            Broken::CutOff => "left broken: cut off",
            Broken::Deaf => "left broken: hears nothing",
            Broken::Mute => "left broken: is not heard",
            Broken::Frozen => "left broken: frozen",
            Broken::Stuck => "left broken: disk stuck",
            Broken::Full => "left broken: disk full",
        }
    }
}

/// Ends all faults. What it returns is the core: the nodes that are whole from now on, a quorum at least.
///
/// # Errors
/// When a node of the core does not start from what its disk holds.
pub(crate) fn heal(
    scene: &mut Scene,
    members: &mut BTreeMap<NodeId, Member>,
    mut rng: Rng,
) -> Result<Vec<NodeId>, Violation> {
    scene.end_faults();
    let quorum = scene.nodes.len() / 2 + 1;
    let comes_back = |member: &Member| matches!(member.store(), Store::Sound | Store::Repairing);
    let mut core: Vec<NodeId> =
        members.iter().filter(|(_, member)| comes_back(member)).map(|(node, _)| *node).collect();
    assert!(core.len() >= quorum, "damage leaves a quorum of sound disks");
    // With members that change, a node that is broken for good might just have become the one that is needed.
    // And what one node has lost may be intact on any other one alone.
    let repairing = members.values().any(|member| member.store() == Store::Repairing);
    let all = rng.chance(500) || scene.members_change || repairing;
    while !all && core.len() > quorum {
        let one = *rng.pick(&core).expect("a core has members");
        core.retain(|node| *node != one);
    }
    let whole = core.len() == scene.nodes.len();
    scene.count(if whole { "healed: all" } else { "healed: only a quorum" });
    scene.announce("world", || format!("is healed but for all outside of {core:?}"));
    for (node, member) in members.iter_mut() {
        if core.contains(node) {
            member.heal();
            member.start(scene)?;
        } else {
            let broken = *rng.pick(&ALL).expect("there are ways to be broken");
            scene.mark(*node, || format!("stays broken: {broken:?}"));
            scene.count(broken.name());
            leave(scene, *node, member, broken);
        }
    }
    Ok(core)
}

fn leave(scene: &mut Scene, node: NodeId, member: &mut Member, broken: Broken) {
    match broken {
        Broken::Dead => member.retire(scene),
        Broken::CutOff => isolate(scene, node, true, true),
        Broken::Deaf => isolate(scene, node, false, true),
        Broken::Mute => isolate(scene, node, true, false),
        Broken::Frozen => member.pause(FOR_EVER_US),
        Broken::Stuck => member.stall_disk(FOR_EVER_US),
        Broken::Full => member.disk().set_rate(Fault::Full, 1000),
    }
}

/// Cuts what the node sends, what it hears, or both.
pub(crate) fn isolate(scene: &mut Scene, node: NodeId, outward: bool, inward: bool) {
    for other in scene.nodes.clone() {
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

/// Later than any run ends.
const FOR_EVER_US: u64 = u64::MAX / 2;
