//! Which names and ids are allowed.

/// The most bytes of a name of a machine, state or event.
pub const NAME_BYTES_MAX: usize = 64;
/// The most bytes of an instance's id.
pub const ID_BYTES_MAX: usize = 256;

/// Whether this names a machine, a state or an event: 1 to 64 ASCII letters, digits, `_` or `-`.
pub fn is_name(text: &str) -> bool {
    check_name(text).is_ok()
}

/// Whether this is an instance's id: 1 to 256 bytes of UTF-8 without control characters, not `.` or `..`.
pub fn is_id(text: &str) -> bool {
    check_id(text).is_ok()
}

/// What is wrong with a name, in words.
///
/// # Errors
/// When it is no name.
pub fn check_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a name is empty".to_owned());
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(format!("a name has {} bytes, the limit is {NAME_BYTES_MAX}", text.len()));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_' && *c != '-') {
        Some(stranger) => {
            Err(format!("a name holds {stranger:?}: only ASCII letters, digits, `_` and `-` are allowed"))
        }
        None => Ok(()),
    }
}

/// What is wrong with an instance's id, in words.
///
/// # Errors
/// When it is no id.
pub fn check_id(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("an id is empty".to_owned());
    }
    if text.len() > ID_BYTES_MAX {
        return Err(format!("an id has {} bytes, the limit is {ID_BYTES_MAX}", text.len()));
    }
    if text == "." || text == ".." {
        return Err(format!("{text:?} is no id: it would vanish from a path"));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("an id holds the control character {control:?}")),
        None => Ok(()),
    }
}
