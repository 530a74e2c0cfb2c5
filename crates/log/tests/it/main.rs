//! The log as its callers see it: what was attested is there after every crash, and damage is named.

mod kit;

mod crash;
mod damage;
mod real_disk;
