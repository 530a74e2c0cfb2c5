//! The explorer's own promises: it sees every state of a small cluster, always the same ones, misses nothing by what it does not
//! tell apart, and keeps its limits.

use std::collections::BTreeSet;

use bytes::BytesMut;
use quorate_core::message::Envelope;
use quorate_core::types::NodeId;
use quorate_sim::explore::fingerprint::{Fingerprints, Insert, fingerprint};
use quorate_sim::explore::local::{Local, Output, World};
use quorate_sim::explore::model::{Action, Bounds, Reductions};
use quorate_sim::explore::search::{Ended, Found, Limits, Search};
use quorate_sim::explore::start::Start;
use quorate_sim::explore::state::{Budgets, State};

const LIMITS: Limits = Limits { states_max: 1_000_000, bytes_max: 1 << 28 };

fn bounds(nodes: u8, terms: u8, proposals: u8, crashes: u8) -> Bounds {
    let budgets = Budgets { proposals, crashes, ..Budgets::default() };
    let world = World { nodes, messages_stay: false, one_entry: false, donation: false };
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

/// Figure 8 of the paper on Raft: the first leader leads again and may bring its old entry to a majority, and then the other one
/// may win. What was committed stays nevertheless.
fn at_figure_8() -> Bounds {
    let budgets = Budgets { campaigns: Some(1), ..Budgets::default() };
    let world = World { nodes: 5, messages_stay: false, one_entry: true, donation: false };
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
        if model.follow(state, Action::Deliver(*message), &mut next) == Ok(true) {
            model.forget_dead(&mut next);
            assert!(next == without, "a dead message does something: {:?}", model.message(*message));
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

/// Names mean nothing: whatever a node does, it does under other names as well.
#[test]
fn nodes_with_other_names_do_the_same_under_these_names() {
    let mut search = Search::new(bounds(3, 2, 1, 1), Limits { states_max: 20_000, ..LIMITS });
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
            let local = model.local(state.nodes[node]);
            let next = |node: NodeId| NodeId::new(node.get() % 3 + 1);
            let swapped = |node: NodeId| NodeId::new([2, 1, 3][usize::try_from(node.get()).unwrap() - 1]);
            for name in [&next as &dyn Fn(NodeId) -> NodeId, &swapped] {
                let (after, output) = local.after(&event).unwrap();
                let (other, other_output) = local.renamed(name).after(&event.renamed(name)).unwrap();
                assert!(form(&after.renamed(name)) == form(&other), "{event:?} at {}", local.line());
                assert_eq!(sent(&output, name), sent(&other_output, &|node| node), "{event:?}");
            }
        }
    }
    assert!(tried.len() > 500, "only {} steps were compared", tried.len());
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

    use super::{LIMITS, at_figure_8, bounds, staying};

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
}
