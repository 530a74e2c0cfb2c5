//! Members that come and go, on real nodes.

use std::net::TcpListener;
use std::time::Duration;

use quorate::{ChangeRefusal, ClusterError, ClusterRefusal, Node, Role};

use crate::cluster::{BOUND, Cluster, Words, all_met, bounded, hand_over, leader};

/// Starts a node that joins the cluster of `nodes`, with an empty folder, under the id that it is given.
async fn join(
    cluster: &mut Cluster,
    nodes: &[Node<Words>],
    voter: bool,
    replaces: Option<u64>,
) -> Node<Words> {
    let socket = cluster.socket();
    let address = socket.local_addr().expect("it is bound").to_string();
    let id = bounded(nodes[0].add_member(&address, None, voter, replaces)).await.expect("it is added");
    start_joined(cluster, nodes[0].cluster_id(), id, Some(socket), &address).await
}

async fn start_joined(
    cluster: &Cluster,
    name: quorate::ClusterId,
    id: u64,
    socket: Option<TcpListener>,
    address: &str,
) -> Node<Words> {
    let builder = Node::builder(cluster.folder(id)).id(id).joins(name).config(cluster.config.clone());
    let builder = match socket {
        Some(socket) => {
            socket.set_nonblocking(true).expect("a socket that does not block");
            builder.listen_on(socket)
        }
        None => builder.listen(address),
    };
    builder.start(Words::default()).await.expect("it starts")
}

/// Waits until a node has this many voters in sight, itself among them if it is one.
async fn settled(node: &Node<Words>, members: usize, voter: bool) {
    let is_settled = |status: &quorate::NodeStatus| {
        status.peers.len() + 1 == members && status.voter == voter && status.leader != 0
    };
    bounded(node.wait(is_settled)).await.expect("the node runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_a_running_cluster_and_finds_the_others_by_itself() {
    let mut cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    for n in 0..20 {
        bounded(nodes[0].propose(format!("{n}"))).await.expect("the cluster serves");
    }
    let fourth = join(&mut cluster, &nodes, true, None).await;
    assert_eq!(fourth.status().node, 4);
    settled(&fourth, 4, true).await;
    assert_eq!(bounded(fourth.read(|words| words.0.len())).await, Ok(20), "a read on the new node sees all");
    assert_eq!(bounded(fourth.propose("from four".into())).await, Ok(21));
    // It is a voter like the others.
    hand_over(&fourth, 4).await;

    // It restarts, and needs nothing but the cluster's name.
    let address = fourth.status().peer_address;
    bounded(fourth.stop()).await;
    drop(fourth);
    let fourth = start_joined(&cluster, nodes[0].cluster_id(), 4, None, &address).await;
    settled(&fourth, 4, true).await;
    assert_eq!(bounded(fourth.propose("again".into())).await, Ok(22));
    nodes.push(fourth);
    all_met(&nodes).await;
    let told = bounded(nodes[1].cluster_status(BOUND)).await;
    let told: Vec<_> =
        told.iter().map(|member| (member.node, member.status.as_ref().map(|s| s.voter))).collect();
    assert_eq!(told, (1..=4).map(|id| (id, Ok(true))).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_grows_to_three_and_shrinks_to_another_one() {
    let mut cluster = Cluster::new(1);
    let mut nodes = cluster.start_all().await;
    bounded(nodes[0].propose("kept".into())).await.expect("the cluster serves");
    for members in 2..=3 {
        let node = join(&mut cluster, &nodes, true, None).await;
        settled(&node, members, true).await;
        nodes.push(node);
    }
    // The first one goes, although it leads: it hands over.
    hand_over(&nodes[0], 1).await;
    bounded(nodes[1].remove_member(1)).await.expect("it is removed");
    bounded(nodes[1].wait(|status| status.leader != 1 && status.leader != 0)).await.expect("the node runs");
    bounded(nodes.remove(0).stop()).await;
    bounded(nodes[0].remove_member(2)).await.expect("it is removed");
    bounded(nodes.remove(0).stop()).await;
    let last = &nodes[0];
    bounded(last.wait(|status| status.role == Role::Leader)).await.expect("the node runs");
    assert_eq!(bounded(last.propose("alone".into())).await, Ok(2));
    let refused = bounded(last.remove_member(3)).await;
    let last_voter = ClusterError::Refused(ClusterRefusal::Change(ChangeRefusal::LastVoter));
    assert_eq!(refused, Err(last_voter));
}

/// R43, T23: a node whose disk is gone is replaced under a new id; under its old one it is nobody, with an empty folder too.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_replaced_in_one_request_and_never_comes_back() {
    let mut cluster = Cluster::new(3);
    // The term is to stay: no pause of a busy machine may end it.
    cluster.config.election_timeout = Duration::from_secs(4);
    let mut nodes = cluster.start_all().await;
    let dead = (leader(&nodes).await + 1) % 3;
    let dead_id = nodes[dead].status().node;
    bounded(nodes.remove(dead).stop()).await;
    let fourth = join(&mut cluster, &nodes, true, Some(dead_id)).await;
    settled(&fourth, 3, true).await;
    bounded(nodes[0].wait(|status| status.peers.iter().all(|peer| peer.node != dead_id)))
        .await
        .expect("it runs");
    std::fs::remove_dir_all(cluster.folder(dead_id)).expect("its folder is there");
    let ghost = cluster.start(dead_id).await;
    let term = nodes[0].status().term;
    assert_eq!(bounded(fourth.propose("served".into())).await, Ok(1));
    let refused = |status: &quorate::NodeStatus| status.peers.iter().all(|peer| !peer.last_error.is_empty());
    bounded(ghost.wait(refused)).await.expect("the ghost runs");
    assert_eq!(ghost.status().leader, 0);
    assert_eq!(nodes[0].status().term, term, "it disturbs nobody");
    let again = bounded(nodes[0].add_member("127.0.0.1:1", Some(dead_id), true, None)).await;
    let next = ClusterError::Refused(ClusterRefusal::Change(ChangeRefusal::IdUsed {
        node: quorate::NodeId::new(dead_id),
        next: quorate::NodeId::new(5),
    }));
    assert_eq!(again, Err(next));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_serves_and_does_not_count() {
    let mut cluster = Cluster::new(1);
    let nodes = cluster.start_all().await;
    let learner = join(&mut cluster, &nodes, false, None).await;
    settled(&learner, 2, false).await;
    assert_eq!(bounded(learner.propose("through the learner".into())).await, Ok(1));
    bounded(learner.stop()).await;
    assert_eq!(bounded(nodes[0].propose("without it".into())).await, Ok(2), "one voter of one is a quorum");
}
