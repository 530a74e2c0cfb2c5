//! quorate-log: the write-ahead log.

pub mod disk;
