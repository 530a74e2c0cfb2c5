//! Whole runs: what must hold whatever happens.

use crate::cluster::Cluster;

#[test]
fn three_nodes_left_alone_elect_one_leader_and_commit() {
    let mut cluster = Cluster::new(3);
    cluster.tick(60);
    let leaders = cluster.leaders();
    assert_eq!(leaders.len(), 1);
    cluster.propose(leaders[0], b"a");
    cluster.settle();
    cluster.tick(5);
    for number in cluster.numbers() {
        assert_eq!(cluster.raft(number).commit_index().0, 3, "{}", cluster.raft(number).status());
    }
}
