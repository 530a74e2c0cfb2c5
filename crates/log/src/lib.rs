//! quorate-log: the write-ahead log, the durable shadow of Raft's log in memory.
//!
//! What [`Log::sync`] has attested is there after any crash, in order, and nothing is there that was never written. What was
//! written but not synced may be there or not; a hole is never followed by anything. What a disk has damaged is found by its
//! checksum and named: as entries whose ids are known and whose bytes are lost, which come back from peers; or, if nobody can say what
//! was lost, with file and offset, and the log refuses to open. It never guesses.
//!
//! *Knows* entries and hard state as bytes with an index. *Knows nothing of* roles, quorums, peers, sockets, clocks, threads, or
//! what a command means; of a disk only the trait [`disk::Disk`].
//!
//! The order of a start, enforced by the types: [`DataDir::open`] takes the folder's lock, [`Identity::open_or_create`] says
//! whose folder it is, [`Log::open`] takes the folder over and recovers. The format, the crash model and each case of the
//! recovery are in `docs/log-format.md`.
//!
//! Reading order: [`disk`] (the seam), `record` and `segment` (what stands in a file), [`log`] (the one writer), `recovery`,
//! `tail` and `salvage` (torn tail against damage), `meeting` (the snapshot that the log goes on from), `closed` (the proof of an
//! orderly end), `index` and [`read`] (entries read back), [`snapshot_file`] with [`snapshot_writer`] and [`incoming`]
//! (snapshots), `compaction` (what they make superfluous), [`identity`], [`inspect`], `founding` (the log of a new cluster, made of
//! what was left of another one).

pub mod disk;
pub mod error;

mod batch;
mod record;
mod segment;

mod index;
pub mod log;
pub mod read;

mod closed;
mod compaction;
pub mod incoming;
mod meeting;
pub mod snapshot_file;
pub mod snapshot_writer;

mod open;
mod recovery;
mod salvage;
mod scan;
mod tail;

pub mod data_dir;
pub mod identity;
mod small_file;

mod founding;
mod given_up;
mod overlay;

pub mod inspect;
pub mod real_disk;

pub use data_dir::DataDir;
pub use error::LogError;
pub use founding::{Founding, found};
pub use given_up::GivenUp;
pub use identity::{Identity, Wanted, owner_of};
pub use incoming::Incoming;
pub use log::{Content, Log, LogOptions};
pub use overlay::Overlay;
pub use read::ReadPlan;
pub use real_disk::RealDisk;
pub use snapshot_file::{SnapshotFile, SnapshotOptions, SnapshotReader};
pub use snapshot_writer::SnapshotWriter;
