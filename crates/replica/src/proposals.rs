//! The proposals of local callers until they are answered: where each one is, and when it is due again. Every one that is
//! taken in goes out exactly once; between the two it may be proposed or forwarded many times, always under one request id.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use quorate_core::types::{EntryId, NodeId};

use crate::explain::Trace;
use crate::input::Ticket;
use crate::own_session::OwnSession;
use crate::request::{CommandEnvelope, RequestId};
use crate::ticks::earlier;

/// All proposals of local callers without an answer, by their numbers, which rise.
///
/// Invariant: all have the same time to live, so they end by time in the order of their numbers; but for those whose callers wait for
/// less.
#[derive(Debug)]
pub(crate) struct Proposals {
    pending: BTreeMap<u64, Pending>,
    /// The bytes of all commands.
    bytes: usize,
    /// To be proposed or forwarded when a leader is known. May name some that have moved on; they are passed over.
    queue: VecDeque<u64>,
    /// To be queued again at a tick. May name some that have moved on.
    paused: BTreeSet<(u64, u64)>,
    /// Forwarded ones by the tick at which they are sent again, which rises. May name some that have moved on.
    resends: VecDeque<(u64, u64)>,
    /// Those whose callers wait for less than the time to live, by the tick at which they are given up.
    impatient: BTreeSet<(u64, u64)>,
    /// Those that wait for the node's own session to open.
    unnamed: Vec<u64>,
    /// The session that gives them their request ids.
    pub(crate) session: OwnSession,
    /// Accounting: taken in.
    admitted: u64,
    /// Accounting: gone out.
    answered: u64,
}

/// One proposal.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Who waits; nobody for the opening of the node's own session.
    pub(crate) ticket: Option<Ticket>,
    /// What is proposed.
    pub(crate) command: Command,
    /// The bytes of its body, as they count against the bound.
    pub(crate) bytes: usize,
    /// Given up at this tick.
    pub(crate) deadline: u64,
    /// Given up earlier, at this tick: its caller waits no longer.
    pub(crate) given_up_at: Option<u64>,
    /// Where it is.
    pub(crate) stage: Stage,
    /// Whether it was ever given to a leader or appended: then it may yet be applied.
    pub(crate) sent: bool,
    /// How many attempts in a row, up to the last one, met a leader without room.
    pub(crate) overloads: u8,
    /// When it came in, on the monotonic clock.
    pub(crate) admitted_us: u64,
    /// The steps so far, if the caller asked for them.
    pub(crate) trace: Option<Box<Trace>>,
}

/// What is proposed, before and after it has its request id.
#[derive(Debug)]
pub(crate) enum Command {
    /// Waits for a request id of the node's own session.
    Unnamed(CommandEnvelope),
    /// As it travels and stands in the log; the same bytes at each attempt.
    Encoded {
        /// The envelope.
        bytes: Bytes,
        /// The id, if it belongs to the node's own session.
        own: Option<(u128, u64)>,
    },
}

/// Where a proposal is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// In the queue, or waiting for the session.
    Queued,
    /// Queued again at this tick.
    Paused { until: u64 },
    /// Given to the protocol in this turn.
    Offered,
    /// In this node's log.
    Appended(EntryId),
    /// On the way to a leader, sent again at this tick.
    Forwarded { to: NodeId, resend_at: u64 },
}

impl Proposals {
    /// Nothing pending.
    pub(crate) fn new(session: u128) -> Proposals {
        Proposals {
            pending: BTreeMap::new(),
            bytes: 0,
            queue: VecDeque::new(),
            paused: BTreeSet::new(),
            resends: VecDeque::new(),
            impatient: BTreeSet::new(),
            unnamed: Vec::new(),
            session: OwnSession::new(session),
            admitted: 0,
            answered: 0,
        }
    }

    /// How many are pending.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// The bytes of their commands.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The one of this number, if it is pending.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Pending> {
        self.pending.get_mut(&number)
    }

    /// Takes in a proposal and queues it.
    pub(crate) fn admit(&mut self, number: u64, pending: Pending) {
        assert!(pending.stage == Stage::Queued, "a proposal starts in the queue");
        assert!(
            self.pending
                .last_key_value()
                .is_none_or(|(last, oldest)| *last < number && oldest.deadline <= pending.deadline),
            "numbers rise, and time to live is the same for all"
        );
        self.bytes += pending.bytes;
        self.impatient.extend(pending.given_up_at.map(|tick| (tick, number)));
        self.pending.insert(number, pending);
        self.queue.push_back(number);
        self.admitted += 1;
    }

    /// Takes out a proposal, to be answered by the caller of this function. None if it was answered before.
    #[must_use = "a proposal that is taken out must be answered"]
    pub(crate) fn remove(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        self.bytes -= pending.bytes;
        if let Some(tick) = pending.given_up_at {
            self.impatient.remove(&(tick, number));
        }
        self.answered += 1;
        self.drop_answered();
        if let Command::Encoded { own: Some((session, sequence)), .. } = &pending.command {
            self.session.on_answered(*session, *sequence);
        }
        assert!(
            self.admitted - self.answered == self.pending.len() as u64,
            "each proposal taken in is answered once"
        );
        Some(pending)
    }

    /// Lets go of numbers at the front of the queue that were answered: without a leader nobody takes them out, and the
    /// queue would grow with each proposal that ends by time. So it holds at most those of one time to live.
    fn drop_answered(&mut self) {
        while let Some(number) = self.queue.front()
            && !self.pending.contains_key(number)
        {
            self.queue.pop_front();
        }
    }

    /// The next one in the queue that is still to be sent.
    pub(crate) fn next_queued(&mut self) -> Option<u64> {
        while let Some(number) = self.queue.pop_front() {
            if self.pending.get(&number).is_some_and(|pending| pending.stage == Stage::Queued) {
                return Some(number);
            }
        }
        None
    }

    /// Those that callers wait for and that were never sent anywhere.
    pub(crate) fn unsent(&self) -> Vec<u64> {
        let unsent = |(_, pending): &(&u64, &Pending)| !pending.sent && pending.ticket.is_some();
        self.pending.iter().filter(unsent).map(|(number, _)| *number).collect()
    }

    /// Whether something may be queued.
    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Queues a proposal again, at once.
    pub(crate) fn requeue(&mut self, number: u64) {
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.stage = Stage::Queued;
            self.queue.push_back(number);
        }
    }

    /// Queues a proposal again at tick `until`.
    pub(crate) fn pause(&mut self, number: u64, until: u64) {
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.stage = Stage::Paused { until };
            self.paused.insert((until, number));
        }
    }

    /// A proposal was sent to `to`; it is sent again at `resend_at` unless an answer comes before.
    pub(crate) fn on_forwarded(&mut self, number: u64, to: NodeId, resend_at: u64) {
        let pending = self.pending.get_mut(&number).expect("what is sent is pending");
        pending.stage = Stage::Forwarded { to, resend_at };
        pending.sent = true;
        assert!(
            self.resends.back().is_none_or(|(last, _)| *last <= resend_at),
            "the pause before sending again is the same for all"
        );
        self.resends.push_back((resend_at, number));
        if self.resends.len() > self.resends_len_max() {
            let pending = &self.pending;
            self.resends.retain(|(at, number)| {
                pending.get(number).is_some_and(|pending| is_resent_at(&pending.stage, *at))
            });
        }
        assert!(
            self.resends.len() <= self.resends_len_max(),
            "at most one of them is live for each proposal"
        );
    }

    /// How many times to send again are kept: those that have moved on may be as many as those that have not, so that
    /// passing over them costs no more than keeping them.
    fn resends_len_max(&self) -> usize {
        2 * self.pending.len() + RESENDS_SPARE_LEN
    }

    /// Queues what is due at this tick: pauses that are over, messages without an answer. How many.
    pub(crate) fn wake(&mut self, tick: u64) -> u64 {
        let mut woken = 0;
        while let Some((at, number)) = self.paused.first().copied()
            && at <= tick
        {
            self.paused.pop_first();
            if self.is_at(number, |stage| *stage == Stage::Paused { until: at }) {
                self.requeue(number);
                woken += 1;
            }
        }
        while let Some((at, number)) = self.resends.front().copied()
            && at <= tick
        {
            self.resends.pop_front();
            if self.is_at(
                number,
                |stage| matches!(stage, Stage::Forwarded { resend_at, .. } if *resend_at == at),
            ) {
                self.requeue(number);
                woken += 1;
            }
        }
        woken
    }

    /// Another leadership began: queues all that is on the way to an older one, or was refused by it and would wait for long. How many.
    pub(crate) fn on_leader(&mut self) -> u64 {
        let is_elsewhere = |(_, pending): &(&u64, &Pending)| match pending.stage {
            Stage::Forwarded { .. } => true,
            Stage::Paused { .. } => pending.overloads > 0,
            Stage::Queued | Stage::Offered | Stage::Appended(_) => false,
        };
        let numbers: Vec<u64> = self.pending.iter().filter(is_elsewhere).map(|(number, _)| *number).collect();
        for number in &numbers {
            self.requeue(*number);
        }
        numbers.len() as u64
    }

    /// One whose time is over.
    pub(crate) fn next_expired(&self, tick: u64) -> Option<u64> {
        if let Some((_, number)) = self.impatient.first().filter(|(at, _)| *at <= tick) {
            return Some(*number);
        }
        let (number, oldest) = self.pending.first_key_value()?;
        (oldest.deadline <= tick).then_some(*number)
    }

    /// The bytes to send for a queued proposal. `None` if it needs a request id and the node's own session is not open:
    /// then it waits for that.
    pub(crate) fn encoded(&mut self, number: u64) -> Option<Bytes> {
        let pending = self.pending.get_mut(&number).expect("what is queued is pending");
        let envelope = match &mut pending.command {
            Command::Encoded { bytes, .. } => return Some(bytes.clone()),
            Command::Unnamed(envelope) => envelope,
        };
        if self.session.is_full() {
            self.session.replace();
        }
        if !self.session.is_open() {
            self.unnamed.push(number);
            return None;
        }
        let (session, sequence, acknowledged) = self.session.next_request();
        envelope.request_id = Some(RequestId::Session { session, sequence, acknowledged });
        envelope.node_session = true;
        let bytes = envelope.encode().expect("the limits of its fields were checked when it was taken in");
        pending.command = Command::Encoded { bytes: bytes.clone(), own: Some((session, sequence)) };
        Some(bytes)
    }

    /// The own session opened, or its opening failed: those that wait for it go to the queue, to be named or to open it anew.
    pub(crate) fn on_session(&mut self) {
        for number in std::mem::take(&mut self.unnamed) {
            self.requeue(number);
        }
    }

    /// The next tick at which time alone changes something.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        let expiry = self.pending.first_key_value().map(|(_, oldest)| oldest.deadline);
        let pause = self.paused.first().map(|(at, _)| *at);
        let resend = self.resends.front().map(|(at, _)| *at);
        let impatient = self.impatient.first().map(|(at, _)| *at);
        earlier(earlier(expiry, impatient), earlier(pause, resend))
    }

    fn is_at(&self, number: u64, stage: impl Fn(&Stage) -> bool) -> bool {
        self.pending.get(&number).is_some_and(|pending| stage(&pending.stage))
    }
}

fn is_resent_at(stage: &Stage, tick: u64) -> bool {
    matches!(stage, Stage::Forwarded { resend_at, .. } if *resend_at == tick)
}

/// How many outdated times to send again may be kept whatever the number of proposals.
const RESENDS_SPARE_LEN: usize = 1_024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Command, Pending, Proposals, Stage};

    /// Callers that come again and again while there is no leader must not cost memory for ever.
    #[test]
    fn the_queue_does_not_grow_with_proposals_that_end_while_nobody_leads() {
        let mut proposals = Proposals::new(1);
        for number in 1..=1_000 {
            let pending = Pending {
                ticket: None,
                command: Command::Encoded { bytes: Bytes::new(), own: None },
                bytes: 0,
                deadline: number,
                given_up_at: None,
                stage: Stage::Queued,
                sent: false,
                overloads: 0,
                admitted_us: 0,
                trace: None,
            };
            proposals.admit(number, pending);
            if number > 10 {
                assert!(proposals.remove(number - 10).is_some());
            }
            assert!(proposals.queue.len() <= 10, "{} numbers for ten proposals", proposals.queue.len());
        }
        assert_eq!(proposals.next_queued(), Some(991), "what waits keeps its place");
    }
}
