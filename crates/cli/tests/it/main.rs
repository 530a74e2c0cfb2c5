//! Tests of the program `quorate`, run as a user runs it: the real binary, its output and its exit code; and a cluster of `dev` with
//! real sockets and real fsync where one is needed.

mod cli;
mod cluster;
mod documentation;
mod import;
mod node;
mod offline;
mod recover;
mod tour;
