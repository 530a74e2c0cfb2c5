//! How a run ended, in the words and exit codes that every verb of the simulator shares.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::{Violation, ViolationKind};
use crate::world::{Report, World};

/// What became of a run.
#[derive(Clone, Debug)]
pub enum Ended {
    /// All rules held.
    Held(Report),
    /// A rule did not hold.
    Broken(Violation),
    /// A part under test panicked, with these words.
    Panicked(String),
}

impl Ended {
    /// 0: all rules held, 10: a panic, 11: a safety rule was broken, 12: no progress.
    pub fn exit_code(&self) -> u8 {
        match self {
            Ended::Held(_) => 0,
            Ended::Panicked(_) => 10,
            Ended::Broken(violation) => match violation.kind {
                ViolationKind::Safety => 11,
                ViolationKind::Liveness => 12,
            },
        }
    }

    /// What a smaller run must break as well.
    pub fn rule(&self) -> &str {
        match self {
            Ended::Held(_) => "",
            Ended::Broken(violation) => violation.rule,
            Ended::Panicked(message) => message,
        }
    }

    /// All of it, in words.
    pub fn story(&self) -> String {
        match self {
            Ended::Held(_) => "all rules held".into(),
            Ended::Broken(violation) => violation.to_string(),
            Ended::Panicked(message) => format!("panic: {message}"),
        }
    }
}

/// Runs a world to its end. A panic of the parts under test is a finding like any other.
pub fn attempt(world: &mut World) -> Ended {
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(Ok(report)) => Ended::Held(report),
        Ok(Err(violation)) => Ended::Broken(violation),
        Err(panic) => Ended::Panicked(words(panic.as_ref())),
    }
}

/// What somebody said when he panicked.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "without words".into(),
    }
}
