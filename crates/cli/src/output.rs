//! What the program prints. A reader that has gone away (`rhyton list | head -1`) ends the program, not in a panic.

use rhyton::{Error, Result};
use std::io::{ErrorKind, Write};

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
