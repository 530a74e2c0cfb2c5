//! Whether a new cluster may be made of these folders, and what is lost with it. Pure: what the folders say goes in, one sentence comes out.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use quorate_core::entry::Membership;
use quorate_core::quorum::has_quorum;
use quorate_core::types::{ClusterId, EntryId, NodeId};

use super::survey::Survey;

/// Why a new cluster is not made. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A folder cannot be used.
    Unusable {
        /// Which one.
        directory: PathBuf,
        /// Why.
        why: String,
    },
    /// Two folders belong to different clusters.
    OtherCluster {
        /// The second one.
        directory: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// That of the first one.
        first: ClusterId,
    },
    /// Two folders are of the same node: one is a copy of the other, and nobody can say which one is older.
    SameNode(NodeId),
    /// They were given up for different clusters.
    GivenUpTwice,
    /// There is a node whose data names no members: it has never been part of anything.
    NoMembers(NodeId),
    /// Enough is left to elect a leader: no recovery is needed.
    QuorumIsHere {
        /// Who would be elected.
        leader: NodeId,
        /// By which voters' data.
        voters: BTreeSet<NodeId>,
    },
    /// What was to be given up is another cluster than this.
    NotNamed {
        /// The cluster of the folders.
        cluster: ClusterId,
    },
}

/// What a new cluster may lack of what was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Nothing: the missing voters were too few to acknowledge anything among themselves.
    Nothing,
    /// The missing voters are a quorum: what only they had is lost, and nobody can say whether that is anything.
    Unknowable {
        /// The voters of whom there is no data.
        missing: BTreeSet<NodeId>,
    },
}

/// What one folder says that matters here.
#[derive(Clone, Debug)]
struct Voice {
    node: NodeId,
    last: EntryId,
    membership: Membership,
    /// Whether all its bytes are there: only then it can lead.
    whole: bool,
}

impl Survey {
    /// Whether a new cluster may be made of these folders. `give_up` is the cluster that the caller named, if he was asked already.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, give_up: Option<ClusterId>) -> Result<(), Refusal> {
        let mut first: Option<ClusterId> = None;
        for survivor in &self.survivors {
            let unusable = |why: String| Refusal::Unusable { directory: survivor.directory.clone(), why };
            let found = survivor.found.as_ref().map_err(|error| unusable(error.to_string()))?;
            let first = *first.get_or_insert(found.cluster);
            if found.cluster != first {
                let (directory, found) = (survivor.directory.clone(), found.cluster);
                return Err(Refusal::OtherCluster { directory, found, first });
            }
        }
        let voices = self.voices();
        let mut marks = self.found().filter_map(|found| found.given_up.as_ref());
        if let Some(mark) = marks.next()
            && marks.any(|other| other != mark)
        {
            return Err(Refusal::GivenUpTwice);
        }
        check_voices(&voices)?;
        for survivor in &self.survivors {
            if let Some(why) = survivor.found.as_ref().ok().and_then(super::Found::damage) {
                let why = format!("{why}: leave it out if what only this node had may be lost");
                return Err(Refusal::Unusable { directory: survivor.directory.clone(), why });
            }
        }
        match first.filter(|first| give_up.is_some_and(|named| named != *first)) {
            Some(cluster) => Err(Refusal::NotNamed { cluster }),
            None => Ok(()),
        }
    }

    /// What may be lost. Says nothing of folders that could not be read: they count as missing.
    pub fn loss(&self) -> Loss {
        loss_of(&self.voices())
    }

    fn voices(&self) -> Vec<Voice> {
        let voice = |found: &super::Found| Voice {
            node: found.node,
            last: found.last(),
            membership: (*found.membership).clone(),
            whole: found.damage().is_none(),
        };
        self.found().map(voice).collect()
    }
}

/// A node can be elected if a quorum of the newest members that it knows of has logs that are not further than its own. Who that
/// is, depends on what each of them knows: within a change of members two nodes may know different ones.
fn check_voices(voices: &[Voice]) -> Result<(), Refusal> {
    for (place, voice) in voices.iter().enumerate() {
        if voice.membership.voters.is_empty() {
            return Err(Refusal::NoMembers(voice.node));
        }
        if voices[..place].iter().any(|other| other.node == voice.node) {
            return Err(Refusal::SameNode(voice.node));
        }
    }
    for candidate in voices.iter().filter(|voice| voice.whole && voice.membership.is_voter(voice.node)) {
        let votes = voices.iter().filter(|voice| voice.last <= candidate.last).map(|voice| voice.node);
        let voters: BTreeSet<NodeId> = votes.filter(|node| candidate.membership.is_voter(*node)).collect();
        if has_quorum(&candidate.membership, |node| voters.contains(&node)) {
            return Err(Refusal::QuorumIsHere { leader: candidate.node, voters });
        }
    }
    Ok(())
}

/// Whatever was acknowledged was on the disks of a quorum. If the missing voters are none, one of that quorum is here, and the best log
/// holds what its log holds (thesis 3.6.3). Asked of each membership that somebody here takes for the newest.
fn loss_of(voices: &[Voice]) -> Loss {
    let here: BTreeSet<NodeId> = voices.iter().filter(|voice| voice.whole).map(|voice| voice.node).collect();
    let mut missing = BTreeSet::new();
    let mut may_have_decided = false;
    for Voice { membership, .. } in voices {
        let voters = membership.voters.union(&membership.voters_outgoing).copied();
        missing.extend(voters.filter(|node| !here.contains(node)));
        may_have_decided |= has_quorum(membership, |node| !here.contains(&node));
    }
    if may_have_decided { Loss::Unknowable { missing } } else { Loss::Nothing }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unusable { directory, why } => {
                write!(f, "{} cannot be used: {why}", directory.display())
            }
            Refusal::OtherCluster { directory, found, first } => write!(
                f,
                "{} belongs to cluster {found}, the folder before it to cluster {first}: name folders of one cluster only",
                directory.display()
            ),
            Refusal::SameNode(node) => write!(
                f,
                "two of the folders are of node {}: one is a copy, perhaps an older one; name only the one that the node used last",
                node.get()
            ),
            Refusal::GivenUpTwice => f.write_str(
                "these folders were given up for two different clusters: name only those that belong together",
            ),
            Refusal::NoMembers(node) => write!(
                f,
                "the data of node {} names no members: it has received nothing yet, so there is nothing in it to be saved",
                node.get()
            ),
            Refusal::QuorumIsHere { leader, voters } => {
                f.write_str("no quorum is lost: the data of")?;
                list(f, voters)?;
                write!(
                    f,
                    " is here, and node {} can be elected by them: start these nodes, nothing is lost. Then replace the dead \
                     ones with `quorate cluster remove` and `quorate server --join`",
                    leader.get()
                )
            }
            Refusal::NotNamed { cluster } => {
                write!(f, "the cluster of these folders is {cluster}, and another one was named to be given up")
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Nothing => f.write_str(
                "nothing that was acknowledged: the missing voters are no quorum, so each such write is in one of these folders",
            ),
            Loss::Unknowable { missing } => {
                f.write_str("whatever was acknowledged by")?;
                list(f, missing)?;
                f.write_str(" alone: they are a quorum, and nobody can know whether they had something that is not here")
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, nodes: &BTreeSet<NodeId>) -> fmt::Result {
    for (place, node) in nodes.iter().enumerate() {
        let before = match place {
            0 => " ",
            place if place + 1 == nodes.len() => " and ",
            _ => ", ",
        };
        write!(f, "{before}{node}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_core::entry::Membership;
    use quorate_core::types::{EntryId, NodeId};

    use super::{Loss, Refusal, Voice, check_voices, loss_of};

    fn set(ids: &[u64]) -> std::collections::BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId::new).collect()
    }

    /// A node with its last entry, and the voters that it knows of: of the change's end and of its beginning.
    fn voice(node: u64, last: (u64, u64), voters: &[u64], outgoing: &[u64]) -> Voice {
        let membership =
            Membership { voters: set(voters), voters_outgoing: set(outgoing), ..Membership::default() };
        Voice { node: NodeId::new(node), last: EntryId::new(last.0, last.1), membership, whole: true }
    }

    /// Whether a leader could be elected, as its id, or 0; and of whom it is unknowable what they alone had.
    fn check(voices: &[Voice], leader: u64, missing: &[u64]) {
        let found = match check_voices(voices) {
            Err(Refusal::QuorumIsHere { leader, .. }) => leader.get(),
            Err(refusal) => panic!("{refusal}"),
            Ok(()) => 0,
        };
        assert_eq!(found, leader, "{voices:#?}");
        let lost = match loss_of(voices) {
            Loss::Nothing => set(&[]),
            Loss::Unknowable { missing } => missing,
        };
        assert_eq!(lost, set(missing), "{voices:#?}");
    }

    #[test]
    fn recovery_is_refused_where_a_leader_can_still_be_elected() {
        let three = [1, 2, 3];
        check(&[voice(1, (1, 5), &three, &[])], 0, &[2, 3]);
        check(&[voice(1, (1, 5), &three, &[]), voice(3, (1, 4), &three, &[])], 1, &[]);
        check(&[voice(2, (1, 5), &[2], &[])], 2, &[]);
        // A learner's data and that of a removed node elect nobody, and the last voter but one is alone.
        check(&[voice(4, (1, 9), &three, &[]), voice(1, (1, 8), &three, &[])], 0, &[2, 3]);
    }

    #[test]
    fn of_an_even_number_of_voters_half_may_die_and_nothing_is_lost_that_was_acknowledged() {
        let four = [1, 2, 3, 4];
        check(&[voice(1, (2, 5), &four, &[]), voice(2, (2, 7), &four, &[])], 0, &[]);
        check(&[voice(1, (2, 5), &four, &[])], 0, &[2, 3, 4]);
    }

    #[test]
    fn within_a_change_of_members_a_quorum_of_both_sets_is_needed() {
        let joint = |node, last| voice(node, last, &[1, 4, 5], &[1, 2, 3]);
        check(&[joint(1, (3, 9)), joint(4, (3, 9))], 0, &[]);
        check(&[joint(1, (3, 9)), joint(4, (3, 9)), joint(2, (3, 9))], 1, &[]);
        // Only the furthest has heard of the change: the two others still decide by the old members.
        check(
            &[joint(1, (3, 9)), voice(2, (3, 8), &[1, 2, 3], &[]), voice(3, (3, 8), &[1, 2, 3], &[])],
            2,
            &[],
        );
        // Both sets are mostly gone.
        check(&[joint(1, (3, 9))], 0, &[2, 3, 4, 5]);
    }

    #[test]
    fn who_votes_for_whom_is_a_matter_of_the_logs() {
        // Node 5 is no voter for node 1, but its log is further: it elects nobody and hinders nobody.
        let three = [1, 2, 3];
        check(
            &[voice(1, (2, 5), &three, &[]), voice(2, (3, 1), &three, &[]), voice(5, (9, 9), &three, &[])],
            2,
            &[],
        );
        let mut damaged = voice(2, (3, 1), &three, &[]);
        damaged.whole = false;
        check(&[voice(1, (2, 5), &three, &[]), damaged], 0, &[2, 3]);
    }

    #[test]
    fn copies_and_empty_folders_are_refused() {
        let one = voice(1, (1, 5), &[1, 2, 3], &[]);
        assert_eq!(check_voices(&[one.clone(), one.clone()]), Err(Refusal::SameNode(NodeId::new(1))));
        assert_eq!(check_voices(&[one, voice(4, (0, 0), &[], &[])]), Err(Refusal::NoMembers(NodeId::new(4))));
    }
}
