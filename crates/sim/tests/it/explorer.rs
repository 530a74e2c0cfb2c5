//! The explorer's own promises: it sees every state of a small cluster, always the same ones, misses nothing by what it does not
//! tell apart, and keeps its limits.

use std::collections::BTreeSet;

use bytes::BytesMut;
use quorate_core::message::Envelope;
use quorate_core::types::NodeId;
use quorate_sim::explore::action::{Action, Step};
use quorate_sim::explore::fingerprint::{Fingerprints, Insert, fingerprint};
use quorate_sim::explore::local::{Local, Output};
use quorate_sim::explore::model::{Bounds, Reductions};
use quorate_sim::explore::search::{Ended, Found, Limits, Search};
use quorate_sim::explore::start::Start;
use quorate_sim::explore::state::{Budgets, State};
use quorate_sim::explore::world::{Changes, World};

const LIMITS: Limits = Limits { states_max: 1_000_000, bytes_max: 1 << 28 };

fn bounds(nodes: u8, terms: u8, proposals: u8, crashes: u8) -> Bounds {
    let budgets = Budgets { proposals, crashes, ..Budgets::default() };
    let world = World::of_voters(nodes);
    Bounds { world, start: Start::Empty, terms, budgets, reductions: Reductions::ALL }
}

fn staying(bounds: Bounds) -> Bounds {
    Bounds { world: World { messages_stay: true, ..bounds.world }, ..bounds }
}

fn explore(bounds: Bounds) -> Found {
    Search::new(bounds, LIMITS).run()
}

/// The numbers are exact. When a change of the core moves them, that is a change of what the protocol can do: explain it.
#[test]
fn every_state_of_a_small_cluster_keeps_all_rules() {
    let single = bounds(1, 3, 2, 2);
    let single = Bounds { budgets: Budgets { heartbeats: 1, ..single.budgets }, ..single };
    for (bounds, states, depth) in
        [(bounds(3, 1, 1, 1), 8_193, 23), (staying(bounds(3, 1, 1, 1)), 7_379, 24), (single, 804, 16)]
    {
        let found = explore(bounds);
        assert_eq!((found.ended, found.states, found.depth), (Ended::Complete, states, depth), "{bounds:?}");
    }
}

/// A cluster that is led already, and these may happen.
fn led(nodes: u8, terms: u8, budgets: Budgets) -> Bounds {
    Bounds { start: Start::Led, budgets, ..bounds(nodes, terms, 0, 0) }
}

fn changing(bounds: Bounds, spares: u8, changes: Changes) -> Bounds {
    Bounds { world: World { spares, changes, ..bounds.world }, ..bounds }
}

const ONE_CHANGE: Budgets = Budgets { changes: 1, ..NOTHING };
const ONE_TRANSFER: Budgets = Budgets { transfers: 1, ..NOTHING };
const ONE_SNAPSHOT: Budgets = Budgets { proposals: 1, snapshots: 1, installs: 1, ..NOTHING };
const NOTHING: Budgets = Budgets {
    proposals: 0,
    crashes: 0,
    heartbeats: 0,
    silences: 0,
    campaigns: None,
    snapshots: 0,
    installs: 0,
    transfers: 0,
    changes: 0,
};
const REMOVE: Changes = Changes { remove: true, ..Changes::NONE };
const VOTER: Changes = Changes { voter: true, ..Changes::NONE };
const REPLACE: Changes = Changes { replace: true, ..Changes::NONE };
const LEARNER: Changes = Changes { learner: true, promote: true, ..Changes::NONE };

/// Snapshots, transfers and changes of members, each alone (thesis 5, 3.10, 4). The numbers are exact, as above.
#[test]
fn every_state_with_snapshots_transfers_or_changes_keeps_all_rules() {
    let once = |budgets| Budgets { campaigns: Some(1), ..budgets };
    // A snapshot that covers a change, in a log that still holds what was before.
    let taken = Budgets { crashes: 1, snapshots: 1, installs: 1, ..ONE_CHANGE };
    let broken_off = Budgets { crashes: 1, ..ONE_SNAPSHOT };
    for (bounds, states, depth) in [
        (led(3, 1, broken_off), 1_017, 12),
        (led(3, 2, once(ONE_TRANSFER)), 645, 15),
        (led(3, 2, Budgets { crashes: 1, ..once(ONE_TRANSFER) }), 3_576, 16),
        (changing(led(3, 2, once(ONE_CHANGE)), 0, REMOVE), 12_910, 31),
        (changing(led(3, 1, ONE_CHANGE), 1, VOTER), 28_321, 38),
        (changing(led(2, 1, ONE_CHANGE), 1, REPLACE), 295, 25),
        (changing(led(2, 1, Budgets { changes: 2, ..ONE_CHANGE }), 1, LEARNER), 639, 32),
        (changing(led(2, 1, taken), 0, REMOVE), 1_269, 13),
    ] {
        let found = explore(bounds);
        assert_eq!((found.ended, found.states, found.depth), (Ended::Complete, states, depth), "{bounds:?}");
    }
}

/// Figure 8 of the paper on Raft: the first leader leads again and may bring its old entry to a majority, and then the other one
/// may win. What was committed stays nevertheless.
fn at_figure_8() -> Bounds {
    let budgets = Budgets { campaigns: Some(1), ..Budgets::default() };
    let world = World { one_entry: true, ..World::of_voters(5) };
    Bounds { world, start: Start::Figure8, terms: 4, budgets, reductions: Reductions::ALL }
}

#[test]
fn an_entry_of_an_older_term_on_a_majority_may_be_replaced_and_is_not_committed() {
    let found = explore(at_figure_8());
    assert_eq!((found.ended, found.states, found.depth), (Ended::Complete, 39_460, 40));
}

/// All states of a search that tells everything apart are brought into the form that a search with all reductions keeps.
/// Both must have seen the same ones.
fn check_nothing_is_missed(bounds: Bounds) {
    let mut whole = Search::new(Bounds { reductions: Reductions::NONE, ..bounds }, LIMITS);
    let (mut states, mut all) = (Vec::new(), BTreeSet::new());
    let found = whole.run_with(&mut |model, state| {
        all.insert(model.reduced_fingerprint(state));
        states.push(state.clone());
    });
    assert_eq!(found.ended, Ended::Complete);
    let mut kept = BTreeSet::new();
    let found = Search::new(bounds, LIMITS).run_with(&mut |model, state| {
        kept.insert(model.fingerprint(state));
    });
    assert_eq!((found.ended, found.states), (Ended::Complete, kept.len() as u64));
    assert!(
        all == kept,
        "{bounds:?}: {} states are {}, but {} are seen",
        states.len(),
        all.len(),
        kept.len()
    );
    states.iter().for_each(|state| check_dead_messages_do_nothing(&mut whole, state));
}

/// A message that is called dead may come: the state after it is one with the state before it.
fn check_dead_messages_do_nothing(search: &mut Search, state: &State) {
    let model = search.model();
    let mut without = state.clone();
    model.forget_dead(&mut without);
    let dead = state.messages.iter().filter(|message| without.messages.binary_search(message).is_err());
    for message in dead {
        let mut next = State::default();
        let step = Step { action: Action::Deliver(*message), choice: 0 };
        if model.follow(state, step, &mut next) == Ok(Some(false)) {
            model.forget_dead(&mut next);
            assert!(next == without, "a dead message does something: {:?}", model.parts().message(*message));
        }
    }
}

#[test]
fn what_is_not_told_apart_hides_no_state() {
    check_nothing_is_missed(bounds(3, 1, 0, 1));
    check_nothing_is_missed(bounds(2, 2, 1, 1));
    check_nothing_is_missed(staying(bounds(2, 2, 1, 1)));
    check_nothing_is_missed(staying(bounds(3, 1, 0, 1)));
    let budgets = Budgets { proposals: 1, heartbeats: 1, silences: 1, ..Budgets::default() };
    check_nothing_is_missed(Bounds { budgets, ..bounds(2, 2, 0, 0) });
}

/// Who was added has an id that means something, and a leader that goes chooses by name: neither hides a state.
#[test]
fn what_is_not_told_apart_hides_no_state_of_changing_members() {
    let once = |budgets| Budgets { campaigns: Some(1), ..budgets };
    check_nothing_is_missed(led(2, 2, Budgets { crashes: 1, ..once(ONE_SNAPSHOT) }));
    check_nothing_is_missed(led(3, 2, once(ONE_TRANSFER)));
    check_nothing_is_missed(changing(led(3, 1, ONE_CHANGE), 0, REMOVE));
    check_nothing_is_missed(changing(led(3, 2, once(ONE_CHANGE)), 0, REMOVE));
    // The word to one of two, of whom one has crashed, stays in flight: nobody may stand.
    let unheard = Budgets { crashes: 1, campaigns: Some(0), ..ONE_CHANGE };
    check_nothing_is_missed(changing(led(3, 2, unheard), 0, REMOVE));
    check_nothing_is_missed(changing(led(2, 1, ONE_CHANGE), 1, VOTER));
    check_nothing_is_missed(changing(led(2, 1, ONE_CHANGE), 1, REPLACE));
    let taken = Budgets { crashes: 1, snapshots: 1, installs: 1, ..ONE_CHANGE };
    check_nothing_is_missed(changing(led(2, 1, taken), 0, REMOVE));
}

/// Names mean nothing: whatever a node does, it does under other names as well. But where it chooses one of several by its name.
#[test]
fn nodes_with_other_names_do_the_same_under_these_names() {
    check_names(bounds(3, 2, 1, 1), 500);
    check_names(led(3, 2, Budgets { crashes: 1, ..ONE_SNAPSHOT }), 500);
    check_names(changing(led(3, 2, Budgets { transfers: 1, ..ONE_CHANGE }), 0, REMOVE), 500);
    check_names(changing(led(3, 2, ONE_CHANGE), 1, REPLACE), 500);
}

fn check_names(bounds: Bounds, steps: usize) {
    let mut search = Search::new(bounds, Limits { states_max: 20_000, ..LIMITS });
    let mut states = Vec::new();
    search.run_with(&mut |_, state| states.push(state.clone()));
    let model = search.model();
    let (mut actions, mut tried) = (Vec::new(), BTreeSet::new());
    for state in &states {
        model.actions(state, &mut actions);
        for action in &actions {
            let (node, event) = model.event_of(state, *action);
            if !tried.insert((state.nodes[node], format!("{event:?}"))) {
                continue;
            }
            let local = model.parts().local(state.nodes[node]);
            let of = |names: [u64; 3], node: NodeId| {
                let place = usize::try_from(node.get()).expect("ids are small here") - 1;
                names.get(place).map_or(node, |name| NodeId::new(*name))
            };
            for name in
                [&|node| of([2, 3, 1], node), &|node| of([2, 1, 3], node)] as [&dyn Fn(NodeId) -> NodeId; 2]
            {
                let (after, output) = local.after(&event).expect("no rule is broken");
                if output.chose {
                    continue;
                }
                let (other, other_output) =
                    local.renamed(name).after(&event.renamed(name)).expect("no rule is broken");
                assert!(form(&after.renamed(name)) == form(&other), "{event:?} at {}", local.line());
                assert_eq!(sent(&output, name), sent(&other_output, &|node| node), "{event:?}");
            }
        }
    }
    assert!(tried.len() > steps, "only {} steps were compared", tried.len());
}

fn form(local: &Local) -> BytesMut {
    let mut form = BytesMut::new();
    local.encode(&mut form);
    form
}

fn sent(output: &Output, name: &dyn Fn(NodeId) -> NodeId) -> BTreeSet<Vec<u8>> {
    let form = |envelope: &Envelope| {
        let mut form = BytesMut::new();
        envelope.renamed(name).encode(&mut form);
        form.to_vec()
    };
    output.sent.iter().map(form).collect()
}

#[test]
fn a_search_ends_at_its_limits_and_says_so() {
    let found = Search::new(bounds(3, 2, 1, 1), Limits { states_max: 1_000, ..LIMITS }).run();
    assert_eq!(found.ended, Ended::Limit("states"));
    assert!((1_000..1_100).contains(&found.states), "{}", found.states);

    let found = Search::new(bounds(3, 2, 1, 1), Limits { bytes_max: 1 << 18, ..LIMITS }).run();
    assert_eq!(found.ended, Ended::Limit("memory"));
}

#[test]
fn a_table_of_fingerprints_knows_what_it_has_seen_and_keeps_its_bound() {
    const LEN_MAX: u64 = 20_000;
    let mut table = Fingerprints::new(LEN_MAX, 1 << 20);
    let numbers = |from: u64| (from..).map(|number| fingerprint(&number.to_le_bytes()));
    let new = numbers(0).take_while(|number| table.insert(*number) == Insert::New).count() as u64;
    assert!((LEN_MAX - 200..=LEN_MAX).contains(&new), "{new} fingerprints");
    assert_eq!(table.insert(numbers(new).next().unwrap()), Insert::Full);
    for number in numbers(0).take(usize::try_from(new).unwrap()) {
        assert_eq!(table.insert(number), Insert::Known);
    }
    let small = Fingerprints::new(LEN_MAX, 1 << 16);
    assert!(small.bytes() <= 1 << 16, "{} bytes", small.bytes());
    // Zero marks what is free and is a fingerprint like any other.
    let mut table = Fingerprints::new(LEN_MAX, 1 << 20);
    assert_eq!([table.insert(0), table.insert(0)], [Insert::New, Insert::Known]);
}

#[cfg(feature = "planted")]
mod planted {
    use quorate_core::planted::{Bug, plant};
    use quorate_sim::explore::model::{Bounds, Reductions};
    use quorate_sim::explore::search::{Ended, Search};
    use quorate_sim::explore::state::Budgets;
    use quorate_sim::explore::world::Changes;

    use super::{LEARNER, LIMITS, ONE_CHANGE, ONE_SNAPSHOT, REMOVE, VOTER};
    use super::{at_figure_8, bounds, changing, led, staying};

    /// With and without reductions, by the same rule and after as many steps.
    fn check(bug: Bug, bounds: Bounds, rule: &str) {
        let found = [Reductions::ALL, Reductions::NONE].map(|reductions| {
            plant(Some(bug));
            let found = Search::new(Bounds { reductions, ..bounds }, LIMITS).run();
            plant(None);
            match found.ended {
                Ended::Broken(violation, path) => {
                    assert!(violation.to_string().contains(rule), "{violation}");
                    path.len()
                }
                Ended::Complete | Ended::Limit(_) => panic!("{bug:?} was not found: {:?}", found.ended),
            }
        });
        assert_eq!(found[0], found[1], "{bug:?}: the shortest path is as long");
    }

    #[test]
    fn a_planted_bug_is_found_by_the_rule_that_it_breaks() {
        check(Bug::VoteNotPersisted, bounds(3, 1, 0, 1), "one leader in a term");
        check(Bug::VoteErasedOnStepDown, bounds(3, 2, 0, 0), "a vote within a term never changes");
        check(Bug::OldTermCommittedByCount, bounds(3, 2, 0, 0), "only what is of its own term");
        check(Bug::PromiseBeforeFsync, bounds(3, 1, 0, 0), "durable on a quorum");
        check(Bug::OldTermCommittedByCount, at_figure_8(), "only what is of its own term");
        let late = staying(bounds(3, 1, 1, 0));
        let once = Budgets { campaigns: Some(1), ..late.budgets };
        check(Bug::StaleAppendShortensLog, Bounds { budgets: once, ..late }, "a log is cut only where");
        check(Bug::OwnEntriesCountedUnsynced, staying(bounds(3, 1, 0, 0)), "durable on a quorum");
    }

    /// Known mistakes of changes of members (T1 is one of them), and an old snapshot that is installed.
    #[test]
    fn a_planted_bug_of_members_or_snapshots_is_found() {
        let in_force = "durable on a quorum of the members in force";
        let removal = |terms, budgets| changing(led(3, terms, budgets), 0, REMOVE);
        check(Bug::MembershipUsedWhenCommitted, removal(1, ONE_CHANGE), in_force);
        let crash = Budgets { crashes: 1, ..ONE_CHANGE };
        check(Bug::MembershipLostOnRestart, removal(2, crash), "every membership entry is noted");
        check(Bug::ChangeBeforeOwnCommit, removal(2, ONE_CHANGE), "before an entry of the own term");
        check(Bug::RemovedNodeCounted, removal(1, ONE_CHANGE), in_force);
        let addition = |changes: Changes| changing(led(2, 1, ONE_CHANGE), 1, changes);
        check(Bug::LearnerCounted, addition(LEARNER), in_force);
        check(Bug::OldVotersNotAsked, addition(VOTER), in_force);
        check(Bug::OldSnapshotInstalled, led(3, 1, ONE_SNAPSHOT), "the log never begins earlier");
    }
}
