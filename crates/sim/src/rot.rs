//! Damage on purpose: what a disk does to the record of one entry, or to one file. It looks for the record as a stranger would, by the bytes
//! of its header, and knows nothing else of the log.

use quorate_core::types::EntryId;

use crate::disk::SimDisk;
use crate::inode::SECTOR;
use crate::rng::Rng;

/// How the record of an entry is damaged.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rot {
    /// A bit changes.
    Bit,
    /// A write to one of its sectors was lost: it reads as zeros.
    LostSector,
    /// A write meant for another place of the file landed on one of its sectors.
    ForeignSector,
}

/// All ways.
pub const ROTS: [Rot; 3] = [Rot::Bit, Rot::LostSector, Rot::ForeignSector];

impl Rot {
    /// Damages the newest record of this entry, and says in which file. None if the disk holds none.
    pub fn strike(self, disk: &SimDisk, id: EntryId, rng: &mut Rng) -> Option<String> {
        let (name, mut bytes, at, len) = find(disk, id)?;
        match self {
            // In the header behind the id or in the body, so that the record can still be found.
            Rot::Bit => {
                let offset = usize::try_from(rng.below((len - TIME_AT) as u64)).expect("a record is small");
                bytes[at + TIME_AT + offset] ^= 1 << rng.below(8);
            }
            Rot::LostSector | Rot::ForeignSector => {
                let sectors = (at + len - 1) / SECTOR - at / SECTOR + 1;
                let chosen = usize::try_from(rng.below(sectors as u64)).expect("a record is small");
                let start = (at / SECTOR + chosen) * SECTOR;
                let other =
                    usize::try_from(rng.below((bytes.len() / SECTOR) as u64)).expect("a file is small");
                let foreign = match self {
                    Rot::ForeignSector => bytes[other * SECTOR..(other + 1) * SECTOR].to_vec(),
                    Rot::Bit | Rot::LostSector => vec![0; SECTOR],
                };
                bytes[start..start + SECTOR].copy_from_slice(&foreign);
            }
        }
        disk.plant(&name, &bytes);
        Some(name)
    }
}

/// The file in which the newest record of an entry stands.
pub fn file_of(disk: &SimDisk, id: EntryId) -> Option<String> {
    find(disk, id).map(|(name, ..)| name)
}

/// The newest record of an entry: its file, that file's bytes, where it begins there, and how long it is.
fn find(disk: &SimDisk, id: EntryId) -> Option<(String, Vec<u8>, usize, usize)> {
    let number_at = |bytes: &[u8], at: usize| {
        bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes))
    };
    // Segments are numbered with leading zeros, so the newest has the last name.
    let names = disk.names();
    names.into_iter().rev().filter(|name| name.starts_with("wal/")).find_map(|name| {
        let bytes = disk.contents(&name)?;
        let at = (SECTOR..bytes.len().saturating_sub(HEAD_LEN)).step_by(8).rev().find(|at| {
            number_at(&bytes, at + ID_AT + 8) == Some(id.index.0)
                && number_at(&bytes, at + ID_AT) == Some(id.term.0)
                && ENTRY_KINDS.contains(&bytes[at + KIND_AT])
        })?;
        let len = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes"));
        let len = usize::try_from(len).ok().filter(|len| *len >= HEAD_LEN && at + len <= bytes.len())?;
        Some((name, bytes, at, len))
    })
}

/// Where the parts of a record's header stand; `docs/log-format.md` has the picture.
const KIND_AT: usize = 8;
const ID_AT: usize = 16;
const TIME_AT: usize = 32;
const HEAD_LEN: usize = 40;
/// The kinds of records that hold an entry: no-op, command, membership, and the same three repaired.
const ENTRY_KINDS: [u8; 6] = [2, 3, 4, 8, 9, 10];
