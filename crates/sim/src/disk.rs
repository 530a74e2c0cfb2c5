//! The one simulated disk. It forgets what was not synced: at a crash each unsynced write is kept, lost or torn at sectors, whatever
//! came before or after it; a name that was made, changed or removed lasts only after a sync of its folder. On request it fails, fills up,
//! flips bits, puts a write in the wrong place, or says that it synced what it did not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::{Rc, Weak};

use quorate_log::disk::Disk;

use crate::inode::{Change, Inode, Outcome, SECTOR, sectors};
use crate::rng::Rng;

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Rc<RefCell<State>>);

/// An open file. Worth nothing after the next crash.
#[derive(Clone, Debug)]
pub struct SimFile {
    inode: usize,
    life: u64,
    /// The lock lives as long as a clone of this.
    _lock: Option<Rc<()>>,
}

/// A way in which the disk can misbehave.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// A write fails; some of its sectors may have been written.
    WriteError,
    /// A sync fails, and the system forgets that there is anything to write: reads show the new bytes, the disk has the old ones, the next
    /// sync succeeds.
    SyncError,
    /// A sync succeeds and has done nothing, and no later one makes up for it: reads show the new bytes, the disk has the old ones. No log
    /// can survive this; it can be noticed after the next loss of power.
    SyncLie,
    /// There is no space: no file is made, preallocated or made longer. What was preallocated can be written.
    Full,
    /// A read fails.
    ReadError,
    /// One bit of a write is stored wrongly.
    BitFlip,
    /// A write goes to another sector of the file; the right place keeps what it had.
    Misdirect,
    /// A read gives what stands in other sectors of the file.
    MisdirectRead,
    /// A write fails after its beginning was written, whole sectors of it: a system copies page by page.
    ShortWrite,
    /// The file system allows no change; what was written before can still be synced.
    ReadOnly,
}

#[derive(Clone, Debug)]
struct State {
    rng: Rng,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Invariant: applied to `durable_names` in order, these make `names`.
    pending_names: Vec<(String, NameChange)>,
    locks: BTreeMap<String, Weak<()>>,
    /// How often the disk has crashed: files that were opened before are stale.
    life: u64,
    operations: u64,
    operations_left: Option<u64>,
    stopped: bool,
    due: Vec<(Fault, u64)>,
    rates: BTreeMap<Fault, u64>,
    counts: BTreeMap<Fault, u64>,
}

/// A change of the names in one folder.
#[derive(Clone, Debug)]
enum NameChange {
    Insert { name: String, inode: usize },
    Rename { from: String, to: String, inode: usize },
    Remove { name: String, inode: usize },
}

impl SimDisk {
    /// An empty disk; all its chances come from `rng`.
    pub fn new(rng: Rng) -> SimDisk {
        SimDisk(Rc::new(RefCell::new(State {
            rng,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locks: BTreeMap::new(),
            life: 0,
            operations: 0,
            operations_left: None,
            stopped: false,
            due: Vec::new(),
            rates: BTreeMap::new(),
            counts: BTreeMap::new(),
        })))
    }

    /// Another disk with the same contents, synced and not, and other chances. Locks and files of this one mean nothing there.
    #[must_use]
    pub fn fork(&self, rng: Rng) -> SimDisk {
        let mut state = self.0.borrow().clone();
        state.rng = rng;
        state.locks.clear();
        SimDisk(Rc::new(RefCell::new(state)))
    }

    /// The power goes. Each unsynced write and name is kept or lost by itself, and writes are torn at sectors.
    pub fn crash(&self) {
        self.0.borrow_mut().crash(Outcome::Chance);
    }

    /// The power goes, and nothing that was not synced is left.
    pub fn crash_losing_all(&self) {
        self.0.borrow_mut().crash(Outcome::Lost);
    }

    /// The power goes just after everything reached the disk.
    pub fn crash_keeping_all(&self) {
        self.0.borrow_mut().crash(Outcome::Kept);
    }

    /// Lets `operations` more changes and syncs happen; after that every call fails with an error that [`is_stop`] knows, until the
    /// next crash.
    pub fn crash_after(&self, operations: u64) {
        self.0.borrow_mut().operations_left = Some(operations);
    }

    /// How many changes and syncs there have been.
    pub fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// The fault happens once, at the next operation that it fits after `skipped` others.
    pub fn inject(&self, fault: Fault, skipped: u64) {
        self.0.borrow_mut().due.push((fault, skipped));
    }

    /// The fault happens by chance at each operation that it fits.
    pub fn set_rate(&self, fault: Fault, per_mille: u64) {
        self.0.borrow_mut().rates.insert(fault, per_mille);
    }

    /// No more faults, neither injected nor by chance.
    pub fn heal(&self) {
        let mut state = self.0.borrow_mut();
        state.due.clear();
        state.rates.clear();
    }

    /// Whether any fault may still happen by itself.
    pub fn is_troubled(&self) -> bool {
        let state = self.0.borrow();
        !state.due.is_empty() || state.rates.values().any(|rate| *rate > 0)
    }

    /// Bit rot: one bit of one file changes where it lies. True if there was one to change.
    pub fn rot(&self, rng: &mut Rng) -> bool {
        let mut state = self.0.borrow_mut();
        let inodes: Vec<usize> = state.names.values().copied().collect();
        let full: Vec<usize> =
            inodes.into_iter().filter(|inode| state.inodes[*inode].on_disk().len() > 0).collect();
        let Some(inode) = rng.pick(&full) else { return false };
        // Rot behind the end of what was written would be met by nobody: it strikes the next byte that is not zero.
        let durable = state.inodes[*inode].on_disk();
        let from = below(rng, durable.len());
        let at = durable.next_not_zero(from).unwrap_or(from);
        state.inodes[*inode].rot(at, 1 << rng.below(8));
        true
    }

    /// How often a fault has happened.
    pub fn count(&self, fault: Fault) -> u64 {
        self.0.borrow().counts.get(&fault).copied().unwrap_or(0)
    }

    /// All file names as reads see them.
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().cloned().collect()
    }

    /// What reads see of a file; none if there is no such file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        state.names.get(name).map(|inode| state.inodes[*inode].current().to_vec())
    }

    /// Puts these bytes in place of a file, durably and past all rules: damage, or a file from elsewhere.
    pub fn plant(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let inode = state.inodes.len();
        state.inodes.push(Inode::durable(bytes));
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Removes a file, durably and past all rules.
    pub fn uproot(&self, name: &str) {
        let mut state = self.0.borrow_mut();
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

/// Whether an error says that the disk has stopped where [`SimDisk::crash_after`] said.
pub fn is_stop(error: &io::Error) -> bool {
    error.to_string() == STOPPED
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create_dir(&self, _name: &str) -> io::Result<()> {
        self.0.borrow_mut().change()
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let state = self.0.borrow();
        state.check_running()?;
        Ok(state.file(state.inode_of(name)?))
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        state.check_room()?;
        state.create(name)
    }

    fn read_at(&self, file: &SimFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.check_file(file)?;
        state.check_running()?;
        if state.faulty(Fault::ReadError) {
            return Err(failure());
        }
        let current = state.inodes[file.inode].current();
        let from = position(offset)?.min(current.len());
        let got = buffer.len().min(current.len() - from);
        let from = state.aim(file.inode, from, got);
        state.inodes[file.inode].current().read(from, &mut buffer[..got]);
        Ok(got)
    }

    fn write_at(&self, file: &SimFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.check_file(file)?;
        state.change()?;
        let offset = position(offset)?;
        if offset + bytes.len() > state.inodes[file.inode].current().len() {
            state.check_room()?;
        }
        let broken = state.faulty(Fault::WriteError);
        let short = !bytes.is_empty() && state.faulty(Fault::ShortWrite);
        let (offset, bytes) = state.distort(file.inode, offset, bytes);
        if broken {
            for (at, piece) in sectors(offset, &bytes) {
                if state.rng.chance(500) {
                    state.inodes[file.inode].apply(Change::Write { offset: at, bytes: piece.to_vec() });
                }
            }
            return Err(failure());
        }
        if short {
            let end = offset + below(&mut state.rng, bytes.len());
            let beginning = bytes[..(end - end % SECTOR).saturating_sub(offset)].to_vec();
            state.inodes[file.inode].apply(Change::Write { offset, bytes: beginning });
            return Err(io::ErrorKind::WriteZero.into());
        }
        state.inodes[file.inode].apply(Change::Write { offset, bytes });
        Ok(())
    }

    fn allocate(&self, file: &SimFile, len: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.check_file(file)?;
        state.change()?;
        state.check_room()?;
        let len = position(len)?.max(state.inodes[file.inode].current().len());
        state.inodes[file.inode].apply(Change::Len(len));
        Ok(())
    }

    fn set_len(&self, file: &SimFile, len: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.check_file(file)?;
        state.change()?;
        state.inodes[file.inode].apply(Change::Len(position(len)?));
        Ok(())
    }

    fn len(&self, file: &SimFile) -> io::Result<u64> {
        let state = self.0.borrow();
        state.check_file(file)?;
        state.check_running()?;
        Ok(state.inodes[file.inode].current().len() as u64)
    }

    fn sync(&self, file: &SimFile) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.check_file(file)?;
        state.step()?;
        if state.faulty(Fault::SyncError) {
            state.inodes[file.inode].forget();
            return Err(failure());
        }
        if state.faulty(Fault::SyncLie) {
            state.inodes[file.inode].forget();
        }
        state.inodes[file.inode].sync();
        Ok(())
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.step()?;
        if state.faulty(Fault::SyncError) {
            return Err(failure());
        }
        let pending = std::mem::take(&mut state.pending_names);
        for (folder, change) in pending {
            if folder == name {
                change.apply(&mut state.durable_names);
            } else {
                state.pending_names.push((folder, change));
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        assert!(folder(from) == folder(to), "a file stays in its folder");
        let mut state = self.0.borrow_mut();
        state.change()?;
        let inode = state.inode_of(from)?;
        state.rename(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        let inode = state.inode_of(name)?;
        state.rename(NameChange::Remove { name: name.to_owned(), inode });
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let state = self.0.borrow();
        state.check_running()?;
        let within = |full: &String| {
            (folder(full) == name).then(|| full[name.len()..].trim_start_matches('/').to_owned())
        };
        Ok(state.names.keys().filter_map(within).collect())
    }

    fn lock(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.0.borrow_mut();
        state.check_running()?;
        if state.faulty(Fault::ReadOnly) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if state.locks.get(name).is_some_and(|lock| lock.upgrade().is_some()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let lock = Rc::new(());
        state.locks.insert(name.to_owned(), Rc::downgrade(&lock));
        let mut file = match state.inode_of(name) {
            Ok(inode) => state.file(inode),
            Err(_) => state.create(name)?,
        };
        file._lock = Some(lock);
        Ok(file)
    }
}

impl State {
    fn crash(&mut self, outcome: Outcome) {
        for (_, change) in std::mem::take(&mut self.pending_names) {
            if outcome == Outcome::Kept || (outcome == Outcome::Chance && self.rng.chance(500)) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for inode in &mut self.inodes {
            inode.crash(outcome, &mut self.rng);
        }
        self.locks.clear();
        self.life += 1;
        self.operations_left = None;
        self.stopped = false;
    }

    /// Counts a change, or refuses it because the file system allows none.
    fn change(&mut self) -> io::Result<()> {
        self.check_running()?;
        if self.faulty(Fault::ReadOnly) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.step()
    }

    /// Counts a change or a sync, or refuses it because the disk has stopped.
    fn step(&mut self) -> io::Result<()> {
        self.check_running()?;
        if let Some(left) = &mut self.operations_left {
            if *left == 0 {
                self.stopped = true;
                return self.check_running();
            }
            *left -= 1;
        }
        self.operations += 1;
        Ok(())
    }

    fn check_running(&self) -> io::Result<()> {
        if self.stopped { Err(io::Error::other(STOPPED)) } else { Ok(()) }
    }

    fn check_room(&mut self) -> io::Result<()> {
        if self.faulty(Fault::Full) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn check_file(&self, file: &SimFile) -> io::Result<()> {
        if file.life == self.life {
            Ok(())
        } else {
            Err(io::Error::other("a file that was opened before the crash"))
        }
    }

    /// Whether this fault happens now.
    fn faulty(&mut self, fault: Fault) -> bool {
        if self.due.is_empty() && self.rates.is_empty() {
            return false;
        }
        let mut happens = false;
        self.due.retain_mut(|(due, skipped)| {
            if *due != fault {
                return true;
            }
            if *skipped > 0 {
                *skipped -= 1;
                return true;
            }
            happens = true;
            false
        });
        let rate = self.rates.get(&fault).copied().unwrap_or(0);
        if rate > 0 {
            happens |= self.rng.chance(rate);
        }
        if happens {
            *self.counts.entry(fault).or_default() += 1;
        }
        happens
    }

    /// Where a read of this length really reads. What fills most of its file has no other place to go.
    fn aim(&mut self, inode: usize, from: usize, len: usize) -> usize {
        let places = (self.inodes[inode].current().len() - len) / SECTOR;
        if len > 0 && places > 0 && self.faulty(Fault::MisdirectRead) {
            return below(&mut self.rng, places + 1) * SECTOR;
        }
        from
    }

    /// What a write becomes on a disk that flips bits or misses its place.
    fn distort(&mut self, inode: usize, mut offset: usize, bytes: &[u8]) -> (usize, Vec<u8>) {
        let mut bytes = bytes.to_vec();
        if self.faulty(Fault::BitFlip) && !bytes.is_empty() {
            let at = below(&mut self.rng, bytes.len());
            bytes[at] ^= 1 << self.rng.below(8);
        }
        if self.faulty(Fault::Misdirect) {
            let room = (self.inodes[inode].current().len().saturating_sub(bytes.len()) / SECTOR).max(1);
            offset = below(&mut self.rng, room) * SECTOR;
        }
        (offset, bytes)
    }

    fn create(&mut self, name: &str) -> io::Result<SimFile> {
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.rename(NameChange::Insert { name: name.to_owned(), inode });
        Ok(self.file(inode))
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push((change.folder().to_owned(), change));
    }

    fn file(&self, inode: usize) -> SimFile {
        SimFile { inode, life: self.life, _lock: None }
    }

    fn inode_of(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl NameChange {
    fn folder(&self) -> &str {
        match self {
            NameChange::Insert { name, .. } | NameChange::Remove { name, .. } => folder(name),
            NameChange::Rename { to, .. } => folder(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Insert { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Rename { from, to, inode } => {
                take_away(names, from, *inode);
                names.insert(to.clone(), *inode);
            }
            NameChange::Remove { name, inode } => take_away(names, name, *inode),
        }
    }
}

/// The name goes, unless it has become another file's meanwhile.
fn take_away(names: &mut BTreeMap<String, usize>, name: &str, inode: usize) {
    if names.get(name) == Some(&inode) {
        names.remove(name);
    }
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn failure() -> io::Error {
    io::Error::other("the simulated disk fails")
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).expect("a number below a length fits")
}

const STOPPED: &str = "the simulated disk has stopped";
