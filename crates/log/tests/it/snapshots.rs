//! Snapshot files: what is written is read, in pieces and as a stream; what arrives from a peer is checked, resumed and never mixed; and the
//! cases in which snapshot and log do not meet are named (D16 to D18 of docs/log-format.md).

use std::io::Read;

use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, WriteNumber};
use quorate_log::{Content, Incoming, Log, LogError, SnapshotFile, incoming};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{
    PIECE_BYTES, command, commands, covers, newest, open, persist, pieces_of, receive, snapshot_options,
    state, take, vote,
};

fn sim() -> SimDisk {
    SimDisk::new(Rng::new(1))
}

/// A log of some segments with a snapshot that ends with 1:9, all durable.
fn sound() -> (SimDisk, Log<SimDisk>) {
    let disk = sim();
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    persist(&mut log, 1, Some(vote(1, 1)), &commands(1, 2..=4)).unwrap();
    for index in 5..=14 {
        persist(&mut log, index, None, &[command(1, index, 900)]).unwrap();
    }
    take(&disk, LAST, 2000).unwrap();
    (disk, log)
}

fn reopened(disk: &SimDisk) -> Result<Stored, LogError> {
    disk.crash();
    open(disk, SEGMENT_BYTES).map(|(_, stored)| stored)
}

fn check_damage(result: Result<Stored, LogError>, words: &str) {
    match result {
        Err(error @ LogError::Corrupt { .. }) => assert!(error.to_string().contains(words), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(stored) => panic!("opened with last {}", stored.last),
    }
}

#[test]
fn a_state_of_any_length_is_read_as_it_was_written_and_no_piece_exceeds_its_length() {
    for len in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES, 5 * PIECE_BYTES + 3] {
        let disk = sim();
        drop(open(&disk, SEGMENT_BYTES).unwrap());
        let name = take(&disk, LAST, len).unwrap();
        assert_eq!(newest(&disk), Some((LAST, state(LAST, len))));
        let file = SnapshotFile::open(&disk, &snapshot_options(1), LAST).unwrap().unwrap();
        assert_eq!((file.name(), file.pieces()), (name, 1 + len.div_ceil(PIECE_BYTES) as u64));
        assert!(file.meta() == &covers(LAST) && file.piece(file.pieces()).unwrap().is_none());
        let mut bytes = 0;
        for number in 0..file.pieces() {
            let piece = file.piece(number).unwrap().unwrap();
            assert!(number == 0 || piece.len() <= PIECE_BYTES + 8);
            bytes += piece.len() as u64;
        }
        assert_eq!(bytes, name.bytes);
        assert!(SnapshotFile::open(&disk, &snapshot_options(1), EntryId::new(2, 9)).unwrap().is_none());
    }
}

/// What rots is found at the start (the header) or when the state is read, never given to the state machine.
#[test]
fn a_flipped_bit_in_a_snapshot_is_found() {
    let (disk, log) = sound();
    drop(log);
    let name = "snapshot/0000000000000009-0000000000000001.taken";
    let bytes = disk.contents(name).unwrap();
    for at in 0..bytes.len() {
        let disk = disk.fork(Rng::new(1));
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        disk.plant(name, &changed);
        let read = SnapshotFile::newest(&disk, &snapshot_options(1)).map(|found| {
            let mut content = Vec::new();
            found.unwrap().into_reader().read_to_end(&mut content).map(|_| content)
        });
        assert!(!matches!(read, Ok(Ok(_))), "byte {at}");
    }
    disk.plant(name, &bytes[..bytes.len() - 1]);
    check_damage(reopened(&disk), "not as its header and name say");
}

/// R54, R56: pieces that are late, doubled, damaged or of another snapshot change nothing; after a restart only what is missing is asked for.
#[test]
fn a_snapshot_arrives_in_pieces_that_are_checked_and_resumed_and_never_mixed() {
    let disk = sim();
    drop(open(&disk, SEGMENT_BYTES).unwrap());
    let (last, other) = (EntryId::new(2, 40), EntryId::new(2, 44));
    let (pieces, others) = (pieces_of(last, 5000), pieces_of(other, 5000));
    let options = snapshot_options(1);
    let mut arriving = Incoming::begin(&disk, options, &pieces[0]).unwrap();
    assert!(arriving.take(1, &pieces[1]).unwrap());
    assert!(!arriving.take(1, &pieces[1]).unwrap(), "doubled");
    assert!(!arriving.take(3, &pieces[3]).unwrap(), "too early");
    assert!(!arriving.take(2, &others[2]).unwrap(), "of another snapshot");
    assert!(!arriving.take(2, &pieces[3]).unwrap(), "of another place");
    let mut damaged = pieces[2].to_vec();
    damaged[20] ^= 1;
    assert!(!arriving.take(2, &damaged.into()).unwrap(), "damaged");
    assert!(arriving.take(2, &pieces[2]).unwrap() && arriving.next() == 3);
    drop(arriving);

    let mut resumed = Incoming::begin(&disk, options, &pieces[0]).unwrap();
    assert_eq!((resumed.next(), resumed.name().last), (3, last), "what was there is kept");
    for number in 3..resumed.pieces() {
        assert!(resumed.take(number, &pieces[usize::try_from(number).unwrap()]).unwrap());
    }
    assert_eq!(resumed.finish().unwrap(), covers(last));

    let fresh = Incoming::begin(&disk, options, &others[0]).unwrap();
    assert_eq!(fresh.next(), 1, "another snapshot starts with its first piece");
    drop(fresh);
    let again = Incoming::begin(&disk, options, &pieces[0]).unwrap();
    assert_eq!(again.next(), 1, "and so does the first one after it");
    drop(again);
    incoming::remove(&disk).unwrap();
    incoming::remove(&disk).unwrap();
    let mut header = pieces[0].to_vec();
    header[50] ^= 1;
    assert!(matches!(Incoming::begin(&disk, options, &header.into()), Err(LogError::Corrupt { .. })));
}

#[test]
fn a_compacted_log_holds_what_it_must_and_says_that_the_rest_is_gone() {
    let (disk, mut log) = sound();
    let old = log.plan(Index(2), Index(3), usize::MAX).unwrap();
    let base = log.compact(LAST.index, &[]).unwrap();
    assert!(base.index > Index(4) && base.index <= LAST.index && log.base() == base, "{base}");
    assert!(matches!(old.read(&disk), Err(LogError::Compacted { .. })));
    assert!(log.plan(base.index, LAST.index, usize::MAX).is_none());
    let read = log.plan(base.index.next(), Index(14), usize::MAX).unwrap().read(&disk).unwrap();
    assert!(read[0].id.index == base.index.next() && read.last().unwrap().id.index == Index(14));
    assert_eq!(log.compact(LAST.index, &[]).unwrap(), base, "nothing more goes without a newer snapshot");

    let newer = EntryId::new(1, 14);
    take(&disk, newer, 10).unwrap();
    let kept = log.compact(newer.index, &[LAST]).unwrap();
    assert!(kept > base && SnapshotFile::open(&disk, &snapshot_options(1), LAST).unwrap().is_some());
    log.compact(newer.index, &[]).unwrap();
    assert!(SnapshotFile::open(&disk, &snapshot_options(1), LAST).unwrap().is_none());
    drop(log);
    let stored = reopened(&disk).unwrap();
    assert_eq!((stored.base, stored.snapshot, stored.last), (kept, Some(covers(newer)), EntryId::new(1, 14)));
    assert_eq!(
        stored.memberships,
        [(Index(1), covers(newer).membership)],
        "the bootstrap entry is compacted"
    );
}

/// R36: entries came back that had been cut, so a later segment holds what an earlier one did. Beginning there would read them as a log that
/// goes back behind its own beginning.
#[test]
fn a_log_never_begins_with_a_segment_that_goes_back_behind_it() {
    let disk = sim();
    let (mut log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    persist(&mut log, 1, Some(vote(9, 1)), &(2..=6).map(|index| command(1, index, 700)).collect::<Vec<_>>())
        .unwrap();
    persist(&mut log, 2, None, &[command(1, 7, 1500)]).unwrap();
    persist(&mut log, 3, None, &[command(2, 5, 1500)]).unwrap();
    persist(&mut log, 4, None, &(5..=7).map(|index| command(1, index, 700)).collect::<Vec<_>>()).unwrap();
    persist(&mut log, 5, None, &[command(1, 8, 1500)]).unwrap();
    persist(&mut log, 6, None, &[command(1, 9, 1500)]).unwrap();
    let last = EntryId::new(1, 7);
    take(&disk, last, 10).unwrap();
    let base = log.compact(last.index, &[]).unwrap();
    drop(log);
    let stored = reopened(&disk).unwrap();
    assert_eq!((stored.base, stored.last), (base, EntryId::new(1, 9)));
}

#[test]
fn an_install_begins_the_log_anew_and_the_log_goes_on_behind_it() {
    let (disk, mut log) = sound();
    let last = EntryId::new(3, 30);
    let meta = receive(&disk, last, 3000).unwrap();
    let entries = commands(3, 31..=33);
    let install = Content {
        number: WriteNumber(99),
        hard_state: Some(vote(3, 2)),
        install: Some(&meta),
        repaired: &[],
        entries: &entries,
    };
    let before = Content {
        number: WriteNumber(98),
        hard_state: None,
        install: None,
        repaired: &[],
        entries: &commands(1, 15..=15),
    };
    log.write(&[before, install]).unwrap();
    log.sync().unwrap();
    assert_eq!((log.base(), log.last()), (last, EntryId::new(3, 33)));
    persist(&mut log, 100, None, &commands(3, 34..=60)).unwrap();
    drop(log);
    let stored = reopened(&disk).unwrap();
    assert_eq!((stored.base, stored.last, stored.hard_state), (last, EntryId::new(3, 60), vote(3, 2)));
    assert_eq!((stored.snapshot, newest(&disk)), (Some(meta), Some((last, state(last, 3000)))));
    assert_eq!(stored.tail, commands(3, 31..=60));
}

#[test]
fn a_gap_between_snapshot_and_log_is_damage_with_a_name() {
    let without = |change: &dyn Fn(&SimDisk)| {
        let (disk, mut log) = sound();
        log.compact(LAST.index, &[]).unwrap();
        drop(log);
        change(&disk);
        reopened(&disk)
    };
    let name = "snapshot/0000000000000009-0000000000000001.taken";
    check_damage(without(&|disk| disk.uproot(name)), "the snapshot that holds what was before is missing");
    check_damage(without(&|disk| disk.uproot("LOG")), "there is a snapshot");
    let older = |disk: &SimDisk| {
        disk.uproot(name);
        take(disk, EntryId::new(1, 3), 10).unwrap();
    };
    check_damage(without(&older), "the snapshot ends with 1:3, but the log begins after");
    let ahead = |disk: &SimDisk| assert!(take(disk, EntryId::new(1, 15), 10).is_ok());
    check_damage(without(&ahead), "does not hold 1:15");
    let other = |disk: &SimDisk| assert!(take(disk, EntryId::new(2, 12), 10).is_ok());
    check_damage(without(&other), "does not hold 2:12");
}

/// What failed half way leaves the older snapshot, and is cleared away by the next attempt.
#[test]
fn a_snapshot_that_was_not_finished_leaves_everything_as_it_was() {
    let (disk, mut log) = sound();
    disk.inject(Fault::SyncError, 0);
    assert!(take(&disk, EntryId::new(1, 12), 5000).is_err());
    disk.heal();
    assert_eq!(newest(&disk).map(|(last, _)| last), Some(LAST));
    persist(&mut log, 50, None, &commands(1, 15..=16)).unwrap();
    take(&disk, EntryId::new(1, 12), 5000).unwrap();
    assert!(disk.names().iter().all(|name| !name.ends_with(".tmp")), "{:?}", disk.names());
}

const LAST: EntryId = EntryId::new(1, 9);
const SEGMENT_BYTES: u64 = 4096;
