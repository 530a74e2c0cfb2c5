//! Runs the program once and takes what it said.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What one run said, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with these arguments, in an environment that says nothing but how long the files of a log are: every node reserves one.
pub(crate) fn program<A: AsRef<OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(arguments).env_clear().env("QUORATE_LIMITS__SEGMENT_BYTES", "4MiB").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn quorate<A: AsRef<OsStr>>(arguments: &[A]) -> Run {
    Run::of(&program(arguments).output().expect("the program runs"))
}

impl Run {
    pub(crate) fn of(output: &Output) -> Run {
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails unless the run ended so and said each of these words, on stdout (`out:`) or on stderr (`err:`).
    pub(crate) fn check(&self, code: i32, words: &[&str]) -> &Run {
        assert_eq!(self.code, code, "the exit code\n{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        for word in words {
            let (stream, word) = match word.split_once(':') {
                Some(("out", word)) => (&self.stdout, word),
                Some(("err", word)) => (&self.stderr, word),
                _ => panic!("`{word}` names no stream"),
            };
            assert!(stream.contains(word), "`{word}` is missing\n{self:#?}");
        }
        self
    }

    /// Stdout as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self:#?}"))
    }
}

/// Writes a file of the test's.
pub(crate) fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("the test's directory can be written");
    path.to_string_lossy().into_owned()
}
