//! Handing the leadership over between real nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quorate::{ClusterError, ClusterRefusal, Fate, Role};

use crate::cluster::{Cluster, bounded, hand_over, leader};

#[tokio::test(flavor = "multi_thread")]
async fn any_node_can_be_asked_for_another_leader() {
    let mut cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    for to in [1, 2, 3, 3] {
        for asked in &nodes {
            hand_over(asked, to).await;
        }
        bounded(nodes[0].wait(|status| status.leader == to)).await.expect("the node runs");
    }
    let before = nodes[leader(&nodes).await].status().node;
    let mut chosen = before;
    while chosen == before {
        chosen = bounded(nodes[1].transfer_leadership(None)).await.unwrap_or(before);
    }
    let refused = bounded(nodes[1].transfer_leadership(Some(9))).await.expect_err("there is no node 9");
    assert!(matches!(refused, ClusterError::Refused(ClusterRefusal::NotVoter(_))), "{refused}");
    assert_eq!(refused.fate(), Fate::NotAccepted);
    for node in &nodes {
        bounded(node.stop_at_once()).await;
    }
    let stopped = bounded(nodes[0].transfer_leadership(None)).await;
    assert_eq!(stopped, Err(ClusterError::Stopped { sent: false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_has_nobody_to_hand_over_to() {
    let mut cluster = Cluster::new(1);
    let nodes = cluster.start_all().await;
    let refused = bounded(nodes[0].transfer_leadership(None)).await;
    assert_eq!(refused, Err(ClusterError::Refused(ClusterRefusal::NobodyElse)));
    assert_eq!(bounded(nodes[0].transfer_leadership(Some(1))).await, Ok(1), "it leads already");
    bounded(nodes[0].stop()).await;
}

/// When a leader has stopped, another one leads already: nobody waits for an election timeout. It is a long one, so that no pause of a busy
/// machine ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_leaves_a_leader_behind() {
    let mut cluster = Cluster::new(3);
    cluster.config.election_timeout = Duration::from_secs(4);
    let mut nodes = cluster.start_all().await;
    let old = nodes.remove(leader(&nodes).await);
    let term = old.status().term;
    bounded(old.stop()).await;
    let next = nodes.iter().find(|node| node.status().role == Role::Leader);
    let next = next.expect("another node leads when the old leader has stopped");
    assert_eq!(next.status().term, term + 1, "one election, won at once");
    assert_eq!(bounded(next.propose("served".into())).await, Ok(1));
}

/// All nodes are stopped and started in turn, as for a new version, while callers of the other nodes go on: none of them is
/// told a failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_nobody() {
    let mut cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    let answered = Arc::new(AtomicU64::new(0));
    for id in 1..=3 {
        let place = id - 1;
        let node = nodes.remove(place);
        let done = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = nodes
            .iter()
            .cloned()
            .map(|node| {
                let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
                tokio::spawn(async move {
                    while !done.load(Ordering::SeqCst) {
                        node.propose("word".into()).await?;
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok::<(), quorate::ProposeError>(())
                })
            })
            .collect();
        bounded(node.stop()).await;
        drop(node);
        let node = cluster.start(id as u64).await;
        bounded(node.ready()).await.expect("the node runs");
        let behind = nodes[0].status().commit_index;
        bounded(node.wait(|status| status.applied_index >= behind)).await.expect("the node runs");
        nodes.insert(place, node);
        done.store(true, Ordering::SeqCst);
        for caller in callers {
            assert_eq!(bounded(caller).await.expect("no panic"), Ok(()));
        }
    }
    let answered = usize::try_from(answered.load(Ordering::SeqCst)).expect("a count");
    assert!(answered > 0);
    let words = bounded(nodes[0].read(|words| words.0.len())).await.expect("the cluster serves");
    assert_eq!(words, answered, "each answered once, each applied once");
}
