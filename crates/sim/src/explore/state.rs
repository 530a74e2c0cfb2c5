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
    /// Messages that may disappear.
    pub losses: u8,
}

/// All of a cluster. The numbers are those of [`crate::explore::model::Model`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The state of each node, in order of their ids.
    pub nodes: Vec<u32>,
    /// The messages in flight, in order of their numbers. A message may be in flight several times, unless messages stay.
    pub messages: Vec<u16>,
    /// What was committed anywhere, ever: the number of a list of entries.
    pub committed: u16,
    /// Who led each term, from term 1 on; 0 as long as nobody has.
    pub leaders: Vec<u8>,
    /// What may still happen.
    pub left: Budgets,
}

impl State {
    /// Appends the state to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for node in &self.nodes {
            out.extend(node.to_le_bytes());
        }
        out.extend(self.committed.to_le_bytes());
        out.extend(&self.leaders);
        let Budgets { proposals, crashes, heartbeats, silences, losses } = self.left;
        out.extend([proposals, crashes, heartbeats, silences, losses]);
        let len = u8::try_from(self.messages.len()).expect("the search bounds the messages in flight");
        out.push(len);
        for message in &self.messages {
            out.extend(message.to_le_bytes());
        }
    }

    /// Takes the state at the front of `bytes` in place of this one, which tells how many nodes and terms there are.
    /// Returns how many bytes it took.
    pub fn decode(&mut self, bytes: &[u8]) -> usize {
        let mut reader = Reader { bytes, at: 0 };
        for node in &mut self.nodes {
            *node = u32::from_le_bytes(reader.take());
        }
        self.committed = u16::from_le_bytes(reader.take());
        for leader in &mut self.leaders {
            [*leader] = reader.take();
        }
        let [proposals, crashes, heartbeats, silences, losses] = reader.take();
        self.left = Budgets { proposals, crashes, heartbeats, silences, losses };
        let [len] = reader.take();
        self.messages.clear();
        for _ in 0..len {
            self.messages.push(u16::from_le_bytes(reader.take()));
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
        let place = self.messages.binary_search(&message).expect("only what is in flight arrives or is lost");
        self.messages.remove(place);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let end = self.at + N;
        let piece = self.bytes[self.at..end].try_into().expect("the slice has this length");
        self.at = end;
        piece
    }
}

/// How many messages may be in flight at once. A state with more ends the search.
pub const MESSAGES_MAX: usize = 200;
