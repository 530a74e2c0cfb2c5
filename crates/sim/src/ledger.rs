//! The replicated state of the simulated workload. Each client appends values of its own that never repeat, so that a lost,
//! repeated or invented write shows in the list itself; every apply also goes into a running fingerprint, by which the
//! nodes are compared at equal indices.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use quorate_core::types::{EntryId, Index};
use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};

use crate::rng::{HASH_START, hash_word};

/// The lists of all clients.
#[derive(Clone, Debug)]
pub struct Ledger {
    lists: BTreeMap<u32, Vec<u64>>,
    last: EntryId,
    fingerprint: u64,
    /// The fingerprint after each applied command, for the comparison between nodes.
    fingerprints: Vec<(Index, u64)>,
}

/// Appends a value to a client's list.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Whose list.
    pub client: u32,
    /// A value that this client appends once only.
    pub value: u64,
}

/// Where the value went.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The entry that was applied.
    pub entry: EntryId,
    /// The place in the list, from 0.
    pub position: u64,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            lists: BTreeMap::new(),
            last: EntryId::ZERO,
            fingerprint: HASH_START,
            fingerprints: Vec::new(),
        }
    }
}

impl Ledger {
    /// The values of a client in the order in which they were appended.
    pub fn list(&self, client: u32) -> &[u64] {
        self.lists.get(&client).map_or(&[], |list| list)
    }

    /// The last command that was applied.
    pub fn last(&self) -> EntryId {
        self.last
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
        ];
        self.fingerprint = words.into_iter().fold(self.fingerprint, hash_word);
        self.fingerprints.push((context.entry.index, self.fingerprint));
        let list = self.lists.entry(command.client).or_default();
        list.push(command.value);
        let position = u64::try_from(list.len() - 1).expect("a list in memory has fewer than 2^64 values");
        Appended { entry: context.entry, position }
    }

    fn snapshot(&self) -> Snapshot {
        let state = self.clone();
        Box::new(move |out| {
            for (client, list) in &state.lists {
                for value in list {
                    out.write_all(&client.to_le_bytes())?;
                    out.write_all(&value.to_le_bytes())?;
                }
            }
            Ok(())
        })
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        *self = Ledger::default();
        for record in bytes.chunks(12) {
            let (client, value) = record.split_at_checked(4).ok_or(io::ErrorKind::InvalidData)?;
            let client = client.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
            let value = value.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
            self.lists.entry(u32::from_le_bytes(client)).or_default().push(u64::from_le_bytes(value));
        }
        Ok(())
    }
}

impl Codec for Append {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&u64::from(self.client).to_le_bytes());
        out.extend_from_slice(&self.value.to_le_bytes());
    }

    fn decode(bytes: &Bytes) -> Result<Append, DecodeError> {
        let [client, value] = words(bytes)?;
        let client =
            u32::try_from(client).map_err(|_| DecodeError { what: "a client is below 2^32".into() })?;
        Ok(Append { client, value })
    }
}

impl Codec for Appended {
    fn encode(&self, out: &mut Vec<u8>) {
        for word in [self.entry.term.0, self.entry.index.0, self.position] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn decode(bytes: &Bytes) -> Result<Appended, DecodeError> {
        let [term, index, position] = words(bytes)?;
        Ok(Appended { entry: EntryId::new(term, index), position })
    }
}

fn words<const N: usize>(bytes: &Bytes) -> Result<[u64; N], DecodeError> {
    let wrong = || DecodeError { what: format!("{} bytes where {} belong", bytes.len(), 8 * N) };
    if bytes.len() != 8 * N {
        return Err(wrong());
    }
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().map_err(|_| wrong())?);
    }
    Ok(words)
}
