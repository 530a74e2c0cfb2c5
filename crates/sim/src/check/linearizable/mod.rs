//! Linearizability (Herlihy and Wing 1990): what clients saw is what one copy of the state would have shown them, each
//! operation taking effect at one moment between its call and its answer.
//!
//! Two judges. [`witness`] knows the order, because the log gives every write its index: it needs no search, but it trusts
//! the index in the answer. [`search`] trusts nothing but what clients saw and when: it looks for an order that explains all
//! answers, for each object apart. It is slower, and judges histories of real processes as well.
//!
//! Reading order: [`history`] (what is recorded), [`model`] (what an object may answer), [`search`] (the judge); and what
//! shows that the judge is right: [`plain`] (the objects once more, in the plainest way), [`brute`] (a judge that tries
//! every order) and [`random`] (histories of all kinds).

pub mod witness;

pub mod history;
pub mod model;
pub mod search;

pub mod brute;
pub mod plain;
pub mod random;
