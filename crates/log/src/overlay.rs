//! A disk whose changes stay in memory: a folder is opened as a start would open it, repairs included, and nothing of it changes. For
//! a look at data that must not be touched, and to read a log whose end a crash has torn.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use crate::disk::Disk;

/// A disk over another one. Reads see the other one with all changes made here; the other one sees none of them. Only the lock is
/// taken there, so that nobody else changes what is looked at. Cheap to clone: clones are the same disk.
///
/// Memory is taken for what is written, in pages of 4 KiB: a start writes no more than what it repairs at the end of the log.
pub struct Overlay<D: Disk> {
    below: D,
    layer: Rc<RefCell<Layer<D::File>>>,
}

/// What was changed.
struct Layer<F> {
    /// The files that were opened, made, renamed or removed here, by their names; none for a name that is gone.
    files: BTreeMap<String, Option<Rc<Sheet<F>>>>,
    /// The folders that were made.
    folders: BTreeSet<String>,
}

/// One file.
struct Sheet<F> {
    /// The file below; none if it was made here.
    below: Option<F>,
    /// How much of the file below still counts: cutting the file and making it longer again leaves zeros.
    below_len: Cell<u64>,
    len: Cell<u64>,
    /// The pages that were written, by their numbers.
    pages: RefCell<BTreeMap<u64, Box<[u8; PAGE_BYTES]>>>,
}

/// An open file of an [`Overlay`].
pub struct OverlayFile<F>(Opened<F>);

enum Opened<F> {
    Sheet(Rc<Sheet<F>>),
    /// Held, never read: the lock goes when the file is closed.
    Lock(F),
}

impl<D: Disk + Clone> Clone for Overlay<D> {
    fn clone(&self) -> Overlay<D> {
        Overlay { below: self.below.clone(), layer: Rc::clone(&self.layer) }
    }
}

impl<D: Disk> Overlay<D> {
    /// A disk over this one, without any change yet.
    pub fn new(below: D) -> Overlay<D> {
        let layer = Layer { files: BTreeMap::new(), folders: BTreeSet::new() };
        Overlay { below, layer: Rc::new(RefCell::new(layer)) }
    }

    /// The file with this name, opened before or now.
    fn sheet(&self, name: &str) -> io::Result<Rc<Sheet<D::File>>> {
        if let Some(known) = self.layer.borrow().files.get(name) {
            return known.clone().ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        let file = self.below.open(name)?;
        let len = self.below.len(&file)?;
        let sheet = Rc::new(Sheet::over(Some(file), len));
        self.layer.borrow_mut().files.insert(name.to_owned(), Some(Rc::clone(&sheet)));
        Ok(sheet)
    }

    fn of(file: &OverlayFile<D::File>) -> io::Result<&Sheet<D::File>> {
        match &file.0 {
            Opened::Sheet(sheet) => Ok(sheet),
            Opened::Lock(_) => Err(io::Error::other("a lock holds no bytes")),
        }
    }

    fn page(&self, sheet: &Sheet<D::File>, number: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        if let Some(page) = sheet.pages.borrow().get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        let from = number * PAGE_BYTES as u64;
        let counts = sheet.below_len.get().saturating_sub(from).min(PAGE_BYTES as u64);
        let counts = usize::try_from(counts).expect("a page is small");
        let mut done = 0;
        while let (Some(below), true) = (&sheet.below, done < counts) {
            match self.below.read_at(below, &mut page[done..counts], from + done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(page)
    }
}

impl<F> Sheet<F> {
    fn over(below: Option<F>, len: u64) -> Sheet<F> {
        Sheet { below, below_len: Cell::new(len), len: Cell::new(len), pages: RefCell::default() }
    }
}

impl<D: Disk> Disk for Overlay<D> {
    type File = OverlayFile<D::File>;

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.layer.borrow_mut().folders.insert(name.to_owned());
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        Ok(OverlayFile(Opened::Sheet(self.sheet(name)?)))
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        match self.sheet(name) {
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let sheet = Rc::new(Sheet::over(None, 0));
        self.layer.borrow_mut().files.insert(name.to_owned(), Some(Rc::clone(&sheet)));
        Ok(OverlayFile(Opened::Sheet(sheet)))
    }

    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let sheet = Self::of(file)?;
        let left = sheet.len.get().saturating_sub(offset);
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let through = (offset + len as u64).div_ceil(PAGE_BYTES as u64);
        let untouched = sheet.pages.borrow().range(offset / PAGE_BYTES as u64..through).next().is_none();
        if let (Some(below), true, true) =
            (&sheet.below, untouched, offset + len as u64 <= sheet.below_len.get())
        {
            return self.below.read_at(below, &mut buffer[..len], offset);
        }
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let page = self.page(sheet, at / PAGE_BYTES as u64)?;
            let within = usize::try_from(at % PAGE_BYTES as u64).expect("a page is small");
            let step = (len - done).min(PAGE_BYTES - within);
            buffer[done..done + step].copy_from_slice(&page[within..within + step]);
            done += step;
        }
        Ok(len)
    }

    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let sheet = Self::of(file)?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let number = at / PAGE_BYTES as u64;
            let mut page = self.page(sheet, number)?;
            let within = usize::try_from(at % PAGE_BYTES as u64).expect("a page is small");
            let step = (bytes.len() - done).min(PAGE_BYTES - within);
            page[within..within + step].copy_from_slice(&bytes[done..done + step]);
            sheet.pages.borrow_mut().insert(number, page);
            done += step;
        }
        sheet.len.set(sheet.len.get().max(offset + bytes.len() as u64));
        Ok(())
    }

    fn allocate(&self, file: &Self::File, len: u64) -> io::Result<()> {
        let sheet = Self::of(file)?;
        sheet.len.set(sheet.len.get().max(len));
        Ok(())
    }

    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()> {
        let sheet = Self::of(file)?;
        if len < sheet.len.get() {
            let number = len / PAGE_BYTES as u64;
            let mut page = self.page(sheet, number)?;
            page[usize::try_from(len % PAGE_BYTES as u64).expect("a page is small")..].fill(0);
            let mut pages = sheet.pages.borrow_mut();
            pages.split_off(&number);
            pages.insert(number, page);
            sheet.below_len.set(sheet.below_len.get().min(len));
        }
        sheet.len.set(len);
        Ok(())
    }

    fn len(&self, file: &Self::File) -> io::Result<u64> {
        Ok(Self::of(file)?.len.get())
    }

    fn sync(&self, _file: &Self::File) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let sheet = self.sheet(from)?;
        let mut layer = self.layer.borrow_mut();
        layer.files.insert(to.to_owned(), Some(sheet));
        layer.files.insert(from.to_owned(), None);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.sheet(name)?;
        self.layer.borrow_mut().files.insert(name.to_owned(), None);
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let layer = self.layer.borrow();
        let below = match self.below.list(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && layer.folders.contains(name) => {
                Vec::new()
            }
            below => below?,
        };
        let mut names: BTreeSet<String> = below.into_iter().collect();
        let prefix = if name.is_empty() { String::new() } else { format!("{name}/") };
        for (file, sheet) in &layer.files {
            match (file.strip_prefix(&prefix), sheet) {
                (Some(here), Some(_)) if !here.contains('/') => drop(names.insert(here.to_owned())),
                (Some(here), None) => drop(names.remove(here)),
                (Some(_) | None, Some(_)) | (None, None) => {}
            }
        }
        Ok(names.into_iter().collect())
    }

    fn lock(&self, name: &str) -> io::Result<Self::File> {
        Ok(OverlayFile(Opened::Lock(self.below.lock(name)?)))
    }
}

/// What is copied of a file when a byte of it is written.
const PAGE_BYTES: usize = 4096;
