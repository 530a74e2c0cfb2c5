//! Which crate may know which: the direction of all knowledge in the workspace. A new edge is a decision: change the table
//! and ARCHITECTURE.md in a commit of its own.

use crate::tidy::{Finding, Tree};

/// A room, and the rooms that its code may import. Tests may import more.
const EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("log", &["core"]),
    ("transport", &["core"]),
    ("replica", &["core"]),
    ("quorate", &["core", "log", "replica", "transport"]),
    ("machine", &["replica"]),
    ("api", &[]),
    ("client", &["api"]),
    ("server", &["api", "machine", "quorate"]),
    ("cli", &["api", "client", "log", "machine", "quorate", "server"]),
    ("bench", &["api", "client", "quorate"]),
    ("sim", &["core", "log", "machine", "replica"]),
    ("e2e", &["api", "client"]),
    ("examples", &["quorate", "sim"]),
    ("xtask", &[]),
];

/// The rooms whose packages from outside are few enough to be listed.
const OUTSIDE: &[(&str, &[&str])] = &[("core", &["bytes"]), ("replica", &["bytes", "thiserror"])];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let room = file.room();
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
            let message =
                "this crate is not in the table of edges: add it to EDGES in xtask/src/tidy/edges.rs";
            findings.push(Finding::new(&file.path, 0, "edge", message));
            continue;
        };
        let table: toml::Table = match file.text.parse() {
            Ok(table) => table,
            Err(error) => {
                findings.push(Finding::new(&file.path, 0, "edge", format!("not TOML: {error}")));
                continue;
            }
        };
        let outside = OUTSIDE.iter().find(|(name, _)| *name == room).map(|(_, outside)| *outside);
        for package in packages(&table) {
            let line = 1 + file.text.lines().position(|line| line.starts_with(&package)).unwrap_or(0);
            match own_room(&package) {
                Some(other) if !allowed.contains(&other) => {
                    let message = format!(
                        "{room} may not know {other} (it may know: {}): move the code to where both may know it",
                        allowed.join(", ")
                    );
                    findings.push(Finding::new(&file.path, line, "edge", message));
                }
                None if outside.is_some_and(|outside| !outside.contains(&package.as_str())) => {
                    let message = format!(
                        "{room} may not use {package}: write the few lines, or do it in a room above"
                    );
                    findings.push(Finding::new(&file.path, line, "edge", message));
                }
                Some(_) | None => {}
            }
        }
    }
}

/// The packages that the code of this manifest imports, tests apart.
fn packages(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    for table in std::iter::once(manifest).chain(targets) {
        for section in ["dependencies", "build-dependencies"] {
            let packages = table.get(section).and_then(toml::Value::as_table);
            names.extend(packages.into_iter().flat_map(|packages| packages.keys().cloned()));
        }
    }
    names
}

/// The room of a package of this workspace.
pub(crate) fn own_room(package: &str) -> Option<&str> {
    if package == "quorate" || package == "xtask" { Some(package) } else { package.strip_prefix("quorate-") }
}
