//! Reading and replacing whole files, with errors that name the path and the way out.

mod temporary;

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use temporary::Temporary;

pub use temporary::remove_unfinished;

/// Something one can write to and seek in: what [`write_atomically`] hands out.
pub trait WriteSeek: Write + Seek {}
impl<T: Write + Seek> WriteSeek for T {}

/// Something one can read from and seek in.
pub trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// Writes a file so that `path` holds either the old content or the complete new content, also when the disk fills
/// up, the process is killed or `write` fails half-way.
///
/// The content goes to a temporary file in the same folder, is flushed to the disk and then renamed over `path`.
/// A symbolic link is followed; the permissions of a replaced file are kept.
///
/// # Errors
/// When the folder is missing or not writable, when the disk is full, when `path` is a folder or a device, or when
/// `write` fails. The old file is untouched in all these cases and no temporary file stays behind.
///
/// ```
/// let path = std::env::temp_dir().join(format!("rhyton-doc-{}.txt", std::process::id()));
/// rhyton_tensor::files::write_atomically(&path, |out| {
///     out.write_all(b"hello").map_err(|e| rhyton_tensor::Error::new(e.to_string()))
/// })?;
/// assert_eq!(rhyton_tensor::files::read(&path)?, b"hello");
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn WriteSeek) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let (target, old) = target_of(path)?;
    let temporary = begin(path, &target)?;
    fill(temporary.file(), path, write)?;
    temporary
        .replace(&target, old.map(|m| m.permissions()))
        .map_err(|e| explain("replace the file", path, &e))?;
    sync_folder(&target);
    Ok(())
}

/// Tries now what [`write_atomically`] is to do after hours of work: makes a file of so many bytes beside `path`,
/// flushes it to the disk and removes it.
///
/// # Errors
/// When the folder is missing or not writable, when the disk has no room for the file, or when `path` is a folder or a
/// device.
pub fn try_target(path: impl AsRef<Path>, bytes: u64) -> Result<()> {
    let path = path.as_ref();
    let (target, _) = target_of(path)?;
    let temporary = begin(path, &target)?;
    fill(temporary.file(), path, |out| {
        // Never less than a block: a full disk still has room for a name.
        io::copy(&mut io::repeat(0xA5).take(bytes.max(4096)), out).map(drop).map_err(|e| write_failed(&e))
    })
}

/// The file that `path` leads to, and what is there.
fn target_of(path: &Path) -> Result<(PathBuf, Option<fs::Metadata>)> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&target).ok();
    match &old {
        Some(m) if !m.is_file() => {
            let what = if m.is_dir() { "a folder" } else { "no regular file" };
            Err(Error::new(format!("the target exists and is {what}"))
                .place(path.display().to_string())
                .fix("give the name of a file"))
        }
        _ => Ok((target, old)),
    }
}

fn begin(path: &Path, target: &Path) -> Result<Temporary> {
    Temporary::beside(target).map_err(|e| explain("make a file there", path, &e))
}

/// Makes names in the folder of `target` survive a power cut; not every file system can, and the content is safe
/// either way.
fn sync_folder(target: &Path) {
    File::open(folder_of(target)).and_then(|f| f.sync_all()).ok();
}

/// The folder a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if p != Path::new("") => p,
        _ => Path::new("."),
    }
}

/// Lets `write` fill `file` and returns once the bytes are on the disk.
fn fill(file: &File, path: &Path, write: impl FnOnce(&mut dyn WriteSeek) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out).map_err(|e| e.place(path.display().to_string()))?;
    out.flush().map_err(|e| explain("write the file", path, &e))?;
    out.get_ref().sync_all().map_err(|e| explain("write the file to the disk", path, &e))
}

/// All bytes of a file.
///
/// # Errors
/// When it is missing, a folder, or may not be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|e| explain("read the file", path, &e))?;
    Ok(bytes)
}

/// Opens a regular file for reading.
///
/// # Errors
/// When it is missing, not a regular file, or may not be read.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let meta = fs::metadata(path).map_err(|e| explain("open the file", path, &e))?;
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder" } else { "a device or pipe" };
        return Err(Error::new(format!("this is {what}, not a file"))
            .place(path.display().to_string())
            .fix("give the name of a file"));
    }
    File::open(path).map_err(|e| explain("open the file", path, &e))
}

const FULL: &str = "free some space or choose another disk; the old file is unchanged";

/// No room: of the disk, of a quota, or by the limit on the size of files.
fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// The error of an operation on `path`, with what to do about it.
pub fn explain(doing: &str, path: &Path, e: &io::Error) -> Error {
    let error = Error::io(doing, path, e);
    let folder = folder_of(path);
    match e.kind() {
        ErrorKind::NotFound if !folder.is_dir() => {
            error.fix(format!("create the folder `{}` first, or correct the path", folder.display()))
        }
        ErrorKind::NotFound => error.fix(match std::env::current_dir() {
            Ok(here) => format!("check the spelling; relative paths start at `{}`", here.display()),
            Err(_) => "check the spelling of the path".into(),
        }),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            error.fix("choose a place you have the rights for, or change its permissions")
        }
        kind if is_full(kind) => error.fix(FULL),
        _ => error,
    }
}

/// The error of writing through a stream whose path the caller adds.
pub fn write_failed(e: &io::Error) -> Error {
    let error = Error::new(format!("cannot write: {e}"));
    match e.kind() {
        kind if is_full(kind) => error.fix(FULL),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rhyton-files-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_no_leftovers() {
        let dir = folder("failed");
        let path = dir.join("weights");
        write_atomically(&path, |out| out.write_all(b"old").map_err(|e| write_failed(&e))).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(&[7; 3 << 20]).map_err(|e| write_failed(&e))?;
            Err(Error::new("half-way"))
        });
        assert!(failed.unwrap_err().to_string().contains("weights"));
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(entries(&dir), 1);
        write_atomically(&path, |out| out.write_all(b"new").map_err(|e| write_failed(&e))).unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
        fs::remove_dir_all(dir).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_at_any_size() {
        for size in [1usize, 1 << 20, 3 << 20] {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let e = fill(&full, Path::new("w.h5"), |out| {
                out.write_all(&vec![1; size]).map_err(|e| write_failed(&e))
            })
            .unwrap_err()
            .to_string();
            assert!(
                e.contains("No space left") && e.contains("free some space") && e.contains("w.h5"),
                "{e}"
            );
        }
        // A device must never be renamed over, even by an administrator.
        let e = write_atomically("/dev/full", |_| Ok(())).unwrap_err().to_string();
        assert!(e.contains("no regular file"), "{e}");
    }

    #[test]
    fn a_target_is_tried_by_making_a_file_there() {
        let dir = folder("tried");
        let path = dir.join("m.keras");
        try_target(&path, 5 << 20).unwrap();
        assert_eq!(entries(&dir), 0, "the trial left something");
        fs::write(&path, "old").unwrap();
        try_target(&path, 0).unwrap();
        assert_eq!(read(&path).unwrap(), b"old");
        let text = try_target(&dir, 0).unwrap_err().to_string();
        assert!(text.contains("is a folder") && text.contains("give the name of a file"), "{text}");
        let text = try_target(dir.join("nowhere").join("m.keras"), 0).unwrap_err().to_string();
        assert!(text.contains("create the folder"), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn errors_name_the_path_and_the_fix() {
        let dir = folder("errors");
        let missing = dir.join("nowhere").join("w.h5");
        for e in [write_atomically(&missing, |_| Ok(())).unwrap_err(), read(&missing).unwrap_err()] {
            let text = e.to_string();
            assert!(text.contains("nowhere") && text.contains("create the folder"), "{text}");
        }
        let e = read(dir.join("absent.h5")).unwrap_err().to_string();
        assert!(e.contains("absent.h5") && e.contains("check the spelling"), "{e}");
        assert!(read(&dir).unwrap_err().to_string().contains("a folder, not a file"));
        assert!(write_atomically(&dir, |_| Ok(())).is_err());
        assert!(write_atomically("", |_| Ok(())).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_without_write_permission_is_refused_and_links_are_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = folder("rights");
        let path = dir.join("real");
        write_atomically(&path, |out| out.write_all(b"1").map_err(|e| write_failed(&e))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, dir.join("link")).unwrap();
        write_atomically(dir.join("link"), |out| out.write_all(b"2").map_err(|e| write_failed(&e))).unwrap();
        assert_eq!(read(&path).unwrap(), b"2");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(dir.join("link")).unwrap().is_symlink());
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
        // Administrators may write anywhere, so the outcome depends on who runs the test; the old file never does.
        if let Err(e) = write_atomically(dir.join("new"), |_| Ok(())) {
            assert!(e.to_string().contains("have the rights"), "{e}");
        }
        assert_eq!(read(&path).unwrap(), b"2");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }
}
