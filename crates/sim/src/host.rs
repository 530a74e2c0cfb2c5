//! The state machine of a simulated node: the ledger of the built-in workload, and beside it the machine of a user if there is
//! one. What travels for the guest stands in front of what travels for the ledger; without a guest the bytes are the ledger's own.

use std::io::{self, Read};

use bytes::Bytes;
use quorate_core::types::NodeId;
use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};

use crate::guest::{Guest, Invitation};
use crate::ledger::{Append, Appended, Ledger};

/// The ledger and its guest.
pub(crate) struct Host {
    ledger: Ledger,
    guest: Option<Guest>,
    /// The highest feature level that this life's binary understands.
    level_max: u16,
}

/// A command or a reply of the ledger, with the guest's beside it.
///
/// ```text
/// ┌────────────┬──────────────┬─────────────┬──────────────┐
/// │ MARK (u64) │ length (u64) │ the guest's │ the ledger's       │   only the last part without a guest
/// └────────────┴──────────────┴─────────────┴──────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Carried<T: Codec> {
    /// The ledger's.
    pub(crate) own: T,
    /// The guest's.
    pub(crate) guest: Option<Bytes>,
}

impl Host {
    /// Nothing has been applied.
    pub(crate) fn new(node: NodeId, invitation: Option<&Invitation>, level_max: u16) -> Host {
        let guest = invitation.map(|invitation| Guest::new(invitation.clone(), node.to_string()));
        Host { ledger: Ledger::default(), guest, level_max }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }
}

impl StateMachine for Host {
    type Command = Carried<Append>;
    type Reply = Carried<Appended>;

    fn feature_level_max(&self) -> u16 {
        self.level_max
    }

    fn apply(&mut self, context: &Context, command: Carried<Append>) -> Carried<Appended> {
        let guest = match (&mut self.guest, &command.guest) {
            (Some(guest), Some(command)) => Some(guest.apply(context, command)),
            (None, _) | (_, None) => None,
        };
        Carried { own: self.ledger.apply(context, command.own), guest }
    }

    fn snapshot(&self) -> Snapshot {
        let guest = self.guest.as_ref().and_then(Guest::snapshot).cloned();
        let ledger = self.ledger.snapshot();
        Box::new(move |out| {
            // One more than its length, so that no snapshot and an empty one differ.
            let len = guest.as_ref().map_or(0, |guest| guest.len() as u64 + 1);
            out.write_all(&len.to_le_bytes())?;
            out.write_all(&guest.unwrap_or_default())?;
            ledger(out)
        })
    }

    fn restore(&mut self, source: &mut dyn Read) -> io::Result<()> {
        let mut word = [0; 8];
        source.read_exact(&mut word)?;
        let len = u64::from_le_bytes(word);
        let mut bytes = Vec::new();
        Read::take(&mut *source, len.saturating_sub(1)).read_to_end(&mut bytes)?;
        if let Some(guest) = &mut self.guest {
            guest.restore((len > 0).then(|| bytes.into()))?;
        }
        self.ledger.restore(source)
    }
}

impl<T: Codec> Codec for Carried<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(guest) = &self.guest {
            out.extend_from_slice(&MARK.to_le_bytes());
            out.extend_from_slice(&(guest.len() as u64).to_le_bytes());
            out.extend_from_slice(guest);
        }
        self.own.encode(out);
    }

    fn decode(bytes: &Bytes) -> Result<Carried<T>, DecodeError> {
        if !bytes.starts_with(&MARK.to_le_bytes()) {
            return Ok(Carried { own: T::decode(bytes)?, guest: None });
        }
        let short = || DecodeError { what: format!("{} bytes end within the guest's part", bytes.len()) };
        let len = bytes.get(8..16).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(short)?;
        let end = len.checked_add(16).filter(|end| *end <= bytes.len()).ok_or_else(short)?;
        Ok(Carried { own: T::decode(&bytes.slice(end..))?, guest: Some(bytes.slice(16..end)) })
    }
}

/// What no command and no reply of the ledger begins with: neither a client nor a term is that large.
const MARK: u64 = u64::MAX;
