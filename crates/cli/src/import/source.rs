//! Reads the rows of a file, CSV or JSON lines, one at a time and each within a bound: a file of any size takes the memory of one
//! row. What is wrong with a row is told with its line.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quorate_api::meaning::Exit;
use quorate_api::strict::check_json;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::import::row::{Parts, Row};

/// The most bytes of one row. An unclosed quote would otherwise take the rest of the file for one cell.
pub(crate) const ROW_BYTES_MAX: u64 = 1024 * 1024;
/// How much is read from the file at once, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// A file to import.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    modified: Option<SystemTime>,
    is_jsonl: bool,
}

/// The rows of one pass over the file.
#[derive(Debug)]
pub(crate) struct Rows {
    path: PathBuf,
    reader: Reader,
    /// What the header says, in the file's order.
    pub(crate) columns: Vec<String>,
    next_number: u64,
}

#[derive(Debug)]
enum Reader {
    Csv(csv::Reader<Metered>),
    Jsonl { reader: BufReader<Metered>, line: u64 },
}

/// A file that counts what is read of it, hashes it, and ends the reading of a row that has no end.
#[derive(Debug)]
struct Metered {
    file: File,
    hash: Sha256,
    bytes: u64,
    last_byte: u8,
    /// Bytes since the last row was complete.
    since_row: Cell<u64>,
}

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    id: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    data: Map<String, Value>,
}

impl Source {
    /// Looks at the file; reads nothing of it yet.
    pub(crate) fn open(path: &Path) -> Result<Source, Failure> {
        let metadata = std::fs::metadata(path).map_err(|error| Failure::file(path, "read", &error))?;
        if !metadata.is_file() {
            let what = format!("{} is not a regular file: an import reads it twice", path.display());
            return Err(Failure::usage(what).hint("save the rows to a file first"));
        }
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let is_jsonl = match ending.as_deref() {
            Some("csv") => false,
            Some("jsonl" | "ndjson") => true,
            Some(_) | None => {
                let what = format!("{}: the format of an import is told by its name", path.display());
                return Err(Failure::usage(what).hint("name it .csv or .jsonl"));
            }
        };
        let modified = metadata.modified().ok();
        Ok(Source { path: path.to_owned(), bytes: metadata.len(), modified, is_jsonl })
    }

    /// Starts a pass over the rows.
    pub(crate) fn rows(&self) -> Result<Rows, Failure> {
        let file = File::open(&self.path).map_err(|error| Failure::file(&self.path, "read", &error))?;
        let metered = Metered { file, hash: Sha256::new(), bytes: 0, last_byte: 0, since_row: Cell::new(0) };
        let path = self.path.clone();
        if self.is_jsonl {
            let reader = Reader::Jsonl { reader: BufReader::with_capacity(BUFFER_BYTES, metered), line: 0 };
            let columns = ["id", "event", "to", "data"].map(str::to_owned).to_vec();
            return Ok(Rows { path, reader, columns, next_number: 1 });
        }
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // Only the line feed ends a row, so that lines are counted right in CRLF files too; the CR before it is taken off below.
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(metered);
        let columns = header(&path, &mut csv)?;
        Ok(Rows { path, reader: Reader::Csv(csv), columns, next_number: 1 })
    }

    /// Whether the file is still the one that was looked at.
    pub(crate) fn is_unchanged(&self) -> bool {
        let metadata = std::fs::metadata(&self.path);
        metadata.is_ok_and(|now| now.len() == self.bytes && now.modified().ok() == self.modified)
    }
}

impl Rows {
    /// The next row, or None at the end.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row>, Failure> {
        let read = match &mut self.reader {
            Reader::Csv(csv) => next_csv(&self.path, csv, &self.columns)?,
            Reader::Jsonl { reader, line } => next_jsonl(&self.path, reader, line)?,
        };
        let Some((line, parts, cells)) = read else { return Ok(None) };
        let (id, propose) = parts.check().map_err(|why| wrong(&self.path, line, &why))?;
        let number = self.next_number;
        self.next_number += 1;
        Ok(Some(Row { number, line, id, propose, cells }))
    }

    /// How much of the file has been read, in bytes.
    pub(crate) fn bytes_read(&self) -> u64 {
        match &self.reader {
            Reader::Csv(csv) => csv.get_ref().bytes,
            Reader::Jsonl { reader, .. } => reader.get_ref().bytes,
        }
    }

    /// The SHA-256 of all that was read, to be continued. The whole file's once `next_row` has returned None.
    pub(crate) fn into_hash(self) -> Sha256 {
        match self.reader {
            Reader::Csv(csv) => csv.into_inner().hash,
            Reader::Jsonl { reader, .. } => reader.into_inner().hash,
        }
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > ROW_BYTES_MAX {
            let why = format!("one row is longer than {ROW_BYTES_MAX} bytes: is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        self.last_byte = buffer[..count].last().copied().unwrap_or(self.last_byte);
        self.since_row.set(self.since_row.get() + count as u64);
        Ok(count)
    }
}

/// What a reader found: the line, the parts, and the cells as they stand there.
type Found = Option<(u64, Parts, Vec<String>)>;

fn header(path: &Path, csv: &mut csv::Reader<Metered>) -> Result<Vec<String>, Failure> {
    let Some((_, columns)) = cells(path, csv, &[])? else {
        let what = format!("{} is empty: the first line names the columns", path.display());
        return Err(Failure::new(Exit::Error, what));
    };
    let found = columns.join(", ");
    let has = |name: &str| columns.iter().any(|column| column == name);
    let bad = |why: String| Err(wrong(path, 1, &why));
    if !has("id") {
        return bad(format!("there is no column `id`; the columns are: {found}"));
    }
    if !has("event") && !has("to") {
        return bad(format!("there is no column `event` and none `to`; the columns are: {found}"));
    }
    for (position, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return bad(format!("column {} has no name", position + 1));
        }
        if columns[..position].contains(column) {
            return bad(format!("the column `{column}` stands there twice"));
        }
    }
    Ok(columns)
}

fn next_csv(path: &Path, csv: &mut csv::Reader<Metered>, columns: &[String]) -> Result<Found, Failure> {
    let Some((line, cells)) = cells(path, csv, columns)? else { return Ok(None) };
    if cells.len() != columns.len() {
        let why = format!("the row has {} columns, the header has {}", cells.len(), columns.len());
        return Err(wrong(path, line, &why));
    }
    let mut parts = Parts::default();
    for (column, cell) in columns.iter().zip(&cells) {
        match column.as_str() {
            "id" => parts.id.clone_from(cell),
            "event" => parts.event.clone_from(cell),
            "to" => parts.to.clone_from(cell),
            _ => {
                parts.data.insert(column.clone(), Value::String(cell.clone()));
            }
        }
    }
    Ok(Some((line, parts, cells)))
}

/// One record as text, with the line where it starts. Blank lines are passed over.
fn cells(
    path: &Path,
    csv: &mut csv::Reader<Metered>,
    columns: &[String],
) -> Result<Option<(u64, Vec<String>)>, Failure> {
    let mut record = csv::ByteRecord::new();
    loop {
        let before = csv.position().line();
        let more = csv.read_byte_record(&mut record).map_err(|error| read_failure(path, before, error))?;
        csv.get_ref().since_row.set(0);
        if !more {
            return Ok(None);
        }
        if record.len() > 1 || record.get(0) != Some(b"\r") {
            break;
        }
    }
    let line = first_line(csv, &record);
    let last = record.len().saturating_sub(1);
    let mut texts = Vec::with_capacity(record.len());
    for (position, bytes) in record.iter().enumerate() {
        let bytes = if position == last { bytes.strip_suffix(b"\r").unwrap_or(bytes) } else { bytes };
        let text = std::str::from_utf8(bytes).map_err(|_| {
            let name =
                columns.get(position).map_or_else(|| (position + 1).to_string(), |name| format!("`{name}`"));
            wrong(path, line, &format!("column {name} is not UTF-8"))
        })?;
        texts.push(text.to_owned());
    }
    Ok(Some((line, texts)))
}

/// The line where a record starts that was just read: the line after it, less its own. The reader's own word for it is the line
/// before blank ones.
fn first_line(csv: &csv::Reader<Metered>, record: &csv::ByteRecord) -> u64 {
    let inner = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
    let file = csv.get_ref();
    // The last line of a file need not end.
    let ended = csv.position().byte() < file.bytes || file.last_byte == b'\n';
    csv.position().line().saturating_sub(inner + u64::from(ended))
}

fn read_failure(path: &Path, line: u64, error: csv::Error) -> Failure {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
            Failure::file(path, "read", &error)
        }
        csv::ErrorKind::Io(error) => wrong(path, line, &error.to_string()),
        csv::ErrorKind::Utf8 { .. }
        | csv::ErrorKind::UnequalLengths { .. }
        | csv::ErrorKind::Seek
        | csv::ErrorKind::Serialize(_)
        | csv::ErrorKind::Deserialize { .. }
        | _ => wrong(path, line, &text),
    }
}

fn next_jsonl(path: &Path, reader: &mut BufReader<Metered>, line: &mut u64) -> Result<Found, Failure> {
    loop {
        let mut bytes = Vec::new();
        let mut bounded = reader.by_ref().take(ROW_BYTES_MAX + 1);
        bounded.read_until(b'\n', &mut bytes).map_err(|error| Failure::file(path, "read", &error))?;
        reader.get_ref().since_row.set(0);
        if bytes.is_empty() {
            return Ok(None);
        }
        *line += 1;
        if bytes.len() as u64 > ROW_BYTES_MAX {
            return Err(wrong(path, *line, &format!("the line is longer than {ROW_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(path, *line, "the line is not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').filter(|_| *line == 1).unwrap_or(text).trim();
        if text.is_empty() {
            continue;
        }
        let row =
            serde_json::from_str::<JsonRow>(text).map_err(|error| wrong(path, *line, &words(&error)))?;
        check_json(text).map_err(|fault| wrong(path, *line, &fault.to_string()))?;
        let data =
            if row.data.is_empty() { String::new() } else { Value::Object(row.data.clone()).to_string() };
        let cells = vec![row.id.clone(), row.event.clone(), row.to.clone(), data];
        let parts = Parts { id: row.id, event: row.event, to: row.to, data: row.data };
        return Ok(Some((*line, parts, cells)));
    }
}

/// What is wrong with a line of JSON; the parser's own line number is always 1 and would confuse.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("{text} (column {})", error.column())
}

fn wrong(path: &Path, line: u64, why: &str) -> Failure {
    Failure::new(Exit::Error, format!("{}: line {line}: {why}", path.display()))
}
