//! The verb `damage`: the table of "Protocol-Aware Recovery" (FAST 2018).

use std::process::ExitCode;

use quorate_sim::check::ViolationKind;
use quorate_sim::damage_table::{self, Beside, PATTERNS, Row};

use crate::stopwatch;

/// Runs all patterns, or each Nth, and prints what became of them.
pub(crate) fn damage(words: &[&str]) -> ExitCode {
    let every = match words {
        [] => 1,
        ["--every", every] => match every.parse() {
            Ok(every) if every > 0 => every,
            Ok(_) | Err(_) => return ExitCode::from(2),
        },
        _ => return ExitCode::from(2),
    };
    let watch = stopwatch();
    let mut tables: Vec<[Row; 13]> = Vec::new();
    for beside in [Beside::Nothing, Beside::Headers] {
        match damage_table::run((0..PATTERNS).step_by(every), beside) {
            Ok(rows) => tables.push(rows),
            Err(violation) => {
                println!("{violation}");
                return ExitCode::from(if violation.kind == ViolationKind::Safety { 11 } else { 12 });
            }
        }
    }
    println!("3 nodes, 4 entries; each of the 12 copies damaged or not");
    println!("with headers: the header of the log's segment is damaged on all three nodes as well");
    println!(
        "| damaged copies | patterns | recovered | safely unavailable | recovered, with headers | safely unavailable, with headers |"
    );
    println!("|---|---|---|---|---|---|");
    let cells = |rows: &[Row]| {
        let recovered: u32 = rows.iter().map(|row| row.recovered).sum();
        let unavailable: u32 = rows.iter().map(|row| row.unavailable).sum();
        (recovered + unavailable, format!("{recovered} | {unavailable}"))
    };
    let names = (0..13).map(|damaged: usize| (damaged.to_string(), damaged..damaged + 1));
    for (name, range) in names.chain([("all".to_owned(), 0..13)]) {
        let [(patterns, plain), (_, headers)] = [0, 1].map(|at| cells(&tables[at][range.clone()]));
        println!("| {name} | {patterns} | {plain} | {headers} |");
    }
    println!(
        "recovered: all four entries applied on all nodes with their bytes, and a new proposal committed."
    );
    println!(
        "safely unavailable: nobody led, nothing was cut; with one node's copies put back all recovered."
    );
    println!("{} ms", watch());
    ExitCode::SUCCESS
}
