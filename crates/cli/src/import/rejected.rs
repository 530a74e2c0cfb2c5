//! The file of rejected rows: each with its place, its cells and the reason, in the order of the imported file.

use std::fs::File;
use std::path::{Path, PathBuf};

use quorate_api::meaning::Exit;

use crate::failure::{Failure, warn};

/// Refuses to write the rejected rows over the imported file, under whatever name: that would destroy what is to be read.
pub(crate) fn refuse_same_file(import: &Path, chosen: Option<&Path>) -> Result<(), Failure> {
    let mut beside = import.as_os_str().to_owned();
    beside.push(".rejected.csv");
    let rejected = chosen.unwrap_or(Path::new(&beside));
    if !is_same_file(import, rejected) {
        return Ok(());
    }
    let what = format!("{} is the imported file itself: rejected rows would replace it", rejected.display());
    Err(Failure::usage(what).hint("name another file with --rejected"))
}

/// Whether both names lead to one file, through symbolic and hard links. A name that leads nowhere leads to no file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        identity(one).is_some_and(|found| identity(other) == Some(found))
    }
    #[cfg(not(unix))]
    {
        one.canonicalize().is_ok_and(|found| other.canonicalize().is_ok_and(|path| path == found))
    }
}

/// A rejected row.
#[derive(Debug)]
pub(crate) struct RejectedRow {
    pub(crate) number: u64,
    pub(crate) line: u64,
    pub(crate) cells: Vec<String>,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

/// The file; made when the first row is rejected, or at once when the user chose its name.
#[derive(Debug)]
pub(crate) struct RejectedFile {
    path: PathBuf,
    columns: Vec<String>,
    writer: Option<csv::Writer<File>>,
    /// Whether another place may be taken when this one cannot be written.
    is_default: bool,
}

impl RejectedFile {
    /// Beside the imported file, or where the user says.
    pub(crate) fn new(
        import: &Path,
        chosen: Option<PathBuf>,
        columns: &[String],
    ) -> Result<RejectedFile, Failure> {
        let columns = columns.to_vec();
        if let Some(path) = chosen {
            let mut file = RejectedFile { path, columns, writer: None, is_default: false };
            file.open()?;
            return Ok(file);
        }
        let mut name = import.as_os_str().to_owned();
        name.push(".rejected.csv");
        Ok(RejectedFile { path: PathBuf::from(name), columns, writer: None, is_default: true })
    }

    pub(crate) fn write(&mut self, row: &RejectedRow) -> Result<(), Failure> {
        self.open()?;
        let number = row.number.to_string();
        let line = row.line.to_string();
        let place = [number.as_str(), line.as_str()];
        let cells = row.cells.iter().map(String::as_str);
        self.record(place.into_iter().chain(cells).chain([row.code, row.detail.as_str()]))
    }

    /// Everything is on its way to the disk. Returns where, if there is a file.
    pub(crate) fn finish(mut self) -> Result<Option<PathBuf>, Failure> {
        let Some(writer) = &mut self.writer else { return Ok(None) };
        writer.flush().map_err(|error| Failure::file(&self.path, "write", &error))?;
        Ok(Some(self.path))
    }

    fn open(&mut self) -> Result<(), Failure> {
        if self.writer.is_some() {
            return Ok(());
        }
        let file = match File::create(&self.path) {
            Ok(file) => file,
            Err(error) if self.is_default => {
                let beside = self.path.clone();
                self.path = PathBuf::from(beside.file_name().unwrap_or(beside.as_os_str()));
                warn(&format!(
                    "cannot write {} ({error}); rejected rows go to {}",
                    beside.display(),
                    self.path.display()
                ));
                File::create(&self.path).map_err(|error| Failure::file(&self.path, "write", &error))?
            }
            Err(error) => return Err(Failure::file(&self.path, "write", &error)),
        };
        self.writer = Some(csv::Writer::from_writer(file));
        let columns = std::mem::take(&mut self.columns);
        let head = ["row", "line"].into_iter().chain(columns.iter().map(String::as_str));
        self.record(head.chain(["rejected_code", "rejected_detail"]))
    }

    fn record<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_record(cells).map_err(|error| {
            Failure::new(Exit::Error, format!("cannot write {}: {error}", self.path.display()))
        })
    }
}
