//! `/livez` and `/readyz`.

use serde_json::json;

use crate::support::Cluster;

#[tokio::test]
async fn a_node_that_serves_is_live_and_ready() {
    let cluster = Cluster::one().await;
    assert_eq!(cluster.get("/livez").await, (200, json!({ "ok": true })));
    assert_eq!(cluster.get("/readyz").await, (200, json!({ "ok": true })));
    let (status, health) = cluster.get("/readyz?verbose").await;
    assert_eq!(status, 200);
    let names: Vec<_> = health["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["loop", "member", "leader", "applied", "disk", "damage"], "{health}");
    let (_, health) = cluster.get("/readyz?verbose&exclude=disk,applied").await;
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
    assert_eq!(cluster.get("/livez").await.0, 200);
    let (status, problem) = cluster.get("/readyz").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("not_ready")), "{problem}");
    let failed: Vec<_> = problem["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert!(failed.contains(&&json!("applied")), "{problem}");
    assert_eq!(cluster.get("/readyz?exclude=applied,leader").await.0, 200);
}
