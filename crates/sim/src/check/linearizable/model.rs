//! What an object may answer: its state in a few words that are cheap to copy and compare, and one step from state to state.

use crate::check::linearizable::history::{Answer, Call, Event, Kind, Phase, Standing};
use crate::rng::{HASH_START, hash_word};

/// The state of one object.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// A register or counter.
    Number(u64),
    /// A list: its length and what stands for its values.
    List(u64, Fingerprint),
    /// An instance, if it was created.
    Instance(Option<Standing>),
}

/// Stands for the values of a list. 128 bits: two lists of a run that differ do not meet in one by chance.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fingerprint(u64, u64);

impl Fingerprint {
    const EMPTY: Fingerprint = Fingerprint(HASH_START, !HASH_START);

    fn with(self, value: u64) -> Fingerprint {
        Fingerprint(hash_word(self.0, value), hash_word(self.1, value.rotate_left(32)))
    }
}

impl State {
    /// The state of an object that nobody has touched.
    pub fn first(kind: Kind) -> State {
        match kind {
            Kind::Register | Kind::Counter => State::Number(0),
            Kind::List => State::List(0, Fingerprint::EMPTY),
            Kind::Instance => State::Instance(None),
        }
    }

    /// The state after a call that was answered so, or `None` when this state does not answer so (it never answers
    /// [`Answer::Refused`]). Without an answer: the state that the call leads to.
    #[must_use]
    pub fn step(self, call: Call, answer: Option<&Answer>) -> Option<State> {
        match (self, call) {
            (State::Number(now), Call::Read) => admit(State::Number(now), answer, Some(now)),
            (State::Number(_), Call::Write(value)) => admit(State::Number(value), answer, None),
            (State::Number(now), Call::Add(amount)) => {
                let sum = now.wrapping_add(amount);
                admit(State::Number(sum), answer, Some(sum))
            }
            (State::List(len, values), Call::Append(value)) => {
                admit(State::List(len + 1, values.with(value)), answer, Some(len))
            }
            (State::List(len, values), Call::Read) => match answer {
                Some(Answer::Values(seen)) => {
                    let same = seen.len() as u64 == len
                        && seen.iter().fold(Fingerprint::EMPTY, |print, value| print.with(*value)) == values;
                    same.then_some(self)
                }
                other => admit(self, other, Some(len)),
            },
            (State::Instance(standing), call) => step_instance(standing, call, answer),
            (State::Number(_) | State::List(..), _) => None,
        }
    }
}

/// The next state, if a call whose answer is this number, or no more than that it was done, may be answered so.
fn admit(next: State, answer: Option<&Answer>, number: Option<u64>) -> Option<State> {
    let admitted = match answer {
        None | Some(Answer::Done) => true,
        Some(Answer::Number(seen)) => number == Some(*seen),
        Some(_) => false,
    };
    admitted.then_some(next)
}

fn step_instance(standing: Option<Standing>, call: Call, answer: Option<&Answer>) -> Option<State> {
    let moved = match (standing, call) {
        (None, Call::Create) => Some(Standing { phase: Phase::Init, revision: 1 }),
        (Some(now), Call::Propose { event, revision })
            if revision.is_none_or(|seen| seen == now.revision) =>
        {
            now.phase.after(event).map(|phase| Standing { phase, revision: now.revision + 1 })
        }
        (None | Some(_), Call::Read | Call::Create | Call::Propose { .. }) => None,
        (None | Some(_), Call::Write(_) | Call::Append(_) | Call::Add(_)) => return None,
    };
    let due = match (moved, call) {
        (Some(moved), _) => Answer::Moved(moved),
        (None, Call::Read) => Answer::Standing(standing),
        (None, _) => Answer::Rejected(standing),
    };
    let next = State::Instance(moved.or(standing));
    answer.is_none_or(|answer| *answer == due).then_some(next)
}

impl Phase {
    /// Where an event leads, or `None` when this state does not take it.
    fn after(self, event: Event) -> Option<Phase> {
        match (self, event) {
            (Phase::Init, Event::Start) => Some(Phase::Running),
            (Phase::Running, Event::Stop) => Some(Phase::Stopped),
            (Phase::Stopped, Event::Reset) => Some(Phase::Init),
            (Phase::Init, Event::Stop | Event::Reset)
            | (Phase::Running, Event::Start | Event::Reset)
            | (Phase::Stopped, Event::Start | Event::Stop) => None,
        }
    }
}
