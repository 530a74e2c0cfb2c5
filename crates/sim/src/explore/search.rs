//! Breadth first, level by level: the first state that breaks a rule is one that takes the fewest steps to reach.
//!
//! Kept for each state: its fingerprint, which of its parent's actions led to it, and how many new states it led to. The
//! whole state is kept only until the level after it is known. The path to a state follows from the counts: states are
//! numbered as they are found, so the children of a state are numbered after those of the state before it.

use crate::check::Violation;
use crate::explore::fingerprint::{Fingerprints, Insert, fingerprint};
use crate::explore::model::{Action, Bounds, Model};
use crate::explore::state::{MESSAGES_MAX, State};

/// How much may be explored.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// States.
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
    /// A rule was broken, by the last of these actions from the start on.
    Broken(Violation, Vec<Action>),
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
    /// For each state but the first: which of its parent's actions led to it.
    origins: Vec<u8>,
    /// For each state whose actions were all followed: how many new states they led to.
    children: Vec<u8>,
    /// The states whose actions are followed now, and those that were found meanwhile.
    level: Vec<u8>,
    next_level: Vec<u8>,
    key: Vec<u8>,
    actions: u64,
    depth: u64,
    widest: u64,
    bytes: usize,
}

impl Search {
    /// A search that has not begun.
    pub fn new(bounds: Bounds, limits: Limits) -> Search {
        Search {
            model: Model::new(bounds),
            limits,
            seen: Fingerprints::new(limits.bytes_max / 4 * 3),
            origins: Vec::new(),
            children: Vec::new(),
            level: Vec::new(),
            next_level: Vec::new(),
            key: Vec::new(),
            actions: 0,
            depth: 0,
            widest: 0,
            bytes: 0,
        }
    }

    /// Sees every state, or ends earlier.
    pub fn run(&mut self) -> Found {
        let ended = self.levels();
        self.count_bytes();
        Found {
            ended,
            states: self.seen.len() as u64,
            actions: self.actions,
            depth: self.depth,
            widest: self.widest,
            parts: self.model.parts(),
            bytes: self.bytes,
        }
    }

    /// What the numbers of the states stand for.
    pub fn model(&mut self) -> &mut Model {
        &mut self.model
    }

    fn levels(&mut self) -> Ended {
        let start = self.model.start();
        let mut state = start.clone();
        let new = self.note(&start);
        assert!(new == Insert::New, "nothing was seen before the start");
        while !self.next_level.is_empty() {
            self.level.clear();
            std::mem::swap(&mut self.level, &mut self.next_level);
            let (mut at, mut width) = (0, 0);
            while at < self.level.len() {
                at += state.decode(&self.level[at..]);
                width += 1;
                if let Err(ended) = self.expand(&state) {
                    return ended;
                }
            }
            self.widest = self.widest.max(width);
            self.depth += u64::from(!self.next_level.is_empty());
        }
        Ended::Complete
    }

    /// Follows all actions of a state.
    fn expand(&mut self, state: &State) -> Result<(), Ended> {
        let mut actions = Vec::new();
        self.model.actions(state, &mut actions);
        let mut next = State::default();
        let mut new: u8 = 0;
        for (place, action) in actions.iter().enumerate() {
            match self.model.follow(state, *action, &mut next) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(violation) => {
                    let mut path = self.path(self.children.len());
                    path.push(*action);
                    return Err(Ended::Broken(violation, path));
                }
            }
            self.actions += 1;
            let Ok(origin) = u8::try_from(place) else { return Err(Ended::Limit("actions of a state")) };
            if next.messages.len() > MESSAGES_MAX {
                return Err(Ended::Limit("messages in flight"));
            }
            match self.note(&next) {
                Insert::Known => {}
                Insert::New => {
                    self.origins.push(origin);
                    new += 1;
                }
                Insert::Full => return Err(Ended::Limit("memory")),
            }
        }
        self.children.push(new);
        if self.children.len().is_multiple_of(STATES_BETWEEN_COUNTS) {
            self.count_bytes();
        }
        if self.seen.len() as u64 >= self.limits.states_max {
            return Err(Ended::Limit("states"));
        }
        if self.model.is_full() {
            return Err(Ended::Limit("distinct messages and logs"));
        }
        if self.bytes > self.limits.bytes_max { Err(Ended::Limit("memory")) } else { Ok(()) }
    }

    /// Adds a state to the next level, unless it was seen.
    fn note(&mut self, state: &State) -> Insert {
        self.key.clear();
        state.encode(&mut self.key);
        let insert = self.seen.insert(fingerprint(&self.key));
        if insert == Insert::New {
            self.next_level.extend_from_slice(&self.key);
        }
        insert
    }

    /// The actions that lead to the state with this number.
    fn path(&mut self, number: usize) -> Vec<Action> {
        let mut origins = Vec::new();
        let mut at = number;
        while at > 0 {
            origins.push(self.origins[at - 1]);
            // The children of the states up to the parent, the parent's own included, are just enough to reach `at`.
            let mut found = 0;
            at = self
                .children
                .iter()
                .position(|new| {
                    found += usize::from(*new);
                    found >= at
                })
                .expect("every state but the first was found while another was expanded");
        }
        origins.reverse();
        self.replay(&origins)
    }

    fn replay(&mut self, origins: &[u8]) -> Vec<Action> {
        let mut state = self.model.start();
        let (mut path, mut actions, mut next) = (Vec::new(), Vec::new(), State::default());
        for origin in origins {
            self.model.actions(&state, &mut actions);
            let action = actions[usize::from(*origin)];
            let followed = self.model.follow(&state, action, &mut next);
            assert!(followed == Ok(true), "what was followed once can be followed again");
            std::mem::swap(&mut state, &mut next);
            path.push(action);
        }
        path
    }

    fn count_bytes(&mut self) {
        let now = self.seen.bytes()
            + self.origins.capacity()
            + self.children.capacity()
            + self.level.capacity()
            + self.next_level.capacity()
            + self.model.bytes();
        self.bytes = self.bytes.max(now);
    }
}

const STATES_BETWEEN_COUNTS: usize = 4_096;
