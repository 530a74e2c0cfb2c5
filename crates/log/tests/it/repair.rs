//! Damage that is confined: the log names the entries whose bytes are lost and serves the others, takes their bytes in again, and never
//! guesses (T79, T80, Protocol-Aware Recovery).

use std::collections::BTreeMap;

use quorate_core::entry::{Entry, Payload};
use quorate_core::types::{EntryId, Index, NodeId, WriteNumber};
use quorate_log::{Content, DataDir, Identity, Log, LogError, Wanted};
use quorate_sim::disk::SimDisk;
use quorate_sim::rng::Rng;

use crate::kit::{
    CLUSTER, command, commands, covers, crash, members, open, open_damaged, persist, receive, state, take,
    vote,
};
use crate::oracle::{INCARNATION, Outcome, Truth};

/// A log of three segments with a truncation, votes, a membership and a payload of zeros; closed in order if `closed`.
fn sound(closed: bool) -> (SimDisk, Truth) {
    let disk = SimDisk::new(Rng::new(1));
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
    let dir = DataDir::open(disk.clone()).unwrap();
    let (mut identity, _) = Identity::open_or_create(&dir, wanted, INCARNATION).unwrap();
    drop(dir);
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    identity.remember(NodeId::new(2), 22).unwrap();
    let mut entries = vec![Entry::bootstrap(members())];
    let mut put = |log: &mut Log<SimDisk>, number, hard_state, added: Vec<Entry>| {
        persist(log, number, hard_state, &added).unwrap();
        if let Some(first) = added.first() {
            entries.truncate(usize::try_from(first.id.index.0 - 1).unwrap());
        }
        entries.extend(added);
    };
    put(&mut log, 1, Some(vote(1, 1)), commands(1, 2..=6));
    put(&mut log, 2, None, vec![command(1, 7, 900)]);
    put(&mut log, 3, Some(vote(2, 3)), commands(2, 5..=8));
    let mut zeros = command(2, 9, 0);
    zeros.payload = Payload::Command(vec![0; 1200].into());
    let mut changed = command(2, 10, 0);
    changed.payload = Payload::Membership(std::sync::Arc::new(members()));
    put(&mut log, 4, None, vec![zeros, changed]);
    put(&mut log, 5, Some(vote(3, 2)), vec![]);
    put(&mut log, 6, None, commands(3, 11..=11));
    put(&mut log, 7, Some(vote(4, 1)), commands(3, 12..=16));
    if closed {
        log.close().unwrap();
    }
    disk.crash_losing_all();
    let peers = BTreeMap::from([(2, 22)]);
    (disk, Truth { hard_state: vote(4, 1), entries, peers, state_len: |_| 0 })
}

fn segment(number: u64) -> String {
    format!("wal/{number:016x}.seg")
}

/// Where the records of the log stand: file, offset and what it is, from the words of the inspection.
fn places(disk: &SimDisk) -> Vec<(String, usize, String)> {
    let mut places = Vec::new();
    let listed = quorate_log::inspect::inspect(disk, true, &mut |finding| {
        places.push((finding.file.clone(), usize::try_from(finding.offset).unwrap(), finding.what.clone()));
    });
    listed.unwrap();
    places
}

/// Where the record with this beginning of its description stands.
fn place(disk: &SimDisk, words: &str) -> (String, usize) {
    let mut found = places(disk).into_iter().filter(|(_, _, what)| what.starts_with(words));
    let (file, at, _) = found.next_back().unwrap_or_else(|| panic!("no {words}"));
    (file, at)
}

/// Flips a bit of each of these places.
fn flip(disk: &SimDisk, places: &[(String, usize)]) {
    for (file, at) in places {
        let mut bytes = disk.contents(file).unwrap();
        bytes[*at] ^= 4;
        disk.plant(file, &bytes);
    }
}

/// Starts on the damaged files: exactly these entries are lost, and the rest holds.
fn check(disk: &SimDisk, truth: &Truth, lost: &[(u64, u64)]) {
    let (_, stored) = open_damaged(&disk.fork(Rng::new(1)), SEGMENT_BYTES).unwrap();
    let lost: Vec<EntryId> = lost.iter().map(|(term, index)| EntryId::new(*term, *index)).collect();
    assert_eq!(stored.damaged, lost);
    let outcome = truth.check(&disk.fork(Rng::new(1)), SEGMENT_BYTES).unwrap();
    assert_eq!(outcome, if lost.is_empty() { Outcome::Told } else { Outcome::Listed });
}

#[test]
fn an_entry_whose_record_is_damaged_is_listed_and_all_others_are_served() {
    for closed in [false, true] {
        for (words, lost) in [
            ("membership 0:1", vec![(0, 1)]),
            ("command 1:3", vec![(1, 3)]),
            ("command 2:5", vec![(2, 5)]),
            ("command 2:9", vec![(2, 9)]),
            ("membership 2:10", vec![(2, 10)]),
            ("command 3:11", vec![(3, 11)]),
            ("command 3:16", vec![(3, 16)]),
            // What was cut later is not missed, and term and vote stand in the footer too.
            ("command 1:7", vec![]),
            ("hard state t4", vec![]),
            ("hard state t3", vec![]),
        ] {
            for within in [0, 5, 9, 45] {
                let (disk, truth) = sound(closed);
                let (file, at) = place(&disk, words);
                flip(&disk, &[(file, at + within)]);
                check(&disk, &truth, &lost);
            }
        }
    }
}

#[test]
fn a_batch_with_its_start_or_its_footer_damaged_loses_nothing() {
    let (disk, truth) = sound(false);
    let batches: Vec<(String, usize, usize)> = places(&disk)
        .into_iter()
        .filter_map(|(file, at, what)| {
            let len = what.strip_prefix("batch ")?.split(' ').nth(1)?.parse::<usize>().ok()?;
            Some((file, at, len))
        })
        .collect();
    assert!(batches.len() > 6, "{batches:?}");
    for (file, at, len) in &batches {
        for within in [3, 20, 50, len - SECTOR + 3, len - SECTOR + 60, len - 1] {
            let disk = disk.fork(Rng::new(1));
            flip(&disk, &[(file.clone(), at + within)]);
            check(&disk, &truth, &[]);
        }
        // Both: nobody knows what there was.
        let disk = disk.fork(Rng::new(1));
        flip(&disk, &[(file.clone(), at + 20), (file.clone(), at + len - SECTOR + 20)]);
        assert_eq!(truth.check(&disk, SEGMENT_BYTES), Ok(Outcome::Refused), "{file} {at}");
        // The footer and a record: which entry it was is lost.
        flip(&disk, &[(file.clone(), at + 20), (file.clone(), at + 80)]);
        assert_eq!(truth.check(&disk, SEGMENT_BYTES), Ok(Outcome::Refused), "{file} {at}");
    }
}

#[test]
fn sectors_of_a_durable_batch_that_were_zeroed_are_damage_and_no_torn_tail() {
    let (disk, truth) = sound(true);
    let (file, start) = place(&disk, "batch 8");
    for sector in 0..3 {
        let disk = disk.fork(Rng::new(1));
        let mut bytes = disk.contents(&file).unwrap();
        bytes[start + sector * SECTOR..][..SECTOR].fill(0);
        disk.plant(&file, &bytes);
        let outcome = truth.check(&disk, SEGMENT_BYTES);
        // A whole log is told without the start or the footer only if no record is lost with it.
        let wanted = [Outcome::Listed, Outcome::Listed, Outcome::Told][sector];
        assert_eq!(outcome, Ok(wanted), "sector {sector}");
    }
    let mut bytes = disk.contents(&file).unwrap();
    bytes[start..].fill(0);
    disk.plant(&file, &bytes);
    assert_eq!(truth.check(&disk, SEGMENT_BYTES), Ok(Outcome::Refused));
}

#[test]
fn what_stands_behind_the_end_of_a_log_that_was_closed_means_nothing() {
    let (disk, _) = sound(false);
    let bytes = disk.contents(&segment(3)).unwrap();
    let end = (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(SECTOR);
    // Right behind the end, an unclosed log may go on there; further away it is cut like a torn tail.
    for (at, closed, wanted) in [
        (end + 7, true, Outcome::Told),
        (end + 7, false, Outcome::Refused),
        (bytes.len() - 7, true, Outcome::Whole),
        (bytes.len() - 7, false, Outcome::Whole),
    ] {
        let (disk, truth) = sound(closed);
        let mut bytes = disk.contents(&segment(3)).unwrap();
        bytes[at] = 9;
        disk.plant(&segment(3), &bytes);
        assert_eq!(truth.check(&disk, SEGMENT_BYTES), Ok(wanted), "{at} {closed}");
    }
}

/// T83: damage in front of the end may be the last write, which went elsewhere.
#[test]
fn a_write_that_went_elsewhere_in_its_segment_is_never_lost_silently() {
    let (mut ended, mut behind) = (BTreeMap::new(), 0);
    for seed in 0..300 {
        let disk = SimDisk::new(Rng::new(seed));
        let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
        let dir = DataDir::open(disk.clone()).unwrap();
        Identity::open_or_create(&dir, wanted, INCARNATION).unwrap();
        drop(dir);
        let (mut log, _) = open(&disk, 32 << 10).unwrap();
        let (one, other) = (vec![command(1, 2, 9000), command(1, 3, 200)], commands(1, 4..=9));
        persist(&mut log, 1, Some(vote(1, 1)), &one).unwrap();
        disk.inject(quorate_sim::disk::Fault::Misdirect, 0);
        persist(&mut log, 2, Some(vote(2, 1)), &other).unwrap();
        drop(log);
        disk.crash_losing_all();
        let entries = [vec![Entry::bootstrap(members())], one, other].concat();
        let truth = Truth { hard_state: vote(2, 1), entries, peers: BTreeMap::new(), state_len: |_| 0 };
        let outcome = truth.check(&disk, 32 << 10).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        *ended.entry(outcome).or_insert(0) += 1;
        let refused = open_damaged(&disk, 32 << 10).err().map(|error| error.to_string());
        behind += u64::from(refused.is_some_and(|words| words.contains("stands here")));
    }
    assert!(ended[&Outcome::Refused] > 250 && behind > 100, "{ended:?} {behind}");
}

#[test]
fn the_last_write_is_found_out_when_it_went_into_another_segment() {
    let (disk, truth) = sound(false);
    let (last_file, start) = place(&disk, "batch 8");
    let (file, at) = place(&disk, "command 2:9");
    let (mut from, mut to) = (disk.contents(&last_file).unwrap(), disk.contents(&file).unwrap());
    let into = at.next_multiple_of(SECTOR);
    let written = from[start..start + SECTOR].to_vec();
    to[into..into + SECTOR].copy_from_slice(&written);
    disk.plant(&file, &to);
    check(&disk, &truth, &[(2, 9)]);
    from[start..].fill(0);
    disk.plant(&last_file, &from);
    assert_ne!(file, last_file);
    let error = open_damaged(&disk, SEGMENT_BYTES).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, LogError::Corrupt { file: named, what, .. }
        if *named == file && what.contains("stands here")),
        "{error}"
    );
}

#[test]
fn a_repaired_entry_is_served_and_stays_repaired_and_its_record_may_be_damaged_again() {
    let (disk, truth) = sound(false);
    flip(&disk, &[place(&disk, "command 2:6"), place(&disk, "command 3:12")]);
    let (mut log, stored) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
    assert_eq!(stored.damaged, [EntryId::new(2, 6), EntryId::new(3, 12)]);
    assert!(log.plan(Index(6), Index(6), 100).is_none(), "what is lost is not served");
    let entry = truth.entries[5].clone();
    let content = Content {
        number: WriteNumber(1),
        hard_state: None,
        install: None,
        repaired: std::slice::from_ref(&entry),
        entries: &[],
    };
    log.write(&[content]).unwrap();
    log.sync().unwrap();
    assert_eq!(log.damaged(), [EntryId::new(3, 12)]);
    assert_eq!(log.plan(Index(6), Index(9), 10_000).unwrap().read(&disk).unwrap(), truth.entries[5..9]);
    drop(log);
    disk.crash_losing_all();
    check(&disk, &truth, &[(3, 12)]);
    flip(&disk, &[place(&disk, "repaired command 2:6")]);
    check(&disk, &truth, &[(2, 6), (3, 12)]);
}

#[test]
fn a_conflict_removes_the_damage_that_it_cuts() {
    let (disk, truth) = sound(false);
    flip(&disk, &[place(&disk, "command 2:6"), place(&disk, "command 3:12")]);
    let (mut log, _) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
    let newer = commands(5, 12..=13);
    persist(&mut log, 1, Some(vote(5, 3)), &newer).unwrap();
    assert_eq!(log.damaged(), [EntryId::new(2, 6)]);
    drop(log);
    let mut truth = Truth { hard_state: vote(5, 3), ..truth };
    truth.entries.truncate(11);
    truth.entries.extend(newer);
    check(&disk, &truth, &[(2, 6)]);
}

#[test]
#[should_panic(expected = "stands in the log with exactly this id")]
fn an_entry_of_another_term_is_no_repair() {
    let (disk, _) = sound(false);
    flip(&disk, &[place(&disk, "command 2:6")]);
    let (mut log, _) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
    let content = Content {
        number: WriteNumber(1),
        hard_state: None,
        install: None,
        repaired: &[command(3, 6, 100)],
        entries: &[],
    };
    let _ = log.write(&[content]);
}

/// A log that begins behind a snapshot; its last entry has index 40.
fn behind_a_snapshot() -> (SimDisk, EntryId) {
    let disk = SimDisk::new(Rng::new(1));
    let (mut log, _) = open(&disk, 4096).unwrap();
    for number in 1..=39 {
        let vote = Some(vote(1, 1)).filter(|_| number == 1);
        persist(&mut log, number, vote, &commands(1, number + 1..=number + 1)).unwrap();
    }
    take(&disk, EntryId::new(1, 30), 900).unwrap();
    let base = log.compact(Index(28), &[]).unwrap();
    assert!(base.index > Index(10) && base.index < Index(30), "{base}");
    (disk, base)
}

const SNAPSHOT: &str = "snapshot/000000000000001e-0000000000000001.taken";

#[test]
fn a_lost_snapshot_is_said_and_one_from_a_peer_takes_its_place_without_cutting_the_log() {
    let len = behind_a_snapshot().0.contents(SNAPSHOT).unwrap().len();
    for at in [9, 100, 511, 520, len - 1, len] {
        let (disk, base) = behind_a_snapshot();
        if at == len {
            disk.uproot(SNAPSHOT);
        } else {
            flip(&disk, &[(SNAPSHOT.to_owned(), at)]);
        }
        assert!(matches!(open(&disk, 4096), Err(LogError::Corrupt { .. })), "refused unless peers may help");
        let known = if at == len { base } else { EntryId::new(1, 30) };
        let (log, stored) = open_damaged(&disk, 4096).unwrap();
        assert_eq!(
            (stored.snapshot_lost, stored.base, stored.last),
            (Some(known), base, EntryId::new(1, 40))
        );
        assert!(stored.snapshot.is_none() && !log.notes().is_empty());
        drop(log);
        // The same again at the next start, and then help from a peer whose snapshot is older than the lost one.
        let (mut log, stored) = open_damaged(&disk, 4096).unwrap();
        assert_eq!(stored.snapshot_lost, Some(known));
        let last = EntryId::new(1, base.index.0 + 2);
        let meta = receive(&disk, last, 700).unwrap();
        let content = Content {
            number: WriteNumber(1),
            hard_state: Some(vote(7, 2)),
            install: Some(&meta),
            repaired: &[],
            entries: &[],
        };
        log.write(&[content]).unwrap();
        log.sync().unwrap();
        assert_eq!((log.base(), log.last()), (last, EntryId::new(1, 40)), "what stands behind is promised");
        drop(log);
        disk.crash_losing_all();
        let (_, stored) = open(&disk, 4096).unwrap();
        assert_eq!((stored.snapshot, stored.hard_state), (Some(covers(last)), vote(7, 2)));
        assert_eq!((stored.snapshot_lost, stored.last), (None, EntryId::new(1, 40)));
        assert_eq!(crate::kit::newest(&disk), Some((last, state(last, 700))));
    }
}

#[test]
fn an_older_snapshot_that_meets_the_log_is_used_instead_of_a_damaged_one() {
    let (disk, base) = behind_a_snapshot();
    take(&disk, EntryId::new(1, 35), 400).unwrap();
    flip(&disk, &[("snapshot/0000000000000023-0000000000000001.taken".to_owned(), 530)]);
    let (log, stored) = open_damaged(&disk, 4096).unwrap();
    assert_eq!((stored.snapshot, stored.snapshot_lost), (Some(covers(EntryId::new(1, 30))), None));
    assert_eq!(stored.base, base);
    assert!(log.notes()[0].contains("piece"), "{:?}", log.notes());
    // Without any, the log is enough if it reaches back to its beginning.
    let (disk, truth) = sound(false);
    take(&disk, EntryId::new(2, 8), 400).unwrap();
    flip(&disk, &[("snapshot/0000000000000008-0000000000000002.taken".to_owned(), 530)]);
    check(&disk, &truth, &[]);
}

#[test]
fn damage_below_a_snapshot_is_not_missed() {
    let (disk, truth) = sound(false);
    take(&disk, EntryId::new(2, 8), 400).unwrap();
    flip(&disk, &[place(&disk, "command 2:6"), place(&disk, "command 1:3"), place(&disk, "command 3:12")]);
    let (log, stored) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
    assert_eq!(stored.damaged, [EntryId::new(3, 12)]);
    assert_eq!(stored.base, EntryId::new(2, 6), "the log begins behind what is damaged and covered");
    assert_eq!(log.plan(Index(7), Index(11), 9000).unwrap().read(&disk).unwrap(), truth.entries[6..11]);
    drop(log);
    // An install that covers the last hole closes it.
    let (mut log, _) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
    let meta = receive(&disk, EntryId::new(3, 13), 300).unwrap();
    let content = Content {
        number: WriteNumber(1),
        hard_state: None,
        install: Some(&meta),
        repaired: &[],
        entries: &[],
    };
    log.write(&[content]).unwrap();
    assert_eq!((log.damaged(), log.base(), log.last()), (vec![], EntryId::new(3, 13), EntryId::new(3, 16)));
    let (log, stored) = open_damaged(
        &{
            drop(log);
            disk.clone()
        },
        SEGMENT_BYTES,
    )
    .unwrap();
    assert_eq!((stored.damaged, stored.base), (vec![], EntryId::new(3, 12)));
    assert_eq!(stored.tail, truth.entries[12..]);
    drop(log);
}

/// The log is stopped after each change and each sync while repairs are written and while it is closed.
#[test]
fn a_crash_at_every_change_and_sync_of_a_repair_keeps_what_was_repaired() {
    let total = repairing(None).0.operations();
    let mut points = 0;
    for stop_after in 0..=total {
        let (stopped, synced) = repairing(Some(stop_after));
        for way in 0..5 {
            let disk = stopped.fork(Rng::new(stop_after * 100 + way));
            crash(&disk, way);
            let (log, stored) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
            let (_, truth) = sound(false);
            assert!(stored.damaged.iter().all(|id| HOLES.contains(&(id.term.0, id.index.0))));
            assert!(
                HOLES[..synced]
                    .iter()
                    .all(|(term, index)| { !stored.damaged.contains(&EntryId::new(*term, *index)) })
            );
            let mut truth = Truth { hard_state: stored.hard_state, ..truth };
            truth.entries.extend(commands(4, 17..=stored.last.index.0));
            assert!(stored.last.index.0 >= 16 && (synced < 4 || stored.last.index == Index(18)));
            drop(log);
            truth.check(&disk, SEGMENT_BYTES).unwrap();
            points += 1;
        }
    }
    assert!(points > 100, "{points}");
}

/// What [`repairing`] damages and repairs.
const HOLES: [(u64, u64); 4] = [(1, 3), (2, 9), (3, 11), (3, 14)];

/// Repairs a damaged log and closes it, until the disk stops. Also says how many repairs were attested.
fn repairing(stop_after: Option<u64>) -> (SimDisk, usize) {
    let (disk, truth) = sound(true);
    let places: Vec<_> =
        HOLES.iter().map(|(term, index)| place(&disk, &format!("command {term}:{index},"))).collect();
    flip(&disk, &places);
    let disk = disk.fork(Rng::new(5));
    if let Some(stop_after) = stop_after {
        disk.crash_after(stop_after);
    }
    let mut synced = 0;
    let mut run = || -> Result<(), LogError> {
        let (mut log, _) = open_damaged(&disk, SEGMENT_BYTES)?;
        let of = |place: usize| truth.entries[usize::try_from(HOLES[place].1 - 1).unwrap()].clone();
        let more = commands(4, 17..=18);
        for (number, repaired, entries) in
            [(1, vec![of(0)], &[][..]), (2, vec![of(1), of(2)], &more[..1]), (3, vec![of(3)], &more[1..])]
        {
            let number = WriteNumber(number);
            log.write(&[Content { number, hard_state: None, install: None, repaired: &repaired, entries }])?;
            log.sync()?;
            synced += repaired.len();
        }
        log.close()
    };
    let _ = run();
    (disk, synced)
}

const SEGMENT_BYTES: u64 = 6144;
const SECTOR: usize = 512;
