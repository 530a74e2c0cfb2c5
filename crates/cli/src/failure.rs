//! How a command fails: what happened, why, what to do next, and the exit code that says so to a script.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use quorate_api::meaning::Exit;
use quorate_api::problem::{Fate, Problem};
use quorate_client::{ClientError, ConfigError};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// What happened and why.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), hint: None }
    }

    /// The call itself was wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, what)
    }

    /// The same with advice.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// The cluster has decided, and only the answer could not be shown.
    #[must_use]
    pub(crate) fn after_the_answer(self) -> Failure {
        Failure { exit: Exit::Applied, what: format!("it was decided, but {}", self.what), ..self }
    }

    /// A file that could not be used.
    pub(crate) fn file(path: &Path, doing: &str, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Error, format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Says it on stderr.
    pub(crate) fn tell(&self) {
        let mut text = format!("{}: {}", paint("error", RED), self.what);
        if let Some(hint) = self.hint.as_deref().filter(|hint| !hint.is_empty()) {
            let _ = write!(text, "\n{}: {hint}", paint("hint", CYAN));
        }
        words(&text);
    }
}

/// Words for people: a line on stderr. A stderr that is gone is no reason to stop.
pub(crate) fn words(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A warning on stderr.
pub(crate) fn warn(text: &str) {
    words(&format!("{}: {text}", paint("warning", YELLOW)));
}

const RED: &str = "\x1b[1;31m";
const CYAN: &str = "\x1b[36m";
const YELLOW: &str = "\x1b[1;33m";

/// The stream strips the colour where none is wanted: a pipe, a file, `NO_COLOR`.
fn paint(word: &str, colour: &str) -> String {
    format!("{colour}{word}\x1b[0m")
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = match &error {
            ClientError::Invalid(_) => Exit::Usage,
            ClientError::NotAccepted { .. } => Exit::Unavailable,
            ClientError::Unknown { .. } => Exit::Unknown,
            ClientError::Refused { problem, .. } => problem.meaning().exit,
            ClientError::Malformed { fate, .. } => match fate {
                Fate::NotAccepted => Exit::Error,
                Fate::Unknown => Exit::Unknown,
                Fate::Applied => Exit::Applied,
            },
        };
        let mut what = error.to_string();
        if let ClientError::Refused { problem, .. } = &error {
            what.push_str(&faults(problem));
        }
        Failure { exit, what, hint: error.hint() }
    }
}

/// Each fault of a definition as the server rendered it.
fn faults(problem: &Problem) -> String {
    problem.faults.iter().map(|fault| format!("\n\n{}", fault.rendered.trim_end())).collect()
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::usage(error.to_string())
            .hint("write --endpoint http://HOST:PORT, several separated by commas")
    }
}

#[cfg(test)]
mod tests {
    use quorate_api::meaning::{Exit, ProblemCode};
    use quorate_api::problem::{Fate, Problem};
    use quorate_client::{ClientError, FailureKind};

    use super::Failure;

    /// A script must not repeat what may have happened: each error of a call, with its fate, and how the program ends.
    #[test]
    fn the_exit_code_of_every_client_error_says_its_fate() {
        let problem = |fate| Box::new(Problem { fate, ..Problem::new(ProblemCode::Internal, "d", "h") });
        let failure = || quorate_client::Failure { endpoint: "n:1".into(), kind: FailureKind::NoListener };
        let mut errors = vec![
            (ClientError::Invalid("no".into()), Exit::Usage),
            (ClientError::NotAccepted { attempts: 1, failure: failure() }, Exit::Unavailable),
            (ClientError::Unknown { attempts: 1, failure: failure() }, Exit::Unknown),
        ];
        for (fate, exit) in
            [(Fate::NotAccepted, Exit::Error), (Fate::Unknown, Exit::Unknown), (Fate::Applied, Exit::Applied)]
        {
            let endpoint = "n:1".to_owned();
            let refused = ClientError::Refused { endpoint, status: 500, problem: problem(fate) };
            let endpoint = "n:1".to_owned();
            let malformed = ClientError::Malformed { endpoint, detail: "no".into(), fate };
            errors.extend([(refused, exit), (malformed, exit)]);
        }
        for (error, exit) in errors {
            let fate = error.fate();
            let failure = Failure::from(error.clone());
            assert_eq!(failure.exit, exit, "{error:?}");
            assert_eq!(failure.exit == Exit::Unknown, fate == Fate::Unknown, "{error:?}");
            assert_eq!(failure.exit == Exit::Applied, fate == Fate::Applied, "{error:?}");
        }
    }
}
