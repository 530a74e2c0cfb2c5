//! No orphans: each Rust file is named by a `mod` of the file above it, or is where a crate starts. The compiler never sees
//! an orphan, so it rots in silence.

use crate::tidy::{Finding, TextFile, Tree};

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, _) in tree.rust() {
        if starts_a_crate(file) {
            continue;
        }
        let Some((name, parents)) = parents(&file.path) else {
            continue;
        };
        let declared = parents.iter().any(|parent| {
            let rust = tree.get(parent).and_then(|parent| parent.rust.as_ref());
            rust.is_some_and(|rust| !rust.lines_with(&format!("mod {name};")).is_empty())
        });
        if !declared {
            let message =
                format!("no `mod {name};` in {}: name it there or remove the file", parents.join(" or "));
            findings.push(Finding::new(&file.path, 0, "orphan", message));
        }
    }
}

/// Whether cargo starts at this file.
fn starts_a_crate(file: &TextFile) -> bool {
    let parts: Vec<&str> = file.path.split('/').collect();
    matches!(
        parts.as_slice(),
        [.., "src", "lib.rs" | "main.rs"]
            | [.., "build.rs"]
            | [.., "bin" | "tests" | "examples" | "benches", _]
            | [.., "tests" | "examples" | "benches", _, "main.rs"]
    )
}

/// The module's name and the files that may declare it.
fn parents(path: &str) -> Option<(&str, Vec<String>)> {
    let (folder, file) = path.rsplit_once('/')?;
    let (name, folder) = match file {
        "mod.rs" => {
            let (above, name) = folder.rsplit_once('/')?;
            (name, above)
        }
        _ => (file.strip_suffix(".rs")?, folder),
    };
    let mut parents: Vec<String> =
        ["lib.rs", "main.rs", "mod.rs"].map(|file| format!("{folder}/{file}")).into();
    parents.push(format!("{folder}.rs"));
    Some((name, parents))
}
