//! `/livez` and `/readyz`.

use serde_json::{Value, json};

use crate::support::Cluster;

#[tokio::test]
async fn a_node_that_serves_is_live_and_ready() {
    let cluster = Cluster::one().await;
    let well = |status, told: &Value| (status, told) == (200, &json!({ "ok": true }));
    cluster.get_until("/livez", well).await;
    cluster.get_until("/readyz", well).await;
    let health = cluster.get_until("/readyz?verbose", |status, _| status == 200).await;
    let names: Vec<_> = health["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["loop", "member", "leader", "applied", "disk", "damage"], "{health}");
    let health = cluster.get_until("/readyz?verbose&exclude=disk,applied", |status, _| status == 200).await;
    assert_eq!(health["checks"].as_array().unwrap().len(), 4);
    let (status, problem) = cluster.get("/readyz?exclude=nothing").await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")));
}

#[tokio::test]
async fn a_node_without_a_quorum_is_live_and_not_ready() {
    let mut cluster = Cluster::three().await;
    for server in cluster.servers.drain(1..) {
        server.shutdown().await;
    }
    cluster.get_until("/livez", |status, _| status == 200).await;
    let (status, problem) = cluster.get("/readyz").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("not_ready")), "{problem}");
    let failed: Vec<_> = problem["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert!(failed.contains(&&json!("applied")), "{problem}");
    cluster.get_until("/readyz?exclude=applied,leader", |status, _| status == 200).await;
}
