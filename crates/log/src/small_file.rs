//! Small files that are replaced whole: written beside, synced, renamed, the name made durable. A crash leaves the old one or the
//! new one, never a part (a state file that is cut and then written bricks its node when the power fails in between).
//!
//! ```text
//!  0        8         12       16        20
//!  ├────────┼─────────┼────────┼─────────┼──────────┤
//!  │ magic  │ version │ length │ CRC-32C │ body     │
//!  └────────┴─────────┴────────┴─────────┴──────────┘
//! ```

use std::io;

use bytes::{Buf, BufMut};

use crate::disk::Disk;
use crate::error::LogError;
use crate::segment::{BESIDE, FORMAT_VERSION};

/// Reads the body of a small file; none if there is no such file.
pub(crate) fn read<D: Disk>(disk: &D, name: &str, magic: [u8; 8]) -> Result<Option<Vec<u8>>, LogError> {
    let failed = |error| LogError::io("cannot read", name, error);
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = disk.len(&file).map_err(failed)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= SMALL_FILE_BYTES_MAX);
    let Some(len) = len else { return Err(LogError::corrupt(name, 0, "the file is far too long")) };
    let bytes = crate::read::read_chunk(disk, &file, 0, len).map_err(failed)?;
    let mut fields = &bytes[..];
    if bytes.len() < HEAD_LEN || !bytes.starts_with(&magic) {
        return Err(LogError::corrupt(name, 0, "the file does not begin as it should"));
    }
    fields.advance(magic.len());
    let found = fields.get_u32_le();
    let body_len = fields.get_u32_le() as usize;
    let checksum = fields.get_u32_le();
    if found > FORMAT_VERSION {
        return Err(LogError::NewerFormat { file: name.to_owned(), found, max: FORMAT_VERSION });
    }
    if fields.len() != body_len || checksum_of(&bytes[..HEAD_LEN - 4], fields) != checksum {
        return Err(LogError::corrupt(name, 0, "the checksum of the file does not match"));
    }
    Ok(Some(fields.to_vec()))
}

/// Replaces a small file durably.
///
/// # Errors
/// [`LogError::Full`] if there is no space: then the old one stands. [`LogError::Io`].
pub(crate) fn replace<D: Disk>(disk: &D, name: &str, magic: [u8; 8], body: &[u8]) -> Result<(), LogError> {
    assert!(body.len() <= SMALL_FILE_BYTES_MAX - HEAD_LEN, "what is written can be read again");
    let failed = |error| LogError::io("cannot write", name, error);
    let mut bytes = Vec::with_capacity(HEAD_LEN + body.len());
    bytes.put_slice(&magic);
    bytes.put_u32_le(FORMAT_VERSION);
    bytes.put_u32_le(u32::try_from(body.len()).expect("a small file is small"));
    bytes.put_u32_le(checksum_of(&bytes, body));
    bytes.put_slice(body);

    let beside = format!("{name}{BESIDE}");
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let written = disk.create(&beside).and_then(|file| {
        disk.write_at(&file, &bytes, 0)?;
        disk.sync(&file)
    });
    if let Err(error) = written {
        // It was worth nothing yet; if even this fails, the next attempt removes it.
        let _ = disk.remove(&beside);
        return Err(LogError::of_growing("cannot write", name, error));
    }
    disk.rename(&beside, name).map_err(failed)?;
    disk.sync_dir(name.rsplit_once('/').map_or("", |(folder, _)| folder)).map_err(failed)
}

fn checksum_of(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

const HEAD_LEN: usize = 20;
/// No small file is longer, in bytes.
const SMALL_FILE_BYTES_MAX: usize = 1 << 20;
