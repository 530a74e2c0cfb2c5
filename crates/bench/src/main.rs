//! Quorate: bench.
fn main() {}
