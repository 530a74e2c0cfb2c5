//! The log with snapshots, compaction and installs is stopped after each change and each sync, the power goes, and what a new start finds
//! is compared with the model: log and snapshot always meet, no snapshot that was finished is gone, no entry behind it neither
//! (T31, T36, T61, T88, R54, R55).

use quorate_core::entry::{Entry, HardState};
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::types::{EntryId, Index, WriteNumber};
use quorate_log::disk::Disk;
use quorate_log::{Content, Log, LogError};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{Workload, command, covers, crash, members, newest, open, receive, state, take, vote};

/// What a log would hold had it never been compacted. Entries that an install covers stand for others that this node never saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) hard_state: HardState,
    pub(crate) entries: Vec<Entry>,
}

/// Each state that the log went through, which of them is known to be durable, and what is committed.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) states: Vec<State>,
    durable: usize,
    number: u64,
    /// Nothing up to here is ever cut.
    committed: u64,
    /// The newest snapshot that is known to be durable.
    snapshot: Option<EntryId>,
}

impl Model {
    pub(crate) fn new() -> Model {
        let entries = vec![Entry::bootstrap(members())];
        let states = vec![State { hard_state: HardState::default(), entries }];
        Model { states, durable: 0, number: 0, committed: 1, snapshot: None }
    }

    pub(crate) fn last(&self) -> &State {
        self.states.last().unwrap()
    }

    pub(crate) fn step<D: Disk + Clone>(&mut self, log: &mut Log<D>, rng: &mut Rng) -> Result<(), LogError> {
        match rng.below(10) {
            0..=1 => self.take(log, rng),
            2..=3 => self.compact(log, rng),
            4 => self.install(log, rng),
            _ => self.write(log, rng),
        }
    }

    /// The log was opened anew, with all of it: the numbers of writes begin again.
    pub(crate) fn restart(&mut self) {
        self.number = 0;
    }

    fn write<D: Disk + Clone>(&mut self, log: &mut Log<D>, rng: &mut Rng) -> Result<(), LogError> {
        let mut state = self.last().clone();
        let (hard_state, entries) = draw_part(&mut state, self.committed, rng);
        self.put(log, state, hard_state, None, &entries)?;
        if rng.chance(800) { self.sync(log) } else { Ok(()) }
    }

    fn put<D: Disk + Clone>(
        &mut self,
        log: &mut Log<D>,
        state: State,
        hard_state: Option<HardState>,
        install: Option<&SnapshotMeta>,
        entries: &[Entry],
    ) -> Result<(), LogError> {
        self.number += 1;
        self.states.push(state);
        log.write(&[Content {
            number: WriteNumber(self.number),
            hard_state,
            install,
            repaired: &[],
            entries,
        }])
    }

    pub(crate) fn sync<D: Disk + Clone>(&mut self, log: &mut Log<D>) -> Result<(), LogError> {
        assert_eq!(log.sync()?.number(), WriteNumber(self.number));
        self.durable = self.states.len() - 1;
        Ok(())
    }

    /// A snapshot of a state that is durable.
    fn take<D: Disk + Clone>(&mut self, log: &mut Log<D>, rng: &mut Rng) -> Result<(), LogError> {
        self.sync(log)?;
        let entries = &self.last().entries;
        let last =
            entries[usize::try_from(rng.between(self.committed, entries.len() as u64) - 1).unwrap()].id;
        if self.snapshot.is_some_and(|snapshot| snapshot.index >= last.index) {
            return Ok(());
        }
        self.committed = last.index.0;
        take(log.disk(), last, state_len(last))?;
        self.snapshot = Some(last);
        Ok(())
    }

    fn compact<D: Disk + Clone>(&mut self, log: &mut Log<D>, rng: &mut Rng) -> Result<(), LogError> {
        let Some(snapshot) = self.snapshot else { return Ok(()) };
        let before = log.base();
        let through = Index(rng.between(snapshot.index.0 / 2, snapshot.index.0));
        let base = log.compact(through, &[])?;
        assert!(base.index <= through || base == before, "no more is compacted than was said");
        assert!(base.index >= before.index, "what is compacted does not come back");
        Ok(())
    }

    /// A snapshot that a peer took of entries that this log lacks, or holds in another form.
    fn install<D: Disk + Clone>(&mut self, log: &mut Log<D>, rng: &mut Rng) -> Result<(), LogError> {
        let mut state = self.last().clone();
        let from = self.committed + 1;
        let term = state.hard_state.term.0.max(state.entries.last().unwrap().id.term.0) + 1;
        let through = rng.between(from, state.entries.len() as u64 + 9);
        let meta = receive(log.disk(), EntryId::new(term, through), state_len(EntryId::new(term, through)))?;
        assert_eq!(meta, covers(EntryId::new(term, through)));
        let hard_state = vote(term, rng.below(4));
        state.entries.truncate(usize::try_from(from - 1).unwrap());
        state.entries.extend((from..=through).map(|index| command(term, index, 0)));
        // Once the snapshot has its name, a start finishes the install with what it finds of term and vote.
        assert!(self.states.iter().all(|before| before.hard_state.term.0 < term));
        self.states.push(State { hard_state: vote(term, 0), ..state.clone() });
        state.hard_state = hard_state;
        let behind: Vec<Entry> =
            (through + 1..=through + rng.below(3)).map(|index| command(term, index, 40)).collect();
        self.states.push(state.clone());
        state.entries.extend(behind.clone());
        self.put(log, state, Some(hard_state), Some(&meta), &behind)?;
        self.committed = through;
        self.snapshot = Some(meta.last);
        assert!(log.base() == meta.last, "the log begins where the snapshot ends");
        self.sync(log)
    }

    /// Opens the log and compares: one of the states from the durable one on. It is durable from now on.
    fn reopen(&mut self, disk: &SimDisk) -> Result<Log<SimDisk>, LogError> {
        let (mut log, stored) = open(disk, SEGMENT_BYTES)?;
        let base = usize::try_from(stored.base.index.0).unwrap();
        let matches = |state: &&State| {
            let before = if base == 0 {
                Some(EntryId::ZERO)
            } else {
                state.entries.get(base - 1).map(|entry| entry.id)
            };
            state.hard_state == stored.hard_state
                && before == Some(stored.base)
                && state.entries[base..] == stored.tail[..]
        };
        let Some(found) = self.states[self.durable..].iter().find(matches) else {
            panic!("found {stored:?}\nwhich is none of {:?}", &self.states[self.durable..]);
        };
        let snapshot = newest(disk);
        assert_eq!(snapshot.as_ref().map(|(last, _)| *last), stored.snapshot.as_ref().map(|meta| meta.last));
        if let Some((last, content)) = &snapshot {
            assert_eq!(*content, state(*last, state_len(*last)));
            assert_eq!(stored.snapshot, Some(covers(*last)));
            assert!(
                stored.base.index <= last.index && last.index <= stored.last.index,
                "log and snapshot meet"
            );
            let at = usize::try_from(last.index.0 - 1).unwrap();
            assert!(found.entries[at].id == *last, "the snapshot ends with an entry of the log");
        }
        let last = snapshot.map(|(last, _)| last);
        assert!(
            last.map(|last| last.index) >= self.snapshot.map(|last| last.index),
            "a finished snapshot stays"
        );
        let committed = self.committed.max(last.map_or(1, |last| last.index.0));
        let found = found.clone();
        assert!(found.entries.len() as u64 >= committed, "what a snapshot covers was durable");
        *self = Model { states: vec![found], durable: 0, number: 0, committed, snapshot: last };
        if let Some(last) = last {
            log.compact(last.index, &[])?;
        }
        Ok(log)
    }
}

/// Changes the state as a follower's write would; what is committed is never cut.
fn draw_part(state: &mut State, committed: u64, rng: &mut Rng) -> (Option<HardState>, Vec<Entry>) {
    let last = state.entries.last().unwrap().id;
    let cut = rng.chance(250) && last.index.0 > committed;
    let first = if cut { rng.between(committed + 1, last.index.0) } else { last.index.0 + 1 };
    let term = last.term.0 + u64::from(cut || rng.chance(200));
    let hard_state = (rng.chance(300) || term > state.hard_state.term.0)
        .then(|| vote(term.max(state.hard_state.term.0 + 1), rng.below(4)));
    state.hard_state = hard_state.unwrap_or(state.hard_state);
    let entries: Vec<Entry> = (first..first + rng.between(1, 4))
        .map(|index| command(term, index, [0, 30, 400, 1100][usize::try_from(rng.below(4)).unwrap()]))
        .collect();
    state.entries.truncate(usize::try_from(first - 1).unwrap());
    state.entries.extend(entries.clone());
    (hard_state, entries)
}

pub(crate) fn state_len(last: EntryId) -> usize {
    usize::try_from(last.index.0 * 97 % 2500).unwrap()
}

/// Runs the workload of a seed on a new disk until the disk stops or the workload ends.
fn run(seed: u64, stop_after: Option<u64>) -> (SimDisk, Model) {
    let workload = Workload { steps: STEPS, reopen: Model::reopen, step: Model::step };
    workload.run(Model::new(), seed, stop_after)
}

#[test]
fn a_crash_at_every_change_and_sync_leaves_a_snapshot_and_a_log_that_meet() {
    let (mut points, mut compacted, mut received) = (0, 0, 0);
    for seed in 0..4 {
        let (disk, model) = run(seed, None);
        let total = disk.operations();
        assert!(total > 100, "the workload is too small: {total}");
        compacted += u64::from(disk.names().iter().all(|name| !name.ends_with("0001.seg")));
        received += disk.names().iter().filter(|name| name.ends_with(".received")).count();
        drop(model);
        for stop_after in 0..=total {
            let (disk, model) = run(seed, Some(stop_after));
            for way in 0..4 {
                let disk = disk.fork(Rng::new(stop_after * 100 + way));
                let mut model = model.clone();
                crash(&disk, way);
                drop(model.reopen(&disk).unwrap());
                crash(&disk, 0);
                drop(model.reopen(&disk).unwrap());
                points += 1;
            }
        }
    }
    assert!(points > 2000 && compacted > 2 && received > 0, "{points} {compacted} {received}");
}

#[test]
fn a_crash_within_the_recovery_of_an_install_or_a_compaction_loses_nothing() {
    for seed in [3, 11] {
        let total = run(seed, None).0.operations();
        for stop_after in (0..=total).step_by(2) {
            let (disk, model) = run(seed, Some(stop_after));
            for within in 0..12 {
                let disk = disk.fork(Rng::new(stop_after * 100 + within));
                let mut model = model.clone();
                disk.crash();
                disk.crash_after(within);
                let _ = open(&disk, SEGMENT_BYTES);
                disk.crash();
                drop(model.reopen(&disk).unwrap());
            }
        }
    }
}

/// A failed write, sync or rename of a snapshot or of the file LOG stops the log, and the next start finds what was durable.
#[test]
fn rounds_of_failing_disks_and_crashes_keep_snapshot_and_log_together() {
    let mut snapshots = 0;
    for seed in 0..120 {
        let disk = SimDisk::new(Rng::stream(seed, "disk"));
        let mut rng = Rng::stream(seed, "rounds");
        let mut model = Model::new();
        for _ in 0..20 {
            let mut log = model.reopen(&disk).unwrap();
            let way = rng.below(4);
            match way {
                0 => disk.inject(Fault::SyncError, rng.below(8)),
                1 => disk.inject(Fault::WriteError, rng.below(8)),
                2 => disk.crash_after(rng.below(30)),
                _ => {}
            }
            for _ in 0..12 {
                if model.step(&mut log, &mut rng).is_err() {
                    break;
                }
            }
            drop(log);
            disk.heal();
            // Or only the process ends: then the system still shows names and bytes that a failed sync has not made durable.
            if way == 2 || rng.chance(400) {
                crash(&disk, rng.below(4));
            }
        }
        snapshots += u64::from(model.snapshot.is_some());
    }
    assert!(snapshots > 50, "{snapshots}");
}

const STEPS: usize = 40;
const SEGMENT_BYTES: u64 = 4096;
