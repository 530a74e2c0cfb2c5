//! The replicated state of the simulated workload. Each client appends values of its own that never repeat, so that a lost,
//! repeated or invented write shows in the list itself; some clients move a declared machine with each value, so that the
//! machine refuses what comes twice or too early. Every apply also goes into a running fingerprint, by which the nodes are
//! compared at equal indices.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use quorate_core::types::{EntryId, Index};
use quorate_machine::{Command, Outcome, Registry, Reply, Wish};
use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};

use crate::rng::{HASH_START, hash_bytes, hash_word};
use crate::workload::SHARED;

/// The lists of all clients.
#[derive(Clone, Debug)]
pub struct Ledger {
    lists: BTreeMap<u32, List>,
    /// The commands that came again after their key was forgotten.
    repeats: Vec<Repeat>,
    registry: Registry,
    last: EntryId,
    fingerprint: u64,
    /// The fingerprint after each applied command, for the comparison between nodes.
    fingerprints: Vec<(Index, u64)>,
    /// Where replies are encoded for the fingerprint.
    scratch: Vec<u8>,
}

/// Values, each with the log time of its last application, in milliseconds.
#[derive(Clone, Default, Debug)]
struct List {
    values: Vec<u64>,
    times_ms: Vec<u64>,
    /// The highest value of each writer: what is higher was never here.
    highest: BTreeMap<u64, u64>,
}

/// A command that came again, more than a day of log time after it was applied. A key is remembered for a day, so a client with keys must
/// expect this; a client with a session need not.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Repeat {
    /// Who appended it.
    pub client: u32,
    /// What.
    pub value: u64,
}

/// Appends a value to a client's list, and moves a declared machine if the client has one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Whose list.
    pub client: u32,
    /// A value that this client appends once only.
    pub value: u64,
    /// What the client's declared machine is told.
    pub command: Option<Command>,
}

/// Where the value went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The entry that was applied.
    pub entry: EntryId,
    /// The place in the list, from 0.
    pub position: u64,
    /// Whether the command came again after its key was forgotten. It stands where it stood, and moves no machine.
    pub repeated: bool,
    /// What the client's declared machine said.
    pub reply: Option<Reply>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            lists: BTreeMap::new(),
            repeats: Vec::new(),
            registry: Registry::new(),
            last: EntryId::ZERO,
            fingerprint: HASH_START,
            fingerprints: Vec::new(),
            scratch: Vec::new(),
        }
    }
}

impl Ledger {
    /// The values of a client in the order in which they were appended.
    pub fn list(&self, client: u32) -> &[u64] {
        self.lists.get(&client).map_or(&[], |list| &list.values)
    }

    /// The commands that came again after their key was forgotten, as documented.
    pub fn repeats(&self) -> &[Repeat] {
        &self.repeats
    }

    /// The declared machines.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The last command that was applied.
    pub fn last(&self) -> EntryId {
        self.last
    }

    /// What stands for all that was applied.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How many commands have been applied.
    pub fn fingerprints_len(&self) -> usize {
        self.fingerprints.len()
    }

    /// The fingerprints from the `from`-th applied command on.
    pub fn fingerprints_from(&self, from: usize) -> &[(Index, u64)] {
        self.fingerprints.get(from..).unwrap_or(&[])
    }
}

impl StateMachine for Ledger {
    type Command = Append;
    type Reply = Appended;

    fn apply(&mut self, context: &Context, command: Append) -> Appended {
        assert!(context.entry.index > self.last.index, "commands are applied in the order of the log");
        self.last = context.entry;
        let words = [
            context.entry.term.0,
            context.entry.index.0,
            context.timestamp_ms,
            u64::from(command.client),
            command.value,
            // What a release does otherwise from a level on: a binary that goes by what it understands itself would differ.
            u64::from(context.level),
        ];
        self.fingerprint = words.into_iter().fold(self.fingerprint, hash_word);
        let list = self.lists.entry(command.client).or_default();
        if let Some(place) = list.forgotten(command.client, command.value, context.timestamp_ms) {
            self.fingerprints.push((context.entry.index, self.fingerprint));
            self.repeats.push(Repeat { client: writer(command.client, command.value), value: command.value });
            return Appended { entry: context.entry, position: place, repeated: true, reply: None };
        }
        let position = list.push(command.client, command.value, context.timestamp_ms);
        let reply = command.command.map(|command| self.registry.apply(context, command));
        if let Some(reply) = &reply {
            self.scratch.clear();
            reply.encode(&mut self.scratch);
            self.fingerprint = hash_bytes(self.fingerprint, &self.scratch);
        }
        self.fingerprints.push((context.entry.index, self.fingerprint));
        Appended { entry: context.entry, position, repeated: false, reply }
    }

    fn snapshot(&self) -> Snapshot {
        let (lists, registry) = (self.lists.clone(), self.registry.snapshot());
        let (repeats, last, fingerprint) = (self.repeats.clone(), self.last, self.fingerprint);
        Box::new(move |out| {
            for word in [last.term.0, last.index.0, fingerprint, repeats.len() as u64] {
                out.write_all(&word.to_le_bytes())?;
            }
            for repeat in &repeats {
                out.write_all(&u64::from(repeat.client).to_le_bytes())?;
                out.write_all(&repeat.value.to_le_bytes())?;
            }
            let values: usize = lists.values().map(|list| list.values.len()).sum();
            out.write_all(&(values as u64).to_le_bytes())?;
            let mut block = Vec::with_capacity(24 * VALUES_AT_ONCE);
            for (client, list) in &lists {
                for (values, times_ms) in
                    list.values.chunks(VALUES_AT_ONCE).zip(list.times_ms.chunks(VALUES_AT_ONCE))
                {
                    block.clear();
                    for (value, time_ms) in values.iter().zip(times_ms) {
                        block.extend(
                            [u64::from(*client), *value, *time_ms].into_iter().flat_map(u64::to_le_bytes),
                        );
                    }
                    out.write_all(&block)?;
                }
            }
            registry(out)
        })
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        *self = Ledger::default();
        self.last = EntryId::new(word(source)?, word(source)?);
        self.fingerprint = word(source)?;
        for _ in 0..word(source)? {
            self.repeats.push(Repeat { client: client(source)?, value: word(source)? });
        }
        let mut left = word(source)?;
        let mut block = [0; 24 * VALUES_AT_ONCE];
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(VALUES_AT_ONCE);
            source.read_exact(&mut block[..24 * len])?;
            let (values, _) = block[..24 * len].as_chunks::<24>();
            for values in values.chunk_by(|one, next| one[..8] == next[..8]) {
                let client = client(&mut &values[0][..8])?;
                let list = self.lists.entry(client).or_default();
                for mut value in values.iter().map(|value| &value[8..]) {
                    list.push(client, word(&mut value)?, word(&mut value)?);
                }
            }
            left -= len as u64;
        }
        self.registry.restore(source)
    }
}

impl List {
    /// Where the value goes.
    fn push(&mut self, list: u32, value: u64, time_ms: u64) -> u64 {
        let highest = self.highest.entry(u64::from(writer(list, value))).or_default();
        *highest = value.max(*highest);
        self.values.push(value);
        self.times_ms.push(time_ms);
        u64::try_from(self.values.len() - 1).expect("a list in memory has fewer than 2^64 values")
    }

    /// Where the value stands already, if its key may have been forgotten since. A value that comes again sooner is taken for a new one:
    /// then it stands there twice, which no rule excuses.
    fn forgotten(&mut self, list: u32, value: u64, time_ms: u64) -> Option<u64> {
        if self.highest.get(&u64::from(writer(list, value))).is_none_or(|highest| value > *highest) {
            return None;
        }
        let place = self.values.iter().position(|there| *there == value)?;
        if time_ms.saturating_sub(self.times_ms[place]) <= KEY_AGE_MS_MAX {
            return None;
        }
        self.times_ms[place] = time_ms;
        u64::try_from(place).ok()
    }
}

fn word(source: &mut dyn io::Read) -> io::Result<u64> {
    let mut word = [0; 8];
    source.read_exact(&mut word)?;
    Ok(u64::from_le_bytes(word))
}

fn client(source: &mut dyn io::Read) -> io::Result<u32> {
    u32::try_from(word(source)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Who appended this value: to its own list each client, to the shared list the one whose number stands in the upper half of the value.
fn writer(list: u32, value: u64) -> u32 {
    if list == SHARED { u32::try_from(value >> 32).unwrap_or(u32::MAX) } else { list }
}

impl Append {
    /// `append c1:4`, and what a machine is told.
    pub fn in_words(&self) -> String {
        let value = match self.client {
            SHARED => format!("append c{}:{} to the shared list", self.value >> 32, self.value & 0xffff_ffff),
            client => format!("append c{client}:{}", self.value),
        };
        match &self.command {
            Some(Command::Create { id, .. }) => format!("{value}, create {id}"),
            Some(Command::Propose(proposal)) => {
                let wish = match &proposal.wish {
                    Wish::Event(event) => event,
                    Wish::State(state) => state,
                };
                format!("{value}, {wish} {}", proposal.id)
            }
            Some(Command::Define { .. }) | None => value,
        }
    }
}

impl Appended {
    /// Which entry it is, and what a machine said.
    pub fn in_words(&self) -> String {
        let place = format!("entry {}, place {}", self.entry, self.position);
        match &self.reply {
            None if self.repeated => format!("{place}, its key was forgotten"),
            None | Some(Reply::Defined(_)) => place,
            Some(Reply::Created(created)) => format!("{place}, created in {}", created.state),
            Some(Reply::Outcome(Outcome::Committed(moved))) => format!("{place}, moved to {}", moved.to),
            Some(Reply::Outcome(Outcome::Rejected(rejected))) => {
                format!("{place}, rejected: {:?}", rejected.code())
            }
            Some(Reply::Outcome(Outcome::Ignored(_))) => format!("{place}, ignored"),
        }
    }
}

impl Codec for Append {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u64::from(self.client).to_le_bytes());
        out.extend_from_slice(&self.value.to_le_bytes());
        if let Some(command) = &self.command {
            command.encode(out);
        }
    }

    fn decode(bytes: &Bytes) -> Result<Append, DecodeError> {
        let ([client, value], rest) = words(bytes)?;
        let client =
            u32::try_from(client).map_err(|_| DecodeError { what: "a client is below 2^32".into() })?;
        let command = if rest.is_empty() { None } else { Some(Command::decode(&rest)?) };
        Ok(Append { client, value, command })
    }
}

impl Codec for Appended {
    fn encode(&self, out: &mut Vec<u8>) {
        for word in [self.entry.term.0, self.entry.index.0, self.position, u64::from(self.repeated)] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        if let Some(reply) = &self.reply {
            reply.encode(out);
        }
    }

    fn decode(bytes: &Bytes) -> Result<Appended, DecodeError> {
        let ([term, index, position, repeated], rest) = words(bytes)?;
        let reply = if rest.is_empty() { None } else { Some(Reply::decode(&rest)?) };
        Ok(Appended { entry: EntryId::new(term, index), position, repeated: repeated != 0, reply })
    }
}

/// The words at the front, and what follows them.
fn words<const N: usize>(bytes: &Bytes) -> Result<([u64; N], Bytes), DecodeError> {
    if bytes.len() < 8 * N {
        return Err(DecodeError { what: format!("{} bytes where at least {} belong", bytes.len(), 8 * N) });
    }
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes has eight bytes"));
    }
    Ok((words, bytes.slice(8 * N..)))
}

/// How many values are written and read back at a time.
const VALUES_AT_ONCE: usize = 64;

/// How long a key is remembered at most, in milliseconds of log time. Written down here again and not asked of the parts under test: it
/// is a promise of `docs/http.md`.
const KEY_AGE_MS_MAX: u64 = 24 * 60 * 60 * 1000;
