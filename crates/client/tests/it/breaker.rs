//! The circuit breaker, with time given by the test.

use std::time::Duration;

use quorate_client::{Breaker, BreakerPolicy};

/// Runs a script of steps against a breaker that opens after two failures for 100 ms, at most 300 ms:
/// `ok`, `fail`, `enter` and `refused` at the time before them in milliseconds. The state is told after each step.
fn check(script: &str, expected: &str) {
    let policy = BreakerPolicy {
        failures_max: 2,
        open_time_base: Duration::from_millis(100),
        open_time_max: Duration::from_millis(300),
    };
    let mut breaker = Breaker::new(policy);
    let mut told = Vec::new();
    for step in script.split_whitespace() {
        let (at, what) = step.split_once(':').expect("a step is TIME:WHAT");
        let now = Duration::from_millis(at.parse().expect("a time is a number"));
        match what {
            "ok" => breaker.on_success(),
            "fail" => breaker.on_failure(now),
            "enter" => assert!(breaker.enter(now), "{step} should be let through"),
            "refused" => assert!(!breaker.enter(now), "{step} should be refused"),
            _ => panic!("unknown step {step}"),
        }
        told.push(format!("{:?}", breaker.state()));
    }
    assert_eq!(told.join(" "), expected, "{script}");
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_does_not() {
    check("0:enter 1:fail 2:ok 3:fail 4:fail", "Closed Closed Closed Closed Open");
}

#[test]
fn open_lets_nothing_through_until_its_time_is_over_then_one_probe() {
    check("0:fail 0:fail 99:refused 100:enter 101:refused", "Closed Open Open HalfOpen HalfOpen");
}

#[test]
fn a_probe_that_comes_back_closes_it() {
    check("0:fail 0:fail 100:enter 110:ok 111:enter", "Closed Open HalfOpen Closed Closed");
}

#[test]
fn each_failed_probe_doubles_the_opening_up_to_the_limit() {
    check(
        "0:fail 0:fail 100:enter 100:fail 299:refused 300:enter 300:fail 599:refused 600:enter",
        "Closed Open HalfOpen Open Open HalfOpen Open Open HalfOpen",
    );
}

#[test]
fn a_probe_that_never_reports_is_given_up() {
    check("0:fail 0:fail 100:enter 199:refused 200:enter", "Closed Open HalfOpen HalfOpen HalfOpen");
}

#[test]
fn a_late_failure_does_not_lengthen_an_opening() {
    check("0:fail 0:fail 90:fail 100:enter", "Closed Open Open HalfOpen");
}
