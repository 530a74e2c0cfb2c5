//! Quorate: cli.
fn main() {}
