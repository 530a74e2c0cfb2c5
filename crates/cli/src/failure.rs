//! How a command fails: what happened, why, what to do next, and the exit code that says so to a script.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use quorate_api::meaning::Exit;
use quorate_api::problem::Problem;
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
            ClientError::Malformed { .. } => Exit::Error,
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
