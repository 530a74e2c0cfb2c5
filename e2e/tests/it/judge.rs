//! The judge of histories can fail: answers of a real run are forged, one at a time, and each is noticed.

use quorate_e2e::Cluster;
use quorate_sim::check::linearizable::history::{Answer, Call, Operation, Phase, Standing};

use crate::history::Record;
use crate::load::Load;

/// How many acknowledgements make a history with enough to forge.
const SOME: usize = 400;

/// Where every instance of `lifecycle` stands at this revision: it goes round and round.
fn standing(revision: u64) -> Standing {
    let phase = match revision % 3 {
        1 => Phase::Init,
        2 => Phase::Running,
        _ => Phase::Stopped,
    };
    Standing { phase, revision }
}

/// What the object of an operation was known to be before that operation was called: where the newest move that was answered by
/// then had led. No later answer may show less.
fn known_before(record: &Record, operation: &Operation) -> Option<Standing> {
    let others = record.operations().iter().filter(|other| other.object == operation.object);
    let moves = others.filter_map(|other| {
        let answered = other.answered.as_ref().filter(|answered| answered.at < operation.called_at)?;
        if let Answer::Moved(there) = answered.answer { Some(there) } else { None }
    });
    moves.max_by_key(|there| there.revision)
}

/// Finds the last operation that `forge` knows another answer to, gives it that one, and wants the judge to object.
fn caught(record: &Record, what: &str, forge: impl Fn(&Record, &Operation) -> Option<Answer>) {
    let forged = record.operations().iter().enumerate().rev();
    let found = forged.filter(|(_, operation)| operation.answered.is_some());
    let found = found.map(|(place, operation)| (place, forge(record, operation)));
    let (place, answer) = found
        .filter_map(|(place, answer)| answer.map(|answer| (place, answer)))
        .next()
        .unwrap_or_else(|| panic!("nothing in this history can be forged: {what}"));
    let mut forged = record.clone();
    forged.forge(place, answer);
    let story = forged.judge().expect_err(what);
    assert!(story.contains("not linearizable"), "{what}: {story}");
    record.judge().expect("the honest history is explained");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_forged_answer_in_the_history_of_real_processes_is_noticed() {
    let cluster = Cluster::start(3).expect("three servers start");
    let load = Load::start(&cluster, 8);
    load.progress(SOME).await;
    let record = load.stop().await.verify(&cluster).await;
    caught(&record, "a read that shows less than was answered before it began", |record, operation| {
        let known = known_before(record, operation).filter(|_| operation.call == Call::Read)?;
        (known.revision > 1).then(|| Answer::Standing(Some(standing(known.revision - 1))))
    });
    caught(&record, "an acknowledged instance that a read does not find", |record, operation| {
        known_before(record, operation).filter(|_| operation.call == Call::Read)?;
        Some(Answer::Standing(None))
    });
    caught(&record, "a read of what never was", |_, operation| {
        let Some(Answer::Standing(Some(seen))) = operation.answered.as_ref().map(|answered| &answered.answer)
        else {
            return None;
        };
        Some(Answer::Standing(Some(Standing { revision: seen.revision + 1_000, ..*seen })))
    });
    caught(&record, "two moves to the same revision", |record, operation| {
        let there = known_before(record, operation)?;
        matches!(operation.call, Call::Propose { .. }).then_some(Answer::Moved(there))
    });
    caught(&record, "an acknowledged move that was refused before anything happened", |_, operation| {
        let moved = operation
            .answered
            .as_ref()
            .is_some_and(|answered| matches!(answered.answer, Answer::Moved(there) if there.revision > 1));
        moved.then_some(Answer::Refused)
    });
    caught(&record, "a rejected proposal that moved the instance", |_, operation| {
        let Answer::Rejected(Some(there)) = operation.answered.as_ref()?.answer else { return None };
        Some(Answer::Moved(standing(there.revision + 1)))
    });
}
