//! The golden scripts: each file in `golden/` is a scenario with what happened below it. They run on the simulator's
//! network, disk and log, with the checks of the simulator on; a script whose output says `FAILED` never passes.
//!
//! `cargo xtask golden [FILE] [--update]` runs all or those whose names contain FILE; `--update` rewrites the outputs and
//! shows what changed. It says so to this runner by `QUORATE_GOLDEN_FILE` and `QUORATE_GOLDEN_UPDATE`.

use std::fs;
use std::path::PathBuf;

use quorate_sim::golden;

#[test]
fn golden_scripts_give_the_output_that_they_name() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it lists").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 20, "the scripts are where they are looked for");
    if let Some(wanted) = std::env::var("QUORATE_GOLDEN_FILE").ok().filter(|wanted| !wanted.is_empty()) {
        paths.retain(|path| path.to_string_lossy().contains(&wanted));
        assert!(!paths.is_empty(), "no script is called {wanted}");
    }
    let update = std::env::var_os("QUORATE_GOLDEN_UPDATE").is_some();
    let mut differing = Vec::new();
    for path in &paths {
        let known = fs::read_to_string(path).expect("a script is text");
        let output = golden::run(&known);
        if golden::has_failed(&output) {
            println!("{}:\n{output}", path.display());
            differing.push(path);
        } else if output != known {
            print_difference(path, &known, &output);
            if update {
                fs::write(path, &output).expect("a script can be written");
            } else {
                differing.push(path);
            }
        }
    }
    assert!(differing.is_empty(), "these scripts differ from what happens: {differing:?}");
}

/// The first lines that differ, and how many follow.
fn print_difference(path: &std::path::Path, known: &str, output: &str) {
    println!("--- {}", path.display());
    let (known, output): (Vec<&str>, Vec<&str>) = (known.lines().collect(), output.lines().collect());
    let same = known.iter().zip(&output).take_while(|(one, other)| one == other).count();
    known[same..].iter().take(20).for_each(|line| println!("-{line}"));
    output[same..].iter().take(20).for_each(|line| println!("+{line}"));
}
