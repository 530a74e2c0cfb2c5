//! Breadth first, level by level: the first state that breaks a rule is one that takes the fewest steps to reach.
//!
//! Of each state five bytes of its fingerprint are kept, and the whole state until it is expanded. When a rule is broken, the search is
//! run once more up to that state, and this time it is also kept which of its parent's actions led to each state, and how many new
//! states it led to. The path follows from the counts: states are numbered as they are found, so the children of a state are
//! numbered after those of the state before it.

use crate::check::Violation;
use crate::explore::action::{Action, Step};
use crate::explore::fingerprint::{Fingerprints, Insert};
use crate::explore::frontier::Frontier;
use crate::explore::model::{Bounds, Model};
use crate::explore::state::{MESSAGES_MAX, State};

/// How much may be explored.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// States. The table of fingerprints is made for so many.
    pub states_max: u64,
    /// Memory, in bytes, as the search counts it.
    pub bytes_max: usize,
}

/// How a search ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Every state was seen and all rules held in each.
    Complete,
    /// A limit was reached; which one. All rules held in what was seen.
    Limit(&'static str),
    /// A rule was broken, by the last of these steps from the start on.
    Broken(Violation, Vec<Step>),
}

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// How it ended.
    pub ended: Ended,
    /// Distinct states.
    pub states: u64,
    /// Actions that were followed.
    pub actions: u64,
    /// The length of the longest shortest path.
    pub depth: u64,
    /// The states of the widest level.
    pub widest: u64,
    /// Distinct node states, and distinct messages.
    pub parts: (usize, usize),
    /// The most memory that was taken, in bytes.
    pub bytes: usize,
}

/// A search.
pub struct Search {
    model: Model,
    limits: Limits,
    seen: Fingerprints,
    /// How the states were reached, when that is wanted.
    origins: Option<Origins>,
    /// The states that were found while the level before was expanded.
    found: Frontier,
    key: Vec<u8>,
    actions: u64,
    depth: u64,
    widest: u64,
    expanded: u64,
    bytes: usize,
    /// Who is told after each level how deep the search is and how many states it has seen.
    told: Option<Box<dyn FnMut(u64, u64)>>,
}

/// How states were reached.
#[derive(Default)]
struct Origins {
    /// For each state but the first: which of its parent's steps led to it.
    steps: Vec<u8>,
    /// For each state whose steps were all followed: how many new states they led to.
    children: Vec<u8>,
}

impl Search {
    /// A search that has not begun.
    pub fn new(bounds: Bounds, limits: Limits) -> Search {
        Search {
            model: Model::new(bounds),
            limits,
            seen: Search::nothing_seen(limits),
            origins: None,
            found: Frontier::default(),
            key: Vec::new(),
            actions: 0,
            depth: 0,
            widest: 0,
            expanded: 0,
            bytes: 0,
            told: None,
        }
    }

    /// Tells after each level how deep the search is and how many states it has seen.
    pub fn tell_levels(&mut self, told: Box<dyn FnMut(u64, u64)>) {
        self.told = Some(told);
    }

    fn nothing_seen(limits: Limits) -> Fingerprints {
        Fingerprints::new(limits.states_max + STATES_MARGIN, limits.bytes_max / 4 * 3)
    }

    /// Sees every state, or ends earlier.
    pub fn run(&mut self) -> Found {
        self.run_with(&mut |_, _| {})
    }

    /// The same, and shows every state that it expands to `look`.
    pub fn run_with(&mut self, look: &mut dyn FnMut(&Model, &State)) -> Found {
        let ended = match self.levels(look) {
            Ended::Broken(violation, _) => self.broken(&violation),
            ended @ (Ended::Complete | Ended::Limit(_)) => ended,
        };
        self.count_bytes(0);
        Found {
            ended,
            states: self.seen.len() as u64,
            actions: self.actions,
            depth: self.depth,
            widest: self.widest,
            parts: self.model.parts().counts(),
            bytes: self.bytes,
        }
    }

    /// Searches again, to the same end, for the path to it.
    fn broken(&mut self, violation: &Violation) -> Ended {
        self.seen = Search::nothing_seen(self.limits);
        self.origins = Some(Origins::default());
        self.found = Frontier::default();
        (self.actions, self.depth, self.widest, self.expanded) = (0, 0, 0, 0);
        let ended = self.levels(&mut |_, _| {});
        let same = matches!(&ended, Ended::Broken(again, _) if again == violation);
        assert!(same, "a search is the same each time");
        ended
    }

    /// What the numbers of the states stand for.
    pub fn model(&mut self) -> &mut Model {
        &mut self.model
    }

    fn levels(&mut self, look: &mut dyn FnMut(&Model, &State)) -> Ended {
        let mut state = self.model.start();
        let new = self.note(&state);
        assert!(new == Insert::New, "nothing was seen before the start");
        while !self.found.is_empty() {
            let mut level = std::mem::take(&mut self.found);
            self.widest = self.widest.max(level.len());
            while let Some(piece) = level.take_piece() {
                let mut at = 0;
                while at < piece.len() {
                    at += state.decode(&piece[at..]);
                    self.model.sum(&mut state);
                    look(&self.model, &state);
                    if let Err(ended) = self.expand(&state) {
                        return ended;
                    }
                }
                self.count_bytes(level.bytes());
                if self.bytes > self.limits.bytes_max {
                    return Ended::Limit("memory");
                }
            }
            self.depth += u64::from(!self.found.is_empty());
            if let Some(told) = &mut self.told {
                told(self.depth, self.seen.len() as u64);
            }
        }
        Ended::Complete
    }

    /// Follows all actions of a state.
    fn expand(&mut self, state: &State) -> Result<(), Ended> {
        let mut steps = Steps::of(&self.model, state);
        let mut next = State::default();
        let mut new: u8 = 0;
        while let Some((place, step)) = steps.next() {
            match self.model.follow(state, step, &mut next) {
                Ok(Some(has_more)) => steps.has_more = has_more,
                Ok(None) => continue,
                Err(violation) => {
                    let path = self.path();
                    let path = path.into_iter().chain([step]).collect();
                    return Err(Ended::Broken(violation, path));
                }
            }
            self.actions += 1;
            let Ok(origin) = u8::try_from(place) else { return Err(Ended::Limit("steps from a state")) };
            if next.messages.len() > MESSAGES_MAX {
                return Err(Ended::Limit("messages in flight"));
            }
            match self.note(&next) {
                Insert::Known => {}
                Insert::New => {
                    new += 1;
                    if let Some(origins) = &mut self.origins {
                        origins.steps.push(origin);
                    }
                }
                Insert::Full => return Err(Ended::Limit("memory")),
            }
        }
        self.expanded += 1;
        if let Some(origins) = &mut self.origins {
            origins.children.push(new);
        }
        if self.seen.len() as u64 >= self.limits.states_max {
            return Err(Ended::Limit("states"));
        }
        if self.model.parts().is_full() { Err(Ended::Limit("distinct messages and logs")) } else { Ok(()) }
    }

    /// Adds a state to the next level, unless it was seen.
    fn note(&mut self, state: &State) -> Insert {
        let insert = self.seen.insert(self.model.fingerprint(state));
        if insert == Insert::New {
            self.key.clear();
            state.encode(&mut self.key);
            self.found.push(&self.key);
        }
        insert
    }

    /// The steps that lead to the state that is expanded now, if it is kept how states were reached.
    fn path(&mut self) -> Vec<Step> {
        let Some(origins) = &self.origins else { return Vec::new() };
        let mut path = Vec::new();
        let mut at = origins.children.len();
        while at > 0 {
            path.push(origins.steps[at - 1]);
            // The children of the states up to the parent, the parent's own included, are just enough to reach `at`.
            let mut found = 0;
            at = origins
                .children
                .iter()
                .position(|new| {
                    found += usize::from(*new);
                    found >= at
                })
                .expect("every state but the first was found while another was expanded");
        }
        path.reverse();
        self.replay(&path)
    }

    fn replay(&mut self, origins: &[u8]) -> Vec<Step> {
        let mut state = self.model.start();
        let (mut path, mut next) = (Vec::new(), State::default());
        for origin in origins {
            let mut steps = Steps::of(&self.model, &state);
            while let Some((place, step)) = steps.next() {
                let followed = self.model.follow(&state, step, &mut next);
                steps.has_more = followed.expect("no rule was broken on the way") == Some(true);
                if place == usize::from(*origin) {
                    path.push(step);
                    break;
                }
            }
            assert!(steps.place == usize::from(*origin) + 1, "what was followed once can be followed again");
            std::mem::swap(&mut state, &mut next);
        }
        path
    }

    /// Counts the memory that is taken while so many bytes of the level are left.
    fn count_bytes(&mut self, level: usize) {
        let origins = self.origins.as_ref();
        let origins = origins.map_or(0, |kept| kept.steps.capacity() + kept.children.capacity());
        let now = self.seen.bytes() + origins + level + self.found.bytes() + self.model.bytes();
        self.bytes = self.bytes.max(now);
    }
}

/// The steps from a state, one after the other, numbered from 0 on.
struct Steps {
    actions: std::vec::IntoIter<Action>,
    last: Option<Step>,
    /// Whether something else may come of the last one as well.
    has_more: bool,
    place: usize,
}

impl Steps {
    fn of(model: &Model, state: &State) -> Steps {
        let mut actions = Vec::new();
        model.actions(state, &mut actions);
        Steps { actions: actions.into_iter(), last: None, has_more: false, place: 0 }
    }

    fn next(&mut self) -> Option<(usize, Step)> {
        let another = self.last.filter(|_| std::mem::take(&mut self.has_more));
        let another = another.map(|step| Step { choice: step.choice + 1, ..step });
        let first = |action| Step { action, choice: 0 };
        self.last = another.or_else(|| self.actions.next().map(first));
        let place = self.place;
        self.place += usize::from(self.last.is_some());
        self.last.map(|step| (place, step))
    }
}

/// The last state that is expanded may lead to more than the limit allows.
const STATES_MARGIN: u64 = 256;
