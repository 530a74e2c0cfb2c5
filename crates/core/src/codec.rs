//! The one binary form of entries, memberships, hard state and envelopes, for log, wire and simulator. Pure.
//!
//! All numbers are little-endian. Every length is checked against what is there before memory is taken, so memory grows
//! with the bytes received, never with what they claim. Commands are slices of the buffer they came in.
//!
//! ```text
//! entry       kind u8 | term u64 | index u64 | timestamp_ms u64 | payload length u32 | payload
//!             kind: 0 no-op (no payload), 1 command (its bytes), 2 membership
//! membership  three lists of node ids, strictly rising: voters, outgoing voters, learners; each: count u16 | count × u64
//!             promotions: count u16 | count × (learner u64 | the voter it replaces u64, 0: none), learners strictly rising
//!             addresses: count u16 | count × (node u64 | length u16 | UTF-8), nodes strictly rising | highest id given u64
//! hard state  term u64 | vote u64 (0: none)
//! envelope    format u8 (0 or 1) | kind u8 | from u64 | to u64 | term u64 | body by kind:
//!             0 pre-vote request    last term u64 | last index u64        1 pre-vote response   granted u8
//!             2 vote request        last term u64 | last index u64 | forced u8 (not by silence)
//!               and of format 1 also: handed over u8 (by the leader) | round u64
//!             3 vote response       granted u8, and of format 1 also wall_ms u64 (0: not said)
//!             4 append request      prev term u64 | prev index u64 | commit u64 | count u32 | entries
//!             5 append response     matched u64
//!             6 append rejected     prev u64 | hint term u64 | hint index u64
//!             7 heartbeat           commit u64 | round u64, and of format 1 also asks_promise u8
//!             8 heartbeat response  round u64 | standing
//!               and of format 1 also: wall_ms u64 | features u16 (0 of either: not said) | promise_us u64
//!             9 timeout now         nothing, and of format 1 round u64
//!             10 snapshot offer     last term u64 | last index u64
//!             11 repair request     state is lost u8 | behind term u64 | behind index u64 | count u32 | count × (term u64 | index u64)
//!             12 repair response    snapshot term u64 | snapshot index u64 | count u32 | entries
//! standing    priority u8 | ticks for a write u32 | flags u8
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::config::PRIORITY_MAX;
use crate::entry::{Entry, HardState, Membership, Payload};
use crate::membership::ADDRESS_BYTES_MAX;
use crate::message::{Envelope, Ground, Message, Standing};
use crate::types::{EntryId, Index, NodeId, Term};

/// Why bytes are not what they should be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The bytes end too early.
    Truncated,
    /// Bytes are left over.
    Trailing,
    /// A field has a value that is not allowed; which one.
    Invalid(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::Truncated => f.write_str("the bytes end too early"),
            DecodeError::Trailing => f.write_str("bytes are left over"),
            DecodeError::Invalid(what) => write!(f, "{what} has a value that is not allowed"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl Entry {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        ENTRY_HEADER_BYTES
            + match &self.payload {
                Payload::Noop => 0,
                Payload::Command(command) => command.len(),
                Payload::Membership(membership) => membership.encoded_len(),
            }
    }

    /// Appends the binary form.
    ///
    /// # Panics
    /// If the command has 2^32 bytes or more, which `Config::validate` rules out.
    pub fn encode(&self, out: &mut BytesMut) {
        let len = self.encoded_len();
        out.reserve(len);
        let payload_len = u32::try_from(len - ENTRY_HEADER_BYTES);
        let payload_len = payload_len.expect("commands are limited to less than 2^32 bytes");
        let mut head = [0; ENTRY_HEADER_BYTES];
        head[0] = match &self.payload {
            Payload::Noop => 0,
            Payload::Command(_) => 1,
            Payload::Membership(_) => 2,
        };
        head[1..9].copy_from_slice(&self.id.term.0.to_le_bytes());
        head[9..17].copy_from_slice(&self.id.index.0.to_le_bytes());
        head[17..25].copy_from_slice(&self.timestamp_ms.to_le_bytes());
        head[25..].copy_from_slice(&payload_len.to_le_bytes());
        out.put_slice(&head);
        match &self.payload {
            Payload::Noop => {}
            Payload::Command(command) => out.put_slice(command),
            Payload::Membership(membership) => membership.encode(out),
        }
    }

    /// Takes one entry from the front of `bytes`; a command is a slice of it. Does not look at what follows.
    ///
    /// # Errors
    /// If the bytes do not begin with an entry. How much of `bytes` was taken is not defined then.
    pub fn decode(bytes: &mut Bytes) -> Result<Entry, DecodeError> {
        need(bytes, ENTRY_HEADER_BYTES)?;
        let kind = bytes.get_u8();
        let id = take_id(bytes)?;
        let timestamp_ms = bytes.get_u64_le();
        let payload_len = take_len(bytes.get_u32_le())?;
        need(bytes, payload_len)?;
        let mut payload = bytes.split_to(payload_len);
        let payload = match kind {
            0 if payload.is_empty() => Payload::Noop,
            0 => return Err(DecodeError::Invalid("the length of a no-op")),
            1 => Payload::Command(payload),
            2 => {
                let membership = Membership::decode(&mut payload)?;
                done(&payload)?;
                Payload::Membership(Arc::new(membership))
            }
            _ => return Err(DecodeError::Invalid("the kind of an entry")),
        };
        Ok(Entry { id, timestamp_ms, payload })
    }
}

impl Membership {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        let lists = [self.voters.len(), self.voters_outgoing.len(), self.learners.len()];
        let addresses: usize = self.addresses.values().map(|address| 8 + 2 + address.len()).sum();
        lists.iter().map(|len| 2 + 8 * len).sum::<usize>()
            + 2
            + 16 * self.promotions.len()
            + 2
            + addresses
            + 8
    }

    /// Appends the binary form.
    ///
    /// # Panics
    /// If a list has more than [`MEMBERS_LEN_MAX`] nodes, or an address is too long.
    pub fn encode(&self, out: &mut BytesMut) {
        for list in [&self.voters, &self.voters_outgoing, &self.learners] {
            assert!(list.len() <= MEMBERS_LEN_MAX, "the number of members is bounded");
            out.put_u16_le(u16::try_from(list.len()).expect("the bound fits 16 bits"));
            for node in list {
                out.put_u64_le(node.get());
            }
        }
        out.put_u16_le(u16::try_from(self.promotions.len()).expect("learners are bounded"));
        for (learner, replaced) in &self.promotions {
            out.put_u64_le(learner.get());
            out.put_u64_le(replaced.map_or(0, NodeId::get));
        }
        out.put_u16_le(u16::try_from(self.addresses.len()).expect("members are bounded"));
        for (node, address) in &self.addresses {
            assert!(address.len() <= ADDRESS_BYTES_MAX, "the length of an address is bounded");
            out.put_u64_le(node.get());
            out.put_u16_le(u16::try_from(address.len()).expect("the bound fits 16 bits"));
            out.put_slice(address.as_bytes());
        }
        out.put_u64_le(self.id_given);
    }

    /// Takes one membership from the front of `bytes`. Does not look at what follows.
    ///
    /// # Errors
    /// If the bytes do not begin with a membership: too short, a list too long or not rising, no voter, a learner that
    /// is a voter, or something said of a node that is no member.
    pub fn decode(bytes: &mut Bytes) -> Result<Membership, DecodeError> {
        let voters = take_nodes(bytes)?;
        let voters_outgoing = take_nodes(bytes)?;
        let learners = take_nodes(bytes)?;
        if voters.is_empty() {
            return Err(DecodeError::Invalid("the set of voters"));
        }
        if !learners.is_disjoint(&voters) || !learners.is_disjoint(&voters_outgoing) {
            return Err(DecodeError::Invalid("the set of learners"));
        }
        let promotions = take_promotions(bytes)?;
        let addresses = take_addresses(bytes)?;
        let id_given = take_number(bytes, "the highest id given")?;
        let membership = Membership { voters, voters_outgoing, learners, promotions, addresses, id_given };
        if membership.is_sound() {
            Ok(membership)
        } else {
            Err(DecodeError::Invalid("what is said of members"))
        }
    }
}

impl HardState {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        16
    }

    /// Appends the binary form.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.term.0);
        out.put_u64_le(self.vote.map_or(0, NodeId::get));
    }

    /// Takes one hard state from the front of `bytes`. Does not look at what follows.
    ///
    /// # Errors
    /// If the bytes do not begin with a hard state.
    pub fn decode(bytes: &mut Bytes) -> Result<HardState, DecodeError> {
        need(bytes, 16)?;
        let term = Term(take_number(bytes, "a term")?);
        Ok(HardState { term, vote: NodeId::checked(bytes.get_u64_le()) })
    }
}

impl Envelope {
    /// How many bytes `encode` writes.
    pub fn encoded_len(&self) -> usize {
        ENVELOPE_HEADER_BYTES
            + match &self.message {
                Message::PreVoteRequest { .. } | Message::SnapshotOffer { .. } => 16,
                Message::Heartbeat { .. } => 16 + 1,
                Message::VoteRequest { .. } => 17 + 9,
                Message::PreVoteResponse { .. } => 1,
                Message::VoteResponse { .. } => 1 + 8,
                Message::AppendRequest { entries, .. } => {
                    APPEND_HEADER_BYTES + entries.iter().map(Entry::encoded_len).sum::<usize>()
                }
                Message::AppendResponse { .. } | Message::TimeoutNow { .. } => 8,
                Message::HeartbeatResponse { .. } => 8 + STANDING_BYTES + 10 + 8,
                Message::AppendRejected { .. } => 24,
                Message::RepairRequest { wanted, .. } => 21 + 16 * wanted.len(),
                Message::RepairResponse { entries, .. } | Message::Donation { entries, .. } => {
                    20 + entries.iter().map(Entry::encoded_len).sum::<usize>()
                }
            }
    }

    /// Appends the binary form, in the newest format.
    pub fn encode(&self, out: &mut BytesMut) {
        self.encode_for(ENVELOPE_FORMAT_MAX, out);
    }

    /// Appends the binary form in a format that the receiver reads: what it has no place for is left out.
    ///
    /// # Panics
    /// If there is no such format.
    pub fn encode_for(&self, format: u8, out: &mut BytesMut) {
        assert!(format <= ENVELOPE_FORMAT_MAX, "only formats that exist are written");
        out.reserve(self.encoded_len());
        let mut head = [0; ENVELOPE_HEADER_BYTES];
        head[..2].copy_from_slice(&[format, kind(&self.message)]);
        head[2..10].copy_from_slice(&self.from.get().to_le_bytes());
        head[10..18].copy_from_slice(&self.to.get().to_le_bytes());
        head[18..].copy_from_slice(&self.term.0.to_le_bytes());
        out.put_slice(&head);
        match &self.message {
            Message::PreVoteRequest { last } | Message::SnapshotOffer { last } => put_id(out, *last),
            Message::VoteRequest { last, ground } => {
                put_id(out, *last);
                put_ground(format, out, *ground);
            }
            Message::PreVoteResponse { granted } => out.put_u8(u8::from(*granted)),
            Message::VoteResponse { granted, wall_ms } => {
                out.put_u8(u8::from(*granted));
                if format >= 1 {
                    out.put_u64_le(*wall_ms);
                }
            }
            Message::AppendRequest { prev, entries, commit } => {
                put_id(out, *prev);
                out.put_u64_le(commit.0);
                put_entries(out, entries);
            }
            Message::AppendResponse { matched } => out.put_u64_le(matched.0),
            Message::AppendRejected { prev, hint } => {
                out.put_u64_le(prev.0);
                put_id(out, *hint);
            }
            Message::Heartbeat { commit, round, asks_promise } => {
                out.put_u64_le(commit.0);
                out.put_u64_le(*round);
                if format >= 1 {
                    out.put_u8(u8::from(*asks_promise));
                }
            }
            Message::HeartbeatResponse { round, standing, wall_ms, features, promise_us } => {
                out.put_u64_le(*round);
                put_standing(out, *standing);
                if format >= 1 {
                    out.put_u64_le(*wall_ms);
                    out.put_u16_le(*features);
                    out.put_u64_le(*promise_us);
                }
            }
            Message::TimeoutNow { round } => {
                if format >= 1 {
                    out.put_u64_le(*round);
                }
            }
            Message::RepairRequest { wanted, state_behind } => {
                out.put_u8(u8::from(state_behind.is_some()));
                put_id(out, state_behind.unwrap_or(EntryId::ZERO));
                out.put_u32_le(u32::try_from(wanted.len()).expect("a question is bounded below 2^32"));
                for id in wanted {
                    put_id(out, *id);
                }
            }
            Message::RepairResponse { entries, snapshot: id } | Message::Donation { entries, prev: id } => {
                put_id(out, *id);
                put_entries(out, entries);
            }
        }
    }

    /// Takes one envelope, which must fill `bytes` to the last one.
    ///
    /// # Errors
    /// If the bytes are not exactly one envelope.
    pub fn decode(bytes: &mut Bytes) -> Result<Envelope, DecodeError> {
        Envelope::decode_up_to(ENVELOPE_FORMAT_MAX, bytes)
    }

    /// The same for a reader that knows no newer format than this one.
    ///
    /// # Errors
    /// If the bytes are not exactly one envelope of a format that it knows.
    pub fn decode_up_to(format_max: u8, bytes: &mut Bytes) -> Result<Envelope, DecodeError> {
        need(bytes, ENVELOPE_HEADER_BYTES)?;
        let format = bytes.get_u8();
        if format > format_max.min(ENVELOPE_FORMAT_MAX) {
            return Err(DecodeError::Invalid("the format of an envelope"));
        }
        let kind = bytes.get_u8();
        let from = take_node(bytes)?;
        let to = take_node(bytes)?;
        let term = Term(take_number(bytes, "a term")?);
        let message = take_message(format, kind, bytes)?;
        done(bytes)?;
        Ok(Envelope { from, to, term, message })
    }
}

fn kind(message: &Message) -> u8 {
    match message {
        Message::PreVoteRequest { .. } => 0,
        Message::PreVoteResponse { .. } => 1,
        Message::VoteRequest { .. } => 2,
        Message::VoteResponse { .. } => 3,
        Message::AppendRequest { .. } => 4,
        Message::AppendResponse { .. } => 5,
        Message::AppendRejected { .. } => 6,
        Message::Heartbeat { .. } => 7,
        Message::HeartbeatResponse { .. } => 8,
        Message::TimeoutNow { .. } => 9,
        Message::SnapshotOffer { .. } => 10,
        Message::RepairRequest { .. } => 11,
        Message::RepairResponse { .. } => 12,
        Message::Donation { .. } => 13,
    }
}

fn take_message(format: u8, kind: u8, bytes: &mut Bytes) -> Result<Message, DecodeError> {
    let index = |bytes: &mut Bytes| take_number(bytes, "an index").map(Index);
    let round = |bytes: &mut Bytes| take_number(bytes, "a round");
    Ok(match kind {
        0 => Message::PreVoteRequest { last: take_id(bytes)? },
        1 => Message::PreVoteResponse { granted: take_bool(bytes)? },
        2 => Message::VoteRequest { last: take_id(bytes)?, ground: take_ground(format, bytes)? },
        3 => {
            let granted = take_bool(bytes)?;
            if format == 0 {
                return Ok(Message::VoteResponse { granted, wall_ms: 0 });
            }
            need(bytes, 8)?;
            Message::VoteResponse { granted, wall_ms: bytes.get_u64_le() }
        }
        4 => {
            let prev = take_id(bytes)?;
            let commit = index(bytes)?;
            Message::AppendRequest { prev, entries: take_entries(bytes)?, commit }
        }
        5 => Message::AppendResponse { matched: index(bytes)? },
        6 => Message::AppendRejected { prev: index(bytes)?, hint: take_id(bytes)? },
        7 => {
            let (commit, round) = (index(bytes)?, round(bytes)?);
            Message::Heartbeat { commit, round, asks_promise: format >= 1 && take_bool(bytes)? }
        }
        8 => {
            let (round, standing) = (round(bytes)?, take_standing(bytes)?);
            if format == 0 {
                let (wall_ms, features, promise_us) = (0, 0, 0);
                return Ok(Message::HeartbeatResponse { round, standing, wall_ms, features, promise_us });
            }
            need(bytes, 10)?;
            let (wall_ms, features) = (bytes.get_u64_le(), bytes.get_u16_le());
            let promise_us = take_number(bytes, "a promise")?;
            Message::HeartbeatResponse { round, standing, wall_ms, features, promise_us }
        }
        9 => Message::TimeoutNow { round: if format >= 1 { round(bytes)? } else { 0 } },
        10 => Message::SnapshotOffer { last: take_id(bytes)? },
        11 => {
            let state_is_lost = take_bool(bytes)?;
            let behind = take_id(bytes)?;
            if !state_is_lost && behind != EntryId::ZERO {
                return Err(DecodeError::Invalid("the place of a state that is not lost"));
            }
            let count = take_room_for(bytes, ID_BYTES)?;
            let wanted = (0..count).map(|_| take_id(bytes)).collect::<Result<Vec<EntryId>, DecodeError>>()?;
            Message::RepairRequest { wanted, state_behind: state_is_lost.then_some(behind) }
        }
        12 => Message::RepairResponse { snapshot: take_id(bytes)?, entries: take_entries(bytes)? },
        13 => Message::Donation { prev: take_id(bytes)?, entries: take_entries(bytes)? },
        _ => return Err(DecodeError::Invalid("the kind of a message")),
    })
}

pub(crate) fn put_standing(out: &mut BytesMut, standing: Standing) {
    let Standing { priority, disk_ticks, rests, full } = standing;
    out.put_u8(priority);
    out.put_u32_le(disk_ticks);
    out.put_u8(u8::from(rests) | u8::from(full) << 1);
}

fn take_standing(bytes: &mut Bytes) -> Result<Standing, DecodeError> {
    need(bytes, STANDING_BYTES)?;
    let (priority, disk_ticks, flags) = (bytes.get_u8(), bytes.get_u32_le(), bytes.get_u8());
    if priority > PRIORITY_MAX || flags > 3 {
        return Err(DecodeError::Invalid("how fit a node is to lead"));
    }
    Ok(Standing { priority, disk_ticks, rests: flags & 1 != 0, full: flags & 2 != 0 })
}

fn put_entries(out: &mut BytesMut, entries: &[Entry]) {
    out.put_u32_le(u32::try_from(entries.len()).expect("a message is bounded in bytes below 2^32"));
    for entry in entries {
        entry.encode(out);
    }
}

fn take_entries(bytes: &mut Bytes) -> Result<Vec<Entry>, DecodeError> {
    let count = take_room_for(bytes, ENTRY_HEADER_BYTES)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(Entry::decode(bytes)?);
    }
    Ok(entries)
}

/// A count of things that take at least `each` bytes: one that the bytes cannot hold is refused before memory is taken.
fn take_room_for(bytes: &mut Bytes, each: usize) -> Result<usize, DecodeError> {
    need(bytes, 4)?;
    let count = take_len(bytes.get_u32_le())?;
    need(bytes, count.saturating_mul(each))?;
    Ok(count)
}

pub(crate) fn need(bytes: &Bytes, count: usize) -> Result<(), DecodeError> {
    if bytes.len() < count { Err(DecodeError::Truncated) } else { Ok(()) }
}

pub(crate) fn done(bytes: &Bytes) -> Result<(), DecodeError> {
    if bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
}

pub(crate) fn put_id(out: &mut BytesMut, id: EntryId) {
    out.put_u64_le(id.term.0);
    out.put_u64_le(id.index.0);
}

pub(crate) fn take_id(bytes: &mut Bytes) -> Result<EntryId, DecodeError> {
    let term = Term(take_number(bytes, "a term")?);
    let index = Index(take_number(bytes, "an index")?);
    Ok(EntryId { term, index })
}

/// A term, an index or a round: none can have come near [`NUMBER_MAX`], and below it sums never wrap.
pub(crate) fn take_number(bytes: &mut Bytes, what: &'static str) -> Result<u64, DecodeError> {
    need(bytes, 8)?;
    let number = bytes.get_u64_le();
    if number > NUMBER_MAX { Err(DecodeError::Invalid(what)) } else { Ok(number) }
}

fn take_node(bytes: &mut Bytes) -> Result<NodeId, DecodeError> {
    need(bytes, 8)?;
    NodeId::checked(bytes.get_u64_le()).ok_or(DecodeError::Invalid("a node id"))
}

fn take_nodes(bytes: &mut Bytes) -> Result<BTreeSet<NodeId>, DecodeError> {
    let count = take_count(bytes)?;
    let mut nodes = BTreeSet::new();
    for _ in 0..count {
        let node = take_node(bytes)?;
        if nodes.last().is_some_and(|last| *last >= node) {
            return Err(DecodeError::Invalid("the order of members"));
        }
        nodes.insert(node);
    }
    Ok(nodes)
}

fn take_promotions(bytes: &mut Bytes) -> Result<BTreeMap<NodeId, Option<NodeId>>, DecodeError> {
    let mut promotions = BTreeMap::new();
    for _ in 0..take_count(bytes)? {
        let learner = take_rising(bytes, &promotions)?;
        need(bytes, 8)?;
        promotions.insert(learner, NodeId::checked(bytes.get_u64_le()));
    }
    Ok(promotions)
}

fn take_addresses(bytes: &mut Bytes) -> Result<BTreeMap<NodeId, String>, DecodeError> {
    let mut addresses = BTreeMap::new();
    for _ in 0..take_count(bytes)? {
        let node = take_rising(bytes, &addresses)?;
        need(bytes, 2)?;
        let len = usize::from(bytes.get_u16_le());
        if len > ADDRESS_BYTES_MAX {
            return Err(DecodeError::Invalid("the length of an address"));
        }
        need(bytes, len)?;
        let text = std::str::from_utf8(&bytes[..len]).map_err(|_| DecodeError::Invalid("an address"))?;
        addresses.insert(node, text.to_owned());
        bytes.advance(len);
    }
    Ok(addresses)
}

fn take_count(bytes: &mut Bytes) -> Result<usize, DecodeError> {
    need(bytes, 2)?;
    let count = usize::from(bytes.get_u16_le());
    if count > MEMBERS_LEN_MAX { Err(DecodeError::Invalid("the number of members")) } else { Ok(count) }
}

/// A node that follows all those that were read before it.
fn take_rising<T>(bytes: &mut Bytes, before: &BTreeMap<NodeId, T>) -> Result<NodeId, DecodeError> {
    let node = take_node(bytes)?;
    match before.last_key_value() {
        Some((last, _)) if *last >= node => Err(DecodeError::Invalid("the order of members")),
        Some(_) | None => Ok(node),
    }
}

fn take_bool(bytes: &mut Bytes) -> Result<bool, DecodeError> {
    need(bytes, 1)?;
    match bytes.get_u8() {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid("a yes or no")),
    }
}

fn put_ground(format: u8, out: &mut BytesMut, ground: Ground) {
    let (forced, handed_over, round) = match ground {
        Ground::Silence => (false, false, 0),
        Ground::Operator => (true, false, 0),
        Ground::Leader { round } => (true, true, round),
    };
    out.put_u8(u8::from(forced));
    if format >= 1 {
        out.put_u8(u8::from(handed_over));
        out.put_u64_le(round);
    }
}

/// Of format 0 it is not known whether it was the leader that asked: then it frees nobody of a promise.
fn take_ground(format: u8, bytes: &mut Bytes) -> Result<Ground, DecodeError> {
    let forced = take_bool(bytes)?;
    let (handed_over, round) =
        if format >= 1 { (take_bool(bytes)?, take_number(bytes, "a round")?) } else { (false, 0) };
    match (forced, handed_over, round) {
        (false, false, 0) => Ok(Ground::Silence),
        (true, false, 0) => Ok(Ground::Operator),
        (true, true, round) => Ok(Ground::Leader { round }),
        _ => Err(DecodeError::Invalid("the ground of a candidacy")),
    }
}

fn take_len(len: u32) -> Result<usize, DecodeError> {
    usize::try_from(len).map_err(|_| DecodeError::Invalid("a length"))
}

/// The most nodes that one list of a membership may name.
pub const MEMBERS_LEN_MAX: usize = 1_024;
const NUMBER_MAX: u64 = 1 << 62;
/// The newest format of envelopes. Each is that of the version of the wire format with the same number.
pub const ENVELOPE_FORMAT_MAX: u8 = 1;
const ENVELOPE_HEADER_BYTES: usize = 1 + 1 + 8 + 8 + 8;
const STANDING_BYTES: usize = 1 + 4 + 1;
const APPEND_HEADER_BYTES: usize = 16 + 8 + 4;
const ID_BYTES: usize = 8 + 8;
const ENTRY_HEADER_BYTES: usize = 1 + 8 + 8 + 8 + 4;
