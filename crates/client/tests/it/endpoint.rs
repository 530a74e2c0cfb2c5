//! How endpoints are written, and which one is asked.

use std::time::Duration;

use quorate_client::{BreakerPolicy, Endpoint, Endpoints};

#[test]
fn endpoints_are_read_with_and_without_scheme_and_port() {
    let table = [
        ("http://127.0.0.1:7480", "127.0.0.1:7480"),
        ("127.0.0.1:9", "127.0.0.1:9"),
        ("node-1.example", "node-1.example:7480"),
        ("http://node-1.example/", "node-1.example:7480"),
        ("[::1]:80", "[::1]:80"),
        ("[::1]", "[::1]:7480"),
    ];
    for (text, authority) in table {
        assert_eq!(
            Endpoint::parse(text).map(|endpoint| endpoint.authority().to_owned()).ok(),
            Some(authority.to_owned())
        );
    }
}

#[test]
fn what_is_no_endpoint_is_refused_with_the_reason() {
    let table = [
        ("https://a:1", "TLS is not supported"),
        ("", "the host is missing"),
        ("ftp://a", "only http://"),
        ("a:70000", "no port"),
        ("a:x", "no port"),
        ("http://a/path", "`/path` is not part"),
        ("user@a", "`@a` is not part"),
    ];
    for (text, why) in table {
        let error = Endpoint::parse(text).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(Endpoint::parse_list(" , ").is_err(), "an empty list is an error");
}

/// Three endpoints, a breaker that opens at the first failure for a second; the steps are `a`, `b`, `c` (that one is chosen),
/// `fail:a`, `leader:b`, `refuse:b`.
fn check(script: &str) {
    let policy = BreakerPolicy {
        failures_max: 1,
        open_time_base: Duration::from_secs(1),
        open_time_max: Duration::from_secs(1),
    };
    let list = Endpoint::parse_list("a:1,b:1,c:1").expect("three endpoints");
    let mut endpoints = Endpoints::new(list, &policy).expect("not empty");
    let position = |name: &str| ["a", "b", "c"].iter().position(|known| *known == name).expect("a, b or c");
    for step in script.split_whitespace() {
        match step.split_once(':') {
            None => {
                let chosen = endpoints.choose(Duration::ZERO, &[]);
                let name = chosen.map_or("-", |at| ["a", "b", "c"][at]);
                assert_eq!(name, step, "in {script}");
            }
            Some(("fail", name)) => endpoints.on_failure(position(name), Duration::ZERO),
            Some(("refuse", name)) => endpoints.on_refusal(position(name)),
            Some(("leader", name)) => endpoints.on_leader_hint(&format!("{name}:1")),
            Some(_) => panic!("unknown step {step}"),
        }
    }
}

#[test]
fn without_a_leader_they_are_asked_in_turn() {
    check("a b c a");
}

#[test]
fn a_dead_one_is_left_out_and_all_dead_is_nobody() {
    check("fail:b a c a fail:a c c fail:c -");
}

#[test]
fn the_leader_is_preferred_until_it_fails_or_refuses() {
    check("leader:b b b fail:b a c a leader:c c refuse:c c a");
}

#[test]
fn a_hint_outside_the_list_is_not_followed() {
    check("leader:x a b c");
}
