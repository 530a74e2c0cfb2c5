//! The simulator's own tests: its chance, its network, its determinism, and the seeds that once failed.

mod chance;
mod corpus;
mod damage;
mod disks;
mod excuses;
mod explorer;
mod histories;
mod links;
mod own_machines;
mod recipes;
mod seeds;
mod shrinking;
mod verbs;
