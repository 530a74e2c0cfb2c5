//! The library as an application sees it: real threads, real sockets, real files.

mod cluster;
mod damage;
mod failures;
mod leadership;
mod leases;
mod members;
mod proposals;
mod recovery;
mod snapshots;
mod versions;
