//! Planted bugs prove the checks, and must never ship: each is asked for at one place, each is tried by the simulator's verb,
//! and no package turns the feature on but the simulator, for itself and not by default.

use crate::tidy::{Finding, TextFile, Tree};

/// Where the bugs are listed.
const LIST: &str = "crates/core/src/planted.rs";
/// Where they are planted one after the other.
const VERB: &str = "crates/sim/src/planted.rs";
/// The one line of a manifest that may turn the feature on.
const FORWARD: &str = "planted = [\"quorate-core/planted\"]";
/// The one line of a manifest that declares it.
const DECLARATION: &str = "planted = []";

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(list) = tree.get(LIST) else { return };
    for (line, bug) in bugs(list) {
        let places = tree.rust().filter(|(file, _)| file.path != LIST && file.path != VERB);
        let asked = format!("planted::is(Bug::{bug})");
        let count: usize = places.map(|(file, _)| file.text.matches(&asked).count()).sum();
        if count != 1 {
            let message = format!("`{asked}` stands at {count} places: a bug is one mistake at one place");
            findings.push(Finding::new(LIST, line, "planted", message));
        }
        let is_tried = tree.get(VERB).is_some_and(|verb| verb.text.contains(&format!("(Bug::{bug}, ")));
        if !is_tried {
            let message = format!("{VERB} does not plant `{bug}`: nothing shows that a check catches it");
            findings.push(Finding::new(LIST, line, "planted", message));
        }
    }
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        for (place, line) in file.text.lines().enumerate() {
            let may_stand = match file.room() {
                "core" => line == DECLARATION,
                "sim" => line == FORWARD,
                _ => false,
            };
            if !line.starts_with('#') && line.contains("planted") && !may_stand {
                let message = "planted bugs never ship: only the simulator's own feature turns them on";
                findings.push(Finding::new(&file.path, place + 1, "planted", message));
            }
        }
    }
}

/// The variants of the list, each with its line.
fn bugs(list: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let lines = list.text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("pub enum Bug"));
    let body = lines.skip(1).take_while(|(_, line)| *line != "}");
    body.filter_map(|(place, line)| Some((place + 1, line.trim().strip_suffix(',')?)))
        .filter(|(_, name)| name.chars().all(char::is_alphanumeric))
}
