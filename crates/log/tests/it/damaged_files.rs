//! A thousand random damages to the files of stopped nodes, and what a start makes of each: nothing that was acknowledged is silently lost,
//! and no start is unsafe. The folders are written by the log on the operating system's disk, with rotation, truncation, votes,
//! snapshots, compaction and installs; the oracle knows what was acknowledged.
//!
//! `cargo test -p quorate-log --test it damaged_files -- --nocapture` prints how each kind of damage ended. `QUORATE_DAMAGES=20` in front
//! of it does twenty times as much, with other seeds too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quorate_core::entry::Entry;
use quorate_core::types::{EntryId, NodeId};
use quorate_log::{DataDir, Identity, Log, RealDisk, Wanted};
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, commands, members, options, persist, vote};
use crate::oracle::{INCARNATION, Outcome, Truth};
use crate::snapshot_crash::{Model, state_len};
use crate::unsynced::Unsynced;

/// The files of a folder.
type Files = BTreeMap<String, Vec<u8>>;

/// A folder of a stopped node.
struct Folder {
    files: Files,
    /// Other contents that a file had earlier, also one that is gone.
    older: Vec<(String, Vec<u8>)>,
    truth: Truth,
    /// What was acknowledged earlier: what a disk that lies may bring back after a crash.
    earlier: Vec<Truth>,
    closed: bool,
}

/// A way to damage files.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Damage {
    BitFlip,
    Truncation,
    SwappedFiles,
    ZeroedSector,
    DeletedFile,
    OlderCopy,
    SwappedSectors,
}

const DAMAGES: [Damage; 7] = [
    Damage::BitFlip,
    Damage::Truncation,
    Damage::SwappedFiles,
    Damage::ZeroedSector,
    Damage::DeletedFile,
    Damage::OlderCopy,
    Damage::SwappedSectors,
];

/// Lets a node write its folder, and stops it.
fn written(seed: u64, closed: bool) -> Folder {
    let Place { root, disk, _dir } = Place::new();
    let mut rng = Rng::stream(seed, "files");
    let data = DataDir::open(disk.clone()).unwrap();
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
    let (mut identity, _) = Identity::open_or_create(&data, wanted, INCARNATION).unwrap();
    let (mut log, _) = Log::open(data, options(SEGMENT_BYTES)).unwrap();
    let (mut model, mut peers) = (Model::new(), BTreeMap::new());
    let (mut older, mut earlier): (Vec<(String, Vec<u8>)>, Vec<Truth>) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        if step % 11 == 3 {
            peers.insert(2 + step as u64, 100 + u128::from(seed));
            identity.remember(NodeId::new(2 + step as u64), 100 + u128::from(seed)).unwrap();
        }
        if step % 13 == 7 {
            model.sync(&mut log).unwrap();
            if rng.chance(500) {
                log.close().unwrap();
            } else {
                drop(log);
            }
            older.extend(read(&root));
            log = Log::open(DataDir::open(disk.clone()).unwrap(), options(SEGMENT_BYTES)).unwrap().0;
            model.restart();
        }
        model.step(&mut log, &mut rng).unwrap();
        if step % 5 == 4 {
            model.sync(&mut log).unwrap();
            older.extend(read(&root));
        }
        earlier.push(truth(&model, &peers));
    }
    model.sync(&mut log).unwrap();
    let truth = truth(&model, &peers);
    if closed {
        log.close().unwrap();
    } else {
        drop(log);
    }
    let files = read(&root);
    older.retain(|(name, bytes)| files.get(name) != Some(bytes));
    older.dedup();
    Folder { files, older, truth, earlier, closed }
}

fn truth(model: &Model, peers: &BTreeMap<u64, u128>) -> Truth {
    let state = model.last().clone();
    Truth { hard_state: state.hard_state, entries: state.entries, peers: peers.clone(), state_len }
}

/// All files of a folder but the lock.
fn read(root: &Path) -> Files {
    let mut files = Files::new();
    for folder in ["", "wal", "snapshot"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && name != "LOCK" {
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                files.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// A folder whose files are replaced again and again.
struct Place {
    root: PathBuf,
    disk: Unsynced,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("node");
        let disk = Unsynced(RealDisk::open(&root).unwrap());
        Place { root, disk, _dir: dir }
    }

    /// Writes the files, in place of what is there.
    fn write(&self, files: &Files) -> &Unsynced {
        std::fs::remove_dir_all(&self.root).unwrap();
        for folder in ["wal", "snapshot"] {
            std::fs::create_dir_all(self.root.join(folder)).unwrap();
        }
        for (name, bytes) in files {
            std::fs::write(self.root.join(name), bytes).unwrap();
        }
        &self.disk
    }
}

/// Damages the files. False if there was nothing to damage in this way.
fn damage(files: &mut Files, older: &[(String, Vec<u8>)], way: Damage, rng: &mut Rng) -> bool {
    let names: Vec<String> = files.keys().cloned().collect();
    let pick = |rng: &mut Rng, len: usize| usize::try_from(rng.below(len as u64)).unwrap();
    let name = names[pick(rng, names.len())].clone();
    let bytes = files.get_mut(&name).unwrap();
    let before = bytes.clone();
    // Most of a small segment is empty: three times of four something that was written is hit.
    let written = bytes.chunks(SECTOR).rposition(|sector| sector.iter().any(|byte| *byte != 0));
    let sectors = bytes.len().div_ceil(SECTOR);
    let area = if rng.chance(750) { written.map_or(1, |last| last + 1) } else { sectors };
    let sector = |rng: &mut Rng| pick(rng, area.max(1)) * SECTOR;
    match way {
        Damage::BitFlip => {
            let at = pick(rng, bytes.len().min(area * SECTOR));
            bytes[at] ^= 1 << rng.below(8);
        }
        Damage::Truncation => bytes.truncate(pick(rng, before.len())),
        Damage::ZeroedSector => {
            let at = sector(rng);
            let end = before.len().min(at + SECTOR);
            bytes[at..end].fill(0);
        }
        Damage::SwappedSectors => {
            let (one, other) = (sector(rng), sector(rng));
            if one.max(other) + SECTOR <= before.len() {
                bytes[one..one + SECTOR].copy_from_slice(&before[other..other + SECTOR]);
                bytes[other..other + SECTOR].copy_from_slice(&before[one..one + SECTOR]);
            }
        }
        Damage::SwappedFiles => {
            let other = names[pick(rng, names.len())].clone();
            let content = files.insert(other.clone(), before.clone()).unwrap();
            let changed = content != before;
            files.insert(name, content);
            return changed;
        }
        Damage::DeletedFile => {
            files.remove(&name);
            return true;
        }
        Damage::OlderCopy => {
            let Some((name, content)) = older.get(pick(rng, older.len().max(1))) else { return false };
            files.insert(name.clone(), content.clone());
            return true;
        }
    }
    *bytes != before
}

/// How the runs ended.
#[derive(Default)]
struct Table(BTreeMap<(String, String), u64>);

impl Table {
    fn count(&mut self, way: String, outcome: String) {
        *self.0.entry((way, outcome)).or_default() += 1;
    }

    fn of(&self, outcome: &str) -> u64 {
        self.0.iter().filter(|((_, ended), _)| ended == outcome).map(|(_, count)| count).sum()
    }

    fn print(&self, title: &str) {
        println!("{title}");
        for ((way, outcome), count) in &self.0 {
            println!("  {way:16} {outcome:10} {count:5}");
        }
    }
}

/// Damages folders and starts on them; `damages` at once. Panics at the first silent loss or unsafe start.
fn run(folders: &[Folder], runs: u64, damages: usize, seed: u64) -> Table {
    let (mut table, place) = (Table::default(), Place::new());
    let times = std::env::var("QUORATE_DAMAGES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let (mut done, mut tried, runs) = (0, 0, runs * times);
    while done < runs {
        tried += 1;
        let mut rng = Rng::stream(seed * 1_000_000 + tried, "damage");
        let folder = &folders[usize::try_from(tried).unwrap() % folders.len()];
        let mut files = folder.files.clone();
        let ways: Vec<Damage> =
            (0..damages).map(|_| DAMAGES[usize::try_from(rng.below(7)).unwrap()]).collect();
        if !ways.iter().all(|way| damage(&mut files, &folder.older, *way, &mut rng)) {
            continue;
        }
        done += 1;
        let way = if damages == 1 { format!("{:?}", ways[0]) } else { "two of them".to_owned() };
        let outcome = match folder.truth.check(place.write(&files), SEGMENT_BYTES) {
            Ok(outcome) => format!("{outcome:?}"),
            Err(what) => {
                let lies = [Damage::ZeroedSector, Damage::OlderCopy, Damage::SwappedSectors];
                let may_lie = !folder.closed && lies.contains(&ways[0]);
                let whole = |truth: &Truth| {
                    let outcome = truth.check(place.write(&files), SEGMENT_BYTES);
                    matches!(outcome, Ok(Outcome::Whole | Outcome::Told))
                };
                let is_earlier = |earlier: &Truth| {
                    let peers = earlier.peers.clone();
                    whole(earlier) || whole(&Truth { peers, ..folder.truth.clone() })
                };
                let taken_back = may_lie && folder.earlier.iter().rev().any(is_earlier);
                assert!(taken_back, "run {tried}, {ways:?}: {what}\n{}", difference(&folder.files, &files));
                "TakenBack".to_owned()
            }
        };
        table.count(way, outcome);
    }
    table
}

/// Which files differ, and where first.
fn difference(sound: &Files, damaged: &Files) -> String {
    let names: std::collections::BTreeSet<&String> = sound.keys().chain(damaged.keys()).collect();
    let differ = names.into_iter().filter(|name| sound.get(*name) != damaged.get(*name));
    differ
        .map(|name| {
            let (one, other) = (sound.get(name), damaged.get(name));
            let lens = (one.map(Vec::len), other.map(Vec::len));
            let at = one.zip(other).and_then(|(one, other)| one.iter().zip(other).position(|(a, b)| a != b));
            format!("{name}: lengths {lens:?}, first difference at {at:?}\n")
        })
        .collect()
}

fn folders(closed: bool) -> Vec<Folder> {
    (0..FOLDERS).map(|seed| written(seed, closed)).collect()
}

#[test]
fn of_a_thousand_damages_to_a_stopped_node_none_loses_anything_silently() {
    let folders = folders(true);
    let compacted = folders.iter().filter(|folder| !folder.files.contains_key("wal/0000000000000001.seg"));
    let received =
        folders.iter().filter(|folder| folder.files.keys().any(|name| name.ends_with(".received")));
    assert!(compacted.count() > 2 && received.count() > 2, "the folders are too plain");
    let table = run(&folders, 1000, 1, 1);
    table.print("1,000 single damages to nodes that were stopped in order");
    for outcome in ["Whole", "Told", "Listed", "Refused"] {
        assert!(table.of(outcome) > 30, "{outcome}: {}", table.of(outcome));
    }
    assert_eq!(table.of("TakenBack"), 0);
    let two = run(&folders, 200, 2, 2);
    two.print("200 pairs of damages");
}

/// What a disk took back at the very end of the log of a node that was killed is not found out, and nothing else: what is then missing
/// is exactly a state that the node had before.
#[test]
fn after_a_crash_only_what_the_disk_took_back_at_the_very_end_is_not_found_out() {
    let folders = folders(false);
    let table = run(&folders, 400, 1, 3);
    table.print("400 single damages to nodes that were killed");
    let (back, all) = (table.of("TakenBack"), table.0.values().sum::<u64>());
    assert!(back > 0 && back * 10 < all, "{back} of {all}");
}

/// The oracle can fail: folders as logs would leave them that cut, skip or forget.
#[test]
fn a_log_that_cuts_forgets_or_goes_back_would_be_found_out() {
    let place = Place::new();
    let made = |votes: bool, entries: &[Entry]| {
        let disk = place.write(&Files::new()).clone();
        let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
        let data = DataDir::open(disk.clone()).unwrap();
        Identity::open_or_create(&data, wanted, INCARNATION).unwrap();
        let (mut log, _) = Log::open(data, options(SEGMENT_BYTES)).unwrap();
        let hard_state = if votes { vote(3, 2) } else { vote(3, 0) };
        persist(&mut log, 1, Some(hard_state), entries).unwrap();
        log.close().unwrap();
        disk
    };
    let entries: Vec<Entry> =
        std::iter::once(Entry::bootstrap(members())).chain(commands(1, 2..=9)).collect();
    let truth = Truth { hard_state: vote(3, 2), entries, peers: BTreeMap::new(), state_len };
    let check = |disk: &Unsynced, truth: &Truth| truth.check(disk, SEGMENT_BYTES).unwrap_err();
    assert_eq!(truth.check(&made(true, &truth.entries[1..]), SEGMENT_BYTES), Ok(Outcome::Whole));
    assert!(check(&made(true, &truth.entries[1..5]), &truth).contains("entries are gone"), "cut at damage");
    assert!(check(&made(false, &truth.entries[1..]), &truth).contains("went back"), "a forgotten vote");
    let mut other = truth.entries.clone();
    other[4].timestamp_ms += 1;
    assert!(check(&made(true, &other[1..]), &truth).contains("holds something else"), "wrong bytes");
    let mut terms = truth.clone();
    terms.entries[8].id = EntryId::new(2, 9);
    assert!(check(&made(true, &truth.entries[1..]), &terms).contains("gone"), "another id");
    let mut peers = truth.clone();
    peers.peers.insert(2, 2);
    assert!(check(&made(true, &truth.entries[1..]), &peers).contains("forgotten"), "a forgotten peer");
}

const FOLDERS: u64 = 12;
const STEPS: usize = 45;
const SEGMENT_BYTES: u64 = 6144;
const SECTOR: usize = 512;
