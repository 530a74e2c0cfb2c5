//! `PUT /v1/machines/{machine}` and what shows machines.

use crate::support::{Cluster, get, put_toml};

const JOB: &str = r#"format = 1
machine = "job"
version = 1
initial = "Init"
description = "Batch job"

[states.Init]
on.start = "Running"

[states.Running]
on.stop = "Done"
on.poke = "ignore"

[states.Done]
type = "final"
"#;

#[tokio::test]
async fn a_definition_is_applied_once_and_shown_as_it_stands() {
    let cluster = Cluster::one().await;
    let (status, applied) = cluster.check(put_toml("/v1/machines/job", JOB)).await;
    assert_eq!((status, applied["created"].as_bool()), (201, Some(true)), "{applied}");
    assert_eq!((applied["machine"].as_str(), applied["version"].as_u64()), (Some("job"), Some(1)));
    let (status, again) = cluster.check(put_toml("/v1/machines/job", JOB)).await;
    assert_eq!((status, again["created"].as_bool()), (200, Some(false)));
    assert_eq!(again["hash"], applied["hash"]);

    let (status, shown) = cluster.get("/v1/machines/job?version=1").await;
    assert_eq!((status, &shown["hash"]), (200, &applied["hash"]));
    assert_eq!(shown["definition"]["initial"], "Init");
    let json = get("/v1/machines/job")
        .method("PUT")
        .header("content-type", "application/json; charset=utf-8")
        .body(shown["definition"].to_string());
    let (status, same) = cluster.check(json).await;
    assert_eq!((status, &same["hash"]), (200, &applied["hash"]), "the canonical form is the same definition");

    let (_, list) = cluster.get("/v1/machines").await;
    let names: Vec<_> =
        list["machines"].as_array().unwrap().iter().map(|machine| &machine["machine"]).collect();
    assert_eq!(names, ["job", "lifecycle"]);
    assert_eq!(list["machines"][0]["description"], "Batch job");
    assert_eq!(list["machines"][1]["built_in"], true);
}

#[tokio::test]
async fn a_version_stands_for_ever_and_versions_rise() {
    let cluster = Cluster::one().await;
    let version_2 = JOB.replace("version = 1", "version = 2");
    assert_eq!(cluster.check(put_toml("/v1/machines/job", &version_2)).await.0, 201);
    let (status, problem) =
        cluster.check(put_toml("/v1/machines/job", &version_2.replace("Batch", "Other"))).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("version_conflict")), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains('3'), "{problem}");
    let (status, problem) = cluster.check(put_toml("/v1/machines/job", JOB)).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("version_conflict")), "{problem}");
    let (status, problem) = cluster.get("/v1/machines/job?version=7").await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_machine")), "{problem}");
}

#[tokio::test]
async fn every_fault_of_a_definition_is_told_at_once_with_its_place() {
    let cluster = Cluster::one().await;
    let broken = JOB.replace(r#"on.start = "Running""#, r#"on.start = "Runing""#).replace("type =", "tpye =");
    let (status, problem) = cluster.check(put_toml("/v1/machines/job", &broken)).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("invalid_definition")));
    let faults = problem["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 2, "{problem}");
    assert_eq!(faults[0]["line"], 8);
    assert!(faults[0]["message"].as_str().unwrap().contains("Runing"), "{problem}");
    assert!(faults[0]["rendered"].as_str().unwrap().contains('^'), "{problem}");
    assert_eq!(faults[1]["line"], 15);
    assert_eq!(cluster.get("/v1/machines/job").await.0, 404, "nothing of it was applied");
}

#[tokio::test]
async fn what_is_suspicious_is_applied_and_told() {
    let cluster = Cluster::one().await;
    let lonely = format!("{JOB}\n[states.Lonely]\non.start = \"Init\"\n");
    let (status, applied) = cluster.check(put_toml("/v1/machines/job", &lonely)).await;
    assert_eq!(status, 201, "{applied}");
    assert!(applied["warnings"][0]["message"].as_str().unwrap().contains("Lonely"), "{applied}");
}

#[tokio::test]
async fn the_media_type_and_the_name_must_fit() {
    let cluster = Cluster::one().await;
    let (status, problem) = cluster
        .check(get("/v1/machines/job").method("PUT").header("content-type", "text/plain").body(JOB))
        .await;
    assert_eq!((status, problem["code"].as_str()), (415, Some("unsupported_media_type")));
    assert_eq!(cluster.check(get("/v1/machines/job").method("PUT").body(JOB)).await.0, 415);
    let (status, problem) = cluster.check(put_toml("/v1/machines/jobs", JOB)).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")));
    assert!(problem["hint"].as_str().unwrap().contains("/v1/machines/job"), "{problem}");
    let (status, problem) =
        cluster.check(put_toml("/v1/machines/job", "a = ").body(b"\xff\xfe".to_vec())).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("invalid_definition")), "{problem}");
}
