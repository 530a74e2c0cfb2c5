//! Exactly once over HTTP: keys and sessions.

use serde_json::json;

use crate::support::{Ask, Cluster, post};

const INSTANCES: &str = "/v1/machines/lifecycle/instances";
const SESSION: &str = "00112233445566778899aabbccddeeff";

fn start(body: &str) -> Ask {
    post(&format!("{INSTANCES}/a/proposals"), body)
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_is_applied_once() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let ask = start(r#"{"event":"start","data":{"b":1,"a":2}}"#).header("Idempotency-Key", "k");
    let first = cluster.check(ask.clone()).await;
    assert_eq!((first.0, first.1["to"].as_str()), (200, Some("Running")));
    assert_eq!(cluster.check(ask).await, first, "a retry gets the first answer");
    let respelt = start(r#"{ "data": {"a": 2, "b": 1}, "event": "start" }"#).header("Idempotency-Key", "k");
    assert_eq!(cluster.check(respelt).await, first, "the same request in other words is the same request");
    let (_, shown) = cluster.get(&format!("{INSTANCES}/a")).await;
    assert_eq!(shown["revision"], 2);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    cluster.check(start(r#"{"event":"start"}"#).header("Idempotency-Key", "k")).await;
    let (status, outcome) = cluster.check(start(r#"{"event":"stop"}"#).header("Idempotency-Key", "k")).await;
    assert_eq!((status, outcome["code"].as_str()), (409, Some("key_reused")), "{outcome}");
    assert_eq!(outcome["outcome"], "rejected");
    let create = post(INSTANCES, r#"{"id":"b"}"#).header("Idempotency-Key", "k");
    let (status, outcome) = cluster.check(create).await;
    assert_eq!((status, outcome["code"].as_str()), (409, Some("key_reused")));
}

/// The server chooses the id: a retry must propose the very same command, else it would be a reuse of the key.
#[tokio::test]
async fn a_creation_without_an_id_is_retried_with_its_key() {
    let cluster = Cluster::one().await;
    let ask = post(INSTANCES, "{}").header("Idempotency-Key", "create-1");
    let first = cluster.check(ask.clone()).await;
    assert_eq!(first.0, 201, "{}", first.1);
    assert_eq!(cluster.check(ask).await, first);
    let (_, other) = cluster.check(post(INSTANCES, "{}").header("Idempotency-Key", "create-2")).await;
    assert_ne!(other["id"], first.1["id"]);
    let (_, count) = cluster.get("/v1/machines/lifecycle/count").await;
    assert_eq!(count["total"], 2);
}

#[tokio::test]
async fn a_session_is_opened_once_and_its_requests_are_applied_once() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let ask = start(r#"{"event":"start"}"#).header("Quorate-Request", &format!("{SESSION}:1"));
    let (status, problem) = cluster.check(ask.clone()).await;
    assert_eq!((status, problem["code"].as_str()), (504, Some("session_unknown")), "{problem}");
    assert_eq!(problem["fate"], "unknown");
    for _ in 0..2 {
        let (status, opened) = cluster.post("/v1/sessions", &json!({ "id": SESSION }).to_string()).await;
        assert_eq!((status, opened["id"].as_str()), (200, Some(SESSION)));
    }
    let first = cluster.check(ask.clone()).await;
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(cluster.check(ask).await, first);
    let acknowledging = start(r#"{"event":"stop"}"#).header("Quorate-Request", &format!("{SESSION}:2:1"));
    assert_eq!(cluster.check(acknowledging).await.0, 200);
    let forgotten = start(r#"{"event":"start"}"#).header("Quorate-Request", &format!("{SESSION}:1"));
    let (status, problem) = cluster.check(forgotten).await;
    assert_eq!((status, problem["code"].as_str()), (504, Some("forgotten")), "{problem}");
    assert_eq!(problem["fate"], "unknown");
}

#[tokio::test]
async fn headers_that_make_no_sense_are_refused() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let session = |rest: &str| format!("{SESSION}{rest}");
    for headers in [
        vec![("idempotency-key", String::new())],
        vec![("idempotency-key", "k".repeat(65))],
        vec![("idempotency-key", "ä".to_owned())],
        vec![("idempotency-key", "k".to_owned()), ("idempotency-key", "l".to_owned())],
        vec![("idempotency-key", "k".to_owned()), ("quorate-request", session(":1"))],
        vec![("quorate-request", session(""))],
        vec![("quorate-request", session(":0"))],
        vec![("quorate-actor", "a".repeat(257))],
    ] {
        let mut ask = start(r#"{"event":"start"}"#);
        for (name, value) in &headers {
            ask = ask.header(name, value);
        }
        let (status, problem) = cluster.check(ask).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{headers:?}");
    }
    for bad in [r#"{"id":"x"}"#, r#"{"id":1}"#, "{}", r#"{"id":"00112233445566778899aabbccddeeff","a":1}"#] {
        assert_eq!(cluster.post("/v1/sessions", bad).await.0, 400, "{bad}");
    }
    let garbled = start(r#"{"event":"start"}"#).header("traceparent", "garbage");
    assert_eq!(cluster.check(garbled).await.0, 200, "a trace context that cannot be read is ignored");
}
