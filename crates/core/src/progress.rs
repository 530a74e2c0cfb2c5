//! What the leader knows of one peer (thesis 3.5): where the logs agree, what to send next, and how much may be unanswered.
//!
//! Nothing here trusts the order of answers: a stale, repeated or overtaken one may teach less, never something wrong.

use std::collections::VecDeque;

use crate::config::Config;
use crate::message::Standing;
use crate::planted::{self, Bug};
use crate::types::Index;

/// What the leader knows of one peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// All up to here is on the peer's disk and equal to the leader's log. Invariant: never falls within a term.
    matched: Index,
    /// The next entry to send. Invariant: above `matched`.
    next: Index,
    /// How entries are sent.
    pub(crate) sending: Sending,
    /// For how many ticks the peer was not heard.
    pub(crate) silent_ticks: u64,
    /// For how many ticks it has lacked entries and acknowledged none.
    pub(crate) stalled_ticks: u64,
    /// How fit it is to lead, as it said last.
    pub(crate) standing: Option<Standing>,
    /// The highest heartbeat round that the peer answered.
    pub(crate) confirmed_round: u64,
    /// The round that was under way when something that the peer must answer was last sent.
    sent_round: u64,
    /// Until when the peer surely keeps its promise to vote for nobody else, by the leader's clock in microseconds.
    pub(crate) promised_until_us: u64,
    /// The index from which entries are being read back for this peer.
    fetching: Option<Index>,
}

/// How entries are sent to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    /// It is not known where the logs agree: one question at a time.
    Probe {
        /// A question is unanswered. Only an answer or a newer heartbeat round that came through allows another one.
        asked: bool,
        /// The question carries no entries: the one before may have been lost, and entries would only be lost again.
        bare: bool,
    },
    /// The logs agree up to `next`: a stream of messages, as far as the window goes.
    Replicate {
        /// The last index and the bytes of each unanswered message. Invariant: indices rise strictly.
        inflight: VecDeque<(Index, usize)>,
        /// The sum of their bytes.
        inflight_bytes: usize,
    },
    /// The next entry is compacted: the peer was offered the snapshot, and fetches it in its own time. Invariant: `next` is at or before
    /// the base of the log.
    Snapshot {
        /// The offer is unanswered. A newer heartbeat round that came through brings another one.
        offered: bool,
    },
}

impl Progress {
    /// A peer of a fresh leader: nothing is known of it, most likely it holds all that the leader has.
    pub(crate) fn new(leader_last: Index) -> Progress {
        Progress {
            matched: if planted::is(Bug::MatchOfEarlierTermKept) { leader_last } else { Index(0) },
            next: leader_last.next(),
            sending: Sending::Probe { asked: false, bare: false },
            silent_ticks: 0,
            stalled_ticks: 0,
            standing: None,
            confirmed_round: 0,
            sent_round: 0,
            promised_until_us: 0,
            fetching: None,
        }
    }

    /// All up to here is known to be on the peer's disk.
    pub(crate) fn matched(&self) -> Index {
        self.matched
    }

    /// The next entry to send.
    pub(crate) fn next(&self) -> Index {
        self.next
    }

    /// How many messages with entries are unanswered.
    pub(crate) fn inflight_len(&self) -> usize {
        match &self.sending {
            Sending::Probe { .. } | Sending::Snapshot { .. } => 0,
            Sending::Replicate { inflight, .. } => inflight.len(),
        }
    }

    /// How many bytes of entries are unanswered.
    pub(crate) fn inflight_bytes(&self) -> usize {
        match &self.sending {
            Sending::Probe { .. } | Sending::Snapshot { .. } => 0,
            Sending::Replicate { inflight_bytes, .. } => *inflight_bytes,
        }
    }

    /// The round that was under way when something was last sent, for the canonical encoding.
    pub(crate) fn sent_round(&self) -> u64 {
        self.sent_round
    }

    /// The index from which entries are being read back.
    pub(crate) fn fetching(&self) -> Option<Index> {
        self.fetching
    }

    /// The peer holds all up to `matched`. Returns whether that is news.
    ///
    /// An acknowledgement of the same term stays true for ever, however late it comes: the peer's log does not lose what it
    /// shares with this leader. So a late one can only teach less than an earlier one did.
    pub(crate) fn on_acknowledged(&mut self, matched: Index) -> bool {
        let news = matched > self.matched;
        if news {
            self.stalled_ticks = 0;
        }
        self.matched = self.matched.max(matched);
        match &mut self.sending {
            Sending::Probe { .. } | Sending::Snapshot { .. } => {
                self.next = self.matched.next();
                self.sending = Sending::Replicate { inflight: VecDeque::new(), inflight_bytes: 0 };
            }
            Sending::Replicate { inflight, inflight_bytes } => {
                while inflight.front().is_some_and(|(last, _)| *last <= self.matched) {
                    let (_, bytes) = inflight.pop_front().expect("it was looked at just now");
                    *inflight_bytes -= bytes;
                }
                self.next = self.next.max(self.matched.next());
            }
        }
        assert!(self.next > self.matched, "what a peer holds is never sent again");
        news
    }

    /// The peer does not hold the entry at `prev`; the logs may agree at `agreed` and not above.
    ///
    /// A refusal that is stale is dropped: one of a question that was answered since, or one that the peer's later
    /// acknowledgement contradicts.
    pub(crate) fn on_rejected(&mut self, prev: Index, agreed: Index) {
        let stale = match &self.sending {
            Sending::Probe { .. } => prev.next() != self.next,
            Sending::Replicate { .. } => prev >= self.next,
            // Where the logs part is not the question any more.
            Sending::Snapshot { .. } => true,
        };
        if stale || prev <= self.matched {
            return;
        }
        self.next = agreed.min(prev.prev()).max(self.matched).next();
        self.sending = Sending::Probe { asked: false, bare: false };
        assert!(self.next > self.matched, "what a peer holds is never sent again");
        assert!(self.next <= prev, "each refusal moves the question further back");
    }

    /// The next entry for the peer is compacted.
    pub(crate) fn on_behind_log(&mut self) {
        if !self.wants_snapshot() {
            self.sending = Sending::Snapshot { offered: false };
        }
    }

    /// Whether the peer lacks what is compacted.
    pub(crate) fn wants_snapshot(&self) -> bool {
        matches!(self.sending, Sending::Snapshot { .. })
    }

    /// The snapshot was offered while `round` was under way.
    pub(crate) fn on_offered(&mut self, round: u64) {
        assert!(self.wants_snapshot(), "only a peer that lacks what is compacted is offered a snapshot");
        self.sent_round = round;
        self.sending = Sending::Snapshot { offered: true };
    }

    /// Messages to the peer were dropped, or may have been. The next question waits until the peer is heard again: asking a
    /// peer that cannot be reached would only drop the question and come back here at once.
    pub(crate) fn on_dropped(&mut self) {
        self.next = self.matched.next();
        self.sending = Sending::Probe { asked: true, bare: true };
    }

    /// The peer answered heartbeat round `round`. Returns whether the leader should ask it again what it holds: a message
    /// was sent before that round began and is unanswered still, so it may be lost.
    pub(crate) fn on_round_answered(&mut self, round: u64) -> bool {
        self.confirmed_round = self.confirmed_round.max(round);
        let overdue = round > self.sent_round;
        match &mut self.sending {
            Sending::Probe { asked, bare } => {
                if overdue && *asked {
                    *asked = false;
                    *bare = true;
                }
                false
            }
            Sending::Replicate { inflight, .. } => overdue && !inflight.is_empty(),
            Sending::Snapshot { offered } => {
                *offered &= !overdue;
                false
            }
        }
    }

    /// Time has passed, and the leader's log ends with `last`.
    pub(crate) fn on_watched(&mut self, elapsed: u64, last: Index) {
        self.stalled_ticks = if self.matched < last { self.stalled_ticks.saturating_add(elapsed) } else { 0 };
    }

    /// Whether another message with entries may be sent.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        match &self.sending {
            Sending::Probe { asked, .. } => !asked,
            Sending::Replicate { inflight, inflight_bytes } => {
                let has_bytes =
                    *inflight_bytes < config.inflight_bytes_max || planted::is(Bug::InflightBytesUnbounded);
                inflight.len() < config.inflight_appends_max && has_bytes
            }
            Sending::Snapshot { offered } => !offered,
        }
    }

    /// A message with entries up to `last` (or without any) was sent while `round` was under way.
    pub(crate) fn on_sent(&mut self, last: Index, bytes: usize, round: u64) {
        self.sent_round = round;
        match &mut self.sending {
            Sending::Probe { asked, .. } => {
                assert!(!*asked, "one question at a time");
                *asked = true;
            }
            Sending::Replicate { inflight, inflight_bytes } => {
                assert!(last >= self.next, "a message in the stream carries entries");
                inflight.push_back((last, bytes));
                *inflight_bytes += bytes;
                self.next = last.next();
            }
            Sending::Snapshot { .. } => unreachable!("entries that are compacted are not sent"),
        }
    }

    /// The peer was asked, without entries, whether it holds all that was sent.
    pub(crate) fn on_asked_again(&mut self, round: u64) {
        self.sent_round = round;
    }

    /// Entries from the next one on are being read back from the log.
    pub(crate) fn on_fetch_begun(&mut self) {
        assert!(self.fetching.is_none(), "one read at a time for each peer");
        self.fetching = Some(self.next);
    }

    /// The entries that were read back are here. Returns from which index they were asked for.
    pub(crate) fn on_fetch_ended(&mut self) -> Option<Index> {
        self.fetching.take()
    }
}
