//! Proposals: outcomes, the table of rejections, explain.

use serde_json::{Value, json};

use crate::support::{Cluster, put_toml};

const MACHINE: &str = r#"format = 1
machine = "m"
version = 1
initial = "A"
[states.A]
on.go = "B"
on.poke = "ignore"
on.again = "A"
[states.B]
on.end = "Z"
[states.Z]
type = "final"
"#;
const PROPOSALS: &str = "/v1/machines/m/instances/x/proposals";

async fn cluster() -> Cluster {
    let cluster = Cluster::one().await;
    assert_eq!(cluster.check(put_toml("/v1/machines/m", MACHINE)).await.0, 201);
    assert_eq!(cluster.post("/v1/machines/m/instances", r#"{"id":"x"}"#).await.0, 201);
    cluster
}

/// The fields of an outcome that do not depend on where it stands in the log.
fn short(outcome: &Value) -> Value {
    let mut outcome = outcome.clone();
    for name in ["index", "term", "detail"] {
        outcome.as_object_mut().unwrap().remove(name);
    }
    outcome
}

#[tokio::test]
async fn outcomes_are_those_of_the_format() {
    let cluster = cluster().await;
    let (status, outcome) = cluster.post(PROPOSALS, r#"{"event":"poke"}"#).await;
    assert_eq!(status, 200);
    assert_eq!(
        short(&outcome),
        json!({ "outcome": "ignored", "event": "poke", "state": "A", "revision": 1, "version": 1 })
    );
    let (status, outcome) =
        cluster.post(PROPOSALS, r#"{"to":"B","expect":{"revision":1,"state":"A"}}"#).await;
    assert_eq!(status, 200);
    assert_eq!(
        short(&outcome),
        json!({ "outcome": "committed", "event": "go", "from": "A", "to": "B", "revision": 2, "version": 1 })
    );
    assert!(outcome["index"].as_u64().unwrap() > 0 && outcome["term"].as_u64().unwrap() > 0, "{outcome}");
    let (status, outcome) = cluster.post(PROPOSALS, r#"{"event":"go"}"#).await;
    assert_eq!(status, 409);
    assert_eq!(
        short(&outcome),
        json!({
            "outcome": "rejected", "code": "no_transition", "state": "B", "allowed": ["end"], "revision": 2,
            "version": 1
        })
    );
    assert!(outcome["index"].as_u64().is_some(), "a rejection is committed: {outcome}");
}

#[tokio::test]
async fn every_rejection_has_its_status() {
    let cluster = cluster().await;
    cluster.post("/v1/machines/m/instances", r#"{"id":"end"}"#).await;
    for event in ["go", "end"] {
        cluster.post("/v1/machines/m/instances/end/proposals", &json!({ "event": event }).to_string()).await;
    }
    let large = json!({ "event": "go", "data": { "x": "x".repeat(70 << 10) } }).to_string();
    for (path, body, status, code) in [
        ("/v1/machines/n/instances/x/proposals", r#"{"event":"go"}"#, 404, "unknown_machine"),
        ("/v1/machines/m/instances/y/proposals", r#"{"event":"go"}"#, 404, "unknown_instance"),
        (PROPOSALS, r#"{"event":"nothing"}"#, 409, "unknown_event"),
        (PROPOSALS, r#"{"event":"end"}"#, 409, "no_transition"),
        (PROPOSALS, r#"{"to":"Z"}"#, 409, "no_transition"),
        (PROPOSALS, r#"{"event":"go","expect":{"revision":9}}"#, 409, "conflict"),
        (PROPOSALS, r#"{"event":"go","expect":{"state":"B"}}"#, 409, "conflict"),
        ("/v1/machines/m/instances/end/proposals", r#"{"event":"go"}"#, 409, "final"),
        (PROPOSALS, large.as_str(), 413, "too_large"),
    ] {
        let (got, outcome) = cluster.post(path, body).await;
        assert_eq!((got, outcome["code"].as_str()), (status, Some(code)), "{path} {outcome}");
        assert_eq!(outcome["outcome"], "rejected");
        assert!(!outcome["detail"].as_str().unwrap().is_empty(), "{outcome}");
    }
    let (_, shown) = cluster.get("/v1/machines/m/instances/x").await;
    assert_eq!((shown["state"].as_str(), shown["revision"].as_u64()), (Some("A"), Some(1)), "nothing moved");
}

#[tokio::test]
async fn a_proposal_names_an_event_or_a_state_and_nothing_that_is_not_known() {
    let cluster = cluster().await;
    for bad in [
        "{}",
        r#"{"event":"go","to":"B"}"#,
        r#"{"event":"go","expcet":{}}"#,
        r#"{"event":1}"#,
        r#"{"event":"go","data":[]}"#,
        r#"{"event":"","data":{}}"#,
        r#"{"event":"no good"}"#,
    ] {
        let (status, problem) = cluster.post(PROPOSALS, bad).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{bad} {problem}");
    }
    assert_eq!(cluster.post(&format!("{PROPOSALS}?explain=maybe"), r#"{"event":"go"}"#).await.0, 400);
}

#[tokio::test]
async fn explain_tells_each_step_from_the_node_that_took_it_to_the_answer() {
    let cluster = cluster().await;
    let (status, outcome) = cluster.post(&format!("{PROPOSALS}?explain=true"), r#"{"event":"go"}"#).await;
    assert_eq!(status, 200);
    let steps: Vec<_> = outcome["explain"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["accepted", "appended", "acknowledged", "committed", "applied"], "{outcome}");
    let (_, silent) = cluster.post(PROPOSALS, r#"{"event":"end"}"#).await;
    assert!(silent.get("explain").is_none(), "{silent}");
}
