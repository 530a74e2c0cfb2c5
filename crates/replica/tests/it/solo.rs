//! One replica, driven by hand: what it takes in, what it refuses at once, what it tells, what its bounds are.

use bytes::Bytes;
use quorate_core::config::Config;
use quorate_core::entry::{Entry, HardState, Membership, Payload};
use quorate_core::message::{Envelope, Message, Standing};
use quorate_core::raft::Raft;
use quorate_core::ready::Durable;
use quorate_core::status::Role;
use quorate_core::stored::Stored;
use quorate_core::types::{EntryId, Index, NodeId, Term};
use quorate_replica::applier::Applier;
use quorate_replica::cluster::{ClusterDone, ClusterError};
use quorate_replica::config::ReplicaConfig;
use quorate_replica::effect::{Answered, ApplyBatch, Effect, FetchPurpose};
use quorate_replica::error::{Fate, ProposeError, ReadError};
use quorate_replica::input::{Input, Now, Ticket};
use quorate_replica::peer_message::{ForwardAnswer, PeerMessage};
use quorate_replica::replica::Replica;
use quorate_replica::request::{CommandEnvelope, CommandKind, RequestId};
use quorate_replica::session::SessionLimits;

use crate::applier::{Tally, envelope};

/// Node 1 of `voters` voters. Its clock moves a millisecond with each turn.
pub(crate) struct Solo {
    pub(crate) replica: Replica,
    pub(crate) applier: Applier<Tally>,
    now_us: u64,
    /// Batches that the applier has not done yet.
    batches: Vec<ApplyBatch>,
    /// Answers to local callers, in order.
    pub(crate) answers: Vec<(Ticket, Answered)>,
    /// Answers to reads, in order.
    pub(crate) reads: Vec<(Ticket, Result<Index, ReadError>)>,
    pub(crate) sent: Vec<(NodeId, PeerMessage)>,
    /// Answers to operators, in order.
    pub(crate) cluster_answers: Vec<(Ticket, Result<ClusterDone, ClusterError>)>,
    /// What was to be read back for the applier, and was not.
    fetches: Vec<(Index, Index)>,
    pub(crate) diverged: Vec<(Index, Vec<NodeId>, bool)>,
    /// What is asked for snapshots, in order.
    pub(crate) snapshots: Vec<Effect>,
}

pub(crate) const ME: NodeId = NodeId::new(1);
pub(crate) const PEER: NodeId = NodeId::new(2);

impl Solo {
    pub(crate) fn new(voters: u64, change: impl FnOnce(&mut ReplicaConfig)) -> Solo {
        Solo::of(Stored::bootstrap(Membership::of_voters((1..=voters).map(NodeId::new))), change)
    }

    fn of(stored: Stored, change: impl FnOnce(&mut ReplicaConfig)) -> Solo {
        let mut config = ReplicaConfig::new(77, 1);
        config.proposal_timeout_ticks = 1_000;
        config.read_timeout_ticks = 1_000;
        config.forward_retry_ticks = 100;
        change(&mut config);
        Solo {
            replica: Replica::new(config, Raft::new(Config::new(ME), stored)),
            applier: Applier::new(Tally::default(), SessionLimits::default()),
            now_us: 0,
            batches: Vec::new(),
            answers: Vec::new(),
            reads: Vec::new(),
            sent: Vec::new(),
            cluster_answers: Vec::new(),
            fetches: Vec::new(),
            diverged: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// The only voter, which leads, with its own session open.
    pub(crate) fn leader(change: impl FnOnce(&mut ReplicaConfig)) -> Solo {
        let mut solo = Solo::new(1, change);
        solo.turn(vec![Input::Campaign]);
        solo.turn(vec![propose(1_000_000, None, 0, false)]);
        while solo.answers.is_empty() {
            assert!(!solo.batches.is_empty(), "the first proposal is on its way to the applier");
            solo.apply();
        }
        assert_eq!(solo.answers.pop().map(|(ticket, _)| ticket), Some(Ticket(1_000_000)));
        solo
    }

    /// The leader of `voters` voters in term 1, with its own session open.
    pub(crate) fn leader_of(voters: u64, change: impl FnOnce(&mut ReplicaConfig)) -> Solo {
        let mut solo = Solo::new(voters, change);
        solo.turn(vec![Input::Campaign]);
        let vote = |peer| raft(NodeId::new(peer), 1, Message::VoteResponse { granted: true, wall_ms: 0 });
        solo.turn((2..=voters).map(vote).collect());
        solo.turn(vec![propose(1_000_000, None, 0, false)]);
        while solo.answers.is_empty() {
            solo.acknowledge_all(voters);
            solo.apply();
        }
        solo.answers.clear();
        solo.sent.clear();
        solo
    }

    /// All others hold all that this leader has.
    pub(crate) fn acknowledge_all(&mut self, voters: u64) {
        let matched = self.replica.raft().last().index;
        let answer = |peer| raft(NodeId::new(peer), 1, Message::AppendResponse { matched });
        self.turn((2..=voters).map(answer).collect());
    }

    /// One of three voters, which follows node 2 in term 1.
    pub(crate) fn follower(change: impl FnOnce(&mut ReplicaConfig)) -> Solo {
        let mut solo = Solo::new(3, change);
        solo.turn(vec![raft(
            PEER,
            1,
            Message::Heartbeat { commit: Index(1), round: 1, asks_promise: false },
        )]);
        solo.sent.clear();
        solo
    }

    /// A turn, and further ones for what the disk answers. The applier stands still.
    pub(crate) fn turn(&mut self, inputs: Vec<Input>) {
        let mut inputs = inputs;
        loop {
            self.now_us += 1_000;
            self.replica.begin_turn(Now { monotonic_us: self.now_us, wall_ms: self.now_us / 1_000 });
            inputs.drain(..).for_each(|input| self.replica.step(input));
            for effect in self.replica.drain() {
                match effect {
                    Effect::Send { to, message } => self.sent.push((to, message)),
                    Effect::Persist(write) => {
                        inputs.push(Input::Persisted(write.number));
                        let released = write.barrier.release(Durable::attest(write.number));
                        self.sent.extend(released.into_iter().map(|out| (out.to, PeerMessage::Raft(out))));
                    }
                    Effect::Apply(batch) => self.batches.push(batch),
                    Effect::Read { ticket, index } => self.reads.push((ticket, Ok(index))),
                    Effect::RefuseRead { ticket, error } => self.reads.push((ticket, Err(error))),
                    Effect::RefuseProposal { ticket, error } => {
                        self.answers.push((ticket, Answered { outcome: Err(error), trace: None }));
                    }
                    Effect::Answer { ticket, answered } => self.answers.push((ticket, answered)),
                    Effect::Fetch { purpose, from, through, .. } => {
                        assert_eq!(purpose, FetchPurpose::Apply, "no peer is behind the window");
                        self.fetches.push((from, through));
                    }
                    Effect::Diverged { index, from, outvoted } => self.diverged.push((index, from, outvoted)),
                    effect @ (Effect::TakeSnapshot { .. }
                    | Effect::Compact { .. }
                    | Effect::Restore { .. }
                    | Effect::ReadPiece { .. }
                    | Effect::StorePiece { .. }
                    | Effect::DiscardSnapshot) => self.snapshots.push(effect),
                    Effect::AnswerCluster { ticket, result } => self.cluster_answers.push((ticket, result)),
                    Effect::Members { .. } | Effect::Fact(_) => {}
                }
            }
            if inputs.is_empty() {
                return;
            }
        }
    }

    /// Lets the applier do all its batches.
    pub(crate) fn apply(&mut self) {
        let mut reports = Vec::new();
        for batch in std::mem::take(&mut self.batches) {
            let applied = self.applier.apply(batch);
            reports.push(applied.report);
            for answer in applied.answers {
                self.answers.push((answer.ticket, answer.finish(self.now_us)));
            }
        }
        self.turn(reports);
    }

    pub(crate) fn tick(&mut self, elapsed: u64) {
        self.turn(vec![Input::Tick { elapsed }]);
    }

    /// The one proposal in the messages sent, with the peer that it was sent to.
    pub(crate) fn forwarded(&mut self) -> Vec<(NodeId, Ticket, Bytes)> {
        let mut found = Vec::new();
        for (to, message) in self.sent.drain(..) {
            if let PeerMessage::Forward { proposals } = message {
                found.extend(proposals.into_iter().map(|(ticket, command, _)| (to, ticket, command)));
            }
        }
        found
    }

    pub(crate) fn outcomes(&mut self) -> Vec<(u64, Result<u64, ProposeError>)> {
        let number = |bytes: Bytes| u64::from_le_bytes(bytes[..].try_into().unwrap());
        self.answers.drain(..).map(|(ticket, answered)| (ticket.0, answered.outcome.map(number))).collect()
    }
}

pub(crate) fn propose(ticket: u64, request_id: Option<RequestId>, amount: u64, explain: bool) -> Input {
    Input::Propose {
        ticket: Ticket(ticket),
        command: envelope(request_id, amount),
        explain,
        patience_ticks: None,
    }
}

/// What a follower answers to the heartbeat of `round`, when its wall clock shows `wall_ms` (0: it does not know).
pub(crate) fn heartbeat_answer(round: u64, wall_ms: u64) -> Message {
    Message::HeartbeatResponse { round, standing: Standing::default(), wall_ms, features: 0, promise_us: 0 }
}

pub(crate) fn raft(from: NodeId, term: u64, message: Message) -> Input {
    let envelope = Envelope { from, to: ME, term: Term(term), message };
    Input::Received { from, message: PeerMessage::Raft(envelope) }
}

pub(crate) fn answer(from: NodeId, ticket: Ticket, answer: ForwardAnswer) -> Input {
    Input::Received { from, message: PeerMessage::ForwardReply { answers: vec![(ticket, answer)] } }
}

fn answered(amount: u64) -> ForwardAnswer {
    let outcome = Ok(Bytes::copy_from_slice(&amount.to_le_bytes()));
    ForwardAnswer::Answered(Answered { outcome, trace: None })
}

pub(crate) fn key() -> Option<RequestId> {
    Some(RequestId::Key(Bytes::from_static(b"key")))
}

#[test]
fn what_can_never_be_applied_is_refused_at_once() {
    let mut solo = Solo::follower(|config| config.command_bytes_max = 8);
    let long = CommandEnvelope { body: Bytes::from_static(b"123456789"), ..CommandEnvelope::default() };
    let actor = CommandEnvelope { actor: Some("a".repeat(300)), ..CommandEnvelope::default() };
    let unnamed = CommandEnvelope { kind: CommandKind::OpenSession, ..CommandEnvelope::default() };
    let inputs = [long, actor, unnamed].into_iter().zip(1..);
    solo.turn(
        inputs
            .map(|(command, n)| Input::Propose {
                ticket: Ticket(n),
                command,
                explain: true,
                patience_ticks: None,
            })
            .collect(),
    );
    let errors: Vec<_> = solo.outcomes().into_iter().map(|(_, outcome)| outcome.unwrap_err()).collect();
    assert_eq!(errors[0], ProposeError::TooLarge { bytes: 9, bytes_max: 8 });
    assert!(matches!(&errors[1], ProposeError::Malformed(why) if why.contains("actor")));
    assert!(matches!(&errors[2], ProposeError::Malformed(why) if why.contains("sequence 0")));
    assert_eq!(solo.forwarded(), []);
    assert_eq!(solo.replica.status().pending_len, 0);
}

#[test]
fn no_more_proposals_wait_than_their_bounds_in_count_and_bytes() {
    for (len_max, bytes_max) in [(3, 1 << 20), (100, 24)] {
        let mut solo = Solo::new(3, |config| {
            config.pending_len_max = len_max;
            config.pending_bytes_max = bytes_max;
        });
        solo.turn((1..=5).map(|n| propose(n, key(), n, false)).collect());
        let refused = [(4, Err(ProposeError::Overloaded)), (5, Err(ProposeError::Overloaded))];
        assert_eq!(solo.outcomes(), refused);
        solo.tick(999);
        assert_eq!(solo.outcomes(), []);
        solo.tick(1);
        let nobody = |n| (n, Err(ProposeError::NoLeader { leader: None }));
        assert_eq!(solo.outcomes(), [nobody(1), nobody(2), nobody(3)], "none of them ever left");
        let status = solo.replica.status();
        assert_eq!((status.pending_len, status.pending_bytes), (0, 0));
        assert_eq!((status.metrics.refused_overloaded, status.metrics.refused_no_leader), (2, 3));
    }
}

#[test]
fn a_proposal_waits_for_a_leader_and_goes_to_it_once_it_is_known() {
    let mut solo = Solo::new(3, |_| {});
    solo.turn(vec![propose(1, key(), 5, false)]);
    assert_eq!(solo.forwarded(), []);
    solo.turn(vec![raft(PEER, 1, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false })]);
    let sent = solo.forwarded();
    assert_eq!((sent.len(), sent[0].0), (1, PEER));
    solo.turn(vec![answer(PEER, sent[0].1, answered(5))]);
    assert_eq!(solo.outcomes(), [(1, Ok(5))]);
    // The same answer again finds nobody.
    solo.turn(vec![answer(PEER, sent[0].1, answered(6))]);
    assert_eq!(solo.outcomes(), []);
}

/// R32, R67: whatever a leader says but an answer, the same bytes with the same request id go out again.
#[test]
fn a_proposal_is_sent_again_as_it_was_until_it_is_answered() {
    let mut solo = Solo::follower(|_| {});
    solo.turn(vec![propose(1, key(), 5, false)]);
    let mut sent = solo.forwarded();
    let first = sent[0].clone();
    for refusal in
        [ForwardAnswer::NotLeader { leader: None }, ForwardAnswer::Overloaded, ForwardAnswer::LeadershipLost]
    {
        solo.turn(vec![answer(PEER, sent[0].1, refusal)]);
        assert_eq!(solo.forwarded(), [], "there is a pause before the next attempt");
        solo.tick(40);
        sent = solo.forwarded();
        assert_eq!(sent, std::slice::from_ref(&first));
    }
    solo.tick(99);
    assert_eq!(solo.forwarded(), []);
    solo.tick(1);
    assert_eq!(solo.forwarded(), std::slice::from_ref(&first), "no answer is as good as a refusal");
    // The same leader in a later term may have lost it: at once.
    solo.turn(vec![raft(PEER, 2, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false })]);
    assert_eq!(solo.forwarded(), std::slice::from_ref(&first));
    // Another leader: at once. Its predecessor's late refusal changes nothing.
    let other = NodeId::new(3);
    solo.turn(vec![raft(other, 3, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false })]);
    assert_eq!(solo.forwarded(), [(other, first.1, first.2.clone())]);
    solo.turn(vec![answer(PEER, first.1, ForwardAnswer::NotLeader { leader: Some(other) })]);
    solo.tick(40);
    assert_eq!(solo.forwarded(), []);
    // A late answer of its predecessor is an answer all the same.
    solo.turn(vec![answer(PEER, first.1, answered(5))]);
    assert_eq!(solo.outcomes(), [(1, Ok(5))]);
    assert_eq!(solo.replica.status().metrics.forwards_sent, 7);
}

#[test]
fn a_proposal_that_was_sent_ends_as_unknown_when_its_time_is_over() {
    let mut solo = Solo::follower(|config| config.forward_retry_ticks = 10_000);
    solo.turn(vec![propose(1, key(), 5, false)]);
    let sent = solo.forwarded();
    solo.turn(vec![answer(PEER, sent[0].1, ForwardAnswer::Overloaded)]);
    solo.tick(1_000);
    assert_eq!(solo.outcomes(), [(1, Err(ProposeError::TimedOut))], "a copy of the message may be under way");
}

/// A caller who waits for less than the node does is told what became of it just the same: what never left was not accepted.
#[test]
fn a_proposal_whose_caller_waits_for_less_ends_earlier_and_as_exactly() {
    let impatient = |ticket, amount| {
        let (command, ticket) = (envelope(key(), amount), Ticket(ticket));
        Input::Propose { ticket, command, explain: false, patience_ticks: Some(300) }
    };
    let mut solo = Solo::new(3, |_| {});
    solo.turn(vec![propose(1, key(), 5, false), impatient(2, 5), impatient(3, 6)]);
    solo.tick(299);
    assert_eq!(solo.outcomes(), []);
    solo.tick(1);
    let nobody = |n| (n, Err(ProposeError::NoLeader { leader: None }));
    assert_eq!(solo.outcomes(), [nobody(2), nobody(3)]);
    solo.tick(700);
    assert_eq!(solo.outcomes(), [nobody(1)], "the others are as patient as before");

    let mut solo = Solo::follower(|config| config.forward_retry_ticks = 10_000);
    solo.turn(vec![impatient(1, 5), impatient(2, 6)]);
    let sent = solo.forwarded();
    solo.turn(vec![answer(PEER, sent[0].1, answered(5))]);
    assert_eq!(solo.outcomes(), [(1, Ok(5))]);
    solo.tick(300);
    assert_eq!(solo.outcomes(), [(2, Err(ProposeError::TimedOut))], "it was sent");
    assert_eq!(solo.replica.status().pending_len, 0);
}

#[test]
fn proposals_of_a_turn_travel_in_messages_of_bounded_size() {
    let mut solo = Solo::follower(|config| config.forward_bytes_max = 40);
    solo.turn((1..=7).map(|n| propose(n, key(), n, false)).collect());
    let sizes: Vec<usize> = solo
        .sent
        .iter()
        .filter_map(|(_, message)| match message {
            PeerMessage::Forward { proposals } => Some(proposals.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [3, 3, 1], "seventeen bytes each: a message is closed once it reaches its bound");
}

/// The own session opens before the first proposal without a request id leaves; sequences and acknowledgements rise.
#[test]
fn proposals_without_a_request_id_get_one_of_the_nodes_session() {
    let mut solo = Solo::follower(|_| {});
    solo.turn((1..=3).map(|n| propose(n, None, n, false)).collect());
    let sent = solo.forwarded();
    let opening = CommandEnvelope::decode(&sent[0].2).unwrap();
    assert_eq!((sent.len(), opening.kind), (1, CommandKind::OpenSession), "nothing but the opening leaves");
    solo.turn(vec![answer(PEER, sent[0].1, answered(0))]);
    let ids = |sent: &[(NodeId, Ticket, Bytes)]| -> Vec<(u128, u64, u64)> {
        let id = |command: &Bytes| match CommandEnvelope::decode(command).unwrap().request_id {
            Some(RequestId::Session { session, sequence, acknowledged }) => (session, sequence, acknowledged),
            other => panic!("{other:?}"),
        };
        sent.iter().map(|(_, _, command)| id(command)).collect()
    };
    let sent = solo.forwarded();
    assert_eq!(ids(&sent), [(77, 1, 0), (77, 2, 0), (77, 3, 0)]);
    solo.turn(vec![answer(PEER, sent[1].1, answered(0)), propose(4, None, 4, false)]);
    assert_eq!(ids(&solo.forwarded()), [(77, 4, 0)], "the first is not answered yet");
    solo.turn(vec![answer(PEER, sent[0].1, answered(0)), propose(5, None, 5, false)]);
    assert_eq!(ids(&solo.forwarded()), [(77, 5, 2)], "the first two are");
}

#[test]
fn who_does_not_lead_says_so_to_those_who_forward() {
    let mut solo = Solo::follower(|_| {});
    let command = envelope(key(), 5).encode().unwrap();
    let proposals = vec![(Ticket(8), command, false)];
    let from = NodeId::new(3);
    solo.turn(vec![
        Input::Received { from, message: PeerMessage::Forward { proposals } },
        Input::Received { from, message: PeerMessage::ForwardRead { ticket: Ticket(9) } },
    ]);
    let refused = ForwardAnswer::NotLeader { leader: Some(PEER) };
    assert!(solo.sent.contains(&(from, PeerMessage::ForwardReply { answers: vec![(Ticket(8), refused)] })));
    assert!(solo.sent.contains(&(from, PeerMessage::ForwardReadReply { ticket: Ticket(9), index: None })));
    assert_eq!(solo.replica.status().forwarded_len, 0);
}

/// Proposals of peers that a leader had not committed when it lost the leadership: their nodes are told at once.
#[test]
fn who_forwarded_is_told_at_once_that_the_leadership_is_lost() {
    let mut solo = Solo::new(3, |_| {});
    solo.turn(vec![Input::Campaign]);
    solo.turn(vec![raft(PEER, 1, Message::VoteResponse { granted: true, wall_ms: 0 })]);
    let proposals = vec![(Ticket(8), envelope(key(), 5).encode().unwrap(), false)];
    solo.turn(vec![Input::Received { from: PEER, message: PeerMessage::Forward { proposals } }]);
    assert_eq!(solo.replica.status().forwarded_len, 1);
    solo.sent.clear();
    let other = NodeId::new(3);
    solo.turn(vec![raft(other, 2, Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false })]);
    let lost = PeerMessage::ForwardReply { answers: vec![(Ticket(8), ForwardAnswer::LeadershipLost)] };
    assert!(solo.sent.contains(&(PEER, lost)), "{:?}", solo.sent);
    assert_eq!(solo.replica.status().forwarded_len, 0);
}

/// It would fit no frame: dropped at the link, and asked for again until the caller's time is over, with an outcome that is known.
#[test]
fn a_reply_that_is_too_large_to_travel_is_told_as_applied() {
    let mut solo = Solo::leader(|config| config.reply_bytes_max = 7);
    let proposals = vec![(Ticket(8), envelope(key(), 5).encode().unwrap(), false)];
    solo.turn(vec![Input::Received { from: PEER, message: PeerMessage::Forward { proposals } }]);
    solo.apply();
    let told = solo.sent.drain(..).find_map(|(_, message)| match message {
        PeerMessage::ForwardReply { mut answers } => answers.pop(),
        _ => None,
    });
    let Some((Ticket(8), ForwardAnswer::Answered(Answered { outcome: Err(error), .. }))) = told else {
        panic!("{told:?}");
    };
    assert_eq!(error.fate(), Fate::Applied);
    assert!(error.to_string().contains("it has 8 bytes, and 7 can be brought"), "{error}");
    // A caller at the leader itself gets it.
    solo.turn(vec![propose(1, None, 5, false)]);
    solo.apply();
    solo.turn(Vec::new());
    solo.apply();
    assert!(matches!(solo.outcomes()[..], [(1, Ok(_))]));
}

/// A peer sends a proposal again when no answer comes in time. If each copy got a place in the log, a leader that is slow
/// because of its load would be given more of it, and would be slower still.
#[test]
fn a_proposal_that_waits_at_this_leader_gets_no_second_place_in_its_log() {
    let mut solo = Solo::leader(|_| {});
    let forward = |ticket| Input::Received {
        from: PEER,
        message: PeerMessage::Forward {
            proposals: vec![(Ticket(ticket), envelope(key(), 5).encode().unwrap(), false)],
        },
    };
    let replied = |solo: &mut Solo| -> Vec<Ticket> {
        let answers = solo.sent.drain(..).filter_map(|(_, message)| match message {
            PeerMessage::ForwardReply { answers } => Some(answers),
            _ => None,
        });
        answers.flatten().map(|(ticket, _)| ticket).collect()
    };
    let before = solo.replica.raft().last().index.0;
    solo.turn(vec![forward(8), forward(8)]);
    solo.turn(vec![forward(8)]);
    assert_eq!(solo.replica.raft().last().index.0, before + 1, "it waits already");
    assert_eq!(replied(&mut solo), [], "and is answered once it is applied");
    solo.apply();
    assert_eq!(replied(&mut solo), [Ticket(8)]);
    // The answer may be lost: then the next copy goes the whole way, and the session table has its answer.
    solo.turn(vec![forward(8)]);
    solo.apply();
    assert_eq!(replied(&mut solo), [Ticket(8)]);
    // Another proposal with the same request id is not a copy of a message: it has a caller of its own.
    solo.turn(vec![forward(9), forward(10)]);
    solo.apply();
    assert_eq!(replied(&mut solo), [Ticket(9), Ticket(10)]);
}

#[test]
fn a_leader_whose_applier_is_behind_refuses_proposals() {
    let mut solo = Solo::leader(|config| config.apply_lag_len_max = 2);
    solo.turn((1..=3).map(|n| propose(n, key(), 1, false)).collect());
    solo.turn(vec![propose(4, key(), 1, false)]);
    assert_eq!(solo.outcomes(), [(4, Err(ProposeError::Overloaded))]);
    let proposals = vec![(Ticket(8), envelope(key(), 1).encode().unwrap(), false)];
    solo.turn(vec![Input::Received { from: PEER, message: PeerMessage::Forward { proposals } }]);
    let overloaded = PeerMessage::ForwardReply { answers: vec![(Ticket(8), ForwardAnswer::Overloaded)] };
    assert_eq!(solo.sent, [(PEER, overloaded)]);
    solo.apply();
    assert_eq!(solo.outcomes(), [(1, Ok(1)), (2, Ok(1)), (3, Ok(1))]);
    solo.turn(vec![propose(5, key(), 1, false)]);
    solo.apply();
    assert_eq!(solo.outcomes(), [(5, Ok(1))]);
}

/// A leader whose applier waits for entries that the disk never reads back serves nobody, so it must not lead for good.
#[test]
fn a_leader_that_cannot_read_back_what_it_has_yet_to_apply_gives_way() {
    let bootstrap = Entry::bootstrap(Membership::of_voters((1..=3).map(NodeId::new)));
    let noop = |index| Entry { id: EntryId::new(1, index), timestamp_ms: 0, payload: Payload::Noop };
    let hard_state = HardState { term: Term(1), vote: None };
    let mut stored = Stored::of_entries(hard_state, vec![bootstrap, noop(2), noop(3)]);
    stored.tail.drain(..2);
    let mut solo = Solo::of(stored, |_| {});
    solo.turn(vec![Input::Campaign]);
    solo.turn(vec![raft(PEER, 2, Message::VoteResponse { granted: true, wall_ms: 0 })]);
    solo.turn(vec![raft(PEER, 2, Message::AppendResponse { matched: Index(4) })]);
    assert_eq!(solo.fetches, [(Index(1), Index(4))], "the first entries are behind the window");
    let leads = |solo: &Solo| solo.replica.status().raft.role == Role::Leader;
    let mut ticks = 0;
    while leads(&solo) && ticks < 10_000 {
        ticks += 100;
        let alive = |peer| raft(peer, 2, heartbeat_answer(0, 0));
        solo.turn(vec![Input::Tick { elapsed: 100 }, alive(PEER), alive(NodeId::new(3))]);
    }
    assert_eq!(ticks, 4 * Config::new(ME).election_timeout_ticks);
}

#[test]
fn the_applier_gets_no_more_batches_than_it_may_hold() {
    let mut solo = Solo::leader(|config| {
        config.apply_batch_len_max = 2;
        config.apply_inflight_max = 3;
    });
    solo.turn((1..=10).map(|n| propose(n, None, n, false)).collect());
    let sizes: Vec<usize> = solo.batches.iter().map(|batch| batch.entries.len()).collect();
    assert_eq!(sizes, [2, 2, 2]);
    solo.apply();
    solo.apply();
    assert_eq!(solo.outcomes().len(), 10);
    assert_eq!(solo.replica.status().applied_through, solo.replica.status().apply_through);
}

/// R42, T55: a read is served behind the batches that it must see.
#[test]
fn an_envelope_in_the_name_of_another_node_is_dropped() {
    let mut solo = Solo::follower(|_| {});
    let envelope = Envelope {
        from: NodeId::new(3),
        to: ME,
        term: Term(9),
        message: Message::Heartbeat { commit: Index(0), round: 1, asks_promise: false },
    };
    solo.turn(vec![Input::Received { from: PEER, message: PeerMessage::Raft(envelope) }]);
    assert_eq!((solo.replica.raft().term(), solo.replica.raft().leader()), (Term(1), Some(PEER)));
}

#[test]
fn a_setting_of_zero_is_refused_by_name() {
    let config = ReplicaConfig { reads_len_max: 0, ..ReplicaConfig::new(1, 1) };
    assert_eq!(config.validate(), Err("reads_len_max must be greater than 0".into()));
    assert_eq!(ReplicaConfig::new(1, 1).validate(), Ok(()));
}

/// Each attempt leaves a time to send again behind. That those of answered proposals do not pile up is asserted inside.
#[test]
fn what_is_answered_leaves_nothing_behind() {
    let mut solo = Solo::follower(|config| config.forward_retry_ticks = 1_000_000);
    for n in 0..3_000 {
        solo.turn(vec![propose(n, key(), 1, false)]);
        let sent = solo.forwarded();
        solo.turn(vec![answer(PEER, sent[0].1, answered(1))]);
    }
    assert_eq!(solo.outcomes().len(), 3_000);
    let status = solo.replica.status();
    assert_eq!((status.pending_len, status.pending_bytes), (0, 0));
}
