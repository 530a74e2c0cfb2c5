//! The table of status and exit codes, as the documentation prints it.

use quorate_api::meaning::{Exit, ProblemCode, RejectionCode};
use quorate_api::problem::{Fate, Problem};

/// The code's JSON, status and exit code.
fn check(code: RejectionCode) -> (String, u16, u8) {
    let json = serde_json::to_value(code).unwrap();
    assert_eq!(json, code.as_str(), "the two spellings of a code agree");
    let meaning = code.meaning();
    (code.as_str().to_owned(), meaning.status, meaning.exit.code())
}

#[test]
fn every_rejection_has_its_documented_status_and_exit_code() {
    let table: Vec<_> = RejectionCode::ALL.into_iter().map(check).collect();
    let expected = [
        ("unknown_machine", 404, 5),
        ("unknown_instance", 404, 5),
        ("exists", 409, 4),
        ("unknown_event", 409, 3),
        ("no_transition", 409, 3),
        ("guard_failed", 409, 3),
        ("payload_invalid", 409, 3),
        ("limit_reached", 409, 3),
        ("invariant_violated", 409, 3),
        ("conflict", 409, 4),
        ("forbidden", 403, 1),
        ("final", 409, 3),
        ("cost_exceeded", 409, 3),
        ("too_large", 413, 2),
        ("key_reused", 409, 4),
    ];
    assert_eq!(table, expected.map(|(code, status, exit)| (code.to_owned(), status, exit)));
}

#[test]
fn problems_have_their_documented_status_and_exit_code() {
    for (code, status, exit) in [
        (ProblemCode::Malformed, 400, Exit::Usage),
        (ProblemCode::UnknownRoute, 404, Exit::Error),
        (ProblemCode::MethodNotAllowed, 405, Exit::Error),
        (ProblemCode::UnknownInstance, 404, Exit::NotFound),
        (ProblemCode::TooSlow, 408, Exit::Unavailable),
        (ProblemCode::KeyReused, 409, Exit::Conflict),
        (ProblemCode::LimitReached, 409, Exit::Rejected),
        (ProblemCode::Refused, 409, Exit::Rejected),
        (ProblemCode::Compacted, 410, Exit::Error),
        (ProblemCode::UnsupportedMediaType, 415, Exit::Usage),
        (ProblemCode::Internal, 500, Exit::Error),
        (ProblemCode::NotReady, 503, Exit::Unavailable),
        (ProblemCode::Forgotten, 504, Exit::Unknown),
        (ProblemCode::SessionUnknown, 504, Exit::Unknown),
        (ProblemCode::Other, 500, Exit::Error),
        (ProblemCode::UnknownMachine, 404, Exit::NotFound),
        (ProblemCode::VersionConflict, 409, Exit::Conflict),
        (ProblemCode::TooLarge, 413, Exit::Usage),
        (ProblemCode::InvalidDefinition, 422, Exit::Error),
        (ProblemCode::Overloaded, 429, Exit::Unavailable),
        (ProblemCode::DiskFull, 503, Exit::Unavailable),
        (ProblemCode::NotSupported, 501, Exit::Error),
        (ProblemCode::NoLeader, 503, Exit::Unavailable),
        (ProblemCode::Stopping, 503, Exit::Unavailable),
        (ProblemCode::TimedOut, 504, Exit::Unknown),
    ] {
        assert_eq!((code.meaning().status, code.meaning().exit), (status, exit), "{code:?}");
    }
}

/// A script that reads "an error" of something that was applied does it twice.
#[test]
fn the_exit_code_tells_the_fate_before_the_kind_of_the_problem() {
    for code in [ProblemCode::Internal, ProblemCode::NoLeader, ProblemCode::TimedOut, ProblemCode::Other] {
        for (fate, exit) in [
            (Fate::NotAccepted, code.meaning().exit),
            (Fate::Unknown, Exit::Unknown),
            (Fate::Applied, Exit::Applied),
        ] {
            let problem = Problem { fate, ..Problem::new(code, "d", "h") };
            assert_eq!((problem.meaning().status, problem.meaning().exit), (code.meaning().status, exit));
        }
    }
    assert_eq!((Exit::Unknown.code(), Exit::Applied.code()), (7, 8));
}
