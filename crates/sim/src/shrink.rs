//! Makes a failing run smaller, as long as the same rule is still broken: fewer nodes and clients, a shorter time, fewer faults, plain
//! knobs, fewer operations. What is a set is halved by delta debugging (Zeller and Hildebrandt 2002), what is a number by bisection. Each
//! fault and each client has chances of its own, so what is left does as before, at least until it is told something else.

use std::collections::BTreeSet;
use std::fmt;

use crate::recipe::Recipe;

/// How a run failed, in numbers: what there was until the rule was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Nodes.
    pub nodes: u64,
    /// Clients.
    pub clients: u32,
    /// The operations of the busiest client.
    pub operations: u64,
    /// The faults that struck, by number.
    pub faults: Vec<u64>,
    /// The knobs that are not plain.
    pub knobs: Vec<&'static str>,
    /// When the rule was broken, in microseconds of virtual time.
    pub at_us: u64,
    /// When faults would have ended.
    pub until_us: u64,
    /// Events.
    pub events: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest run that still fails.
    pub recipe: Recipe,
    /// How it fails.
    pub failure: Failure,
    /// How many runs were tried.
    pub runs: u64,
}

/// Makes a failing run smaller. `fails` tries a run: how it breaks the same rule, or nothing. It is asked `runs_max` times at most.
pub fn shrink(
    recipe: Recipe,
    failure: Failure,
    runs_max: u64,
    fails: impl FnMut(&Recipe) -> Option<Failure>,
) -> Shrunk {
    let mut shrinking = Shrinking { best: Shrunk { recipe, failure, runs: 0 }, runs_max, fails };
    // What is left out at last may have been what kept something else from being left out.
    for _ in 0..ROUNDS_MAX {
        let before = shrinking.best.recipe.clone();
        shrinking.cut();
        shrinking.nodes();
        shrinking.clients();
        shrinking.faults();
        shrinking.knobs();
        shrinking.operations();
        shrinking.until();
        if shrinking.best.recipe == before {
            break;
        }
    }
    shrinking.best
}

struct Shrinking<F> {
    best: Shrunk,
    runs_max: u64,
    fails: F,
}

impl<F: FnMut(&Recipe) -> Option<Failure>> Shrinking<F> {
    /// Tries a change of the smallest run so far, and keeps it if the run still fails.
    fn try_with(&mut self, change: impl FnOnce(&mut Recipe)) -> bool {
        let mut recipe = self.best.recipe.clone();
        change(&mut recipe);
        if recipe == self.best.recipe || self.best.runs >= self.runs_max {
            return false;
        }
        self.best.runs += 1;
        let Some(failure) = (self.fails)(&recipe) else { return false };
        self.best.recipe = recipe;
        self.best.failure = failure;
        true
    }

    /// Faults end when the rule is broken. A run that breaks it later, after its faults ended, is as long as it was.
    fn cut(&mut self) {
        let end_us = self.best.failure.at_us + 1;
        if end_us < self.best.failure.until_us {
            self.try_with(|recipe| recipe.until_us = Some(end_us));
        }
    }

    fn nodes(&mut self) {
        for nodes in 1..self.best.failure.nodes {
            if self.try_with(|recipe| recipe.nodes = Some(nodes)) {
                return;
            }
        }
    }

    fn clients(&mut self) {
        for clients in 1..self.best.failure.clients {
            if self.try_with(|recipe| recipe.clients = Some(clients)) {
                return;
            }
        }
    }

    fn faults(&mut self) {
        let all = self.best.failure.faults.clone();
        let everything: BTreeSet<u64> = all.iter().copied().collect();
        // The same run, in which the faults that are still to come after the failure are left out.
        self.try_with(|recipe| recipe.only = Some(everything));
        fewer(all, |left| self.try_with(|recipe| recipe.only = Some(left.iter().copied().collect())));
    }

    fn knobs(&mut self) {
        let turned = self.best.failure.knobs.clone();
        fewer(turned, |left| self.try_with(|recipe| recipe.knobs = Some(left.iter().copied().collect())));
    }

    /// The fewest operations of each client, by bisection from below: few are tried first, because runs with few are short.
    fn operations(&mut self) {
        let (mut low, mut high) = (0, self.best.failure.operations);
        self.try_with(|recipe| recipe.operations = Some(high));
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.try_with(|recipe| recipe.operations = Some(middle)) {
                high = middle;
            } else {
                low = middle;
            }
        }
    }

    /// The shortest time of faults, by bisection, to a hundredth of a second.
    fn until(&mut self) {
        self.cut();
        let (mut low, mut high) = (0, self.best.failure.until_us.min(self.best.failure.at_us + 1));
        while low + UNTIL_US_STEP < high {
            let middle = low + (high - low) / 2;
            if self.try_with(|recipe| recipe.until_us = Some(middle)) {
                high = middle.min(self.best.failure.at_us + 1);
            } else {
                low = middle;
            }
        }
        self.cut();
        // What was to strike after the new end strikes no more.
        let struck: BTreeSet<u64> = self.best.failure.faults.iter().copied().collect();
        self.try_with(|recipe| recipe.only = Some(struck));
    }
}

/// The items that are left when no single one can be left out without `fails` becoming false: halves are tried first, then quarters, down
/// to single ones.
pub fn fewer<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut chunk = items.len().max(1);
    loop {
        let mut from = 0;
        let mut smaller = false;
        while from < items.len() {
            let end = (from + chunk).min(items.len());
            let rest: Vec<T> = items[..from].iter().chain(&items[end..]).cloned().collect();
            if fails(&rest) {
                items = rest;
                smaller = true;
            } else {
                from = end;
            }
        }
        if chunk == 1 && !smaller {
            return items;
        }
        chunk = (chunk / 2).max(1);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { nodes, clients, operations, faults, knobs, at_us, until_us: _, events } = self;
        write!(
            f,
            "{nodes} nodes, {clients} clients, {operations} operations of the busiest, {} faults, {} knobs [{}], {events} events, \
             broken after {}.{:06} s",
            faults.len(),
            knobs.len(),
            knobs.join(" "),
            at_us / 1_000_000,
            at_us % 1_000_000
        )
    }
}

/// How often all kinds of change are tried.
const ROUNDS_MAX: usize = 4;
/// How exactly the end of the faults is looked for.
const UNTIL_US_STEP: u64 = 10_000;
