//! Proposals and reads on a healthy cluster and across the loss of its leader.

use quorate::{Node, Proposal, ProposeError, ReadError, RequestId, StepKind};

use crate::cluster::{Cluster, Words, all_met, bounded, leader};

async fn words(node: &Node<Words>) -> Vec<String> {
    bounded(node.read(|words| words.0.clone())).await.expect("a quorum is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_proposals_and_every_node_reads_what_was_answered() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    for (count, node) in (1_u64..).zip(&nodes) {
        let reply = bounded(node.propose(format!("from {count}"))).await.expect("a quorum is there");
        assert_eq!(reply, count);
        for reader in &nodes {
            assert_eq!(
                words(reader).await.len() as u64,
                count,
                "a read sees every proposal answered before it"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_the_leader_and_a_restart_of_all() {
    let mut cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    bounded(nodes[0].propose("first".into())).await.expect("a quorum is there");
    let gone = leader(&nodes).await;
    let gone_id = nodes[gone].status().node;
    bounded(nodes.remove(gone).stop()).await;
    assert_eq!(bounded(nodes[0].propose("second".into())).await.expect("two of three remain"), 2);
    nodes.push(cluster.start(gone_id).await);
    assert_eq!(words(&nodes[2]).await, ["first", "second"], "the node that was away has both");
    for node in nodes.drain(..) {
        bounded(node.stop()).await;
    }
    let nodes = cluster.start_all().await;
    for node in &nodes {
        assert_eq!(words(node).await, ["first", "second"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_is_a_cluster_and_keeps_its_data() {
    let mut cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    assert_eq!(bounded(node.propose("alone".into())).await, Ok(1));
    bounded(node.stop()).await;
    let node = cluster.start(1).await;
    assert_eq!(words(&node).await, ["alone"]);
}

/// Callers are refused at once while the bytes that wait for the loop are too many, and what was refused costs nothing later.
#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_full_of_bytes_refuses_at_once_and_forgets_nothing_that_it_took() {
    let mut cluster = Cluster::new(1);
    cluster.config.command_bytes_max = 1 << 20;
    cluster.config.inbox_bytes_max = 2 << 20;
    let node = cluster.start(1).await;
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.propose("x".repeat(1 << 20)).await })
        })
        .collect();
    let mut kept = 0;
    for caller in callers {
        match bounded(caller).await.expect("no panic") {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_eq!(error, ProposeError::Overloaded, "nothing happened, and the caller is told so")
            }
        }
    }
    assert!(kept >= 2, "as many as the budget holds got in: {kept}");
    let whole = bounded(node.propose("y".repeat(1 << 20))).await.expect("all room is free again");
    assert_eq!(whole, kept + 1, "exactly those that were answered were applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_id_gets_the_first_answer_also_after_a_leader_change_and_a_restart() {
    let mut cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    bounded(nodes[0].open_session(7)).await.expect("a quorum is there");
    let request = |word: &str| Proposal {
        request_id: Some(RequestId::Session { session: 7, sequence: 1, acknowledged: 0 }),
        ..Proposal::new(word.to_string())
    };
    let first = bounded(nodes[0].propose_with(request("once"))).await.expect("a quorum is there").reply;
    let gone = leader(&nodes).await;
    let gone_id = nodes[gone].status().node;
    bounded(nodes.remove(gone).stop()).await;
    for node in &nodes {
        let again = bounded(node.propose_with(request("once"))).await.expect("two of three remain").reply;
        assert_eq!(again, first);
        let other = bounded(node.propose_with(request("another"))).await.map(|proposed| proposed.reply);
        assert_eq!(other, Err(ProposeError::KeyReused), "the same id with another command is refused");
    }
    let back = cluster.start(gone_id).await;
    assert_eq!(bounded(back.propose_with(request("once"))).await.expect("all are there").reply, first);
    assert_eq!(words(&back).await, ["once"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_each_step_of_a_forwarded_proposal() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    // A follower may have become the leader before it is asked: then another one is.
    let steps = loop {
        let (led, term) = (leader(&nodes).await, nodes[0].status().term);
        let proposal = Proposal { explain: true, ..Proposal::new("explained".to_string()) };
        let told = bounded(nodes[(led + 1) % 3].propose_with(proposal)).await.expect("a quorum is there");
        if leader(&nodes).await == led && nodes[0].status().term == term {
            break told.steps.expect("steps were asked for");
        }
    };
    let has = |wanted: fn(&StepKind) -> bool| steps.iter().any(|step| wanted(&step.what));
    assert!(has(|step| matches!(step, StepKind::Accepted)), "{steps:?}");
    assert!(has(|step| matches!(step, StepKind::Forwarded { .. })), "{steps:?}");
    assert!(has(|step| matches!(step, StepKind::Appended { .. })), "{steps:?}");
    assert!(has(|step| matches!(step, StepKind::Committed)), "{steps:?}");
    assert!(has(|step| matches!(step, StepKind::Applied)), "{steps:?}");
    let acknowledged = steps.iter().filter(|step| matches!(step.what, StepKind::Acknowledged { .. })).count();
    assert!(acknowledged >= 2, "a quorum has acknowledged before the commit: {steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_above_the_limit_is_refused_before_anything_happens() {
    let mut cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    bounded(node.ready()).await.expect("the node runs");
    let limit = 1 << 20;
    let refused = bounded(node.propose("x".repeat(limit + 1))).await;
    assert_eq!(refused, Err(ProposeError::TooLarge { bytes: limit + 1, bytes_max: limit }));
    assert_eq!(bounded(node.propose("x".repeat(limit))).await, Ok(1), "the limit itself is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_proposals_in_flight_are_each_applied_once() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    let tasks: Vec<_> = (0..1000)
        .map(|n| {
            let node = nodes[n % 3].clone();
            tokio::spawn(async move { node.propose(format!("{n}")).await })
        })
        .collect();
    for task in tasks {
        bounded(task).await.expect("no client panics").expect("a quorum is there");
    }
    let mut seen: Vec<usize> =
        words(&nodes[0]).await.iter().map(|word| word.parse().expect("a number")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_status_tells_what_was_reached_and_why_the_rest_was_not() {
    let mut cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    all_met(&nodes).await;
    let all = bounded(nodes[0].cluster_status(crate::cluster::BOUND)).await;
    assert_eq!(all.iter().filter(|member| member.status.is_ok()).count(), 3, "{all:?}");
    bounded(nodes.pop().expect("three nodes").stop()).await;
    bounded(nodes[0].wait(|status| status.peers.iter().any(|peer| peer.node == 3 && !peer.connected)))
        .await
        .expect("the node runs");
    let partial = bounded(nodes[0].cluster_status(crate::cluster::BOUND)).await;
    let reached: Vec<bool> = partial.iter().map(|member| member.status.is_ok()).collect();
    assert_eq!(reached, [true, true, false], "{partial:?}");
}

/// A stale read needs no leader and no quorum, and says where it stands and how long it has been alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_read_answers_alone_and_says_how_old_it_may_be() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    for n in 0..3 {
        bounded(nodes[0].propose(format!("{n}"))).await.expect("three nodes are a quorum");
    }
    let leads = leader(&nodes).await;
    let seen = bounded(nodes[leads].read_stale(|words| words.0.len())).await.expect("the node runs");
    assert!(seen.value == 3 && seen.applied.index.0 >= 5, "{seen:?}");
    assert!(seen.contact.is_some() && seen.timestamp_ms > 0, "{seen:?}");
    let alone = nodes[(leads + 1) % 3].clone();
    bounded(alone.read(|words| words.0.len())).await.expect("it has applied all by now");
    for node in &nodes {
        if node.status().node != alone.status().node {
            bounded(node.stop()).await;
        }
    }
    bounded(alone.wait(|status| status.leader == 0)).await.expect("the node runs");
    let seen = bounded(alone.read_stale(|words| words.0.len())).await.expect("the node runs");
    assert_eq!((seen.value, seen.contact), (3, None));
    bounded(alone.stop()).await;
    assert_eq!(bounded(alone.read_stale(|words| words.0.len())).await, Err(ReadError::Stopped));
}
