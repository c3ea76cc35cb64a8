//! [`BackupAndRestore`].

use crate::{files, load_state, save_state};
use rhyton_tensor::{Error, Result};
use rhyton_train::callbacks::{Callback, SavePoint};
use rhyton_train::{Training, TrainingState};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keeps the state of training in a file, so that a run that was cut off goes on when the same program is started
/// again, and ends in the same bits as if nothing had happened. The file is replaced in one step after every epoch
/// (and more often when asked to).
///
/// The file is removed when the trained model is saved, not before: a program that is killed between training and
/// saving, or whose disk is full when it saves, has lost nothing. Started again, it finds its training at the end.
/// What goes on has to begin with the same model, data and arguments; see
/// [`Fit::resume_anyway`](rhyton_train::Fit::resume_anyway).
///
/// ```no_run
/// use rhyton_io::callbacks::BackupAndRestore;
/// use rhyton_train::Fit;
/// Fit::epochs(100).callback(BackupAndRestore::new("training.state").every_steps(500));
/// ```
#[derive(Clone, Debug)]
pub struct BackupAndRestore {
    path: PathBuf,
    steps: Option<usize>,
    time: Option<Duration>,
    only_interrupted: bool,
    restore: bool,
    keep: bool,
    last: Instant,
}

/// Files with the end of a training of this process. The next `fit` with such a file is a new training; in another
/// process it is the same program, started again.
static ENDED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn ended() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BackupAndRestore {
    /// Keeps the state in this file.
    pub fn new(path: impl Into<PathBuf>) -> BackupAndRestore {
        BackupAndRestore {
            path: path.into(),
            steps: None,
            time: None,
            only_interrupted: false,
            restore: true,
            keep: false,
            last: Instant::now(),
        }
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

    /// Saves only when training is [interrupted](Training::interrupt).
    pub fn only_when_interrupted(mut self, yes: bool) -> Self {
        self.only_interrupted = yes;
        self
    }

    /// Whether training goes on from a file that is there; otherwise it begins anew and the first state replaces it.
    pub fn restore(mut self, yes: bool) -> Self {
        self.restore = yes;
        self
    }

    /// Leaves the file in place when the model is saved.
    pub fn keep(mut self, yes: bool) -> Self {
        self.keep = yes;
        self
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove the state of training", path, &e)),
        _ => Ok(()),
    }
}

impl Callback for BackupAndRestore {
    fn on_train_begin(&mut self, cx: &mut Training<'_>) -> Result<()> {
        self.last = Instant::now();
        if self.only_interrupted {
            return Ok(());
        }
        files::try_target(&self.path, cx.model.values().bytes() as u64)
    }

    fn on_train_end(&mut self, cx: &mut Training<'_>) -> Result<()> {
        if !self.keep {
            let path = self.path.clone();
            cx.model.when_saved(move || remove(&path));
        }
        ended().insert(self.path.clone());
        Ok(())
    }

    fn wants_state(&mut self, at: SavePoint) -> bool {
        match at {
            SavePoint::Interrupt => true,
            _ if self.only_interrupted => false,
            SavePoint::Epoch(_) => true,
            SavePoint::Batch(n) => {
                self.steps.is_some_and(|steps| steps > 0 && n.is_multiple_of(steps))
                    || self.time.is_some_and(|t| self.last.elapsed() >= t)
            }
        }
    }

    fn save(&mut self, state: &TrainingState) -> Result<()> {
        save_state(state, &self.path)?;
        ended().remove(&self.path);
        self.last = Instant::now();
        Ok(())
    }

    fn resume(&mut self) -> Result<Option<TrainingState>> {
        let is_old = ended().contains(&self.path);
        (self.restore && !is_old && self.path.exists()).then(|| load_state(&self.path)).transpose()
    }
}
