//! Zip archives: the container of `.keras` and `.npz` files.
//!
//! An archive is refused when it would unpack to more than [`limits::UNPACKED_BYTES`] and more than 100 times its
//! own size, when a name could escape a folder, or when a name appears twice.

use crate::files::{self, ReadSeek, WriteSeek};
use rhyton_tensor::{Error, Result, limits, memory};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Unpacked bytes for each byte of the file beyond [`limits::UNPACKED_BYTES`]: the ratio of Keras' own loader.
const RATIO: u64 = 100;

/// A zip archive open for reading.
pub struct Archive {
    zip: ZipArchive<BufReader<Box<dyn ReadSeek>>>,
    names: Vec<String>,
    known: HashSet<String>,
    place: String,
}

impl Archive {
    /// Opens the archive at `path` and checks its list of members.
    ///
    /// # Errors
    /// When the file cannot be read, is not a complete zip archive, or its list of members is hostile.
    pub fn open(path: impl AsRef<Path>) -> Result<Archive> {
        let path = path.as_ref();
        let file = files::open(path)?;
        Archive::new(Box::new(file), path.display().to_string())
    }

    /// The archive in `bytes`; `place` names it in errors.
    ///
    /// # Errors
    /// When it is not a complete zip archive or its list of members is hostile.
    pub fn from_bytes(bytes: Vec<u8>, place: impl Into<String>) -> Result<Archive> {
        Archive::new(Box::new(Cursor::new(bytes)), place.into())
    }

    fn new(mut source: Box<dyn ReadSeek>, place: String) -> Result<Archive> {
        let mut head = Vec::new();
        let failed = |e: io::Error| Error::new(format!("cannot read: {e}")).place(place.clone());
        let bytes = source.seek(SeekFrom::End(0)).map_err(failed)?;
        source.rewind().map_err(failed)?;
        source.by_ref().take(32).read_to_end(&mut head).map_err(failed)?;
        source.rewind().map_err(failed)?;
        let zip = ZipArchive::new(BufReader::new(source)).map_err(|e| not_a_zip(&head, &e).place(&place))?;
        let mut archive = Archive { zip, names: vec![], known: HashSet::new(), place };
        archive.check_members(bytes).map_err(|e| e.place(&archive.place))?;
        Ok(archive)
    }

    fn check_members(&mut self, bytes: u64) -> Result<()> {
        let hostile = |what: String| {
            Err(Error::new(what).fix("do not trust this file; make it again with Keras, NumPy or Rhyton"))
        };
        let mut seen = HashSet::new();
        let mut total = 0u64;
        for i in 0..self.zip.len() {
            let entry = self.zip.by_index_raw(i).map_err(|e| damaged(&e))?;
            let name = entry.name().map_err(|e| damaged(&e))?.into_owned();
            total = total.saturating_add(entry.size());
            if !is_safe_name(&name) {
                return hostile(format!("the archive member {name:?} would leave its folder"));
            }
            if !seen.insert(name.trim_end_matches('/').to_owned()) {
                return hostile(format!("the archive holds {name:?} twice"));
            }
            if !name.ends_with('/') {
                self.known.insert(name.clone());
                self.names.push(name);
            }
        }
        if self.zip.has_duplicate_names() {
            return hostile("the archive holds a member twice".into());
        }
        if total <= bytes.saturating_mul(RATIO) {
            return Ok(());
        }
        limits::UNPACKED_BYTES
            .check(total, || format!("the archive unpacks from {bytes} to {total} bytes: a zip bomb"))
    }

    /// The names of the members in archive order, folders left out.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// True when there is a member of this name.
    pub fn has(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// The unpacked bytes of a member, checked against its checksum.
    ///
    /// # Errors
    /// When there is no such member, or it is damaged, encrypted or longer than the archive says.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        if !self.has(name) {
            let held = self.names.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::new(format!("the archive has no member {name:?}"))
                .place(&self.place)
                .expected(format!("one of: {held}")));
        }
        let place = format!("{} / {name}", self.place);
        self.unpack(name).map_err(|e| e.place(place))
    }

    fn unpack(&mut self, name: &str) -> Result<Vec<u8>> {
        let entry = self.zip.by_name(name).map_err(|e| damaged(&e))?;
        let declared = entry.size();
        memory::fits(usize::try_from(declared).unwrap_or(usize::MAX))?;
        let mut bytes = Vec::new();
        // The buffer grows with the bytes that really come out: the declared size is only a bound.
        let read = entry.take(declared.saturating_add(1)).read_to_end(&mut bytes);
        match read {
            Ok(n) if n as u64 == declared => Ok(bytes),
            Ok(n) => Err(Error::new(format!("{n} bytes came out where the archive says {declared}"))
                .fix("the file is damaged: copy or make it again")),
            Err(e) => Err(memory::reading(&e).unwrap_or_else(|| {
                Error::new(format!("the archive member is damaged: {e}")).fix("copy or make the file again")
            })),
        }
    }
}

/// No absolute path, drive letter, backslash, control character, empty or parent step.
fn is_safe_name(name: &str) -> bool {
    let steps = name.strip_suffix('/').unwrap_or(name);
    let has_drive = name.as_bytes().get(1) == Some(&b':');
    !has_drive
        && !name.chars().any(|c| c == '\\' || c.is_control())
        && steps.split('/').all(|step| !matches!(step, "" | "." | ".."))
}

fn not_a_zip(head: &[u8], e: &ZipError) -> Error {
    if head.starts_with(b"PK\x03\x04") {
        return Error::new(format!("the zip archive is cut short or damaged: {e}"))
            .fix("copy, download or make the file again");
    }
    Error::new("this is not a zip archive")
        .expected(format!("a .keras or .npz file; the file is {}", files::looks_like(head)))
        .fix("check that this is the file you meant")
}

fn damaged(e: &ZipError) -> Error {
    match e {
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            Error::new(format!("the archive uses something Rhyton does not read: {e}"))
                .expected("members that are stored or deflated, not encrypted")
        }
        _ => Error::new(format!("the archive is damaged: {e}")).fix("copy or make the file again"),
    }
}

/// A zip archive being written, every member stored as it is and dated 1980-01-01, so that equal content gives equal
/// bytes.
///
/// ```
/// use rhyton_io::{Archive, ArchiveWriter};
/// let mut bytes = std::io::Cursor::new(vec![]);
/// let mut w = ArchiveWriter::new(&mut bytes);
/// w.add("config.json", b"{}")?;
/// w.finish()?;
/// let mut archive = Archive::from_bytes(bytes.into_inner(), "example")?;
/// assert_eq!(archive.names(), ["config.json"]);
/// assert_eq!(archive.read("config.json")?, b"{}");
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub struct ArchiveWriter<'a> {
    zip: ZipWriter<Sink<'a>>,
    names: HashSet<String>,
    error: Rc<OnceCell<io::Error>>,
}

/// Hides from the zip library that the disk is full. Told of it, the library would try to finish the archive when it
/// is dropped, and write to standard error or panic because that fails too. It goes on writing to nowhere instead, and
/// [`ArchiveWriter`] finds the error here.
struct Sink<'a> {
    out: &'a mut dyn WriteSeek,
    /// Where the library believes to be, and the end of what it believes to have written.
    at: u64,
    end: u64,
    error: Rc<OnceCell<io::Error>>,
}

impl Sink<'_> {
    /// What `act` does with the file, or `pretended` once something has failed.
    fn attempt<T>(
        &mut self,
        pretended: T,
        act: impl FnOnce(&mut dyn WriteSeek) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.error.get().is_some() {
            return Ok(pretended);
        }
        match act(self.out) {
            Err(e) if e.kind() != ErrorKind::Interrupted => {
                self.error.get_or_init(|| e);
                Ok(pretended)
            }
            done => done,
        }
    }

    fn is_at(&mut self, at: u64) -> u64 {
        (self.at, self.end) = (at, self.end.max(at));
        at
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.attempt(bytes.len(), |out| match out.write(bytes)? {
            0 if !bytes.is_empty() => Err(ErrorKind::WriteZero.into()),
            n => Ok(n),
        })?;
        self.is_at(self.at + n as u64);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.attempt((), |out| out.flush())
    }
}

impl Seek for Sink<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pretended = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.end.saturating_add_signed(by),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        let at = self.attempt(pretended, |out| out.seek(to))?;
        Ok(self.is_at(at))
    }
}

impl<'a> ArchiveWriter<'a> {
    /// An archive that goes to `out`.
    pub fn new(out: &'a mut dyn WriteSeek) -> ArchiveWriter<'a> {
        let error = Rc::<OnceCell<_>>::default();
        let sink = Sink { out, at: 0, end: 0, error: error.clone() };
        ArchiveWriter { zip: ZipWriter::new(sink), names: HashSet::new(), error }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// When the name is not a plain relative path or is there already, or when writing fails.
    pub fn add(&mut self, name: &str, content: &[u8]) -> Result<()> {
        if !is_safe_name(name) || name.ends_with('/') {
            return Err(Error::new(format!("{name:?} cannot be the name of an archive member"))
                .expected("a relative path with `/` between the steps"));
        }
        if !self.names.insert(name.to_owned()) {
            return Err(Error::new(format!("the archive would hold {name:?} twice")));
        }
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(content.len() as u64 >= u64::from(u32::MAX));
        self.zip.start_file(name, options).map_err(|e| zip_write_failed(&e))?;
        self.zip.write_all(content).map_err(|e| files::write_failed(&e))?;
        check(&self.error)
    }

    /// Writes the list of members, without which the archive is not readable.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> Result<()> {
        self.zip.finish().map_err(|e| zip_write_failed(&e))?;
        check(&self.error)
    }
}

fn check(error: &OnceCell<io::Error>) -> Result<()> {
    error.get().map_or(Ok(()), |e| Err(files::write_failed(e)))
}

fn zip_write_failed(e: &ZipError) -> Error {
    match e {
        ZipError::Io(e) => files::write_failed(e),
        e => Error::new(format!("cannot write the archive: {e}")),
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
