//! [`BackupAndRestore`]: training that survives being killed.

use crate::safetensors::{read_safetensors, write_safetensors};
use rhyton_nn::callbacks::{Callback, SavePoint};
use rhyton_nn::training::{Training, TrainingState};
use rhyton_tensor::{Error, Result, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const KEY: &str = "training_state";

/// Writes the state of training to one file, replaced in one step.
///
/// # Errors
/// When the file cannot be written; an old one is untouched then.
pub fn write_training_state(state: &TrainingState, path: impl AsRef<Path>) -> Result<()> {
    let tensors: Vec<(&str, &Tensor)> = state.tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let metadata = BTreeMap::from([(KEY.to_string(), state.json.to_string())]);
    write_safetensors(path, &tensors, &metadata)
}

/// Reads what [`write_training_state`] wrote.
///
/// # Errors
/// When the file is damaged or holds something else.
pub fn read_training_state(path: impl AsRef<Path>) -> Result<TrainingState> {
    let path = path.as_ref();
    let file = read_safetensors(path)?;
    let json = file.metadata.get(KEY).and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| {
        Error::new("the file holds no state of training")
            .place(path.display().to_string())
            .fix("give the file that BackupAndRestore or `rhyton fit --checkpoint` wrote")
    })?;
    Ok(TrainingState { tensors: file.tensors, json })
}

/// Keeps the state of training in a file, at every epoch and besides every so many steps or seconds, and goes on
/// from it when `fit` is called again after an interruption: the result has the same bits as if nothing had
/// happened. The file is deleted when training ends.
///
/// ```no_run
/// use rhyton_io::BackupAndRestore;
/// let backup = BackupAndRestore::new("training.safetensors").every_steps(500);
/// ```
pub struct BackupAndRestore {
    path: PathBuf,
    steps: Option<usize>,
    interval: Option<Duration>,
    last: Instant,
    resumes: bool,
    keeps: bool,
}

impl BackupAndRestore {
    /// Keeps the state in this file, at the end of every epoch.
    pub fn new(path: impl Into<PathBuf>) -> BackupAndRestore {
        let path = path.into();
        BackupAndRestore { path, steps: None, interval: None, last: Instant::now(), resumes: true, keeps: false }
    }

    /// Besides, every so many steps.
    pub fn every_steps(mut self, steps: usize) -> BackupAndRestore {
        self.steps = Some(steps.max(1));
        self
    }

    /// Besides, after so much time.
    pub fn every(mut self, interval: Duration) -> BackupAndRestore {
        self.interval = Some(interval);
        self
    }

    /// `false` starts anew even when the file is there.
    pub fn resumes(mut self, yes: bool) -> BackupAndRestore {
        self.resumes = yes;
        self
    }

    /// `true` leaves the file there when training ends.
    pub fn keeps(mut self, yes: bool) -> BackupAndRestore {
        self.keeps = yes;
        self
    }
}

impl Callback for BackupAndRestore {
    fn wants_state(&mut self, at: SavePoint) -> bool {
        match at {
            SavePoint::Epoch(_) => true,
            SavePoint::Batch(done) => {
                self.steps.is_some_and(|n| done % n == 0)
                    || self.interval.is_some_and(|i| self.last.elapsed() >= i)
            }
        }
    }

    fn save(&mut self, state: &TrainingState) -> Result<()> {
        write_training_state(state, &self.path)?;
        self.last = Instant::now();
        Ok(())
    }

    fn resume(&mut self) -> Result<Option<TrainingState>> {
        match self.resumes && self.path.exists() {
            true => read_training_state(&self.path).map(Some),
            false => Ok(None),
        }
    }

    fn on_train_end(&mut self, _: &mut Training<'_>) -> Result<()> {
        if self.keeps || !self.path.exists() {
            return Ok(());
        }
        std::fs::remove_file(&self.path).map_err(|e| Error::io("remove the file", &self.path, &e))
    }
}
