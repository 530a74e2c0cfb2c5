//! A new cluster of the survivors of a lost one (T22), interrupted at each step: the same call again ends as if it had not been. What a crash
//! leaves of each single write is enumerated in `crates/log/tests/it/founding.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quorate::recovery::{Recovered, RecoveryError, Survey};
use quorate::{ClusterId, Config, LogError, Node, StartError};

use crate::cluster::{Cluster, Words, bounded};

/// What each step leaves, in their order.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// The new folder is not whole, and has no owner yet.
    HalfWritten,
    /// It is, under the name of an unfinished one.
    Written,
    /// One of the old folders is marked.
    MarkedOne,
    /// Both are.
    MarkedAll,
    /// The new folder has its name.
    Named,
}

/// Words in a cluster of four, whose nodes are stopped: the folders of two of them, which are no quorum, and the settings.
async fn survivors(dir: &Path) -> (Vec<PathBuf>, Config) {
    let mut cluster = Cluster::new(4);
    let nodes = cluster.start_all().await;
    for n in 0..10 {
        bounded(nodes[0].propose(format!("word {n}"))).await.expect("a quorum runs");
    }
    let all = nodes[0].status().last_index;
    for node in &nodes {
        bounded(node.wait(|status| status.persisted_index >= all)).await.expect("the node runs");
    }
    for node in nodes {
        bounded(node.stop_at_once()).await;
    }
    let copied = |id: u64| {
        let to = dir.join(format!("n{id}"));
        copy(&cluster.folder(id), &to);
        to
    };
    (vec![copied(1), copied(2)], cluster.config.clone())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}

/// The bytes of all files but the mark.
fn contents(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for path in fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            contents(&path, found);
        } else if !path.ends_with(MARK) {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
}

/// Makes of a recovery that is done what it was after this step.
fn take_back(to: Step, old: &[PathBuf], into: &Path, beside: &Path) {
    if to < Step::Named {
        fs::rename(into, beside).expect("it has its name");
    }
    for (folder, marked) in old.iter().zip([Step::MarkedOne, Step::MarkedAll]) {
        if to < marked {
            fs::remove_file(folder.join(MARK)).expect("it is marked");
        }
    }
    if to < Step::Written {
        fs::rename(beside.join("NODE"), beside.join("NODE.tmp")).expect("it has an owner");
    }
}

fn recover(old: &[PathBuf], into: &Path, give_up: ClusterId) -> Result<Recovered, RecoveryError> {
    Survey::of(old).recover(into, give_up)
}

/// The new cluster holds all that the old one had acknowledged, and goes on.
async fn serves(recovered: &Recovered, config: Config) {
    let builder =
        Node::builder(&recovered.directory).id(recovered.node.get()).cluster(recovered.token.clone());
    let node =
        builder.config(config).peers([(recovered.node.get(), "127.0.0.1:0")]).start(Words::default()).await;
    let node = node.expect("it starts");
    assert_eq!(bounded(node.propose("after".into())).await, Ok(11));
    let words = bounded(node.read(|words: &Words| words.0.clone())).await.expect("it leads");
    assert_eq!(words[..2], ["word 0", "word 1"]);
    bounded(node.stop_at_once()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_interrupted_is_finished_by_the_same_call() {
    let origin = tempfile::tempdir().expect("a folder");
    let (folders, config) = survivors(origin.path()).await;
    for step in [Step::HalfWritten, Step::Written, Step::MarkedOne, Step::MarkedAll, Step::Named] {
        let dir = tempfile::tempdir().expect("a folder");
        let old = ["n1", "n2"].map(|name| dir.path().join(name));
        for (from, to) in folders.iter().zip(&old) {
            copy(from, to);
        }
        let (into, beside) = (dir.path().join("new"), dir.path().join("new.unfinished"));
        let mut before = BTreeMap::new();
        old.iter().for_each(|folder| contents(folder, &mut before));
        let give_up = Survey::of(&old).best().expect("both are whole").cluster;
        let first = recover(&old, &into, give_up).expect("no quorum is left");
        take_back(step, &old, &into, &beside);

        // Once a folder is marked there is one new cluster, and no second one is made of it beside the first.
        let is_decided = step >= Step::MarkedOne;
        if is_decided {
            let refused =
                Node::builder(&old[0]).id(1).cluster("tests").peers((1..=4).map(|id| (id, "127.0.0.1:0")));
            let refused = refused.start(Words::default()).await.map(drop);
            assert!(
                matches!(refused, Err(StartError::Data { source: LogError::GivenUp { .. }, .. })),
                "{step:?}: {refused:?}"
            );
            let elsewhere = recover(&old, &dir.path().join("other"), give_up);
            assert!(matches!(elsewhere, Err(RecoveryError::Taken { .. })), "{step:?}: {elsewhere:?}");
        }
        let again = recover(&old, &into, give_up).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        assert_eq!(again.cluster == first.cluster, is_decided, "{step:?}");
        assert_eq!(again.token == first.token, is_decided, "{step:?}");
        assert!(into.is_dir() && !beside.exists(), "{step:?}: the new folder has its name");
        for (folder, survivor) in old.iter().zip(Survey::of(&old).survivors()) {
            let found = survivor.found.as_ref().expect("it can be read");
            let mark = found.given_up.as_ref().map(|mark| mark.cluster);
            assert_eq!(mark, Some(again.cluster), "{step:?}: {} is marked", folder.display());
        }
        let mut after = BTreeMap::new();
        old.iter().for_each(|folder| contents(folder, &mut after));
        assert!(before == after, "{step:?}: the old folders hold what they held");
        let third = recover(&old, &into, give_up).expect("it is done");
        assert_eq!((third.cluster, &third.token), (again.cluster, &again.token), "{step:?}");
        serves(&again, config.clone()).await;
    }
}

/// A crash that leaves the new folder without the marks decides nothing: whoever then finds that a quorum is there after all goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_has_marked_nobody_can_still_be_left() {
    let origin = tempfile::tempdir().expect("a folder");
    let (old, _) = survivors(origin.path()).await;
    let (into, beside) = (origin.path().join("new"), origin.path().join("new.unfinished"));
    let give_up = Survey::of(&old).best().expect("both are whole").cluster;
    recover(&old, &into, give_up).expect("no quorum is left");
    take_back(Step::Written, &old, &into, &beside);
    let node = Node::builder(&old[0]).id(1).cluster("tests").peers((1..=4).map(|id| (id, "127.0.0.1:0")));
    let node = node.start(Words::default()).await.expect("it is a node of the old cluster still");
    bounded(node.stop_at_once()).await;
    // What is in the way and is no folder of a node stays.
    fs::write(beside.join("notes"), "mine").expect("a file");
    let refused = recover(&old, &into, give_up).map(drop);
    assert!(matches!(refused, Err(RecoveryError::Taken { .. })), "{refused:?}");
    assert!(beside.join("NODE").exists() && beside.join("notes").exists(), "nothing was removed");
}

/// The file that marks a folder as given up.
const MARK: &str = "GIVEN-UP";
