//! What an event does to a node. That depends on the node alone, so it is computed once for each pair of them, by the real core, with all
//! invariants of one node; after that it is looked up.

use std::sync::Arc;

use quorate_core::state::Name;
use quorate_core::types::NodeId;

use crate::check::Violation;
use crate::explore::action::Action;
use crate::explore::event::Event;
use crate::explore::local::{Local, Output};
use crate::explore::parts::Parts;
use crate::explore::state::State;
use crate::explore::world::Wish;

/// What was tried so far.
#[derive(Default)]
pub(super) struct Outcomes {
    /// For each node state, the events that were tried, with the place of what came of each.
    tried: Vec<Vec<(u32, u32)>>,
    outcomes: Vec<Outcome>,
}

/// What an event does to a node state.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) to: u32,
    pub(super) sent: Vec<u16>,
    pub(super) elected: bool,
    /// The members by whom a leader decided.
    pub(super) decided: Option<u16>,
    /// Something else may come of it as well, which stands behind this.
    pub(super) has_more: bool,
}

impl Outcomes {
    /// What an event does to a node state, computed or remembered: the place of the first of the things that may come of it.
    ///
    /// # Errors
    /// A rule that the node breaks.
    pub(super) fn first(&mut self, parts: &mut Parts, from: u32, code: u32) -> Result<u32, Violation> {
        if self.tried.len() <= from as usize {
            self.tried.resize(from as usize + 1, Vec::new());
        }
        if let Some((_, place)) = self.tried[from as usize].iter().find(|(tried, _)| *tried == code) {
            return Ok(*place);
        }
        let event = event(parts, code);
        let mut all = vec![after(parts.local(from), &event)?];
        if all[0].1.chose {
            for place in 1..parts.renamings.len() {
                let name = |node: NodeId| parts.renamings.name(place, node);
                let renamed = after(&parts.local(from).renamed(&name), &event.renamed(&name))?;
                all.push(renamed_back(&renamed, &|name| parts.renamings.named(place, name)));
            }
        }
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (local, output) in &all {
            let outcome = Outcome {
                to: parts.local_number(local),
                sent: output.sent.iter().map(|envelope| parts.message_number(envelope)).collect(),
                elected: output.elected,
                decided: output.decided.as_ref().map(|members| parts.membership_number(members)),
                has_more: true,
            };
            let is_known = |other: &Outcome| other.to == outcome.to && other.sent == outcome.sent;
            if !outcomes.iter().any(is_known) {
                outcomes.push(outcome);
            }
        }
        outcomes.last_mut().expect("something comes of it").has_more = false;
        let place = u32::try_from(self.outcomes.len()).expect("the number of outcomes fits 32 bits");
        self.outcomes.append(&mut outcomes);
        self.tried[from as usize].push((code, place));
        Ok(place)
    }

    /// What came of it.
    pub(super) fn get(&self, place: u32) -> &Outcome {
        &self.outcomes[place as usize]
    }

    /// An estimate of the memory of all of it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.outcomes.len() * (size_of::<Outcome>() + OUTCOME_HEAP_BYTES)
    }
}

/// Which node an action moves, and the code of the event that it is to that node.
pub(super) fn code(parts: &Parts, state: &State, action: Action) -> (usize, u32) {
    match action {
        Action::Deliver(message) => (parts.address(message).to, DELIVER | u32::from(message)),
        Action::Persist(node) => (node, PERSIST),
        Action::Campaign(node) => (node, CAMPAIGN),
        Action::Propose(node) => (node, PROPOSE | u32::from(state.left.proposals)),
        Action::Heartbeat(node) => (node, HEARTBEAT),
        Action::Silence(node) => (node, SILENCE),
        Action::Crash(node) => (node, CRASH),
        Action::CrashInInstall(node) => (node, CRASH_IN_INSTALL),
        Action::Snapshot(node) => (node, SNAPSHOT),
        Action::Compact(node) => (node, COMPACT),
        Action::Install(node, snapshot) => (node, INSTALL | u32::from(snapshot)),
        Action::Transfer(node, to) => (node, TRANSFER | u32::try_from(to + 1).expect("there are few nodes")),
        Action::GiveUp(node) => (node, GIVE_UP),
        Action::Change(node, wish) => (node, CHANGE | wish.code()),
    }
}

/// The event that a code stands for.
pub(super) fn event(parts: &Parts, code: u32) -> Event {
    let argument = code & ARGUMENT;
    match code & !ARGUMENT {
        DELIVER => Event::Deliver(parts.message(narrow(argument)).clone()),
        PERSIST => Event::Persist,
        CAMPAIGN => Event::Campaign,
        PROPOSE => Event::Propose(u8::try_from(argument).expect("a budget is a byte")),
        HEARTBEAT => Event::Heartbeat,
        SILENCE => Event::Silence,
        CRASH => Event::Crash,
        CRASH_IN_INSTALL => Event::CrashInInstall,
        SNAPSHOT => Event::Snapshot,
        COMPACT => Event::Compact,
        INSTALL => Event::Install(parts.snapshot(narrow(argument)).clone()),
        TRANSFER => Event::Transfer(NodeId::new(u64::from(argument))),
        GIVE_UP => Event::GiveUp,
        CHANGE => Event::Change(Wish::of_code(argument)),
        _ => unreachable!("no other codes are made"),
    }
}

fn after(local: &Local, event: &Event) -> Result<(Local, Output), Violation> {
    local.after(event).map_err(|panic| Violation::safety("a node's own invariants", panic))
}

/// What came of an event under other names, under those that the nodes have.
fn renamed_back((local, output): &(Local, Output), name: Name<'_>) -> (Local, Output) {
    let mut output = output.clone();
    output.sent.iter_mut().for_each(|envelope| *envelope = envelope.renamed(name));
    output.decided = output.decided.map(|members| Arc::new(members.renamed(name)));
    (local.renamed(name), output)
}

fn narrow(argument: u32) -> u16 {
    u16::try_from(argument).expect("an argument has 16 bits")
}

const ARGUMENT: u32 = 0xffff;
const DELIVER: u32 = 0;
const PERSIST: u32 = 1 << 16;
const CAMPAIGN: u32 = 2 << 16;
const PROPOSE: u32 = 3 << 16;
const HEARTBEAT: u32 = 4 << 16;
const SILENCE: u32 = 5 << 16;
const CRASH: u32 = 6 << 16;
const CRASH_IN_INSTALL: u32 = 7 << 16;
const SNAPSHOT: u32 = 8 << 16;
const COMPACT: u32 = 9 << 16;
const INSTALL: u32 = 10 << 16;
const TRANSFER: u32 = 11 << 16;
const GIVE_UP: u32 = 12 << 16;
const CHANGE: u32 = 13 << 16;
/// The messages of an outcome and its place in the list of what was tried.
const OUTCOME_HEAP_BYTES: usize = 24;
