//! The objects once more, in the plainest way: whole lists, one copy of each, every call carried out as it comes. What the
//! model of the search says in a few words is held against this.

use std::collections::BTreeMap;

use crate::check::linearizable::history::{Answer, Call, Event, Kind, Object, Phase, Standing};

/// All objects, as one process would hold them.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    numbers: BTreeMap<Object, u64>,
    lists: BTreeMap<Object, Vec<u64>>,
    instances: BTreeMap<Object, Standing>,
}

impl Objects {
    /// Carries a call out. The answer is the fullest that there is.
    pub fn perform(&mut self, object: Object, call: Call) -> Answer {
        match object.kind {
            Kind::Register | Kind::Counter => self.perform_number(object, call),
            Kind::List => self.perform_list(object, call),
            Kind::Instance => self.perform_instance(object, call),
        }
    }

    fn perform_number(&mut self, object: Object, call: Call) -> Answer {
        let number = self.numbers.entry(object).or_default();
        match call {
            Call::Read => Answer::Number(*number),
            Call::Write(value) => {
                *number = value;
                Answer::Done
            }
            Call::Add(amount) => {
                *number = number.wrapping_add(amount);
                Answer::Number(*number)
            }
            Call::Append(_) | Call::Create | Call::Propose { .. } => Answer::Refused,
        }
    }

    fn perform_list(&mut self, object: Object, call: Call) -> Answer {
        let list = self.lists.entry(object).or_default();
        match call {
            Call::Read => Answer::Values(list.clone()),
            Call::Append(value) => {
                list.push(value);
                Answer::Number(list.len() as u64 - 1)
            }
            Call::Write(_) | Call::Add(_) | Call::Create | Call::Propose { .. } => Answer::Refused,
        }
    }

    fn perform_instance(&mut self, object: Object, call: Call) -> Answer {
        let now = self.instances.get(&object).copied();
        let phase = match (now, call) {
            (_, Call::Read) => return Answer::Standing(now),
            (None, Call::Create) => Phase::Init,
            (Some(now), Call::Propose { event, revision }) => {
                let expected = revision.unwrap_or(now.revision);
                match (now.phase, event) {
                    (Phase::Init, Event::Start) if expected == now.revision => Phase::Running,
                    (Phase::Running, Event::Stop) if expected == now.revision => Phase::Stopped,
                    (Phase::Stopped, Event::Reset) if expected == now.revision => Phase::Init,
                    (Phase::Init | Phase::Running | Phase::Stopped, _) => return Answer::Rejected(Some(now)),
                }
            }
            (Some(_), Call::Create) | (None, Call::Propose { .. }) => return Answer::Rejected(now),
            (_, Call::Write(_) | Call::Append(_) | Call::Add(_)) => return Answer::Refused,
        };
        let moved = Standing { phase, revision: now.map_or(1, |now| now.revision + 1) };
        self.instances.insert(object, moved);
        Answer::Moved(moved)
    }
}

/// Whether a client may have been told `seen` where `full` is all that there is to tell.
pub fn tells(full: &Answer, call: Call, seen: &Answer) -> bool {
    match (full, seen) {
        (Answer::Values(values), Answer::Number(len)) => *len == values.len() as u64,
        (Answer::Number(_) | Answer::Values(_), Answer::Done) => true,
        (Answer::Done, Answer::Done) => matches!(call, Call::Write(_)),
        (full, seen) => full == seen,
    }
}
