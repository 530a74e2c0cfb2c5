//! What disks lose of logs and snapshots that others still have: bits, whole sectors, writes that landed elsewhere, on any number of nodes
//! at once. One rule limits it: each entry that is on any disk keeps an intact copy, and so does each state. Then all must come back,
//! whoever lost what; what is not so limited is the business of the table of damage (`damage_table.rs`).

use std::collections::BTreeMap;

use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId};

use super::Faults;
use crate::disk::SimDisk;
use crate::member::{Member, Store};
use crate::rng::Rng;
use crate::rot::ROTS;
use crate::scene::{Event, Scene};
use crate::store;

impl Faults {
    /// Some nodes lose their power, and their disks lose something. True if any did.
    pub(super) fn lose(&mut self, scene: &mut Scene, members: &mut BTreeMap<NodeId, Member>) -> bool {
        let early = scene.now_us < scene.profile.faults.damage_from_us;
        let sound = members.values().all(|member| member.store() == Store::Sound && !member.is_retired());
        if early || scene.members_change || !sound || members.len() < 2 {
            return false;
        }
        let victims: Vec<NodeId> = scene.nodes.iter().copied().filter(|_| self.rng.chance(500)).collect();
        for node in &victims {
            self.crash(scene, members, *node, true);
            let down_us = self.rng.below(2 * crate::profile::SECOND_US);
            scene.after(down_us, Event::Restart(*node));
        }
        let Some(mut copies) = Copies::count(scene, members) else { return false };
        if self.rng.chance(250) {
            return self.lose_snapshot(scene, members, &victims);
        }
        let per_mille = *self.rng.pick(&[50, 300, 1000]).expect("there are strengths");
        let mut struck = false;
        for node in victims {
            let member = members.get_mut(&node).expect("victims are members");
            let lost = self.lose_entries(scene, member, &mut copies, per_mille);
            struck |= lost > 0;
        }
        struck
    }

    /// One disk loses entries, each of which stays intact elsewhere. Returns how many.
    fn lose_entries(
        &mut self,
        scene: &Scene,
        member: &mut Member,
        copies: &mut Copies,
        per_mille: u64,
    ) -> usize {
        let Some(before) = look(scene, member, member.disk()) else { return 0 };
        let mut candidates: Vec<EntryId> = store::ids_of(&before);
        candidates.retain(|_| self.rng.chance(per_mille));
        let mut found = before;
        for id in candidates.into_iter().take(LOSSES_MAX) {
            let rot = *self.rng.pick(&ROTS).expect("there are ways");
            let changed = member.disk().fork(Rng::new(self.rng.next_u64()));
            let Some(name) = rot.strike(&changed, id, &mut self.rng) else { continue };
            // What one sector holds may be more than this entry, or what cannot be told from a torn tail: then it does not strike.
            let Some(after) = look(scene, member, &changed) else { continue };
            let is_told = after.last == found.last
                && after.hard_state == found.hard_state
                && after.snapshot_lost.is_none()
                && found.damaged.iter().all(|id| after.damaged.contains(id));
            let fresh: Vec<EntryId> =
                after.damaged.iter().copied().filter(|id| !found.damaged.contains(id)).collect();
            if !is_told || !copies.can_lose(&fresh) {
                continue;
            }
            copies.lose(&fresh);
            member.disk().plant(&name, &changed.contents(&name).expect("it was changed"));
            found = after;
        }
        if !found.damaged.is_empty() {
            member.note_damage(Store::Repairing);
        }
        found.damaged.len()
    }

    /// One disk loses its newest snapshot. Nothing else is lost, so every other node can give a state.
    fn lose_snapshot(
        &mut self,
        scene: &Scene,
        members: &mut BTreeMap<NodeId, Member>,
        victims: &[NodeId],
    ) -> bool {
        let Some(member) = self.rng.pick(victims).and_then(|node| members.get_mut(node)) else {
            return false;
        };
        let Some(before) = look(scene, member, member.disk()) else { return false };
        let names = member.disk().names();
        let Some(name) = names.iter().rev().find(|name| name.starts_with("snapshot/")) else { return false };
        let mut bytes = member.disk().contents(name).unwrap_or_default();
        if before.snapshot.is_none() || bytes.is_empty() {
            return false;
        }
        let at = usize::try_from(self.rng.below(bytes.len() as u64)).expect("a snapshot is small");
        bytes[at] ^= 1 << self.rng.below(8);
        let changed = member.disk().fork(Rng::new(self.rng.next_u64()));
        changed.plant(name, &bytes);
        if look(scene, member, &changed).is_none() {
            return false;
        }
        member.disk().plant(name, &bytes);
        member.note_damage(Store::Repairing);
        true
    }
}

/// How many intact copies there are of each entry.
struct Copies {
    logs: BTreeMap<EntryId, usize>,
    /// How many nodes hold in a snapshot what their logs no longer do: the ends of their logs' beginnings.
    bases: Vec<Index>,
}

impl Copies {
    /// Counts what is on the disks of all nodes, which are sound. None if one cannot be read.
    fn count(scene: &Scene, members: &BTreeMap<NodeId, Member>) -> Option<Copies> {
        let mut copies = Copies { logs: BTreeMap::new(), bases: Vec::new() };
        for member in members.values() {
            let stored = look(scene, member, member.disk())?;
            for id in store::ids_of(&stored) {
                *copies.logs.entry(id).or_default() += 1;
            }
            copies.bases.push(stored.base.index);
        }
        Some(copies)
    }

    fn can_lose(&self, ids: &[EntryId]) -> bool {
        ids.iter().all(|id| {
            let in_snapshots = self.bases.iter().filter(|base| **base >= id.index).count();
            self.logs.get(id).copied().unwrap_or(0) + in_snapshots > 1
        })
    }

    fn lose(&mut self, ids: &[EntryId]) {
        for id in ids {
            *self.logs.get_mut(id).expect("what is lost was counted") -= 1;
        }
    }
}

/// What a start would find on this disk of a node if the power went now and nothing that is not synced lasted.
fn look(scene: &Scene, member: &Member, disk: &SimDisk) -> Option<Stored> {
    let fork = disk.fork(Rng::new(1));
    fork.heal();
    fork.crash_losing_all();
    let voters = if scene.voters.contains(&member.node()) { scene.voters.as_slice() } else { &[] };
    let limits = &scene.profile.limits;
    let (_, stored, _) = store::open(&fork, voters, limits.window_bytes_max, limits.segment_bytes).ok()?;
    Some(stored)
}

/// How many entries one disk loses at once at most: each is tried out on a copy of the disk.
const LOSSES_MAX: usize = 12;
