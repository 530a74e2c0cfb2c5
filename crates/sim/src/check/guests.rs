//! What must hold of a user's own machine: it is a function of the log. Every node is held against every other one at equal indices,
//! the answers that clients got against the nodes, and all of them against machines that run the whole log once more, alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::types::{Index, NodeId};

use super::Violation;
use crate::guest::{Guest, Invitation, STATE_SHOWN_BYTES_MAX, Told};
use crate::rng::Rng;

/// What the guests of a run said.
#[derive(Debug)]
pub(crate) struct Guests {
    invitation: Invitation,
    /// What the first node said that applied this index.
    first: BTreeMap<Index, (NodeId, Told)>,
    /// After which commands a machine is restored from its snapshot.
    restores: Rng,
}

impl Guests {
    /// Nobody has said anything.
    pub(crate) fn new(invitation: Invitation, seed: u64) -> Guests {
        Guests { invitation, first: BTreeMap::new(), restores: Rng::stream(seed, "restored guests") }
    }

    /// How to make one more guest.
    pub(crate) fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// A node applied a command.
    ///
    /// # Errors
    /// When another node said something else, or has another state.
    pub(crate) fn on_told(&mut self, node: NodeId, told: &Told) -> Result<(), Violation> {
        let index = told.context.entry.index;
        match self.first.get(&index) {
            Some((first, known)) => {
                assert!(known.command == told.command, "one index holds one command");
                let rules = ["every node gives the same reply", "every node has the same state"];
                let earlier = if *first == node { " in an earlier life" } else { "" };
                self.compare(rules, (&format!("{first}{earlier}"), known), (&node.to_string(), told))?;
            }
            None => {
                self.first.insert(index, (node, told.clone()));
            }
        }
        match &told.broken {
            Some(broken) => Err(self.violation(broken.rule, told, &format!("on {node}: {}", broken.what))),
            None => Ok(()),
        }
    }

    /// A client was told this reply to the command at `index`.
    ///
    /// # Errors
    /// When no node gave that reply.
    pub(crate) fn on_acknowledged(&self, client: &str, index: Index, reply: &Bytes) -> Result<(), Violation> {
        let (node, told) = self.first.get(&index).expect("what is acknowledged was applied by some node");
        if told.reply == *reply {
            return Ok(());
        }
        let (replied, was_told) = (self.reply(&told.reply), self.reply(reply));
        let what = format!("{client} was told {was_told}, and {node} replied {replied}");
        Err(self.violation("an acknowledged reply is the one that the log gives", told, &what))
    }

    /// Runs the whole log once more on a machine of its own, and on one that is restored from its snapshot again and again.
    ///
    /// # Errors
    /// When either says something else than the nodes, or has another state.
    pub(crate) fn check_final(&mut self) -> Result<(), Violation> {
        let mut restores = self.restores.clone();
        let mut alone = Guest::new(self.invitation.clone(), "a run of the log alone".into());
        let mut restored = Guest::new(self.invitation.clone(), "a restored machine".into());
        let mut restored_at = Index(0);
        for (place, (node, told)) in self.first.values().enumerate() {
            let (node, index) = (node.to_string(), told.context.entry.index);
            for guest in [&mut alone, &mut restored] {
                guest.apply(&told.context, &told.command);
            }
            let again = |guest: &Guest| guest.told_from(place).first().cloned();
            let expect = "each command that is applied is told";
            let again = [again(&alone).expect(expect), again(&restored).expect(expect)];
            let rules = [
                "the log in order gives the replies of the nodes",
                "the log in order gives the state of the nodes",
            ];
            self.compare(rules, (&node, told), ("a fresh machine, alone,", &again[0]))?;
            let rules = ["a restored machine goes on as the one that wrote the snapshot"; 2];
            let who = format!("a machine restored after index {restored_at}");
            self.compare(rules, (&node, told), (&who, &again[1]))?;
            if restores.chance(RESTORES_PER_MILLE) {
                restored_at = index;
                let snapshot = restored.snapshot().cloned();
                restored.restore(snapshot).map_err(|error| {
                    let what = format!("after it, the machine does not take its own snapshot: {error}");
                    self.violation("a snapshot can be restored", told, &what)
                })?;
            }
        }
        Ok(())
    }

    /// A line of the trace about one command.
    pub(crate) fn describe(&self, told: &Told) -> String {
        let (command, reply) = ((self.invitation.show_command)(&told.command), self.reply(&told.reply));
        format!("{} {command} -> {reply}", told.context.entry)
    }

    /// The first rule is that of replies, the second that of states.
    fn compare(
        &self,
        rules: [&'static str; 2],
        first: (&str, &Told),
        second: (&str, &Told),
    ) -> Result<(), Violation> {
        let ((who, one), (other, two)) = (first, second);
        if one.reply != two.reply {
            let (one_reply, two_reply) = (self.reply(&one.reply), self.reply(&two.reply));
            let what = format!("{who} replied {one_reply}, {other} replied {two_reply}");
            return Err(self.violation(rules[0], one, &what));
        }
        if one.state_hash != two.state_hash {
            let reply = self.reply(&one.reply);
            let (one_state, two_state) = (state(&one.state_shown), state(&two.state_shown));
            let what = format!(
                "both replied {reply}, but\n  {who} then had {one_state}\n  {other} then had {two_state}"
            );
            return Err(self.violation(rules[1], one, &what));
        }
        Ok(())
    }

    fn reply(&self, reply: &Bytes) -> String {
        (self.invitation.show_reply)(reply)
    }

    /// What was broken at this command, and what came before it.
    fn violation(&self, rule: &'static str, told: &Told, what: &str) -> Violation {
        let command = (self.invitation.show_command)(&told.command);
        let mut text = format!("at {}, {command}: {what}", told.context.entry);
        let before = self.first.range(..told.context.entry.index).rev().take(BEFORE_SHOWN);
        let before: Vec<_> = before.map(|(_, (_, told))| self.describe(told)).collect();
        if !before.is_empty() {
            text.push_str("\n  the commands before it:");
        }
        for line in before.iter().rev() {
            text.push_str(&format!("\n    {line}"));
        }
        Violation::safety(rule, text)
    }
}

/// The beginning of a state: as text if it is text.
fn state(bytes: &Bytes) -> String {
    let shown = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    };
    if bytes.len() < STATE_SHOWN_BYTES_MAX { shown } else { shown + " …" }
}

/// After how many of 1,000 commands a machine is restored from its snapshot.
const RESTORES_PER_MILLE: u64 = 100;

/// How many commands a message shows before the one that it is about.
const BEFORE_SHOWN: usize = 6;
