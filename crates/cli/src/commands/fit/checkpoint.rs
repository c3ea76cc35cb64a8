//! The checkpoint of `rhyton fit`: where it is, and how to go on from it.

use super::Arguments;
use crate::output::{Target, complain};
use rhyton::io::callbacks::BackupAndRestore;
use rhyton::{Error, Result};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// Time between two states of training within an epoch.
const BACKUP: Duration = Duration::from_secs(30);

/// The file that holds the state of training while it runs, or only once it was interrupted.
pub struct Checkpoint {
    path: PathBuf,
    /// Whether the user asked for it.
    asked: bool,
    resume: bool,
}

impl Checkpoint {
    /// The file of this run; without one when nothing says its name.
    ///
    /// # Errors
    /// When there is one that would be overwritten.
    pub fn of(a: &Arguments) -> Result<Option<Checkpoint>> {
        let resume = a.resume || a.resume_anyway;
        let path = match (&a.checkpoint, &a.out) {
            (Some(path), _) => path.clone(),
            (None, Target::File(out)) => {
                let mut name = out.clone().into_os_string();
                name.push(".checkpoint");
                name.into()
            }
            (None, Target::StandardOutput) if resume => {
                return Err(Error::new("nothing says where the checkpoint is")
                    .place("--resume")
                    .fix("add --checkpoint with the name of the file"));
            }
            (None, Target::StandardOutput) => return Ok(None),
        };
        let (asked, shown) = (a.checkpoint.is_some(), path.display());
        match (path.exists(), resume) {
            (true, false) if asked => {
                return Err(Error::new("there is a checkpoint of an earlier run already")
                    .place(shown.to_string())
                    .fix("add --resume to go on from it, or remove the file to start anew"));
            }
            (true, false) => complain(&format!(
                "warning: {shown} holds a training that was interrupted; this run begins anew and replaces it (--resume goes on from it)"
            )),
            (false, true) => {
                complain(&format!("note: there is no checkpoint {shown} yet: training begins anew"))
            }
            _ => {}
        }
        Ok(Some(Checkpoint { path, asked, resume }))
    }

    /// What keeps and restores the state.
    pub fn callback(&self, a: &Arguments) -> BackupAndRestore {
        // It is removed when all results are saved, which only the command knows.
        let backup = BackupAndRestore::new(&self.path).keep(true).restore(self.resume).every(BACKUP);
        match a.checkpoint_steps {
            Some(n) => backup.every_steps(n),
            None => backup.only_when_interrupted(!self.asked),
        }
    }

    /// Model and history are safe.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove the checkpoint", &self.path, &e))
            }
            _ => Ok(()),
        }
    }

    /// The error of a training or of saving its results, with what is left of it.
    pub fn say_how_to_go_on(&self, mut e: Error) -> Error {
        if self.path.exists() {
            let kept = Error::new("the state of training is kept, as of when it was last saved")
                .place(self.path.display().to_string())
                .fix(format!("go on with: {}", command()));
            e.problems.extend(kept.problems);
        }
        e
    }
}

/// The command line that goes on, for a shell.
fn command() -> String {
    let mut words: Vec<String> = std::env::args_os().map(|a| quoted(&a.to_string_lossy())).collect();
    if !words.iter().any(|w| w == "--resume" || w == "--resume-anyway") {
        words.push("--resume".into());
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-+=:,./@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, wanted) in [
            ("m.keras", "m.keras"),
            ("--seed=5", "--seed=5"),
            ("my data.npz", "'my data.npz'"),
            (r#"{"0": 1}"#, r#"'{"0": 1}'"#),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), wanted);
        }
    }
}
