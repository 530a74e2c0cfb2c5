//! Connections: both versions of HTTP on one port, silent ones, too many, and how they end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BOUND, Cluster, get, json_of, post, tell};

const INSTANCES: &str = "/v1/machines/lifecycle/instances";

#[tokio::test]
async fn both_versions_of_http_share_the_port() {
    let cluster = Cluster::one().await;
    assert_eq!(cluster.check(post(INSTANCES, r#"{"id":"a"}"#).h2c()).await.0, 201);
    assert_eq!(cluster.check(get(&format!("{INSTANCES}/a"))).await.0, 200);
    assert_eq!(cluster.check(get(&format!("{INSTANCES}/a")).h2c()).await.0, 200);
}

/// Waits until the server closes the connection after these bytes.
async fn closed_after(cluster: &Cluster, bytes: &str) {
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(BOUND, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "still open after {bytes:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_whole_is_closed() {
    let cluster = Cluster::one_with(|config| config.timeouts.header = Duration::from_millis(50)).await;
    for bytes in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nho", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        closed_after(&cluster, bytes).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let cluster = Cluster::one_with(|config| config.limits.connections_len_max = 1).await;
    let mut first = TcpStream::connect(cluster.address()).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut begin = [0; 15];
    first.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    let told = tell(cluster.address(), get("/")).await;
    let text = String::from_utf8_lossy(&told.body).into_owned();
    assert_eq!(told.status, 503, "{text}");
    let problem: quorate_api::problem::Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.code, quorate_api::meaning::ProblemCode::Overloaded);
    drop(first);
    // The place is free as soon as the server has seen the end of the first connection.
    while tell(cluster.address(), get("/")).await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stopping_server_answers_what_it_has_heard_and_takes_nothing_new() {
    let cluster = Cluster::one().await;
    let address = cluster.address();
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/machines/lifecycle/instances/a/proposals HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 17\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let stopping = tokio::spawn(cluster.stop());
    // Closed by the server: from here on it is stopping.
    let mut nothing = Vec::new();
    let _ = idle.read_to_end(&mut nothing).await;
    stream.write_all(br#"{"event":"start"}"#).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""outcome":"committed""#), "{answer}");
    stopping.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn metrics_are_in_the_text_form_of_openmetrics() {
    let cluster = Cluster::one().await;
    cluster.post(INSTANCES, r#"{"id":"a"}"#).await;
    let proposals = format!("{INSTANCES}/a/proposals");
    cluster.post(&proposals, r#"{"event":"start"}"#).await;
    cluster.post(&proposals, r#"{"event":"start"}"#).await;
    cluster.get("/no/such/route").await;
    let told = tell(cluster.address(), get("/metrics")).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let page = String::from_utf8(told.body.to_vec()).unwrap();
    assert!(page.ends_with("# EOF\n"));
    for line in [
        r#"quorate_outcomes_total{outcome="committed"} 1"#,
        r#"quorate_outcomes_total{outcome="created"} 1"#,
        r#"quorate_outcomes_total{outcome="no_transition"} 1"#,
        r#"quorate_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"quorate_http_request_duration_seconds_count{method="POST",route="/v1/machines/{machine}/instances"} 1"#,
        "quorate_http_connections",
        "quorate_term",
        "quorate_commit_index",
        "quorate_applied_index",
        "quorate_role",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    let mut families: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count, "no family is told twice");
    let histograms = families.iter().filter(|family| family.ends_with(" histogram"));
    for name in histograms.map(|family| family.split(' ').nth(2).unwrap()) {
        let ends = page.lines().any(|line| line.starts_with(name) && line.contains(r#"le="+Inf""#));
        assert!(ends, "every histogram ends in infinity: {name}");
    }
    let ask = get("/metrics?x=1");
    let told = tell(cluster.address(), ask.clone()).await;
    assert_eq!(json_of(&ask, &told).0, 400);
}
