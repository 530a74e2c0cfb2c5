//! A user's own machine as a guest of the simulator. Its types are hidden here, so that nothing below this file has a type
//! parameter: commands, replies and states are bytes, and a run without a guest pays one comparison for each command.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use bytes::Bytes;
use quorate_replica::state_machine::Context;

use crate::ended;
use crate::rng::{HASH_START, Rng, hash_bytes};

/// What the user gave: how to make his machine, and what to ask of it.
#[derive(Clone)]
pub(crate) struct Invitation {
    /// Makes his machine.
    pub(crate) machine: Arc<MakeMachine>,
    /// Draws the next command of a client.
    pub(crate) command: Arc<dyn Fn(&mut Rng) -> Bytes + Send + Sync>,
    /// A command in words.
    pub(crate) show_command: fn(&Bytes) -> String,
    /// A reply in words.
    pub(crate) show_reply: fn(&Bytes) -> String,
}

/// Makes a fresh machine, or one that is restored from a snapshot.
pub(crate) type MakeMachine = dyn Fn(Option<&[u8]>) -> io::Result<Machine> + Send + Sync;

/// A machine that is asked in bytes.
pub(crate) type Machine = Box<dyn FnMut(&Context, &Bytes) -> Done + Send>;

/// What came of one command.
pub(crate) struct Done {
    /// The reply.
    pub(crate) reply: Bytes,
    /// The snapshot of the state after it.
    pub(crate) snapshot: Bytes,
    /// By what the state is compared: the snapshot, or what the user's closure says.
    pub(crate) state: Bytes,
    /// A rule that this machine broke by itself.
    pub(crate) broken: Option<Broken>,
}

/// A rule that one machine breaks by itself, without a second one to compare it with.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// One machine, on a node or beside them all.
pub(crate) struct Guest {
    invitation: Invitation,
    /// Where it runs, for the message of a panic.
    place: String,
    machine: Machine,
    /// The snapshot after the last command; none before the first.
    snapshot: Option<Bytes>,
    /// What came of each command, for the comparison between nodes.
    told: Vec<Told>,
}

/// What a guest said to a command, and how it looked afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The entry.
    pub(crate) context: Context,
    /// The command.
    pub(crate) command: Bytes,
    /// The reply.
    pub(crate) reply: Bytes,
    /// The hash of the state after it.
    pub(crate) state_hash: u64,
    /// The beginning of the state after it.
    pub(crate) state_shown: Bytes,
    /// A rule that it broke by itself.
    pub(crate) broken: Option<Broken>,
}

/// What one client asks of the guests. Chance of its own, so that a guest changes nothing else in a run.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) invitation: Invitation,
    pub(crate) rng: Rng,
}

impl Wishes {
    /// The client's next command.
    pub(crate) fn next_command(&mut self) -> Bytes {
        (self.invitation.command)(&mut self.rng)
    }
}

impl Guest {
    /// A fresh machine.
    pub(crate) fn new(invitation: Invitation, place: String) -> Guest {
        let machine = (invitation.machine)(None).expect("only a snapshot can fail to be read");
        Guest { invitation, place, machine, snapshot: None, told: Vec::new() }
    }

    /// Applies a command; the reply.
    ///
    /// # Panics
    /// If the machine panics: with its words, and where it was.
    pub(crate) fn apply(&mut self, context: &Context, command: &Bytes) -> Bytes {
        let done = catch_unwind(AssertUnwindSafe(|| (self.machine)(context, command)));
        let Done { reply, snapshot, state, broken } = done.unwrap_or_else(|panic| {
            let shown = (self.invitation.show_command)(command);
            let words = ended::words(panic.as_ref());
            let text =
                format!("{words}\n  the machine of {}, at {}, applying {shown}", self.place, context.entry);
            resume_unwind(Box::new(text))
        });
        self.snapshot = Some(snapshot);
        self.told.push(Told {
            context: context.clone(),
            command: command.clone(),
            reply: reply.clone(),
            state_hash: hash_bytes(HASH_START, &state),
            state_shown: Bytes::copy_from_slice(&state[..state.len().min(STATE_SHOWN_BYTES_MAX)]),
            broken,
        });
        reply
    }

    /// What came of each command from the `from`-th on.
    pub(crate) fn told_from(&self, from: usize) -> &[Told] {
        self.told.get(from..).unwrap_or(&[])
    }

    /// How many commands have been applied.
    pub(crate) fn told_len(&self) -> usize {
        self.told.len()
    }

    /// The last snapshot; none before the first command.
    pub(crate) fn snapshot(&self) -> Option<&Bytes> {
        self.snapshot.as_ref()
    }

    /// Goes on as a machine that is restored from this snapshot; from none, as a fresh one.
    ///
    /// # Errors
    /// When the machine does not take it.
    pub(crate) fn restore(&mut self, snapshot: Option<Bytes>) -> io::Result<()> {
        self.machine = (self.invitation.machine)(snapshot.as_deref())?;
        self.snapshot = snapshot;
        Ok(())
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").finish_non_exhaustive()
    }
}

/// How many bytes of a state a message shows at most.
pub(crate) const STATE_SHOWN_BYTES_MAX: usize = 300;
