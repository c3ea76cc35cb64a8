//! [`BackupAndRestore`].

use crate::{load_state, save_state};
use rhyton_nn::callbacks::{Callback, SavePoint};
use rhyton_nn::training::{Training, TrainingState};
use rhyton_tensor::{Error, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Keeps the state of training in a file, so that a run that was cut off goes on when the same program is started
/// again, and ends in the same bits as if nothing had happened. The file is replaced in one step after every epoch
/// (and more often when asked to) and removed when training ends.
///
/// ```no_run
/// use rhyton_io::callbacks::BackupAndRestore;
/// use rhyton_nn::training::Fit;
/// Fit::epochs(100).callback(BackupAndRestore::new("training.state").every_steps(500));
/// ```
#[derive(Clone, Debug)]
pub struct BackupAndRestore {
    path: PathBuf,
    steps: Option<usize>,
    time: Option<Duration>,
    keep: bool,
    last: Instant,
}

impl BackupAndRestore {
    /// Keeps the state in this file.
    pub fn new(path: impl Into<PathBuf>) -> BackupAndRestore {
        BackupAndRestore { path: path.into(), steps: None, time: None, keep: false, last: Instant::now() }
    }

    /// Saves after every `n` steps of an epoch, too.
    pub fn every_steps(mut self, n: usize) -> Self {
        self.steps = Some(n);
        self
    }

    /// Saves within an epoch when the last time is this long ago, too.
    pub fn every(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Leaves the file in place when training ends.
    pub fn keep(mut self, yes: bool) -> Self {
        self.keep = yes;
        self
    }
}

impl Callback for BackupAndRestore {
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        self.last = Instant::now();
        Ok(())
    }

    fn on_train_end(&mut self, _: &mut Training<'_>) -> Result<()> {
        if !self.keep && self.path.exists() {
            return std::fs::remove_file(&self.path)
                .map_err(|e| Error::io("remove the state of training", &self.path, &e));
        }
        Ok(())
    }

    fn wants_state(&mut self, at: SavePoint) -> bool {
        match at {
            SavePoint::Epoch(_) => true,
            SavePoint::Batch(n) => {
                self.steps.is_some_and(|steps| steps > 0 && n.is_multiple_of(steps))
                    || self.time.is_some_and(|t| self.last.elapsed() >= t)
            }
        }
    }

    fn save(&mut self, state: &TrainingState) -> Result<()> {
        save_state(state, &self.path)?;
        self.last = Instant::now();
        Ok(())
    }

    fn resume(&mut self) -> Result<Option<TrainingState>> {
        self.path.exists().then(|| load_state(&self.path)).transpose()
    }
}
