//! Temporary files: a file's new content grows in one of them and takes the file's place in one step.
//!
//! A temporary file is locked while its process lives, and the system drops the lock when the process dies, however
//! it dies. So whoever can lock one may remove it: it belongs to nobody any more.

use super::folder_of;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// How the names of temporary files end.
const END: &str = ".rhyton-tmp";

/// The temporary files of this process that are there now.
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(vec![]);

/// A temporary file beside its target. It is removed when dropped, unless it took the target's place.
pub(crate) struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// A new file in the folder of `target`: a rename only works inside one file system. What dead processes left in
    /// that folder goes.
    pub(crate) fn beside(target: &Path) -> io::Result<Temporary> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
        let short: String = name.chars().take(40).collect();
        sweep(folder_of(target));
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = target.with_file_name(format!(".{short}.{}-{n}{END}", std::process::id()));
            let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                made => made?,
            };
            // Somebody may sweep between the two lines above and this one. Where the file system has no locks, nobody
            // sweeps.
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) || !path.exists() {
                continue;
            }
            open().push(path.clone());
            return Ok(Temporary { path, file });
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in the place of `target`, with the permissions that are given.
    pub(crate) fn replace(self, target: &Path, permissions: Option<fs::Permissions>) -> io::Result<()> {
        if let Some(p) = permissions {
            // A failure only means that the new file has the default permissions.
            fs::set_permissions(&self.path, p).ok();
        }
        fs::rename(&self.path, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing of this name.
        fs::remove_file(&self.path).ok();
        open().retain(|p| *p != self.path);
    }
}

fn open() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of this process: for a program that ends at once, in the middle of its work.
pub fn remove_unfinished() {
    open().drain(..).for_each(|path| drop(fs::remove_file(path)));
}

/// Removes what dead processes left in a folder; once in a process, for a folder may be large.
fn sweep(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if !SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(END) {
            remove_if_abandoned(&entry.path());
        }
    }
}

fn remove_if_abandoned(path: &Path) {
    let is_file = fs::symlink_metadata(path).is_ok_and(|m| m.is_file());
    if let Some(file) = is_file.then(|| OpenOptions::new().write(true).open(path).ok()).flatten()
        && file.try_lock().is_ok()
    {
        fs::remove_file(path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_left_goes_and_what_is_in_use_stays() {
        let dir = std::env::temp_dir().join(format!("rhyton-temporary-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        // Nobody holds a lock on these two: one of ours, and a user's own.
        let (dead, own) = (dir.join(format!(".m.keras.1-0{END}")), dir.join(".m.keras.tmp"));
        fs::write(&dead, "half").unwrap();
        fs::write(&own, "mine").unwrap();
        // What another process writes at this moment.
        let busy = dir.join(format!(".m.keras.2-0{END}"));
        let held = File::create(&busy).unwrap();
        held.lock().unwrap();
        let ours = Temporary::beside(&dir.join("m.keras")).unwrap();
        assert!(!dead.exists() && own.exists() && busy.exists() && ours.path.exists());
        remove_if_abandoned(&ours.path);
        assert!(ours.path.exists(), "our own lock does not hold");
        drop(held);
        remove_if_abandoned(&busy);
        assert!(!busy.exists());
        drop(ours);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
