//! Who asked, and how a command travels: request ids and the command's envelope (what makes a proposal exactly-once).

use bytes::Bytes;

/// What makes a proposal exactly-once: the same id always gets the first answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RequestId {
    /// One of many requests of a session that was opened before.
    Session {
        /// The session, chosen at random or derived from the work (an import derives it from the file).
        session: u128,
        /// The number of the request in the session, from 1; in any order, each used for one command only.
        sequence: u64,
        /// All replies up to this sequence have been received: the replicas may forget them. 0: none.
        acknowledged: u64,
    },
    /// A key of at most 64 bytes for clients without a session; kept within bounds of count, bytes and age.
    Key(Bytes),
}

/// What a command is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum CommandKind {
    /// For the user's state machine.
    #[default]
    User,
    /// Opens the session named by the request id (sequence 0). Opening an open session changes nothing.
    OpenSession,
    /// Raises the feature level to the one in the body, two bytes in little-endian order. Only leaders propose it.
    RaiseLevel,
}

/// A command as it stands in the log: the body, and what Quorate must know about it. Every field but the body may be absent
/// and is skipped by a version that does not know it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandEnvelope {
    /// What the command is for.
    pub kind: CommandKind,
    /// Makes it exactly-once. A node gives every proposal that has none one of its own session.
    pub request_id: Option<RequestId>,
    /// Who asked, for the history of declared machines.
    pub actor: Option<String>,
    /// W3C trace context.
    pub trace: Option<String>,
    /// Whether the request id was made by a node for a caller who gave none: then it is nobody's to see.
    pub node_session: bool,
    /// The encoded command.
    pub body: Bytes,
}

impl std::fmt::Display for RequestId {
    /// The id in words: `<32 hex digits>:<sequence>` or the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RequestId::Session { session, sequence, .. } => {
                // Digit by digit and in one piece: this is done for each command that is applied, and formats cost more than all digits.
                let mut text = [b':'; SESSION_DIGITS + 1 + SEQUENCE_DIGITS_MAX];
                let pairs = text[..SESSION_DIGITS].as_chunks_mut::<2>().0.iter_mut();
                for (pair, byte) in pairs.zip(session.to_be_bytes()) {
                    *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                }
                let len = SESSION_DIGITS + 1 + sequence.checked_ilog10().map_or(1, |log| log as usize + 1);
                let mut rest = *sequence;
                for digit in text[SESSION_DIGITS + 1..len].iter_mut().rev() {
                    *digit = HEX[(rest % 10) as usize];
                    rest /= 10;
                }
                f.write_str(std::str::from_utf8(&text[..len]).expect("digits are text"))
            }
            RequestId::Key(key) => f.write_str(&String::from_utf8_lossy(key)),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// How many digits a session has in words.
const SESSION_DIGITS: usize = 32;
/// How many digits a sequence has at most.
const SEQUENCE_DIGITS_MAX: usize = 20;
