//! `MACHINE/ID`: split at the first `/`, so that an id may hold more of them.

use crate::failure::Failure;

/// An instance as it is named on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) machine: String,
    pub(crate) id: String,
}

impl Target {
    /// Reads `MACHINE/ID`.
    pub(crate) fn parse(text: &str) -> Result<Target, Failure> {
        match split(text)? {
            (machine, Some(id)) => Ok(Target { machine, id }),
            (machine, None) => Err(Failure::usage(format!("`{machine}` names a machine, but no instance"))
                .hint(format!("write MACHINE/ID, as in {machine}/42"))),
        }
    }
}

/// Reads `MACHINE` or `MACHINE/ID`.
pub(crate) fn split(text: &str) -> Result<(String, Option<String>), Failure> {
    let (machine, id) = match text.split_once('/') {
        Some((machine, id)) => (machine, Some(id)),
        None => (text, None),
    };
    let wrong =
        |why: String| Failure::usage(format!("`{text}`: {why}")).hint("write MACHINE/ID, as in lifecycle/42");
    quorate_machine::check_name(machine).map_err(wrong)?;
    if let Some(id) = id {
        quorate_machine::check_id(id).map_err(wrong)?;
    }
    Ok((machine.to_owned(), id.map(str::to_owned)))
}
