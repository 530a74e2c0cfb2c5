//! The messages that are under way in a golden script, as bytes, and what the script does to them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quorate_core::entry::{Entry, Payload};
use quorate_core::message::{Envelope, Ground, Message};
use quorate_core::types::{EntryId, NodeId};

/// All messages under way.
#[derive(Debug, Default)]
pub(super) struct Wire {
    flying: VecDeque<Flying>,
    held: Vec<Flying>,
    rules: Vec<Rule>,
}

/// A message under way. It was encoded when it was sent and is decoded when it arrives.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    kind: &'static str,
    bytes: Bytes,
}

/// Which messages: by kind (`any`: all) and link (none: all).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Filter {
    pub(super) kind: String,
    pub(super) link: Option<(NodeId, NodeId)>,
}

#[derive(Debug)]
struct Rule {
    filter: Filter,
    treatment: Treatment,
}

/// What becomes of a message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Treatment {
    Drop,
    Hold,
    Copy,
    Duplicate,
}

impl Filter {
    fn matches(&self, flying: &Flying) -> bool {
        let kind = self.kind == "any" || self.kind == flying.kind;
        kind && self.link.is_none_or(|link| link == (flying.from, flying.to))
    }
}

impl Flying {
    /// The message, read from its bytes.
    pub(super) fn arrive(&self) -> Result<Envelope, String> {
        Envelope::decode(&mut self.bytes.clone())
            .map_err(|error| format!("a message does not decode: {error}"))
    }
}

impl Wire {
    /// Takes a message from its sender.
    pub(super) fn send(&mut self, envelope: &Envelope) {
        let mut bytes = BytesMut::new();
        envelope.encode(&mut bytes);
        let flying = Flying {
            from: envelope.from,
            to: envelope.to,
            kind: kind(&envelope.message),
            bytes: bytes.freeze(),
        };
        let rule = self.rules.iter().find(|rule| rule.filter.matches(&flying));
        match rule.map(|rule| rule.treatment) {
            Some(Treatment::Drop) => {}
            Some(Treatment::Hold) => self.held.push(flying),
            Some(Treatment::Copy) => {
                self.held.push(flying.clone());
                self.flying.push_back(flying);
            }
            Some(Treatment::Duplicate) => {
                self.flying.push_back(flying.clone());
                self.flying.push_back(flying);
            }
            None => self.flying.push_back(flying),
        }
    }

    /// The next message that arrives.
    pub(super) fn next(&mut self) -> Option<Flying> {
        self.flying.pop_front()
    }

    /// All messages under way that match; the others stay.
    pub(super) fn take(&mut self, filter: &Filter) -> Vec<Flying> {
        let (taken, stay): (Vec<Flying>, Vec<Flying>) =
            self.flying.drain(..).partition(|flying| filter.matches(flying));
        self.flying = stay.into();
        taken
    }

    /// Loses all that is under way.
    pub(super) fn lose(&mut self) {
        self.flying.clear();
    }

    /// Treats such messages so from now on.
    pub(super) fn treat(&mut self, filter: Filter, treatment: Treatment) {
        self.rules.push(Rule { filter, treatment });
    }

    /// Treats no message specially any more.
    pub(super) fn pass(&mut self) {
        self.rules.clear();
    }

    /// Puts what was kept back on its way.
    pub(super) fn release(&mut self, reversed: bool) {
        if reversed {
            self.held.reverse();
        }
        self.flying.extend(self.held.drain(..));
    }
}

/// The name of a kind of message.
pub fn kind(message: &Message) -> &'static str {
    match message {
        Message::PreVoteRequest { .. } => "pre-vote",
        Message::PreVoteResponse { .. } => "pre-vote-response",
        Message::VoteRequest { .. } => "vote",
        Message::VoteResponse { .. } => "vote-response",
        Message::AppendRequest { .. } => "append",
        Message::AppendResponse { .. } => "append-response",
        Message::AppendRejected { .. } => "append-rejected",
        Message::Heartbeat { .. } => "heartbeat",
        Message::HeartbeatResponse { .. } => "heartbeat-response",
        Message::SnapshotOffer { .. } => "snapshot-offer",
        Message::TimeoutNow { .. } => "timeout-now",
        Message::RepairRequest { .. } => "repair",
        Message::RepairResponse { .. } => "repair-response",
        Message::Donation { .. } => "donation",
    }
}

/// A message in one line.
pub fn describe(envelope: &Envelope) -> String {
    let Envelope { from, to, term, message } = envelope;
    let line = format!("{from} -> {to} {term} {} {}", kind(message), details(message, describe_entries));
    line.trim_end().to_owned()
}

/// What a message says beside its kind, with its entries in the caller's words.
pub fn details(message: &Message, entries_in_words: impl Fn(&[Entry]) -> String) -> String {
    match message {
        Message::VoteRequest { last, ground: Ground::Operator | Ground::Leader { .. } } => {
            format!("last {last} forced")
        }
        Message::PreVoteRequest { last }
        | Message::SnapshotOffer { last }
        | Message::VoteRequest { last, ground: Ground::Silence } => {
            format!("last {last}")
        }
        Message::PreVoteResponse { granted } | Message::VoteResponse { granted, .. } => {
            if *granted {
                "granted".into()
            } else {
                "refused".into()
            }
        }
        Message::AppendRequest { prev, entries, commit } => {
            format!("prev {prev} [{}] commit {commit}", entries_in_words(entries))
        }
        Message::Donation { prev, entries } => {
            format!("refused; behind {prev} stands [{}]", entries_in_words(entries))
        }
        Message::AppendResponse { matched } => format!("matched {matched}"),
        Message::AppendRejected { prev, hint } => format!("prev {prev} hint {hint}"),
        Message::Heartbeat { commit, round, asks_promise: _ } => format!("commit {commit} round {round}"),
        Message::HeartbeatResponse { round, .. } => format!("round {round}"),
        Message::TimeoutNow { .. } => String::new(),
        Message::RepairRequest { wanted, state_behind: None } => describe_ids(wanted),
        Message::RepairRequest { wanted, state_behind: Some(behind) } => {
            format!("{} and the state up to {behind}", describe_ids(wanted))
        }
        Message::RepairResponse { entries, snapshot: EntryId::ZERO } => {
            format!("[{}]", entries_in_words(entries))
        }
        Message::RepairResponse { entries, snapshot } => {
            format!("[{}] snapshot {snapshot}", entries_in_words(entries))
        }
    }
}

fn describe_ids(ids: &[EntryId]) -> String {
    match ids {
        [first, .., last] if ids.len() > ENTRIES_SHOWN => format!("[{first} .. {last}, {} ids]", ids.len()),
        _ => format!("[{}]", ids.iter().map(EntryId::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Entries in one line; of many only the first and the last.
pub fn describe_entries(entries: &[Entry]) -> String {
    match entries {
        [first, .., last] if entries.len() > ENTRIES_SHOWN => {
            format!("{} .. {}, {} entries", describe_entry(first), describe_entry(last), entries.len())
        }
        _ => entries.iter().map(describe_entry).collect::<Vec<_>>().join(", "),
    }
}

/// More entries than this are shown by the first and the last.
const ENTRIES_SHOWN: usize = 4;

fn describe_entry(entry: &Entry) -> String {
    match &entry.payload {
        Payload::Noop => format!("{} noop", entry.id),
        Payload::Command(command) => format!("{} {}", entry.id, String::from_utf8_lossy(command)),
        Payload::Membership(_) => format!("{} membership", entry.id),
    }
}
