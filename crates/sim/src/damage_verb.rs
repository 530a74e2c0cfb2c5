//! The verb `damage`: the table of "Protocol-Aware Recovery" (FAST 2018).

use std::process::ExitCode;

use quorate_sim::check::ViolationKind;
use quorate_sim::damage_table::{self, PATTERNS};

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
    let rows = match damage_table::run((0..PATTERNS).step_by(every)) {
        Ok(rows) => rows,
        Err(violation) => {
            println!("{violation}");
            return ExitCode::from(if violation.kind == ViolationKind::Safety { 11 } else { 12 });
        }
    };
    println!("3 nodes, 4 entries; each of the 12 copies damaged or not");
    println!("| damaged copies | patterns | recovered | safely unavailable |");
    println!("|---|---|---|---|");
    for (damaged, row) in rows.iter().enumerate() {
        let patterns = row.recovered + row.unavailable;
        println!("| {damaged} | {patterns} | {} | {} |", row.recovered, row.unavailable);
    }
    let recovered: u32 = rows.iter().map(|row| row.recovered).sum();
    let unavailable: u32 = rows.iter().map(|row| row.unavailable).sum();
    println!("| all | {} | {recovered} | {unavailable} |", recovered + unavailable);
    println!(
        "recovered: all four entries applied on all nodes with their bytes, and a new proposal committed."
    );
    println!(
        "safely unavailable: nobody led, nothing was cut; with one node's copies put back all recovered."
    );
    println!("{} ms", watch());
    ExitCode::SUCCESS
}
