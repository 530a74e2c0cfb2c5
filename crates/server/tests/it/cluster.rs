//! Three nodes: any of them takes proposals and reads, and tells how all of them are.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{BOUND, Cluster, get, post, tell};

const INSTANCES: &str = "/v1/machines/lifecycle/instances";

/// The place of the leader, as the first server knows it; between two leaders it waits for the next.
async fn leader(cluster: &Cluster) -> usize {
    let status = cluster.servers[0].node().wait(|status| status.leader != 0).await.unwrap();
    usize::try_from(status.leader).unwrap() - 1
}

#[tokio::test]
async fn any_node_takes_proposals_and_any_node_reads_what_was_answered() {
    let cluster = Cluster::three().await;
    assert_eq!(cluster.post(INSTANCES, r#"{"id":"a"}"#).await.0, 201);
    let steps = ["start", "stop", "reset", "start", "stop", "reset"];
    for (turn, event) in steps.into_iter().enumerate() {
        let body = json!({ "event": event }).to_string();
        let (status, outcome) =
            cluster.check_on(turn % 3, post(&format!("{INSTANCES}/a/proposals"), &body)).await;
        assert_eq!((status, outcome["outcome"].as_str()), (200, Some("committed")), "{outcome}");
        for server in 0..3 {
            let (status, shown) = cluster.check_on(server, get(&format!("{INSTANCES}/a"))).await;
            assert_eq!(
                (status, &shown["state"]),
                (200, &outcome["to"]),
                "a read sees what was answered before it"
            );
            assert_eq!(shown["revision"], outcome["revision"]);
        }
    }
}

#[tokio::test]
async fn a_key_is_known_on_every_node() {
    let cluster = Cluster::three().await;
    let ask = post(INSTANCES, "{}").header("Idempotency-Key", "k");
    let first = cluster.check_on(0, ask.clone()).await;
    assert_eq!(first.0, 201, "{}", first.1);
    for server in 1..3 {
        assert_eq!(cluster.check_on(server, ask.clone()).await, first);
    }
}

#[tokio::test]
async fn a_follower_explains_that_it_asked_the_leader() {
    let cluster = Cluster::three().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let begin = Instant::now();
    // The leader of the term in which it happened: there may be another one between two looks.
    let (leader, follower, outcome) = loop {
        let (led, term) = (leader(&cluster).await, cluster.servers[0].node().status().term);
        let follower = (led + 1) % 3;
        let ask = post(&format!("{INSTANCES}/a/proposals?explain=true"), r#"{"to":"Running"}"#);
        let (status, outcome) = cluster.check_on(follower, ask).await;
        if status == 200 && outcome["term"] == term && leader(&cluster).await == led {
            break (led, follower, outcome);
        }
        assert!(begin.elapsed() < BOUND, "no leader lasts for a proposal: {outcome}");
        cluster.post(&format!("{INSTANCES}/a/proposals"), r#"{"to":"Stopped"}"#).await;
        cluster.post(&format!("{INSTANCES}/a/proposals"), r#"{"to":"Init"}"#).await;
    };
    let steps = outcome["explain"].as_array().unwrap();
    assert_eq!(
        (&steps[0]["step"], &steps[0]["node"]),
        (&json!("accepted"), &json!(follower + 1)),
        "{outcome}"
    );
    assert_eq!(
        (&steps[1]["step"], &steps[1]["leader"]),
        (&json!("forwarded"), &json!(leader + 1)),
        "{outcome}"
    );
    let acknowledged = steps.iter().filter(|step| step["step"] == "acknowledged").count();
    assert!(acknowledged >= 2, "a quorum of three: {outcome}");
}

#[tokio::test]
async fn the_status_names_every_node_and_each_that_is_down() {
    let mut cluster = Cluster::three().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let leads = |told: &Value| {
        let members = told["members"].as_array().unwrap().iter();
        members
            .filter(|member| member["role"] == "leader")
            .map(|member| member["id"].clone())
            .collect::<Vec<_>>()
    };
    let measured = |told: &Value| {
        told["members"].as_array().unwrap().iter().all(|member| member["fsync_p99_us"].is_u64())
    };
    let all = |status, told: &Value| {
        status == 200
            && told["failed"] == json!([])
            && leads(told) == [told["leader"].clone()]
            && measured(told)
    };
    let told = cluster.get_until("/v1/cluster", all).await;
    let members = told["members"].as_array().unwrap();
    assert_eq!(members.len(), 3, "{told}");
    for (member, server) in members.iter().zip(&cluster.servers) {
        assert_eq!(member["api"], server.api_address().to_string());
        assert_eq!(member["peer"], server.peer_address().to_string());
        assert_eq!((&member["voter"], &member["version"]), (&json!(true), &json!(env!("CARGO_PKG_VERSION"))));
        assert!(member["fsync_p99_us"].as_u64().unwrap() > 0);
    }

    cluster.servers.remove(2).shutdown().await;
    let reached =
        |status, told: &Value| status == 200 && told["members"].as_array().is_some_and(|all| all.len() == 2);
    let told = cluster.get_until("/v1/cluster?timeout=500ms", reached).await;
    assert_eq!(told["failed"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["failed"][0]["id"], 3, "{told}");
    assert!(!told["failed"][0]["reason"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_quorum_nothing_is_promised() {
    let mut cluster = Cluster::three().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    for server in cluster.servers.drain(1..) {
        server.shutdown().await;
    }
    let ask = post(&format!("{INSTANCES}/a/proposals?timeout=300ms"), r#"{"event":"start"}"#);
    let (status, problem) = cluster.check(ask).await;
    assert!(
        (status == 504 && problem["fate"] == "unknown")
            || (status == 503 && problem["fate"] == "not_accepted"),
        "{status} {problem}"
    );
    let (status, problem) = cluster.get(&format!("{INSTANCES}/a?timeout=300ms")).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (503, Some("no_leader")),
        "a read is never stale: {problem}"
    );
    assert_eq!(problem["fate"], "not_accepted");
    // Once nobody leads, a proposal never leaves the node: however short its caller's patience, that is told.
    while !cluster.get("/v1/cluster?timeout=50ms").await.1["leader"].is_null() {}
    let ask = post(&format!("{INSTANCES}/a/proposals?timeout=100ms"), r#"{"event":"start"}"#);
    let (status, problem) = cluster.check(ask).await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("no_leader")), "{problem}");
    assert_eq!(problem["fate"], "not_accepted");
}

/// R67, R69: an answer must survive the leader that gave it; a retry on another node may not apply the command again.
#[tokio::test]
async fn after_a_leader_is_gone_a_retry_gets_the_answer_that_it_gave() {
    let mut cluster = Cluster::three().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let leader = leader(&cluster).await;
    let ask =
        post(&format!("{INSTANCES}/a/proposals"), r#"{"event":"start"}"#).header("Idempotency-Key", "k");
    let first = cluster.check_on(leader, ask.clone()).await;
    assert_eq!(first.0, 200, "{}", first.1);
    cluster.servers.remove(leader).shutdown().await;
    for server in 0..2 {
        assert_eq!(cluster.check_on(server, ask.clone()).await, first);
        let (status, shown) = cluster.check_on(server, get(&format!("{INSTANCES}/a"))).await;
        assert_eq!((status, &shown["revision"]), (200, &json!(2)));
    }
    let (status, outcome) = cluster.post(&format!("{INSTANCES}/a/proposals"), r#"{"event":"stop"}"#).await;
    assert_eq!((status, outcome["to"].as_str()), (200, Some("Stopped")), "{outcome}");
}

#[tokio::test]
async fn the_leadership_moves_to_whom_is_named_and_a_stopped_leader_leaves_one_behind() {
    let mut cluster = Cluster::three().await;
    for to in [2, 1, 3] {
        cluster.hand_over(to).await;
    }
    let begin = Instant::now();
    while leader(&cluster).await == 2 {
        let (status, told) = cluster.post("/v1/cluster/transfer", "").await;
        assert!(status != 400 && begin.elapsed() < BOUND, "nobody takes over: {told}");
    }
    for (body, status, code) in [
        (r#"{"to":9}"#, 409, "refused"),
        (r#"{"to":0}"#, 400, "malformed"),
        (r#"{"node":1}"#, 400, "malformed"),
    ] {
        let (told_status, problem) = cluster.post("/v1/cluster/transfer", body).await;
        assert_eq!((told_status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["fate"], "not_accepted");
    }
    cluster.hand_over(3).await;
    cluster.servers.remove(2).shutdown().await;
    // That nobody waits for an election timeout is shown below HTTP, with a long one.
    let leads = |told: &Value| told["leader"] == 1 || told["leader"] == 2;
    cluster.get_until("/v1/cluster", |status, told| status == 200 && leads(told)).await;
}

/// The whole life of a member over HTTP: added as a learner, promoted, removed, and what is refused on the way.
#[tokio::test]
async fn members_come_and_go() {
    let mut cluster = Cluster::three().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let body = json!({ "peer": address, "voter": false }).to_string();
    let (status, added) = cluster.post("/v1/cluster/members", &body).await;
    assert_eq!((status, &added["id"]), (200, &json!(4)), "{added}");
    let mut config = crate::support::settings(&cluster.directory.path().join("joined"));
    config.cluster.join = Some(cluster.address().to_string());
    config.join_as(4, added["cluster"].as_str().unwrap()).unwrap();
    let listeners = quorate_server::Listeners { peer: Some(socket), api: None };
    cluster.servers.push(quorate_server::Server::start_on(config, listeners).await.unwrap());
    let node = cluster.servers[3].node().clone();
    node.wait(|status| status.leader != 0 && !status.voter).await.unwrap();
    assert_eq!(cluster.check_on(3, get(&format!("{INSTANCES}/a"))).await.0, 200, "a learner serves reads");
    for again in 0..2 {
        let (status, told) = cluster.check_on(again, post("/v1/cluster/members/4/promote", "")).await;
        assert_eq!((status, told), (200, json!({ "id": 4 })));
    }
    node.wait(|status| status.voter).await.unwrap();
    for (ask, status, code) in [
        (post("/v1/cluster/members", &body), 409, "refused"),
        (post("/v1/cluster/members", r#"{"peer":""}"#), 409, "refused"),
        (post("/v1/cluster/members", r#"{"peer":"x:1","id":2}"#), 409, "refused"),
        (post("/v1/cluster/members", r#"{"address":"x:1"}"#), 400, "malformed"),
        (post("/v1/cluster/members/9/promote", ""), 409, "refused"),
        (get("/v1/cluster/members/9").method("DELETE"), 409, "refused"),
        (get("/v1/cluster/members/x").method("DELETE"), 400, "malformed"),
    ] {
        let (told_status, problem) = cluster.check(ask).await;
        assert_eq!((told_status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["fate"], "not_accepted");
    }
    let (status, told) = cluster.check(get("/v1/cluster/members/4").method("DELETE")).await;
    assert_eq!((status, told), (200, json!({ "id": 4 })));
    cluster.servers.remove(3).shutdown().await;
    let count = |told: &Value| told["members"].as_array().unwrap().len();
    cluster.get_until("/v1/cluster", |_, told| count(told) == 3 && told["failed"] == json!([])).await;
}

/// A node that would not understand what the cluster does is refused before it is a member.
#[tokio::test]
async fn a_node_of_an_older_feature_level_is_refused_before_it_is_added() {
    let cluster = Cluster::three().await;
    // The level rises by itself once the leader has heard from all.
    let begin = Instant::now();
    let metrics = || tell(cluster.servers[0].api_address(), get("/metrics"));
    while !String::from_utf8_lossy(&metrics().await.body).contains("\nquorate_feature_level 1\n") {
        assert!(begin.elapsed() < BOUND, "the level never rises");
    }
    let ask = post("/v1/cluster/members", r#"{"peer":"127.0.0.1:9","feature_level_max":0}"#);
    let (status, problem) = cluster.check_on(0, ask).await;
    assert_eq!((status, &problem["code"]), (409, &json!("refused")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("feature level 1"), "{problem}");
}
