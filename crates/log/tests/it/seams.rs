//! Where one segment goes on in the next: what a damaged header, a damaged seal, a segment that is missing or another one's leave known, and
//! what is refused because nobody knows it (T79, T80, T83, T84, R60, Protocol-Aware Recovery).

use std::collections::BTreeMap;

use quorate_core::entry::{Entry, HardState};
use quorate_core::types::{EntryId, Index, NodeId};
use quorate_log::inspect::{FindingState, inspect};
use quorate_log::{Identity, LogError, Wanted};
use quorate_sim::disk::SimDisk;
use quorate_sim::rng::Rng;

use crate::kit::{CLUSTER, command, members, open, open_damaged, persist, receive, take, vote};
use crate::oracle::{INCARNATION, Outcome, Truth};
use crate::repair::{segment, sound};

/// A log of one large entry for each term named here, from index 2 on: segments of three entries each.
fn grown(terms: &[u64], closed: bool) -> (SimDisk, Truth) {
    let disk = SimDisk::new(Rng::new(1));
    let wanted = Wanted { cluster: CLUSTER, node: NodeId::new(1) };
    Identity::open_or_create(&quorate_log::DataDir::open(disk.clone()).unwrap(), wanted, INCARNATION)
        .unwrap();
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    let mut entries = vec![Entry::bootstrap(members())];
    let mut hard_state = HardState::default();
    for (number, term) in (1..).zip(terms) {
        let entry = command(*term, number + 1, 900);
        let changed = (hard_state.term.0 < *term).then(|| vote(*term, number % 3 + 1));
        hard_state = changed.unwrap_or(hard_state);
        persist(&mut log, number, changed, std::slice::from_ref(&entry)).unwrap();
        entries.push(entry);
    }
    if closed {
        log.close().unwrap();
    }
    disk.crash_losing_all();
    (disk, Truth { hard_state, entries, peers: BTreeMap::new(), state_len: |_| STATE_LEN })
}

/// What becomes of the bytes of a file.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Changes a file and starts.
fn changed(disk: &SimDisk, truth: &Truth, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Outcome {
    let disk = disk.fork(Rng::new(1));
    let mut bytes = disk.contents(file).unwrap();
    change(&mut bytes);
    disk.plant(file, &bytes);
    check(&disk, truth)
}

/// Starts on the files, and compares what is found with the truth; the inspection says whether a start is refused, too.
fn check(disk: &SimDisk, truth: &Truth) -> Outcome {
    let totals = inspect(disk, false, &mut |_| {}).unwrap();
    let outcome = truth.check(&disk.fork(Rng::new(1)), SEGMENT_BYTES).unwrap();
    assert_eq!(totals.damages > 0, outcome == Outcome::Refused, "{totals:?}, but a start: {outcome:?}");
    outcome
}

/// Why a start is refused.
fn refusal(disk: &SimDisk) -> (String, String) {
    match open_damaged(disk, SEGMENT_BYTES) {
        Err(LogError::Corrupt { file, what, .. }) => (file, what),
        Err(error) => panic!("{error}"),
        Ok((_, stored)) => panic!("opened with last {}", stored.last),
    }
}

/// Where the log ends in a segment: behind it only zeros.
fn end_of(disk: &SimDisk, file: &str) -> usize {
    let bytes = disk.contents(file).unwrap();
    (bytes.iter().rposition(|byte| *byte != 0).unwrap() / SECTOR + 1) * SECTOR
}

#[test]
fn a_segment_whose_header_is_damaged_loses_nothing() {
    for closed in [false, true] {
        for (disk, truth) in [sound(closed), grown(&[1; 14], closed)] {
            for number in 1..=3 {
                for at in [0, 9, 13, 20, 35, 41, 50, 60, 70, 75, 85, 100, 511] {
                    let flipped = changed(&disk, &truth, &segment(number), |bytes| bytes[at] ^= 4);
                    assert_eq!(flipped, Outcome::Told, "segment {number} byte {at}");
                }
                let zeroed = changed(&disk, &truth, &segment(number), |bytes| bytes[..SECTOR].fill(0));
                assert_eq!(zeroed, Outcome::Told, "segment {number}");
            }
        }
    }
}

#[test]
fn a_damaged_seal_and_bytes_behind_it_lose_nothing() {
    for closed in [false, true] {
        for (disk, truth) in [sound(closed), grown(&[1; 14], closed)] {
            for number in 1..=2 {
                let end = end_of(&disk, &segment(number));
                for at in [end - SECTOR, end - SECTOR + 9, end - SECTOR + 41, end - 1, end + 3] {
                    let flipped = changed(&disk, &truth, &segment(number), |bytes| bytes[at] ^= 4);
                    assert_eq!(flipped, Outcome::Told, "segment {number} byte {at}");
                }
                let gone = changed(&disk, &truth, &segment(number), |bytes| bytes[end - SECTOR..end].fill(0));
                assert_eq!(gone, Outcome::Told, "segment {number}");
            }
        }
    }
}

/// Either stands for the other; without both, batches at the end of the segment may be gone.
#[test]
fn a_seal_and_the_header_behind_it_are_never_guessed_when_both_are_damaged() {
    for number in 1..=2 {
        let (disk, truth) = grown(&[1; 14], true);
        let end = end_of(&disk, &segment(number));
        let mut bytes = disk.contents(&segment(number)).unwrap();
        bytes[end - SECTOR + 9] ^= 1;
        disk.plant(&segment(number), &bytes);
        let both = changed(&disk, &truth, &segment(number + 1), |bytes| bytes[40] ^= 1);
        assert_eq!(both, Outcome::Refused, "segment {number}");
    }
}

/// What an emptied file shows is what a segment shows in which nothing was written yet: only the header tells them apart.
#[test]
fn an_empty_segment_without_a_header_is_not_taken_for_the_end_of_the_log() {
    for closed in [false, true] {
        let (disk, truth) = grown(&[1; 14], closed);
        let last = disk.names().into_iter().rfind(|name| name.ends_with(".seg")).unwrap();
        assert_eq!(changed(&disk, &truth, &last, |bytes| bytes.fill(0)), Outcome::Refused);
        let behind = changed(&disk, &truth, &last, |bytes| {
            bytes[9] ^= 1;
            bytes[SECTOR..].fill(0);
        });
        assert_eq!(behind, Outcome::Refused);
        // A log that begins anew behind a received snapshot, and nothing more.
        let (disk, mut truth) = grown(&[1; 3], false);
        let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
        let meta = receive(&disk, EntryId::new(2, 9), STATE_LEN).unwrap();
        let install = quorate_log::Content {
            number: quorate_core::types::WriteNumber(1),
            hard_state: Some(vote(2, 1)),
            install: Some(&meta),
            repaired: &[],
            entries: &[],
        };
        log.write(&[install]).unwrap();
        log.sync().unwrap();
        truth.entries = std::iter::once(Entry::bootstrap(members()))
            .chain((2..=9).map(|index| command(2, index, 0)))
            .collect();
        truth.hard_state = vote(2, 1);
        if closed {
            log.close().unwrap();
        } else {
            drop(log);
        }
        disk.crash_losing_all();
        let begun = segment(3);
        assert_eq!(changed(&disk, &truth, &begun, |bytes| bytes[70] ^= 1), Outcome::Refused);
    }
}

/// All entries of one term come from one leader in order: what is lost between two of them is known by its ids.
#[test]
fn a_segment_that_is_lost_within_one_term_is_listed_entry_by_entry() {
    let (disk, truth) = grown(&[1; 14], true);
    let (four, sound) = (disk.contents(&segment(4)).unwrap(), disk.contents(&segment(2)).unwrap());
    let end = end_of(&disk, &segment(2));
    let older = |bytes: &mut Vec<u8>| bytes[end - 3 * SECTOR..].fill(0);
    let ways: [(&str, Change<'_>); 6] = [
        ("zeroed", &|bytes| bytes.fill(0)),
        ("cut short", &|bytes| bytes.truncate(100)),
        ("cut behind its header", &|bytes| bytes.truncate(SECTOR)),
        ("cut within", &|bytes| bytes.truncate(end - 1800)),
        ("another segment", &|bytes| bytes.clone_from(&four)),
        ("older", &older),
    ];
    for (name, way) in ways {
        assert_eq!(changed(&disk, &truth, &segment(2), way), Outcome::Listed, "{name}");
    }
    let gone = disk.fork(Rng::new(1));
    gone.uproot(&segment(2));
    assert_eq!(check(&gone, &truth), Outcome::Listed);
    let (_, stored) = open_damaged(&gone, SEGMENT_BYTES).unwrap();
    assert_eq!(stored.damaged, [4, 5, 6].map(|index| EntryId::new(1, index)), "exactly what stood there");
    gone.plant(&segment(2), &sound);
    assert_eq!(check(&gone, &truth), Outcome::Whole);
    // What is cut off behind the seal is missed by nobody.
    let cut = changed(&disk, &truth, &segment(2), |bytes| bytes.truncate(end + 7));
    assert_eq!(cut, Outcome::Told);
}

/// Two lost segments in a row are one gap.
#[test]
fn two_segments_that_are_lost_in_a_row_are_listed_too() {
    let (disk, truth) = grown(&[1; 14], false);
    disk.uproot(&segment(2));
    disk.uproot(&segment(3));
    assert_eq!(check(&disk, &truth), Outcome::Listed);
}

/// Between two terms nobody knows where the one ended and the other began: a vote would rest on ids that were made up.
#[test]
fn a_segment_that_is_lost_between_two_terms_is_refused() {
    let (disk, truth) = grown(&[1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2], true);
    disk.uproot(&segment(2));
    assert_eq!(check(&disk, &truth), Outcome::Refused);
    let (file, what) = refusal(&disk);
    assert!(file == segment(2) && what.contains("in which terms"), "{file}: {what}");
    // Nor is the first one, before which there is only the entry that all members share.
    let (disk, truth) = grown(&[1; 14], true);
    disk.uproot(&segment(1));
    assert_eq!(check(&disk, &truth), Outcome::Refused);
}

#[test]
fn a_lost_segment_that_a_snapshot_covers_is_not_missed() {
    for gone in [1, 2] {
        let (disk, truth) = grown(&[1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3], true);
        take(&disk, EntryId::new(3, 9), STATE_LEN).unwrap();
        disk.uproot(&segment(gone));
        assert_eq!(check(&disk, &truth), Outcome::Told, "segment {gone}");
        // If that snapshot is damaged as well, the state must come from a peer. What is known of the log stays.
        let name = disk.names().into_iter().find(|name| name.starts_with("snapshot/")).unwrap();
        let both = disk.fork(Rng::new(1));
        let mut bytes = both.contents(&name).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        both.plant(&name, &bytes);
        let (_, stored) = open_damaged(&both.fork(Rng::new(1)), SEGMENT_BYTES).unwrap();
        assert_eq!((stored.last, stored.hard_state), (EntryId::new(3, 13), truth.hard_state));
        assert!(stored.snapshot_lost.is_some(), "nothing is served of a state that is not there");
    }
}

/// A snapshot of a peer that the log goes on behind covers as much, and when it is damaged and put aside each further start still knows what it
/// ended with. The simulator found a start that knew it only once.
#[test]
fn what_a_damaged_snapshot_of_a_peer_covered_is_known_at_each_start() {
    let (disk, truth) = grown(&[1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3], false);
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    let meta = receive(&disk, EntryId::new(3, 9), STATE_LEN).unwrap();
    let number = quorate_core::types::WriteNumber(1);
    let install =
        quorate_log::Content { number, hard_state: None, install: Some(&meta), repaired: &[], entries: &[] };
    log.write(&[install]).unwrap();
    log.sync().unwrap();
    drop(log);
    disk.crash_keeping_all();
    disk.uproot(&segment(1));
    assert_eq!(check(&disk, &truth), Outcome::Told);
    let name = disk.names().into_iter().find(|name| name.ends_with(".received")).unwrap();
    let mut bytes = disk.contents(&name).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    disk.plant(&name, &bytes);
    for _ in 0..3 {
        let (_, stored) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
        assert_eq!((stored.last, stored.hard_state), (EntryId::new(3, 13), truth.hard_state));
        assert!(stored.snapshot_lost.is_some(), "nothing is served of a state that is not there");
    }
}

/// The last entry, term and vote stand in the last segment alone.
#[test]
fn what_a_node_promised_last_is_never_guessed() {
    for closed in [false, true] {
        let (disk, truth) = grown(&[1; 14], closed);
        let last = disk.names().into_iter().rfind(|name| name.ends_with(".seg")).unwrap();
        let two = disk.contents(&segment(2)).unwrap();
        assert_eq!(changed(&disk, &truth, &last, |bytes| bytes.clone_from(&two)), Outcome::Refused);
        assert_eq!(changed(&disk, &truth, &last, |bytes| bytes.truncate(2000)), Outcome::Refused);
        assert_eq!(changed(&disk, &truth, &last, |bytes| bytes.truncate(100)), Outcome::Refused);
        disk.uproot(&last);
        assert_eq!(check(&disk, &truth), Outcome::Refused);
    }
}

/// T83: a header, a seal or what stands behind it is damaged because the last write went there. It is not lost silently.
#[test]
fn a_last_write_that_went_to_a_header_or_a_seal_is_found() {
    let (disk, truth) = grown(&[1; 14], false);
    let last = disk.names().into_iter().rfind(|name| name.ends_with(".seg")).unwrap();
    let end = end_of(&disk, &last);
    let sound = disk.contents(&last).unwrap();
    // A batch of one entry of 900 bytes: two sectors and its footer.
    let batch = sound[end - 3 * SECTOR..end].to_vec();
    assert!(end > 4 * SECTOR, "it is not the only one in its segment");
    for number in 1..=3 {
        let seal = end_of(&disk, &segment(number)) - SECTOR;
        for at in [0, seal, seal + SECTOR] {
            let disk = disk.fork(Rng::new(1));
            let mut bytes = sound.clone();
            bytes[end - 3 * SECTOR..].fill(0);
            disk.plant(&last, &bytes);
            let mut bytes = disk.contents(&segment(number)).unwrap();
            // As much of it as does not meet anything else.
            let len = if at == 0 { SECTOR } else { batch.len().min(bytes.len() - at) };
            bytes[at..at + len].copy_from_slice(&batch[..len]);
            disk.plant(&segment(number), &bytes);
            assert_eq!(check(&disk, &truth), Outcome::Refused, "segment {number} byte {at}");
        }
    }
}

/// A log that begins with a segment knows the rest from its header. One that is damaged stays behind one that is whole.
#[test]
fn a_compacted_log_begins_with_a_segment_whose_header_is_whole() {
    let (disk, truth) = grown(&[1; 20], false);
    for (number, change) in [(2, 9), (3, 40)] {
        let mut bytes = disk.contents(&segment(number)).unwrap();
        bytes[change] ^= 1;
        disk.plant(&segment(number), &bytes);
    }
    disk.uproot(&segment(4));
    let (mut log, stored) = open_damaged(&disk, SEGMENT_BYTES).unwrap();
    assert_eq!(stored.damaged.len(), 3);
    take(&disk, EntryId::new(1, 12), STATE_LEN).unwrap();
    assert_eq!(log.compact(Index(11), &[]).unwrap(), EntryId::ZERO, "neither segment 2, nor 3, nor 4");
    assert_eq!(log.compact(Index(12), &[]).unwrap(), EntryId::new(1, 12));
    log.close().unwrap();
    assert!(!disk.names().contains(&segment(3)));
    assert_eq!(check(&disk, &truth), Outcome::Whole);
    // Its own header may be damaged later: LOG knows the entry before it, its batches know the rest.
    assert_eq!(changed(&disk, &truth, &segment(5), |bytes| bytes[80] ^= 1), Outcome::Told);
}

/// A log that is to be whole is refused with the same words as ever, and a look at it says what a start would do.
#[test]
fn a_damaged_header_is_repairable_and_refused_only_where_damage_is_not_kept() {
    let (disk, _) = grown(&[1; 14], true);
    let mut bytes = disk.contents(&segment(2)).unwrap();
    bytes[50] ^= 1;
    disk.plant(&segment(2), &bytes);
    let strict = open(&disk, SEGMENT_BYTES).map(|_| ()).unwrap_err().to_string();
    assert!(strict.contains("checksum of the segment's header"), "{strict}");
    let mut states = Vec::new();
    let totals = inspect(&disk, false, &mut |finding| {
        if finding.state != FindingState::Good {
            states.push((finding.file.clone(), finding.offset, finding.state));
        }
    })
    .unwrap();
    assert_eq!(states, [(segment(2), 0, FindingState::Repairable)]);
    assert_eq!((totals.damages, totals.repairables, totals.lost_entries), (0, 1, 0));
}

const SEGMENT_BYTES: u64 = 6144;
const SECTOR: usize = 512;
const STATE_LEN: usize = 900;
