//! The judge that trusts only what clients saw: for each object it looks for an order that explains every answer (Wing and
//! Gong 1993), never trying the same set of operations in the same state twice (Lowe 2017). The problem is hard in the
//! worst case, so the search has a deadline, counted in steps: the same history gets the same verdict on every machine.
//!
//! Three observations keep ordinary histories cheap. Objects are independent of each other. Operations of unknown outcome
//! are tried last, and of two equal ones only the earlier first. A place of a list whose value some answer shows is open to
//! no other value, and a revision of an instance that some answer shows to no other move. A list never becomes shorter, so it does not grow before
//! all who saw it at its length have their place.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Violation;
use crate::check::linearizable::history::{Answer, Call, History, Kind, Object, Operation, Phase};
use crate::check::linearizable::model::State;

/// What the judge found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is an order for each object.
    Linearizable,
    /// There is none for this object.
    Broken {
        /// Which object.
        object: Object,
        /// The operation whose answer no order explains, after the longest order that was found.
        blocked: Operation,
        /// How many operations that order holds.
        explained: u64,
    },
    /// The deadline came first, at this object.
    Undecided {
        /// Which object.
        object: Object,
    },
}

/// How much work a judgement was.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Effort {
    /// How many operations were tried as the next of an order.
    pub steps: u64,
    /// How many objects there were.
    pub objects: u64,
}

/// Judges a history. `steps_max` is the deadline of each object.
pub fn judge(history: &History, steps_max: u64) -> (Verdict, Effort) {
    let mut objects: BTreeMap<Object, Vec<&Operation>> = BTreeMap::new();
    for operation in history.operations() {
        // A refusal changes nothing and shows nothing. If it did change something, no order explains what others saw.
        if operation.answered.as_ref().is_none_or(|answered| answered.answer != Answer::Refused) {
            objects.entry(operation.object).or_default().push(operation);
        }
    }
    let mut effort = Effort::default();
    for (object, operations) in objects {
        let mut search = Search::new(object, &operations, steps_max);
        let verdict = search.run();
        effort.steps += search.steps;
        effort.objects += 1;
        if verdict != Verdict::Linearizable {
            return (verdict, effort);
        }
    }
    (Verdict::Linearizable, effort)
}

/// Judges the history of a run: `false` when the deadline came first, and nothing wrong was found until then.
///
/// # Errors
/// When no order explains it.
pub fn check(history: &History, steps_max: u64) -> Result<bool, Violation> {
    match judge(history, steps_max).0 {
        Verdict::Linearizable => Ok(true),
        Verdict::Undecided { .. } => Ok(false),
        Verdict::Broken { object, blocked, explained } => Err(Violation::safety(
            "some order of all operations on an object explains every answer",
            format!("{object:?}: after {explained} operations nothing explains {blocked:?}"),
        )),
    }
}

/// The search for one object.
struct Search<'a> {
    object: Object,
    /// First those that were answered, by their call; then those of unknown outcome, by their call.
    operations: Vec<&'a Operation>,
    /// How many were answered.
    answered_len: usize,
    /// For an operation of unknown outcome, the one before it with the same call.
    twins: Vec<Option<usize>>,
    /// The value at each place of a list, as far as answers show it.
    places: BTreeMap<u64, u64>,
    /// How many who saw a list at this length have no place yet.
    readers: BTreeMap<u64, usize>,
    /// The phase of an instance at each revision, and the operation that led there, as far as answers show them.
    revisions: BTreeMap<u64, (Phase, Option<usize>)>,
    line: Line,
    placed: Vec<u64>,
    tried: BTreeSet<(State, Box<[u64]>)>,
    steps: u64,
    steps_max: u64,
}

/// An operation that has its place in the order, and how to take it back.
struct Frame {
    operation: usize,
    before: State,
}

impl<'a> Search<'a> {
    fn new(object: Object, all: &[&'a Operation], steps_max: u64) -> Search<'a> {
        let (mut operations, unknown): (Vec<&Operation>, Vec<&Operation>) =
            all.iter().partition(|operation| operation.answered.is_some());
        let answered_len = operations.len();
        // A read that nobody got explains itself.
        operations.extend(unknown.into_iter().filter(|operation| operation.call != Call::Read));
        let mut last: BTreeMap<Call, usize> = BTreeMap::new();
        let twins = operations
            .iter()
            .enumerate()
            .map(
                |(place, operation)| {
                    if place < answered_len { None } else { last.insert(operation.call, place) }
                },
            )
            .collect();
        Search {
            object,
            answered_len,
            twins,
            places: shown_places(&operations[..answered_len]),
            readers: BTreeMap::new(),
            revisions: shown_revisions(&operations[..answered_len]),
            line: Line::new(&operations[..answered_len]),
            placed: vec![0; operations.len().div_ceil(64)],
            operations,
            tried: BTreeSet::new(),
            steps: 0,
            steps_max,
        }
    }

    fn run(&mut self) -> Verdict {
        for operation in &self.operations {
            if let Some(len) = length_seen(operation) {
                *self.readers.entry(len).or_default() += 1;
            }
        }
        let mut state = State::first(self.object.kind);
        let mut frames: Vec<Frame> = Vec::new();
        let mut answered_placed = 0;
        let (mut longest, mut longest_blocked) = (0, None);
        let mut next_try = 0;
        loop {
            if answered_placed == self.answered_len {
                return Verdict::Linearizable;
            }
            if self.steps > self.steps_max {
                return Verdict::Undecided { object: self.object };
            }
            if let Some((operation, next)) = self.candidate(state, next_try) {
                frames.push(Frame { operation, before: state });
                self.place(operation);
                answered_placed += usize::from(operation < self.answered_len);
                (state, next_try) = (next, 0);
                continue;
            }
            if longest_blocked.is_none() || frames.len() > longest {
                (longest, longest_blocked) = (frames.len(), self.line.first_answer());
            }
            let Some(frame) = frames.pop() else {
                let blocked = longest_blocked.expect("an object without answers is linearizable");
                return Verdict::Broken {
                    object: self.object,
                    blocked: self.operations[blocked].clone(),
                    explained: longest as u64,
                };
            };
            self.take_back(frame.operation);
            answered_placed -= usize::from(frame.operation < self.answered_len);
            (state, next_try) = (frame.before, frame.operation + 1);
        }
    }

    /// The first operation from `from` on that may come next, and the state that it leads to. Next may come what was called
    /// before the first answer among those that have no place yet.
    fn candidate(&mut self, state: State, from: usize) -> Option<(usize, State)> {
        let horizon = self.line.horizon(&self.operations);
        let mut at = if from < self.answered_len { self.line.call_from(from) } else { None };
        while let Some(operation) = at {
            if self.operations[operation].called_at > horizon {
                break;
            }
            if let Some(next) = self.attempt(state, operation) {
                return Some((operation, next));
            }
            at = self.line.call_after(operation);
        }
        for operation in from.max(self.answered_len)..self.operations.len() {
            if self.operations[operation].called_at > horizon {
                break;
            }
            let twin_waits = self.twins[operation].is_some_and(|twin| !self.is_placed(twin));
            if twin_waits || self.is_placed(operation) {
                continue;
            }
            if let Some(next) = self.attempt(state, operation) {
                return Some((operation, next));
            }
        }
        None
    }

    /// The state after this operation, unless its answer does not fit or the same was tried before.
    fn attempt(&mut self, state: State, operation: usize) -> Option<State> {
        self.steps += 1;
        let Operation { call, answered, .. } = self.operations[operation];
        if let (State::List(len, _), Call::Append(value)) = (state, call)
            && (self.places.get(&len).is_some_and(|shown| shown != value)
                || self.readers.get(&len).is_some_and(|readers| *readers > 0))
        {
            return None;
        }
        let next = state.step(*call, answered.as_ref().map(|answered| &answered.answer))?;
        if let State::Instance(Some(moved)) = next
            && next != state
            && let Some((phase, mover)) = self.revisions.get(&moved.revision)
            && (*phase != moved.phase || mover.is_some_and(|mover| mover != operation))
        {
            return None;
        }
        // What nobody saw and what changes nothing may as well never happen.
        if answered.is_none() && next == state {
            return None;
        }
        let mut placed: Box<[u64]> = self.placed.as_slice().into();
        placed[operation / 64] |= 1 << (operation % 64);
        self.tried.insert((next, placed)).then_some(next)
    }

    fn is_placed(&self, operation: usize) -> bool {
        self.placed[operation / 64] & (1 << (operation % 64)) != 0
    }

    fn place(&mut self, operation: usize) {
        self.placed[operation / 64] |= 1 << (operation % 64);
        if let Some(len) = length_seen(self.operations[operation]) {
            *self.readers.entry(len).or_default() -= 1;
        }
        if operation < self.answered_len {
            self.line.remove(operation);
        }
    }

    fn take_back(&mut self, operation: usize) {
        self.placed[operation / 64] &= !(1 << (operation % 64));
        if let Some(len) = length_seen(self.operations[operation]) {
            *self.readers.entry(len).or_default() += 1;
        }
        if operation < self.answered_len {
            self.line.put_back(operation);
        }
    }
}

/// At which length an operation saw a list and left it.
fn length_seen(operation: &Operation) -> Option<u64> {
    match (
        operation.object.kind,
        operation.call,
        operation.answered.as_ref().map(|answered| &answered.answer),
    ) {
        (Kind::List, Call::Read, Some(Answer::Number(len))) => Some(*len),
        (Kind::List, Call::Read, Some(Answer::Values(values))) => Some(values.len() as u64),
        _ => None,
    }
}

/// The value at each place of a list, as far as answers show it. If two answers contradict each other, no order explains
/// both, so it does not matter which of them is believed.
fn shown_places(answered: &[&Operation]) -> BTreeMap<u64, u64> {
    let mut places = BTreeMap::new();
    let mut longest: &[u64] = &[];
    for operation in answered {
        match (operation.call, operation.answered.as_ref().map(|answered| &answered.answer)) {
            (Call::Append(value), Some(Answer::Number(place))) => {
                places.insert(*place, value);
            }
            (Call::Read, Some(Answer::Values(values))) if values.len() > longest.len() => longest = values,
            _ => {}
        }
    }
    places.extend((0..).zip(longest.iter().copied()));
    places
}

/// The phase at each revision of an instance, and which operation led there, as far as answers show it. Each revision is reached once, by
/// one operation; if two answers contradict each other, no order explains both.
fn shown_revisions(answered: &[&Operation]) -> BTreeMap<u64, (Phase, Option<usize>)> {
    let mut revisions: BTreeMap<u64, (Phase, Option<usize>)> = BTreeMap::new();
    for (place, operation) in answered.iter().enumerate() {
        match operation.answered.as_ref().map(|answered| &answered.answer) {
            Some(Answer::Moved(standing)) => {
                revisions.insert(standing.revision, (standing.phase, Some(place)));
            }
            Some(Answer::Standing(Some(standing)) | Answer::Rejected(Some(standing))) => {
                revisions.entry(standing.revision).or_insert((standing.phase, None));
            }
            _ => {}
        }
    }
    revisions
}

/// The answered operations that have no place yet, in the order of their calls and in the order of their answers: two
/// linked lists, so that an operation leaves and comes back without a move of the others.
struct Line {
    calls: Links,
    answers: Links,
    /// The operations in the order of their answers, and where each stands there.
    by_answer: Vec<usize>,
    rank: Vec<usize>,
}

impl Line {
    fn new(answered: &[&Operation]) -> Line {
        let mut by_answer: Vec<usize> = (0..answered.len()).collect();
        by_answer.sort_by_key(|place| answered[*place].answered.as_ref().map(|answered| answered.at));
        let mut rank = vec![0; answered.len()];
        for (place, operation) in by_answer.iter().enumerate() {
            rank[*operation] = place;
        }
        let (calls, answers) = (Links::new(answered.len()), Links::new(answered.len()));
        Line { calls, answers, by_answer, rank }
    }

    /// The operation that was answered first.
    fn first_answer(&self) -> Option<usize> {
        self.answers.from(0).map(|place| self.by_answer[place])
    }

    /// When the first answer came: what was called later comes later in any order.
    fn horizon(&self, operations: &[&Operation]) -> u64 {
        let first = self.first_answer().and_then(|operation| operations[operation].answered.as_ref());
        first.map_or(u64::MAX, |answered| answered.at)
    }

    fn call_from(&self, operation: usize) -> Option<usize> {
        self.calls.from(operation)
    }

    fn call_after(&self, operation: usize) -> Option<usize> {
        self.calls.from(operation + 1)
    }

    fn remove(&mut self, operation: usize) {
        self.calls.remove(operation);
        self.answers.remove(self.rank[operation]);
    }

    fn put_back(&mut self, operation: usize) {
        self.calls.put_back(operation);
        self.answers.put_back(self.rank[operation]);
    }
}

/// A doubly linked list of the numbers below a length, with an end in front and behind. A number that is taken out keeps its
/// own links, so that it can be put back, last out first in (Knuth's dancing links).
struct Links {
    /// Of number n at n + 1.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Links {
    fn new(len: usize) -> Links {
        Links { next: (1..len + 3).collect(), previous: (0..len + 2).map(|n| n.saturating_sub(1)).collect() }
    }

    /// The first number in the list behind `number - 1`, which is in the list or the front end.
    fn from(&self, number: usize) -> Option<usize> {
        let next = self.next[number];
        (next < self.previous.len() - 1).then(|| next - 1)
    }

    fn remove(&mut self, number: usize) {
        let (previous, next) = (self.previous[number + 1], self.next[number + 1]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn put_back(&mut self, number: usize) {
        let (previous, next) = (self.previous[number + 1], self.next[number + 1]);
        self.next[previous] = number + 1;
        self.previous[next] = number + 1;
    }
}
