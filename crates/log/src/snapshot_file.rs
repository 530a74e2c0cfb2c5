//! The file of a snapshot: a header that says what it covers, then the state in pieces of one length, each with its checksum. A piece
//! is also what travels to another node: it is checked where it is read, and again where it arrives.
//!
//! ```text
//!  0                    header length (a multiple of 512)
//!  ├────────────────────┼────────┬─────────┬───────┬────────┬─────────┬───────┬─ ─ ─
//!  │ header … CRC-32C   │ length │ CRC-32C │ piece │ length │ CRC-32C │ piece │
//!  └────────────────────┴────────┴─────────┴───────┴────────┴─────────┴───────┴─ ─ ─
//!  header: magic (8), version (4), group (4), cluster id (16), header length (4), piece length (4), length of the state (8),
//!          CRC-32C over the checksums of all pieces (4), length of what follows (4), what it covers, zeros, CRC-32C (4)
//! ```
//! A piece's checksum also runs over the cluster id, the last entry that is covered and the number of the piece, which are not
//! written: a piece of another snapshot, or of another place, betrays itself.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_core::snapshot::{SnapshotMeta, SnapshotName};
use quorate_core::types::{ClusterId, EntryId, GroupId};

use crate::disk::Disk;
use crate::error::LogError;
use crate::read::read_chunk;
use crate::segment::FORMAT_VERSION;

/// What all snapshots of a node have in common.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SnapshotOptions {
    /// The cluster that the state belongs to.
    pub cluster: ClusterId,
    /// The Raft group; 0 for now.
    pub group: GroupId,
    /// How many bytes of the state a piece holds in the snapshots that this node takes, at least 1 and at most
    /// [`PIECE_BYTES_MAX`]. A received snapshot keeps the length that its maker chose.
    pub piece_bytes: usize,
}

/// How a snapshot came to be here.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Origin {
    /// This node wrote it from its own state: its log held all that it covers.
    Taken,
    /// It came from a peer: until the log was begun anew behind it, the log may lack what it covers.
    Received,
}

/// A header, read and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) meta: SnapshotMeta,
    pub(crate) header_len: u32,
    pub(crate) piece_bytes: u32,
    pub(crate) content_bytes: u64,
    pub(crate) check: u32,
}

/// A snapshot that is whole and open for reading. It stays readable when its name is removed.
pub struct SnapshotFile<D: Disk> {
    disk: D,
    file: D::File,
    name: String,
    header: Header,
    cluster: ClusterId,
}

impl<D: Disk + Clone> SnapshotFile<D> {
    /// Opens the newest snapshot in the folder, if there is one.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::OtherCluster`] or [`LogError::NewerFormat`] if its header is not what it should be;
    /// [`LogError::Io`].
    pub fn newest(disk: &D, options: &SnapshotOptions) -> Result<Option<SnapshotFile<D>>, LogError> {
        let Some((last, origin)) = list(disk)?.pop() else { return Ok(None) };
        SnapshotFile::open_as(disk, options, last, origin).map(Some)
    }

    /// Opens the snapshot that ends with this entry; none if it is not here any more.
    ///
    /// # Errors
    /// As [`SnapshotFile::newest`].
    pub fn open(
        disk: &D,
        options: &SnapshotOptions,
        last: EntryId,
    ) -> Result<Option<SnapshotFile<D>>, LogError> {
        let found = list(disk)?.into_iter().rev().find(|(id, _)| *id == last);
        found.map(|(_, origin)| SnapshotFile::open_as(disk, options, last, origin)).transpose()
    }

    pub(crate) fn open_as(
        disk: &D,
        options: &SnapshotOptions,
        last: EntryId,
        origin: Origin,
    ) -> Result<SnapshotFile<D>, LogError> {
        let name = file_name(last, origin);
        let failed = |error| LogError::io("cannot read", &name, error);
        let file = disk.open(&name).map_err(failed)?;
        let header = Header::read(disk, &file, &name, options)?;
        let len = disk.len(&file).map_err(failed)?;
        if header.meta.last != last || header.file_bytes() != len {
            let what = format!(
                "the snapshot has {len} bytes and ends at {}, not as its header and name say",
                header.meta.last
            );
            return Err(LogError::corrupt(&name, len, what));
        }
        Ok(SnapshotFile { disk: disk.clone(), file, name, header, cluster: options.cluster })
    }

    /// What it covers.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.header.meta
    }

    /// Its name, down to its bytes.
    pub fn name(&self) -> SnapshotName {
        self.header.name()
    }

    /// How many pieces there are, the header counted as the first.
    pub fn pieces(&self) -> u64 {
        1 + self.header.pieces()
    }

    /// The bytes of piece `number` as they stand in the file: 0 is the header, then the state with length and checksum. None beyond the last.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if the disk no longer holds what was written, [`LogError::Io`].
    pub fn piece(&self, number: u64) -> Result<Option<Bytes>, LogError> {
        let Some((offset, len)) = self.header.place(number) else { return Ok(None) };
        let bytes = read_chunk(&self.disk, &self.file, offset, len)
            .map_err(|error| LogError::io("cannot read", &self.name, error))?;
        if number > 0 && self.header.check_piece(self.cluster, number, &bytes).is_none() {
            let what = format!("the checksum of piece {number} of the snapshot does not match");
            return Err(LogError::corrupt(&self.name, offset, what));
        }
        Ok(Some(bytes))
    }

    /// Reads all of it and compares it with its checksums.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Io`].
    pub fn check(&self) -> Result<(), LogError> {
        let (mut number, mut check) = (1, 0);
        while let Some(piece) = self.piece(number)? {
            check = chain(check, &piece);
            number += 1;
        }
        if check == self.header.check {
            Ok(())
        } else {
            Err(LogError::corrupt(&self.name, 0, "the snapshot has other pieces than its header says"))
        }
    }

    /// The state as a stream, each piece checked before a byte of it is given.
    pub fn into_reader(self) -> SnapshotReader<D> {
        SnapshotReader { file: self, next: 1, rest: Bytes::new(), check: 0 }
    }
}

/// Reads the state of a snapshot from the first byte to the last. An error of kind `InvalidData` means damage.
pub struct SnapshotReader<D: Disk> {
    file: SnapshotFile<D>,
    next: u64,
    rest: Bytes,
    check: u32,
}

impl<D: Disk + Clone> std::io::Read for SnapshotReader<D> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            let damaged = |error: String| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            let piece = self.file.piece(self.next).map_err(|error| {
                if let LogError::Io { source, .. } = error { source } else { damaged(error.to_string()) }
            })?;
            let Some(piece) = piece else {
                if self.check != self.file.header.check {
                    return Err(damaged(format!("{} has other pieces than its header says", self.file.name)));
                }
                return Ok(0);
            };
            self.check = chain(self.check, &piece);
            self.rest = piece.slice(PIECE_HEAD_BYTES..);
            self.next += 1;
        }
        let len = buffer.len().min(self.rest.len());
        buffer[..len].copy_from_slice(&self.rest[..len]);
        self.rest.advance(len);
        Ok(len)
    }
}

impl Header {
    /// How many pieces the state has.
    pub(crate) fn pieces(&self) -> u64 {
        self.content_bytes.div_ceil(u64::from(self.piece_bytes))
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        u64::from(self.header_len) + self.pieces() * PIECE_HEAD_BYTES as u64 + self.content_bytes
    }

    pub(crate) fn name(&self) -> SnapshotName {
        SnapshotName { last: self.meta.last, bytes: self.file_bytes(), check: self.check }
    }

    /// Where a piece stands, and how long it is with its length and checksum.
    pub(crate) fn place(&self, number: u64) -> Option<(u64, usize)> {
        if number == 0 {
            return Some((0, self.header_len as usize));
        }
        let before = number - 1;
        if before >= self.pieces() {
            return None;
        }
        let piece_bytes = u64::from(self.piece_bytes);
        let offset = u64::from(self.header_len) + before * (PIECE_HEAD_BYTES as u64 + piece_bytes);
        let len = piece_bytes.min(self.content_bytes - before * piece_bytes);
        let len = usize::try_from(len).expect("a piece is at most a few MiB");
        Some((offset, PIECE_HEAD_BYTES + len))
    }

    /// The state in this piece, if the piece is what belongs there.
    pub(crate) fn check_piece(&self, cluster: ClusterId, number: u64, piece: &Bytes) -> Option<Bytes> {
        let (_, len) = self.place(number)?;
        if piece.len() != len || number == 0 {
            return None;
        }
        let mut head = &piece[..PIECE_HEAD_BYTES];
        let content = piece.slice(PIECE_HEAD_BYTES..);
        let says = (head.get_u32_le() as usize, head.get_u32_le());
        (says == (content.len(), piece_check(cluster, self.meta.last, number, &content))).then_some(content)
    }

    pub(crate) fn encode(&self, options: &SnapshotOptions) -> Bytes {
        let mut out = BytesMut::with_capacity(self.header_len as usize);
        out.put_slice(MAGIC);
        out.put_u32_le(FORMAT_VERSION);
        out.put_u32_le(options.group.0);
        out.put_slice(&options.cluster.0);
        out.put_u32_le(self.header_len);
        out.put_u32_le(self.piece_bytes);
        out.put_u64_le(self.content_bytes);
        out.put_u32_le(self.check);
        let meta_len =
            u32::try_from(self.meta.encoded_len()).expect("a membership has some thousand nodes at most");
        out.put_u32_le(meta_len);
        self.meta.encode(&mut out);
        assert!(out.len() + 4 <= self.header_len as usize, "the header has room for what it says");
        out.put_bytes(0, self.header_len as usize - 4 - out.len());
        let checksum = crc32c::crc32c(&out);
        out.put_u32_le(checksum);
        out.freeze()
    }

    /// Reads a header that arrived from a peer or was read from the file `name`.
    pub(crate) fn decode(name: &str, bytes: &Bytes, options: &SnapshotOptions) -> Result<Header, LogError> {
        let damage = |what: &str| LogError::corrupt(name, 0, what);
        if bytes.len() < HEADER_FIXED_BYTES + 4 || !bytes.starts_with(MAGIC) {
            return Err(damage("the file does not begin as a snapshot"));
        }
        let (checked, mut checksum) = bytes.split_at(bytes.len() - 4);
        let mut fields = bytes.slice(MAGIC.len()..);
        let found = fields.get_u32_le();
        if crc32c::crc32c(checked) != checksum.get_u32_le() {
            return Err(damage("the checksum of the snapshot's header does not match"));
        }
        if found > FORMAT_VERSION {
            return Err(LogError::NewerFormat { file: name.to_owned(), found, max: FORMAT_VERSION });
        }
        let group = GroupId(fields.get_u32_le());
        let mut cluster = ClusterId([0; 16]);
        fields.copy_to_slice(&mut cluster.0);
        if cluster != options.cluster {
            return Err(LogError::OtherCluster {
                file: name.to_owned(),
                found: cluster,
                wanted: options.cluster,
            });
        }
        let (header_len, piece_bytes) = (fields.get_u32_le(), fields.get_u32_le());
        let (content_bytes, check) = (fields.get_u64_le(), fields.get_u32_le());
        let meta_len = fields.get_u32_le() as usize;
        let sound = group == options.group
            && header_len as usize == bytes.len()
            && (1..=PIECE_BYTES_MAX).contains(&(piece_bytes as usize))
            && content_bytes <= CONTENT_BYTES_MAX
            && meta_len <= fields.len();
        if !sound {
            return Err(damage("the header of the snapshot contradicts itself or is another group's"));
        }
        let meta = SnapshotMeta::decode(&mut fields.split_to(meta_len))
            .map_err(|error| damage(&format!("what the snapshot covers: {error}")))?;
        Ok(Header { meta, header_len, piece_bytes, content_bytes, check })
    }

    fn read<D: Disk>(
        disk: &D,
        file: &D::File,
        name: &str,
        options: &SnapshotOptions,
    ) -> Result<Header, LogError> {
        let failed = |error| LogError::io("cannot read", name, error);
        let front = read_chunk(disk, file, 0, HEADER_FIXED_BYTES).map_err(failed)?;
        let len = front.get(32..36).map_or(0, |mut len| len.get_u32_le() as usize);
        if !(HEADER_FIXED_BYTES..=HEADER_BYTES_MAX).contains(&len) {
            return Err(LogError::corrupt(name, 0, "the file does not begin as a snapshot"));
        }
        Header::decode(name, &read_chunk(disk, file, 0, len).map_err(failed)?, options)
    }
}

/// The length of the header of a snapshot that covers this.
pub(crate) fn header_len(meta: &SnapshotMeta) -> u32 {
    let len = (HEADER_FIXED_BYTES + meta.encoded_len() + 4).next_multiple_of(512);
    assert!(len <= HEADER_BYTES_MAX, "a membership has some thousand nodes at most");
    u32::try_from(len).expect("the bound fits 32 bits")
}

/// The checksum of a piece of the state.
pub(crate) fn piece_check(cluster: ClusterId, last: EntryId, number: u64, content: &[u8]) -> u32 {
    let mut seed = cluster.0.to_vec();
    for word in [last.term.0, last.index.0, number] {
        seed.put_u64_le(word);
    }
    crc32c::crc32c_append(crc32c::crc32c(&seed), content)
}

/// The checksum over the checksums of all pieces up to this one.
pub(crate) fn chain(check: u32, piece: &[u8]) -> u32 {
    crc32c::crc32c_append(check, &piece[..PIECE_HEAD_BYTES])
}

/// The snapshots that there are, the newest last; of two that end with the same entry, the received one.
pub(crate) fn list<D: Disk>(disk: &D) -> Result<Vec<(EntryId, Origin)>, LogError> {
    let names = disk.list(SNAPSHOT_DIR).map_err(|error| LogError::io("cannot list", SNAPSHOT_DIR, error))?;
    let mut found: Vec<(EntryId, Origin)> = names.iter().filter_map(|name| parse_name(name)).collect();
    found.sort_by_key(|(last, origin)| (last.index, last.term, *origin));
    Ok(found)
}

/// The name of a snapshot's file.
pub(crate) fn file_name(last: EntryId, origin: Origin) -> String {
    let suffix = match origin {
        Origin::Taken => TAKEN,
        Origin::Received => RECEIVED,
    };
    format!("{SNAPSHOT_DIR}/{:016x}-{:016x}{suffix}", last.index.0, last.term.0)
}

pub(crate) fn parse_name(name: &str) -> Option<(EntryId, Origin)> {
    let (digits, origin) = match (name.strip_suffix(TAKEN), name.strip_suffix(RECEIVED)) {
        (Some(digits), _) => (digits, Origin::Taken),
        (None, Some(digits)) => (digits, Origin::Received),
        (None, None) => return None,
    };
    let (index, term) = digits.split_once('-')?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let id = EntryId::new(number(term)?, number(index)?);
    (file_name(id, origin).strip_prefix(SNAPSHOT_DIR)?.strip_prefix('/')? == name).then_some((id, origin))
}

/// The folder of the snapshots.
pub(crate) const SNAPSHOT_DIR: &str = "snapshot";
/// The longest piece in bytes: one frame on the wire carries it.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// What stands before the state in a piece, in bytes.
pub(crate) const PIECE_HEAD_BYTES: usize = 8;
/// No header is longer, in bytes: it names some thousand nodes at most.
pub(crate) const HEADER_BYTES_MAX: usize = 64 << 10;
/// No state is longer, in bytes: sums of lengths never wrap.
const CONTENT_BYTES_MAX: u64 = 1 << 60;
const HEADER_FIXED_BYTES: usize = 56;
const TAKEN: &str = ".taken";
const RECEIVED: &str = ".received";
const MAGIC: &[u8; 8] = b"QRTESNP\n";
