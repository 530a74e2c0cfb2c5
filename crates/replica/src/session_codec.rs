//! The tables of sessions and keys as bytes, for snapshots. Numbers are u64 in little-endian order, lengths come before
//! what they measure, and each is checked against the limits before memory is taken for it.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::command_codec::KEY_BYTES_MAX;
use crate::session::{Answer, Kept, SessionLimits, Sessions};
use crate::shared_map::SharedMap;

/// Writes the tables: uses, sessions, the ids of forgotten ones, keys.
pub(crate) fn write(tables: &Sessions, out: &mut dyn Write) -> io::Result<()> {
    write_number(out, tables.uses)?;
    write_number(out, tables.sessions.len() as u64)?;
    for (id, session) in &tables.sessions {
        out.write_all(&id.to_le_bytes())?;
        write_number(out, session.used)?;
        write_number(out, session.floor)?;
        write_number(out, session.answers.len() as u64)?;
        for (sequence, answer) in session.answers.iter() {
            write_number(out, *sequence)?;
            write_answer(out, answer)?;
        }
    }
    write_number(out, tables.forgotten.len() as u64)?;
    for id in tables.forgotten.iter() {
        out.write_all(&id.to_le_bytes())?;
    }
    write_number(out, tables.keys_by_age.len() as u64)?;
    for (timestamp_ms, key) in tables.keys_by_age.iter() {
        write_number(out, *timestamp_ms)?;
        write_bytes(out, key)?;
        write_answer(out, tables.keys.get(key).expect("each key in the order of age is in the table"))?;
    }
    Ok(())
}

/// Reads what [`write`] wrote.
pub(crate) fn read(limits: SessionLimits, source: &mut dyn Read) -> io::Result<Sessions> {
    let mut tables = Sessions::new(limits);
    let limits = tables.limits.clone();
    tables.uses = read_number(source)?;
    for _ in 0..read_len(source, limits.sessions_len_max)? {
        let mut id = [0; 16];
        source.read_exact(&mut id)?;
        let used = read_number(source)?;
        let floor = read_number(source)?;
        let len = read_len(source, limits.session_replies_len_max)?;
        // A map that is made of all at once is made faster.
        let mut listed = Vec::with_capacity(len.min(LISTED_AT_ONCE));
        for _ in 0..len {
            listed.push((read_number(source)?, read_answer(source)?));
        }
        let answers: SharedMap<u64, Answer> = listed.into_iter().collect();
        let whole = answers.len() == len;
        if !whole || !tables.restore_session(u128::from_le_bytes(id), used, floor, answers) {
            return Err(invalid("a session that contradicts itself"));
        }
    }
    for _ in 0..read_len(source, limits.forgotten_len_max)? {
        let mut id = [0; 16];
        source.read_exact(&mut id)?;
        if !tables.restore_forgotten(u128::from_le_bytes(id)) {
            return Err(invalid("a forgotten session that is open, or stands twice"));
        }
    }
    for _ in 0..read_len(source, limits.keys_len_max)? {
        let timestamp_ms = read_number(source)?;
        let key = read_bytes(source, KEY_BYTES_MAX)?;
        if !tables.restore_key(timestamp_ms, key, read_answer(source)?) {
            return Err(invalid("a key that stands twice"));
        }
    }
    Ok(tables)
}

fn write_answer(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    write_number(out, answer.command_hash)?;
    match &answer.kept {
        Kept::Reply(reply) => {
            out.write_all(&[0])?;
            write_bytes(out, reply)
        }
        Kept::Malformed => out.write_all(&[1]),
    }
}

fn read_answer(source: &mut dyn Read) -> io::Result<Answer> {
    let command_hash = read_number(source)?;
    let mut kind = [0];
    source.read_exact(&mut kind)?;
    let kept = match kind[0] {
        0 => Kept::Reply(read_bytes(source, REPLY_BYTES_MAX)?),
        1 => Kept::Malformed,
        _ => return Err(invalid("an answer of an unknown kind")),
    };
    Ok(Answer { command_hash, kept })
}

/// Writes one number.
pub(crate) fn write_number(out: &mut dyn Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

/// Reads one number.
pub(crate) fn read_number(source: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    source.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn write_bytes(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    write_number(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

/// Reads as many bytes as the source says and has: memory grows with what arrives, not with what was promised.
fn read_bytes(source: &mut dyn Read, bytes_max: usize) -> io::Result<Bytes> {
    let len = read_len(source, bytes_max)?;
    // Nearly all are short: these are read at once.
    let mut bytes = vec![0; len.min(READ_AT_ONCE_BYTES)];
    source.read_exact(&mut bytes)?;
    let rest = (len - bytes.len()) as u64;
    if rest > 0 {
        source.take(rest).read_to_end(&mut bytes)?;
    }
    if bytes.len() < len {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tables end too early"));
    }
    Ok(Bytes::from(bytes))
}

fn read_len(source: &mut dyn Read, len_max: usize) -> io::Result<usize> {
    match usize::try_from(read_number(source)?) {
        Ok(len) if len <= len_max => Ok(len),
        _ => Err(invalid("a length above its limit")),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// How much memory is taken before the bytes for it have arrived, in bytes.
const READ_AT_ONCE_BYTES: usize = 4 << 10;
/// No reply is longer, in bytes: a frame would not carry it to the node that asked.
const REPLY_BYTES_MAX: usize = 1 << 30;
/// For how many answers memory is taken before any has arrived.
const LISTED_AT_ONCE: usize = 64;
