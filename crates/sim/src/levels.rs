//! Binaries of two releases in one run: which life of a node has which, and what comes of it.

use quorate_core::types::NodeId;
use quorate_replica::applier::LevelTooNew;

use crate::profile::Profile;
use crate::rng::{HASH_START, hash_word};
use crate::scene::{Life, Scene};

/// The highest feature level that the binary of this life of a node understands. A node runs an older binary for its first lives in some runs,
/// and a newer one from then on, as in an upgrade node by node.
pub(crate) fn level_max(life: Life, profile: &Profile) -> u16 {
    let old_lives = hash_word(hash_word(HASH_START, profile.upgrade), life.node.get()) % 4;
    if profile.upgrade > 0 && life.number <= old_lives { 1 } else { 2 }
}

/// Counts what applying a batch did to the feature level. Whether the node stops, because its binary does not understand it.
pub(crate) fn count(scene: &mut Scene, node: NodeId, raised: bool, too_new: Option<LevelTooNew>) -> bool {
    if let Some(too_new) = too_new {
        scene.mark(node, || format!("stops: {too_new}"));
        scene.count("feature level: an older binary stopped");
    } else if raised {
        scene.count("feature level: raised");
    }
    too_new.is_some()
}
