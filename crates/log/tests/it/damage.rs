//! Damage is named, never cut: a log whose bytes were changed either does not open or holds exactly what it held (T79, T80, T83,
//! T84, R60). Each case of docs/log-format.md is made and recognised.

use quorate_core::entry::Entry;
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, WriteNumber};
use quorate_log::inspect::{FindingState, inspect};
use quorate_log::{Content, DataDir, Identity, Log, LogError, LogOptions, Wanted};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, command, commands, members, open, options, persist, vote};

/// A log of three segments, all of it durable, with a truncation, votes and a payload of zeros.
fn sound() -> (SimDisk, Stored) {
    let disk = SimDisk::new(Rng::new(1));
    let dir = DataDir::open(disk.clone()).unwrap();
    let wanted = Wanted { cluster: CLUSTER, node: quorate_core::types::NodeId::new(1) };
    let (mut identity, created) = Identity::open_or_create(&dir, wanted, 77).unwrap();
    assert!(created);
    drop(dir);
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    identity.remember(quorate_core::types::NodeId::new(2), 22).unwrap();
    persist(&mut log, 1, Some(vote(1, 1)), &commands(1, 2..=6)).unwrap();
    persist(&mut log, 2, None, &[command(1, 7, 900)]).unwrap();
    persist(&mut log, 3, Some(vote(2, 3)), &commands(2, 5..=8)).unwrap();
    let mut zeros = command(2, 9, 0);
    zeros.payload = quorate_core::entry::Payload::Command(vec![0; 1200].into());
    persist(&mut log, 4, None, &[zeros, command(2, 10, 10)]).unwrap();
    persist(&mut log, 5, Some(vote(3, 2)), &[]).unwrap();
    persist(&mut log, 6, None, &commands(3, 11..=11)).unwrap();
    persist(&mut log, 7, None, &commands(3, 12..=16)).unwrap();
    drop(log);
    disk.crash_losing_all();
    let (log, stored) = open(&disk, SEGMENT_BYTES).unwrap();
    assert_eq!(stored.last, EntryId::new(3, 16));
    drop(log);
    assert!(disk.names().last() == Some(&segment(3)), "the log has three segments");
    (disk, stored)
}

fn segment(number: u64) -> String {
    format!("wal/{number:016x}.seg")
}

/// Changes a file of the sound log and opens it.
fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<Stored, LogError> {
    let (disk, _) = sound();
    let mut bytes = disk.contents(name).unwrap();
    change(&mut bytes);
    disk.plant(name, &bytes);
    open(&disk, SEGMENT_BYTES).map(|(_, stored)| stored)
}

/// Asserts that opening failed with damage in this file at this offset, whose description has these words.
fn check_damage(result: Result<Stored, LogError>, file: &str, offset: u64, words: &str) {
    match result {
        Err(LogError::Corrupt { file: found, offset: at, what }) => {
            assert!(found == file && at == offset && what.contains(words), "{found}:{at}: {what}");
        }
        Err(error) => panic!("{error}"),
        Ok(stored) => panic!("opened with last {}", stored.last),
    }
}

/// Where the last batch of the log begins, and where its footer stands.
fn last_batch(disk: &SimDisk) -> (usize, usize) {
    let bytes = disk.contents(&segment(3)).unwrap();
    let used = bytes.chunks(SECTOR).rposition(|sector| sector.iter().any(|byte| *byte != 0)).unwrap();
    let mut starts = Vec::new();
    inspect(disk, false, &mut |finding| {
        if finding.file == segment(3) && finding.what.starts_with("batch ") {
            starts.push(usize::try_from(finding.offset).unwrap());
        }
    })
    .unwrap();
    (*starts.last().unwrap(), used * SECTOR)
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_changes_nothing() {
    let (disk, stored) = sound();
    let mut found = 0;
    for name in disk.names() {
        let sound_bytes = disk.contents(&name).unwrap();
        for at in 0..sound_bytes.len() {
            let disk = disk.fork(Rng::new(1));
            let mut bytes = sound_bytes.clone();
            bytes[at] ^= 1 << (at * 7 % 8);
            disk.plant(&name, &bytes);
            if let Some(opened) = open_all(&disk) {
                assert_eq!(opened, stored, "{name} byte {at}");
            } else {
                found += 1;
            }
        }
    }
    assert!(found > 10_000, "{found} flips were found");
}

/// Opens identity and log; none if either says that something is wrong.
fn open_all(disk: &SimDisk) -> Option<Stored> {
    let dir = DataDir::open(disk.clone()).unwrap();
    let wanted = Wanted { cluster: CLUSTER, node: quorate_core::types::NodeId::new(1) };
    match Identity::open_or_create(&dir, wanted, 1) {
        Ok((identity, created)) => {
            assert!(!created && identity.incarnation() == 77);
            assert_eq!(identity.known_incarnation(quorate_core::types::NodeId::new(2)), Some(22));
        }
        Err(LogError::Corrupt { .. } | LogError::NewerFormat { .. }) => return None,
        Err(error) => panic!("{error}"),
    }
    match Log::open(dir, options(SEGMENT_BYTES)) {
        Ok((_, stored)) => Some(stored),
        Err(LogError::Corrupt { .. } | LogError::NewerFormat { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// What a crash before the sync can leave of the last batch: cut, and everything before it kept. Cases T1, T2, T3.
#[test]
fn an_unfinished_batch_at_the_end_is_cut() {
    let (disk, stored) = sound();
    let (start, footer) = last_batch(&disk);
    let zero = |from: usize, len: usize| changed(&segment(3), |bytes| bytes[from..from + len].fill(0));
    for result in
        [zero(start, SECTOR), zero(footer, SECTOR), zero(start + SECTOR.min(footer - start - SECTOR), SECTOR)]
    {
        let cut = result.unwrap();
        assert_eq!((cut.last, cut.hard_state), (EntryId::new(3, 11), stored.hard_state));
    }
}

/// Cases D1, D2, D3: neither empty nor right.
#[test]
fn a_damaged_batch_at_the_end_is_not_taken_for_an_unfinished_one() {
    let (start, footer) = last_batch(&sound().0);
    let flip = |at: usize| changed(&segment(3), |bytes| bytes[at] ^= 0x10);
    check_damage(flip(start + 50), &segment(3), start as u64, "checksum");
    check_damage(flip(footer + 50), &segment(3), footer as u64, "footer");
    check_damage(flip(start + 700), &segment(3), start as u64 + 648, "checksum");
    check_damage(flip(footer - 1), &segment(3), start as u64 + 792, "not zero");
}

/// Case D11: an empty place, but a later batch calls it durable.
#[test]
fn a_hole_that_a_later_batch_calls_durable_is_damage() {
    let (disk, _) = sound();
    let (start, _) = last_batch(&disk);
    assert!(start > SECTOR, "the last segment has a batch before the last one");
    let hole = changed(&segment(3), |bytes| bytes[SECTOR..start].fill(0));
    check_damage(hole, &segment(3), SECTOR as u64, "says that this was durable");
}

/// Case D12 (T83): the last write went to another place of the segment.
#[test]
fn a_misplaced_batch_is_damage() {
    let (disk, _) = sound();
    let (start, footer) = last_batch(&disk);
    let moved = changed(&segment(3), |bytes| {
        let batch = bytes[start..footer + SECTOR].to_vec();
        bytes[start..footer + SECTOR].fill(0);
        let to = bytes.len() - batch.len();
        bytes[to..].copy_from_slice(&batch);
    });
    let to = SEGMENT_BYTES - (footer + SECTOR - start) as u64;
    check_damage(moved, &segment(3), to, "stands here");
}

/// Cases D4 to D10, D13 and D14: whole files that are not what they were.
#[test]
fn a_segment_that_is_gone_swapped_emptied_or_older_is_damage() {
    let reopened = |disk: &SimDisk| open(disk, SEGMENT_BYTES).map(|(_, stored)| stored);
    for (gone, words) in [(1, "missing"), (2, "missing")] {
        let (disk, _) = sound();
        disk.uproot(&segment(gone));
        check_damage(reopened(&disk), &segment(gone), 0, words);
    }
    let (disk, _) = sound();
    disk.uproot(&segment(3));
    assert!(matches!(reopened(&disk), Err(LogError::Corrupt { what, .. }) if what.contains("goes on in")));

    let (disk, _) = sound();
    for number in 1..=3 {
        disk.uproot(&segment(number));
    }
    check_damage(reopened(&disk), &segment(1), 0, "the log was here and is gone");

    let (disk, _) = sound();
    let (two, three) = (disk.contents(&segment(2)).unwrap(), disk.contents(&segment(3)).unwrap());
    disk.plant(&segment(2), &three);
    disk.plant(&segment(3), &two);
    check_damage(reopened(&disk), &segment(2), 0, "holds segment 3");

    for number in 1..=3 {
        check_damage(changed(&segment(number), |bytes| bytes.fill(0)), &segment(number), 0, "does not begin");
        let short = changed(&segment(number), |bytes| bytes.truncate(SECTOR));
        check_damage(short, &segment(number), SECTOR as u64, "bytes instead of");
    }
    let unsealed = changed(&segment(1), |bytes| {
        let seal = bytes.chunks(SECTOR).rposition(|sector| sector.iter().any(|byte| *byte != 0)).unwrap();
        bytes[seal * SECTOR..].fill(0);
    });
    assert!(matches!(unsealed, Err(LogError::Corrupt { what, .. }) if what.contains("no seal")));
    let behind = changed(&segment(1), |bytes| *bytes.last_mut().unwrap() = 1);
    assert!(matches!(behind, Err(LogError::Corrupt { what, .. }) if what.contains("behind the seal")));

    let (disk, _) = sound();
    disk.uproot("LOG");
    disk.uproot("PEERS");
    check_damage(reopened(&disk), "LOG", 0, "older than its making");
}

/// R49: a node whose log was deleted, and whose identity was not, would be let in by its peers, and vote a second time.
#[test]
fn a_log_that_is_gone_is_not_made_anew_once_peers_were_met() {
    let (disk, _) = sound();
    for name in ["LOG".to_owned(), segment(3), segment(2), segment(1)] {
        disk.uproot(&name);
        check_damage(open(&disk, SEGMENT_BYTES).map(|(_, stored)| stored), "LOG", 0, "met its peers");
    }
}

/// A store that lost its name must not get another one: its peers know it by the first.
#[test]
fn a_log_without_the_identity_of_its_store_is_refused_and_nothing_changes() {
    let (disk, _) = sound();
    for name in ["NODE".to_owned(), "LOG".to_owned(), "PEERS".to_owned(), segment(3), segment(2)] {
        disk.uproot(&name);
        let dir = DataDir::open(disk.clone()).unwrap();
        let wanted = Wanted { cluster: CLUSTER, node: quorate_core::types::NodeId::new(1) };
        let found = Identity::open_or_create(&dir, wanted, 78).unwrap_err();
        let LogError::Corrupt { file, what, .. } = &found else { panic!("{found}") };
        assert!(file == "NODE" && what.contains("NODE is missing but a log is here"), "{found}");
    }
    let dir = DataDir::open(disk.clone()).unwrap();
    disk.uproot(&segment(1));
    let wanted = Wanted { cluster: CLUSTER, node: quorate_core::types::NodeId::new(1) };
    assert!(Identity::open_or_create(&dir, wanted, 78).unwrap().1, "an empty data directory is a new store");
}

#[test]
fn a_segment_of_another_history_is_damage_and_one_of_another_cluster_is_named() {
    let other_history = || {
        let disk = SimDisk::new(Rng::new(2));
        let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
        for number in 1..=12 {
            persist(&mut log, number, None, &[command(1, number + 1, 700)]).unwrap();
        }
        disk
    };
    let (disk, _) = sound();
    disk.plant(&segment(2), &other_history().contents(&segment(2)).unwrap());
    check_damage(open(&disk, SEGMENT_BYTES).map(|(_, stored)| stored), &segment(2), 0, "does not follow");

    let (disk, _) = sound();
    let cluster = ClusterId([9; 16]);
    let other = LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::new(cluster, Some(members())) };
    let opened = Log::open(DataDir::open(disk.clone()).unwrap(), other.clone());
    assert!(
        matches!(opened, Err(LogError::OtherCluster { found, wanted, .. }) if found == CLUSTER && wanted == cluster)
    );
    let foreign = SimDisk::new(Rng::new(3));
    drop(Log::open(DataDir::open(foreign.clone()).unwrap(), other).unwrap());
    disk.plant(&segment(1), &foreign.contents(&segment(1)).unwrap());
    let opened = open(&disk, SEGMENT_BYTES);
    assert!(matches!(opened, Err(LogError::OtherCluster { file, .. }) if file == segment(1)));
}

/// A disk that lies about a sync is outside the model; that it did is noticed as soon as anything was written after it.
#[test]
fn a_sync_that_did_nothing_is_noticed_when_the_log_went_on() {
    let mut noticed = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(Rng::new(seed));
        let (mut log, _) = open(&disk, 64 << 10).unwrap();
        persist(&mut log, 1, None, &commands(1, 2..=4)).unwrap();
        disk.inject(Fault::SyncLie, 0);
        persist(&mut log, 2, None, &commands(1, 5..=9)).unwrap();
        log.write(&[Content {
            number: WriteNumber(3),
            hard_state: None,
            install: None,
            repaired: &[],
            entries: &commands(1, 10..=19),
        }])
        .unwrap();
        disk.crash();
        match open(&disk, 64 << 10) {
            Ok((_, stored)) => {
                let entries: Vec<Entry> =
                    std::iter::once(Entry::bootstrap(members())).chain(commands(1, 2..=19)).collect();
                assert!(entries.starts_with(&stored.tail), "what opens is a part of what was written");
            }
            Err(error) => {
                assert!(matches!(error, LogError::Corrupt { .. }));
                noticed += 1;
            }
        }
    }
    assert!(noticed > 5, "{noticed}");
}

/// Damage changes nothing: a node that refuses to start can be looked at and refuses again, with the same words.
#[test]
fn a_refused_log_is_left_as_it_was_and_inspect_finds_the_same() {
    let (disk, _) = sound();
    let (start, _) = last_batch(&disk);
    let mut bytes = disk.contents(&segment(3)).unwrap();
    bytes[start + 60] ^= 1;
    disk.plant(&segment(3), &bytes);
    let first = open(&disk, SEGMENT_BYTES).map(|_| ()).unwrap_err().to_string();
    assert_eq!(disk.contents(&segment(3)).unwrap(), bytes);
    assert_eq!(open(&disk, SEGMENT_BYTES).map(|_| ()).unwrap_err().to_string(), first);

    let mut damages = Vec::new();
    let totals = inspect(&disk, true, &mut |finding| {
        if finding.state != FindingState::Good {
            damages.push((finding.file.clone(), finding.offset));
        }
    })
    .unwrap();
    assert_eq!(damages, [(segment(3), start as u64)]);
    assert_eq!((totals.segments, totals.damages, totals.repairables, totals.lost_entries), (3, 0, 1, 0));
}

const SEGMENT_BYTES: u64 = 6144;
const SECTOR: usize = 512;
