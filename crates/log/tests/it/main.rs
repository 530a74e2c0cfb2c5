//! The log as its callers see it: what was attested is there after every crash, and damage is named.

mod kit;

mod crash;
mod damage;
mod faults;
mod formats;
mod real_disk;
