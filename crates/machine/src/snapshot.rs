//! The registry as a stream of bytes: every definition, every instance and its history.
//!
//! ```text
//! snapshot = "QREG" | version: u8 (1) | record* | end
//! record   = length: u32 LE | message (as in wire.rs)
//! kinds    = 1 definition: canonical JSON
//!            2 machine: name; the instances that follow are its
//!            3 instance: id, where it stands, its history
//!            4 end: how many definitions and instances there were
//! ```
//! The end record makes a torn snapshot known; the file that carries the stream has its own checksum.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use quorate_replica::state_machine::DecodeError;

use crate::command::Wish;
use crate::definition::{Definition, StateId};
use crate::instance::{Extra, Instance, Move, Refusal, Stamp};
use crate::names::is_id;
use crate::outcome::RejectionCode;
use crate::registry::{Limits, Machine, Registry};
use crate::wire::{Fields, Writer, fail, put_bytes, put_varint, take_text, take_varint};

const MAGIC: [u8; 5] = *b"QREG\x01";
const KIND_DEFINITION: u8 = 1;
const KIND_MACHINE: u8 = 2;
const KIND_INSTANCE: u8 = 3;
const KIND_END: u8 = 4;

/// What is written at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// The most bytes of one record. An instance with a full history stays far below it.
const RECORD_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Writes a registry.
pub(crate) fn write(registry: &Registry, out: &mut dyn Write) -> io::Result<()> {
    let out = &mut BufWriter::with_capacity(BUFFER_BYTES, out);
    out.write_all(&MAGIC)?;
    let mut buffer = Vec::new();
    let (mut definitions, mut instances) = (0, 0);
    for (name, machine) in &registry.machines {
        for definition in machine.versions.values() {
            record(out, &mut buffer, KIND_DEFINITION, |writer| {
                writer.text(1, definition.canonical_json());
            })?;
            definitions += 1;
        }
        record(out, &mut buffer, KIND_MACHINE, |writer| {
            writer.text(1, name);
        })?;
        for (id, instance) in machine.instances.iter() {
            record(out, &mut buffer, KIND_INSTANCE, |writer| put_instance(writer, id, instance))?;
            instances += 1;
        }
    }
    record(out, &mut buffer, KIND_END, |writer| {
        writer.number(1, definitions).number(2, instances);
    })?;
    out.flush()
}

fn record(
    out: &mut dyn Write,
    buffer: &mut Vec<u8>,
    kind: u8,
    fill: impl FnOnce(&mut Writer<'_>),
) -> io::Result<()> {
    buffer.clear();
    fill(&mut Writer::new(buffer, kind));
    let length = u32::try_from(buffer.len()).ok().filter(|length| *length <= RECORD_BYTES_MAX);
    let length =
        length.ok_or_else(|| io::Error::other("a snapshot record is larger than any instance can be"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(buffer)
}

/// Reads a registry and not one byte more. Everything is checked: a snapshot that does not hold together is refused, not
/// repaired.
pub(crate) fn read(source: &mut dyn Read, limits: Limits) -> io::Result<Registry> {
    let mut magic = [0; MAGIC.len()];
    source.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(damaged("this is no snapshot of declared machines that this version reads"));
    }
    let registry = Registry::with_limits(limits);
    let mut restoring = Restoring { registry, definitions: 0, machine: None };
    let mut buffer = Vec::new();
    loop {
        read_record(source, &mut buffer)?;
        if restoring.take(&buffer).map_err(|error| damaged(&error.what))? {
            return Ok(restoring.registry);
        }
    }
}

/// A registry that is being read back.
struct Restoring {
    registry: Registry,
    definitions: u64,
    /// The machine whose instances follow.
    machine: Option<Arc<str>>,
}

impl Restoring {
    /// Takes one record in; true when it was the last.
    fn take(&mut self, record: &[u8]) -> Result<bool, DecodeError> {
        let (kind, mut fields) = Fields::read(record)?;
        match kind {
            KIND_DEFINITION => {
                let definition = Definition::from_canonical_json(fields.text(1)?);
                self.registry.put(Arc::new(definition.map_err(|invalid| fail(invalid.detail))?));
                self.definitions += 1;
            }
            KIND_MACHINE => self.machine = Some(fields.text(1)?.into()),
            KIND_INSTANCE => self.take_instance(&mut fields)?,
            KIND_END => {
                let counted = (fields.number(1)?, fields.number(2)?);
                if counted != (self.definitions, self.registry.instances) {
                    return Err(fail("the snapshot does not hold what its end says"));
                }
            }
            other => return Err(fail(format!("record kind {other} is not known to this version"))),
        }
        fields.end()?;
        Ok(kind == KIND_END)
    }

    fn take_instance(&mut self, fields: &mut Fields<'_>) -> Result<(), DecodeError> {
        let machine = self.machine.as_deref().and_then(|name| self.registry.machines.get_mut(name));
        let machine = machine.ok_or_else(|| fail("an instance before its machine"))?;
        let id: Arc<str> = fields.text(1)?.into();
        let version = fields.number(2)?;
        let places = Places { machine };
        let instance = Instance {
            version,
            state: places.state(version, fields.number(3)?)?,
            revision: fields.number(4)?,
            created_ms: fields.number(5)?,
            refusals_forgotten: fields.number(6)?,
            moves: places.moves(fields.bytes(7)?)?,
            refusals: places.refusals(fields.bytes(8)?)?,
            bytes: 0,
        };
        let instance = instance.restore().ok_or_else(|| fail("an instance does not fit its history"))?;
        machine.count(version, instance.state, 1);
        if !is_id(&id) || machine.instances.insert(id, Arc::new(instance)).is_some() {
            return Err(fail("an instance's id is none, or stands twice"));
        }
        self.registry.instances += 1;
        Ok(())
    }
}

fn read_record(source: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > RECORD_BYTES_MAX {
        return Err(damaged("a record is longer than any can be"));
    }
    buffer.clear();
    // Grows with what is there, not with what the length promises.
    let read = source.take(u64::from(length)).read_to_end(buffer)?;
    if read as u64 == u64::from(length) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn put_instance(writer: &mut Writer<'_>, id: &str, instance: &Instance) {
    let mut moves = Vec::new();
    for record in &instance.moves {
        put_varint(&mut moves, u64::from(record.from.0));
        put_varint(&mut moves, u64::from(record.to.0));
        put_varint(&mut moves, record.event.map_or(0, |event| u64::from(event) + 1));
        put_varint(&mut moves, record.version);
        put_stamp(&mut moves, &record.stamp);
    }
    let mut refusals = Vec::new();
    for record in &instance.refusals {
        put_varint(&mut refusals, record.revision);
        put_varint(&mut refusals, u64::from(record.state.0));
        put_varint(&mut refusals, record.version);
        let (kind, name) = match &record.wish {
            Wish::Event(name) => (0, name),
            Wish::State(name) => (1, name),
        };
        refusals.extend([record.code.to_byte(), kind]);
        put_bytes(&mut refusals, name.as_bytes());
        put_stamp(&mut refusals, &record.stamp);
    }
    writer.text(1, id).number(2, instance.version).number(3, u64::from(instance.state.0));
    writer.number(4, instance.revision).number(5, instance.created_ms).number(6, instance.refusals_forgotten);
    writer.bytes(7, &moves).bytes(8, &refusals);
}

/// Checks places against the definitions that they are places in.
struct Places<'a> {
    machine: &'a Machine,
}

impl Places<'_> {
    fn definition(&self, version: u64) -> Result<&Definition, DecodeError> {
        self.machine
            .versions
            .get(&version)
            .map(AsRef::as_ref)
            .ok_or_else(|| fail("a version that is not there"))
    }

    fn state(&self, version: u64, place: u64) -> Result<StateId, DecodeError> {
        let states = self.definition(version)?.state_count();
        let state = u16::try_from(place).ok().filter(|place| usize::from(*place) < states);
        state.map(StateId).ok_or_else(|| fail("a state that is not there"))
    }

    fn event(&self, version: u64, place: u64) -> Result<Option<u16>, DecodeError> {
        let Some(place) = place.checked_sub(1) else { return Ok(None) };
        let events = self.definition(version)?.event_count();
        let event = u16::try_from(place).ok().filter(|place| usize::from(*place) < events);
        event.map(Some).ok_or_else(|| fail("an event that is not there"))
    }

    fn moves(&self, mut rest: &[u8]) -> Result<VecDeque<Move>, DecodeError> {
        let mut moves = VecDeque::new();
        while !rest.is_empty() {
            let (from, to) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
            let (event, version) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
            moves.push_back(Move {
                from: self.state(version, from)?,
                to: self.state(version, to)?,
                event: self.event(version, event)?,
                version,
                stamp: take_stamp(&mut rest)?,
            });
        }
        Ok(moves)
    }

    fn refusals(&self, mut rest: &[u8]) -> Result<VecDeque<Refusal>, DecodeError> {
        let mut refusals = VecDeque::new();
        while !rest.is_empty() {
            let (revision, state) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
            let version = take_varint(&mut rest)?;
            let [code, kind, after @ ..] = rest else { return Err(fail("a rejection ends early")) };
            rest = after;
            let name = take_text(&mut rest)?.to_owned();
            refusals.push_back(Refusal {
                revision,
                state: self.state(version, state)?,
                version,
                wish: match kind {
                    0 => Wish::Event(name),
                    1 => Wish::State(name),
                    _ => return Err(fail("a wish of an unknown kind")),
                },
                code: RejectionCode::from_byte(*code).ok_or_else(|| fail("an unknown rejection code"))?,
                stamp: take_stamp(&mut rest)?,
            });
        }
        Ok(refusals)
    }
}

fn put_stamp(out: &mut Vec<u8>, stamp: &Stamp) {
    put_varint(out, stamp.time_ms);
    put_varint(out, stamp.index);
    put_varint(out, stamp.term);
    let parts = stamp.extra.as_deref().map(|extra| [&extra.actor, &extra.request_id, &extra.data]);
    let parts = parts.unwrap_or([&None, &None, &None]);
    let present = parts.iter().enumerate().map(|(bit, part)| u8::from(part.is_some()) << bit);
    out.push(present.sum());
    for part in parts.into_iter().flatten() {
        put_bytes(out, part.as_bytes());
    }
}

fn take_stamp(rest: &mut &[u8]) -> Result<Stamp, DecodeError> {
    let (time_ms, index, term) = (take_varint(rest)?, take_varint(rest)?, take_varint(rest)?);
    let Some((present, after)) = rest.split_first() else { return Err(fail("a record ends early")) };
    *rest = after;
    if *present > 0b111 {
        return Err(fail("a record with parts that are not known to this version"));
    }
    let mut part = |bit: u8| -> Result<Option<String>, DecodeError> {
        let there = present & (1 << bit) != 0;
        if there { Ok(Some(take_text(rest)?.to_owned())) } else { Ok(None) }
    };
    let extra = Extra { actor: part(0)?, request_id: part(1)?, data: part(2)? };
    let extra = (*present != 0).then(|| Arc::new(extra));
    Ok(Stamp { time_ms, index, term, extra })
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
