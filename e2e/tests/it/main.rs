//! Few tests over real processes: what only real kills, real files and real sockets can show.

mod clock;
mod disk;
mod faults;
mod history;
mod import;
mod judge;
mod kill;
mod load;
mod mixed;
mod net;
mod operations;
mod proxy;
mod random;
mod shared;
mod slow_link;
mod stale;
