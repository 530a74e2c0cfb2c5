//! Few tests over real processes: what only real kills, real files and real sockets can show.

mod faults;
mod import;
mod kill;
mod load;
mod mixed;
mod proxy;
