//! What may happen next in a state, and what comes of that. What the numbers of a state stand for is in `parts.rs`, and what an
//! event does to a node in `outcomes.rs`.

use quorate_core::status::Role;
use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::explore::action::{Action, Step, spend};
use crate::explore::dead;
use crate::explore::event::Event;
use crate::explore::fingerprint::scramble;
use crate::explore::local::Local;
use crate::explore::outcomes::{self, Outcome, Outcomes};
use crate::explore::parts::Parts;
use crate::explore::rules::{self, Moved};
use crate::explore::start::{self, Start};
use crate::explore::state::{Budgets, State};
use crate::explore::symmetry::{Prints, Renamings};
use crate::explore::world::World;

/// How large the cluster is and how much may happen.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The nodes, and how they talk.
    pub world: World,
    /// Where the search begins.
    pub start: Start,
    /// The highest term in which a node may stand for election.
    pub terms: u8,
    /// What else may happen.
    pub budgets: Budgets,
    /// What need not be told apart.
    pub reductions: Reductions,
}

/// What need not be told apart. All of it can be switched off, to show that nothing is missed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Reductions {
    /// States that differ only by the names of the nodes are one ([`crate::explore::symmetry`]).
    pub names: bool,
    /// Messages that can do nothing any more are forgotten (`dead.rs`).
    pub dead: bool,
}

impl Reductions {
    /// All of them.
    pub const ALL: Reductions = Reductions { names: true, dead: true };
    /// None.
    pub const NONE: Reductions = Reductions { names: false, dead: false };
}

/// A cluster, and all that is known of its states.
pub struct Model {
    bounds: Bounds,
    parts: Parts,
    outcomes: Outcomes,
    /// For each term all leaders that it may have had, nobody first.
    leader_prints: Prints,
}

impl Model {
    /// Nothing is known yet.
    pub fn new(bounds: Bounds) -> Model {
        let renamings = Renamings::of(bounds.world);
        let mut leader_prints = Prints::default();
        for term in 0..u64::from(bounds.terms) {
            leader_prints.push(&renamings.prints(|_| scramble(term << 8 | LEADER_KIND)));
            for node in bounds.world.ids() {
                let print =
                    |name: &dyn Fn(NodeId) -> NodeId| name(node).get() << 32 | term << 8 | LEADER_KIND;
                leader_prints.push(&renamings.prints(|name| scramble(print(name))));
            }
        }
        Model { bounds, parts: Parts::new(renamings), outcomes: Outcomes::default(), leader_prints }
    }

    /// What the numbers of the states stand for.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The state in which the cluster starts.
    pub fn start(&mut self) -> State {
        let Bounds { world, start, terms, budgets, .. } = self.bounds;
        let nodes = world.ids().map(|id| self.parts.local_number(&Local::new(id, world))).collect();
        let mut state = State {
            messages: Vec::new(),
            snapshots: Vec::new(),
            // All nodes begin with the same first entry, and nothing is committed.
            committed: self.parts.list_number(&[]),
            leaders: vec![0; usize::from(terms)],
            left: budgets,
            nodes,
            sums: Vec::new(),
        };
        self.sum(&mut state);
        start::lead(self, &mut state, start);
        state
    }

    /// Puts the fingerprints of all parts together anew.
    pub fn sum(&self, state: &mut State) {
        let State { nodes, messages, snapshots, committed, leaders, left, sums } = state;
        sums.clear();
        sums.resize(self.parts.renamings.len(), budget_print(*left));
        nodes.iter().for_each(|node| self.parts.local_prints.add(*node as usize, sums));
        messages.iter().for_each(|message| self.parts.message_prints.add(usize::from(*message), sums));
        snapshots.iter().for_each(|snapshot| self.parts.snapshot_prints.add(usize::from(*snapshot), sums));
        self.parts.list_prints.add(usize::from(*committed), sums);
        for (term, leader) in (1..).zip(leaders.iter()) {
            self.leader_prints.add(self.leader_place(term, *leader), sums);
        }
    }

    /// The fingerprint by which the search knows a state again.
    pub fn fingerprint(&self, state: &State) -> u64 {
        if self.bounds.reductions.names { nameless(&state.sums) } else { scramble(state.sums[0]) }
    }

    /// The fingerprint of what a search with all reductions makes of a state.
    pub fn reduced_fingerprint(&self, state: &State) -> u64 {
        let mut state = state.clone();
        self.forget_dead(&mut state);
        nameless(&state.sums)
    }

    fn leader_place(&self, term: u8, leader: u8) -> usize {
        let World { nodes, spares, .. } = self.bounds.world;
        usize::from(term - 1) * (usize::from(nodes + spares) + 1) + usize::from(leader)
    }

    /// Everything that may happen in a state, always in the same order.
    pub fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.clear();
        let mut before = None;
        for message in &state.messages {
            if before == Some(*message) {
                continue;
            }
            before = Some(*message);
            actions.push(Action::Deliver(*message));
        }
        let left = state.left;
        for (node, local) in state.nodes.iter().enumerate() {
            let facts = self.parts.facts(*local);
            let leads = facts.role == Role::Leader;
            let may_campaign = left.campaigns != Some(0) && !leads && facts.term < self.bounds.terms;
            let may = [
                (facts.may.persist, Action::Persist(node)),
                (may_campaign, Action::Campaign(node)),
                (leads && left.proposals > 0, Action::Propose(node)),
                (leads && left.heartbeats > 0, Action::Heartbeat(node)),
                (leads && left.silences > 0, Action::Silence(node)),
                (left.crashes > 0, Action::Crash(node)),
                (left.crashes > 0 && facts.may.name_install, Action::CrashInInstall(node)),
                (left.snapshots > 0 && facts.may.snapshot, Action::Snapshot(node)),
                (facts.may.compact, Action::Compact(node)),
                (facts.may.give_up, Action::GiveUp(node)),
            ];
            actions.extend(may.iter().filter(|(may, _)| *may).map(|(_, action)| *action));
            if left.installs > 0 {
                actions.extend(state.snapshots.iter().map(|snapshot| Action::Install(node, *snapshot)));
            }
            if leads && left.transfers > 0 {
                let others = (0..state.nodes.len()).filter(|to| *to != node);
                actions.extend(others.map(|to| Action::Transfer(node, to)));
            }
            if leads && left.changes > 0 {
                let mut wishes = Vec::new();
                self.bounds.world.wishes(self.parts.members(facts.members), &mut wishes);
                actions.extend(wishes.iter().map(|wish| Action::Change(node, *wish)));
            }
        }
    }

    /// Puts what comes of a step into `next`. `None` if nothing does: what changes nothing is not followed. Else whether there is
    /// another choice behind this one.
    ///
    /// # Errors
    /// A rule that is broken by it.
    pub fn follow(&mut self, state: &State, step: Step, next: &mut State) -> Result<Option<bool>, Violation> {
        let Step { action, choice } = step;
        let (node, code) = outcomes::code(&self.parts, state, action);
        let from = state.nodes[node];
        let place = self.outcomes.first(&mut self.parts, from, code)? + choice;
        let Outcome { to, sent, elected, decided, has_more } = self.outcomes.get(place);
        let (before, after) = (self.parts.facts(from), self.parts.facts(*to));
        let stands = after.role == Role::Candidate && after.term > before.term;
        let out_of_bounds = after.term > self.bounds.terms || state.left.campaigns == Some(0);
        if *to == from && sent.is_empty() || stands && out_of_bounds {
            return Ok(None);
        }
        next.clone_from(state);
        if let Action::Deliver(message) = action
            && !self.bounds.world.messages_stay
        {
            next.remove(message);
            self.parts.message_prints.take(usize::from(message), &mut next.sums);
        }
        spend(action, &mut next.left);
        if stands {
            next.left.campaigns = next.left.campaigns.map(|campaigns| campaigns - 1);
        }
        if next.left != state.left {
            let change = budget_print(next.left).wrapping_sub(budget_print(state.left));
            next.sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(change));
        }
        next.nodes[node] = *to;
        self.parts.local_prints.take(from as usize, &mut next.sums);
        self.parts.local_prints.add(*to as usize, &mut next.sums);
        for message in sent {
            if !self.bounds.world.messages_stay || next.messages.binary_search(message).is_err() {
                next.send(*message);
                self.parts.message_prints.add(usize::from(*message), &mut next.sums);
            }
        }
        let moved = Moved { node, from, elected: *elected, decided: *decided };
        let has_more = *has_more;
        if let Action::Snapshot(_) = action {
            self.note_snapshot(next, node)?;
        }
        rules::check(self, next, moved)?;
        self.parts.list_prints.take(usize::from(state.committed), &mut next.sums);
        self.parts.list_prints.add(usize::from(next.committed), &mut next.sums);
        for (term, (before, after)) in (1..).zip(state.leaders.iter().zip(&next.leaders)) {
            if before != after {
                self.leader_prints.take(self.leader_place(term, *before), &mut next.sums);
                self.leader_prints.add(self.leader_place(term, *after), &mut next.sums);
            }
        }
        if self.bounds.reductions.dead {
            self.forget_dead(next);
        }
        Ok(Some(has_more))
    }

    /// The node at this place has just taken a snapshot: from now on anybody may get it.
    fn note_snapshot(&mut self, state: &mut State, node: usize) -> Result<(), Violation> {
        let taken = self.parts.local(state.nodes[node]).snapshot().expect("it was taken just now").clone();
        let covered = self.parts.list_number(&taken.covered);
        rules::check_snapshot(self, state, node, covered)?;
        let number = self.parts.snapshot_number(&taken);
        if let Err(place) = state.snapshots.binary_search(&number) {
            state.snapshots.insert(place, number);
            self.parts.snapshot_prints.add(usize::from(number), &mut state.sums);
        }
        Ok(())
    }

    /// Drops what can do nothing any more: messages, and who led a term that nobody can win again.
    pub fn forget_dead(&self, state: &mut State) {
        let State { nodes, messages, snapshots, left, sums, leaders, .. } = state;
        if left.installs == 0 {
            snapshots
                .iter()
                .for_each(|snapshot| self.parts.snapshot_prints.take(usize::from(*snapshot), sums));
            snapshots.clear();
        }
        for (term, leader) in (1..).zip(leaders.iter_mut()).filter(|(_, leader)| **leader != 0) {
            let may_win = |node: &u32| dead::may_win(&self.parts.facts(*node), left.crashes > 0, term);
            if !nodes.iter().any(may_win) {
                self.leader_prints.take(self.leader_place(term, *leader), sums);
                self.leader_prints.add(self.leader_place(term, 0), sums);
                *leader = 0;
            }
        }
        messages.retain(|message| {
            let place = usize::from(*message);
            let address = self.parts.address(*message);
            let [from, to] = [address.from, address.to].map(|node| self.parts.facts(nodes[node]));
            let dead = address.is_dead(&from, &to, left.crashes > 0, self.bounds.terms);
            if dead {
                self.parts.message_prints.take(place, sums);
            }
            !dead
        });
    }

    /// Which node an action moves, and the event that it is to that node.
    pub fn event_of(&self, state: &State, action: Action) -> (usize, Event) {
        let (node, code) = outcomes::code(&self.parts, state, action);
        (node, outcomes::event(&self.parts, code))
    }

    /// An estimate of the memory of all of it, in bytes.
    pub fn bytes(&self) -> usize {
        self.parts.bytes() + self.outcomes.bytes()
    }

    /// Whether the members may change.
    pub fn members_change(&self) -> bool {
        self.bounds.world.changes.any()
    }
}

/// The fingerprint that a state has in common with all that renaming can make of it: these have the same sums in another order.
fn nameless(sums: &[u64]) -> u64 {
    sums.iter().fold(0, |fingerprint, sum| fingerprint.wrapping_add(scramble(*sum)))
}

fn budget_print(left: Budgets) -> u64 {
    scramble(left.packed() << 8 | BUDGET_KIND)
}

/// Parts of different kinds have different fingerprints.
const LEADER_KIND: u64 = 1;
const BUDGET_KIND: u64 = 2;
