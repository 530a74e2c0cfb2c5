//! The log as its callers see it: what was attested is there after every crash, and damage is named.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; helpers of tests are no tests to the lint"
)]

mod kit;
mod oracle;

mod closed;
mod crash;
mod damage;
mod damaged_files;
mod faults;
mod formats;
mod founding;
mod full_disk;
mod real_disk;
mod repair;
mod snapshot_crash;
mod snapshots;
mod unsynced;
