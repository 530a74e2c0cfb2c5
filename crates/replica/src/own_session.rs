//! The session that a node keeps for callers who give no request id (thesis 6.3): with an id of its own each proposal
//! can be sent again by the node itself, whatever became of the first attempt.

use std::collections::VecDeque;

use crate::effect::Outcome;
use crate::error::ProposeError;
use crate::hash::mix;
use crate::request::{CommandEnvelope, CommandKind, RequestId};

/// The node's own session. Its proposals leave only once its opening is known to be applied: so an answer that the
/// session is unknown can only mean that it was forgotten, never that the opening is late.
#[derive(Debug)]
pub(crate) struct OwnSession {
    id: u128,
    state: State,
    /// The sequence of the first flag in `answered`: all lower ones are answered.
    lowest: u64,
    /// One flag for each sequence given out from `lowest` on. Invariant: the first one is false, if there is one.
    answered: VecDeque<bool>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    Closed,
    /// The opening is under way as the proposal of this number.
    Opening(u64),
    Open,
}

impl OwnSession {
    /// A session that is not open yet.
    pub(crate) fn new(id: u128) -> OwnSession {
        OwnSession { id, state: State::Closed, lowest: 1, answered: VecDeque::new() }
    }

    /// Whether requests can be given out.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether somebody has to open it.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The command that opens it; under way as proposal `number` from now on.
    pub(crate) fn open(&mut self, number: u64) -> CommandEnvelope {
        assert!(self.state == State::Closed, "a session is opened once at a time");
        self.state = State::Opening(number);
        CommandEnvelope {
            kind: CommandKind::OpenSession,
            request_id: Some(RequestId::Session { session: self.id, sequence: 0, acknowledged: 0 }),
            node_session: true,
            ..CommandEnvelope::default()
        }
    }

    /// Proposal `number` has ended. Whether it was the opening; then the session is open now, or closed again. One that the replicas have
    /// forgotten meanwhile is replaced.
    pub(crate) fn on_opened(&mut self, number: u64, outcome: &Outcome) -> bool {
        if self.state != State::Opening(number) {
            return false;
        }
        self.state = if outcome.is_ok() { State::Open } else { State::Closed };
        if *outcome == Err(ProposeError::Forgotten) {
            self.replace();
        }
        true
    }

    /// The next request id: session, sequence, and what is acknowledged. Says with it that all replies below the lowest unanswered sequence were received.
    pub(crate) fn next_request(&mut self) -> (u128, u64, u64) {
        assert!(self.state == State::Open, "requests are given out in an open session only");
        let sequence = self.lowest + self.answered.len() as u64;
        let acknowledged = self.lowest - 1;
        self.answered.push_back(false);
        assert!(sequence > acknowledged, "a request is not acknowledged before it is answered");
        (self.id, sequence, acknowledged)
    }

    /// The caller of this request has his answer, or was told that there will be none: its reply is needed no more.
    pub(crate) fn on_answered(&mut self, session: u128, sequence: u64) {
        if session != self.id {
            return;
        }
        let Some(place) = sequence.checked_sub(self.lowest).and_then(|place| usize::try_from(place).ok())
        else {
            return;
        };
        let flag = self.answered.get_mut(place).expect("only sequences that were given out are answered");
        assert!(!*flag, "a request is answered once");
        *flag = true;
        while self.answered.front() == Some(&true) {
            self.answered.pop_front();
            self.lowest += 1;
        }
    }

    /// Whether the lowest unanswered request lies so far back that the replicas may soon forget replies above it.
    pub(crate) fn is_full(&self) -> bool {
        self.answered.len() >= SPAN_LEN_MAX
    }

    /// Goes on with a fresh session, because this one was forgotten by the replicas or is full. Requests of the old one
    /// keep their ids.
    pub(crate) fn replace(&mut self) {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the id are taken on purpose")]
        let (low, high) = (self.id as u64, (self.id >> 64) as u64);
        *self = OwnSession::new(u128::from(mix(high, low)) << 64 | u128::from(mix(low, high)));
    }

    /// The id of the session in use.
    pub(crate) fn id(&self) -> u128 {
        self.id
    }
}

/// How many sequences may lie between the lowest unanswered one and the next: half of what replicas keep by default.
const SPAN_LEN_MAX: usize = 131_072;
