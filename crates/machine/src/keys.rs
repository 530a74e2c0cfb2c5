//! Which keys each part of a definition may have, and which it may have in another version: the latter are refused by name,
//! never read and forgotten.

use crate::diagnostic::Report;
use crate::value::Member;
use crate::wording::{join, shown};

/// The keys of one part of a definition.
pub(crate) struct Keys {
    /// What the part is called in messages.
    what: &'static str,
    /// What this version understands.
    known: &'static [&'static str],
    /// What the format has, or what XState calls so, and this version does not do.
    unsupported: &'static [&'static str],
}

/// The top level.
pub(crate) const MACHINE_KEYS: Keys = Keys {
    what: "a machine",
    known: &["format", "machine", "version", "initial", "description", "tags", "meta", "states"],
    unsupported: &[
        "after",
        "always",
        "actions",
        "actors",
        "bind",
        "context",
        "delays",
        "deletable",
        "effects",
        "entry",
        "events",
        "exit",
        "guards",
        "history",
        "invariants",
        "invoke",
        "limit",
        "migrate",
        "on",
        "onDone",
        "onTimeout",
        "output",
        "retain",
        "roles",
        "schemas",
        "timeout",
        "timers",
        "type",
        "types",
    ],
};

/// A state.
pub(crate) const STATE_KEYS: Keys = Keys {
    what: "a state",
    known: &["description", "tags", "meta", "type", "on"],
    unsupported: &[
        "after",
        "always",
        "assign",
        "context",
        "deletable",
        "emit",
        "entry",
        "exit",
        "history",
        "initial",
        "invariants",
        "invoke",
        "limit",
        "onDone",
        "onError",
        "onTimeout",
        "output",
        "retain",
        "roles",
        "spawn",
        "states",
        "target",
        "timeout",
    ],
};

/// A transition.
pub(crate) const TRANSITION_KEYS: Keys = Keys {
    what: "a transition",
    known: &["target", "description", "meta"],
    unsupported: &[
        "actions", "assign", "cond", "context", "delay", "emit", "guard", "in", "internal", "limit",
        "payload", "propose", "reenter", "roles", "spawn", "timeout",
    ],
};

/// What other tools call a key, and what it is called here.
const OTHER_NAMES: [(&str, &str); 4] =
    [("id", "machine"), ("name", "machine"), ("to", "target"), ("desc", "description")];

/// Tells every key that does not belong here.
pub(crate) fn check_keys(members: &[Member], path: &str, keys: &Keys, report: &mut Report) {
    for member in members {
        let key = member.key.as_str();
        if keys.known.contains(&key) {
            continue;
        }
        let path = join(path, key);
        if keys.unsupported.contains(&key) {
            let message = format!("`{key}` is not supported by this version");
            let hint = Some("remove it, or keep it under `meta`, where any content is allowed".to_owned());
            report.fault(member.key_span, &path, message, hint);
            continue;
        }
        let other_name =
            OTHER_NAMES.iter().find(|(theirs, ours)| *theirs == key && keys.known.contains(ours));
        let close = other_name.map(|(_, ours)| format!("did you mean {ours:?}?"));
        let close = close.or_else(|| report.suggestion(key, keys.known.iter().copied()));
        let hint = close.unwrap_or_else(|| format!("{} has {}", keys.what, list(keys.known)));
        report.fault(member.key_span, &path, format!("unknown key {}", shown(key)), Some(hint));
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
