//! A state of the cluster as a handful of numbers.

/// What may still happen, and how often. Each is spent, so that the number of states is finite.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Budgets {
    /// Commands that clients may propose.
    pub proposals: u8,
    /// Crashes.
    pub crashes: u8,
    /// Heartbeat rounds of leaders.
    pub heartbeats: u8,
    /// Times that a leader finds itself without a quorum.
    pub silences: u8,
    /// Candidacies, of all nodes in all terms. `None` is as many as the terms allow, and is not counted down.
    pub campaigns: Option<u8>,
    /// Snapshots that nodes take. The log is cut behind each, sooner or later or never.
    pub snapshots: u8,
    /// Snapshots that come to a node, from whoever took them.
    pub installs: u8,
    /// Times that a leader is asked to hand over.
    pub transfers: u8,
    /// Times that a leader is asked to change the members. What follows from a change by itself is not counted.
    pub changes: u8,
}

impl Budgets {
    /// All of them, in one number.
    ///
    /// # Panics
    /// If one is larger than [`BUDGET_MAX`].
    pub fn packed(self) -> u64 {
        let Budgets { proposals, crashes, heartbeats, silences, campaigns, .. } = self;
        let Budgets { snapshots, installs, transfers, changes, .. } = self;
        let campaigns = campaigns.map_or(0, |campaigns| campaigns + 1);
        let common = [proposals, crashes, campaigns, heartbeats, silences];
        let rest = [snapshots, installs, transfers, changes];
        common.iter().chain(&rest).rev().fold(0, |packed, budget| {
            assert!(*budget < 16, "a budget is at most {BUDGET_MAX}");
            packed << 4 | u64::from(*budget)
        })
    }

    fn unpacked(packed: u64) -> Budgets {
        let budget = |place: u32| (packed >> (4 * place)).to_le_bytes()[0] & 15;
        Budgets {
            proposals: budget(0),
            crashes: budget(1),
            campaigns: budget(2).checked_sub(1),
            heartbeats: budget(3),
            silences: budget(4),
            snapshots: budget(5),
            installs: budget(6),
            transfers: budget(7),
            changes: budget(8),
        }
    }
}

/// All of a cluster. The numbers are those of [`crate::explore::model::Model`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The state of each node, in order of their ids.
    pub nodes: Vec<u32>,
    /// The messages in flight, in order of their numbers. A message may be in flight several times, unless messages stay.
    pub messages: Vec<u16>,
    /// The snapshots that were ever taken, in order of their numbers. Whoever took one may give it to anybody, at any time.
    pub snapshots: Vec<u16>,
    /// What was committed anywhere, ever: the number of a list of entries.
    pub committed: u16,
    /// Who led each term, from term 1 on; 0 as long as nobody has.
    pub leaders: Vec<u8>,
    /// What may still happen.
    pub left: Budgets,
    /// The sum of the fingerprints of all parts, under each renaming. It follows from the rest.
    pub sums: Vec<u64>,
}

impl State {
    /// Appends the state to `out`, without the sums. Small numbers take one byte, and of the messages only the distances are
    /// written: a state takes about 25 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for node in &self.nodes {
            put(out, u64::from(*node));
        }
        put(out, u64::from(self.committed));
        out.extend(&self.leaders);
        put(out, self.left.packed());
        for list in [&self.snapshots, &self.messages] {
            put(out, list.len() as u64);
            let mut before = 0;
            for number in list {
                put(out, u64::from(number - before));
                before = *number;
            }
        }
    }

    /// Takes the state at the front of `bytes` in place of this one, which tells how many nodes and terms there are.
    /// Returns how many bytes it took. The sums are left as they were.
    pub fn decode(&mut self, bytes: &[u8]) -> usize {
        let mut reader = Reader { bytes, at: 0 };
        for node in &mut self.nodes {
            *node = u32::try_from(reader.take()).expect("it was written from 32 bits");
        }
        self.committed = reader.take_narrow();
        for leader in &mut self.leaders {
            *leader = reader.take_byte();
        }
        self.left = Budgets::unpacked(reader.take());
        for list in [&mut self.snapshots, &mut self.messages] {
            let len = reader.take();
            list.clear();
            let mut before = 0;
            for _ in 0..len {
                before += reader.take_narrow();
                list.push(before);
            }
        }
        reader.at
    }

    /// Puts a message in flight.
    pub fn send(&mut self, message: u16) {
        let place = self.messages.partition_point(|other| *other <= message);
        self.messages.insert(place, message);
    }

    /// Takes one copy of the message out of flight.
    pub fn remove(&mut self, message: u16) {
        let place = self.messages.binary_search(&message).expect("only what is in flight arrives");
        self.messages.remove(place);
    }
}

/// Seven bits in each byte, the lowest first; the highest bit says that more follow.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while let [low, ..] = number.to_le_bytes()
        && number > 0x7f
    {
        out.push(low | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take_byte(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn take(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.take_byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    fn take_narrow(&mut self) -> u16 {
        u16::try_from(self.take()).expect("it was written from a narrow number")
    }
}

/// How large each budget may be.
pub const BUDGET_MAX: u8 = 14;
/// How many messages may be in flight at once. A state with more ends the search.
pub const MESSAGES_MAX: usize = 200;
