//! One instance: where it stands, and what is kept of how it got there.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_replica::request::RequestId;
use quorate_replica::state_machine::Context;

use crate::command::Wish;
use crate::definition::StateId;
use crate::outcome::RejectionCode;
use crate::registry::Limits;

/// One instance. Names are places in its definition, so a million instances are small.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Instance {
    /// The version of its definition.
    pub(crate) version: u64,
    pub(crate) state: StateId,
    /// 1 at creation, one more for each move.
    pub(crate) revision: u64,
    pub(crate) created_ms: u64,
    /// The newest moves, oldest first. Invariant: never empty; the last one brought the instance to `revision`, each one before
    /// to one revision less.
    pub(crate) moves: VecDeque<Move>,
    /// The newest rejections, oldest first.
    pub(crate) refusals: VecDeque<Refusal>,
    pub(crate) refusals_forgotten: u64,
    /// The bytes of all that the history holds besides fixed fields. Invariant: the sum over `moves` and `refusals`.
    pub(crate) bytes: usize,
}

/// One move. The creation is the move without an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Move {
    pub(crate) from: StateId,
    pub(crate) to: StateId,
    pub(crate) event: Option<u16>,
    pub(crate) version: u64,
    pub(crate) stamp: Stamp,
}

/// One rejected proposal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) revision: u64,
    pub(crate) state: StateId,
    pub(crate) version: u64,
    pub(crate) wish: Wish,
    pub(crate) code: RejectionCode,
    pub(crate) stamp: Stamp,
}

/// What is known of the entry behind a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) time_ms: u64,
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// What most records do not have costs them one pointer.
    pub(crate) extra: Option<Arc<Extra>>,
}

/// What a proposal may have brought along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Extra {
    pub(crate) actor: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) data: Option<String>,
}

impl Stamp {
    pub(crate) fn new(context: &Context, data: Option<String>) -> Stamp {
        let extra = Extra {
            actor: context.actor.clone(),
            request_id: context.request_id.as_ref().map(RequestId::to_string),
            data,
        };
        let empty = extra.actor.is_none() && extra.request_id.is_none() && extra.data.is_none();
        Stamp {
            time_ms: context.timestamp_ms,
            index: context.entry.index.0,
            term: context.entry.term.0,
            extra: (!empty).then(|| Arc::new(extra)),
        }
    }

    fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.extra
            .as_ref()
            .map_or(0, |extra| length(&extra.actor) + length(&extra.request_id) + length(&extra.data))
    }
}

impl Refusal {
    fn bytes(&self) -> usize {
        let (Wish::Event(name) | Wish::State(name)) = &self.wish;
        name.len() + self.stamp.bytes()
    }
}

impl Instance {
    /// A new instance in its initial state.
    pub(crate) fn create(version: u64, initial: StateId, stamp: Stamp) -> Instance {
        let (created_ms, bytes) = (stamp.time_ms, stamp.bytes());
        let creation = Move { from: initial, to: initial, event: None, version, stamp };
        Instance {
            version,
            state: initial,
            revision: 1,
            created_ms,
            moves: VecDeque::from([creation]),
            refusals: VecDeque::new(),
            refusals_forgotten: 0,
            bytes,
        }
    }

    /// An instance read from a snapshot; `None` when its parts do not fit each other.
    pub(crate) fn restore(mut self) -> Option<Instance> {
        let last = self.moves.back()?;
        let kept = u64::try_from(self.moves.len()).ok()?;
        if last.to != self.state || self.revision < kept {
            return None;
        }
        let moves = self.moves.iter().map(|record| record.stamp.bytes()).sum::<usize>();
        self.bytes = moves + self.refusals.iter().map(Refusal::bytes).sum::<usize>();
        Some(self)
    }

    /// Moves it.
    pub(crate) fn go(&mut self, event: u16, to: StateId, stamp: Stamp, limits: &Limits) {
        self.bytes += stamp.bytes();
        let from = std::mem::replace(&mut self.state, to);
        self.revision += 1;
        self.moves.push_back(Move { from, to, event: Some(event), version: self.version, stamp });
        if self.moves.len() > limits.transitions_per_instance_max.max(1) {
            self.forget_move();
        }
        self.keep_within(limits);
    }

    /// Keeps a rejection.
    pub(crate) fn refuse(&mut self, wish: Wish, code: RejectionCode, stamp: Stamp, limits: &Limits) {
        let refusal =
            Refusal { revision: self.revision, state: self.state, version: self.version, wish, code, stamp };
        self.bytes += refusal.bytes();
        self.refusals.push_back(refusal);
        if self.refusals.len() > limits.rejections_per_instance_max {
            self.forget_refusal();
        }
        self.keep_within(limits);
    }

    /// The newest move.
    pub(crate) fn last_move(&self) -> &Move {
        self.moves.back().expect("an instance keeps at least its newest move")
    }

    /// The oldest revision that is still kept.
    pub(crate) fn oldest_revision(&self) -> u64 {
        self.revision + 1 - self.moves.len() as u64
    }

    /// Forgets the oldest records until the bytes fit. The newest move always stays.
    fn keep_within(&mut self, limits: &Limits) {
        while self.bytes > limits.history_bytes_per_instance_max {
            let oldest_move =
                self.moves.front().filter(|_| self.moves.len() > 1).map(|record| record.stamp.index);
            let oldest_refusal = self.refusals.front().map(|record| record.stamp.index);
            match (oldest_move, oldest_refusal) {
                (None, None) => return,
                (Some(moved), Some(refused)) if refused < moved => self.forget_refusal(),
                (None, Some(_)) => self.forget_refusal(),
                (Some(_), _) => self.forget_move(),
            }
        }
    }

    fn forget_move(&mut self) {
        if let Some(forgotten) = self.moves.pop_front() {
            self.bytes -= forgotten.stamp.bytes();
        }
    }

    fn forget_refusal(&mut self) {
        if let Some(forgotten) = self.refusals.pop_front() {
            self.bytes -= forgotten.bytes();
            self.refusals_forgotten += 1;
        }
    }
}
