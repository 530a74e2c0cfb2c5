//! Calls against a server that fails as told: what is repeated, with which request id, and what the caller hears.

use std::net::SocketAddr;
use std::time::Duration;

use quorate_api::meaning::ProblemCode;
use quorate_api::outcome::Outcome;
use quorate_api::problem::{Fate, Problem};
use quorate_api::proposal::Propose;
use quorate_client::{
    Client, ClientConfig, ClientError, Endpoint, Failure, FailureKind, RequestId, RetryPolicy, WriteOptions,
};

use crate::fake::{Deed, Fake, deaf_port};

const COMMITTED: &str = r#"{"outcome":"committed","event":"start","from":"Init","to":"Running","revision":2,
    "version":1,"index":9,"term":1}"#;
const REJECTED: &str = r#"{"outcome":"rejected","code":"no_transition","detail":"no","state":"Init","allowed":["start"],
    "revision":1,"version":1,"index":9,"term":1}"#;

fn problem(code: &str, fate: &str) -> String {
    format!(r#"{{"code":"{code}","detail":"because","hint":"wait","fate":"{fate}"}}"#)
}

fn client(fakes: &[&Fake]) -> Client {
    client_of(&fakes.iter().map(|fake| fake.address).collect::<Vec<_>>())
}

fn client_of(addresses: &[SocketAddr]) -> Client {
    Client::new(config_of(addresses)).expect("endpoints are given")
}

/// For answers that come: a bound on a hang, not a measure of speed.
const BOUND: Duration = Duration::from_secs(180);
/// For silences that are waited out: no answer that comes takes as long, however busy the machine is.
const SILENCE: Duration = Duration::from_secs(3);

fn config_of(addresses: &[SocketAddr]) -> ClientConfig {
    let endpoints =
        addresses.iter().map(|address| Endpoint::parse(&address.to_string()).expect("an address"));
    let retry = RetryPolicy { attempts_max: 3, delay_base: Duration::ZERO, delay_max: Duration::ZERO };
    let mut config = ClientConfig { retry, ..ClientConfig::new(endpoints.collect()) };
    config.request_timeout = BOUND;
    config.answer_bytes_max = 1024;
    config
}

/// Proposes once, with a key or without, against a server that does these deeds. Returns the outcome in one word, and how many
/// requests arrived.
async fn check(deeds: Vec<Deed>, with_key: bool, expected: &str, requests: usize) {
    let told = format!("{deeds:?}, key: {with_key}");
    let silence = deeds.iter().any(|deed| matches!(deed, Deed::Silence));
    let fake = Fake::start(deeds).await;
    let request_timeout = if silence { SILENCE } else { BOUND };
    let client = Client::new(ClientConfig { request_timeout, ..config_of(&[fake.address]) });
    let client = client.expect("endpoints are given");
    let request_id = with_key.then(|| RequestId::Key("k1".to_owned()));
    let options = WriteOptions { request_id, ..WriteOptions::default() };
    let start = Propose { event: Some("start".to_owned()), ..Propose::default() };
    let result = client.propose("m", "a/ü", &start, &options).await;
    let word = match &result {
        Ok(answer) => match answer.outcome {
            Outcome::Committed(_) => "committed",
            Outcome::Ignored(_) => "ignored",
            Outcome::Rejected(_) => "rejected",
        },
        Err(ClientError::Invalid(_)) => "invalid",
        Err(ClientError::NotAccepted { .. }) => "not accepted",
        Err(ClientError::Unknown { .. }) => "unknown",
        Err(ClientError::Refused { .. }) => "refused",
        Err(ClientError::Malformed { .. }) => "malformed",
    };
    assert_eq!(word, expected, "{told}: {result:?}");
    let seen = fake.seen();
    assert_eq!(seen.len(), requests, "{told}: {seen:?}");
    for request in &seen {
        assert!(
            request.starts_with("POST /v1/machines/m/instances/a%2F%C3%BC/proposals HTTP/1.1"),
            "{request}"
        );
        assert_eq!(request.contains("idempotency-key: k1"), with_key, "{request}");
    }
}

fn says(status: u16, body: &str) -> Deed {
    Deed::Answer(status, body.to_owned())
}

#[tokio::test]
async fn an_outcome_is_an_answer_whether_yes_or_no() {
    check(vec![says(200, COMMITTED)], true, "committed", 1).await;
    check(vec![says(409, REJECTED)], true, "rejected", 1).await;
}

#[tokio::test]
async fn what_was_not_accepted_is_sent_again_even_without_a_request_id() {
    let busy = says(503, &problem("no_leader", "not_accepted"));
    check(vec![busy.clone(), busy, says(200, COMMITTED)], false, "committed", 3).await;
    let no_room = says(503, &problem("disk_full", "not_accepted"));
    check(vec![no_room, says(200, COMMITTED)], false, "committed", 2).await;
    let full = says(429, &problem("overloaded", "not_accepted"));
    check(vec![full, says(200, COMMITTED)], false, "committed", 2).await;
}

#[tokio::test]
async fn a_lost_answer_is_sent_again_only_with_the_same_request_id() {
    check(vec![Deed::HangUp, says(200, COMMITTED)], true, "committed", 2).await;
    check(vec![Deed::HangUp, says(200, COMMITTED)], false, "unknown", 1).await;
    tokio::join!(
        check(vec![Deed::Silence, says(200, COMMITTED)], true, "committed", 2),
        check(vec![Deed::Silence, says(200, COMMITTED)], false, "unknown", 1),
    );
    let late = says(504, &problem("timed_out", "unknown"));
    check(vec![late.clone(), says(200, COMMITTED)], true, "committed", 2).await;
    check(vec![late, says(200, COMMITTED)], false, "unknown", 1).await;
    let proxy = says(502, "bad gateway");
    check(vec![proxy, says(200, COMMITTED)], false, "unknown", 1).await;
}

#[tokio::test]
async fn unknown_stays_unknown_when_later_attempts_are_refused() {
    let busy = says(503, &problem("no_leader", "not_accepted"));
    check(vec![Deed::HangUp, busy.clone(), busy], true, "unknown", 3).await;
    check(vec![Deed::HangUp, says(400, &problem("malformed", "not_accepted"))], true, "unknown", 2).await;
}

#[tokio::test]
async fn a_final_no_is_not_repeated() {
    check(vec![says(400, &problem("malformed", "not_accepted"))], true, "refused", 1).await;
    check(vec![says(504, &problem("forgotten", "applied"))], true, "refused", 1).await;
    check(vec![says(501, &problem("not_supported", "not_accepted"))], true, "refused", 1).await;
}

/// Another attempt would change nothing, and the last failure would say "not accepted" of what was applied.
#[tokio::test]
async fn what_happened_is_told_as_applied_and_not_sent_again() {
    let applied = says(500, &problem("internal", "applied"));
    check(vec![applied.clone(), applied.clone()], true, "refused", 1).await;
    let fake = Fake::start(vec![Deed::HangUp, applied]).await;
    let options =
        WriteOptions { request_id: Some(RequestId::Key("k1".to_owned())), ..WriteOptions::default() };
    let start = Propose { event: Some("start".to_owned()), ..Propose::default() };
    let error = client(&[&fake]).propose("m", "a", &start, &options).await.expect_err("no answer comes");
    assert_eq!(error.fate(), Fate::Applied, "also after an attempt of unknown fate: {error:?}");
}

/// Each kind of failure of an attempt, and each error of a call: none leaves open what may have happened.
#[test]
fn every_failure_says_what_the_call_may_have_done() {
    let problem = |fate| Box::new(Problem { fate, ..Problem::new(ProblemCode::Internal, "d", "h") });
    let all = [Fate::NotAccepted, Fate::Unknown, Fate::Applied];
    let mut kinds = vec![
        (FailureKind::NoListener, Fate::NotAccepted),
        (FailureKind::Unreachable(String::new()), Fate::NotAccepted),
        (FailureKind::LeftAlone(String::new()), Fate::NotAccepted),
        (FailureKind::TimedOut(1), Fate::Unknown),
        (FailureKind::Broken(String::new()), Fate::Unknown),
        (FailureKind::AnswerTooLarge(1), Fate::Unknown),
        (FailureKind::Status(502), Fate::Unknown),
    ];
    kinds.extend(all.map(|fate| (FailureKind::Problem(500, problem(fate)), fate)));
    for (kind, expected) in kinds {
        // Whoever adds a kind must say here what it may have done.
        match &kind {
            FailureKind::NoListener
            | FailureKind::Unreachable(_)
            | FailureKind::LeftAlone(_)
            | FailureKind::TimedOut(_)
            | FailureKind::Broken(_)
            | FailureKind::AnswerTooLarge(_)
            | FailureKind::Status(_)
            | FailureKind::Problem(..) => {}
        }
        let failure = Failure { endpoint: "n:1".to_owned(), kind };
        assert_eq!(failure.fate(), expected, "{failure:?}");
        let of_call = [
            (ClientError::NotAccepted { attempts: 1, failure: failure.clone() }, Fate::NotAccepted),
            (ClientError::Unknown { attempts: 1, failure }, Fate::Unknown),
        ];
        for (error, expected) in of_call {
            assert_eq!(error.fate(), expected, "{error:?}");
        }
    }
    assert_eq!(ClientError::Invalid(String::new()).fate(), Fate::NotAccepted);
    for fate in all {
        let endpoint = "n:1".to_owned();
        let refused =
            ClientError::Refused { endpoint: endpoint.clone(), status: 500, problem: problem(fate) };
        let malformed = ClientError::Malformed { endpoint, detail: String::new(), fate };
        assert_eq!((refused.fate(), malformed.fate()), (fate, fate));
    }
}

#[tokio::test]
async fn an_answer_of_a_stranger_leaves_a_write_unknown_and_a_read_not() {
    let stranger = || vec![says(200, "<html>hello</html>")];
    let start = Propose { event: Some("start".to_owned()), ..Propose::default() };
    let fake = Fake::start(stranger()).await;
    let written = client(&[&fake]).propose("m", "a", &start, &WriteOptions::default()).await;
    assert_eq!(written.expect_err("it is none").fate(), Fate::Unknown);
    let fake = Fake::start(stranger()).await;
    assert_eq!(client(&[&fake]).machines().await.expect_err("it is none").fate(), Fate::NotAccepted);
}

#[tokio::test]
async fn an_answer_of_a_stranger_is_named_and_a_huge_one_is_not_taken() {
    check(vec![says(200, "<html>hello</html>")], false, "malformed", 1).await;
    check(vec![says(200, &"x".repeat(5000))], false, "unknown", 1).await;
}

#[tokio::test]
async fn attempts_have_an_end() {
    let busy = says(503, &problem("no_leader", "not_accepted"));
    check(vec![busy; 9], true, "not accepted", 3).await;
}

#[tokio::test]
async fn without_a_listener_the_failure_says_what_and_what_to_do() {
    let (_socket, address) = deaf_port();
    let error = client_of(&[address]).machines().await.expect_err("nobody listens");
    assert_eq!(error.fate(), Fate::NotAccepted);
    assert!(error.to_string().contains("no listener at 127.0.0.1:"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("quorate dev")), "{:?}", error.hint());
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_at_once() {
    let (_socket, dead) = deaf_port();
    let alive = Fake::start(vec![says(200, r#"{"machines":[]}"#)]).await;
    let list = client_of(&[dead, alive.address]).machines().await.expect("the other one answers");
    assert!(list.machines.is_empty());
}

/// A node that hangs (paused, cut off, a full disk) costs a moment, not the whole timeout, and is asked less from then on.
#[tokio::test]
async fn a_silent_endpoint_is_not_waited_for_when_another_answers() {
    let hung = Fake::start(vec![Deed::Silence; 3]).await;
    let lives = Fake::start(vec![says(200, COMMITTED); 6]).await;
    let mut config = config_of(&[hung.address, lives.address]);
    config.request_timeout = Duration::from_secs(3_600);
    config.hedge_after = Duration::from_millis(20);
    config.breaker.open_time_base = Duration::from_secs(3_600);
    config.breaker.open_time_max = Duration::from_secs(3_600);
    let client = Client::new(config).expect("endpoints are given");
    let start = Propose { event: Some("start".to_owned()), ..Propose::default() };
    for n in 0..6 {
        let request_id = Some(RequestId::Key(format!("k{n}")));
        let options = WriteOptions { request_id, ..WriteOptions::default() };
        client.propose("m", "a", &start, &options).await.expect("one of two answers");
    }
    assert_eq!(lives.seen().len(), 6);
    let (asked, answered) = (hung.seen(), lives.seen());
    assert!((1..=3).contains(&asked.len()), "three silences in a row open its breaker: {asked:?}");
    assert!(asked[0].contains("idempotency-key: k0") && answered[0].contains("idempotency-key: k0"));
}

/// Without a request id a second try could be a second effect: the silence is waited out, and told as unknown.
#[tokio::test]
async fn a_call_that_may_not_be_repeated_is_sent_to_one_endpoint_only() {
    let hung = Fake::start(vec![Deed::Silence]).await;
    let lives = Fake::start(vec![says(200, COMMITTED)]).await;
    let mut config = config_of(&[hung.address, lives.address]);
    config.hedge_after = Duration::from_millis(1);
    config.request_timeout = SILENCE;
    let start = Propose { event: Some("start".to_owned()), ..Propose::default() };
    let client = Client::new(config).expect("endpoints are given");
    let error = client.propose("m", "a", &start, &WriteOptions::default()).await.expect_err("it is silent");
    assert!(matches!(error, ClientError::Unknown { attempts: 1, .. }), "{error:?}");
    assert!(lives.seen().is_empty());
}

#[tokio::test]
async fn a_read_is_repeated_and_its_failure_is_never_unknown() {
    let fake = Fake::start(vec![Deed::HangUp, says(200, r#"{"machines":[]}"#)]).await;
    client(&[&fake]).machines().await.expect("the second attempt is answered");
    let fake = Fake::start(vec![Deed::HangUp; 3]).await;
    let error = client(&[&fake]).machines().await.expect_err("every attempt fails");
    assert!(matches!(error, ClientError::NotAccepted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_node_that_is_not_ready_is_passed_over() {
    let waits = problem("not_ready", "not_accepted");
    let behind = Fake::start(vec![says(503, &waits), says(503, &waits)]).await;
    let ready = Fake::start(vec![says(200, r#"{"ok":true}"#)]).await;
    assert!(client(&[&behind, &ready]).ready().await.expect("the other one is ready").ok);
    let error = client(&[&behind]).live().await.expect_err("it is the only one");
    assert_eq!(error.fate(), Fate::NotAccepted);
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_refused_before_anything_leaves() {
    for key in [String::new(), "k".repeat(65), "line\nbreak".to_owned()] {
        let fake = Fake::start(vec![says(200, COMMITTED)]).await;
        let options = WriteOptions { request_id: Some(RequestId::Key(key)), ..WriteOptions::default() };
        let result = client(&[&fake]).propose("m", "a", &Propose::default(), &options).await;
        assert!(matches!(result, Err(ClientError::Invalid(_))), "{result:?}");
        assert!(fake.seen().is_empty());
    }
}
