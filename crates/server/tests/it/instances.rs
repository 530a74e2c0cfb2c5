//! Instances: create, show, list, count, history.

use crate::support::{Cluster, get, post, tell};
use serde_json::{Value, json};

const INSTANCES: &str = "/v1/machines/lifecycle/instances";

#[tokio::test]
async fn an_instance_is_created_once_in_its_initial_state() {
    let cluster = Cluster::one().await;
    let (status, created) = cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    assert_eq!(status, 201, "{created}");
    assert_eq!(created["outcome"], "created");
    assert_eq!((created["state"].as_str(), created["revision"].as_u64()), (Some("Init"), Some(1)));
    let (status, again) = cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    assert_eq!((status, again["code"].as_str()), (409, Some("exists")), "{again}");
    assert_eq!(again["outcome"], "rejected");
    let (status, unknown) = cluster.post("/v1/machines/nothing/instances", "{}").await;
    assert_eq!((status, unknown["code"].as_str()), (404, Some("unknown_machine")), "{unknown}");
    let (status, context) = cluster.post(INSTANCES, r#"{"context":{"a":1}}"#).await;
    assert_eq!((status, context["code"].as_str()), (501, Some("not_supported")), "{context}");
}

#[tokio::test]
async fn without_an_id_each_instance_gets_one_of_its_own() {
    let cluster = Cluster::one().await;
    let (_, first) = cluster.post(INSTANCES, "{}").await;
    let (status, second) = cluster.post(INSTANCES, "{}").await;
    assert_eq!(status, 201);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["id"].as_str().unwrap().len(), 32);
}

/// Ids may hold anything but control characters: slashes and spaces travel percent-encoded.
#[tokio::test]
async fn an_id_survives_the_path() {
    let cluster = Cluster::one().await;
    for (id, path) in [("a/b", "a%2Fb"), ("ä ö?", "%C3%A4%20%C3%B6%3F"), ("100%", "100%25"), ("+", "+")] {
        let (status, _) = cluster.post(INSTANCES, &json!({ "id": id }).to_string()).await;
        assert_eq!(status, 201, "{id}");
        let (status, shown) = cluster.get(&format!("{INSTANCES}/{path}")).await;
        assert_eq!((status, shown["id"].as_str()), (200, Some(id)));
        let (status, _) =
            cluster.post(&format!("{INSTANCES}/{path}/proposals"), r#"{"event":"start"}"#).await;
        assert_eq!(status, 200, "{id}");
    }
    let (status, problem) = cluster.get(&format!("{INSTANCES}/%FF")).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")));
    for bad in ["", "..", "a\u{7}"] {
        let (status, problem) = cluster.post(INSTANCES, &json!({ "id": bad }).to_string()).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{bad:?}");
    }
}

#[tokio::test]
async fn an_instance_shows_where_it_stands_and_what_it_takes() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let (status, shown) = cluster.get(&format!("{INSTANCES}/a")).await;
    assert_eq!(status, 200);
    assert_eq!(shown["allowed"], json!(["start"]));
    assert_eq!(
        (shown["state"].as_str(), shown["final"].as_bool(), shown["version"].as_u64()),
        (Some("Init"), Some(false), Some(1))
    );
    assert_eq!(shown["created_ms"], shown["changed_ms"]);
    let (status, problem) = cluster.get(&format!("{INSTANCES}/b")).await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_instance")));
    let (status, problem) = cluster.get("/v1/machines/lifecycl/instances/b").await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_machine")));
    assert!(problem["detail"].as_str().unwrap().contains("lifecycle"), "{problem}");
}

#[tokio::test]
async fn pages_of_a_list_meet_without_gap_or_overlap() {
    let cluster = Cluster::one().await;
    for id in ["c", "a", "e/1", "b", "d"] {
        cluster.post(INSTANCES, &json!({ "id": id }).to_string()).await;
    }
    cluster.post(&format!("{INSTANCES}/c/proposals"), r#"{"to":"Running"}"#).await;
    let (mut seen, mut path) = (Vec::new(), format!("{INSTANCES}?limit=2"));
    loop {
        let (status, page) = cluster.get(&path).await;
        assert_eq!(status, 200, "{page}");
        let ids = page["instances"].as_array().unwrap().iter();
        seen.extend(ids.map(|row| row["id"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("{INSTANCES}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e/1"]);
    let (_, running) = cluster.get(&format!("{INSTANCES}?state=Running")).await;
    assert_eq!(running["instances"][0]["id"], "c");
    assert_eq!(running["instances"].as_array().unwrap().len(), 1);
    for bad in
        ["limit=0", "limit=1001", "limit=x", "cursor=zz", "cursor=a", "cursor=", "cursor=ff", "state=Nowhere"]
    {
        let (status, problem) = cluster.get(&format!("{INSTANCES}?{bad}")).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{bad}");
    }
    assert_eq!(cluster.get(&format!("{INSTANCES}?limit=1000")).await.0, 200);
}

#[tokio::test]
async fn a_count_lists_every_state_zeros_included() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    cluster.post(INSTANCES, r#"{"id":"b"}"#).await;
    cluster.post(&format!("{INSTANCES}/b/proposals"), r#"{"event":"start"}"#).await;
    let (status, count) = cluster.get("/v1/machines/lifecycle/count").await;
    assert_eq!(status, 200);
    assert_eq!(
        count,
        json!({ "machine": "lifecycle", "version": 1, "total": 2, "states": { "Init": 1, "Running": 1, "Stopped": 0 } })
    );
    assert_eq!(cluster.get("/v1/machines/nothing/count").await.0, 404);
}

#[tokio::test]
async fn history_tells_transitions_and_rejections_with_their_askers() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let proposals = format!("{INSTANCES}/a/proposals");
    let start = post(&proposals, r#"{"event":"start","data":{"why":"test","n":[1,null]}}"#)
        .header("quorate-actor", "ann")
        .header("idempotency-key", "k1")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_eq!(cluster.check(start).await.0, 200);
    assert_eq!(cluster.post(&proposals, r#"{"event":"reset"}"#).await.0, 409);
    let (status, page) = cluster.get(&format!("{INSTANCES}/a/history")).await;
    assert_eq!(status, 200);
    let records = page["records"].as_array().unwrap();
    let outcomes: Vec<_> = records.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["created", "committed", "rejected"]);
    assert_eq!(
        (&records[1]["event"], &records[1]["from"], &records[1]["to"], &records[1]["actor"]),
        (&json!("start"), &json!("Init"), &json!("Running"), &json!("ann"))
    );
    assert_eq!(records[1]["request_id"], "k1");
    assert_eq!(records[1]["data"], json!({ "why": "test", "n": [1, null] }));
    assert_eq!((&records[2]["code"], &records[2]["event"]), (&json!("no_transition"), &json!("reset")));
    assert!(records[0].get("request_id").is_none(), "an id that the node made itself is nobody's to see");

    let (_, later) = cluster.get(&format!("{INSTANCES}/a/history?from=2&limit=1")).await;
    assert_eq!(later["records"][0]["outcome"], "committed");
    assert_eq!(cluster.get(&format!("{INSTANCES}/a/history?from=x")).await.0, 400);
    assert_eq!(cluster.get(&format!("{INSTANCES}/b/history")).await.0, 404);
}

#[tokio::test]
async fn history_that_is_no_longer_kept_is_answered_compacted() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let proposals = format!("{INSTANCES}/a/proposals");
    // The registry keeps the newest 1,000 transitions of an instance.
    for round in 0..400 {
        for event in ["start", "stop", "reset"] {
            let (status, outcome) = cluster.post(&proposals, &json!({ "event": event }).to_string()).await;
            assert_eq!(status, 200, "round {round}: {outcome}");
        }
    }
    let (status, problem) = cluster.get(&format!("{INSTANCES}/a/history?from=1")).await;
    assert_eq!((status, problem["code"].as_str()), (410, Some("compacted")), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("from="), "{problem}");
    let (status, page) = cluster.get(&format!("{INSTANCES}/a/history")).await;
    assert_eq!(status, 200);
    assert!(page["oldest_revision"].as_u64().unwrap() > 1, "{}", page["oldest_revision"]);
}

#[tokio::test]
async fn unknown_parameters_are_errors() {
    let cluster = Cluster::one().await;
    let (status, problem) = cluster.get(&format!("{INSTANCES}?sate=Init")).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")));
    assert!(problem["hint"].as_str().unwrap().contains("state"), "{problem}");
    for bad in ["?timeout=soon", "?timeout=0s", "?consistency=quick", "?timeout=1s&timeout=2s"] {
        let (status, problem) = cluster.check(get(&format!("/v1/machines/lifecycle/count{bad}"))).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{bad}");
    }
    let (status, _) = cluster.post(&format!("{INSTANCES}?consistency=stale"), "{}").await;
    assert_eq!(status, 400, "a write has no consistency to choose");
    assert_eq!(cluster.get("/v1/machines/lifecycle/count?timeout=2s&consistency=linearizable").await.0, 200);
}

#[tokio::test]
async fn a_stale_read_tells_how_old_it_may_be() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let reads = ["lifecycle", "lifecycle/count", "lifecycle/instances", "lifecycle/instances/a"];
    for path in reads.into_iter().chain(["lifecycle/instances/a/history", ""]) {
        let path = format!("/v1/machines/{path}").trim_end_matches('/').to_owned();
        let (status, fresh) = cluster.get(&path).await;
        assert_eq!(status, 200, "{path}");
        let told = tell(cluster.address(), get(&format!("{path}?consistency=stale"))).await;
        assert_eq!(told.status, 200, "{path}");
        assert_eq!(serde_json::from_slice::<Value>(&told.body).unwrap(), fresh, "{path}");
        let header = |name: &str| told.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let (term, index) = header("quorate-applied").unwrap().split_once(':').map(owned).unwrap();
        assert!(term.parse::<u64>().unwrap() >= 1 && index.parse::<u64>().unwrap() >= 2, "{term}:{index}");
        assert!(header("quorate-applied-ms").unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
        assert!(header("quorate-contact-ms").unwrap().parse::<u64>().is_ok(), "the only voter is a quorum");
        let told = tell(cluster.address(), get(&path)).await;
        assert!(told.headers.get("quorate-applied").is_none(), "a linearizable read has no age");
    }
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}
