//! The binary form of commands, replies and snapshot records: numbered fields with their lengths.
//!
//! ```text
//! message = version: u8 (1) | kind: u8 | field*
//! field   = number: u8 | length: varint | bytes
//! ```
//! A reader refuses a field below 64 that it does not know, and skips one from 64 on: a later version chooses by the number
//! whether an older one may pass over what it adds. A field stands at most once. Varints are LEB128, at most ten bytes.

use quorate_replica::state_machine::DecodeError;

/// The version of the binary form.
pub(crate) const VERSION: u8 = 1;

/// Writes one message.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, kind: u8) -> Writer<'a> {
        out.push(VERSION);
        out.push(kind);
        Writer { out }
    }

    pub(crate) fn bytes(&mut self, number: u8, bytes: &[u8]) -> &mut Self {
        self.out.push(number);
        put_bytes(self.out, bytes);
        self
    }

    pub(crate) fn text(&mut self, number: u8, text: &str) -> &mut Self {
        self.bytes(number, text.as_bytes())
    }

    pub(crate) fn number(&mut self, number: u8, value: u64) -> &mut Self {
        self.out.push(number);
        self.out.push(u8::try_from(varint_len(value)).expect("a varint has at most ten bytes"));
        put_varint(self.out, value);
        self
    }
}

/// The fields of one message.
pub(crate) struct Fields<'a> {
    fields: [Option<&'a [u8]>; FIELDS],
}

/// Numbers that this version can look up.
const FIELDS: usize = 16;
/// From here on a field may be skipped.
const SKIPPABLE: u8 = 64;

impl<'a> Fields<'a> {
    /// Takes a message apart: its kind and its fields.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(u8, Fields<'a>), DecodeError> {
        let [version, kind, rest @ ..] = bytes else {
            return Err(fail("the message ends before its kind"));
        };
        if *version != VERSION {
            return Err(fail(format!("form {version} of commands is not known to this version")));
        }
        let mut rest = rest;
        let mut fields = [None; FIELDS];
        while let Some((number, after)) = rest.split_first() {
            rest = after;
            let content = take_bytes(&mut rest)?;
            match fields.get_mut(usize::from(*number)) {
                Some(slot @ None) => *slot = Some(content),
                Some(Some(_)) => return Err(fail(format!("field {number} stands twice"))),
                None if *number >= SKIPPABLE => {}
                None => return Err(fail(format!("field {number} is not known to this version"))),
            }
        }
        Ok((*kind, Fields { fields }))
    }

    /// Takes a field that must be there.
    pub(crate) fn bytes(&mut self, number: u8) -> Result<&'a [u8], DecodeError> {
        self.optional(number).ok_or_else(|| fail(format!("field {number} is missing")))
    }

    pub(crate) fn text(&mut self, number: u8) -> Result<&'a str, DecodeError> {
        as_text(self.bytes(number)?)
    }

    pub(crate) fn string(&mut self, number: u8) -> Result<String, DecodeError> {
        Ok(self.text(number)?.to_owned())
    }

    pub(crate) fn number(&mut self, number: u8) -> Result<u64, DecodeError> {
        as_number(self.bytes(number)?)
    }

    /// Takes a field that may be absent.
    pub(crate) fn optional(&mut self, number: u8) -> Option<&'a [u8]> {
        self.fields.get_mut(usize::from(number)).and_then(Option::take)
    }

    pub(crate) fn optional_string(&mut self, number: u8) -> Result<Option<String>, DecodeError> {
        self.optional(number).map(|bytes| Ok(as_text(bytes)?.to_owned())).transpose()
    }

    pub(crate) fn optional_number(&mut self, number: u8) -> Result<Option<u64>, DecodeError> {
        self.optional(number).map(as_number).transpose()
    }

    /// Refuses what nobody took: a field that must be understood and is not.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.fields.iter().position(Option::is_some) {
            None => Ok(()),
            Some(number) => Err(fail(format!("field {number} does not belong here"))),
        }
    }
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes a length and as many bytes.
pub(crate) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = take_varint(rest)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
    let Some(length) = length else {
        return Err(fail("a field is longer than the message"));
    };
    let (content, after) = rest.split_at(length);
    *rest = after;
    Ok(content)
}

pub(crate) fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    as_text(take_bytes(rest)?)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some((byte, after)) = rest.split_first() else {
            return Err(fail("the message ends inside a number"));
        };
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(fail("a number does not fit 64 bits"))
}

pub(crate) fn fail(what: impl Into<String>) -> DecodeError {
    DecodeError { what: what.into() }
}

fn varint_len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

fn as_number(mut bytes: &[u8]) -> Result<u64, DecodeError> {
    let value = take_varint(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(fail("a number does not fill its field")) }
}

fn as_text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| fail("a text is not UTF-8"))
}
