//! The feature level as the applier keeps it: replicated, never falling, in the snapshot, and a stop for a binary that does not understand it.

use std::io;

use bytes::Bytes;
use quorate_core::entry::{Entry, Membership, Payload};
use quorate_core::types::{EntryId, NodeId, Term};
use quorate_replica::applier::{Applied, Applier, LevelTooNew};
use quorate_replica::effect::{ApplyBatch, Waiting};
use quorate_replica::error::ProposeError;
use quorate_replica::input::{Input, Ticket};
use quorate_replica::request::{CommandEnvelope, CommandKind};
use quorate_replica::session::SessionLimits;
use quorate_replica::state_machine::{Context, Snapshot, StateMachine};

/// A machine of a binary that understands so much, and answers with the level that it was told.
struct Release(u16);

impl StateMachine for Release {
    type Command = Bytes;
    type Reply = u64;

    fn feature_level_max(&self) -> u16 {
        self.0
    }

    fn apply(&mut self, context: &Context, _: Bytes) -> u64 {
        assert!(context.level <= self.0, "what is not understood is never applied");
        u64::from(context.level)
    }

    fn snapshot(&self) -> Snapshot {
        Box::new(|_| Ok(()))
    }

    fn restore(&mut self, _: &mut dyn io::Read) -> io::Result<()> {
        Ok(())
    }
}

fn raise(level: &[u8]) -> CommandEnvelope {
    let body = Bytes::copy_from_slice(level);
    CommandEnvelope { kind: CommandKind::RaiseLevel, body, ..CommandEnvelope::default() }
}

fn command() -> CommandEnvelope {
    CommandEnvelope::default()
}

/// An applier that understands `level_max`, after the bootstrap entry and these commands in one batch; everybody waits.
fn after(level_max: u16, commands: &[CommandEnvelope]) -> (Applier<Release>, Applied) {
    let mut applier = Applier::new(Release(level_max), SessionLimits::default());
    let bootstrap = Payload::Membership(Membership::of_voters([NodeId::new(1)]).into());
    let commands = commands.iter().map(|command| Payload::Command(command.encode().unwrap()));
    let entries: Vec<Entry> = [bootstrap]
        .into_iter()
        .chain(commands)
        .zip(1..)
        .map(|(payload, index)| Entry { id: EntryId::new(1, index), timestamp_ms: 0, payload })
        .collect();
    let waiting = entries[1..].iter().map(|entry| {
        let index = entry.id.index;
        Waiting { index, ticket: Ticket(index.0), forwarded: false, trace: None }
    });
    let waiting = waiting.collect();
    let applied = applier.apply(ApplyBatch { entries, waiting });
    (applier, applied)
}

/// What those who waited were answered: the level that their command saw, or nothing.
fn levels(applied: &Applied) -> Vec<Option<u64>> {
    let level = |reply: &Bytes| reply[..].try_into().map(u64::from_le_bytes).ok();
    applied.answers.iter().map(|answer| answer.outcome.as_ref().ok().and_then(level)).collect()
}

#[test]
fn a_command_sees_the_level_of_its_place_in_the_log_and_no_other() {
    let commands =
        [command(), raise(&[2, 0]), command(), raise(&[1, 0]), command(), raise(&[3, 0]), command()];
    let (applier, applied) = after(9, &commands);
    assert_eq!(levels(&applied), [Some(1), None, Some(2), None, Some(2), None, Some(3)]);
    assert_eq!((applier.level(), applied.too_new), (3, None));
    assert!(matches!(applied.report, Input::Applied { level: 3, .. }));
}

#[test]
fn what_is_no_level_is_refused_and_changes_nothing() {
    let (applier, applied) = after(9, &[raise(&[]), raise(&[2]), raise(&[2, 0, 0])]);
    assert_eq!(applier.level(), 1);
    let malformed = |outcome: &Result<Bytes, _>| matches!(outcome, Err(ProposeError::Malformed(_)));
    assert!(applied.answers.iter().all(|answer| malformed(&answer.outcome)));
}

/// T60: an upgrade in which some members apply what others do not understand, or understand otherwise.
#[test]
fn a_binary_that_does_not_understand_the_level_applies_nothing_behind_it() {
    let (applier, applied) = after(1, &[command(), raise(&[2, 0]), command(), command()]);
    assert_eq!(applied.too_new, Some(LevelTooNew { level: 2, level_max: 1 }));
    assert_eq!(applier.applied(), EntryId::new(1, 3), "up to the entry that raised it");
    assert_eq!(levels(&applied), [Some(1), None], "nobody behind it is answered");
}

#[test]
fn a_snapshot_carries_the_level_and_an_older_binary_refuses_it() {
    let (applier, _) = after(2, &[raise(&[2, 0]), command()]);
    let (meta, write) = applier.snapshot(Term(1));
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    let restored = |level_max| {
        let mut applier = Applier::new(Release(level_max), SessionLimits::default());
        applier.restore(&meta, &mut &bytes[..]).map(|()| applier.level())
    };
    assert_eq!(restored(2).unwrap(), 2);
    assert_eq!(restored(3).unwrap(), 2);
    let refusal = restored(1).unwrap_err();
    assert_eq!(refusal.kind(), io::ErrorKind::Unsupported);
    assert!(refusal.to_string().contains("feature level 2"), "{refusal}");
}
