//! Messages that can do nothing any more, whatever happens: a state without them can do the same as one with them.
//!
//! Such a message may always be taken for a lost one. It is forgotten, so that states which differ only by it are one. Each
//! rule rests on a lowest term that a node can ever be in again: its term, or that on its disk as long as a crash may come. A
//! lowest term never falls, so what is dead once stays dead.
//!
//! 1. *An answer* (to a vote request, an append, a heartbeat) moves only a candidate or a leader of its own term, or a node of
//!    a lower term, which learns of the newer one. Its receiver is never any of these again if its lowest term is above that
//!    of the answer, or equal to it while the node does not stand or lead in that term: who stands again, stands in a
//!    higher one. A granted or refused vote moves only a candidate, so it is dead also to who leads its term.
//! 2. *A request* of a term below the lowest of its receiver only makes the receiver tell its own term, by an answer that leaves at once
//!    and changes nothing at the receiver. The same is true of a request for a vote that was given to another in that
//!    term. The answer is in a term that is not above the highest of the bounds. If the asker can never be in a lower term than that, and
//!    does not stand or lead, the answer is dead when it is born (rule 1), and so the request is. For a request for
//!    a vote the asker may lead as well.
//!
//! 3. *The word to lead in a leader's place* is heard in its own term only, by whoever follows that leader; in a lower term it brings the term, and in a
//!    higher one it is not answered. Whoever is beyond it for ever, or in the highest term of the bounds, where nobody may stand
//!    again, gets nothing by it.
//!
//! 4. *Who led a term* is remembered for the rule that nobody else does. When no node can be in a lower term again and none stands in
//!    that term, nobody can win it any more.
//!
//! What the rules say of the core is checked by a test, over all pairs of a node state and a message of a small cluster: what is called
//! dead changes nothing, and what it is answered with is dead. A search can leave the rules out.

use quorate_core::message::{Envelope, Message};
use quorate_core::status::Role;

use crate::explore::parts::Facts;

/// What a message is to its receiver.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    /// The place of the sender.
    pub from: usize,
    /// The place of the receiver.
    pub to: usize,
    term: u8,
    kind: Kind,
}

/// Whether a node may yet win the election of `term`: it stands in it, or may do so later.
pub(super) fn may_win(facts: &Facts, crashes: bool, term: u8) -> bool {
    facts.lowest(crashes).0 < term || (facts.term == term && facts.role == Role::Candidate)
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Kind {
    VoteRequest,
    Request,
    VoteResponse,
    Answer,
    Word,
    /// Pre-votes speak of a term in which nobody stands yet. They are never taken for dead.
    Other,
}

impl Address {
    /// What `envelope` is to its receiver.
    pub(super) fn of(envelope: &Envelope) -> Address {
        let place = |id: u64| usize::try_from(id - 1).expect("ids are small here");
        Address {
            from: place(envelope.from.get()),
            to: place(envelope.to.get()),
            term: u8::try_from(envelope.term.0).expect("terms are bounded"),
            kind: match &envelope.message {
                Message::VoteRequest { .. } => Kind::VoteRequest,
                Message::AppendRequest { .. } | Message::SnapshotOffer { .. } | Message::Heartbeat { .. } => {
                    Kind::Request
                }
                Message::VoteResponse { .. } => Kind::VoteResponse,
                Message::AppendResponse { .. }
                | Message::AppendRejected { .. }
                | Message::HeartbeatResponse { .. } => Kind::Answer,
                Message::PreVoteRequest { .. }
                | Message::PreVoteResponse { .. }
                | Message::RepairRequest { .. }
                | Message::RepairResponse { .. }
                | Message::Donation { .. } => Kind::Other,
                Message::TimeoutNow { .. } => Kind::Word,
            },
        }
    }

    /// Whether the message can do nothing any more. `from` and `to` are what is known of sender and receiver, `crashes` tells whether a
    /// crash may still come, and `terms` is the highest term of the bounds.
    pub(super) fn is_dead(&self, from: &Facts, to: &Facts, crashes: bool, terms: u8) -> bool {
        let (lowest, vote) = to.lowest(crashes);
        match self.kind {
            Kind::VoteResponse | Kind::Answer => {
                let stands = to.term == self.term
                    && match to.role {
                        Role::Candidate => true,
                        Role::Leader => self.kind == Kind::Answer,
                        Role::Follower | Role::PreCandidate => false,
                    };
                lowest > self.term || (lowest == self.term && !stands)
            }
            Kind::VoteRequest | Kind::Request => {
                let deaf = from.lowest(crashes).0 == terms
                    && match from.role {
                        Role::Follower => true,
                        Role::Leader => self.kind == Kind::VoteRequest,
                        Role::PreCandidate | Role::Candidate => false,
                    };
                let asker = u8::try_from(self.from + 1).expect("ids are small here");
                let refused = self.kind == Kind::VoteRequest
                    && lowest == self.term
                    && vote.is_some_and(|vote| vote != asker);
                deaf && (lowest > self.term || refused)
            }
            Kind::Word => lowest > self.term || lowest == terms,
            Kind::Other => false,
        }
    }
}
