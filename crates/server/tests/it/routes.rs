//! The table of routes: what exists, what a later version brings, and what a wrong path or method is told.

use crate::support::{Cluster, get, json_of, tell};

#[tokio::test]
async fn the_first_page_names_every_route_and_each_of_them_exists() {
    let cluster = Cluster::one().await;
    let (status, index) = cluster.get("/").await;
    assert_eq!((status, index["name"].as_str()), (200, Some("quorate")));
    let routes = index["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 19);
    for route in routes {
        let path = route["path"].as_str().unwrap().replace(['{', '}'], "");
        let method = route["method"].as_str().unwrap().to_owned().leak();
        let told = tell(cluster.address(), get(&path).method(method)).await;
        assert!(![405, 501].contains(&told.status), "{route}");
        let code = String::from_utf8_lossy(&told.body).contains("unknown_route");
        assert!(!code, "{route}");
    }
}

#[tokio::test]
async fn what_a_later_version_brings_is_named_and_never_answered_as_if_it_were() {
    let cluster = Cluster::one().await;
    for (method, path, word) in [
        ("GET", "/v1/machines/lifecycle/diagram", "diagram"),
        ("DELETE", "/v1/machines/lifecycle/instances/a", "retiring"),
        ("POST", "/v1/transactions", "transactions"),
        ("GET", "/v1/watch", "watching"),
        ("GET", "/openapi.json", "OpenAPI"),
        ("GET", "/v1/machines/lifecycle/instances?label=x", "label"),
    ] {
        let (status, problem) = cluster.check(get(path).method(method)).await;
        assert_eq!((status, problem["code"].as_str()), (501, Some("not_supported")), "{method} {path}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
        assert_eq!(problem["fate"], "not_accepted");
    }
}

#[tokio::test]
async fn an_unknown_route_is_told_the_nearest_one() {
    let cluster = Cluster::one().await;
    let (status, problem) = cluster.get("/v1/machine").await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_route")));
    assert!(problem["hint"].as_str().unwrap().contains("/v1/machines"), "{problem}");
    assert_eq!(cluster.get("/v1/machines/").await.0, 404);
    assert_eq!(cluster.get("//").await.0, 404);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let cluster = Cluster::one().await;
    let ask = get("/v1/machines/a/instances").method("DELETE");
    let told = tell(cluster.address(), ask.clone()).await;
    let (status, problem) = json_of(&ask, &told);
    assert_eq!((status, problem["code"].as_str()), (405, Some("method_not_allowed")));
    assert_eq!(told.headers["allow"], "POST, GET");
    let told = tell(cluster.address(), get("/v1/cluster").method("HEAD")).await;
    assert_eq!((told.status, told.body.len()), (200, 0));
}
