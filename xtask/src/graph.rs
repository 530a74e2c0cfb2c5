//! The shape of the workspace in figures: crates, whom they know, their files by size. To see what a change did to it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::tidy::Tree;

/// Prints each crate with its edges and its files, in lines of code without comments and tests. Always well.
///
/// # Errors
/// The tree cannot be read.
pub fn print(root: &Path) -> Result<bool> {
    let tree = Tree::read(root)?;
    let mut rooms: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for (file, rust) in tree.rust().filter(|(file, _)| !file.is_test()) {
        let name = file.path.rsplit_once("/src/").map_or(file.path.as_str(), |(_, name)| name);
        rooms.entry(file.room()).or_default().push((name, rust.code_lines(false)));
    }
    for (room, files) in &mut rooms {
        files.sort_by_key(|(name, lines)| (std::cmp::Reverse(*lines), *name));
        let total: usize = files.iter().map(|(_, lines)| lines).sum();
        let known = edges(&tree, room).join(", ");
        println!("{room} {total} -> {}", if known.is_empty() { "-" } else { &known });
        let files: Vec<String> = files.iter().map(|(name, lines)| format!("{name} {lines}")).collect();
        println!("    {}", files.join(", "));
    }
    Ok(true)
}

/// The rooms that a room's manifest names.
fn edges(tree: &Tree, room: &str) -> Vec<String> {
    let manifest = [format!("crates/{room}/Cargo.toml"), format!("{room}/Cargo.toml")];
    let manifest = manifest.iter().find_map(|path| tree.get(path));
    let code = manifest.and_then(|manifest| manifest.text.split("[dependencies]").nth(1)).unwrap_or("");
    let code = code.split("\n[").next().unwrap_or("");
    let names = code.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| *name == "quorate" || name.starts_with("quorate-")).map(str::to_owned).collect()
}
