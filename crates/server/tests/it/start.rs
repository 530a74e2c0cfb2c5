//! Starting and ending: every way to fail says what to do, and what was acknowledged is there after a restart.

use std::net::TcpListener;
use std::path::Path;

use quorate_server::{MemberSettings, Server, ServerConfig, StartError};
use serde_json::json;

use crate::support::{Cluster, settings};

/// The message with which a server does not start.
async fn check(config: ServerConfig) -> (StartError, String) {
    match Server::start(config).await {
        Ok(_) => panic!("the server started"),
        Err(error) => {
            let text = error.to_string();
            (error, text)
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_setting_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let mut config = settings(&directory.path().join("data"));
    config.listen.api = address.clone();
    let (error, text) = check(config.clone()).await;
    assert!(matches!(error, StartError::Listen { whom: "clients", .. }), "{error:?}");
    for word in [address.as_str(), "another program", "listen.api", "QUORATE_LISTEN__API"] {
        assert!(text.contains(word), "{word} in: {text}");
    }
    assert!(!directory.path().join("data").exists(), "nothing was written");
    config.listen.peer = config.listen.api.clone();
    config.listen.api = "127.0.0.1:0".to_owned();
    let (error, text) = check(config).await;
    assert!(matches!(error, StartError::Listen { whom: "peers", .. }), "{error:?}");
    assert!(text.contains("listen.peer"), "{text}");
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let cluster = Cluster::one().await;
    let (error, text) = check(settings(&cluster.directory.path().join("1"))).await;
    assert!(matches!(error, StartError::Node(_)), "{error:?}");
    assert!(text.contains("in use"), "{text}");
    assert_eq!(cluster.get("/livez").await.0, 200, "the first one goes on");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let (error, text) = check(settings(&file.join("data"))).await;
    assert!(matches!(error, StartError::Node(_)), "{error:?}");
    assert!(text.contains(&file.display().to_string()), "{text}");
}

#[tokio::test]
async fn settings_that_do_not_fit_are_refused_before_anything_is_bound() {
    let own = |change: fn(&mut ServerConfig)| {
        let mut config = settings(Path::new("/nonexistent"));
        change(&mut config);
        config
    };
    let (_, text) = check(own(|config| config.listen.api = "0.0.0.0:7480".to_owned())).await;
    assert!(text.contains("--insecure") && text.contains("listen.api"), "{text}");
    let (_, text) = check(own(|config| {
        config.cluster.members = vec![MemberSettings { id: 2, peer: "127.0.0.1:1".to_owned(), api: None }];
    }))
    .await;
    assert!(text.contains("node.id") && text.contains("cluster.members"), "{text}");
    let (_, text) = check(own(|config| config.listen.peer = "nonsense".to_owned())).await;
    assert!(text.contains("host:port"), "{text}");
}

/// In a container, or on all addresses of a machine, a node listens elsewhere than others dial.
#[tokio::test]
async fn where_others_reach_a_node_may_be_said_apart_from_where_it_listens() {
    let cluster = Cluster::one_with(|config| {
        config.advertise.api = Some("node.example:80".to_owned());
        config.advertise.peer = Some("node.example:0".to_owned());
    })
    .await;
    let port = cluster.servers[0].peer_address().port();
    let told = cluster.get_until("/v1/cluster", |status, _| status == 200).await;
    let member = &told["members"][0];
    assert_eq!(
        (&member["api"], &member["peer"]),
        (&json!("node.example:80"), &json!(format!("node.example:{port}")))
    );
    for (told, words) in [
        ("0.0.0.0:7481", "no address that others can dial"),
        ("[::]:7481", "no address that others can dial"),
        ("node.example", "host:port"),
        (":7481", "host:port"),
        ("node.example:high", "host:port"),
    ] {
        let mut config = settings(Path::new("/nonexistent"));
        config.advertise.peer = Some(told.to_owned());
        let (_, text) = check(config).await;
        assert!(text.contains("advertise.peer") && text.contains(words), "{told}: {text}");
    }
    let mut listed = settings(Path::new("/nonexistent"));
    listed.cluster.members =
        vec![MemberSettings { id: 1, peer: "127.0.0.1:1".to_owned(), api: Some("127.0.0.1:2".to_owned()) }];
    listed.advertise.peer = Some("127.0.0.1:3".to_owned());
    listed.advertise.api = Some("127.0.0.1:4".to_owned());
    let (_, text) = check(listed).await;
    assert!(
        text.contains("advertise.peer: cluster.members") && text.contains("advertise.api: cluster.members"),
        "{text}"
    );
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let cluster = Cluster::one().await;
    let instances = "/v1/machines/lifecycle/instances";
    cluster.post(instances, r#"{"id":"a"}"#).await;
    let (_, outcome) = cluster.post(&format!("{instances}/a/proposals"), r#"{"event":"start"}"#).await;
    let directory = cluster.stop().await;
    let server = Server::start(settings(&directory.path().join("1"))).await.unwrap();
    server.node().ready().await.unwrap();
    let cluster = Cluster { servers: vec![server], directory };
    let (status, shown) = cluster.get(&format!("{instances}/a")).await;
    assert_eq!((status, &shown["state"], &shown["revision"]), (200, &outcome["to"], &outcome["revision"]));
}

#[tokio::test]
async fn a_node_that_ends_takes_its_server_along() {
    let cluster = Cluster::one().await;
    let server = &cluster.servers[0];
    server.node().stop().await;
    let cause = server.failed().await;
    assert_eq!(cause, quorate::NodeError::Stopped);
    // The listener closes; until then connections are answered, never left hanging.
    while tokio::net::TcpStream::connect(server.api_address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
