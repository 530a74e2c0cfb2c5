//! The seeds that once failed, each with its story. They are run before all others.

/// The seeds of all files of the corpus, in the order of the files.
pub fn seeds() -> Vec<u64> {
    FILES.iter().flat_map(|text| text.lines()).filter_map(seed_of_line).collect()
}

/// A line of a corpus file is a comment, empty, or `seed S`.
fn seed_of_line(line: &str) -> Option<u64> {
    line.trim().strip_prefix("seed ")?.trim().parse().ok()
}

/// The files, compiled in: a binary that is sent to another machine takes its corpus along.
const FILES: [&str; 1] = [include_str!("../corpus/first.txt")];
