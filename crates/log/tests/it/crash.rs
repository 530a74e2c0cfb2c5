//! The log is stopped after each change and each sync that it makes of the disk, the power goes, and what a new start finds is
//! compared with the model: all that was synced, nothing that was never written, no half of a write (R57, R58, R60, R62, R64, T29,
//! T30, T81, T89).

use quorate_core::entry::{Entry, HardState};
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, WriteNumber};
use quorate_log::{Content, Log, LogError};
use quorate_sim::disk::{Fault, SimDisk};
use quorate_sim::rng::Rng;

use crate::kit::{Workload, command, crash, members, open, vote};

/// What a log holds.
#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    hard_state: HardState,
    entries: Vec<Entry>,
}

/// Each state that the log went through, and which of them is known to be durable.
#[derive(Clone, Debug)]
struct Model {
    states: Vec<State>,
    durable: usize,
    number: u64,
}

impl Model {
    fn new() -> Model {
        let entries = vec![Entry::bootstrap(members())];
        Model { states: vec![State { hard_state: HardState::default(), entries }], durable: 0, number: 0 }
    }

    fn last(&self) -> &State {
        self.states.last().unwrap()
    }

    /// A write of one to three contents, and in most cases a sync.
    fn step(&mut self, log: &mut Log<SimDisk>, rng: &mut Rng) -> Result<(), LogError> {
        let mut state = self.last().clone();
        let parts: Vec<(Option<HardState>, Vec<Entry>)> =
            (0..rng.between(1, 3)).map(|_| draw_part(&mut state, rng)).collect();
        let contents: Vec<Content<'_>> = parts
            .iter()
            .map(|(hard_state, entries)| {
                self.number += 1;
                Content {
                    number: WriteNumber(self.number),
                    hard_state: *hard_state,
                    install: None,
                    repaired: &[],
                    entries,
                }
            })
            .collect();
        self.states.push(state);
        log.write(&contents)?;
        if rng.chance(800) {
            assert_eq!(log.sync()?.number(), WriteNumber(self.number));
            self.durable = self.states.len() - 1;
        }
        Ok(())
    }

    /// Opens the log and compares: one of the states from the durable one on. It is durable from now on.
    fn reopen(&mut self, disk: &SimDisk) -> Result<Log<SimDisk>, LogError> {
        let (log, stored) = open(disk, SEGMENT_BYTES)?;
        let found = State { hard_state: stored.hard_state, entries: stored.tail.clone() };
        assert_eq!(stored, Stored::of_entries(found.hard_state, found.entries.clone()));
        let place = self.states[self.durable..].iter().position(|state| *state == found);
        let Some(place) = place else {
            panic!("found {found:?}\nwhich is none of {:?}", &self.states[self.durable..]);
        };
        *self = Model { states: vec![self.states[self.durable + place].clone()], durable: 0, number: 0 };
        Ok(log)
    }
}

/// Changes the state as a follower's write would: votes, appends, conflicts that truncate.
fn draw_part(state: &mut State, rng: &mut Rng) -> (Option<HardState>, Vec<Entry>) {
    let hard_state = rng.chance(300).then(|| vote(state.hard_state.term.0 + 1, rng.below(4)));
    state.hard_state = hard_state.unwrap_or(state.hard_state);
    let last = state.entries.last().unwrap().id;
    let first =
        if rng.chance(200) { rng.between(last.index.0 / 2 + 1, last.index.0) } else { last.index.0 + 1 };
    let first = first.max(2);
    let term = last.term.0 + u64::from(first <= last.index.0 || rng.chance(200));
    let len = if hard_state.is_some() && rng.chance(500) { 0 } else { rng.between(1, 5) };
    let entries: Vec<Entry> = (first..first + len)
        .map(|index| {
            let size = [0, 1, 30, 400, 1100][usize::try_from(rng.below(5)).unwrap()];
            command(term, index, size)
        })
        .collect();
    if len > 0 {
        state.entries.truncate(usize::try_from(first - 1).unwrap());
        state.entries.extend(entries.clone());
    }
    (hard_state, entries)
}

/// Runs the workload of a seed on a new disk until the disk stops or the workload ends.
fn run(seed: u64, stop_after: Option<u64>) -> (SimDisk, Model) {
    let workload = Workload { steps: STEPS, reopen: Model::reopen, step: Model::step };
    workload.run(Model::new(), seed, stop_after)
}

#[test]
fn a_crash_at_every_change_and_sync_leaves_a_state_that_was_written() {
    let mut points = 0;
    for seed in 0..3 {
        let total = run(seed, None).0.operations();
        assert!(total > 100, "the workload is too small: {total}");
        for stop_after in 0..=total {
            let (disk, model) = run(seed, Some(stop_after));
            for way in 0..6 {
                let disk = disk.fork(Rng::new(stop_after * 100 + way));
                let mut model = model.clone();
                crash(&disk, way);
                drop(model.reopen(&disk).unwrap());
                drop(model.reopen(&disk).unwrap());
                points += 1;
            }
        }
    }
    assert!(points > 2000);
}

#[test]
fn a_crash_within_recovery_loses_nothing() {
    let total = run(7, None).0.operations();
    for stop_after in (0..=total).step_by(3) {
        let (disk, model) = run(7, Some(stop_after));
        for within in 0..14 {
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

/// Also what a failed sync leaves: pages that look written and are not (R59, T78). The process is started again on the same
/// system, and what the log then calls recovered must survive the next power loss.
#[test]
fn recovery_goes_on_through_crash_after_crash() {
    for seed in 0..40 {
        let disk = SimDisk::new(Rng::stream(seed, "disk"));
        let mut rng = Rng::stream(seed, "rounds");
        let mut model = Model::new();
        drop(model.reopen(&disk).unwrap());
        for _ in 0..25 {
            let mut log = model.reopen(&disk).unwrap();
            match rng.below(4) {
                0 => disk.inject(Fault::SyncError, rng.below(6)),
                1 => disk.inject(Fault::WriteError, rng.below(6)),
                2 => disk.crash_after(rng.below(20)),
                _ => {}
            }
            for _ in 0..8 {
                if model.step(&mut log, &mut rng).is_err() {
                    // Whatever failed, nothing is taken any more, and nothing is attested.
                    assert!(matches!(log.sync(), Err(LogError::Poisoned | LogError::Io { .. })));
                    break;
                }
            }
            drop(log);
            disk.heal();
            if rng.chance(600) {
                crash(&disk, rng.below(4));
            } else {
                disk.crash_after(u64::MAX);
                let killed = model.reopen(&disk);
                if killed.is_err() {
                    disk.crash();
                }
            }
        }
        assert!(model.last().entries.last().unwrap().id > EntryId::new(0, 1), "the rounds wrote something");
    }
}

const STEPS: usize = 25;
const SEGMENT_BYTES: u64 = 4096 * 2;
