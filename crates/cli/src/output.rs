//! What the program prints and where its results go. A reader that has gone away (`rhyton list | head -1`) ends the
//! program, not in a panic.

use rhyton::io::files::{self, WriteSeek};
use rhyton::{Error, Result};
use std::ffi::OsString;
use std::io::{Cursor, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Prints text and a line end to standard output.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Error::new(format!("cannot write to standard output: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// Prints text and a line end to standard error; nobody is left to tell when that fails.
pub fn complain(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Where a result goes: to a file, or with `-` to standard output.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    File(PathBuf),
    StandardOutput,
}

impl From<OsString> for Target {
    fn from(text: OsString) -> Target {
        if text == "-" { Target::StandardOutput } else { Target::File(text.into()) }
    }
}

impl Target {
    /// The path, unless it is standard output.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Target::File(path) => Some(path),
            Target::StandardOutput => None,
        }
    }

    /// Tries before the work what [`write`](Target::write) does after it, with a file of so many bytes.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn try_now(&self, option: &str, bytes: u64) -> Result<()> {
        match self {
            Target::File(path) => files::try_target(path, bytes),
            Target::StandardOutput if std::io::stdout().is_terminal() => {
                Err(Error::new("a file of bytes would be written to the terminal")
                    .place(option)
                    .fix("lead standard output into a file or a program, or give the name of a file"))
            }
            Target::StandardOutput => Ok(()),
        }
    }

    /// Writes the result: a file in one step or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, content: impl FnOnce(&mut dyn WriteSeek) -> Result<()>) -> Result<()> {
        let Target::File(path) = self else {
            let mut bytes = Cursor::new(vec![]);
            content(&mut bytes)?;
            let mut out = std::io::stdout().lock();
            let done = out.write_all(bytes.get_ref()).and_then(|()| out.flush());
            return done.map_err(|e| Error::new(format!("cannot write to standard output: {e}")));
        };
        files::write_atomically(path, content)
    }
}
