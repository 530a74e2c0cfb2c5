//! Bugs that are planted to prove the checks: a check that cannot fail proves nothing.
//!
//! Each is one line at the place where such a mistake would be made, here or in a room above. Without the feature `planted`,
//! which only the simulator turns on for itself, [`is`] is a constant `false` and nothing of it is compiled in.

/// A mistake that can be made in the code that ships.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bug {
    /// Votes, acknowledgements and vote requests leave before their fsync.
    PromiseBeforeFsync,
    /// A new term is written without its vote.
    VoteNotPersisted,
    /// Who stops leading or standing for election forgets whom it voted for.
    VoteErasedOnStepDown,
    /// An entry of an older term is committed because a quorum holds it.
    OldTermCommittedByCount,
    /// The leader counts its own entries before they are on its disk.
    OwnEntriesCountedUnsynced,
    /// Reads do not wait for the first commit of the leader's term.
    ReadBeforeOwnCommit,
    /// Reads do not wait for a heartbeat round.
    ReadWithoutRound,
    /// An answer to an old heartbeat round confirms the newest one.
    OldRoundConfirmsNew,
    /// Entries are replaced although they are equal, also committed ones.
    CommittedEntriesTruncated,
    /// What stands behind the entries of an append is cut, also when the append is late.
    StaleAppendShortensLog,
    /// A follower commits beyond what the append covered.
    CommitBeyondCovered,
    /// A heartbeat carries the leader's commit index as it is, whatever the peer holds.
    HeartbeatCommitNotCapped,
    /// What an overtaken write carried counts as durable.
    OvertakenWriteAcknowledges,
    /// A fresh leader takes for granted what the peers held in an earlier term.
    MatchOfEarlierTermKept,
    /// An acknowledgement of an older term is counted.
    OldAcknowledgementCounted,
    /// A vote is given to a candidate whose log is older.
    VoteForOlderLog,
    /// Pre-votes are granted while a leader is heard.
    PreVoteWhileLeaderLives,
    /// A leader that hears no quorum goes on leading.
    NoCheckQuorum,
    /// The own vote counts before it is durable.
    OwnVoteCountedUnsynced,
    /// A candidate whose own vote still waits for its disk raises the term at every timeout.
    TermsRaisedWhileDiskWaits,
    /// Entries that were read back are sent although the peer has moved on since.
    StaleFetchUsed,
    /// A candidate of the same term as the leader does not give way to it.
    CandidateIgnoresLeader,
    /// A leader hands over to a node that lacks entries.
    TransferToLaggingNode,
    /// A leader goes on taking proposals while it hands over.
    ProposalsTakenWhileHandingOver,
    /// A leader whose successor does not take over waits for it for ever.
    TransferNeverGivenUp,
    /// A leader whose writes do not progress stays, and so does one of lower priority.
    UnfitLeaderStays,
    /// A node that gave way as unfit does not rest.
    UnfitNodeTakesTheLeadBack,
    /// What a candidate's log lacks is told by its length alone, and what it is given takes the place of what it has.
    DonationByLength,
    /// A node of priority 0 stands for election like any other.
    PriorityZeroElected,
    /// A node whose disk is full acknowledges entries that it could not write.
    PausedNodeAcknowledges,
    /// A leader whose disk is full goes on leading and takes proposals.
    PausedNodeLeads,
    /// A membership is in force only when it is committed.
    MembershipUsedWhenCommitted,
    /// A node that starts forgets the memberships behind the first one.
    MembershipLostOnRestart,
    /// A membership is changed before an entry of the own term is committed.
    ChangeBeforeOwnCommit,
    /// Learners count like voters.
    LearnerCounted,
    /// A node that was removed goes on counting.
    RemovedNodeCounted,
    /// In a joint membership the new voters decide alone.
    OldVotersNotAsked,
    /// The term has three bits, so that a run reaches its end.
    TermWraps,
    /// The log's sync does nothing and says that it did.
    SyncSkipped,
    /// After a failed fsync the next one is believed.
    FailedSyncRetried,
    /// The name of a new segment is not made durable.
    SegmentNameNotSynced,
    /// A new segment does not carry the term and the vote.
    SegmentWithoutVote,
    /// Damage at the end of the log is cut like a torn tail.
    DamageCutAsTornTail,
    /// A last batch that was written to the wrong place is cut like a torn tail.
    MisdirectedBatchCut,
    /// A log that was there and is gone is made anew: the node votes again.
    LostLogMadeAnew,
    /// The log is cut behind a snapshot whose bytes are not on the disk.
    SnapshotNotSynced,
    /// The name of a snapshot is not made durable before the log is cut behind it.
    SnapshotNameNotSynced,
    /// A received snapshot is installed although it is older than what is committed.
    OldSnapshotInstalled,
    /// The term in which a received snapshot was taken is not adopted.
    SnapshotTermIgnored,
    /// A snapshot holds the state without the tables of sessions and keys.
    SnapshotWithoutSessions,
    /// The file LOG names the first segment of a log that begins behind a received snapshot before there is such a segment.
    LogNamedBeforeItsSegment,
    /// A damaged node acknowledges what stands behind the hole in its log.
    DamageAcknowledged,
    /// A node that finds damage in its log cuts it there, and stands for election with the rest.
    DamagedNodeCampaigns,
    /// A damaged entry is replaced by what a peer holds at that index, in whichever term.
    RepairedByIndexAlone,
    /// A repeated request of a session is applied again.
    RepeatedRequestApplied,
    /// A failure is kept as the answer to a request that was applied.
    FailureKeptAsAnswer,
    /// What is remembered of requests ages by the node's own clock.
    KeysExpireByLocalClock,
    /// A command sees the node's own clock instead of the entry's time.
    LocalClockInApply,
    /// What apply does goes by the level that the own binary understands.
    LevelOfTheBinary,
    /// A leader gives entries the time of its own wall clock, whatever those of the others show.
    LeaderTrustsItsClock,
    /// A leader relies on a promise for as long as the peer keeps it, whatever the clocks do.
    LeaseIgnoresDrift,
    /// A lease is counted from the answer to a round instead of from its sending.
    LeaseFromReceipt,
    /// A peer that promises nothing is taken to promise as much as the leader would.
    LeaseWithoutPromise,
    /// Leases and promises are measured by the wall clock.
    LeaseByWallClock,
    /// A leader that hands over goes on answering by its lease.
    TransferKeepsLease,
    /// The word to lead in the leader's place frees voters also of what they promised afterwards.
    OldWordFreesVoters,
    /// A node votes at once after its start, whatever it may have promised before.
    RestartedFollowerVotes,
    /// A leader takes proposals however much is not committed.
    UncommittedBytesUnbounded,
    /// A leader sends on however much a peer has not acknowledged.
    InflightBytesUnbounded,
    /// A node takes proposals however much waits for its answer.
    PendingBytesUnbounded,
}

/// Whether `bug` is planted.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

// What the compiler can work out stays no branch: in the code that ships every question for a bug is answered here.
#[cfg(not(feature = "planted"))]
const _: () = assert!(!is(Bug::PromiseBeforeFsync) && !is(Bug::LocalClockInApply), "nothing is planted");

/// The clock of whoever asks, in milliseconds. Nothing is planted, so nobody asks.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn local_ms() -> u64 {
    0
}

#[cfg(feature = "planted")]
std::thread_local! {
    static CHOSEN: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
    static LOCAL_MS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Plants a bug, or none, into all that runs on this thread from now on.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    CHOSEN.set(bug);
    LOCAL_MS.set(0);
}

/// Sets the planted clock of whoever asks: what a simulated run does must not hang on the runs before it.
#[cfg(feature = "planted")]
pub fn set_clock(local_ms: u64) {
    LOCAL_MS.set(local_ms);
}

/// Whether `bug` is planted.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    CHOSEN.get() == Some(bug)
}

/// A clock that is another one for whoever asks: it moves by an hour each time. The same run asks in the same order.
#[cfg(feature = "planted")]
pub fn local_ms() -> u64 {
    LOCAL_MS.set(LOCAL_MS.get() + 3_600_000);
    LOCAL_MS.get()
}
