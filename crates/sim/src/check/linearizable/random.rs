//! Random histories. They are honest as they are made: clients call, one copy of the objects carries out each call at some
//! moment in between, clients are answered or give up. A forged answer makes most of them dishonest.

use std::collections::BTreeMap;

use crate::check::linearizable::history::{Answer, Call, Event, History, Kind, Object, Phase, Standing};
use crate::check::linearizable::plain::Objects;
use crate::rng::Rng;

/// How large a history is, and what happens in it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// How many operations.
    pub operations: u64,
    /// How many clients, at least 1; each has one operation open at a time.
    pub clients: u64,
    /// How many objects, at least 1; their kinds take turns.
    pub objects: u64,
    /// Operations whose outcome nobody learns, of 1,000. Half of them take effect, now or much later.
    pub unknown_per_mille: u64,
    /// Operations that are refused, of 1,000.
    pub refused_per_mille: u64,
}

/// A call on its way.
struct Underway {
    object: Object,
    call: Call,
    /// The answer, once the call was carried out.
    answer: Option<Answer>,
}

/// An honest history.
///
/// # Panics
/// If there is no client or no object.
pub fn honest(rng: &mut Rng, shape: Shape) -> History {
    let mut history = History::default();
    let mut objects = Objects::default();
    let mut underway: BTreeMap<u64, Underway> = BTreeMap::new();
    // Given up, but not gone: carried out at some later time.
    let mut late: Vec<(Object, Call)> = Vec::new();
    let mut called = 0;
    while called < shape.operations || !underway.is_empty() {
        if !late.is_empty() && rng.chance(50) {
            let (object, call) = late.swap_remove(below(rng, late.len()));
            objects.perform(object, call);
        }
        let process = rng.below(shape.clients);
        match underway.remove(&process) {
            None if called < shape.operations => {
                called += 1;
                let object = draw_object(rng, shape.objects);
                let call = draw_call(rng, object.kind, called);
                history.call(process, object, call);
                underway.insert(process, Underway { object, call, answer: None });
            }
            None => {}
            Some(Underway { object, call, answer: None }) if rng.chance(shape.unknown_per_mille) => {
                history.give_up(process);
                if rng.chance(500) {
                    late.push((object, call));
                }
            }
            Some(Underway { answer: None, .. }) if rng.chance(shape.refused_per_mille) => {
                history.answer(process, Answer::Refused);
            }
            Some(Underway { object, call, answer: None }) => {
                let answer = objects.perform(object, call);
                underway.insert(process, Underway { object, call, answer: Some(answer) });
            }
            Some(Underway { answer: Some(answer), .. }) => {
                let answer = tell_less(rng, answer);
                history.answer(process, answer);
            }
        }
    }
    history
}

/// Forges one answer; `false` when there is none to forge. The history may still be linearizable: nobody has to notice.
pub fn forge(rng: &mut Rng, history: &mut History) -> bool {
    let is_answered = |place: &usize| history.operations()[*place].answered.is_some();
    let answered: Vec<usize> = (0..history.operations().len()).filter(is_answered).collect();
    let Some(place) = rng.pick(&answered) else { return false };
    let operation = &history.operations()[*place];
    let answer = operation.answered.as_ref().map(|answered| answered.answer.clone());
    let forged = match answer.expect("only answered operations were listed") {
        Answer::Refused | Answer::Done => Answer::Refused,
        Answer::Number(number) if rng.chance(500) => Answer::Number(number.saturating_sub(1)),
        Answer::Number(number) => Answer::Number(number + 1),
        Answer::Values(mut values) => {
            if values.len() > 1 && rng.chance(500) {
                values.swap(0, 1);
            } else if values.pop().is_none() {
                values.push(1);
            }
            Answer::Values(values)
        }
        Answer::Moved(standing) => Answer::Rejected(Some(standing)),
        Answer::Rejected(standing) => {
            Answer::Moved(standing.unwrap_or(Standing { phase: Phase::Init, revision: 1 }))
        }
        Answer::Standing(standing) => Answer::Standing(
            standing.map(|standing| Standing { revision: standing.revision.saturating_sub(1), ..standing }),
        ),
    };
    history.forge(*place, forged);
    true
}

fn draw_object(rng: &mut Rng, objects: u64) -> Object {
    let number = rng.below(objects);
    let kinds = [Kind::List, Kind::Instance, Kind::Register, Kind::Counter];
    Object { kind: kinds[usize::try_from(number % 4).expect("a number below four")], number }
}

fn draw_call(rng: &mut Rng, kind: Kind, unique: u64) -> Call {
    if rng.chance(300) {
        return Call::Read;
    }
    match kind {
        Kind::Register => Call::Write(unique),
        Kind::List => Call::Append(unique),
        Kind::Counter => Call::Add(rng.between(1, 2)),
        Kind::Instance if rng.chance(200) => Call::Create,
        Kind::Instance => {
            let event = *rng.pick(&[Event::Start, Event::Stop, Event::Reset]).expect("three events");
            let revision = if rng.chance(200) { Some(rng.between(1, 4)) } else { None };
            Call::Propose { event, revision }
        }
    }
}

/// Clients often learn less than all: that it was done, or how long a list is.
fn tell_less(rng: &mut Rng, answer: Answer) -> Answer {
    let (says_little, says_len) = (rng.chance(200), rng.chance(300));
    if matches!(answer, Answer::Number(_)) && says_little {
        return Answer::Done;
    }
    if let Answer::Values(values) = &answer
        && says_len
    {
        return Answer::Number(values.len() as u64);
    }
    answer
}

fn below(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).expect("an index below a length fits usize")
}
