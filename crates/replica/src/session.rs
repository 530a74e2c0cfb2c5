//! Which requests were answered, and how (thesis 6.3). Part of the replicated state: every node keeps the same tables,
//! because they change by committed entries only, their bounds count what entries brought, and age is log time.
//!
//! Two tables. A *session* numbers its requests and says which replies it has received; its memory is what it has not
//! acknowledged. A *key* is for clients without a session; its memory is bounded by count, bytes and age.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::planted::{self, Bug};

use crate::request::RequestId;
use crate::shared_map::{SharedMap, SharedQueue};

/// The bounds of the tables. They decide what is remembered, so they are the same on all nodes of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// How many sessions are kept; beyond, the least recently used one goes. Together with [`SessionLimits::forgotten_len_max`] it must be so
    /// large that a session is never forgotten and opened again while old copies of its requests may still be under way.
    pub sessions_len_max: usize,
    /// How many ids of sessions that went are remembered, so that none of them is opened again; beyond, the oldest goes.
    pub forgotten_len_max: usize,
    /// How many unacknowledged replies a session keeps; beyond, that of the lowest sequence goes.
    pub session_replies_len_max: usize,
    /// How many bytes of replies a session keeps, overhead included; beyond, that of the lowest sequence goes.
    pub session_bytes_max: usize,
    /// How many bytes of replies all sessions keep; beyond, the least recently used session goes.
    pub sessions_bytes_max: usize,
    /// How many keys are kept; beyond, the oldest goes.
    pub keys_len_max: usize,
    /// How many bytes of keys and their replies are kept, overhead included; beyond, the oldest goes.
    pub keys_bytes_max: usize,
    /// How long a key is kept at least, in milliseconds of log time: longer than a client or a node tries a request again.
    /// While the table is full of younger ones, a request with a new key is refused as `Overloaded`.
    pub key_age_ms_min: u64,
    /// How long a key is kept at most, in milliseconds of log time.
    pub key_age_ms_max: u64,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            sessions_len_max: 10_000,
            forgotten_len_max: 100_000,
            session_replies_len_max: 262_144,
            session_bytes_max: 64 << 20,
            sessions_bytes_max: 256 << 20,
            keys_len_max: 524_288,
            keys_bytes_max: 128 << 20,
            key_age_ms_min: 30_000,
            key_age_ms_max: 24 * 60 * 60 * 1_000,
        }
    }
}

/// What a request was answered, as it is remembered: a state machine's reply, or that its command did not decode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// The encoded reply.
    Reply(Bytes),
    /// The command did not decode. Why not, in words, is not kept: two binaries may word the same refusal differently, and this is
    /// replicated state.
    Malformed,
}

/// What the tables say about a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Never seen: apply it, then [`record`](Sessions::record) the answer.
    No,
    /// Answered before, with this.
    Answered(Kept),
    /// Its answer is no longer kept: never apply it again.
    Forgotten,
    /// The same id came with another command.
    Reused,
    /// The session is not open.
    SessionUnknown,
    /// The key is new, and there is no room for it: every key in the table is too young to be forgotten.
    NoRoom,
}

/// Both tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sessions {
    pub(crate) limits: SessionLimits,
    /// The open sessions.
    pub(crate) sessions: BTreeMap<u128, Session>,
    /// The open sessions by their last use. Invariant: the inverse of `Session::used`, which is unique.
    by_use: BTreeMap<u64, u128>,
    /// The number of the last use. It only rises, with each use of any session.
    pub(crate) uses: u64,
    /// The ids of sessions that went, the oldest first: under them nothing is applied ever again, because nobody knows what was.
    pub(crate) forgotten: SharedQueue<u128>,
    /// The same by id. Invariant: holds each of `forgotten` once, and none that is open.
    forgotten_ids: SharedMap<u128, ()>,
    /// The bytes of all sessions' replies.
    bytes: usize,
    /// The keys.
    pub(crate) keys: SharedMap<Bytes, Answer>,
    /// The keys in the order of the log, each with its time. Invariant: holds each key of `keys` once.
    pub(crate) keys_by_age: SharedQueue<(u64, Bytes)>,
    /// The bytes of all keys and their replies.
    keys_bytes: usize,
}

/// One open session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    /// Which use of any session was the last one of this session.
    pub(crate) used: u64,
    /// Nothing at or below is kept: acknowledged by the client, or pushed out.
    pub(crate) floor: u64,
    /// What is kept, by sequence. Invariant: all above `floor`.
    pub(crate) answers: SharedMap<u64, Answer>,
    /// The bytes of the replies.
    bytes: usize,
}

/// A remembered answer, with the hash of the command that it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) command_hash: u64,
    pub(crate) kept: Kept,
}

impl Sessions {
    /// Empty tables.
    pub fn new(limits: SessionLimits) -> Sessions {
        assert!(limits.sessions_len_max > 0, "the session in use is always kept");
        assert!(limits.session_replies_len_max > 0, "the reply just given is always kept");
        Sessions {
            limits,
            sessions: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            forgotten: SharedQueue::new(),
            forgotten_ids: SharedMap::new(),
            bytes: 0,
            keys: SharedMap::new(),
            keys_by_age: SharedQueue::new(),
            keys_bytes: 0,
        }
    }

    /// Opens a session. Opening an open one changes nothing but that it was used just now. False if a session of this id was open before and
    /// has been forgotten: opened again it would apply once more what it has applied.
    #[must_use = "who opens a session that was forgotten must be told"]
    pub fn open(&mut self, id: u128) -> bool {
        if self.forgotten_ids.contains_key(&id) {
            return false;
        }
        self.uses += 1;
        let session = Session { used: self.uses, floor: 0, answers: SharedMap::new(), bytes: 0 };
        let session = self.sessions.entry(id).or_insert(session);
        self.by_use.remove(&session.used);
        session.used = self.uses;
        self.by_use.insert(session.used, id);
        if self.sessions.len() > self.limits.sessions_len_max {
            self.evict_session();
        }
        assert!(
            self.by_use.len() == self.sessions.len(),
            "each open session has its place in the order of use"
        );
        assert!(self.sessions.len() <= self.limits.sessions_len_max, "sessions are bounded in count");
        true
    }

    /// What is known about a request at this place of the log. Takes note of what the client acknowledges.
    pub fn look_up(&mut self, request: &RequestId, command_hash: u64, timestamp_ms: u64) -> Seen {
        match request {
            RequestId::Session { session, sequence, acknowledged } => {
                self.look_up_session(*session, *sequence, *acknowledged, command_hash)
            }
            RequestId::Key(key) => {
                let local_clock = planted::is(Bug::KeysExpireByLocalClock);
                self.expire_keys(if local_clock { planted::local_ms() } else { timestamp_ms });
                match self.keys.get(key) {
                    Some(answer) => answer.seen(command_hash),
                    None if self.is_full_of_young_keys(timestamp_ms) => Seen::NoRoom,
                    None => Seen::No,
                }
            }
        }
    }

    fn look_up_session(&mut self, id: u128, sequence: u64, acknowledged: u64, command_hash: u64) -> Seen {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Seen::SessionUnknown;
        };
        if session.used != self.uses {
            self.by_use.remove(&session.used).expect("each open session has its place in the order of use");
            self.uses += 1;
            session.used = self.uses;
            self.by_use.insert(session.used, id);
        }
        // A request is never its own acknowledgement: a client that says so is taken to mean those before.
        let floor = acknowledged.min(sequence.saturating_sub(1));
        while let Some((lowest, answer)) = session.answers.first_key_value()
            && *lowest <= floor
        {
            let len = answer.len();
            session.answers.pop_first();
            session.bytes -= len;
            self.bytes -= len;
        }
        session.floor = session.floor.max(floor);
        assert!(session.bytes <= self.bytes, "a session's bytes are part of all sessions' bytes");
        match session.answers.get(&sequence) {
            Some(answer) => answer.seen(command_hash),
            None if sequence <= session.floor => Seen::Forgotten,
            None => Seen::No,
        }
    }

    /// Remembers the answer to a request that was [`Seen::No`].
    ///
    /// # Panics
    /// If the request was answered before: then it was applied twice.
    pub fn record(&mut self, request: &RequestId, command_hash: u64, timestamp_ms: u64, kept: Kept) {
        let answer = Answer { command_hash, kept };
        match request {
            RequestId::Session { session: id, sequence, .. } => {
                let session = self.sessions.get_mut(id).expect("a session that was looked up is open");
                assert!(*sequence > session.floor, "what is below the floor is never applied");
                let len = answer.len();
                session.bytes += len;
                self.bytes += len;
                let before = session.answers.insert(*sequence, answer);
                assert!(before.is_none(), "a request of a session is applied once");
                self.bytes -= session.shrink(&self.limits);
                while self.bytes > self.limits.sessions_bytes_max && self.sessions.len() > 1 {
                    self.evict_session();
                }
            }
            RequestId::Key(key) => {
                self.keys_bytes += answer.len() + 2 * key.len();
                // A copy of its own: the key is a slice of a whole received frame, which it would keep in memory.
                let key = Bytes::copy_from_slice(key);
                let before = self.keys.insert(key.clone(), answer);
                assert!(before.is_none(), "a request with a key is applied once");
                self.keys_by_age.push_back((timestamp_ms, key));
                // The one just recorded may take the table over its bytes; young keys stay all the same.
                while (self.keys.len() > self.limits.keys_len_max
                    || self.keys_bytes > self.limits.keys_bytes_max)
                    && !self.is_oldest_key_young(timestamp_ms)
                {
                    self.evict_key();
                }
            }
        }
    }

    /// Forgets the keys that are too old at this time of the log.
    fn expire_keys(&mut self, timestamp_ms: u64) {
        while let Some((at, _)) = self.keys_by_age.front()
            && timestamp_ms.saturating_sub(*at) > self.limits.key_age_ms_max
        {
            self.evict_key();
        }
    }

    /// Whether a new key would push out one whose request may still be tried again: that request would be applied twice.
    fn is_full_of_young_keys(&self, timestamp_ms: u64) -> bool {
        let full =
            self.keys.len() >= self.limits.keys_len_max || self.keys_bytes >= self.limits.keys_bytes_max;
        full && self.is_oldest_key_young(timestamp_ms)
    }

    fn is_oldest_key_young(&self, timestamp_ms: u64) -> bool {
        let age = |(at, _): &(u64, Bytes)| timestamp_ms.saturating_sub(*at);
        self.keys_by_age.front().is_some_and(|key| age(key) < self.limits.key_age_ms_min)
    }

    fn evict_key(&mut self) {
        let (_, key) = self.keys_by_age.pop_front().expect("evicting follows from there being a key");
        let answer = self.keys.remove(&key).expect("each key in the order of age is in the table");
        self.keys_bytes -= answer.len() + 2 * key.len();
        assert!(self.keys.len() == self.keys_by_age.len(), "each key stands once in the order of age");
    }

    fn evict_session(&mut self) {
        let (used, id) = self.by_use.pop_first().expect("evicting follows from there being a session");
        let session = self.sessions.remove(&id).expect("each session in the order of use is in the table");
        assert!(session.used == used, "the order of use is that of the sessions");
        self.bytes -= session.bytes;
        self.remember_forgotten(id);
    }

    /// Notes that nothing is known any more of a session.
    fn remember_forgotten(&mut self, id: u128) {
        if self.forgotten_ids.insert(id, ()).is_none() {
            self.forgotten.push_back(id);
        }
        while self.forgotten.len() > self.limits.forgotten_len_max {
            let oldest = self.forgotten.pop_front().expect("there is more than none");
            self.forgotten_ids.remove(&oldest);
        }
        assert!(self.forgotten.len() == self.forgotten_ids.len(), "each forgotten id is remembered once");
    }

    /// Puts back the id of a forgotten session as a snapshot holds it, the oldest first.
    pub(crate) fn restore_forgotten(&mut self, id: u128) -> bool {
        let fresh = !self.sessions.contains_key(&id) && !self.forgotten_ids.contains_key(&id);
        self.remember_forgotten(id);
        fresh
    }

    /// How many sessions are open, and how many keys are kept.
    pub fn len(&self) -> (usize, usize) {
        (self.sessions.len(), self.keys.len())
    }

    /// Puts back a session as a snapshot holds it.
    pub(crate) fn restore_session(
        &mut self,
        id: u128,
        used: u64,
        floor: u64,
        answers: SharedMap<u64, Answer>,
    ) -> bool {
        let bytes = answers.iter().map(|(_, answer)| answer.len()).sum();
        let above = answers.first_key_value().is_none_or(|(lowest, _)| *lowest > floor);
        self.bytes += bytes;
        let fresh = used <= self.uses && self.by_use.insert(used, id).is_none();
        fresh && above && self.sessions.insert(id, Session { used, floor, answers, bytes }).is_none()
    }

    /// Puts back a key as a snapshot holds it, the oldest first.
    pub(crate) fn restore_key(&mut self, timestamp_ms: u64, key: Bytes, answer: Answer) -> bool {
        self.keys_bytes += answer.len() + 2 * key.len();
        self.keys_by_age.push_back((timestamp_ms, key.clone()));
        self.keys.insert(key, answer).is_none()
    }
}

impl Session {
    /// Lets the lowest answers go until the session is within its bounds; how many bytes went. The newest stays.
    fn shrink(&mut self, limits: &SessionLimits) -> usize {
        let before = self.bytes;
        while self.answers.len() > limits.session_replies_len_max
            || (self.bytes > limits.session_bytes_max && self.answers.len() > 1)
        {
            let (sequence, answer) = self.answers.pop_first().expect("there is more than one answer");
            self.bytes -= answer.len();
            self.floor = sequence;
        }
        assert!(
            self.answers.len() <= limits.session_replies_len_max,
            "a session's replies are bounded in count"
        );
        before - self.bytes
    }
}

impl Answer {
    fn seen(&self, command_hash: u64) -> Seen {
        if self.command_hash == command_hash { Seen::Answered(self.kept.clone()) } else { Seen::Reused }
    }

    /// What it takes in memory, in bytes: the bounds count the overhead, or a million empty replies would be free.
    fn len(&self) -> usize {
        let text = match &self.kept {
            Kept::Reply(reply) => reply.len(),
            Kept::Malformed => 0,
        };
        ANSWER_OVERHEAD_BYTES + text
    }
}

/// What an answer takes beside its text: its node in the table, its hash, its buffer.
const ANSWER_OVERHEAD_BYTES: usize = 96;
