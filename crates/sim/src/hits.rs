//! The classes of fault and what each must have caused: a simulator that never hits a class proves nothing about it.

use crate::disk::{Fault, SimDisk};
use crate::faults::class::CLASSES;
use crate::faults::expected_of_ambushes;
use crate::network::NetworkCounters;
use crate::profile::DRAWN;

/// Every name that must have been counted at least once over many runs.
pub fn expected() -> Vec<&'static str> {
    let faults = CLASSES.iter().map(|class| class.name());
    let drawn = DRAWN.map(|(name, _)| name);
    let disk = DISK_FAULTS.map(|(_, name)| name);
    faults.chain(drawn).chain(CONSEQUENCES).chain(disk).chain(expected_of_ambushes()).collect()
}

/// What the disk did wrong, counted by itself.
pub(crate) fn of_disk(disk: &SimDisk) -> impl Iterator<Item = (&'static str, u64)> {
    DISK_FAULTS.into_iter().map(|(fault, name)| (name, disk.count(fault)))
}

/// What the network did wrong, counted by itself.
pub(crate) fn of_network(network: NetworkCounters) -> [(&'static str, u64); 9] {
    [
        ("message lost", network.lost),
        ("message repeated", network.repeated),
        ("message straggled", network.straggled),
        ("message met a cut", network.cut),
        ("message slowed by its link", network.slowed),
        ("message lost in a reset", network.reset),
        ("message of a lost kind", network.filtered),
        ("message too large to pass", network.too_large),
        ("message sent", network.sent),
    ]
}

/// What the disk counts, and the name here.
const DISK_FAULTS: [(Fault, &str); 9] = [
    (Fault::WriteError, "disk: write failed"),
    (Fault::SyncError, "disk: sync failed, page called clean"),
    (Fault::Full, "disk: no space"),
    (Fault::ReadError, "disk: read failed"),
    (Fault::ShortWrite, "disk: write cut short"),
    (Fault::ReadOnly, "disk: read-only"),
    (Fault::Misdirect, "disk: write misdirected"),
    (Fault::MisdirectRead, "disk: read misdirected"),
    (Fault::SyncLie, "disk: write lost"),
];

/// What faults that last for a run, or that wait for their moment, must have caused.
const CONSEQUENCES: [&str; 67] = [
    "budget full: bytes in flight to a peer",
    "budget full: bytes of proposals pending",
    "budget full: bytes uncommitted",
    "candidate given what it lacked",
    "client gave up a request",
    "client repeated a request",
    "clock: fits again",
    "clock: found to be off",
    "crash loop: process died again",
    "damage: all that was lost is back",
    "damage: entries came back from a peer",
    "damage: entries lost",
    "damage: node whole again",
    "damage: state lost",
    "damage: commit told by who lost its state",
    "disk full: leader stepped down",
    "disk full: node paused",
    "disk full: node resumed",
    "entries read back from the log",
    "feature level: an older binary stopped",
    "feature level: raised",
    "fetch of a snapshot resumed",
    "gave way: lost entries",
    "gave way: lower priority",
    "gave way: silent disk",
    "gave way: slow disk",
    "healed: all",
    "healed: only a quorum",
    "key forgotten, its command applied again",
    "left broken: cut off",
    "left broken: dead",
    "left broken: disk full",
    "left broken: disk stuck",
    "left broken: frozen",
    "left broken: hears nothing",
    "left broken: is not heard",
    "lease: given up for a transfer",
    "lease: none, read by a round",
    "lease: read",
    "lease: vote withheld after a start",
    "lease: vote withheld",
    "log compacted",
    "members: changed",
    "members: joint",
    "members: leader removed",
    "members: refused",
    "message lost in a reset",
    "message lost",
    "message met a cut",
    "message of a lost kind",
    "message repeated",
    "message slowed by its link",
    "message straggled",
    "message too large to pass",
    "node stopped by its disk",
    "operator: not answered by a leader",
    "power lost between write and sync",
    "slow disk",
    "snapshot installed",
    "snapshot taken",
    "start from a snapshot",
    "start refused by a failing disk",
    "start refused on a damaged disk",
    "transfer: another leads",
    "transfer: given up",
    "transfer: refused",
    "wiped node refused",
];
