//! What an application is told when something is wrong: with the settings, the folder, the peers, or its own code.

use std::io::Read;

use bytes::Bytes;

use quorate::{
    Codec, Context, DecodeError, Fate, LogError, Node, NodeError, ProposeError, ReadError, Snapshot,
    StartError, StateMachine,
};

use crate::cluster::{BOUND, Cluster, Words, all_met, bounded};

/// R66, T38: a machine that panics ends the node, and everybody who waits is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_apply_stops_the_node_with_the_cause_and_no_caller_waits_for_ever() {
    let mut cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    bounded(node.ready()).await.expect("the node runs");
    let waiting: Vec<_> = (0..100).map(|n| (node.clone(), n)).collect();
    let failed = bounded(node.propose("panic now".into())).await.expect_err("apply panicked");
    assert_eq!(failed.fate(), Fate::Unknown, "{failed}");
    for (node, n) in waiting {
        let after = bounded(node.propose(format!("{n}"))).await.expect_err("the node is going down");
        assert!(matches!(after, ProposeError::Stopped { .. }), "{after}");
    }
    let cause = bounded(node.stopped()).await;
    assert!(
        matches!(&cause, NodeError::Panicked { part: "applier", message } if message.contains("told to panic")),
        "{cause}"
    );
    assert!(bounded(node.read(|words| words.0.len())).await.is_err());
}

/// A state machine that does something else than the others must not go on answering.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_state_differs_from_that_of_a_quorum_stops_and_says_so() {
    let mut cluster = Cluster::new(3);
    let ghost = Words(vec!["what no other node has".to_string()]);
    let odd = cluster.try_start_with(3, ghost).await.expect("the node starts");
    let sound = [cluster.start(1).await, cluster.start(2).await];
    // Enough for a first comparison. The odd one may lead until then: its callers, and those that it answers, see what it did.
    for n in 0..100 {
        bounded(sound[0].propose(format!("{n}"))).await.expect("two of three nodes are a quorum");
    }
    let cause = bounded(odd.stopped()).await;
    let NodeError::Diverged { index, peers } = &cause else { panic!("another cause: {cause}") };
    assert_eq!((*index, peers.as_slice()), (64, &[1, 2][..]), "{cause}");
    bounded(sound[1].propose("the others go on".into())).await.expect("two of three nodes are a quorum");
    assert_eq!(bounded(sound[0].read(|words| words.0.len())).await, Ok(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_read_is_the_callers_own() {
    let mut cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    let reader = node.clone();
    let read = tokio::spawn(async move { reader.read(|_: &Words| panic!("the caller's own")).await });
    assert!(bounded(read).await.expect_err("the panic goes on in the caller").is_panic());
    assert_eq!(bounded(node.propose("still here".into())).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_belongs_to_one_process_one_node_and_one_cluster() {
    let mut cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    let check = async |id: u64, token: &str| {
        let builder = Node::builder(cluster.folder(1)).id(id).cluster(token).peers([(id, "127.0.0.1:0")]);
        match builder.start(Words::default()).await {
            Ok(_) => panic!("the folder is not free for node {id} of {token}"),
            Err(StartError::Data { source, .. }) => source,
            Err(other) => panic!("another error: {other}"),
        }
    };
    assert!(matches!(check(1, "tests").await, LogError::InUse));
    bounded(node.stop()).await;
    assert!(matches!(check(1, "others").await, LogError::OtherCluster { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_under_a_known_id_is_refused_by_name() {
    let mut cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    bounded(nodes[0].propose("kept".into())).await.expect("a quorum is there");
    all_met(&nodes).await;
    bounded(nodes.pop().expect("three nodes").stop()).await;
    std::fs::remove_dir_all(cluster.folder(3)).expect("the folder is free");
    let wiped = cluster.start(3).await;
    let refused = |status: &quorate::NodeStatus| {
        status
            .peers
            .iter()
            .any(|peer| peer.last_error.contains("incarnation") || peer.last_error.contains("store"))
    };
    let status = bounded(wiped.wait(refused)).await.expect("the node runs");
    assert_eq!(status.leader, 0, "it takes no part: it has forgotten whom it voted for");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_are_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let check = async |id: u64, members: Vec<(u64, &str)>, wanted: &str| match Node::builder(dir.path())
        .id(id)
        .peers(members)
        .start(Words::default())
        .await
    {
        Err(StartError::Config(what)) => assert!(what.contains(wanted), "{what}"),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it started without {wanted}"),
    };
    check(0, vec![(1, "127.0.0.1:0")], "from 1").await;
    check(2, vec![(1, "127.0.0.1:0")], "not among the members").await;
    check(1, vec![(1, "127.0.0.1:0"), (1, "127.0.0.1:0")], "two members").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_and_a_folder_that_cannot_be_made_are_told_apart() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let in_use =
        Node::builder(dir.path().join("a")).peers([(1, address.clone())]).start(Words::default()).await;
    match in_use {
        Err(error @ StartError::Listen { .. }) => assert!(error.to_string().contains(&address), "{error}"),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the port is taken"),
    }
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").expect("a file");
    let no_folder = Node::builder(file.join("data")).start(Words::default()).await;
    assert!(matches!(no_folder, Err(StartError::Data { source: LogError::NotWritable { .. }, .. })));
}

/// Reads run on the thread that applies: when they are slow, they are refused, and what is to be applied still has its room.
#[tokio::test(flavor = "multi_thread")]
async fn more_slow_reads_than_a_node_takes_are_refused_and_do_not_stop_it() {
    let mut cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    assert_eq!(bounded(node.propose("first".into())).await, Ok(1));
    let (release, released) = std::sync::mpsc::channel::<()>();
    let slow = node.clone();
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let slow = tokio::spawn(async move {
        let held_up = move |_: &Words| begin.send(()).is_ok() && released.recv().is_err();
        slow.read(held_up).await
    });
    // Those that come before it do not wait for it.
    bounded(begun).await.expect("it is read");
    let mut reads = Vec::new();
    for _ in 0..80 {
        for _ in 0..1_000 {
            let node = node.clone();
            reads.push(tokio::spawn(async move { node.read(|words: &Words| words.0.len()).await }));
        }
        // Goes through the same inbox: so the loop has taken the reads before it.
        bounded(node.cluster_status(BOUND)).await;
    }
    let proposer = node.clone();
    let proposed = tokio::spawn(async move { proposer.propose("second".into()).await });
    bounded(node.wait(|status| status.commit_index == status.last_index && status.last_index > 4)).await.ok();
    drop(release);
    assert_eq!(bounded(proposed).await.expect("no panic"), Ok(2));
    assert_eq!(bounded(slow).await.expect("no panic"), Ok(true));
    let mut refused = 0;
    for read in reads {
        match bounded(read).await.expect("no panic") {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, ReadError::Overloaded);
                refused += 1;
            }
        }
    }
    assert!(refused > 40_000, "{refused} of 80,000 reads were refused");
}

/// Counts commands, and gives replies that this build cannot read.
#[derive(Default)]
struct NewerReplies(u64);

#[derive(Debug)]
struct NewerReply;

impl Codec for NewerReply {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(2);
    }

    fn decode(_: &Bytes) -> Result<NewerReply, DecodeError> {
        Err(DecodeError { what: "a reply of version 2".to_string() })
    }
}

impl StateMachine for NewerReplies {
    type Command = String;
    type Reply = NewerReply;

    fn apply(&mut self, _: &Context, _: String) -> NewerReply {
        self.0 += 1;
        NewerReply
    }

    fn snapshot(&self) -> Snapshot {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _: &mut dyn Read) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whoever were told that it did not happen would send it again, and it would happen twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_does_not_decode_is_told_as_applied() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::builder(dir.path()).start(NewerReplies::default()).await.expect("the node starts");
    let error = bounded(node.propose("once".into())).await.expect_err("the reply is of a newer version");
    assert_eq!(bounded(node.read(|machine| machine.0)).await, Ok(1));
    assert_eq!(error.fate(), Fate::Applied, "{error}");
}
