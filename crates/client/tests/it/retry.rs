//! When a call may be repeated, and after how long.

use std::time::Duration;

use quorate_api::problem::Fate;
use quorate_client::{Jitter, RetryPolicy, may_repeat};

#[test]
fn what_may_have_happened_is_repeated_only_when_a_second_time_is_no_second_effect() {
    let table = [
        (Fate::NotAccepted, false, true),
        (Fate::NotAccepted, true, true),
        (Fate::Unknown, false, false),
        (Fate::Unknown, true, true),
        (Fate::Applied, false, false),
        (Fate::Applied, true, false),
    ];
    for (fate, repeatable, expected) in table {
        assert_eq!(may_repeat(fate, repeatable), expected, "{fate:?}, repeatable: {repeatable}");
    }
}

#[test]
fn the_bound_of_the_delay_doubles_up_to_the_limit_and_never_wraps() {
    let policy = RetryPolicy {
        delay_base: Duration::from_millis(50),
        delay_max: Duration::from_millis(400),
        ..RetryPolicy::default()
    };
    let bounds = [1, 2, 3, 4, 5, u32::MAX].map(|rounds| policy.delay_bound(rounds).as_millis());
    assert_eq!(bounds, [50, 100, 200, 400, 400, 400]);
}

#[test]
fn jitter_stays_within_its_bound_and_fills_it() {
    let mut jitter = Jitter::seeded(7);
    let bound = Duration::from_millis(100);
    let drawn = (0..1000).map(|_| jitter.up_to(bound)).collect::<Vec<_>>();
    assert!(drawn.iter().all(|delay| *delay <= bound));
    assert!(drawn.iter().any(|delay| *delay < bound / 10), "no short delay in 1000");
    assert!(drawn.iter().any(|delay| *delay > bound / 10 * 9), "no long delay in 1000");
    assert_eq!(jitter.up_to(Duration::ZERO), Duration::ZERO);
}
