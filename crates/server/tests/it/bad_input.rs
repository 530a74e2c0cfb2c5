//! Bodies that are too large, too slow or no JSON. Each is answered with what to do; nothing is lost and nothing panics.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Cluster, get, json_of, post, put_toml, tell};

const INSTANCES: &str = "/v1/machines/lifecycle/instances";

/// Sends bytes as they are and reads until the server closes.
async fn raw(cluster: &Cluster, request: &str) -> String {
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer was read is as good as an end.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn malformed_json_is_told_with_line_and_column() {
    let cluster = Cluster::one().await;
    let (status, problem) = cluster.post(INSTANCES, "{\n  \"id\": \"a\",\n  \"id: 1}").await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{problem}");
    assert_eq!(problem["place"]["line"], 3, "{problem}");
    assert!(problem["place"]["column"].as_u64().unwrap() > 0);
    for bad in ["", "null", "[]", "{\"id\":\"a\"}x", "{\"id\":\"a\",\"id\":\"b\"}", "\u{feff}{}"] {
        let (status, problem) = cluster.post(INSTANCES, bad).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{bad:?}");
    }
    let twice = "{\"context\":{\"a\":[{\"b\":1,\"b\":2}]}}";
    let huge = "{\"context\":{\"n\":123456789012345678901}}";
    for (bad, words) in
        [(twice, "context.a[0].b: the key is there twice"), (huge, "context.n: the number fits no")]
    {
        let (status, problem) = cluster.post(INSTANCES, bad).await;
        assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(words), "{problem}");
    }
    let deep = format!("{{\"context\":{{\"a\":{}{}}}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(cluster.post(INSTANCES, &deep).await.0, 400, "nesting is bounded");
    let (_, count) = cluster.get("/v1/machines/lifecycle/count").await;
    assert_eq!(count["total"], 0, "nothing was created");
}

/// A browser sends other media types across origins without asking; `application/json` it does not.
#[tokio::test]
async fn only_json_is_read_as_json() {
    let cluster = Cluster::one().await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let ask = get(INSTANCES).method("POST").header("content-type", media_type).body("{}");
        let (status, problem) = cluster.check(ask).await;
        assert_eq!((status, problem["code"].as_str()), (415, Some("unsupported_media_type")), "{media_type}");
    }
    assert_eq!(cluster.check(get(INSTANCES).method("POST").body("{}")).await.0, 415);
}

#[tokio::test]
async fn a_huge_body_is_refused_before_it_is_read() {
    let cluster = Cluster::one_with(|config| config.limits.body_bytes_max = 4096).await;
    let announced = raw(
        &cluster,
        "POST /v1/machines/m/instances HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 99999999999\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    assert!(announced.contains("\"code\":\"too_large\""), "{announced}");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let unannounced = raw(
        &cluster,
        &format!(
            "POST /v1/machines/m/instances HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunk}{chunk}"
        ),
    )
    .await;
    assert!(unannounced.starts_with("HTTP/1.1 413"), "{unannounced}");
    let ask = put_toml("/v1/machines/m", &"x".repeat(5000)).h2c();
    let told = tell(cluster.address(), ask.clone()).await;
    assert_eq!(json_of(&ask, &told).1["code"], "too_large");
    assert_eq!(cluster.post(INSTANCES, "{}").await.0, 201, "the server goes on");
}

#[tokio::test]
async fn bodies_share_a_budget_and_beyond_it_the_server_is_overloaded() {
    let cluster = Cluster::one_with(|config| {
        config.limits.body_bytes_max = 64 << 10;
        config.limits.bodies_bytes_max = 64 << 10;
    })
    .await;
    // This body never ends, so it holds the whole budget.
    let mut holder = TcpStream::connect(cluster.address()).await.unwrap();
    let head = "POST /v1/machines/m/instances HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 65536\r\nexpect: 100-continue\r\n\r\n";
    holder.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 12];
    holder.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100", "the server reads the body, so it has its budget");
    let ask = post(INSTANCES, "{}");
    let told = tell(cluster.address(), ask.clone()).await;
    let (status, problem) = json_of(&ask, &told);
    assert_eq!((status, problem["code"].as_str()), (429, Some("overloaded")), "{problem}");
    assert_eq!(told.headers["retry-after"], "1");
    assert_eq!(cluster.get("/v1/machines").await.0, 200, "what has no body is served");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let cluster = Cluster::one_with(|config| config.timeouts.body = Duration::from_millis(50)).await;
    let answer = raw(
        &cluster,
        "POST /v1/machines/m/instances HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nconnection: close\r\n\r\n{\"id\"",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"too_slow\""), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection_and_nothing_else() {
    let cluster = Cluster::one().await;
    for garbage in ["\u{0}\u{1}\u{2}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nx"]
    {
        raw(&cluster, garbage).await;
    }
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100 << 10));
    let answer = raw(&cluster, &long).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(cluster.get("/").await.0, 200);
}
