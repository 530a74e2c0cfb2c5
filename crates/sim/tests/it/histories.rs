//! The judge of histories: it agrees with trying every order, knows the textbook cases, and keeps its deadline.

use quorate_sim::check::linearizable::brute;
use quorate_sim::check::linearizable::history::{Answer, Call, History, Kind, Object};
use quorate_sim::check::linearizable::random::{self, Shape};
use quorate_sim::check::linearizable::search::{Verdict, judge};
use quorate_sim::rng::Rng;

const STEPS_MAX: u64 = 1_000_000;

/// Plays a script on one object, a word for each event: `1:W5` process 1 writes 5, `A` appends, `+` adds, `R` reads,
/// `1=5` process 1 is answered 5, `1=ok`, `1=no` it is refused, `1?` it gives up. Both judges must say `linearizable`.
fn check(kind: Kind, script: &str, linearizable: bool) {
    let mut history = History::default();
    let object = Object { kind, number: 1 };
    for word in script.split_whitespace() {
        let process: u64 = word[..1].parse().expect("a word begins with its process");
        let rest = &word[2..];
        match (&word[1..2], rest.get(..1), rest) {
            ("?", ..) => history.give_up(process),
            ("=", _, "ok") => history.answer(process, Answer::Done),
            ("=", _, "no") => history.answer(process, Answer::Refused),
            ("=", ..) => history.answer(process, Answer::Number(rest.parse().expect("a number"))),
            (_, Some("W"), _) => {
                history.call(process, object, Call::Write(rest[1..].parse().expect("a number")))
            }
            (_, Some("A"), _) => {
                history.call(process, object, Call::Append(rest[1..].parse().expect("a number")))
            }
            (_, Some("+"), _) => {
                history.call(process, object, Call::Add(rest[1..].parse().expect("a number")))
            }
            (_, Some("R"), _) => history.call(process, object, Call::Read),
            _ => panic!("no such word: {word}"),
        }
    }
    let verdict = judge(&history, STEPS_MAX).0;
    assert_eq!(verdict == Verdict::Linearizable, linearizable, "{script}: {verdict:?}");
    assert_eq!(brute::is_linearizable(&history), linearizable, "{script}, every order tried");
}

#[test]
fn a_read_shows_the_last_write_that_was_answered_before_it() {
    check(Kind::Register, "1:W5 1=ok 2:R 2=5", true);
    check(Kind::Register, "1:W5 1=ok 2:R 2=0", false);
    check(Kind::Register, "1:W5 2:R 2=0 1=ok", true);
}

#[test]
fn what_one_read_has_shown_no_later_read_takes_back() {
    check(Kind::Register, "1:W5 2:R 2=5 3:R 3=0 1=ok", false);
    check(Kind::Register, "1:W5 2:R 3:R 2=5 3=0 1=ok", true);
}

#[test]
fn an_unknown_write_may_show_at_any_later_time_or_never_but_not_come_and_go() {
    check(Kind::Register, "1:W5 1? 2:R 2=0 2:R 2=0", true);
    check(Kind::Register, "1:W5 1? 2:R 2=0 2:R 2=5", true);
    check(Kind::Register, "1:W5 1? 2:R 2=5 2:R 2=0", false);
    check(Kind::Register, "2:R 2=5 1:W5 1?", false);
}

#[test]
fn a_refused_write_must_never_show() {
    check(Kind::Register, "1:W5 1=no 2:R 2=0", true);
    check(Kind::Register, "1:W5 1=no 2:R 2=5", false);
}

#[test]
fn a_repeated_addition_shows() {
    check(Kind::Counter, "1:+1 1=1 2:+1 2=2", true);
    check(Kind::Counter, "1:+1 1=ok 2:R 2=2", false);
    check(Kind::Counter, "1:+1 1? 2:+1 2? 3:R 3=2", true);
    check(Kind::Counter, "1:+1 1? 2:+1 2? 3:R 3=3", false);
}

#[test]
fn two_appends_never_share_a_place() {
    check(Kind::List, "1:A7 2:A8 1=0 2=1", true);
    check(Kind::List, "1:A7 2:A8 1=0 2=0", false);
    check(Kind::List, "1:A7 1=1 2:A8 2=0", false);
}

#[test]
fn the_search_agrees_with_trying_every_order_on_ten_thousand_small_histories() {
    let mut rng = Rng::stream(1, "small histories");
    let (mut good, mut bad) = (0, 0);
    for number in 0..10_000 {
        let shape = Shape {
            operations: rng.between(2, 7),
            clients: rng.between(2, 5),
            objects: rng.between(1, 4),
            unknown_per_mille: 150,
            refused_per_mille: 50,
        };
        let mut history = random::honest(&mut rng, shape);
        let forged = number % 3 != 0 && random::forge(&mut rng, &mut history);
        let verdict = judge(&history, STEPS_MAX).0;
        let linearizable = brute::is_linearizable(&history);
        assert_eq!(
            verdict == Verdict::Linearizable,
            linearizable,
            "history {number}: {verdict:?}: {:#?}",
            history.operations()
        );
        assert!(linearizable || forged, "an honest history is linearizable: {:#?}", history.operations());
        *(if linearizable { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > 3_000 && bad > 3_000, "both kinds are among them: {good} good, {bad} bad");
}

#[test]
fn a_large_honest_history_is_linearizable_and_a_forged_one_is_not() {
    let shape =
        Shape { operations: 2_000, clients: 20, objects: 10, unknown_per_mille: 10, refused_per_mille: 10 };
    for seed in 0..5 {
        let mut rng = Rng::stream(seed, "large histories");
        let history = random::honest(&mut rng, shape);
        assert_eq!(judge(&history, STEPS_MAX).0, Verdict::Linearizable, "seed {seed}");
        let mut forged = history;
        for _ in 0..5 {
            random::forge(&mut rng, &mut forged);
        }
        let verdict = judge(&forged, STEPS_MAX).0;
        assert!(matches!(verdict, Verdict::Broken { .. }), "seed {seed}: {verdict:?}");
    }
}

#[test]
fn the_deadline_ends_a_hard_search_without_a_verdict() {
    // Twenty additions that nobody saw, all of different amounts, and a sum that none of their 2^20 subsets gives.
    let mut history = History::default();
    let object = Object { kind: Kind::Counter, number: 1 };
    for process in 0..20 {
        history.call(process, object, Call::Add(2 << process));
        history.give_up(process);
    }
    history.call(20, object, Call::Read);
    history.answer(20, Answer::Number(1));
    let (verdict, effort) = judge(&history, 10_000);
    assert_eq!(verdict, Verdict::Undecided { object });
    assert!(effort.steps <= 10_100, "{effort:?}");
}
